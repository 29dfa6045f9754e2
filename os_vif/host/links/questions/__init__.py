# SPDX-License-Identifier: Apache-2.0
"""What can be asked about network devices and the cards behind them, and what the answers mean.

The rules of every family that has to do with devices ask these; so what they all do with a device
that was looked at stands here too.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.engine.observed import AROUND, CARDS, DEVICES, LAST, ON_DEVICES, Host, Question
from os_vif.engine.topology import GUEST_WORD, Mark, parse_mark, with_guest, without_guest
from os_vif.host.links.questions.names import NAMED, need_own_name
from os_vif.host.links.questions.uplinks import MANAGERS, WIRELESS
from os_vif.host.links.resources import Uplink, Value

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft

SHARED_MARK = "os-vif shared"
"""What the alias of a device begins with that os-vif made for many VIFs (a bridge, a VLAN device);
words may follow."""

UNFINISHED_GROUP = 0x6F732D76
"""IFLA_GROUP of a device between its creation and its mark ("os-v"): the kernel takes a group at
creation but not an alias, so this is how one of ours is known whose maker was killed."""

LONGEST_ALIAS = 255
"""Bytes; IFALIASZ of linux/if.h counts a NUL too."""

IPV6_SETTINGS = frozenset({"disable_ipv6", "forwarding6", "proxy_ndp", "accept_ra", "proxy_delay6"})
"""Attributes that no device has on a kernel without IPv6."""

CREATED_KINDS: Mapping[str, frozenset[str]] = {
    "tap": frozenset(),
    "bridge": frozenset(),
    "veth": frozenset({"peer"}),
    "vlan": frozenset({"link", "vlan_id"}),
    "macvtap": frozenset({"link", "mode"}),
}
"""Kinds of link a step may make, with the attributes that one cannot be made without."""

ALTNAME_PREFIX = "os-vif,"
"""What an alternative name begins with that is ours: a mark of something which has no alias, or
a :func:`.tags.tag`."""

UPLINK_WORD = "uplink"
"""The word in a bridge's alias that names a device of the host's which joined it, with what the
host had on it."""

_MADE_BY = "made-by="
_LOWER_DOWN = "lower=down"


@dataclasses.dataclass(slots=True)
class Link:
    """A network device.

    :ivar name: interface name.
    :ivar index: interface index; 0 for one that is only planned.
    :ivar kind: IFLA_INFO_KIND (``tap`` and ``tun`` told apart); '' for a NIC.
    :ivar alias: IFLA_IFALIAS; '' for none.
    :ivar attributes: ``mac, mtu, up, carrier, master, group, promiscuity, link, vlan_id,
        multi_queue, queues, stp_state, forward_delay, ageing_time, mcast_snooping, arp_ignore,
        arp_announce, proxy_arp, rp_filter, forwarding, disable_ipv6, proxy_ndp, forwarding6,
        accept_ra``, ``silent_ipv6`` where IPv6 is that and not off, of a macvtap ``mode``
        (macvlan_mode, as ip-link(8) calls them) and ``allmulticast``, of a tap ``owner,
        owner_group`` (numbers of a user and a group; None for none), and ``proxy_delay,
        proxy_delay6`` where asked for (1/100 s; ``neigh/*/proxy_delay``), as far as the kind has
        them.  ``master`` and ``link`` are names.
    :ivar altnames: those of its alternative names (IFLA_PROP_LIST) that begin like a mark.
    """

    name: str
    index: int
    kind: str
    alias: str
    attributes: dict[str, Value]
    altnames: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A PCI function, as sysfs shows it (Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net).

    :ivar address: of the function.
    :ivar physical: PCI address of the physical function; '' if this is no virtual one.
    :ivar number: of the virtual function; None if this is no virtual one.
    :ivar uplink: netdev of the physical function that is a switch's uplink; '' for none.
    :ivar switch_id: phys_switch_id of the switch it belongs to; '' for none.
    :ivar representor: netdev that represents it on that switch; '' for none.
    :ivar physical_netdev: netdev of the physical function through which virtual ones are set; ''
        for none.
    :ivar physical_driver: of the physical function; '' for none.
    :ivar virtual_functions: how many virtual functions it has itself, made and numbered.
    :ivar netdevs: its own network devices, as far as this network namespace holds them.
    :ivar uppers: of those, each with what stands on it: a bridge, a bond, a VLAN device.
    :ivar driver: what drives it; '' for nothing.
    :ivar override: ``driver_override``, the only driver that may; '' for the kernel's choice.
    :ivar iommu_group: the number of its IOMMU group; '' where no IOMMU holds it.
    :ivar group_members: the other functions of that group, each with its driver.
    """

    address: str
    physical: str = ""
    number: int | None = None
    uplink: str = ""
    switch_id: str = ""
    representor: str = ""
    physical_netdev: str = ""
    physical_driver: str = ""
    virtual_functions: int = 0
    netdevs: tuple[str, ...] = ()
    uppers: tuple[tuple[str, str], ...] = ()
    driver: str = ""
    override: str = ""
    iommu_group: str = ""
    group_members: tuple[tuple[str, str], ...] = ()


# --- the questions --------------------------------------------------------------------------------


def _device_gone(answers: dict[str, Link | None], name: str) -> None:
    answers[name] = None


def _node_gone(answers: dict[str, tuple[int, int, int] | None], name: str) -> None:
    if name in answers:
        answers[name] = None


def _user_gone(answers: dict[str, tuple[str, ...]], name: str) -> None:
    for lower, users in answers.items():
        answers[lower] = tuple(user for user in users if user != name)


FUNCTIONS: Question[str, Function | None] = Question("functions", CARDS)
"""Of a PCI address: the function; None where there is none.  Its netdevs and its representor are
asked about as :data:`LINKS`."""

LINKS: Question[str, Link | None] = Question("links", DEVICES, gone=_device_gone)
"""Of an interface name: the device; None where there is none."""

USERS: Question[str, tuple[str, ...]] = Question("users", ON_DEVICES, gone=_user_gone)
"""Asked of a device by name, or by PCI address; by name, who else stands on it.  Its addresses are
asked about too."""

ACCOUNTS: Question[tuple[str, str], int | None] = Question("accounts", CARDS)
"""Of ``user`` or ``group`` and a name: the number; None where this host has none of the name."""

NODES: Question[str, tuple[int, int, int] | None] = Question("nodes", ON_DEVICES, gone=_node_gone)
"""Of a macvtap: user, group and mode of its character device; None where there is none."""

BRIDGED: Question[tuple[str, bool], None] = Question("bridged", ON_DEVICES)
"""Of a bridge, and whether it is the VIF's own: asks about its addresses, should it be ours and
have IPv6 on, and who the host is, should it have no MAC of its own yet."""

HOST_ID: Question[None, str] = Question("host_id", AROUND)
"""A text that no other host has."""

BRIDGE_PORTS: Question[str, tuple[str, ...]] = Question("bridge_ports")
"""Of a bridge of ours, by name: its ports.  These, and those that joined it with what the host had
on them, are asked about as :data:`RETURNED`; and who stands on it, and its routes."""

RETURNED: Question[str, None] = Question("returned")
"""Of a device that is to be again as it was: asks about its routes, who stands on it, and, of a
VLAN device, on the one below it."""

STANDING: Question[str, None] = Question("standing", AROUND)
"""The second part of :data:`RETURNED`, of those who stand on a device, which then are known."""

TAGGED: Question[str, tuple[str, ...]] = Question("tagged", DEVICES)
"""Of a VIF's id: the names of the devices that carry its :func:`.tags.tag`, which are among
:data:`LINKS` then.  No answer on a kernel that knows no alternative names."""

DELAYS: Question[str, None] = Question("delays", ON_DEVICES)
"""Of a device: writes the delays before a proxied answer among its attributes."""

MOVES: Question[tuple[str, str], None] = Question("moves", ON_DEVICES)
"""Of an uplink and its bridge: asks about their addresses, and their routes if need be."""

MOVED: Question[tuple[str, str], None] = Question("moved", LAST - 1)
"""The second part of :data:`MOVES`, once the addresses are known."""

JOINED: Question[tuple[str, str], None] = Question("joined", LAST + 1)
"""The last part of :data:`MOVES`, once the uplink's routes are known: only where there are any do
those of the bridge count, which may have some that nobody could move."""


# --- what the answers mean ------------------------------------------------------------------------


def need(host: Host, name: str) -> Link:
    """Return a device that only the host's operator can provide.

    :raises NetworkInterfaceNotFound: it is not there.
    :raises UnusableDevice: its own name is none that every tool takes.
    """
    link = host[LINKS][name]
    if link is None:
        raise exception.NetworkInterfaceNotFound(interface=name)
    need_own_name(name)
    return link


def existing(host: Host, name: str) -> Link:
    """Return a device that a step is for, which its plan has seen."""
    link = host[LINKS].get(name)
    if link is None:
        raise LookupError(f"a step for {name}, which is not there")
    return link


def netdev_behind(host: Host, address: str) -> str:
    """Return the name of the network device of a PCI function, which must have one.

    :raises UnusableDevice: it has none, or several.
    """
    found = host[FUNCTIONS].get(address)
    if found is None:
        raise unusable(address, "this host has no such PCI device")
    if not found.netdevs:
        driver = f"its driver is {found.driver}" if found.driver else "it has no driver"
        raise unusable(
            address,
            f"there is no network device behind it in this network namespace ({driver}); is it a "
            "NIC, and has nobody been given it whole?",
        )
    if len(found.netdevs) > 1:
        raise unusable(
            address,
            f"there are several network devices behind it ({', '.join(found.netdevs)}); leave out "
            "the address and name one of them (network.bridge_interface)",
        )
    return found.netdevs[0]


def netdevs_of(host: Host, places: Any) -> list[str]:
    """Return the names of devices that are asked about by name or by PCI address."""
    found: list[str] = []
    functions = host[FUNCTIONS]
    for place in places:
        function = functions.get(place)
        if function is not None:
            found += function.netdevs[:1]
        elif place not in functions:
            found.append(place)
    return sorted(found)


def unusable(address: str, reason: str) -> exception.UnusableDevice:
    """Return the error for a PCI device that cannot do what it is to do."""
    return exception.UnusableDevice(device=f"PCI device {address}", reason=reason)


def derived_mac(host: Host, what: str) -> str:
    """Return a MAC, locally administered, that is the same each time and not any other host's.

    Two hosts whose devices have one MAC could not reach each other on one wire.

    :param what: which one of the host's it is
    """
    digest = hmac.digest(host[HOST_ID].get(None, "").encode(), what.encode(), "sha256")
    return ":".join(["02", *(f"{byte:02x}" for byte in digest[:5])])


def own_links(draft: Draft) -> list[Link]:
    """Return the VIF's devices, by their marks."""
    return [
        link
        for link in draft.host[LINKS].values()
        if link is not None
        and (owner := parse_mark(link.alias)) is not None
        and owner.vif_id == draft.mark.vif_id
    ]


def correct(
    draft: Draft, link: Link, wanted: Mapping[str, Value], alias: str | None = None
) -> None:
    """Set what differs of ``wanted`` (and the mark) on a device that exists."""
    have = link.attributes
    drift: dict[str, Value] = {
        key: value
        for key, value in wanted.items()
        # A kernel without IPv6 shows no such settings, and needs none.
        if (have.get(key) != value and (key in have or key not in IPV6_SETTINGS))
        # A MAC that nobody set looks like one that was, and changes.
        or (key == "mac" and is_unfinished(link))
    }
    if alias is not None and link.alias != alias:
        if parse_mark(link.alias) and without_guest(link.alias) == without_guest(alias):
            draft.add("note_guest", name=link.name, alias=alias)
        else:
            drift["alias"] = alias
    if drift:
        draft.add("set_link", name=link.name, attributes=drift)


def mark_on(mark: Mark, link: Link) -> str:
    """Return the mark that a device of ours must carry: without a guest, with the one there."""
    there = None if mark.instance else parse_mark(link.alias)
    if there is not None and (there.vif_id, there.plugin) == (mark.vif_id, mark.plugin):
        return str(dataclasses.replace(mark, instance=there.instance))
    return str(mark)


def naming_guest(draft: Draft, alias: str, link: Link | None = None) -> str:
    """Return the alias of a VIF's device, with the guest's name; without one, with that there."""
    if draft.mark.guest or link is None:
        return with_guest(alias, draft.mark.guest, LONGEST_ALIAS)
    kept = [f"{alias} {GUEST_WORD}={word}" for word in words_behind(link.alias, GUEST_WORD)]
    return kept[0] if kept and len(kept[0]) <= LONGEST_ALIAS else alias


def is_mark(value: Any) -> bool:
    """Tell whether this is the alias of a device of ours."""
    return isinstance(value, str) and (is_shared(value) or parse_mark(value) is not None)


def is_shared(alias: str) -> bool:
    """Tell whether os-vif made the device with this alias for many VIFs."""
    return alias == SHARED_MARK or alias.startswith(f"{SHARED_MARK} ")


def is_unfinished(link: Link) -> bool:
    """Tell whether a device of ours was left by a process killed while it made it."""
    return link.attributes.get("group") == UNFINISHED_GROUP and not link.alias


def what(link: Link) -> str:
    """Return in words what a device is that is not the VIF's."""
    mark = parse_mark(link.alias)
    if mark is not None:
        return f"a {link.kind or 'NIC'} of VIF {mark.vif_id}"
    return f"a {link.kind} that is not this VIF's" if link.kind else "a NIC of the host"


def in_the_way(link: Link, need: str) -> exception.ResourceConflict:
    """Return the error for a device that stands in the way."""
    return exception.ResourceConflict(
        resource=f"device {link.name}", reason=f"it is {what(link)}, and {need}"
    )


# --- MTUs -----------------------------------------------------------------------------------------


def mtu_of(link: Link | None) -> int:
    """Return a device's MTU, 0 for unknown."""
    mtu = link.attributes.get("mtu") if link is not None else None
    return mtu if isinstance(mtu, int) else 0


def keep_bridges(draft: Draft, device: Link | None, wanted: Mapping[str, Value]) -> None:
    """Have a stranger's bridge keep its MTU when a guest's device joins it, or gets a smaller one.

    :param device: as it is; None for one that is to be made
    :param wanted: its attributes, by name
    """
    name, mtu = wanted.get("master"), wanted.get("mtu")
    bridge = draft.host[LINKS].get(name) if isinstance(name, str) else None
    if bridge is None or not bridge.index or not isinstance(mtu, int):
        return
    if is_shared(bridge.alias) or parse_mark(bridge.alias) is not None:
        return
    have = device.attributes if device is not None else {}
    if (have.get("master"), have.get("mtu")) == (name, mtu):
        return
    uplinks = [
        draft.host[LINKS].get(resource.name)
        for resource in draft.topology.resources
        if isinstance(resource, Uplink) and resource.bridge == name
    ]
    if mtu < max(mtu_of(link) for link in (bridge, *uplinks)):
        draft.add("hold_mtu", name=bridge.name)


# --- words behind the mark ------------------------------------------------------------------------


def made_by(maker: str) -> str:
    """Return the word of a device that its maker alone can delete."""
    return f"{_MADE_BY}{maker}"


def is_deleted_by_us(link: Link) -> bool:
    """Tell whether the kernel can delete a device of ours: nobody else has made it."""
    marked = parse_mark(link.alias) is not None
    return not (marked and any(word.startswith(_MADE_BY) for word in link.alias.split(" ")))


def raising_mark(mark: str) -> str:
    """Return the alias of a device whose lower one was down, and is to be so again after it."""
    return f"{mark} {_LOWER_DOWN}"


def found_lower_down(alias: str) -> bool:
    """Tell whether the lower device was down before the one with this alias was made."""
    return parse_mark(alias) is not None and _LOWER_DOWN in alias.split(" ")


def words_behind(alias: str, key: str) -> list[str]:
    """Return what the words ``key=...`` behind the mark of a device of ours tell."""
    words = alias.split(" ") if is_mark(alias) else []
    return [word.removeprefix(f"{key}=") for word in words if word.startswith(f"{key}=")]


def shared_mark(alias: str, uplinks: Iterable[str] = ()) -> str:
    """Return the alias of a device made for many VIFs, which keeps what it tells already.

    :param alias: what the device has now
    :param uplinks: of a bridge, those that join it; what has no room is left out
    """
    text = alias if is_shared(alias) else SHARED_MARK
    for name in uplinks:
        more = f"{text} {UPLINK_WORD}={name}"
        if name not in words_behind(text, UPLINK_WORD) and len(more) <= LONGEST_ALIAS:
            text = more
    return text


QUESTIONS = (
    *(FUNCTIONS, LINKS, TAGGED, USERS, ACCOUNTS, BRIDGED, HOST_ID, DELAYS, MOVES, MOVED, JOINED),
    *(BRIDGE_PORTS, NODES, RETURNED, STANDING, WIRELESS, MANAGERS, NAMED),
)
"""All that can be asked."""
