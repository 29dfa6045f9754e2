# SPDX-License-Identifier: Apache-2.0
"""A real lldpad for a test, on a private host: a station or a switch of IEEE 802.1Qbg.

The programs are Debian's, unpacked into ``.cache`` of the checkout (see :mod:`tests.debian`).
Each lldpad has a /run and a /dev/shm of its own, in a mount namespace of its own: its PID file
and its shared memory have fixed names.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from os_vif.host.port_profiles.resources import ANY_VLAN, Vsi
from os_vif.host.port_profiles.system import vdp
from tests import debian, vifs

DAEMON = "usr/sbin/lldpad"
ASK = "usr/sbin/vdptool"
PATIENCE = 30.0
"""Seconds for a daemon to come up, or two of them to agree, on a busy machine."""

_ANSWER_S = 3.0

_CONFIGURATION = """
nearest_customer_bridge : {{
  {interface} : {{
    adminStatus = 3;
    tlvid0080c20d : {{
      enableTx = true; evbmode = "{role}"; {relay} = true; vdprka = 16; vdprwd = 16;
    }};
  }};
}};
"""
"""Of the EVB TLV (OUI 00-80-c2, subtype 0d); the role counts when lldpad starts, and only then.

Both sides must want the reflective relay, or no side begins VDP. Delays are 2**16 * 10 us, so
that what the station says no more leaves the switch after a second."""


PROBES = range(0xF000, 0xFFFF)
"""The numbers of the VSIs that are only there to find out whether both sides do VDP."""


def instance(number: int = 1) -> str:
    """Return the UUID of the VSI of this number."""
    return f"2f0dd7bc-32fe-4a86-9f5c-{number:012x}"


def number_of(instance: str) -> int:
    """Return the number of the VSI with this UUID."""
    return int(instance[-12:], 16)


def until(true: Callable[[], Any]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def agree(
    interface: str, probes: Iterator[int], far: Callable[[str], bool] = lambda _instance: True
) -> None:
    """Wait until both sides do VDP; called where the station is.

    :param probes: numbers of VSIs to try. Each time another one: lldpad takes no request for one
        that was not answered yet.
    :param far: whether the switch has a VSI; lldpad's bridge role forgets them at first
    """
    for number in probes:
        probe = Vsi(
            manager=0,
            type=0,
            version=0,
            instance=instance(number),
            mac=vifs.guest_mac(number),
            vlan=ANY_VLAN,
        )
        with contextlib.suppress(vdp.VdpError):
            vdp.associate(interface, probe, 1)
            time.sleep(0.1)
            if far(probe.instance):
                vdp.disassociate(interface, probe, 5)
                return


class Lldpad:
    """An lldpad on one interface of a private host; it ends with this object and this process.

    :ivar pid_file: its /run/lldpad.pid, seen from outside of its mount namespace
    """

    def __init__(self, host: Any, interface: str, role: str) -> None:
        """Start it and wait until it answers.

        :param host: :class:`tests.conftest.PrivateHost`
        :param role: ``station``, ``bridge``, or ``none`` for an lldpad without EVB
        """
        self._tree = debian.tree("lldpad")
        self._host = host
        self._interface = interface
        self._folder = Path(tempfile.mkdtemp(prefix="lldpad-"))
        for name in ("run", "shm"):
            (self._folder / name).mkdir()
        self.pid_file = self._folder / "run/lldpad.pid"
        relay = "evbrrcap" if role == "bridge" else "evbrrreq"
        text = _CONFIGURATION.format(interface=interface, role=role, relay=relay)
        (self._folder / "conf").write_text("" if role == "none" else text)
        # The kernel's death signal comes when the *thread* that started the daemon ends.
        self._starter = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        script = (
            'mount --bind "$1/run" /run && mount --bind "$1/shm" /dev/shm && shift && exec "$@"'
        )
        daemon = [*debian.command(self._tree, DAEMON), "-f", str(self._folder / "conf")]
        argv = self._host.argv(
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("unshare", "--mount", "--propagation", "private", "--"),
            *("sh", "-c", script, "sh", str(self._folder), *daemon),
        )
        with (self._folder / "log").open("wb") as log:
            self._process = self._starter.submit(
                subprocess.Popen, argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            ).result()
        deadline = time.monotonic() + PATIENCE
        while not self.pid_file.exists() or self._ask("-p", check=False).returncode:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "lldpad did not come up"
            time.sleep(0.02)

    def _ask(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        found: subprocess.CompletedProcess[str] = self._host.run(
            *debian.command(self._tree, ASK), *arguments, check=check
        )
        return found

    def listed(self) -> dict[str, int | None]:
        """Return the response to each VSI it holds by its UUID, None while there is none.

        Read here by hand, so that it is a witness: RTM_GETLINK by unicast, and from the answer
        IFLA_VF_PORTS (24), each IFLA_PORT_INSTANCE_UUID (4) and IFLA_PORT_RESPONSE (7).
        """
        pid = int(self.pid_file.read_bytes().split(b"\0")[0])
        name = self._interface.encode() + b"\0"
        body = struct.pack("=16xHH", 4 + len(name), 3) + name + b"\0" * (-len(name) % 4)
        with self._host.enter():
            channel = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        with channel:
            channel.settimeout(_ANSWER_S)
            deadline = time.monotonic() + PATIENCE
            while True:
                channel.sendto(struct.pack("=IHHII", 16 + len(body), 18, 1, 1, 0) + body, (pid, 0))
                try:
                    answer = channel.recv(1 << 16)
                    break
                except TimeoutError:  # it may lose a question
                    assert time.monotonic() < deadline, "lldpad does not answer"
        kind = struct.unpack_from("=IH", answer)[1]
        assert kind == 3, f"an error of lldpad's: {struct.unpack_from('=i', answer, 16)[0]}"
        found = {}
        for port in _attributes(answer[32:]).get(24, []):
            for fields in _attributes(port).get(1, []):
                held = _attributes(fields)
                response = struct.unpack("=H", held[7][0])[0] if 7 in held else None
                found[str(uuid.UUID(bytes=held[4][0]))] = response
        return found

    def shown(self) -> list[dict[str, str]]:
        """Return the VSIs it holds as vdptool(8) shows them; only in the station's role."""
        said = self._ask("-t", "-i", self._interface, "-V", "assoc").stdout
        blocks = said.split("VSI ")[1:]
        return [dict(re.findall(r"\t(\w+) = (\S+)", block)) for block in blocks]

    def stop(self) -> None:
        """Stop it as a service manager would."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE)

    def pause(self) -> None:
        """Have it answer nobody until :meth:`go_on`."""
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """End it and remove what it left."""
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()
        self._starter.shutdown()
        shutil.rmtree(self._folder, ignore_errors=True)


def _attributes(data: bytes) -> dict[int, list[bytes]]:
    """Return the values of netlink attributes by type."""
    found: dict[int, list[bytes]] = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        found.setdefault(kind & 0x3FFF, []).append(data[4:length])
        data = data[(length + 3) & ~3 :]
    return found
