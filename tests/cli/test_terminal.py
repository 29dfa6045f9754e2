# SPDX-License-Identifier: Apache-2.0
"""The command on a terminal: colours, progress, questions, Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pexpect
import pytest

from os_vif.cli.main import _COMMANDS
from os_vif.cli.network import command as network

from .conftest import BRIDGE, ENVIRONMENT, TAP

pytestmark = pytest.mark.functional

SCRIPT = tomllib.loads(Path("pyproject.toml").read_text())["project"]["scripts"]["os-vif"]
BEGIN = f"from {SCRIPT.partition(':')[0]} import main; main()"
"""What the installed script runs."""

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def all_of(child):
    """Return everything it says until it ends, and its exit code."""
    child.expect(pexpect.EOF)
    child.wait()
    return child.before, child.exitstatus


def test_colours_on_a_terminal_unless_refused(osvif):
    name = osvif.file(BRIDGE)
    said, code = all_of(osvif.terminal("plug", name))
    assert code == 0
    assert COLOUR.search(said)
    assert COLOUR.sub("", said).startswith("plugged  tap0")
    said, _code = all_of(osvif.terminal("plug", name, NO_COLOR="1"))
    # Dim and bold are no colours; red, green and the like are.
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]", said)


def test_no_colours_in_a_pipe(osvif):
    done = osvif("plug", osvif.file(BRIDGE))
    assert "\x1b" not in done.stdout + done.stderr


def test_many_show_progress_that_goes_away(osvif):
    lines = [f"- {{type: tap, name: tap{n}, mac: 52:54:00:01:00:{n:02x}}}" for n in range(120)]
    said, code = all_of(osvif.terminal("plug", osvif.file("\n".join(lines))))
    assert code == 0
    assert "plugging" in said
    assert "120/120" in said
    assert "120 plugged in " in said
    assert len(osvif.host.links()) == 120


def test_few_show_none(osvif):
    said, _code = all_of(osvif.terminal("plug", osvif.file(TAP)))
    assert "plugging" not in said


def test_nothing_is_cut_off_at_80_columns(osvif):
    osvif("plug", osvif.file(BRIDGE + "instance: {name: web}\n"))
    said, _code = all_of(osvif.terminal("list", NO_COLOR="1"))
    assert "tap0 on br0" in said.replace("\r\n", "")
    assert "…" not in said


def test_list_fits_a_terminal(osvif):
    long = "type: bridge\nbridge: br-of-15-bytes-\nname: tap-of-15-bytes\nmac: 52:54:00:12:34:58\n"
    ids = ("5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea", "5f4ab6c1-cb00-4ee0-a8be-6db1409b69ea")
    guest = "instance: {uuid: 0e2b1a52-4f5c-4d3e-8f5a-6b7c8d9e0f10}\n"
    texts = [f"{text}id: {it}\n{guest}" for text, it in zip((long, TAP), ids, strict=True)]
    osvif("plug", osvif.file("---\n".join(texts)))
    said, code = all_of(osvif.terminal("list"))
    assert code == 0
    lines = COLOUR.sub("", said).rstrip().split("\r\n")
    assert max(map(len, lines)) <= 80
    for row, it in zip(lines[1:], ids, strict=True):
        beginning = row.split()[0]
        assert beginning == it[:11]  # as many as tell the two from each other
        assert osvif.json("show", beginning)["parts"]
        assert "0e2b1a52" in row
    assert "tap-of-15-bytes on br-of" in lines[1]
    # What would be cut is elsewhere: wide, and in a pipe.
    for whole in (
        COLOUR.sub("", all_of(osvif.terminal("list", "-o", "wide"))[0]),
        osvif("list").stdout,
    ):
        assert all(it in whole for it in ids)
        assert "tap-of-15-bytes on br-of-15-bytes-" in whole


OF_NETWORK = [f"network {name}" for name in network._COMMANDS]


@pytest.mark.parametrize("name", ["", *_COMMANDS, *OF_NETWORK])
def test_help_fits_and_explains_the_common_options_once(osvif, name):
    said, code = all_of(osvif.terminal(*name.split(), "--help"))
    assert code == 0
    assert max(len(line) for line in said.split("\r\n")) <= 80
    assert ("(oslo.config)" in said) == ("Say nothing but errors." in said) == (name == "")
    names = "--json, --netns, --config-file, --set, --ovsdb, -v, -q: see os-vif --help"
    # The subcommands of a group have them.
    assert said.count(names) == (name not in ("", "completion", "network"))


def test_gc_asks(osvif):
    osvif("plug", osvif.file(TAP))
    child = osvif.terminal("gc", "--keep-none", NO_COLOR="1")
    child.expect_exact("tap1")
    child.expect_exact("Remove 1 VIF? [y/N]: ")
    child.sendline("n")
    said, code = all_of(child)
    assert code == 1
    assert "nothing was removed" in said
    assert "tap1" in osvif.host.links()
    child = osvif.terminal("gc", "--keep-none")
    child.expect_exact("Remove 1 VIF? [y/N]: ")
    child.sendline("y")
    assert all_of(child)[1] == 0
    assert osvif.host.links() == {}


def test_ctrl_c_at_the_question(osvif):
    osvif("plug", osvif.file(TAP))
    child = osvif.terminal("gc", "--keep-none")
    child.expect_exact("[y/N]: ")
    child.sendintr()
    if child.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=10):
        # Python's input() misses a signal that comes after its prompt and before it reads, which
        # may be long on a busy machine; people press again.
        child.sendintr()
        child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130
    assert "interrupted" in child.before
    assert "tap1" in osvif.host.links()


def test_ctrl_c_while_it_reads(osvif):
    child = osvif.terminal("plug", "-")
    child.expect_exact("reading VIFs from the terminal; end with Ctrl-D")
    child.expect(r"\n")
    # It loads the library before it reads.
    child.sendline("type: tap")
    child.expect_exact("type: tap")
    child.sendintr()
    child.sendintr()  # from an impatient finger
    said, code = all_of(child)
    assert code == 130
    assert "Traceback" not in said
    assert "interrupted; the same command, run again, goes on from here" in COLOUR.sub("", said)


def test_typed_at_the_terminal(osvif):
    child = osvif.terminal("plug", "-")
    child.expect_exact("end with Ctrl-D")
    for line in TAP.splitlines():
        child.sendline(line)
    child.sendeof()
    assert "plugged" in all_of(child)[0]


def test_ctrl_c_in_the_middle_and_the_same_again(osvif):
    lines = [
        f"- {{type: bridge, bridge: br0, name: tap{n}, filtered: true,"
        f" mac: 52:54:00:01:{n >> 8:02x}:{n & 255:02x}}}"
        for n in range(1000)
    ]
    name = osvif.file("\n".join(lines))
    child = osvif.terminal("plug", name)
    child.expect_exact("/1000")
    child.sendintr()
    said, code = all_of(child)
    assert code == 130, said
    assert "Traceback" not in said
    done = len(osvif.host.links())
    assert done < 1001
    osvif("plug", name)
    assert len(osvif.host.links()) == 1001


@pytest.mark.parametrize("ignored", [False, True])
def test_an_interrupt_while_the_command_is_loaded(osvif, ignored):
    """Nothing of ours runs yet that could tell of it; who ignores it goes on."""
    early = osvif.folder / "click"
    early.mkdir()
    (early / "__init__.py").write_text(
        "import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nraise SystemExit(7)\n"
    )
    how = signal.SIG_IGN if ignored else signal.SIG_DFL
    done = subprocess.run(
        [sys.executable, "-c", BEGIN],
        env={**ENVIRONMENT, "PYTHONPATH": str(osvif.folder)},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: signal.signal(signal.SIGINT, how),
    )
    assert (done.returncode, done.stderr) == (7 if ignored else -signal.SIGINT, "")


@pytest.mark.parametrize("closed", [(1,), (0, 1, 2)])
def test_streams_that_are_closed_lead_nowhere(osvif, closed):
    """What is to be done is done, and no socket of ours comes in their place."""
    name = osvif.file(TAP)
    shut = " ".join(f"{number}>&-" for number in closed)
    for words in (f"plug {name}", "list --json"):
        line = f'exec "$0" -c "$1" {words} {shut}'
        done = osvif.host.run(
            *("sh", "-c", line, sys.executable, BEGIN),
            check=False,
            env=ENVIRONMENT,
            cwd=osvif.folder,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert osvif("check", name).stdout.startswith("healthy")
