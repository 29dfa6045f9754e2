# SPDX-License-Identifier: Apache-2.0
"""Addresses and routes over rtnetlink.

Sources: rtnetlink(7), linux/if_addr.h, linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

from os_vif import exception
from os_vif.host.routes.questions import Address, Route
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError, attribute, attribute_u32

_IFADDR = struct.Struct("=BBBBi")
_RTMSG = struct.Struct("=BBBBBBBBI")
_RTNEXTHOP = struct.Struct("=HBBi")
_CACHEINFO = struct.Struct("=IIII")
_U32 = struct.Struct("=I")
_EXPIRES = struct.Struct("=i")
_FOREVER = 0xFFFFFFFF
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

# linux/if_addr.h
_IFA_ADDRESS, _IFA_LOCAL, _IFA_LABEL, _IFA_BROADCAST, _IFA_CACHEINFO = 1, 2, 3, 4, 6
_IFA_FLAGS, _IFA_RT_PRIORITY, _IFA_PROTO = 8, 9, 11
_IFA_F_NODAD = 0x02
# HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN: what a move must keep.
_KEPT_FLAGS = 0x10 | 0x100 | 0x200 | 0x400
_RT_SCOPE_LINK, _RT_SCOPE_HOST = 253, 254

# linux/rtnetlink.h
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PRIORITY, _RTA_PREFSRC, _RTA_METRICS = 1, 4, 5, 6, 7, 8
_RTA_MULTIPATH, _RTA_CACHEINFO, _RTA_TABLE, _RTA_VIA, _RTA_EXPIRES = 9, 12, 15, 18, 23
_RTA_NH_ID = 30
_RTAX_MTU = 2
_RTN_UNICAST, _RTN_MULTICAST = 1, 5
_RT_TABLE_LOCAL = 255
_RTM_F_CLONED = 0x200
_RTM_F_FIB_MATCH = 0x2000
_RTNH_F_ONLINK = 4


Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Addresses to which at most a default route leads (RFC 1112, 4; RFC 3701).  To the kernel that of
# all zeroes is the host itself.
_NOBODY = {4: ipaddress.ip_address("240.0.0.1"), 6: ipaddress.ip_address("3ffe::1")}


def _index(device: str) -> int:
    return netlink.index_of(device)


def _text(value: bytes) -> str:
    return str(ipaddress.ip_address(value))


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _family(address: str) -> int:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


# --- addresses --------------------------------------------------------------------------------


def of_device(device: str) -> tuple[Address, ...]:
    """Return the addresses of a device that a host would miss: all but IPv6 link-local ones.

    :raises OSError: there is no such device.
    """
    index = _index(device)
    found = []
    for family in (socket.AF_INET, socket.AF_INET6):
        bodies = netlink.dump(netlink.RTM_GETADDR, _IFADDR.pack(family, 0, 0, 0, index))
        if family == socket.AF_INET6:
            # The kernel shows the newest first; given to another device oldest first they end
            # in the same order, which decides between equals as source addresses (RFC 6724).
            bodies.reverse()
        for body in bodies:
            address = _parse_address(body)
            if not (family == socket.AF_INET6 and address.scope == _RT_SCOPE_LINK):
                found.append(address)
    return tuple(found)


def is_kept(device: str, local: str) -> bool:
    """Tell whether the host keeps an address that a device loses, or can do without.

    It is on another device too, or it has a limited life: then somebody renews it.

    :param local: with prefix length
    :raises OSError: there is no such device.
    """
    index, family = _index(device), _family(local)
    packed = _packed(local.partition("/")[0])
    for body in netlink.dump(netlink.RTM_GETADDR, _IFADDR.pack(family, 0, 0, 0, 0)):
        held = dict(netlink.attributes(body, 8))
        if held.get(_IFA_LOCAL, held[_IFA_ADDRESS]) != packed:
            continue
        if _IFADDR.unpack_from(body)[4] != index or _parse_address(body).valid is not None:
            return True
    return False


def device_of(address: str) -> str:
    """Return the name of the device that has an IP address; '' for none.

    :param address: without prefix length
    :raises ValueError: it is none.
    """
    family, packed = _family(address), _packed(address)
    for body in netlink.dump(netlink.RTM_GETADDR, _IFADDR.pack(family, 0, 0, 0, 0)):
        held = dict(netlink.attributes(body, 8))
        if held.get(_IFA_LOCAL, held[_IFA_ADDRESS]) == packed:
            return socket.if_indextoname(_IFADDR.unpack_from(body)[4])
    return ""


def _parse_address(body: bytes) -> Address:
    _, prefix, flags, scope, _ = _IFADDR.unpack_from(body)
    held = dict(netlink.attributes(body, 8))
    if _IFA_FLAGS in held:
        flags = _U32.unpack(held[_IFA_FLAGS])[0]
    # Without IFA_LOCAL (most IPv6) the address stands in IFA_ADDRESS; with both it is the peer.
    own = held.get(_IFA_LOCAL, held[_IFA_ADDRESS])
    peer = held[_IFA_ADDRESS] if held[_IFA_ADDRESS] != own else b""
    preferred = valid = _FOREVER
    if _IFA_CACHEINFO in held:
        preferred, valid, _created, _updated = _CACHEINFO.unpack(held[_IFA_CACHEINFO])
    return Address(
        local=f"{_text(own)}/{prefix}",
        peer=f"{_text(peer)}/{prefix}" if peer else "",
        broadcast=_text(held[_IFA_BROADCAST]) if _IFA_BROADCAST in held else "",
        scope=scope,
        flags=flags & _KEPT_FLAGS,
        label=held.get(_IFA_LABEL, b"\0")[:-1].decode(errors="replace"),
        valid=None if valid == _FOREVER else valid,
        preferred=None if preferred == _FOREVER else preferred,
        metric=_U32.unpack(held.get(_IFA_RT_PRIORITY, b"\0\0\0\0"))[0],
        proto=held.get(_IFA_PROTO, b"\0")[0],
    )


def _address_body(device: str, address: dict[str, Any], *, whole: bool) -> bytes:
    local = ipaddress.ip_interface(address["local"])
    family = _family(address["local"])
    peer = ipaddress.ip_interface(address["peer"]).ip if address["peer"] else local.ip
    parts = [
        _IFADDR.pack(family, local.network.prefixlen, 0, address["scope"], _index(device)),
        attribute(_IFA_LOCAL, local.ip.packed),
        attribute(_IFA_ADDRESS, peer.packed),
    ]
    if whole:
        # It is in use on this wire already, so there is nothing to detect (RFC 4862, 5.4).
        flags = address["flags"] | (_IFA_F_NODAD if family == socket.AF_INET6 else 0)
        parts.append(attribute_u32(_IFA_FLAGS, flags))
        if address["broadcast"]:
            parts.append(attribute(_IFA_BROADCAST, _packed(address["broadcast"])))
        if address["label"]:
            parts.append(netlink.attribute_text(_IFA_LABEL, address["label"]))
        if address["metric"]:
            parts.append(attribute_u32(_IFA_RT_PRIORITY, address["metric"]))
        if address["proto"]:
            parts.append(attribute(_IFA_PROTO, bytes([address["proto"]])))
        valid, preferred = (
            _FOREVER if address[key] is None else address[key] for key in ("valid", "preferred")
        )
        parts.append(attribute(_IFA_CACHEINFO, _CACHEINFO.pack(preferred, valid, 0, 0)))
    return b"".join(parts)


def add(device: str, address: dict[str, Any]) -> None:
    """Give a device an address; one it has already is fine.

    :raises OSError: the kernel refused.
    """
    flags = netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
    tell(netlink.RTM_NEWADDR, flags, _address_body(device, address, whole=True), errno.EEXIST)


def delete(device: str, address: dict[str, Any]) -> None:
    """Take an address from a device; one it does not have is fine.

    :raises OSError: the kernel refused.
    """
    body = _address_body(device, address, whole=False)
    tell(netlink.RTM_DELADDR, 0, body, errno.EADDRNOTAVAIL)


def tell(kind: int, flags: int, body: bytes, harmless: int) -> None:
    """Have the kernel change something.

    :param harmless: the number of the error that says it is so already
    :raises OSError: the kernel refused.
    """
    try:
        netlink.ask(Message(kind, flags | netlink.NLM_F_ACK, body))
    except NetlinkError as error:
        if error.errno != harmless:
            raise


# --- routes -----------------------------------------------------------------------------------


def routes_of(device: str) -> tuple[Route, ...]:
    """Return the routes by a device that a host would miss: all but link-local and multicast.

    The kernel's own are among them: where an address has IFA_F_NOPREFIXROUTE they are somebody
    else's in truth, and one of IPv6 outlives an address whose life is limited.

    :raises OSError: there is no such device.
    :raises ResourceConflict: a route has several next hops, or goes by a nexthop object.
    """
    index = _index(device)
    found: list[Route] = []
    for family in (socket.AF_INET, socket.AF_INET6):
        asked = _RTMSG.pack(family, 0, 0, 0, 0, 0, 0, 0, 0) + attribute_u32(_RTA_OIF, index)
        for body in netlink.dump(netlink.RTM_GETROUTE, asked):
            found += _parse_route(body, index)
    return tuple(found)


def _parse_route(body: bytes, device: int) -> Iterator[Route]:
    """Yield the route's next hops by the device with this index."""
    family, length, _src, tos, table, protocol, scope, kind, flags = _RTMSG.unpack_from(body)
    held = dict(netlink.attributes(body, 12))
    if _RTA_TABLE in held:
        table = _U32.unpack(held[_RTA_TABLE])[0]
    if kind != _RTN_UNICAST or table == _RT_TABLE_LOCAL or flags & _RTM_F_CLONED:
        return
    nowhere = b"\0" * (16 if family == socket.AF_INET6 else 4)
    destination = ipaddress.ip_network((held.get(_RTA_DST, nowhere), length))
    if family == socket.AF_INET6 and (destination.is_link_local or destination.is_multicast):
        return
    source = held.get(_RTA_PREFSRC, b"")
    metrics = dict(netlink.attributes(held.get(_RTA_METRICS, b"")))
    for index, hop_flags, hop in _next_hops(flags, held):
        if index != device:
            continue
        if _RTA_MULTIPATH in held and family == socket.AF_INET:
            # One next hop cannot be taken out of it, and the others are not ours to move.
            raise exception.ResourceConflict(
                resource=f"route {destination}",
                reason="it has several next hops, which cannot move to a bridge",
            )
        if _RTA_NH_ID in held:
            raise exception.ResourceConflict(
                resource=f"route {destination}",
                reason="it goes by a nexthop object, which others may use too, so it cannot move "
                "to a bridge",
            )
        yield Route(
            destination=str(destination),
            gateway=_gateway(hop),
            source=_text(source) if source else "",
            table=table,
            priority=_U32.unpack(held.get(_RTA_PRIORITY, b"\0\0\0\0"))[0],
            protocol=protocol,
            scope=scope,
            tos=tos,
            onlink=bool(hop_flags & _RTNH_F_ONLINK),
            mtu=_U32.unpack(metrics.get(_RTAX_MTU, b"\0\0\0\0"))[0],
            expires=_expires(held),
        )


