# SPDX-License-Identifier: Apache-2.0
"""What messages about network devices hold: the kernel's numbers, and from a message to a device.

Sources: rtnetlink(7), linux/if_link.h.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping

from os_vif.engine.checks import IFNAMSIZ
from os_vif.host.links.questions import ALTNAME_PREFIX, Link
from os_vif.host.links.resources import Value
from os_vif.system import netlink

IFINFO = struct.Struct("=BxHiII")
_U16 = struct.Struct("=H")
_U32 = struct.Struct("=I")

IFF_UP = 0x1
IFF_ALLMULTI = 0x200

# linux/if_tun.h
IFF_TAP = 0x0002
IFF_MULTI_QUEUE = 0x0100
IFF_NO_PI = 0x1000
IFF_VNET_HDR = 0x4000

# linux/rtnetlink.h
RTM_NEWLINKPROP, RTM_DELLINKPROP = 108, 109

# linux/if_link.h
IFLA_ADDRESS = 1
IFLA_IFNAME = 3
IFLA_MTU = 4
IFLA_LINK = 5
IFLA_MASTER = 10
IFLA_LINKINFO = 18
IFLA_IFALIAS = 20
IFLA_VFINFO_LIST = 22
IFLA_AF_SPEC = 26
IFLA_GROUP = 27
IFLA_EXT_MASK = 29
IFLA_PROMISCUITY = 30
IFLA_CARRIER = 33
IFLA_PROP_LIST = 52
IFLA_ALT_IFNAME = 53
IFLA_INFO_KIND = 1
IFLA_INFO_DATA = 2
IFLA_VF_INFO = 1
IFLA_VF_MAC = 1
IFLA_VF_VLAN = 2
IFLA_VLAN_ID = 1
IFLA_MACVLAN_MODE = 1
VETH_INFO_PEER = 1
IFLA_INET_CONF = 1
IFLA_INET6_CONF = 2
IFLA_INET6_ADDR_GEN_MODE = 8
ADDR_GEN_MODE_NONE = 1
IFLA_TUN_OWNER = 1
IFLA_TUN_GROUP = 2
IFLA_TUN_TYPE = 3
IFLA_TUN_PI = 4
IFLA_TUN_VNET_HDR = 5
IFLA_TUN_MULTI_QUEUE = 7
IFLA_TUN_NUM_QUEUES = 8
RTEXT_FILTER_SKIP_STATS = 8

LOOKUP_TAIL = netlink.attribute_u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
"""What each request for devices ends with."""

BRIDGE_DATA: Mapping[str, tuple[int, struct.Struct]] = {
    "forward_delay": (1, _U32),
    "ageing_time": (4, _U32),
    "stp_state": (5, _U32),
    "mcast_snooping": (23, struct.Struct("=B")),
}
# IPV4_DEVCONF_* (linux/ip.h) count from 1, DEVCONF_* (linux/ipv6.h) from 0.
IPV4_CONF = {"forwarding": 1, "proxy_arp": 3, "rp_filter": 8, "arp_announce": 18, "arp_ignore": 19}
_IPV6_CONF = {"forwarding6": 0, "accept_ra": 3, "proxy_ndp": 22, "disable_ipv6": 26}

# enum macvlan_mode
MACVTAP_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8, "source": 16}

_SEEN = frozenset(
    {
        IFLA_ADDRESS,
        IFLA_IFNAME,
        IFLA_MTU,
        IFLA_LINK,
        IFLA_MASTER,
        IFLA_LINKINFO,
        IFLA_IFALIAS,
        IFLA_AF_SPEC,
        IFLA_GROUP,
        IFLA_PROMISCUITY,
        IFLA_CARRIER,
        IFLA_PROP_LIST,
    }
)
_NUMBERS = (
    ("mtu", IFLA_MTU),
    ("group", IFLA_GROUP),
    ("master", IFLA_MASTER),
    ("promiscuity", IFLA_PROMISCUITY),
)
_INFO = frozenset({IFLA_INFO_KIND, IFLA_INFO_DATA})
_BRIDGE_SEEN = frozenset(number for number, _form in BRIDGE_DATA.values())
_TUN_SEEN = frozenset(
    {IFLA_TUN_TYPE, IFLA_TUN_MULTI_QUEUE, IFLA_TUN_NUM_QUEUES, IFLA_TUN_OWNER, IFLA_TUN_GROUP}
)
_ACCOUNTS = (("owner", IFLA_TUN_OWNER), ("owner_group", IFLA_TUN_GROUP))
_TAP_FLAGS = (IFLA_TUN_PI, IFLA_TUN_VNET_HDR, IFLA_TUN_MULTI_QUEUE)
_MODE_NAMES = {number: name for name, number in MACVTAP_MODES.items()}
_FAMILIES = frozenset({socket.AF_INET, socket.AF_INET6})
_NO_ADDRESS = bytes([ADDR_GEN_MODE_NONE])
_INET6 = frozenset({IFLA_INET6_CONF, IFLA_INET6_ADDR_GEN_MODE})


def by_index(index: int) -> bytes:
    """Return the fixed part of a message about the device of this index; 0 names none."""
    return IFINFO.pack(0, 0, index, 0, 0)


NO_INDEX = by_index(0)


def by_index_or_name(name: str, index: int) -> bytes:
    """Return the fixed part of a message about the device of this index or, for 0, this name."""
    return by_index(index) if index else by_name(name)


def by_name(name: str) -> bytes:
    """Return the beginning of a message about the device of this name, its own or another."""
    # The kernel takes no attribute that is too long for what it stands for.
    kind = IFLA_IFNAME if len(name.encode()) < IFNAMSIZ else IFLA_ALT_IFNAME
    return NO_INDEX + netlink.attribute_text(kind, name)


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode(errors="replace")


def parse(body: bytes) -> Link:
    """Return a device from an RTM_NEWLINK; ``master`` and ``link`` are indices still."""
    _, _, index, flags, _ = IFINFO.unpack_from(body)
    held = netlink.pick(body, _SEEN, IFINFO.size)
    found: dict[str, Value] = {"up": bool(flags & IFF_UP), "master": None}
    if IFLA_ADDRESS in held:
        found["mac"] = held[IFLA_ADDRESS].hex(":")
    for name, tag in _NUMBERS:
        if tag in held:
            found[name] = _U32.unpack(held[tag])[0]
    if IFLA_LINK in held:
        found["link"] = _U32.unpack(held[IFLA_LINK])[0] or None
    kind = ""
    if IFLA_LINKINFO in held:
        kind = _parse_kind(held[IFLA_LINKINFO], found)
    if kind == "macvtap":
        found["allmulticast"] = bool(flags & IFF_ALLMULTI)
    if IFLA_CARRIER in held:
        found["carrier"] = bool(held[IFLA_CARRIER][0])
        if kind == "tap":
            # Of a single queue the kernel shows only whether somebody has it open.
            found.setdefault("queues", held[IFLA_CARRIER][0])
    if IFLA_AF_SPEC in held:
        _parse_families(held[IFLA_AF_SPEC], found)
    alias = _text(held.get(IFLA_IFALIAS, b""))
    altnames = _marks(held[IFLA_PROP_LIST]) if IFLA_PROP_LIST in held else ()
    return Link(_text(held[IFLA_IFNAME]), index, kind, alias, found, altnames)


def _marks(properties: bytes) -> tuple[str, ...]:
    names = (
        _text(value) for tag, value in netlink.attributes(properties) if tag == IFLA_ALT_IFNAME
    )
    return tuple(name for name in names if name.startswith(ALTNAME_PREFIX))


def _parse_kind(data: bytes, found: dict[str, Value]) -> str:
    info = netlink.pick(data, _INFO)
    kind = _text(info.get(IFLA_INFO_KIND, b""))
    value = info.get(IFLA_INFO_DATA, b"")
    if kind == "bridge":
        held = netlink.pick(value, _BRIDGE_SEEN)
        for name, (number, form) in BRIDGE_DATA.items():
            if number in held:
                found[name] = form.unpack(held[number])[0]
    elif kind == "vlan":
        found["vlan_id"] = _U16.unpack(netlink.pick(value, (IFLA_VLAN_ID,))[IFLA_VLAN_ID])[0]
    elif kind == "macvtap":
        mode = _U32.unpack(netlink.pick(value, (IFLA_MACVLAN_MODE,))[IFLA_MACVLAN_MODE])[0]
        found["mode"] = _MODE_NAMES.get(mode, f"#{mode}")
    elif kind == "tun":
        held = netlink.pick(value, _TUN_SEEN)
        if held.get(IFLA_TUN_TYPE) == b"\x02":  # IFF_TAP; 1 is IFF_TUN
            kind = "tap"
            for name, tag in _ACCOUNTS:
                found[name] = _U32.unpack(held[tag])[0] if tag in held else None
        found["multi_queue"] = held.get(IFLA_TUN_MULTI_QUEUE) == b"\x01"
        if IFLA_TUN_NUM_QUEUES in held:
            found["queues"] = _U32.unpack(held[IFLA_TUN_NUM_QUEUES])[0]
    return kind


def _parse_families(data: bytes, found: dict[str, Value]) -> None:
    families = netlink.pick(data, _FAMILIES)
    if socket.AF_INET in families:
        held = netlink.pick(families[socket.AF_INET], (IFLA_INET_CONF,))
        if IFLA_INET_CONF in held:
            settings = memoryview(held[IFLA_INET_CONF]).cast("I")
            for name, number in IPV4_CONF.items():
                found[name] = settings[number - 1]
    if socket.AF_INET6 in families:
        held = netlink.pick(families[socket.AF_INET6], _INET6)
        if IFLA_INET6_CONF in held:
            settings = memoryview(held[IFLA_INET6_CONF]).cast("I")
            for name, number in _IPV6_CONF.items():
                found[name] = settings[number]
            found["disable_ipv6"] = bool(found["disable_ipv6"])
            if held.get(IFLA_INET6_ADDR_GEN_MODE) == _NO_ADDRESS and not found["disable_ipv6"]:
                found["makes_no_address"] = True


def makes_no_address(body: bytes) -> bool:
    """Tell from an RTM_NEWLINK whether the kernel gives the device no IPv6 address by itself."""
    families = netlink.pick(body, (IFLA_AF_SPEC,), IFINFO.size)
    held = netlink.pick(families.get(IFLA_AF_SPEC, b""), (socket.AF_INET6,))
    mode = netlink.pick(held.get(socket.AF_INET6, b""), (IFLA_INET6_ADDR_GEN_MODE,))
    return mode.get(IFLA_INET6_ADDR_GEN_MODE) == _NO_ADDRESS


def tap_flags(body: bytes) -> int:
    """Return the flags of TUNSETIFF that leave a tap as it is, from its RTM_NEWLINK."""
    info = netlink.pick(netlink.pick(body, (IFLA_LINKINFO,), IFINFO.size)[IFLA_LINKINFO], _INFO)
    held = netlink.pick(info[IFLA_INFO_DATA], _TAP_FLAGS)
    flags = IFF_TAP if held.get(IFLA_TUN_PI, b"\0") != b"\0" else IFF_TAP | IFF_NO_PI
    if held.get(IFLA_TUN_VNET_HDR, b"\0") != b"\0":
        flags |= IFF_VNET_HDR
    return flags | IFF_MULTI_QUEUE if held.get(IFLA_TUN_MULTI_QUEUE) == b"\x01" else flags
