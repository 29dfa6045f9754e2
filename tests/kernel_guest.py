# SPDX-License-Identifier: Apache-2.0
"""A guest with a real kernel: a network namespace whose ``eth0`` is the guest's end of a device.

Frames go to and fro between the descriptor that a hypervisor would have and a tap over there, so
what the guest's kernel does not get, or does not answer, no guest would.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator

from tests import guest
from tests.conftest import PrivateHost

ANNOUNCE_PAUSES = (0.05, 0.15, 0.25, 0.35)
"""Seconds, as QEMU's announce-initial and announce-step have them."""


class KernelGuest:
    """A guest that has ``eth0``, up, with these addresses, and forwards nothing.

    :param descriptor: the guest's end, with a virtio header before each frame; it is closed here.
    :param mac: of ``eth0``.
    :param addresses: with their prefixes.
    :param hasty: it does not wait to see whether others have its addresses (RFC 4862, DAD), nor to
        ask for a router.
    :ivar host: the guest's inside, to run things in.
    """

    def __init__(self, descriptor: int, mac: str, *addresses: str, hasty: bool = False) -> None:
        self._outer = descriptor
        self.host = PrivateHost()
        if hasty:
            # The first thing that it says may be lost.
            hasty_by = {
                "accept_dad": 0,
                "router_solicitation_delay": 0,
                "router_solicitation_interval": 1,
            }
            words = (f"net.ipv6.conf.default.{name}={it}" for name, it in hasty_by.items())
            self.host.run("sysctl", "-qw", *words)
        with self.host.enter():
            self._inner = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
            flags = guest.IFF_TAP | guest.IFF_NO_PI | guest.IFF_VNET_HDR
            fcntl.ioctl(self._inner, guest.TUNSETIFF, struct.pack("=16sH22x", b"eth0", flags))
        lines = [f"link set eth0 address {mac} up"]
        lines += [f"addr add {it} dev eth0{' nodad' * (':' in it)}" for it in addresses]
        self.host.run("ip", "-batch", "-", input="\n".join(lines) + "\n")
        self._end, self._ended = os.pipe()
        for one in (self._outer, self._inner):
            os.set_blocking(one, False)
        self._elsewhere, self._closing = threading.Event(), False
        self._relay = threading.Thread(target=self._run)
        self._relay.start()

    def _run(self) -> None:
        while not self._closing:
            self._relay_between(self._outer, self._inner)

    def _relay_between(self, outer: int, inner: int) -> None:
        """Relay, until something else is to be done."""
        other = {outer: inner, inner: outer}
        while True:
            for one in select.select([*other, self._end], [], [])[0]:
                if one == self._end:
                    os.read(self._end, 1)
                    self._elsewhere.set()
                    return
                try:
                    os.write(other[one], os.read(one, 70000))
                except OSError as error:
                    # EIO: the other one is not up, and the frame is lost.
                    if error.errno == errno.EBADFD and one == outer:
                        del other[outer]  # its device is gone: it is readable for ever

    def move(self, descriptor: int, announced: bytes = b"") -> None:
        """Go on with another descriptor, as a guest does that migrates; the other one is closed.

        :param announced: a frame that goes out over there, as a hypervisor sends it
        """
        before, self._outer = self._outer, descriptor
        os.set_blocking(descriptor, False)
        self._elsewhere.clear()
        os.write(self._ended, b"m")
        assert self._elsewhere.wait(30), "the relay does not move"
        os.close(before)
        if announced:
            self.announce(announced)

    def announce(self, frame: bytes) -> None:
        """Send a frame that is not the guest's kernel's, five times, as QEMU does (``announce``).

        The first may be lost: a port hears nothing in the moment in which its tap is opened.
        """
        for pause in (*ANNOUNCE_PAUSES, 0.0):
            os.write(self._outer, guest.VNET_HEADER + frame)
            time.sleep(pause)

    def close(self) -> None:
        """Switch it off; once is enough."""
        if self._closing:
            return
        self._closing = True
        os.close(self._ended)
        self._relay.join()
        for one in (self._outer, self._inner, self._end):
            os.close(one)
        self.host.close()

    def reaches(self, address: str, seconds: int = 30) -> bool:
        """Tell whether an address answers a ping within some time."""
        return reaches(self.host, address, seconds)

    @contextlib.contextmanager
    def joined(self, group: str, port: int = 5353) -> Iterator[socket.socket]:
        """Provide a socket that has joined a group of IP multicast on ``eth0``."""
        six = ":" in group
        with contextlib.ExitStack() as stack:
            with self.host.enter():
                index = socket.if_nametoindex("eth0")
                family = socket.AF_INET6 if six else socket.AF_INET
                hearing = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                address = socket.inet_pton(family, group)
                if six:
                    wanted = address + struct.pack("=I", index)
                    hearing.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, wanted)
                else:
                    wanted = address + struct.pack("=4xi", index)
                    hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, wanted)
                hearing.bind((group, port, 0, index) if six else (group, port))
            yield hearing

    def hears(self, group: str, sender: PrivateHost, device: str, seconds: float = 30) -> bool:
        """Tell whether what a device of another host's says to a group arrives here."""
        with self.joined(group) as hearing:
            for _attempt in range(int(seconds / 0.25)):
                say(sender, device, group)
                if select.select([hearing], [], [], 0.25)[0]:
                    return hearing.recv(100) == b"is anybody here"
        return False


def say(sender: PrivateHost, device: str, group: str, port: int = 5353) -> None:
    """Send something to a group of IP multicast from a device of a host's."""
    with sender.enter():
        index = socket.if_nametoindex(device)
        six = ":" in group
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as saying:
            if six:
                saying.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            else:
                through = struct.pack("=8xi", index)
                saying.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, through)
            saying.sendto(b"is anybody here", (group, port))


def reaches(host: PrivateHost, address: str, seconds: int = 30) -> bool:
    """Tell whether an address answers a ping from a host within some time."""
    said = host.run("ping", "-c1", "-i0.2", f"-w{seconds}", "-q", "-n", address, check=False)
    return said.returncode == 0


@contextlib.contextmanager
def kernel_guest(
    descriptor: int, mac: str, *addresses: str, hasty: bool = False
) -> Iterator[KernelGuest]:
    """Provide a guest with a real kernel for a while."""
    made = KernelGuest(descriptor, mac, *addresses, hasty=hasty)
    try:
        yield made
    finally:
        made.close()
