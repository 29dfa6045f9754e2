# SPDX-License-Identifier: Apache-2.0
"""Rules in the FORWARD chain, through iptables(8) and ip6tables(8).

The commands rather than a protocol, because the host's choice between nf_tables and the legacy
tables is theirs, and rules in the other one would not meet those of Docker and its like.
"""

from __future__ import annotations

import contextlib
import errno
import json
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence

from os_vif.host.forwarding.questions import parse_rules_comment
from os_vif.system import locks

Rules = tuple[tuple[str, ...], ...]

_LOCK_SECONDS = "10"

_ATTEMPTS = 8
_PAUSE_S = 0.002
"""Before the second try, at the most; doubled each time."""


def _path(name: str) -> str | None:
    # The daemon's PATH may lack the administrator's folders.
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _command(name: str, *words: str, text: str = "") -> str:
    path = _path(name)
    if path is None:
        raise OSError(errno.ENOENT, f"there is no {name} command; install the iptables package")
    done = subprocess.run([path, *words], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise OSError(errno.EIO, f"{name}: {said}")
    return done.stdout


def _tool(*, ipv6: bool) -> str:
    return "ip6tables" if ipv6 else "iptables"


def available(*, ipv6: bool) -> bool:
    """Tell whether the host has the command at all."""
    return _path(_tool(ipv6=ipv6)) is not None


def chain(*, ipv6: bool) -> list[str] | None:
    """Return FORWARD as iptables prints it, in order; None where the host has no iptables.

    :raises OSError: the command failed, for one because it needs CAP_NET_ADMIN.
    """
    if not available(ipv6=ipv6):
        return None
    return _command(_tool(ipv6=ipv6), "-w", _LOCK_SECONDS, "-S", "FORWARD").splitlines()


def table(*, ipv6: bool) -> list[str]:
    """Return the whole table filter as iptables prints it; nothing where it cannot."""
    if not available(ipv6=ipv6):
        return []
    try:
        return _command(_tool(ipv6=ipv6), "-w", _LOCK_SECONDS, "-S").splitlines()
    except OSError:
        return []


def drops_the_rest(lines: Sequence[str]) -> bool:
    """Tell whether FORWARD drops what no rule accepts: by its policy, or a rule for all."""
    for line in lines:
        words = _words(line)
        if words[:2] == ["-A", "FORWARD"] and words[2:3] == ["-j"]:
            if words[3:4] in (["DROP"], ["REJECT"]):
                return True
        elif words == ["-P", "FORWARD", "DROP"]:
            return True
    return False


def _chain(*, ipv6: bool) -> list[str]:
    """Return the rules of FORWARD, in order, without the policy."""
    printed = _command(_tool(ipv6=ipv6), "-w", _LOCK_SECONDS, "-S", "FORWARD")
    return [line for line in printed.splitlines() if line.startswith("-A FORWARD ")]


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:  # a stranger's rule may hold anything
        return []


def _own(line: str, comment: str) -> tuple[str, ...] | None:
    """Return the words of a rule with exactly this comment, without it; None for others."""
    words = _words(line)[2:]
    for position, word in enumerate(words[:-1]):
        if word == "--comment" and words[position + 1] == comment:
            return tuple(words[: position - 2] + words[position + 2 :])
    return None


def own(lines: Sequence[str], comment: str) -> Rules:
    """Return the rules that carry this comment."""
    found = (_own(line, comment) for line in lines)
    return tuple(rule for rule in found if rule is not None)


def comments(lines: Sequence[str]) -> set[str]:
    """Return the comments of all rules, anybody's."""
    found: set[str] = set()
    for line in lines:
        words = _words(line)
        found.update(words[i + 1] for i, word in enumerate(words[:-1]) if word == "--comment")
    return found


def _first_place(lines: Sequence[str], top_regex: str, bottom_regex: str) -> int:
    """Return the rule number (from 1) to insert at: below the top rules, above the bottom ones."""
    tops, bottoms = (
        _matching(pattern, lines, f"iptables_{which}_regex") if pattern else []
        for which, pattern in (("top", top_regex), ("bottom", bottom_regex))
    )
    place = tops[-1] if tops else 0
    return min(place, bottoms[0] - 1 if bottoms else place) + 1


_MATCHING_S = 2.0
"""Seconds that a regular expression may take for all rules of the chain."""

_MATCH = """if True:
    import json, re, sys
    pattern, lines = json.load(sys.stdin)
    try:
        search = re.compile(pattern).search
    except (re.error, RecursionError, OverflowError) as error:
        sys.exit(str(error))
    json.dump([number for number, line in enumerate(lines, 1) if search(line)], sys.stdout)
"""


def _matching(pattern: str, lines: Sequence[str], option: str) -> list[int]:
    """Return the numbers, from 1, of the lines in which a pattern is found.

    A process of its own tries it: some patterns take for ever, and nothing else ends them.

    :raises OSError: EINVAL: it is no regular expression; ETIMEDOUT: it takes too long.
    """
    try:
        done = subprocess.run(
            # -I: nothing of the environment's or of the folder's counts.
            [sys.executable, "-I", "-c", _MATCH],
            input=json.dumps([pattern, list(lines)]),
            capture_output=True,
            text=True,
            check=False,
            timeout=_MATCHING_S,
        )
    except subprocess.TimeoutExpired:
        words = f"{option} {pattern!r} takes more than {_MATCHING_S:g} s on the FORWARD chain"
        raise OSError(errno.ETIMEDOUT, f"{words}; nothing was changed") from None
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise OSError(errno.EINVAL, f"{option} {pattern!r}: {said}")
    found: list[int] = json.loads(done.stdout)
    return found


def replace(
    comment: str, wanted: Sequence[Sequence[str]], *, ipv6: bool, top_regex: str, bottom_regex: str
) -> Rules:
    """Make the rules with this comment exactly ``wanted``, in one change; return the former.

    The VIF's rules for other bridges go with it: a caller without privilege did not see them.

    :raises OSError: the command failed; nothing was changed.
    """
    if not available(ipv6=ipv6) and all(rule[-1] == "ACCEPT" for rule in wanted):
        return ()  # what only lets pass is missed where something drops alone
    with contextlib.ExitStack() as turn:
        # Two of us that add the same would both have it.  Others' programs do not wait for us, so
        # whoever may not use the lock can do without.
        with contextlib.suppress(OSError):
            turn.enter_context(locks.held(f"FORWARD of {_tool(ipv6=ipv6)}", float(_LOCK_SECONDS)))
        for attempt in range(_ATTEMPTS):
            lines = _chain(ipv6=ipv6)
            before, text = _change(lines, comment, wanted, top_regex, bottom_regex)
            if not text:
                break
            try:
                _command(f"{_tool(ipv6=ipv6)}-restore", "--noflush", "-w", _LOCK_SECONDS, text=text)
            except OSError as error:
                # It names rules by their words and places, which may be gone by now.  Once more in
                # any case: whoever changes another chain is noticed, too.
                if attempt and _chain(ipv6=ipv6) == lines:
                    raise
                if attempt == _ATTEMPTS - 1:
                    words = f"somebody else keeps changing the chain: {error.strerror}"
                    raise OSError(errno.ESTALE, words) from error
                time.sleep(random.SystemRandom().uniform(0, _PAUSE_S * 2**attempt))
            else:
                break
    return before


def _change(
    lines: Sequence[str],
    comment: str,
    wanted: Sequence[Sequence[str]],
    top_regex: str,
    bottom_regex: str,
) -> tuple[Rules, str]:
    """Return the rules with this comment, and the change for iptables-restore; '' for none."""
    owned = {line: rule for line in lines if (rule := _own(line, comment)) is not None}
    before = tuple(owned[line] for line in lines if line in owned)
    doomed = owned.keys() | {line for line in lines if _is_elsewhere(line, comment)}
    if before == tuple(tuple(rule) for rule in wanted) and len(doomed) == len(owned):
        return before, ""
    left = [line for line in lines if line not in doomed]
    place = _first_place(left, top_regex, bottom_regex)
    changes = [f"-D{line[2:]}" for line in lines if line in doomed]
    changes += [
        f'-I FORWARD {place + offset} {" ".join(rule[:-2])} -m comment --comment "{comment}" '
        f"{' '.join(rule[-2:])}"
        for offset, rule in enumerate(wanted)
    ]
    return before, "\n".join(["*filter", *changes, "COMMIT", ""])


def _is_elsewhere(line: str, comment: str) -> bool:
    """Tell whether a rule is of the same VIF as those with this comment, and for another bridge."""
    owner = parse_rules_comment(comment)
    others = comments([line]) - {comment}
    return owner is not None and any(parse_rules_comment(it) == owner for it in others)
