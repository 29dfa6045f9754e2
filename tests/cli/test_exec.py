# SPDX-License-Identifier: Apache-2.0
"""``os-vif exec``: a program that inherits the guest's end of a VIF."""

from __future__ import annotations

import signal
import sys

import pytest

from tests.cli.conftest import TAP, OsVif

pytestmark = pytest.mark.functional

MACVTAP = "type: macvtap\nname: mv0\nmac: 52:54:00:12:34:56\nnetwork: {uplink: eth1}\n"
# TUNGETIFF (linux/if_tun.h) tells whose a descriptor is.
PROGRAM = """
import fcntl, os, sys
said = sys.argv[1]
assert said == os.environ["OS_VIF_FDS"]
for number in said.split(":"):
    answer = fcntl.ioctl(int(number), 0x800454D2, bytes(40))
    print(answer[:16].rstrip(b"\\0").decode(), bool(answer[17] & 0x40))
sys.exit(7)
"""


@pytest.fixture
def card(osvif: OsVif) -> OsVif:
    osvif.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")
    return osvif


@pytest.mark.parametrize("queues", [1, 3])
def test_a_program_gets_the_descriptors(card: OsVif, queues: int) -> None:
    file = card.file(MACVTAP)
    card("plug", file)
    command = (sys.executable, "-c", PROGRAM, "{fds}")
    done = card("exec", file, "--queues", str(queues), "--", *command, code=7)
    assert done.stdout.splitlines() == ["mv0 True"] * queues, "with a virtio header (0x4000)"
    card("check", file)


def test_a_tap_too(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    osvif("plug", file)
    done = osvif("exec", file, "--", sys.executable, "-c", PROGRAM, "{fds}", code=7)
    assert done.stdout.splitlines() == ["tap1 True"]


@pytest.mark.parametrize(
    ("words", "said", "code"),
    [
        (("vif.yaml", "--", "true"), "is not plugged", 1),
        (("vif.yaml", "--queues", "0", "--", "true"), "--queues", 2),
        (("vif.yaml",), "CMD", 2),
        (
            ("two.yaml", "--", "true", "{fds}"),
            "two.yaml: {fds} would be 2 VIFs'; choose with --only NAME, or",
            2,
        ),
        (("none.yaml", "--", "true"), "No such file", 2),
    ],
)
def test_what_cannot_be(card: OsVif, words: tuple[str, ...], said: str, code: int) -> None:
    card.file(MACVTAP)
    card.file(f"{MACVTAP}---\n{TAP}", "two.yaml")
    assert said in card("exec", *words, code=code).stderr


def test_a_program_that_is_not_there(card: OsVif) -> None:
    file = card.file(MACVTAP)
    card("plug", file)
    assert (
        "no-such-program: No such file"
        in card("exec", file, "--", "no-such-program", code=1).stderr
    )
    assert "error" in card("exec", file, "--", "", code=1).stderr


def test_what_python_ignores_a_program_does_not(card: OsVif) -> None:
    file = card.file(MACVTAP)
    card("plug", file)
    done = card("exec", file, "--", "grep", "SigIgn", "/proc/self/status")
    ignored = int(done.stdout.split()[1], 16)
    assert not ignored & (1 << signal.SIGPIPE - 1 | 1 << signal.SIGXFSZ - 1)
