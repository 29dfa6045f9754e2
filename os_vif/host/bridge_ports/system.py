# SPDX-License-Identifier: Apache-2.0
"""Ports of bridges on the real host.

Sources: rtnetlink(7), linux/if_link.h (IFLA_BRPORT_*), linux/if_bridge.h (IFLA_BRIDGE_VLAN_INFO,
BRIDGE_VLANDB_*; RTM_GETVLAN since Linux 5.6), net/bridge/br_netlink.c.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

from os_vif.engine.checks import spelled_vlans, vlan_ids, vlan_ranges
from os_vif.engine.family import System
from os_vif.engine.fields import NAME
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.place import Place
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.step import Args
from os_vif.host.bridge_ports.questions import FILTERS, PORT, VLANS, Port
from os_vif.host.bridge_ports.resources import FLAGS, BridgePort, VlanFiltering
from os_vif.host.links.questions import LINKS, is_mark, is_shared
from os_vif.host.links.system import devices
from os_vif.host.links.system.link_message import (
    IFINFO,
    IFLA_AF_SPEC,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    LOOKUP_TAIL,
    by_index,
    by_name,
)
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError, attribute, nested

_AF_BRIDGE = 7
_RTM_GETVLAN = 114

_IFLA_PROTINFO = 12
_IFLA_INFO_SLAVE_KIND = 4
_IFLA_INFO_SLAVE_DATA = 5
_IFLA_BR_VLAN_FILTERING = 7
_BRPORT = {
    "hairpin": 4,
    "learning": 8,
    "flood": 9,
    "mcast_flood": 27,
    "bcast_flood": 30,
    "neigh_suppress": 32,
    "isolated": 33,
}
_SLAVE = (_IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA)

_IFLA_BRIDGE_VLAN_INFO = 2
_PVID, _UNTAGGED, _RANGE_BEGIN, _RANGE_END = 0x2, 0x4, 0x8, 0x10
_VLAN_INFO = struct.Struct("=HH")
_U16 = struct.Struct("=H")
_VLAN_MESSAGE = struct.Struct("=BxxxI")
_DB_ENTRY, _ENTRY_INFO, _ENTRY_RANGE = 1, 1, 2


# --- looking --------------------------------------------------------------------------------------


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    for bridge in asked.get(FILTERS, ()):
        host[FILTERS][bridge] = _filters(bridge)
    for name in asked.get(PORT, ()):
        link = host[LINKS].get(name)
        master = link.attributes.get("master") if link is not None else None
        # Who has none is spared: a device that is yet to be made, mostly.
        known = _port(link.index) if link is not None and master is not None else None
        host[PORT][name] = None if known is None else Port(str(master), known)
    return ()


def _info(message: bytes, wanted: Collection[int]) -> dict[int, bytes]:
    try:
        body = netlink.ask(Message(netlink.RTM_GETLINK, 0, message + LOOKUP_TAIL))
    except NetlinkError as error:
        if error.errno != errno.ENODEV:
            raise
        return {}
    info = netlink.pick(body, (IFLA_LINKINFO,), IFINFO.size).get(IFLA_LINKINFO, b"")
    return netlink.pick(info, wanted)


def _filters(bridge: str) -> bool | None:
    info = _info(by_name(bridge), (IFLA_INFO_KIND, IFLA_INFO_DATA))
    if info.get(IFLA_INFO_KIND, b"").rstrip(b"\0") != b"bridge":
        return None
    data = netlink.pick(info.get(IFLA_INFO_DATA, b""), (_IFLA_BR_VLAN_FILTERING,))
    return data.get(_IFLA_BR_VLAN_FILTERING, b"\0") != b"\0"


def _port(index: int) -> dict[str, bool | int | str] | None:
    """Return the attributes of a port; None for what is no bridge's."""
    info = _info(by_index(index), _SLAVE)
    if info.get(_IFLA_INFO_SLAVE_KIND, b"").rstrip(b"\0") != b"bridge":
        return None
    data = netlink.pick(info.get(_IFLA_INFO_SLAVE_DATA, b""), _BRPORT.values())
    found: dict[str, bool | int | str] = {
        name: data[number] != b"\0" for name, number in _BRPORT.items() if number in data
    }
    vlans = _vlans(index)
    if vlans is not None:
        pvids = [vlan for vlan, flags in vlans.items() if flags & _PVID]
        found["pvid"] = pvids[0] if pvids else 0
        found["untagged"] = spelled_vlans([it for it, flags in vlans.items() if flags & _UNTAGGED])
        found["tagged"] = spelled_vlans(
            [it for it, flags in vlans.items() if not flags & _UNTAGGED]
        )
    return found


def _vlans(index: int) -> dict[int, int] | None:
    """Return a port's VLANs, each with its flags; None where the kernel does not tell."""
    try:
        entries = netlink.dump(_RTM_GETVLAN, _VLAN_MESSAGE.pack(_AF_BRIDGE, index))
    except NetlinkError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENODEV):
            raise
        return None
    found: dict[int, int] = {}
    for entry in entries:
        for kind, value in netlink.attributes(entry, _VLAN_MESSAGE.size):
            if kind == _DB_ENTRY:
                held = netlink.pick(value, (_ENTRY_INFO, _ENTRY_RANGE))
                flags, first = _VLAN_INFO.unpack(held[_ENTRY_INFO])
                last = _U16.unpack(held[_ENTRY_RANGE])[0] if _ENTRY_RANGE in held else first
                found.update(dict.fromkeys(range(first, last + 1), flags))
    return found


