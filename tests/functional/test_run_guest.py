# SPDX-License-Identifier: Apache-2.0
"""``os-vif run`` with a real QEMU, stopped at its first instruction: what it took, how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import TAP
from tests.cli.test_exec import MACVTAP
from tests.command import COMMAND
from tests.conftest import PrivateHost
from tests.lab.demo import machine
from tests.vm import image
from tests.vm.qmp import Monitor

pytestmark = [pytest.mark.functional, pytest.mark.qemu]

VHOST_USER = "type: vhostuser\nmac: 52:54:00:12:34:58\npath: guest.sock\nmode: server\n"
QEMU = (machine.PROGRAM, *f"{machine.BARE} {machine.MONITOR} -S".split())


class Life:
    """A guest that ``os-vif run`` has started."""

    def __init__(self, host: PrivateHost, folder: Path, text: str, *options: str) -> None:
        self.host = host
        self.folder = folder
        (folder / "vif.yaml").write_text(text)
        machine.write_program(image.parts(), folder)
        self._words = host.argv(COMMAND, "run", *options, "vif.yaml", "--", *QEMU)
        self._environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    @contextlib.contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start it; whatever of it is left at the end is killed."""
        (self.folder / "monitor").unlink(missing_ok=True)
        command = subprocess.Popen(
            self._words,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            yield command
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(command.pid, signal.SIGKILL)
            command.wait()

    @contextlib.contextmanager
    def running(self) -> Iterator[tuple[subprocess.Popen[bytes], Monitor]]:
        """Start it; yield the command and QEMU's monitor."""
        with (
            self.started() as command,
            contextlib.closing(Monitor(str(self.folder / "monitor"))) as monitor,
        ):
            yield command, monitor

    def again(self) -> subprocess.CompletedProcess[str]:
        """Run it once more, to its end."""
        return subprocess.run(
            self._words,
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


def card(host: PrivateHost) -> None:
    host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")


@pytest.mark.parametrize(
    ("text", "options", "ends"),
    [
        (TAP, (), 1),
        (TAP + "multi_queue: true\n", ("--queues", "2"), 2),
        (MACVTAP, ("--queues", "3"), 3),
    ],
)
def test_it_gets_every_queue(
    host: PrivateHost, tmp_path: Path, text: str, options: tuple[str, ...], ends: int
) -> None:
    card(host)
    with Life(host, tmp_path, text, *options).running() as (command, monitor):
        said = monitor.execute("human-monitor-command", {"command-line": "info network"})
        assert said.count("type=tap") == ends, said
        assert said.count("type=nic") == ends, said
        assert text.split("mac: ")[1].split(maxsplit=1)[0] in said
        with contextlib.suppress(OSError):  # it ends before it answers
            monitor.execute("quit")
        assert command.wait(30) == 0
    assert set(host.links()) <= {"eth1", "far1"}


def test_what_runs_is_compared_with_its_file(host: PrivateHost, tmp_path: Path) -> None:
    life = Life(host, tmp_path, TAP)
    asking = host.argv(
        *(COMMAND, "guest", "vif.yaml", "--format", "qmp", "--check", "monitor", "--json")
    )
    with life.running() as (_command, monitor):
        monitor.close()
        for text, code in ((TAP, 0), (TAP.replace("tap1", "tap2"), 3)):
            (tmp_path / "vif.yaml").write_text(text)
            done = subprocess.run(
                asking, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=False
            )
            assert done.returncode == code
            [said] = json.loads(done.stdout)["vifs"]
            assert said["notes"] == []
            drift = ["device is tap1, and should be tap2"]
            assert said["drifts"] == (drift if code else [])


def test_vhost_user(host: PrivateHost, tmp_path: Path) -> None:
    """QEMU makes the socket, and waits there for a back end before it does anything else."""
    path = tmp_path / "a,b.sock"
    text = VHOST_USER.replace("guest.sock", str(path))
    with Life(host, tmp_path, text, "--memory", "64M").started() as command:
        deadline = time.monotonic() + 60
        while not path.is_socket():
            assert command.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        [guest] = Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split()
        words = Path(f"/proc/{guest}/cmdline").read_text()
        assert '"size":67108864,"share":true' in words
        assert "memory-backend=guest-memory" in words
        command.terminate()
        assert command.wait(30) in (0, 128 + signal.SIGTERM)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_told_to_end_it_ends(host: PrivateHost, tmp_path: Path, number: int) -> None:
    """QEMU ends in order with these, so the code is 0."""
    with Life(host, tmp_path, TAP).running() as (command, _monitor):
        command.send_signal(number)
        assert command.wait(30) == 0
    assert host.links() == {}


def test_killed_it_leaves_the_guest_at_work(host: PrivateHost, tmp_path: Path) -> None:
    life = Life(host, tmp_path, TAP)
    with life.running() as (command, monitor):
        command.kill()
        command.wait()
        assert monitor.execute("query-status")["status"] == "prelaunch"
        done = life.again()
        assert done.returncode == 1
        assert "has it open; a VIF is for one guest" in done.stderr
        assert list(host.links()) == ["tap1"]
        with contextlib.suppress(OSError):  # it ends before it answers
            monitor.execute("quit")
    with life.running() as (command, monitor):
        command.terminate()
        assert command.wait(30) == 0
    assert host.links() == {}


def test_die_with_me(host: PrivateHost, tmp_path: Path) -> None:
    with Life(host, tmp_path, TAP, "--die-with-me").running() as (command, monitor):
        command.kill()
        command.wait()
        with pytest.raises(ConnectionError, match="QEMU has ended"):
            monitor.wait_for("SHUTDOWN", guest=True)
    assert list(host.links()) == ["tap1"]
