# SPDX-License-Identifier: Apache-2.0
"""OVN's options of DHCP, which are no text but expressions.

What stands in ``DHCP_Options.options`` and in ``Logical_Switch_Port.options:hostname`` ovn-northd
pastes into ``put_dhcp_opts(...)`` (ovn-sb(5), "Logical_Flow TABLE"), as it is: a quotation mark or
a brace in it ends the flow, and with it DHCP of all ports.  So nothing gets there that was not
made here, from values of which each is known to be an address, a number or a name.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Range = ipaddress.IPv4Network | ipaddress.IPv6Network

EVERYWHERE: dict[int, Range] = {
    4: ipaddress.IPv4Network("0.0.0.0/0"),
    6: ipaddress.IPv6Network("::/0"),
}
"""Where a default route leads, by the version of IP."""

_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
    r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*\Z"
)


def is_name(text: str) -> bool:
    """Tell whether this is a name of a host or a domain (RFC 1123, 2.1)."""
    return _NAME.match(text) is not None


def name(text: str) -> str:
    """Return a name of a host or a domain, as a string of OVN's.

    :raises ValueError: it is none
    """
    if not is_name(text):
        raise ValueError("letters, digits and '-', with a dot between two parts, as in example.org")
    return f'"{text}"'


def addresses(items: Iterable[Address]) -> str:
    """Return addresses as a set of OVN's."""
    return "{" + ", ".join(map(str, items)) + "}"


def routes(items: Iterable[tuple[Range, Address]]) -> str:
    """Return routes, each with its next hop, as OVN has option 121 of DHCP (RFC 3442)."""
    return "{" + ", ".join(f"{to},{via}" for to, via in items) + "}"
