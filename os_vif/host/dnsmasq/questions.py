# SPDX-License-Identifier: Apache-2.0
"""What can be asked about the servers on bridges, and the shape of the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from os_vif.engine.observed import AROUND, Question
from os_vif.host.dnsmasq.resources import Reservation, ServedSubnet
from os_vif.host.links.questions import words_behind

NOTE = "dhcp="
"""What the word begins with behind a VIF's mark that names the bridge it has a reservation on."""

DNS, DHCP, DHCPV6 = 53, 67, 547
"""The ports of a server."""


@dataclasses.dataclass(frozen=True, slots=True)
class Reserved:
    """What is reserved for a VIF.

    :ivar mark: the VIF's, with what the guest is called.
    :ivar addresses: IPv4's before IPv6's.
    """

    mark: str
    mac: str
    addresses: tuple[str, ...]
    name: str

    def __post_init__(self) -> None:
        ordered = tuple(sorted(self.addresses, key=lambda it: ":" in it))
        object.__setattr__(self, "addresses", ordered)


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A socket of somebody else's where a server's would be.

    :ivar port: of UDP, or of TCP.
    :ivar address: that it is bound to; ``0.0.0.0`` and ``::`` are all there are.
    :ivar process: whose it is, as in ``dnsmasq (pid 812)``; '' for one not to be seen.
    """

    port: int
    address: str
    process: str


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """The server on a bridge, or what there is of one.

    :ivar running: it runs.
    :ivar subnets: that it was started with; () if none ever was.
    :ivar mtu: bytes, the same.
    :ivar forwards: as :class:`.Dnsmasq` has it.
    :ivar index: of the bridge that it was started on.
    :ivar outdated: its configuration is written otherwise by now, whatever it serves.
    :ivar reserved: by the ids of VIFs.
    :ivar leases: MAC ('' for what has none) and address of each that it has given out.
    :ivar unusable: why none can be started on this host; '' for nothing.
    :ivar taken: while none runs, what is in its place.
    """

    running: bool = False
    subnets: tuple[ServedSubnet, ...] = ()
    mtu: int = 0
    forwards: bool = False
    index: int = 0
    outdated: bool = False
    reserved: Mapping[str, Reserved] = dataclasses.field(default_factory=dict)
    leases: tuple[tuple[str, str], ...] = ()
    unusable: str = ""
    taken: tuple[Taken, ...] = ()


def plain(subnet: ServedSubnet) -> dict[str, Any]:
    """Return a subnet as steps have it."""
    told = dataclasses.asdict(subnet)
    return {**told, "dns": list(subnet.dns), "routes": [list(it) for it in subnet.routes]}


def subnet_of(told: Mapping[str, Any]) -> ServedSubnet:
    """Return the subnet that :func:`plain` has told; raises InvalidField."""
    routes = tuple((destination, via) for destination, via in told["routes"])
    return ServedSubnet(**{**told, "dns": tuple(told["dns"]), "routes": routes})


def _take(answers: dict[str, Server], rows: list[Any]) -> None:
    for bridge, told in rows:
        reserved = {
            vif: Reserved(mark, mac, tuple(addresses), name)
            for vif, (mark, mac, addresses, name) in told["reserved"].items()
        }
        answers[bridge] = Server(
            **{
                **told,
                "subnets": tuple(map(subnet_of, told["subnets"])),
                "reserved": reserved,
                "leases": tuple((mac, address) for mac, address in told["leases"]),
                "taken": tuple(Taken(*it) for it in told["taken"]),
            }
        )


SERVERS: Question[str, Server] = Question(
    "dnsmasq", AROUND, privileged=True, take=_take, sees="DHCP servers"
)
"""Of a bridge, by name: the server on it.  No answer where nobody could look."""

QUESTIONS = (SERVERS,)
"""All that can be asked."""


@dataclasses.dataclass(frozen=True, slots=True)
class Guest:
    """What a VIF was found to have.

    :ivar reservation: on which bridge, and what.
    :ivar server: as it is.
    """

    reservation: Reservation
    server: Server


def noted(alias: str) -> list[str]:
    """Return the names of the bridges that a VIF's mark tells it to have a reservation on."""
    return words_behind(alias, NOTE.removesuffix("="))


def process_on(bridge: str) -> str:
    """Return the key of the part of a picture that is the server on a bridge."""
    return f"dnsmasq on {bridge}"
