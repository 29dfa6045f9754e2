# SPDX-License-Identifier: Apache-2.0
"""``os-vif run``: plugged for as long as a program runs, however it ends and whoever is killed."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import re
import select
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from os_vif.cli import children
from os_vif.cli.main import main
from os_vif.engine import families
from tests.command import COMMAND
from tests.functional.killing import killed
from tests.waiting import PATIENCE_S, until

from .conftest import BRIDGE, ENVIRONMENT, SERVER, TAP, OsVif
from .test_exec import MACVTAP

pytestmark = pytest.mark.functional

# TUNGETIFF (linux/if_tun.h) tells whose a descriptor is; nobody else may have one.
PROGRAM = """
import fcntl, os, sys
for number in os.environ["OS_VIF_FDS"].split(":"):
    print(fcntl.ioctl(int(number), 0x800454D2, bytes(40))[:16].rstrip(b"\\0").decode())
others = [int(name) for name in os.listdir(f"/proc/{os.getppid()}/fd")]
tuns = [n for n in others if os.path.realpath(f"/proc/{os.getppid()}/fd/{n}") == "/dev/net/tun"]
print("of the command:", tuns)
sys.exit(7)
"""
# A guest that says what it is told, and ends with it.
LISTENER = """
import os, signal, sys, time
told = []
def note(number, _frame):
    told.append(number)
for number in (1, 2, 3, 10, 12, 15):
    signal.signal(number, note)
print("ready", os.getpid(), flush=True)
while not told:
    time.sleep(0.02)
time.sleep(0.3)  # for one that would come twice
print("told", *told, flush=True)
sys.exit(40 + told[0])
"""
TWO = """\
vifs:
  - {type: tap, name: tap-anna, mac: "52:54:00:00:00:01", instance: {name: anna}}
  - {type: tap, name: tap-ben, mac: "52:54:00:00:00:02", instance: {name: ben}}
"""
PYTHON = (sys.executable, "-c")


@pytest.fixture
def card(osvif: OsVif) -> OsVif:
    osvif.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")
    return osvif


class Started:
    """A running ``os-vif run`` whose program is LISTENER; the fixture ``start`` makes it."""

    def __init__(self, osvif: OsVif, words: tuple[str, ...], program: str) -> None:
        read, write = os.pipe()
        with open(os.devnull) as nothing, open(write, "w") as said:
            streams = (nothing.fileno(), said.fileno(), said.fileno())
            words = ("run", *words, "--", *PYTHON, program, "{fds}")
            self.command = SERVER.start(
                osvif.host, *words, env=ENVIRONMENT, cwd=osvif.folder, streams=streams
            )
        self._said = open(read)  # noqa: SIM115  (closed at the end)
        line = self._said.readline()
        assert line.startswith("ready"), line + self._said.read()
        self.guest = os.pidfd_open(int(line.split()[1]))

    def ends(self, number: int) -> None:
        """See that the program has been told a signal, and nothing else, and that all has ended."""
        assert self._said.read() == f"told {number}\n"
        # What it says ends a moment before its VIF is closed.
        assert select.select([self.guest], [], [], PATIENCE_S)[0]

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.guest, signal.SIGKILL)
        os.close(self.guest)
        self.command.send_signal(signal.SIGKILL)
        self.command.wait()
        self._said.close()


@pytest.fixture
def start(osvif: OsVif) -> Iterator[Callable[..., Started]]:
    """Return what runs LISTENER with a VIF, and waits until it is ready."""
    with contextlib.ExitStack() as started:

        def begin(*words: str, program: str = LISTENER) -> Started:
            return started.enter_context(contextlib.closing(Started(osvif, words, program)))

        yield begin


# --- a life ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "device", "queues"),
    [
        (TAP, "tap1", 1),
        (TAP + "multi_queue: true\n", "tap1", 2),
        (MACVTAP, "mv0", 3),
        (BRIDGE, "tap0", 1),
    ],
)
def test_a_program_has_it_alone_and_nothing_is_left(
    card: OsVif, text: str, device: str, queues: int
) -> None:
    file = card.file(text)
    card("plug", file)  # what others may use stays: a bridge, an uplink that is up
    card("unplug", file)
    with card.nothing_changed():
        words = ("run", "--queues", str(queues), file, "--", *PYTHON, PROGRAM, "{fds}")
        done = card(*words, code=7)
    assert done.stdout.splitlines() == [*[device] * queues, "of the command: []"]
    assert done.stderr == ""


def test_what_was_plugged_before_is_unplugged_too_unless_it_is_to_stay(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    osvif("plug", file)
    osvif("run", "--keep", file, "--", "true", "{fds}")
    assert osvif("check", file).stdout.startswith("healthy")
    osvif("run", file, "--", "true", "{fds}")
    assert osvif.host.links() == {}
    osvif("run", "--keep", file, "--", "nothing-like-this", "{fds}", code=127)
    assert osvif.host.links() == {}


def test_in_json(osvif: OsVif) -> None:
    [vif] = osvif.json("run", osvif.file(TAP), "--", "true", "{fds}")["vifs"]
    assert (vif["state"], vif["devices"]) == ("unplugged", ["tap1"])
    [vif] = osvif.json("run", "--keep", "vif.yaml", "--", "true", "{fds}")["vifs"]
    assert (vif["state"], vif["devices"]) == ("plugged", ["tap1"])


def test_standard_input_is_the_programs(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    assert osvif("run", file, "--", "cat", "-", "/proc/self/fd/{fds}", input="hello", code=1)
    done = osvif("run", file, "--", "sh", "-c", "cat; : {fds}", input="hello")
    assert done.stdout == "hello"


# --- its arguments --------------------------------------------------------------------------------

# What it was given, and whose the descriptors in that are.
GIVEN = """
import fcntl, json, os, sys
netdevs = [json.loads(word) for word in sys.argv if word.startswith('{"type"')]
for netdev in netdevs:
    for number in netdev.get("fds", netdev.get("fd", "")).split(":"):
        name = fcntl.ioctl(int(number), 0x800454D2, bytes(40))[:16].rstrip(b"\\0").decode()
        netdev.setdefault("opened", []).append(name)
