# SPDX-License-Identifier: Apache-2.0
"""What can be asked about gateways, and what is to be kept in mind to take one away again.

The table of a bridge is the only place where it stands: whose VIFs use it, what was asked for, and
what the host had before.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from os_vif.engine.observed import AROUND, LAST, Question
from os_vif.engine.topology import parse_mark
from os_vif.host.gateways.resources import Gateway, Network, own_address
from os_vif.host.routes.questions import Address

NOTE = "gateway="
"""How the word behind a device's mark begins that names the bridge whose gateway its VIF uses: so
it is left when nobody describes it any more."""

TABLE = "os-vif-"
"""How the names of our tables begin, in the family inet; the bridge's name follows."""

COMMENT = "os-vif gateway of "
"""How the comment begins by which a table is known as ours; the bridge's name follows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """A setting that a gateway needs.

    :ivar path: below ``/proc/sys/net``.
    :ivar value: what it needs.
    :ivar was: what was there before; None for just that, or for what another gateway gives back.
    """

    path: str
    value: int
    was: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Served:
    """What the table of a bridge tells.

    :ivar bridge: the bridge.
    :ivar users: of the VIFs that use it, in order: their marks.
    :ivar addresses: as :class:`.Gateway` has them.
    :ivar nat: the same.
    :ivar outs: the devices by which the outside is reached.
    :ivar added: of the addresses, those that the bridge had not before.
    :ivar settings: in the order in which they are set; taken back in reverse.
    :ivar whole: whether its rules are as they should be.
    :ivar ours: whether os-vif has made it.
    """

    bridge: str
    users: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    nat: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    whole: bool = True
    ours: bool = True

    @property
    def gateway(self) -> Gateway:
        """What it is of."""
        return _gateway(self.bridge, self.addresses, self.nat)

    def user(self, vif: str) -> str:
        """Return the mark of a VIF that uses it; '' for one that does not."""
        return next((it for it in self.users if vif_of(it) == vif), "")

    def without(self, vifs: Iterable[str]) -> tuple[str, ...]:
        """Return the marks of the others."""
        gone = set(vifs)
        return tuple(it for it in self.users if vif_of(it) not in gone)


@functools.lru_cache(maxsize=4096)  # each look at a table tells the same ones
def vif_of(mark: str) -> str:
    """Return the id of the VIF that a mark is of; '' for none."""
    found = parse_mark(mark)
    return found.vif_id if found is not None else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """A network that the host has already.

    :ivar network: in CIDR form.
    :ivar device: by which; '' for none.
    :ivar what: ``route`` or ``address``.
    """

    network: str
    device: str
    what: str

    def overlaps(self, network: Network) -> bool:
        """Tell whether it has addresses of another one."""
        own = ipaddress.ip_network(self.network)
        return own.version == network.version and own.overlaps(network)


@dataclasses.dataclass(frozen=True, slots=True)
class Routing:
    """How the host forwards, as far as a gateway asks.

    :ivar settings: by their path below ``/proc/sys/net``; those that the kernel has.
    :ivar writable: whether anybody can change them here.
    """

    settings: Mapping[str, int]
    writable: bool = True


@functools.lru_cache(maxsize=1024)
def _gateway(bridge: str, addresses: tuple[str, ...], nat: tuple[str, ...]) -> Gateway:
    return Gateway(bridge=bridge, addresses=addresses, nat=nat)


def _take(answers: dict[str, Served | None], rows: list[Any]) -> None:
    for bridge, found in rows:
        answers[bridge] = None if found is None else served_of(bridge, found)


def served_of(bridge: str, row: Any) -> Served:
    """Return what crossed the boundary as :func:`row_of` has it."""
    users, addresses, nat, outs, added, settings, whole, ours = row
    return Served(
        bridge,
        users=tuple(users),
        addresses=tuple(addresses),
        nat=tuple(nat),
        outs=tuple(outs),
        added=tuple(added),
        settings=tuple(Setting(*it) for it in settings),
        whole=whole,
        ours=ours,
    )


def row_of(served: Served) -> list[Any]:
    """Return as plain data what a table tells."""
    lists = served.users, served.addresses, served.nat, served.outs, served.added
    settings = [[it.path, it.value, it.was] for it in served.settings]
    return [*map(list, lists), settings, served.whole, served.ours]


TABLES: Question[str, Served | None] = Question(
    "gateway_tables", AROUND, privileged=True, take=_take, sees="gateways' NAT tables"
)
"""Of a bridge: what its table tells; None for none; absent where nobody looked."""

ROUTING: Question[str, Routing] = Question("gateway_routing", LAST)
"""Asked of a bridge and the versions of IP that it is a gateway for; by bridge."""

NETWORKS: Question[str, tuple[Taken, ...]] = Question("gateway_networks", LAST)
"""Asked of a bridge and a network that is to be on it; by network, what of the host's overlaps it
on other devices.  One that the bridge has is not looked for."""

MUTE: Question[int, tuple[Taken, ...]] = Question("gateway_mute_networks", LAST)
"""Of a version of IP: the networks that the host reaches by devices where it forwards nothing, and
so no answer to a guest; without default routes."""

QUESTIONS = (TABLES, ROUTING, NETWORKS, MUTE)
"""All that can be asked."""


def networks_of(addresses: Iterable[str]) -> list[Network]:
    """Return the networks that addresses are in."""
    return [own_address(it).network for it in addresses]


OURS = 118
"""IFA_PROTO of addresses that a gateway has added (``v``; linux/if_addr.h leaves those from 4 on to
programs, since Linux 5.18).  So they are known though a table was lost, as it is with ``nft flush
ruleset``, which each restart of nftables.service runs."""


def given(local: str) -> Address:
    """Return the address that a bridge gets as a gateway."""
    return Address(local=local, proto=OURS)


def added_to(served: Served, wanted: Iterable[str], there: Iterable[Address]) -> tuple[str, ...]:
    """Return the addresses that a bridge has of us, or will have: noted, missing, known as ours.

    :param served: what its table tells
    :param wanted: those that it is to have; of an earlier description there may be others
    :param there: those that it has
    """
    have = {it.local: it.proto for it in there}
    ours = [it for it in wanted if have.get(it, OURS) == OURS]
    ours += [local for local, proto in have.items() if proto == OURS]
    return tuple(dict.fromkeys((*served.added, *ours)))


def at_the_cost_of(vifs: Sequence[str], lost: Iterable[str]) -> str:
    """Return in words what VIFs lose when another one is plugged.

    :param vifs: their ids
    :param lost: what they have now
    """
    use = f"and {len(vifs) - 1} more use" if vifs[1:] else "uses"
    return (
        f"VIF {vifs[0]} {use} {', '.join(lost)} there, which goes when this one is plugged: a "
        "bridge has one network; describe it alike for all, or take another bridge"
    )


def table_of(bridge: str) -> str:
    """Return the name of a bridge's table."""
    return TABLE + bridge


