# SPDX-License-Identifier: Apache-2.0
"""Network devices: looked up, made, changed and deleted over rtnetlink.

Sources: rtnetlink(7), linux/if_link.h.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

from os_vif.host.links.questions import UNFINISHED_GROUP, Link
from os_vif.host.links.system import deleting, settings, tags
from os_vif.host.links.system.link_message import (
    BRIDGE_DATA,
    IFF_ALLMULTI,
    IFF_UP,
    IFINFO,
    IFLA_ADDRESS,
    IFLA_AF_SPEC,
    IFLA_GROUP,
    IFLA_IFALIAS,
    IFLA_IFNAME,
    IFLA_INET_CONF,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINK,
    IFLA_LINKINFO,
    IFLA_MACVLAN_MODE,
    IFLA_MASTER,
    IFLA_MTU,
    IFLA_VLAN_ID,
    IPV4_CONF,
    LOOKUP_TAIL,
    MACVTAP_MODES,
    NO_INDEX,
    VETH_INFO_PEER,
    by_index,
    by_index_or_name,
    by_name,
    parse,
    tap_flags,
)
from os_vif.system import netlink, sysctl
from os_vif.system.netlink import Message, NetlinkError, attribute, attribute_u32

_MODULES = {"bridge": "bridge", "veth": "veth", "vlan": "8021q", "macvtap": "macvtap"}

_LARGEST_MTU = 65535  # ETH_MAX_MTU, linux/if_ether.h
_LEAST_OF_IPV6 = 1280  # RFC 8200, 5; below it a device has no IPv6 that could be switched off


# --- looking --------------------------------------------------------------------------------


def look_up(names: Iterable[str]) -> dict[str, Link | None]:
    """Return the devices of these names; None where there is none.

    Costs the same however many others the host has.
    """
    return look_up_with_tagged(names, ())[0]


def look_up_with_tagged(names: Iterable[str], vif_ids: Iterable[str]) -> tags.Found:
    """Return the devices of these names, and those that are found by VIFs' ids.

    Costs the same however many others the host has: a tag is a name, which the kernel has in a
    hash.  A kernel without alternative names gives no answer for an id.
    """
    found, tagged = tags.look_up(list(names), list(vif_ids))
    there = [link for link in found.values() if link]
    _name_relations(there)
    settings.judge_ipv6(there)
    return found, tagged


def look_up_each(which: Sequence[tuple[str, int]]) -> list[Link | None]:
    """Return devices by name and index, in order; None for one that is gone or changed hands.

    :param which: an index of 0 is any; with another one the name does not count
    """
    asked = [Message(netlink.RTM_GETLINK, 0, by_index_or_name(*it) + LOOKUP_TAIL) for it in which]
    found: list[Link | None] = []
    for answer in netlink.request(asked):
        if isinstance(answer, NetlinkError):
            if answer.errno != errno.ENODEV:
                raise answer
            found.append(None)
        else:
            found.append(parse(answer))
    return found


def all_links() -> list[Link]:
    """Return every device of the namespace (the one look that grows with the host)."""
    links = [parse(body) for body in netlink.dump(netlink.RTM_GETLINK, NO_INDEX + LOOKUP_TAIL)]
    _name_relations(links)
    return links


def _name_relations(links: Sequence[Link], known: Mapping[int, str] | None = None) -> None:
    """Put names in the place of the indices of master and lower device.

    :param known: names by index that need not be asked for
    """
    names = {link.index: link.name for link in links}
    names.update(known or {})
    for link in links:
        for relation in ("master", "link"):
            index = link.attributes.get(relation)
            if isinstance(index, int):
                if index not in names:
                    # A lower device may live in another namespace, where it has no name for us.
                    names[index] = _name_of(index) or f"#{index}"
                link.attributes[relation] = names[index]


def flags_of_tap(name: str) -> int:
    """Return the flags of TUNSETIFF with which a tap can be opened and stays as it is.

    :raises OSError: ENODEV: there is none.
    """
    return tap_flags(netlink.ask(tags.asking(name)))


def exists(name: str) -> bool:
    """Tell whether there is a device of this name."""
    return look_up([name])[name] is not None


def is_up(name: str) -> bool:
    """Tell whether there is a device of this name, and it is up."""
    found = look_up([name])[name]
    return found is not None and bool(found.attributes["up"])


def _name_of(index: int) -> str:
    try:
        name = socket.if_indextoname(index)
    except OSError:
        return ""
    # As the kernel's messages are read: a name may be any bytes.
    return os.fsencode(name).decode(errors="replace")


# --- making and changing ----------------------------------------------------------------------


def create(name: str, kind: str, attributes: Mapping[str, Any]) -> Link:
    """Make a device, with its mark, and return how it looks then; or leave nothing behind.

    A tap is made by :mod:`.taps`.

    :raises OSError: the kernel refused; ``strerror`` says which part.
    """
    data = b""
    other: list[bytes] = []
    if kind == "bridge":
        data = _bridge_data(attributes)
        # So that the one it is to have is another, and set: a new bridge's follows its ports.
        if "mtu" in attributes:
            at_first = max(_beside(attributes["mtu"]), _LEAST_OF_IPV6)
            other.append(attribute_u32(IFLA_MTU, at_first))
    elif kind == "vlan":
        data = attribute(IFLA_VLAN_ID, struct.pack("=H", attributes["vlan_id"]))
    elif kind == "macvtap":
        data = _macvtap_data(attributes)
    elif kind == "veth":
        end = by_name(attributes["peer"]) + attribute_u32(IFLA_GROUP, UNFINISHED_GROUP)
        data = netlink.nested(VETH_INFO_PEER, end)
    body = [
        NO_INDEX,
        netlink.attribute_text(IFLA_IFNAME, name),
        # The mark itself cannot be given at creation; the group can, and shows whose this is.
        attribute_u32(IFLA_GROUP, UNFINISHED_GROUP),
        _info(kind, data),
        *other,
    ]
    if "link" in attributes:
        body.append(attribute_u32(IFLA_LINK, _index(attributes["link"])))
    try:
        netlink.ask(
            Message(
                netlink.RTM_NEWLINK,
                netlink.NLM_F_CREATE | netlink.NLM_F_EXCL | netlink.NLM_F_ACK,
                b"".join(body),
            )
        )
    except NetlinkError as error:
        if error.errno == errno.EOPNOTSUPP:
            raise NetlinkError(
                error.errno,
                f"this kernel cannot make a {kind} device; it lacks the module "
                f"{_MODULES[kind]}, or may not load it: {error.strerror}",
            ) from error
        raise
    made = ("link", "vlan_id", "peer", "mode", *BRIDGE_DATA)
    rest = {key: attributes[key] for key in attributes if key not in made}
    try:
        if kind == "veth":
            change(attributes["peer"], {key: rest[key] for key in rest if key != "master"})
        return change(name, rest)
    except BaseException:
        deleting.delete([(name, 0)])
        raise


def bring(name: str, *, up: bool) -> None:
    """Set a device administratively up or down, and do not look at it.

    :raises OSError: the kernel refused.
    """
    netlink.ask(_acked(netlink.RTM_NEWLINK, _flags(up=up) + _name(name)))


def _flags(*, up: bool | None) -> bytes:
    return IFINFO.pack(0, 0, 0, IFF_UP if up else 0, 0 if up is None else IFF_UP)


def _name(name: str) -> bytes:
    return netlink.attribute_text(IFLA_IFNAME, name)


def _index(name: str) -> int:
    return netlink.index_of(name)


def _bridge_data(attributes: Mapping[str, Any]) -> bytes:
    return b"".join(
        attribute(number, form.pack(attributes[key]))
        for key, (number, form) in BRIDGE_DATA.items()
        if key in attributes
    )


def _macvtap_data(attributes: Mapping[str, Any]) -> bytes:
    return attribute_u32(IFLA_MACVLAN_MODE, MACVTAP_MODES[attributes["mode"]])


def _info(kind: str, data: bytes) -> bytes:
    return netlink.nested(
        IFLA_LINKINFO,
        attribute(IFLA_INFO_KIND, kind.encode()),
        netlink.nested(IFLA_INFO_DATA, data),
    )


_NO_STP = _info("bridge", _bridge_data({"stp_state": 0}))

_ENCODERS: Mapping[str, Callable[[Any], bytes]] = {
    "mac": lambda value: attribute(IFLA_ADDRESS, bytes.fromhex(value.replace(":", ""))),
    "mtu": lambda value: attribute_u32(IFLA_MTU, value),
    "alias": lambda value: attribute(IFLA_IFALIAS, value.encode()),
    "group": lambda value: attribute_u32(IFLA_GROUP, value),
}


def change(name: str, attributes: Mapping[str, Any]) -> Link:
    """Set attributes of a device that exists, and return how it looks then.

    The kernel applies them one after another, so a refused one may leave others in place.

    :raises OSError: the kernel refused.
    """
    for key in sysctl.PATHS:
        if key in attributes:
            # Before the device goes up, or it speaks IPv6 for a moment.
            settings.write(name, key, int(attributes[key]))
    body = [_flags(up=attributes.get("up")), _name(name)]
    body += [_ENCODERS[key](value) for key, value in attributes.items() if key in _ENCODERS]
    master = attributes.get("master")
    master_index = _index(master) if master else 0
    if "master" in attributes:
        body.append(attribute_u32(IFLA_MASTER, master_index))
    conf = [
        attribute_u32(number, attributes[key])
        for key, number in IPV4_CONF.items()
        if key in attributes
    ]
    if conf:
        body.append(
            netlink.nested(
                IFLA_AF_SPEC,
                netlink.nested(socket.AF_INET, netlink.nested(IFLA_INET_CONF, *conf)),
            )
        )
    bridge = _bridge_data(attributes)
    if bridge:
        body.append(_info("bridge", bridge))
    if "mode" in attributes:
        body.append(_info("macvtap", _macvtap_data(attributes)))
    tagging = tags.first(name, attributes.get("alias"))
    messages = [_acked(netlink.RTM_NEWLINK, b"".join(body)), *tagging, tags.asking(name)]
    if "allmulticast" in attributes:
        # Before it goes up: see stacking.change_macvtap.
        flag = IFF_ALLMULTI if attributes["allmulticast"] else 0
        messages.insert(
            0,
            _acked(netlink.RTM_NEWLINK, IFINFO.pack(0, 0, 0, flag, IFF_ALLMULTI) + _name(name)),
        )
    if attributes.get("stp_state") == 0 and "forward_delay" in attributes:
        # The kernel takes the delay first, and refuses 0 while there is a spanning tree.
        messages.insert(0, _acked(netlink.RTM_NEWLINK, by_name(name) + _NO_STP))
    # Asked in the same breath, which is the cheapest moment to see what came of it.
    *changed, seen = netlink.request(messages)
    tagged = changed.pop() if tagging else b""
    for answer in (*changed, seen):
        if isinstance(answer, NetlinkError):
            if answer.errno == errno.EINVAL and master and _index(master) != master_index:
                raise OSError(errno.ENODEV, f"{master} was replaced meanwhile") from answer
            raise answer
    link = parse(cast("bytes", seen))
    if "alias" in attributes:
        tags.settle(link, tagged)
    _name_relations([link], {} if master is None else {master_index: master})
    settings.judge_ipv6([link])
    return link


def hold_mtu(bridge: str) -> None:
    """Have a bridge keep the MTU it has, whatever joins it.

    It is as if it had been set, which the kernel takes as that only if it is another one; so it is
    a byte larger for a moment.  What stands on the bridge is never above it.

    :raises OSError: the kernel refused.
    """
    link = look_up([bridge])[bridge]
    if link is None:
        return
    mtu = int(link.attributes["mtu"] or 0)
    # In one breath: nothing, and nobody who is killed, comes between.
    for answer in netlink.request(
        [
            _acked(netlink.RTM_NEWLINK, by_index(link.index) + attribute_u32(IFLA_MTU, value))
            for value in (_beside(mtu), mtu)
        ]
    ):
        if isinstance(answer, NetlinkError):
            raise answer


def _beside(mtu: int) -> int:
    return mtu + 1 if mtu < _LARGEST_MTU else mtu - 1


def rename(name: str, to: str, alias: str, *, up: bool) -> None:
    """Give a device another name and alias; it is down meanwhile, as older kernels ask for.

    :raises OSError: the kernel refused.
    """
    index = _index(name)
    down = IFINFO.pack(0, 0, index, 0, IFF_UP)
    netlink.ask(_acked(netlink.RTM_NEWLINK, down))
    after = IFINFO.pack(0, 0, index, IFF_UP if up else 0, IFF_UP)
    netlink.ask(_acked(netlink.RTM_NEWLINK, after + _name(to) + _ENCODERS["alias"](alias)))
    retag(to)


def retag(name: str) -> None:
    """See that a device is found by the id of the VIF that it is marked for, and by no other.

    :raises OSError: the kernel refused.
    """
    link = look_up([name])[name]
    if link is not None:
        tags.settle(link)


# --- what stands on one ----------------------------------------------------------------------


def ports_of(index: int) -> list[Link]:
    """Return the ports of a bridge, or of anything else that has ports."""
    ports = attribute_u32(IFLA_MASTER, index)
    bodies = netlink.dump(netlink.RTM_GETLINK, NO_INDEX + ports + LOOKUP_TAIL)
    found = [parse(body) for body in bodies]
    _name_relations(found)
    return found


def _acked(kind: int, body: bytes) -> Message:
    return Message(kind, netlink.NLM_F_ACK, body)