print(json.dumps([sys.argv[1:], netdevs]))
"""


def given(osvif: OsVif, *words: str) -> tuple[list[str], list[Any]]:
    arguments, netdevs = json.loads(osvif("run", *words).stdout)
    return arguments, netdevs


def test_arguments_are_at_the_end_or_in_their_place(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    said, [netdev] = given(osvif, file, "--", *PYTHON, GIVEN, "-m", "1G")
    assert said[:3] == ["-m", "1G", "-netdev"]
    assert netdev["opened"] == ["tap1"]
    assert json.loads(said[5])["mac"] == "52:54:00:12:34:57"
    again, [netdev] = given(osvif, file, "--", *PYTHON, GIVEN, "{args}", "-m", "1G")
    assert again[-2:] == ["-m", "1G"]
    assert sorted(map(len, again)) == sorted(map(len, said))
    assert netdev["opened"] == ["tap1"]


def test_two_cards_of_one_guest(osvif: OsVif) -> None:
    file = osvif.file(TWO.replace("ben}", "anna}").replace("tap-", "t", 1))
    _said, netdevs = given(osvif, file, "--", *PYTHON, GIVEN)
    assert [netdev["opened"] for netdev in netdevs] == [["tanna"], ["tap-ben"]]
    assert len({netdev["id"] for netdev in netdevs}) == 2
    assert osvif.host.links() == {}


def test_queues(card: OsVif) -> None:
    said, [netdev] = given(card, "--queues", "2", card.file(MACVTAP), "--", *PYTHON, GIVEN)
    assert netdev["opened"] == ["mv0", "mv0"]
    assert json.loads(said[-1])["mq"] is True


def test_a_vhost_user_socket(osvif: OsVif) -> None:
    """The commas of its path are doubled; nothing is opened."""
    text = "type: vhostuser\nmac: 52:54:00:12:34:58\npath: /run/a,b.sock\nmode: server\n"
    file = osvif.file(text)
    done = osvif("run", "--memory", "64M", file, "--", "sh", "-c", 'echo "[$OS_VIF_FDS] $*"', "sh")
    assert done.stdout.startswith("[] -object {")
    assert '"size":67108864,"share":true' in done.stdout
    assert "path=/run/a,,b.sock,server=on,wait=off" in done.stdout
    said = osvif("run", file, "--", "touch", "started", code=2).stderr
    assert "say --memory SIZE instead of -m" in said
    osvif("run", file, "--", "true", "-machine", "memory-backend=mine")


# --- how it ends ----------------------------------------------------------------------------------

SCRIPTS = {"text": "not a program\n", "lost": "#!/no/such/interpreter\n"}


ENDS: list[tuple[tuple[str, ...], int, str]] = [
    (("sh", "-c", "exit 0"), 0, ""),
    (("sh", "-c", "exit 3"), 3, ""),
    (("sh", "-c", "exit 255"), 255, ""),
    (("sh", "-c", "kill -KILL $$"), 137, ""),
    (("sh", "-c", "kill -HUP $$"), 129, ""),
    (("nothing-like-this",), 127, "error: 'nothing-like-this': No such file or directory\n"),
    (("./nothing",), 127, "error: './nothing': No such file or directory\n"),
    (("",), 127, "error: '': No such file or directory\n"),
    (("/",), 126, "error: '/': Is a directory\n"),
    (("./plain",), 126, "error: './plain': Permission denied\n"),
    (("./text",), 126, "error: './text': Exec format error\n"),
    (("./lost",), 127, "error: './lost': No such file or directory\n"),
]


def test_exit_codes(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    osvif.file("", "plain")
    for name, text in SCRIPTS.items():
        (osvif.folder / osvif.file(text, name)).chmod(0o755)
    with osvif.nothing_changed():
        for command, code, said in ENDS:
            assert osvif("run", file, "--", *command, "{fds}", code=code).stderr == said


USUAL = ("env", "--default-signal")
"""Whatever the tests were started with: a shell's background job ignores SIGQUIT."""


