# SPDX-License-Identifier: Apache-2.0
"""What dnsmasq is given to read, and what it writes: its configuration, reservations and leases.

Nothing that comes in here can mean anything else than it says: the resources have seen to that.

Sources: dnsmasq(8) of 2.89; its lease file as lease.c writes it.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Iterable, Iterator

from os_vif import exception
from os_vif.engine.topology import parse_mark
from os_vif.host.dnsmasq.questions import Reserved
from os_vif.host.dnsmasq.resources import DOMAIN, Dnsmasq, Reservation, ServedSubnet

LEASE = "12h"
"""How long guests keep their addresses without asking again."""

_ADVERTISED_S, _ROUTER_S = 600, 1800
"""Seconds between advertisements that nobody asks for, and that a router is one (RFC 4861)."""
_LEASES_MOST = 65536


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where and as whom a server runs.

    :ivar folder: path of its own folder.
    :ivar user: name of whom it becomes.
    :ivar group: the same; '' to keep what it has.
    """

    folder: str
    user: str
    group: str


def configuration(wanted: Dnsmasq, place: Place) -> str:
    """Return the text of dnsmasq's configuration file, the only one it reads."""
    return "\n".join([f"# Made by os-vif for {wanted.bridge}.", *_lines(wanted, place)]) + "\n"


def _lines(wanted: Dnsmasq, place: Place) -> Iterator[str]:
    yield from (
        # It is watched from outside, and its words go where it was started.
        *("keep-in-foreground", "pid-file=", "log-facility=-"),
        *("quiet-dhcp", "quiet-dhcp6", "quiet-ra"),
        *(f"user={place.user}", f"group={place.group}"),
        *(f"interface={wanted.bridge}", "except-interface=lo", "bind-dynamic"),
        # Of the host's own files nothing is told to guests.
        *("no-hosts", "domain-needed", "bogus-priv"),
        *(f"domain={DOMAIN}", f"local=/{DOMAIN}/"),
        # A guest that knows an address from elsewhere is told at once that it is wrong here; and
        # an address that is free needs no three seconds of asking who has it.
        *("dhcp-authoritative", "no-ping"),
        f"dhcp-leasefile={place.folder}/{LEASES}",
        f"dhcp-hostsdir={place.folder}/{HOSTS}",
        f"dhcp-option=option:mtu,{wanted.mtu}",
    )
    servers = dict.fromkeys(server for subnet in wanted.subnets for server in subnet.dns)
    yield from (f"server={server}" for server in servers)
    if servers or not wanted.forwards:
        yield "no-resolv"
    room = sum(
        int(last) - int(first) + 1
        for subnet in wanted.subnets
        for first, last in (subnet.ranges() if subnet.dhcp else ())
    )
    yield f"dhcp-lease-max={min(room, _LEASES_MOST)}"
    six = [subnet for subnet in wanted.subnets if subnet.network.version == 6]
    for number, subnet in enumerate(wanted.subnets):
        yield from _ipv6(subnet) if subnet in six else _ipv4(subnet, f"subnet{number}")
    if six:
        router = _ROUTER_S if any(subnet.gateway for subnet in six) else 0
        yield "enable-ra"
        yield f"ra-param={wanted.bridge},mtu:{wanted.mtu},{_ADVERTISED_S},{router}"


def _ipv4(subnet: ServedSubnet, tag: str) -> Iterator[str]:
    if not subnet.dhcp:
        return
    for first, last in subnet.ranges():
        yield f"dhcp-range=set:{tag},{first},{last},{subnet.network.netmask},{LEASE}"
    router = f",{subnet.gateway}" if subnet.gateway else ""
    yield f"dhcp-option=tag:{tag},option:router{router}"
    if subnet.routes:
        # Who is told these does not look at the router any more (RFC 3442).
        every = [*subnet.routes, *([("0.0.0.0/0", subnet.gateway)] if subnet.gateway else [])]
        told = ",".join(f"{destination},{via}" for destination, via in every)
        yield f"dhcp-option=tag:{tag},option:classless-static-route,{told}"