def networks(*, ipv6: bool) -> Iterator[tuple[str, str, str]]:
    """Yield networks that the host has, each with its device ('' for none): routes, addresses.

    Default routes are none, nor what is every link's own.  A route is told with ``route``, an
    address that has none with ``address``.
    """
    names = dict(socket.if_nameindex())
    found = set()
    family = socket.AF_INET6 if ipv6 else socket.AF_INET
    for body in netlink.dump(netlink.RTM_GETROUTE, _RTMSG.pack(family, *[0] * 8)):
        for network, index in _led_to(body):
            found.add((network, index))
            yield str(network), names.get(index, ""), "route"
    for body in netlink.dump(netlink.RTM_GETADDR, _IFADDR.pack(family, 0, 0, 0, 0)):
        network = ipaddress.ip_interface(_parse_address(body).local).network
        index = _IFADDR.unpack_from(body)[4]
        if (network, index) not in found and not (network.is_link_local or network.is_loopback):
            yield str(network), names.get(index, ""), "address"


def _led_to(body: bytes) -> Iterator[tuple[Network, int]]:
    """Yield the network that a route leads to, and by which devices, 0 for none."""
    family, length, _src, _tos, table, _protocol, _scope, kind, flags = _RTMSG.unpack_from(body)
    held = dict(netlink.attributes(body, 12))
    if _RTA_TABLE in held:
        table = _U32.unpack(held[_RTA_TABLE])[0]
    if not length or kind == _RTN_MULTICAST or table == _RT_TABLE_LOCAL or flags & _RTM_F_CLONED:
        return
    nowhere = b"\0" * (16 if family == socket.AF_INET6 else 4)
    network = ipaddress.ip_network((held.get(_RTA_DST, nowhere), length))
    if not (network.is_link_local or network.is_multicast or network.is_loopback):
        # One of IPv6 that leads nowhere is the loopback's, to the kernel.
        hops = [hop[0] for hop in _next_hops(flags, held)] if kind == _RTN_UNICAST else []
        yield from ((network, index) for index in hops or [0])