def test_what_python_ignores_a_program_does_not(osvif: OsVif) -> None:
    script = "grep -E 'Sig(Ign|Blk)' /proc/self/status; : {fds}"
    said = osvif("run", osvif.file(TAP), "--", "sh", "-c", script, before=USUAL).stdout
    assert {_mask(line) for line in said.splitlines()} == {0}


def _mask(line: str) -> int:
    """Return the signals of a line of status, without those that glibc has for itself (32, 33)."""
    return int(line.split()[1], 16) & ~(0b11 << 31)


# --- signals --------------------------------------------------------------------------------------


def test_signals_are_passed_on(osvif: OsVif, start: Callable[..., Started]) -> None:
    file = osvif.file(TAP)
    for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2"):
        number = signal.Signals[f"SIG{name}"]
        run = start(file)
        run.command.send_signal(number)
        run.ends(number)
        assert run.command.wait() == 40 + number
        assert osvif.host.links() == {}


def test_what_was_ignored_stays_ignored(osvif: OsVif) -> None:
    """As by nohup(1)."""
    file = osvif.file(TAP)
    script = "grep SigIgn /proc/self/status; kill -HUP $PPID; kill -HUP $$; : {fds}"
    said = osvif("run", file, "--", "sh", "-c", script, before=(*USUAL, "nohup")).stdout
    assert _mask(said) == 1 << signal.SIGHUP - 1
    assert osvif.host.links() == {}


def test_ctrl_c_comes_once_and_the_terminal_is_the_programs(osvif: OsVif) -> None:
    program = LISTENER.replace(
        "while not told", "print('read', input(), flush=True)\nwhile not told"
    )
    run = osvif.terminal("run", osvif.file(TAP), "--", *PYTHON, program, "{fds}")
    run.expect("ready")
    run.sendline("hello")
    run.expect("read hello")
    run.sendintr()
    run.expect("told 2\r")
    run.wait()
    assert run.exitstatus == 40 + signal.SIGINT
    assert osvif.host.links() == {}


