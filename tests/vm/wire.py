# SPDX-License-Identifier: Apache-2.0
"""Who is on the network that a guest's card is on, and asks it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

from tests import witness
from tests.conftest import PrivateHost

PATIENCE = 60
"""Seconds for an answer: the guest may have to boot first."""


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A host, and the device behind which the card of a guest must be.

    :ivar number: of the card: the last byte of its MAC address, which its own addresses have too
        (see ``init`` beside this)
    :ivar mtu: of the way to it, in bytes
    """

    host: PrivateHost
    device: str
    number: int
    mtu: int

    @property
    def groups(self) -> tuple[str, str]:
        """The multicast groups that this alone is in, and answers in."""
        return f"239.1.0.{self.number}", "ff02::1:ff00:1"

    def take_addresses(self) -> None:
        """Have the addresses, the MTU and the groups of the card's network."""
        number = self.number
        self.host.run(
            *("ip", "-batch", "-"),
            input=f"link set {self.device} up mtu {self.mtu}\n"
            f"addr add 10.0.{number}.1/24 dev {self.device}\n"
            f"addr add {self.groups[0]}/32 dev {self.device} autojoin\n"
            f"addr add 2001:db8:0:{number}::1/64 dev {self.device} nodad\n",
        )
        answer = "echo 0 > /proc/sys/net/ipv4/icmp_echo_ignore_broadcasts"
        self.host.run("sh", "-c", answer)

    def reaches(self, address: str, *options: str, seconds: int = PATIENCE) -> bool:
        """Tell whether an address answers a ping within some time."""
        command = ("ping", "-c1", "-i0.2", f"-w{seconds}", "-q", "-n", "-I", self.device)
        return self.host.run(*command, *options, address, check=False).returncode == 0

    def assert_answers(self) -> None:
        """Fail unless the card answers for itself and its groups, by packets as long as may be.

        It has to be found first: by ARP, and by neighbour discovery in its group.
        """
        number = self.number
        self.host.run("ip", "neigh", "flush", "dev", self.device)
        for address, headers in (
            (f"10.0.{number}.2", 28),
            (f"2001:db8:0:{number}::2", 48),
            (f"239.0.0.{number}", 28),
            ("ff02::1:ff00:2", 48),
        ):
            assert self.reaches(address), f"{address} does not answer on {self.device}"
            longest = ("-M", "do", "-s", str(self.mtu - headers))
            assert self.reaches(address, *longest), f"{address}: nothing of {self.mtu} bytes"


@contextlib.contextmanager
def wired(number: int, mtu: int) -> Iterator[Neighbour]:
    """Provide a host at the other end of a wire, whose end here is called ``wireNUMBER``."""
    far = PrivateHost()
    near = f"wire{number}"
    try:
        witness.ip(
            f"""
            link add {near} mtu {mtu} type veth peer name eth0 netns {far.pid}
            link set {near} up
            """
        )
        made = Neighbour(far, "eth0", number, mtu)
        made.take_addresses()
        yield made
    finally:
        far.close()
