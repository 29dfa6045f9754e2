# SPDX-License-Identifier: Apache-2.0
"""Settings of virtual functions, read and changed through their physical function's netdev.

Sources: linux/if_link.h (IFLA_VFINFO_LIST), ip-link(8) (vf NUM).
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from os_vif.host.functions.questions import VfSettings
from os_vif.host.functions.resources import ETH_P_8021Q
from os_vif.host.links.system.link_message import (
    IFINFO,
    IFLA_EXT_MASK,
    IFLA_VF_INFO,
    IFLA_VF_MAC,
    IFLA_VF_VLAN,
    IFLA_VFINFO_LIST,
    by_name,
)
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError, attribute, attribute_u32

# linux/if_link.h
_VF_SPOOFCHK, _VF_LINK_STATE = 4, 5
_VF_RATE, _VF_TRUST, _VF_VLAN_LIST = 6, 9, 12
_VF_VLAN_INFO = 1
_SEEN = (
    IFLA_VF_MAC,
    IFLA_VF_VLAN,
    _VF_SPOOFCHK,
    _VF_LINK_STATE,
    _VF_RATE,
    _VF_TRUST,
    _VF_VLAN_LIST,
)

# linux/rtnetlink.h: settings of VFs, without their statistics, which some drivers fetch from afar.
_EXT_MASK = 0x1 | 0x8

# Every structure begins with the VF's number; an address has room for InfiniBand's.
_MAC = struct.Struct("=I6s26x")
_VLAN = struct.Struct("=III")
_RATE = struct.Struct("=III")
_SETTING = struct.Struct("=II")
_VLAN_INFO = struct.Struct("=III2s2x")
_UNKNOWN = 0xFFFFFFFF
"""What the kernel shows of a setting that the driver does not have."""

_LINK_STATES = ("auto", "enable", "disable")


# --- looking --------------------------------------------------------------------------------


def look_up(devices: Iterable[str]) -> dict[tuple[str, int], VfSettings]:
    """Return the settings of all virtual functions of these netdevs, by netdev and number.

    One that is gone has none. It costs what its virtual functions cost, whatever else is there.

    :raises OSError: the kernel refused to tell.
    """
    asked = list(devices)
    if not asked:
        return {}
    tail = attribute_u32(IFLA_EXT_MASK, _EXT_MASK)
    found: dict[tuple[str, int], VfSettings] = {}
    answers = netlink.request(
        [Message(netlink.RTM_GETLINK, 0, by_name(name) + tail) for name in asked]
    )
    for name, answer in zip(asked, answers, strict=True):
        if not isinstance(answer, NetlinkError):
            for number, settings in decode(answer).items():
                found[name, number] = settings
        elif answer.errno != errno.ENODEV:
            raise answer
    return found


def decode(body: bytes) -> dict[int, VfSettings]:
    """Return the settings by number from an RTM_NEWLINK."""
    held = netlink.pick(body, (IFLA_VFINFO_LIST,), IFINFO.size)
    found = {}
    for kind, value in netlink.attributes(held.get(IFLA_VFINFO_LIST, b"")):
        info = netlink.pick(value, _SEEN)
        if kind == IFLA_VF_INFO and IFLA_VF_MAC in info:
            number, settings = _settings(info)
            found[number] = settings
    return found


def _settings(info: Mapping[int, bytes]) -> tuple[int, VfSettings]:
    number, mac = _MAC.unpack_from(info[IFLA_VF_MAC])
    found: VfSettings = {"mac": mac.hex(":")}
    if IFLA_VF_VLAN in info:
        _, found["vlan"], found["qos"] = _VLAN.unpack_from(info[IFLA_VF_VLAN])
        found["vlan_proto"] = _protocol(info.get(_VF_VLAN_LIST, b""))
    if _VF_RATE in info:
        _, found["min_tx_rate"], found["max_tx_rate"] = _RATE.unpack_from(info[_VF_RATE])
    if _VF_LINK_STATE in info:
        state = _SETTING.unpack_from(info[_VF_LINK_STATE])[1]
        found["link_state"] = _LINK_STATES[state] if state < len(_LINK_STATES) else "auto"
    for name, tag in (("spoofchk", _VF_SPOOFCHK), ("trust", _VF_TRUST)):
        if tag in info:
            setting = _SETTING.unpack_from(info[tag])[1]
            if setting != _UNKNOWN:
                found[name] = bool(setting)
    return number, found


def _protocol(vlans: bytes) -> int:
    for _kind, value in netlink.attributes(vlans):
        _, vlan, _, protocol = _VLAN_INFO.unpack_from(value)
        if vlan:
            return int.from_bytes(protocol, "big")
    return ETH_P_8021Q


# --- changing -------------------------------------------------------------------------------


def change(device: str, vf: int, settings: Mapping[str, Any]) -> None:
    """Set these of a virtual function, in one message.

    The kernel hands them to the driver one by one, so some may be set when one is refused. Then
    each that is not as it should be is tried by itself, so that the error tells which it was, and
    all that the driver takes are as told.

    :param device: netdev of the physical function
    :raises OSError: the driver refused; ``strerror`` says what.
    """
    parts = _parts(vf, settings)
    try:
        _send(device, b"".join(attribute for _names, attribute in parts))
        return
    except NetlinkError as error:
        if error.errno == errno.ENODEV:
            raise
    there = look_up([device]).get((device, vf), {})
    refused = []
    for names, part in parts:
        wanted = {name: settings[name] for name in names if name in settings}
        if wanted.items() <= there.items():
            continue
        try:
            _send(device, part)
        except NetlinkError as error:
            said = ", ".join(f"{name} {value}" for name, value in wanted.items())
            hint = _HINTS.get((error.errno, names[-1]), "") or _HINTS.get((error.errno, ""), "")
            refused.append(NetlinkError(error.errno, f"{said}: {error.strerror}{hint}"))
    if refused:
        words = "; ".join(str(error.strerror) for error in refused)
        raise NetlinkError(refused[0].errno or errno.EIO, words)


_HINTS: Mapping[tuple[int | None, str], str] = {
    (errno.EOPNOTSUPP, ""): ", the driver cannot set this",
    (errno.EINVAL, "max_tx_rate"): " (many drivers need a link for a rate, and one it can carry)",
}


def _send(device: str, parts: bytes) -> None:
    info = netlink.nested(IFLA_VF_INFO, parts)
    body = by_name(device) + netlink.nested(IFLA_VFINFO_LIST, info)
    netlink.ask(Message(netlink.RTM_NEWLINK, netlink.NLM_F_ACK, body))


def _mac(vf: int, settings: Mapping[str, Any]) -> bytes:
    return attribute(IFLA_VF_MAC, _MAC.pack(vf, bytes.fromhex(settings["mac"].replace(":", ""))))


def _vlan(vf: int, settings: Mapping[str, Any]) -> bytes:
    vlan, qos, protocol = settings["vlan"], settings["qos"], settings["vlan_proto"]
    if protocol == ETH_P_8021Q:
        return attribute(IFLA_VF_VLAN, _VLAN.pack(vf, vlan, qos))
    info = _VLAN_INFO.pack(vf, vlan, qos, protocol.to_bytes(2, "big"))
    return netlink.nested(_VF_VLAN_LIST, attribute(_VF_VLAN_INFO, info))


def _rate(vf: int, settings: Mapping[str, Any]) -> bytes:
    rates = _RATE.pack(vf, settings["min_tx_rate"], settings["max_tx_rate"])
    return attribute(_VF_RATE, rates)


def _flag(name: str, tag: int) -> Callable[[int, Mapping[str, Any]], bytes]:
    return lambda vf, settings: attribute(tag, _SETTING.pack(vf, settings[name]))


def _link_state(vf: int, settings: Mapping[str, Any]) -> bytes:
    state = _LINK_STATES.index(settings["link_state"])
    return attribute(_VF_LINK_STATE, _SETTING.pack(vf, state))


_ENCODERS: Mapping[tuple[str, ...], Callable[[int, Mapping[str, Any]], bytes]] = {
    ("mac",): _mac,
    ("vlan", "qos", "vlan_proto"): _vlan,
    ("min_tx_rate", "max_tx_rate"): _rate,
    ("spoofchk",): _flag("spoofchk", _VF_SPOOFCHK),
    ("link_state",): _link_state,
    ("trust",): _flag("trust", _VF_TRUST),
}
"""What goes over the wire together, by the names of the settings."""


def _parts(vf: int, settings: Mapping[str, Any]) -> list[tuple[tuple[str, ...], bytes]]:
    return [
        (names, encode(vf, settings)) for names, encode in _ENCODERS.items() if names[0] in settings
    ]