def test_ctrl_z_stops_both_and_fg_goes_on(osvif: OsVif) -> None:
    osvif.file(TAP)
    (osvif.folder / "listener.py").write_text(LISTENER)
    argv = osvif.host.argv("bash", "--norc", "--noprofile", "-i")
    shell = pexpect.spawn(
        argv[0],
        argv[1:],
        env=ENVIRONMENT | {"PS1": "$ "},
        cwd=str(osvif.folder),
        encoding="utf-8",
        timeout=PATIENCE_S,
    )
    osvif.terminals.append(shell)
    shell.sendline(f"{COMMAND} run vif.yaml -- {sys.executable} listener.py {{fds}}")
    shell.expect("ready ([0-9]+)")
    state = Path(f"/proc/{shell.match[1]}/stat")
    shell.sendcontrol("z")
    shell.expect("Stopped")
    for line, stopped in (("", True), ("fg", False)):  # the shell watches the command alone
        shell.sendline(line)
        until(lambda stopped=stopped: (state.read_text().split()[2] == "T") == stopped)  # type: ignore[misc]
    shell.sendintr()
    shell.expect("told 2\r")
    shell.sendline("echo code $?")
    shell.expect("code 42")
    assert osvif.host.links() == {}


BEFORE_IT_STARTS = """
import os, signal, sys
from os_vif import verbs
plug = verbs.plug_many
def told(*arguments, **more):
    for number in map(int, os.environ["TOLD"].split()):
        os.kill(os.getpid(), number)
    return plug(*arguments, **more)
verbs.plug_many = told
from os_vif.cli.main import main
from os_vif.engine import families
main(sys.argv[1:])
"""


@pytest.mark.parametrize(
    ("told", "code", "said"),
    [
        ("15", 143, "error: SIGTERM came before touch was started\n"),
        ("2 2", 130, "error: interrupted; the same command, run again, goes on from here\n"),
    ],
)
def test_a_signal_while_it_plugs(osvif: OsVif, told: str, code: int, said: str) -> None:
    file = osvif.file(TAP)
    words = ("run", file, "--", "touch", "started", "{fds}")
    with osvif.nothing_changed():
        done = osvif.host.run(
            *(*PYTHON, BEFORE_IT_STARTS, *words),
            check=False,
            env=ENVIRONMENT | {"TOLD": told},
            cwd=osvif.folder,
        )
    assert (done.returncode, done.stderr.lstrip()) == (code, said)
    assert not (osvif.folder / "started").exists()


# --- killed ---------------------------------------------------------------------------------------


def test_killed_while_the_program_runs(osvif: OsVif, start: Callable[..., Started]) -> None:
    file = osvif.file(TAP)
    run = start(file)
    run.command.send_signal(signal.SIGKILL)
    run.command.wait()
    [found] = osvif.json("list")["vifs"]
    assert found["open"]
    with osvif.nothing_changed():
        said = osvif("run", file, "--", "true", "{fds}", code=1).stderr
        assert re.search(r"tap1: python\S* \(pid \d+\) has it open; a VIF is for one guest", said)
    signal.pidfd_send_signal(run.guest, signal.SIGTERM)
    run.ends(signal.SIGTERM)
    osvif("run", file, "--", "true", "{fds}")
    assert osvif.host.links() == {}


def test_die_with_me(osvif: OsVif, start: Callable[..., Started]) -> None:
    file = osvif.file(TAP)
    run = start("--die-with-me", file)
    run.command.send_signal(signal.SIGKILL)
    run.ends(signal.SIGTERM)
    assert list(osvif.host.links()) == ["tap1"], "nobody was left to unplug it"
    osvif("unplug", file)
    assert osvif.host.links() == {}


def test_killed_at_any_moment(osvif: OsVif) -> None:
    """Just before each of its changes of the host: in plug, in opening, in unplug."""
    file = str(osvif.folder / osvif.file(TAP))
    # Once here, and not once in each child.
    for name in ("cli.lifetime", "cli.specs.reader", "guest.qemu", "verbs"):
        importlib.import_module(f"os_vif.{name}")
    for plugin in importlib.metadata.entry_points(group="os_vif"):
        plugin.load()
    families.load_systems()

    def act() -> None:
        with pytest.raises(SystemExit) as ended:
            main(["run", file, "--", "true", "{fds}"])
        assert ended.value.code == 0

    number = 0
    with osvif.nothing_changed():
        while _killed_on(osvif.host, act, number):
            osvif("unplug", file)
            assert osvif.host.links() == {}, number
            number += 1
        assert number > 4