def _ipv6(subnet: ServedSubnet) -> Iterator[str]:
    network = subnet.network
    if not subnet.dhcp:
        yield f"dhcp-range={network.network_address},ra-stateless,ra-names,64,{LEASE}"
        return
    for first, last in subnet.ranges():
        yield f"dhcp-range={first},{last},{network.prefixlen},{LEASE}"


HOSTS, LEASES = "hosts", "leases"
"""In a server's folder: the folder of what is reserved, a file a VIF; and what it keeps."""


# --- reservations ---------------------------------------------------------------------------------


def reservation(wanted: Reserved) -> str:
    """Return the text of a VIF's file."""
    four = [it for it in wanted.addresses if ":" not in it]
    six = [f"[{it}]" for it in wanted.addresses if ":" in it]
    name = [wanted.name] if wanted.name else []
    # One line holds one address of IPv4, and of IPv6 any.
    lines = [",".join([wanted.mac, *four[:1], *six, *name])]
    lines += [",".join([wanted.mac, it, *name]) for it in four[1:]]
    return "\n".join([f"# {wanted.mark}", *lines]) + "\n"


def reserved(vif: str, text: str) -> Reserved | None:
    """Return what a VIF's file reserves; None if it is none that we have written."""
    first, *lines = text.splitlines()[:64] or [""]
    mark = first.removeprefix("# ")
    told = parse_mark(mark)
    if told is None or told.vif_id != vif or not lines:
        return None
    addresses: dict[str, None] = {}
    mac = name = ""
    for line in lines:
        mac, *words = line.split(",")
        for word in words:
            bare = word.strip("[]")
            if _is_address(bare):
                addresses[bare] = None
            else:
                name = word
    try:
        Reservation(bridge="any", mac=mac, addresses=tuple(addresses), name=name)
    except exception.InvalidField:
        return None
    found = Reserved(mark, mac, tuple(addresses), name)
    return found if reservation(found) == text else None


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


# --- leases ---------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Lease:
    """An address that a guest has.

    :ivar line: as dnsmasq keeps it.
    :ivar mac: the guest's; of IPv6, as far as the guest's identifier holds it; else ''.
    :ivar client: the guest's identifier, hexadecimal with colons; '' for none.
    :ivar association: of IPv6, the number of the guest's association (IAID); else -1.
    """

    line: str
    address: str
    mac: str
    client: str
    association: int = -1


_DUID = "duid "
"""What the line begins with that holds the server's own identifier for DHCPv6."""
_LINK_LAYER = ("00:01:", "00:03:")
"""Kinds of identifiers that end with a MAC address (RFC 8415, 11)."""


def leases(text: str) -> list[Lease]:
    """Return what is given out; what cannot be read is left out."""
    found = []
    for line in text.splitlines():
        words = line.split(" ")
        if len(words) != 5 or not _is_address(words[2]):
            continue
        _expires, who, address, _name, client = words
        if ":" not in address:
            # A hardware type is told where it is not Ethernet.
            mac = who.lower() if len(who) == 17 else ""
            found.append(Lease(line, address, mac, "" if client == "*" else client))
        elif who.isdecimal():
            mac = client[-17:] if client.startswith(_LINK_LAYER) else ""
            found.append(Lease(line, address, mac, client, int(who)))
    return found


def server_duid(text: str) -> str:
    """Return the server's own identifier, hexadecimal with colons; '' for none yet."""
    lines = (it for it in text.splitlines() if it.startswith(_DUID))
    return next(lines, _DUID).removeprefix(_DUID)


def without(text: str, gone: Iterable[Lease]) -> str:
    """Return a lease file's text without some of what is given out."""
    lines = {it.line for it in gone}
    return "".join(f"{line}\n" for line in text.splitlines() if line not in lines)


def last_words(said: Iterable[str]) -> str:
    """Return what dnsmasq has said of why it does not go on."""
    lines = [line.strip() for line in said if line.strip()]
    own = [line for line in lines if line.startswith("dnsmasq: ")]
    return (own or lines or ["it said nothing"])[-1].removeprefix("dnsmasq: ")
