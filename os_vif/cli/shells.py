# SPDX-License-Identifier: Apache-2.0
"""Completion in bash, zsh and fish.

click's own scripts put a blank behind a word that is to go on (GROUP.OPTION=), take either files or
words, and lose what stands before a second part of one (--netns=NAME, a PCI address in bash).  So
the scripts are ours; all of them ask with the line up to the cursor, and click finds the answer.
"""

from __future__ import annotations

import os
from typing import Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

_BASH = """\
%(complete_func)s() {
    local line="${COMP_LINE:0:COMP_POINT}" files="" type value before
    before=${line##*[[:space:]]}
    before=${before%%"$2"}
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            file) files=yes ;;
            part) compopt -o nospace; COMPREPLY+=("${value#"$before"}") ;;
            plain) COMPREPLY+=("${value#"$before"}") ;;
        esac
    done < <(COMP_WORDS="$line" %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if [[ $files ]] && (( ${#COMPREPLY[@]} )); then
        compopt -o filenames
        mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "$2")
    elif [[ $files ]]; then
        compopt -o default
    fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a response described plain parts
    local type key about files
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(COMP_WORDS="${(j: :)words[1,CURRENT-1]} $PREFIX" \
%(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for type key about in ${response}; do
        case $type in
            file) files=yes ;;
            part) parts+=("$key") ;;
            plain) [[ $about == _ ]] && plain+=("$key") || described+=("$key:$about") ;;
        esac
    done
    (( $#described )) && _describe -V unsorted described -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#parts )) && compadd -U -S '' -V unsorted -a parts
    if [[ -n $files ]]; then
        [[ $PREFIX == --*=* ]] && compset -P 1 '*='
        _files
    fi
}

if [[ $funcstack[1] == _%(prog_name)s ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -l word (commandline --cut-at-cursor --current-token)
    set -l option (string match --regex -- '^--[^=]*=' "$word")
    for line in (COMP_WORDS=(commandline --cut-at-cursor --current-process) \
%(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
        set -l found (string split --max 1 , -- $line)
        if test $found[1] = file
            __fish_complete_path (string replace --regex -- '^--[^=]*=' '' "$word") \
| string replace --regex -- '^' "$option"
        else
            echo $found[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class _OfLine(ShellComplete):
    """Answers a shell that gives the line up to the cursor as ``COMP_WORDS``."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one at the cursor, and that one."""
        # With one more letter there is a word at the cursor in any case.
        *before, last = split_arg_string(os.environ["COMP_WORDS"] + "x")[1:]
        return before, last[:-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what the word may become: all of the word, with the option before its value."""
        found = super().get_completions(args, incomplete)
        if incomplete.startswith("--") and "=" in incomplete:
            option = incomplete.partition("=")[0]
            for item in found:
                item.value = f"{option}={item.value}"
        return found


class Bash(_OfLine, BashComplete):
    """Of bash 4.4 or newer."""

    source_template = _BASH


class Zsh(_OfLine, ZshComplete):
    """Of zsh."""

    source_template = _ZSH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Return three lines: the kind, the word, and what there is to say of it, or ``_``."""
        if item.type == "part":  # these are not described, and so nothing in them is escaped
            return f"part\n{item.value}\n_"
        return super().format_completion(item)


class Fish(_OfLine, FishComplete):
    """Of fish."""

    source_template = _FISH


_SHELLS = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def register() -> None:
    """Have click take these for its own."""
    for name, shell in _SHELLS.items():
        add_completion_class(shell, name)


def of(shell: str, root: click.Command) -> ShellComplete:
    """Return what completes the command.

    :param shell: "bash", "zsh" or "fish"
    """
    return _SHELLS[shell](root, {}, "os-vif", "_OS_VIF_COMPLETE")