def comment_of(bridge: str) -> str:
    """Return the comment by which a bridge's table is known as ours."""
    return COMMENT + bridge


def noted_on(alias: str) -> list[str]:
    """Return the bridges whose gateway the VIF of a device with this alias uses."""
    words = alias.split(" ") if parse_mark(alias) is not None else []
    return [word.removeprefix(NOTE) for word in words if word.startswith(NOTE)]


# --- what the kernel asks for to forward ----------------------------------------------------------

FORWARD_IPV6 = "ipv6/conf/all/forwarding"
FORCE = "force_forwarding"
"""Of a device, whether it forwards IPv6 though the host does not (Linux 6.17)."""

_LISTENS, _LISTENS_AS_ROUTER = 1, 2
"""``accept_ra``: while the host forwards nothing; always."""


def settings_of(
    wanted: Gateway,
    have: Mapping[str, int],
    ways: Mapping[int, str],
    noted: Iterable[Setting] = (),
) -> list[tuple[str, int]]:
    """Return the settings that a gateway needs, by path, in the order in which they are set.

    IPv4 is forwarded where the device by which a packet came forwards: the bridge, and, for the
    answers, the device by which the outside is reached.  IPv6 is where the whole host does, which
    then is a router and learns no routes by itself; or, since Linux 6.17, where the device that a
    packet came by is forced to.  Guests give up a router that does not call itself one (RFC 4861,
    7.2.5), as the bridge does by its own ``forwarding``.

    :param have: those that there are; of a bridge that is yet to be made, none
    :param ways: by version of IP, the device by which the outside is reached
    :param noted: those that it has set; of a device that is gone, nothing is needed
    """
    bridge, versions = wanted.bridge, wanted.versions()
    kept = [
        (it.path, it.value)
        for it in noted
        # What is neither, somebody else has set since: the gateway of that bridge, say.
        if it.was is not None and have.get(it.path) in (it.value, it.was)
        if is_needed(wanted, it.path)
    ]
    found: list[tuple[str, int]] = []
    if 4 in versions:
        devices = dict.fromkeys(filter(None, (bridge, ways.get(4, ""))))
        found += [(f"ipv4/conf/{device}/forwarding", 1) for device in devices]
    if any(":" in it for it in wanted.addresses):
        # A guest must not give the host a default route.
        found += [(f"ipv6/conf/{bridge}/disable_ipv6", 0), (f"ipv6/conf/{bridge}/accept_ra", 0)]
    if 6 in versions:
        found += _forwarding_ipv6(bridge, have, ways.get(6, ""))
    return list(dict.fromkeys([*kept, *found]))