def _killed_on(host: Any, act: Callable[[], None], number: int) -> bool:
    with host.enter():
        return killed(act, number)


# --- refused --------------------------------------------------------------------------------------


REFUSED: list[tuple[tuple[str, ...], str, int]] = [
    (("vif.yaml",), "CMD", 2),
    (("vif.yaml", "--"), "CMD", 2),
    (("vif.yaml", "--queues", "0", "--", "touch", "started", "{fds}"), "--queues", 2),
    (
        ("vif.yaml", "--queues", "2", "--", "touch", "started", "{fds}"),
        "it has a single queue, not 2; plug it with several (multi_queue)",
        1,
    ),
    (
        ("vif.yaml", "--queues", "2", "--", "touch", "started"),
        "vif.yaml:1:1: queues: 2 cannot be used: expected 1, as tap tap1 has a single queue",
        2,
    ),
    (("vif.yaml", "--model", "virtoi", "--", "touch", "started"), "model: 'virtoi' cannot", 2),
    (("vif.yaml", "--", "touch", "started", "-n{args}"), "{args} must be a word of its own", 2),
    (
        ("two.yaml", "--", "touch", "started", "{fds:tap-ben}"),
        "two.yaml: these are the VIFs of 2 guests (anna, ben), and CMD is one; choose with",
        2,
    ),
    (("none.yaml", "--", "touch", "started", "{fds}"), "No such file", 2),
]


def test_what_cannot_be(osvif: OsVif) -> None:
    osvif.file(TAP)
    osvif.file(TWO, "two.yaml")
    with osvif.nothing_changed():
        for words, said, code in REFUSED:
            assert said in osvif("run", *words, code=code).stderr
    assert not (osvif.folder / "started").exists()


def test_one_guest_of_two(osvif: OsVif) -> None:
    file = osvif.file(TWO)
    done = osvif("run", "--only", "ben", file, "--", *PYTHON, PROGRAM, "{fds}", code=7)
    assert done.stdout.splitlines()[0] == "tap-ben"


def test_what_cannot_be_plugged_starts_nothing(osvif: OsVif) -> None:
    osvif.host.run("ip", "link", "add", "tap1", "type", "veth", "peer", "name", "far1")
    with osvif.nothing_changed():
        said = osvif("run", osvif.file(TAP), "--", "touch", "started", "{fds}", code=1).stderr
        assert "tap1" in said
        found = osvif.json("run", "vif.yaml", "--", "touch", "started", "{fds}", code=1)
    assert found["vifs"][0]["state"] == "failed"
    assert not (osvif.folder / "started").exists()


def test_without_root(osvif: OsVif) -> None:
    before = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all")
    words = ("run", "-", "--", "touch", "started", "{fds}")
    with osvif.nothing_changed():
        said = osvif(*words, before=before, input=TAP, code=1).stderr
    assert "no right to change network devices (CAP_NET_ADMIN)" in said


def test_what_the_program_has_started_is_left_its_vif(osvif: OsVif) -> None:
    script = "sleep 300 > /dev/null 2>&1 & echo $!; : {fds}; "
    script += "until read -r name < /proc/$!/comm && [ $name = sleep ]; do :; done"
    done = osvif("run", osvif.file(TAP), "--", "sh", "-c", script, code=1)
    guest = int(done.stdout)
    try:
        assert f"sleep (pid {guest}) has it open" in done.stderr
        assert list(osvif.host.links()) == ["tap1"]
    finally:
        os.kill(guest, signal.SIGKILL)


# --- without a host -------------------------------------------------------------------------------


def test_descriptors_are_closed_also_where_nothing_starts() -> None:
    for command, told in ((["/nothing"], ()), (["true"], (signal.SIGTERM,))):
        ours, theirs = os.pipe()
        kept = children.Kept()
        kept.told.extend(told)
        with pytest.raises((OSError, children.Told)):
            children.run(command, {}, [ours, theirs], kept)
        for number in (ours, theirs):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
