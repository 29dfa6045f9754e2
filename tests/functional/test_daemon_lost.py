# SPDX-License-Identifier: Apache-2.0
"""A privileged daemon that is killed or stopped: the call ends, and the next one has another."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif import exception
from os_vif.engine import dispatch
from os_vif.system import processes
from tests import vifs, witness
from tests.functional.test_concurrency import in_processes
from tests.functional.test_privilege import BRIDGES, HELPER
from tests.waiting import until

pytestmark = pytest.mark.functional

LIMIT_S = 5
"""For one that hangs; it must be reached by then, and what others do in its place be done."""


def daemons_of(context: Any) -> list[int]:
    """Return the processes of the latest daemon, by the path that its command was given."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if context.sockpath.encode() in (process / "cmdline").read_bytes().split(b"\0"):
                found.append(int(process.name))
    return found


def one_of(context: Any) -> int:
    [pid] = daemons_of(context)
    return pid


@pytest.fixture
def held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a file: while it is there, iptables waits in daemons that are started from now on.

    Who waits says its number in another, whose name ends in ``.reached``.
    """
    file, folder = tmp_path / "held", tmp_path / "bin"
    folder.mkdir()
    for name in ("iptables", "iptables-restore"):
        script = folder / name
        real = shutil.which(name) or f"/usr/sbin/{name}"
        # Who looks needs not wait.
        # One whose starter was killed must not go on.
        alone = 'case "$(cat /proc/$PPID/status)" in ""|*State:?Z*) exit 1;; esac'
        tell = f"echo $$ >{file}.$$; mv {file}.$$ {file}.reached"
        wait = f"while [ -e {file} ]; do {tell}; sleep 0.02; {alone}; done"
        script.write_text(f'#!/bin/sh\n{wait if "restore" in name else ""}\nexec {real} "$@"\n')
        script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    yield file
    file.unlink(missing_ok=True)


@contextlib.contextmanager
def hurried() -> Iterator[None]:
    """Have a call give up soon."""
    before = cfg.CONF[BRIDGES].call_timeout
    cfg.CONF.set_override("call_timeout", LIMIT_S, BRIDGES)
    yield
    cfg.CONF.set_override("call_timeout", before, BRIDGES)


def as_caller(act: Callable[[Any], None], *, limit: int = 120, helper: str = HELPER) -> None:
    """Run ``act`` in a child that has the daemon of the bridges' section do all for it."""

    def run(_process: int) -> None:
        from os_vif.engine import privilege

        cfg.CONF([], project="os-vif-tests", default_config_files=[])
        cfg.CONF.set_override("helper_command", helper, BRIDGES)
        cfg.CONF.set_override("call_timeout", limit, BRIDGES)
        dispatch.is_privileged = lambda _section="": False
        act(privilege.linux_bridge)

    with vifs.configured("linux_bridge", create_tap=True):
        in_processes(1, run)


def with_rules(number: int = 1) -> Any:
    return vifs.bridge_vif(number, has_traffic_filtering=False)


def plug(vif: Any) -> None:
    os_vif.plug(vif, vifs.instance())


class Calling:
    """A plug in a thread of its own, and what became of it."""

    def __init__(self, vif: Any) -> None:
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(vif,))
        self._thread.start()

    def _run(self, vif: Any) -> None:
        try:
            plug(vif)
        except exception.PlugException as error:
            self.error = error

    def join(self) -> Exception | None:
        self._thread.join(60)
        assert not self._thread.is_alive(), "the call hangs"
        return self.error


def test_killed_between_calls(inside: Any) -> None:
    def act(context: Any) -> None:
        plug(vifs.bridge_vif(1))
        first = one_of(context)
        os.kill(first, signal.SIGKILL)
        plug(vifs.bridge_vif(2))
        assert one_of(context) != first

    as_caller(act)
    assert set(inside.links()) == {"br0", vifs.tap_name(1), vifs.tap_name(2)}


def test_killed_before_it_read_the_call(inside: Any) -> None:
    """Its socket is reset then, which is not the end of what can be read."""

    def act(context: Any) -> None:
        plug(vifs.bridge_vif(1))
        first = one_of(context)
        os.kill(first, signal.SIGSTOP)
        call = Calling(vifs.bridge_vif(2))
        until(lambda: context.channel.outstanding_msgs)
        os.kill(first, signal.SIGKILL)
        assert call.join() is None, "a new daemon has done it"

    as_caller(act)
    assert set(inside.links()) == {"br0", vifs.tap_name(1), vifs.tap_name(2)}