def is_needed(wanted: Gateway, path: str) -> bool:
    """Tell whether a gateway that has set something once needs it still."""
    own = [f"ipv6/conf/{wanted.bridge}/{it}" for it in ("disable_ipv6", "accept_ra")]
    if path in own:
        return any(":" in it for it in wanted.addresses)
    return (4 if path.startswith("ipv4/") else 6) in wanted.versions()


def _forwarding_ipv6(bridge: str, have: Mapping[str, int], way: str) -> list[tuple[str, int]]:
    its_own = (f"ipv6/conf/{bridge}/forwarding", 1)
    if f"ipv6/conf/default/{FORCE}" in have:
        devices = dict.fromkeys(filter(None, (bridge, way)))
        return [its_own, *((f"ipv6/conf/{device}/{FORCE}", 1) for device in devices)]
    others = [] if have.get(FORWARD_IPV6) else _kept_as_they_are(bridge, have)
    return [*others, (FORWARD_IPV6, 1), its_own]


def _kept_as_they_are(bridge: str, have: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return what has other devices go on as they did when the whole host becomes a router."""
    devices = [path.split("/")[2] for path in have if path.startswith("ipv6/conf/")]
    found = []
    for device in dict.fromkeys(devices):
        forwarding, accept = (f"ipv6/conf/{device}/{it}" for it in ("forwarding", "accept_ra"))
        if device in ("all", bridge):
            continue
        if have.get(forwarding):
            # The kernel sets that of each device with that of all, and so takes it back.
            found.append((forwarding, 1))
        elif have.get(accept) == _LISTENS and device != "default":
            found.append((accept, _LISTENS_AS_ROUTER))
    return found


def ways_among(found: Mapping[int, str | None]) -> dict[int, str]:
    """Return those devices by which the outside is reached whose names can be written down."""
    return {version: it for version, it in found.items() if it and it.isprintable()}


def outs_of(wanted: Gateway, ways: Mapping[int, str]) -> tuple[str, ...]:
    """Return the devices by which the outside is reached."""
    return tuple(sorted({ways[version] for version in wanted.versions() if version in ways}))


def missing_settings(
    wanted: Gateway,
    have: Mapping[str, int],
    ways: Mapping[int, str],
    noted: Iterable[Setting] = (),
) -> list[tuple[str, int]]:
    """Return those of a gateway's settings that are not so."""
    return [it for it in settings_of(wanted, have, ways, noted) if have.get(it[0]) != it[1]]


def noted_settings(
    served: Served, wanted: Iterable[tuple[str, int]], have: Mapping[str, int]
) -> tuple[Setting, ...]:
    """Return the settings that a table is to tell of, with what there is before they are set.

    :param served: what it tells already
    :param wanted: as :func:`settings_of` returns them
    """
    found = {it.path: it for it in served.settings}
    for path, value in wanted:
        now, noted = have.get(path), found.get(path)
        was = noted.was if noted is not None else None
        if was is None and (now != value or _is_of_another_router(served.bridge, path)):
            was = now
        found[path] = Setting(path, value, was)
    return tuple(found.values())


def heirs_of(
    served: Mapping[str, Served], bridge: str, gone: Iterable[Setting]
) -> dict[str, Served]:
    """Return those gateways that give back, from now on, what they need of another one's.

    :param served: all of them, by bridge
    :param bridge: of the other one
    :param gone: what that one does not need any more
    """
    heirs: dict[str, Served] = {}
    for it in gone:
        for name, other in served.items():
            there = [one for one in heirs.get(name, other).settings if one.path == it.path]
            if name == bridge or not there:
                continue
            heirs[name] = _inherits(heirs.get(name, other), there[0], it)
            break
    return heirs


def _inherits(heir: Served, own: Setting, gone: Setting) -> Served:
    if gone.was is None or own.was not in (None, gone.value):
        return heir  # what it found was not the other one's doing
    settings = tuple(
        dataclasses.replace(it, was=gone.was) if it is own else it for it in heir.settings
    )
    return dataclasses.replace(heir, settings=settings)


def _is_of_another_router(bridge: str, path: str) -> bool:
    """Tell whether a setting is only noted: the kernel takes it back with that of all."""
    return is_ipv6_forwarding(path) and path not in (
        FORWARD_IPV6,
        f"ipv6/conf/{bridge}/forwarding",
    )


def is_ipv6_forwarding(path: str) -> bool:
    """Tell whether this is where a device forwards IPv6."""
    return path.startswith("ipv6/") and path.endswith("/forwarding")