def _tell(item: Plugged) -> Iterator[Part]:
    for link in item["links"]:
        master = link.attributes.get("master")
        found = _port(link.index) if link.kind == "tap" and NAME(master) else None
        if found is None:
            continue
        flags: dict[str, Any] = {key: found[key] for key in FLAGS if key in found}
        # Without filtering nobody looks at them, and with it a new port is in VLAN 1.
        filters = bool(_filters(str(master))) and "pvid" in found
        vlans: dict[str, Any] = {}
        if filters and (found["pvid"], found["untagged"], found["tagged"]) != (1, "1", ""):
            vlans = {
                "vlan": found["pvid"] or None,
                "trunks": frozenset(vlan_ids(str(found["tagged"]))),
            }
        port = BridgePort(name=link.name, bridge=str(master), flags=flags, **vlans)
        yield Part(item.mark.vif_id, "bridge_ports", port, item.mark)
        if filters:
            yield Part(
                item.mark.vif_id, "vlan_filtering", VlanFiltering(name=str(master)), item.mark
            )


# --- doing ----------------------------------------------------------------------------------------


def _vlan_infos(ids: Collection[int], flags: int = 0) -> bytes:
    infos = []
    for first, last in vlan_ranges(ids):
        begin, end = (_RANGE_BEGIN, _RANGE_END) if first != last else (0, 0)
        infos.append((flags | begin, first))
        if end:
            infos.append((flags | end, last))
    return b"".join(attribute(_IFLA_BRIDGE_VLAN_INFO, _VLAN_INFO.pack(*info)) for info in infos)


def _message(kind: int, index: int, *parts: bytes) -> Message:
    start = IFINFO.pack(_AF_BRIDGE, 0, index, 0, 0)
    return Message(kind, netlink.NLM_F_ACK, start + b"".join(parts))


def _set_port(args: Args) -> None:
    attributes = args["attributes"]
    index = netlink.index_of(args["name"])
    have = _port(index)
    if have is None:
        raise OSError(errno.ENODEV, f"{args['name']} is no port of a bridge")
    parts = []
    flags = [
        attribute(_BRPORT[key], bytes([attributes[key]])) for key in FLAGS if key in attributes
    ]
    if flags:
        parts.append(nested(_IFLA_PROTINFO, *flags))
    gone: frozenset[int] = frozenset()
    if "pvid" in attributes:
        _need_vlans(have)
        untagged, tagged = (frozenset(vlan_ids(attributes[key])) for key in ("untagged", "tagged"))
        pvid = {attributes["pvid"]} - {0}
        vlans = [
            *(_vlan_infos(untagged - pvid, _UNTAGGED), _vlan_infos(tagged - pvid)),
            *(_vlan_infos(pvid & untagged, _PVID | _UNTAGGED), _vlan_infos(pvid & tagged, _PVID)),
        ]
        parts.append(nested(IFLA_AF_SPEC, *vlans))
        gone = frozenset(vlan_ids(f"{have['untagged']} {have['tagged']}")) - untagged - tagged
    messages = [_message(netlink.RTM_SETLINK, index, *parts)]
    if gone:
        # By then it is in the others.
        rest = nested(IFLA_AF_SPEC, _vlan_infos(gone))
        messages.append(_message(netlink.RTM_DELLINK, index, rest))
    for answer in netlink.request(messages):
        if isinstance(answer, NetlinkError):
            raise answer


def _need_vlans(have: Mapping[str, Any]) -> None:
    if not have.keys() >= set(VLANS):
        raise OSError(errno.EOPNOTSUPP, "this kernel does not tell the VLANs of a port (Linux 5.6)")


def _add_vlans(args: Args) -> None:
    spec = nested(IFLA_AF_SPEC, _vlan_infos(vlan_ids(args["vlans"])))
    netlink.ask(_message(netlink.RTM_SETLINK, netlink.index_of(args["name"]), spec))


def _filter(args: Args) -> None:
    data = attribute(_IFLA_BR_VLAN_FILTERING, bytes([args["on"]]))
    info = nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"bridge"), nested(IFLA_INFO_DATA, data))
    try:
        netlink.ask(Message(netlink.RTM_NEWLINK, netlink.NLM_F_ACK, by_name(args["name"]) + info))
    except NetlinkError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        reason = "this kernel's bridges know no VLANs (CONFIG_BRIDGE_VLAN_FILTERING)"
        raise OSError(error.errno, f"{reason}: {error.strerror}") from error


# --- for another process --------------------------------------------------------------------------


def _is_not_a_vifs(args: Args, _section: str) -> str:
    link = devices.look_up([args["name"]])[args["name"]]
    return f"{link.name} is no VIF's" if link is not None and not is_mark(link.alias) else ""


def _is_not_on_ours(args: Args, _section: str) -> str:
    link = devices.look_up([args["name"]])[args["name"]]
    master = link.attributes.get("master") if link is not None else None
    return _is_not_ours({"name": master}, _section) if isinstance(master, str) else ""


def _is_not_ours(args: Args, _section: str) -> str:
    link = devices.look_up([args["name"]])[args["name"]]
    return (
        f"{link.name} is no bridge of ours"
        if link is not None and not is_shared(link.alias)
        else ""
    )


REFUSES: Mapping[str, Callable[[Args, str], str]] = {
    "set_port_of_bridge": _is_not_a_vifs,
    "filter_vlans": _is_not_ours,
    "add_vlans": _is_not_on_ours,
}
"""Why a kind of step is not run for another process."""

SYSTEM = System(
    look=_look,
    tell=_tell,
    run={"set_port_of_bridge": _set_port, "filter_vlans": _filter, "add_vlans": _add_vlans},
    refuses=REFUSES,
)
