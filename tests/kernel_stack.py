# SPDX-License-Identifier: Apache-2.0
"""A guest with the kernel's own network stack: a host whose eth0 is tied to a tap of another."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests import dhcp, witness
from tests.conftest import PrivateHost
from tests.guest import IFF_NO_PI, IFF_TAP, TUNSETIFF

PATIENCE_S = 30.0
_ASK_S = 0.5
_HASTE = {
    "dad_transmits": "0",
    "router_solicitation_delay": "0",
    "router_solicitation_interval": "1",
}
"""Settings of a guest that need not be careful; the first thing it says may be lost."""
_NAME_THERE, _ADDRESS = 0, (1, 28)
"""In DNS (RFC 1035; RFC 3596): the answer's code, and the types A and AAAA."""


class Guest:
    """A guest on a tap, and what one does on it."""

    def __init__(self, host: PrivateHost, tap: str, mac: str) -> None:
        self.own = PrivateHost()
        self._halt, self._halter = os.pipe()
        with host.enter():
            self._near = _opened(tap)
        with self.own.enter():
            self._far = _opened("eth0")
        with self.own.enter():
            for name, value in _HASTE.items():
                Path(f"/proc/sys/net/ipv6/conf/eth0/{name}").write_text(value)
            witness.ip(f"link set eth0 address {mac} up")
        self._carrier = threading.Thread(target=self._carry, daemon=True)
        self._carrier.start()

    def close(self) -> None:
        """Switch it off."""
        os.write(self._halter, b"x")
        self._carrier.join()
        for descriptor in (self._near, self._far, self._halt, self._halter):
            os.close(descriptor)
        self.own.close()

    def _carry(self) -> None:
        other = {self._near: self._far, self._far: self._near}
        while True:
            ready, _, _ = select.select([*other, self._halt], [], [])
            if self._halt in ready:
                return
            for descriptor in ready:
                with contextlib.suppress(OSError):  # EIO: the other end is down
                    os.write(other[descriptor], os.read(descriptor, 70000))

    def lease(self) -> dhcp.Answer:
        """Ask for an address, and take it, with the router."""
        with self.own.enter(), dhcp.client() as client:
            told = client.lease(PATIENCE_S)
            witness.ip(f"addr add {told.address}/{told.prefix_length} dev eth0")
            witness.ip(f"route add default via {told.routers[0]}")
        return told

    def until_ipv6(self) -> str:
        """Wait for the address that the kernel makes of what the router advertises; return it."""
        found = self._until(self._ipv6)
        return str(found)

    def _ipv6(self) -> str:
        said = self.own.run("ip", "-6", "-o", "addr", "show", "eth0", "scope", "global").stdout
        routed = self.own.run("ip", "-6", "route", "show", "default").stdout
        made = said and "tentative" not in said and routed
        return said.split("inet6 ")[1].partition("/")[0] if made else ""

    def reaches(self, address: str) -> bool:
        """Tell whether an address answers."""
        command = ("ping", "-c1", "-i0.2", f"-w{PATIENCE_S:.0f}", "-q", "-n", address)
        return self.own.run(*command, check=False).returncode == 0

    def found(self, name: str, server: str, kind: int = 1) -> list[str]:
        """Ask a name server for addresses of a name: those of IPv4, or of IPv6 with kind 28."""
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        labels = b"".join(bytes([len(it)]) + it.encode() for it in name.split("."))
        asked = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0"
        asked += struct.pack("!HH", kind, 1)

        def ask() -> list[str] | None:
            with socket.socket(family, socket.SOCK_DGRAM) as it:
                it.settimeout(_ASK_S)
                it.sendto(asked, (server, 53))
                with contextlib.suppress(TimeoutError):
                    return _addresses(it.recv(4096), len(asked))
            return None

        with self.own.enter():
            said = self._until(ask, is_there=lambda it: it is not None)
        return list(said)

    @staticmethod
    def _until(look: Callable[[], Any], *, is_there: Callable[[Any], bool] = bool) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not is_there(seen := look()):
            assert time.monotonic() < deadline, "it never came"
            time.sleep(0.02)
        return seen


def _opened(tap: str) -> int:
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(descriptor, TUNSETIFF, struct.pack("=16sH22x", tap.encode(), IFF_TAP | IFF_NO_PI))
    return descriptor


def _addresses(answer: bytes, at: int) -> list[str]:
    """Return the addresses of an answer, whose records begin ``at`` the end of the question."""
    found = []
    if answer[3] & 15 != _NAME_THERE:
        return []
    for _record in range(int.from_bytes(answer[6:8])):
        kind, _class, _ttl, size = struct.unpack_from("!HHIH", answer, at + 2)  # after a pointer
        value = answer[at + 12 : at + 12 + size]
        if kind in _ADDRESS:
            found.append(socket.inet_ntop(socket.AF_INET6 if size == 16 else socket.AF_INET, value))
        at += 12 + size
    return found


@contextlib.contextmanager
def guest(host: PrivateHost, tap: str, mac: str) -> Iterator[Guest]:
    """Provide a guest on a tap."""
    made = Guest(host, tap, mac)
    try:
        yield made
    finally:
        made.close()