def test_killed_in_the_middle_of_a_step(inside: Any, held: Path) -> None:
    def act(context: Any) -> None:
        held.touch()
        call = Calling(with_rules())
        until(Path(f"{held}.reached").exists)
        assert "br0" in inside.links()
        killed = one_of(context)
        os.kill(killed, signal.SIGKILL)
        until(lambda: not processes.started(killed))
        held.unlink()
        assert call.join() is None, "a new daemon has done it"

    as_caller(act)
    with vifs.configured("linux_bridge", create_tap=True):
        assert os_vif.check(with_rules(), vifs.instance()) == []


def test_killed_with_every_call_it_is_given_up(inside: Any, held: Path) -> None:
    before = witness.snapshot()

    def act(context: Any) -> None:
        held.touch()
        reached = Path(f"{held}.reached")
        call = Calling(with_rules())
        killed = []
        for _daemon in range(2):
            until(reached.exists)
            killed.append(one_of(context))
            waiting = int(reached.read_text())
            os.kill(killed[-1], signal.SIGKILL)
            until(lambda waiting=waiting: not processes.started(waiting))  # type: ignore[misc]
            reached.unlink()
        assert f"the privileged daemon of [{BRIDGES}] ended meanwhile, twice" in str(call.join())
        assert one_of(context) not in killed, "another has undone it"

    as_caller(act)
    held.unlink()
    assert witness.differences(before, witness.snapshot()) == []


