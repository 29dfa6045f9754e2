# SPDX-License-Identifier: Apache-2.0
"""Completion in real shells, installed in an empty home by the lines that its help has."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

from tests import debian

from .conftest import BRIDGE, COMMAND, ENVIRONMENT, TAP

pytestmark = pytest.mark.functional

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"


def bash(_home: Path) -> tuple[list[str], dict[str, str]]:
    return ["bash", "-i"], {}


def zsh(home: Path) -> tuple[list[str], dict[str, str]]:
    tree = debian.tree("shells")
    [modules] = tree.glob("usr/lib/*/zsh/*")
    # Where an installed one looks by itself.
    (home / ".zshenv").write_text(
        f"module_path=({modules})\nfpath=({tree}/usr/share/zsh/functions/**/*(/))\n"
    )
    return [*debian.command(tree, "bin/zsh"), "-i"], {}


def fish(home: Path) -> tuple[list[str], dict[str, str]]:
    tree = debian.tree("shells")
    # It finds what belongs to it by where its program is.
    place = home.parent / "fish"
    (place / "bin").mkdir(parents=True)
    shutil.copy(tree / "usr/bin/fish", place / "bin")
    (place / "share").symlink_to(tree / "usr/share")
    (place / "etc").symlink_to(tree / "etc")
    folders = [str(path) for top in ("lib", "usr/lib") for path in tree.glob(f"{top}/*-linux-gnu*")]
    words = [str(place / "bin/fish"), "--interactive", "--init-command", "set -e LD_LIBRARY_PATH"]
    return words, {"LD_LIBRARY_PATH": ":".join(folders)}


SHELLS: dict[str, Callable[[Path], tuple[list[str], dict[str, str]]]] = {
    "bash": bash,
    "zsh": zsh,
    "fish": fish,
}


def install(osvif, shell, environment):
    """Do what the help says."""
    said = osvif("completion", "--help").stdout
    after = re.split(rf"or {shell}\b.*:\n", said)[1]
    lines = re.match(r"(?: {4}\S.*\n)+", after)
    assert lines, said
    done = subprocess.run(
        ["sh", "-ec", lines[0]], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture(
    params=["bash", *(pytest.param(name, marks=pytest.mark.long) for name in ("zsh", "fish"))]
)
def complete(request, osvif, tmp_path):
    """Return what completes a line in a shell: its words then, with ``end`` typed behind it."""
    home = tmp_path / "home"
    home.mkdir()
    words, more = SHELLS[request.param](home)
    path = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    environment = {
        name: value for name, value in ENVIRONMENT.items() if not name.startswith("XDG_")
    } | {"HOME": str(home), "PATH": path}
    install(osvif, request.param, environment)
    [program, *arguments] = osvif.host.argv(*words)
    child = pexpect.spawn(
        program,
        arguments,
        env=environment | more,
        cwd=str(osvif.folder),
        encoding="utf-8",
        dimensions=(40, 300),
        timeout=60,
    )
    osvif.terminals.append(child)
    child.sendline("printf '<%s>' ready")
    child.expect_exact("<ready>")

    def complete(line):
        child.send(f"{line}\tend")
        # To the beginning of the line (Ctrl-A): what the shell would have run is printed instead.
        child.send("\x01printf '<%s>' begin \r")
        child.expect(r"<begin>((?:<[^<>]*>)*<[^<>]*end>)")
        return re.findall("<([^<>]*)>", child.match[1])

    return complete


# What a shell makes of an answer: words of any kind, a blank behind them or none, blanks in them,
# folders, and "=" in them or before them.
IN_EACH_SHELL = {
    "os-vif plu": "plug",
    "os-vif plug --all": "--all-or-nothing",
    "os-vif plug my": "my file.yaml",
    "os-vif plug below/i": "below/inner.yaml",
    "os-vif plug web.yaml be": "below/",
    "os-vif list --config-file=we": "--config-file=web.yaml",
    "os-vif list --set tap.rou": "tap.routed=",
    "os-vif list --set tap.routed=t": "tap.routed=true",
    "os-vif list --set=tap.routed=t": "--set=tap.routed=true",
    "os-vif list --netns={namespace:.12}": "--netns={namespace}",
    "os-vif list --filter bri": "bridge=",
    "os-vif show ta": "tap0",
    "os-vif show we": "web.yaml",
}
# What the command answers, whichever shell asks.
IN_ONE = {
    "os-vif plug we": "web.yaml",
    "os-vif exec we": "web.yaml",
    "os-vif gc --keep we": "web.yaml",
    "os-vif --config-file we": "web.yaml",
    "os-vif types macv": "macvtap",
    "os-vif list -o w": "wide",
    "os-vif doctor o": "ovn",
    "os-vif network app": "apply",
    "os-vif network gc --keep we": "web.yaml",
    "os-vif list --netns {namespace:.12}": "{namespace}",
    "os-vif list --filter bridge=b": "bridge=br0",
    "os-vif show 5f4": ID,
    "os-vif gc --keep-id 5": ID,
}


def test_words_are_completed(complete, osvif, named_namespace, request):
    osvif.file(TAP, "web.yaml")
    osvif.file(TAP, "my file.yaml")
    (osvif.folder / "below").mkdir()
    osvif.file(TAP, "below/inner.yaml")
    osvif("plug", osvif.file(f"{BRIDGE}id: {ID}\n", "plugged.yaml"))
    is_one = request.node.callspec.params["complete"] == "bash"
    for begun, completed in (IN_EACH_SHELL | (IN_ONE if is_one else {})).items():
        line, last = (text.format(namespace=named_namespace) for text in (begun, completed))
        *before, _word = line.split()
        # What goes on has no blank behind it.
        behind = [f"{last}end"] if last[-1] in "=/" else [last, "end"]
        assert complete(line) == [*before, *behind], line


def asked(osvif, line):
    """Return what bash would be told."""
    environment = {"_OS_VIF_COMPLETE": "bash_complete", "COMP_WORDS": line}
    return osvif(env=environment).stdout.split()


def test_what_a_shell_would_not_take_as_it_is(osvif):
    osvif("plug", osvif.file(f"{TAP}id: {ID}\n"))
    for name in ("$(reboot)", "a;b", "a'b", "-x", "a*"):
        [now] = osvif.host.links()
        osvif.host.run("ip", "link", "set", "dev", now, "name", "between")
        osvif.host.run("ip", "link", "set", "dev", "between", "name", name)
        assert asked(osvif, "os-vif show ") == ["file,"]
    assert asked(osvif, "os-vif show 5") == [f"plain,{ID}", "file,5"]


def test_a_database_that_does_not_answer(osvif):
    osvif("plug", osvif.file(TAP))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(osvif.folder / "db.sock"))
        server.listen()
        begun = time.monotonic()
        said = asked(osvif, f"os-vif show --ovsdb unix:{osvif.folder}/db.sock ta")
    assert "file,ta" in said
    assert time.monotonic() - begun < 20  # 30 s are its own time


def test_what_is_plugged_in_another_namespace(osvif, named_namespace):
    """Then nothing of another one is offered in its place."""
    osvif("plug", osvif.file(TAP))
    line = f"os-vif show --netns {named_namespace} ta"
    assert asked(osvif, "os-vif show ta") == ["plain,tap1", "file,ta"]
    assert asked(osvif, line) == ["file,ta"]
    assert asked(osvif, "os-vif show --netns nowhere ta") == ["file,ta"]
    osvif("--netns", named_namespace, "plug", osvif.file(TAP.replace("tap1", "tap7")))
    assert asked(osvif, line) == ["plain,tap7", "file,ta"]