def _expires(held: dict[int, bytes]) -> int | None:
    """Return after how many seconds an IPv6 route goes; None for never."""
    if _RTA_CACHEINFO not in held:
        return None
    # struct rta_cacheinfo; 0 is never, and less than that is a moment ago.
    ticks = int(_EXPIRES.unpack_from(held[_RTA_CACHEINFO], 8)[0])
    return max(ticks // _TICKS_A_SECOND, 1) if ticks else None


def _next_hops(flags: int, held: dict[int, bytes]) -> Iterator[tuple[int, int, dict[int, bytes]]]:
    """Yield device, flags and attributes of each next hop of a route."""
    if _RTA_OIF in held:
        yield _U32.unpack(held[_RTA_OIF])[0], flags, held
    # IPv6 shows routes that differ in the next hop alone as one, which they are not.
    data = held.get(_RTA_MULTIPATH, b"")
    while len(data) >= _RTNEXTHOP.size:
        length, hop_flags, _weight, index = _RTNEXTHOP.unpack_from(data)
        yield index, hop_flags, dict(netlink.attributes(data[:length], _RTNEXTHOP.size))
        data = data[(length + 3) & ~3 :]


def _gateway(hop: dict[int, bytes]) -> str:
    if _RTA_VIA in hop:  # the family in two bytes, then the address
        return _text(hop[_RTA_VIA][2:])
    return _text(hop[_RTA_GATEWAY]) if _RTA_GATEWAY in hop else ""


def route_to(destination: str) -> tuple[str, str] | None:
    """Return device and gateway of the route to exactly ``destination``, or None.

    One look-up in the routing tables, whatever their size.
    """
    network = ipaddress.ip_network(destination)
    someone = network.network_address if network.prefixlen else _NOBODY[network.version]
    found = _look_up(someone, _RTM_F_FIB_MATCH)
    if found is None:
        return None
    length, held = found
    if length != network.prefixlen or _RTA_OIF not in held:
        return None
    gateway = held.get(_RTA_GATEWAY, b"")
    index = _U32.unpack(held[_RTA_OIF])[0]
    return socket.if_indextoname(index), _text(gateway) if gateway else ""


def way_out(*, ipv6: bool) -> str | None:
    """Return the device by which somebody is reached of whom this host knows nothing, or None."""
    found = _look_up(_NOBODY[6 if ipv6 else 4], 0)
    if found is None or _RTA_OIF not in found[1]:
        return None
    return socket.if_indextoname(_U32.unpack(found[1][_RTA_OIF])[0])


def _look_up(
    someone: ipaddress.IPv4Address | ipaddress.IPv6Address, flags: int
) -> tuple[int, dict[int, bytes]] | None:
    """Return prefix length and attributes of the route to an address; None where none leads."""
    family = _family(str(someone))
    asked = _RTMSG.pack(family, someone.max_prefixlen, 0, 0, 0, 0, 0, 0, flags)
    asked += attribute(_RTA_DST, someone.packed)
    try:
        body = netlink.ask(Message(netlink.RTM_GETROUTE, 0, asked))
    except NetlinkError as error:
        if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
            return None
        raise
    return _RTMSG.unpack_from(body)[1], dict(netlink.attributes(body, 12))


def _route_body(device: str, route: dict[str, Any]) -> bytes:
    network = ipaddress.ip_network(route["destination"])
    table = route["table"]
    parts = [
        _RTMSG.pack(
            _family(route["destination"]),
            network.prefixlen,
            0,
            route["tos"],
            table if table < 256 else 0,
            route["protocol"],
            route["scope"],
            _RTN_UNICAST,
            _RTNH_F_ONLINK if route["onlink"] else 0,
        ),
        attribute(_RTA_DST, network.network_address.packed),
        attribute_u32(_RTA_OIF, _index(device)),
        attribute_u32(_RTA_TABLE, table),
    ]
    if route["gateway"]:
        gateway = _packed(route["gateway"])
        if _family(route["gateway"]) == _family(route["destination"]):
            parts.append(attribute(_RTA_GATEWAY, gateway))
        else:  # IPv4 by an IPv6 neighbour (RFC 5549)
            parts.append(attribute(_RTA_VIA, struct.pack("=H", socket.AF_INET6) + gateway))
    if route["source"]:
        parts.append(attribute(_RTA_PREFSRC, _packed(route["source"])))
    if route["priority"]:
        parts.append(attribute_u32(_RTA_PRIORITY, route["priority"]))
    if route["expires"] is not None:
        parts.append(attribute_u32(_RTA_EXPIRES, route["expires"]))
    if route["mtu"]:
        parts.append(netlink.nested(_RTA_METRICS, attribute_u32(_RTAX_MTU, route["mtu"])))
    return b"".join(parts)


def add_route(device: str, route: dict[str, Any]) -> None:
    """Add a route by a device, beside any to the same destination by another.

    :raises OSError: the kernel refused.
    """
    flags = netlink.NLM_F_CREATE | netlink.NLM_F_APPEND
    tell(netlink.RTM_NEWROUTE, flags, _route_body(device, route), errno.EEXIST)


def delete_route(device: str, route: dict[str, Any]) -> None:
    """Delete a route by a device; one that is not there is fine.

    :raises OSError: the kernel refused.
    """
    tell(netlink.RTM_DELROUTE, 0, _route_body(device, route), errno.ESRCH)