@pytest.mark.parametrize("may_kill", [True, pytest.param(False, marks=pytest.mark.long)])
def test_stopped_in_the_middle_of_a_step(
    inside: Any, held: Path, may_kill: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from os_vif.engine import daemon

    if not may_kill:  # as it is for a caller who is another user than the daemon
        monkeypatch.setattr(daemon, "_kill", lambda _sockpath: None)

    def act(context: Any) -> None:
        plug(vifs.bridge_vif(2))
        before = witness.snapshot()
        held.touch()
        with hurried():
            call = Calling(with_rules())
            until(Path(f"{held}.reached").exists)
            stopped = one_of(context)
            os.kill(stopped, signal.SIGSTOP)
            held.unlink()
            error = call.join()
        assert isinstance(error, exception.PlugException)
        assert isinstance(error.__cause__, exception.StepFailed)
        assert f"not answered in time ([{BRIDGES}] call_timeout)" in str(error)
        assert error.__cause__.kwargs["left"] == ""
        assert witness.differences(before, witness.snapshot()) == [], "undone by another daemon"
        plug(with_rules())
        if may_kill:
            until(lambda: not processes.started(stopped))
        else:
            # It finds that its time is over, and that others have done what was to be done.
            os.kill(stopped, signal.SIGCONT)
            until(lambda: not processes.started(stopped))
        assert os_vif.check(with_rules(), vifs.instance()) == []

    as_caller(act)


@pytest.mark.long
def test_stopped_and_full(inside: Any) -> None:
    """Who sends more than its socket takes keeps all others from it."""
    many = [(vifs.bridge_vif(number), vifs.instance()) for number in range(1, 401)]

    def act(context: Any) -> None:
        plug(vifs.bridge_vif(500))
        stopped = one_of(context)
        os.kill(stopped, signal.SIGSTOP)
        with hurried():
            outcomes = os_vif.plug_many(many)
        assert all("call_timeout" in str(outcome.error) for outcome in outcomes)
        until(lambda: not processes.started(stopped))
        plug(vifs.bridge_vif(501))

    as_caller(act)
    assert set(inside.links()) == {"br0", vifs.tap_name(500), vifs.tap_name(501)}


@pytest.mark.long
def test_those_who_wait_behind_a_call_that_hangs_are_served(inside: Any) -> None:
    def act(context: Any) -> None:
        plug(vifs.bridge_vif(1))
        os.kill(one_of(context), signal.SIGSTOP)
        with hurried():
            first = Calling(vifs.bridge_vif(2))
            until(lambda: context.channel.outstanding_msgs)  # its limit is known
        others = [Calling(vifs.bridge_vif(number)) for number in range(3, 7)]
        assert "call_timeout" in str(first.join())
        assert [other.join() for other in others] == [None] * 4

    as_caller(act)
    assert set(inside.links()) == {"br0", *(vifs.tap_name(number) for number in (1, 3, 4, 5, 6))}


@pytest.mark.long
def test_looking_through_a_daemon_that_is_killed_or_stopped(inside: Any) -> None:
    def act(context: Any) -> None:
        plug(with_rules())
        os.kill(one_of(context), signal.SIGKILL)
        assert os_vif.check(with_rules(), vifs.instance()) == []
        os.kill(one_of(context), signal.SIGSTOP)
        words = "not answered in time"
        with hurried(), pytest.raises(OSError, match=words):
            os_vif.check(with_rules(), vifs.instance())
        assert os_vif.check(with_rules(), vifs.instance()) == []

    as_caller(act)


def test_a_child_has_a_daemon_of_its_own(inside: Any) -> None:
    def act(context: Any) -> None:
        plug(vifs.bridge_vif(1))
        mine = one_of(context)
        in_processes(2, lambda process: plug(vifs.bridge_vif(2 + process)))
        plug(vifs.bridge_vif(4))
        assert one_of(context) == mine

    as_caller(act)
    assert set(inside.links()) == {"br0", *map(vifs.tap_name, (1, 2, 3, 4))}


@pytest.mark.parametrize(
    "helper", [f"{sys.executable} -c 'import time; time.sleep(600)'", "true"], ids=["hangs", "lies"]
)
def test_a_command_that_starts_no_daemon(
    inside: Any, helper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from os_vif.engine import daemon

    monkeypatch.setattr(daemon, "_START_S", 1.0)
    before = witness.snapshot()

    def act(context: Any) -> None:
        threads = threading.active_count()
        with pytest.raises(exception.PlugException, match=r"not started a daemon within 1 s"):
            plug(vifs.bridge_vif(1))
        until(lambda: daemons_of(context) == [])
        until(lambda: threading.active_count() == threads)

    as_caller(act, limit=1, helper=helper)
    assert witness.differences(before, witness.snapshot()) == []


def test_no_limit(inside: Any) -> None:
    def act(context: Any) -> None:
        plug(vifs.bridge_vif(1))
        stopped = one_of(context)
        os.kill(stopped, signal.SIGSTOP)
        call = Calling(vifs.bridge_vif(2))
        time.sleep(1)
        os.kill(stopped, signal.SIGCONT)
        assert call.join() is None
        assert one_of(context) == stopped

    as_caller(act, limit=0)


_GREEN = """\
import eventlet
eventlet.monkey_patch()

import os
import signal
import sys

from oslo_config import cfg

import os_vif
from os_vif.engine import dispatch, privilege
from tests import vifs
from tests.functional.test_daemon_lost import one_of

helper, section, deed = sys.argv[1:]
cfg.CONF([], project="os-vif-tests", default_config_files=[])
cfg.CONF.set_override("helper_command", helper, section)
os_vif.initialize()
cfg.CONF.set_override("create_tap", True, "os_vif_linux_bridge")
dispatch.is_privileged = lambda _section="": False
ticks = 0


def tick():
    global ticks
    while True:
        eventlet.sleep(0.01)
        ticks += 1


def plug(number):
    try:
        os_vif.plug(vifs.bridge_vif(number), vifs.instance())
    except os_vif.exception.PlugException as error:
        return "late" if "call_timeout" in str(error) else str(error)


eventlet.spawn(tick)
assert plug(1) is None
pid = one_of(privilege.linux_bridge)
os.kill(pid, signal.SIGSTOP)
before = ticks
cfg.CONF.set_override("call_timeout", 5, section)
calls = eventlet.GreenPool()
first = calls.spawn(plug, 2)
eventlet.sleep(0.5)
while not privilege.linux_bridge.channel.outstanding_msgs:
    eventlet.sleep(0.01)
cfg.CONF.set_override("call_timeout", 120, section)
others = [calls.spawn(plug, number) for number in (3, 4)]
if deed == "kill":
    os.kill(pid, signal.SIGKILL)
print([first.wait(), *(other.wait() for other in others)], ticks - before > 20)
"""


@pytest.mark.parametrize(
    ("deed", "first"), [("kill", None), pytest.param("stop", "late", marks=pytest.mark.long)]
)
def test_in_a_service_on_eventlet(inside: Any, deed: str, first: str | None) -> None:
    done = subprocess.run(
        inside.argv(sys.executable, "-Wignore", "-c", _GREEN, HELPER, BRIDGES, deed),
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == f"{[first, None, None]} True"
