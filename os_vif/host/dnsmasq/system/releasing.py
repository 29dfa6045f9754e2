# SPDX-License-Identifier: Apache-2.0
"""Give back addresses for guests that are gone, in their names.

Guests end without a word.  What one has by DHCP would be kept for it, and its name told, for hours.

Sources: RFC 2131 (DHCPRELEASE), RFC 8415 (Release), ip(7).
"""

from __future__ import annotations

import contextlib
import ipaddress
import secrets
import socket
import struct
from collections.abc import Sequence

from os_vif.host.dnsmasq.questions import DHCP, DHCPV6
from os_vif.host.dnsmasq.system.written import Lease
from os_vif.host.routes.system import addresses

_RELEASE = 7
_COOKIE = b"\x63\x82\x53\x63"
_RELEASE6 = 8
_SERVERS6 = "ff02::1:2"
"""All servers on a link."""
_CLIENT6 = 546


def release(bridge: str, leases: Sequence[Lease], duid: str) -> None:
    """Give back what guests have, as far as the server on the bridge can be told.

    :param duid: the server's own identifier for DHCPv6; '' for none
    """
    for lease in leases:
        with contextlib.suppress(OSError):  # the bridge has lost its address, say: it runs out
            if ":" in lease.address:
                _release6(bridge, lease, duid)
            else:
                _release4(bridge, lease)


def _release4(bridge: str, lease: Lease) -> None:
    address = ipaddress.IPv4Address(lease.address)
    own = (ipaddress.ip_interface(it.local) for it in addresses.of_device(bridge))
    for server in own:
        if address not in server.network:
            continue
        whose = server.ip.packed
        hardware = bytes.fromhex(lease.mac.replace(":", ""))
        head = struct.pack("!BBBBIHH", 1, 1, 6, 0, secrets.randbits(32), 0, 0)
        options = _option(53, bytes([_RELEASE])) + _option(54, whose)
        if lease.client:
            options += _option(61, _bytes(lease.client))
        message = (
            *(head, address.packed, bytes(12), hardware.ljust(16, b"\0"), bytes(192)),
            *(_COOKIE, options, b"\xff"),
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            # What the bridge's own host says to it comes in by the device that it leaves by.
            channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode())
            channel.sendto(b"".join(message), (str(server.ip), DHCP))


def _option(number: int, value: bytes) -> bytes:
    return bytes([number, len(value)]) + value


def _release6(bridge: str, lease: Lease, duid: str) -> None:
    if not duid:
        return
    address = _option6(5, ipaddress.IPv6Address(lease.address).packed + bytes(8))
    association = struct.pack("!III", lease.association, 0, 0) + address
    message = (
        *(bytes([_RELEASE6]), secrets.token_bytes(3), _option6(1, _bytes(lease.client))),
        *(_option6(2, _bytes(duid)), _option6(8, bytes(2)), _option6(3, association)),
    )
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, bridge.encode())
        channel.bind(("::", _CLIENT6))
        index = socket.if_nametoindex(bridge)
        channel.sendto(b"".join(message), (_SERVERS6, DHCPV6, 0, index))


def _option6(number: int, value: bytes) -> bytes:
    return struct.pack("!HH", number, len(value)) + value


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))
