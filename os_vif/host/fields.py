# SPDX-License-Identifier: Apache-2.0
"""What the fields of steps may hold: the gate that every step from another process passes.

What may live here: predicates over plain data, by name or in tables by field.  A predicate takes
anything at all and tells; it never raises.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from os_vif.host import checks
from os_vif.host.function_marks import parse_function_mark
from os_vif.host.resources import MACVTAP_MODES
from os_vif.host.topology import SHARED_MARK, parse_mark, parse_rules_comment


def holds(check: Callable[[Any], Any]) -> Callable[[Any], bool]:
    """Return the predicate for what ``check`` takes without an error."""

    def ok(value: Any) -> bool:
        try:
            check(value)
        except Exception:  # whatever it says of a value that is not one, it is not one
            return False
        return True

    return ok


def _number(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def one_of(*allowed: Any) -> Callable[[Any], bool]:
    """Return the predicate for just these values, each in its own type."""
    return lambda value: any(value is a or (type(value) is type(a) and value == a) for a in allowed)


def is_mark(value: Any) -> bool:
    """Tell whether this is the alias of a device of ours."""
    return value == SHARED_MARK or (isinstance(value, str) and parse_mark(value) is not None)


def said_mode(mode: Any) -> str:
    """Return a macvtap's mode as people say it."""
    return {"passthru": "passthrough"}.get(mode, str(mode))


def is_alias(value: Any) -> bool:
    """Tell whether the kernel takes this as an alias."""
    # Undo gives back an alias that somebody else chose: any text the kernel takes (IFALIASZ).
    return _is_text(value, 255)


def _is_text(value: Any, longest: int) -> bool:
    return (
        isinstance(value, str)
        and "\0" not in value
        and holds(str.encode)(value)
        and len(value.encode()) <= longest
    )


def _ip(check: Callable[[str], Any]) -> Callable[[Any], bool]:
    # ipaddress takes numbers and bytes too, and a zone, which no message has room for.
    parses = holds(check)
    return lambda value: isinstance(value, str) and "%" not in value and parses(value)


NAME = holds(checks.interface_name)
FLAG = one_of(True, False)
_U32 = _number(0, 0xFFFFFFFF)
_PREFIX = _ip(ipaddress.ip_network)
_WITH_PREFIX = _ip(ipaddress.ip_interface)
IP = _ip(ipaddress.ip_address)
_ANY_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_RULE_WORD = re.compile(r"[A-Za-z0-9_./-]{1,64}\Z")

ATTRIBUTES: Mapping[str, Callable[[Any], bool]] = {
    "mac": lambda value: holds(checks.mac_address)(value) and checks.mac_address(value) == value,
    "mtu": holds(checks.mtu_bytes),
    "up": FLAG,
    "alias": is_alias,
    "group": _U32,
    "master": lambda value: value is None or NAME(value),
    "link": NAME,
    "peer": NAME,
    "vlan_id": holds(checks.vlan_tag),
    "multi_queue": FLAG,
    # The others are only given back.
    "mode": one_of(*MACVTAP_MODES, "private", "source"),
    "stp_state": one_of(0, 1, 2),
    "forward_delay": _number(0, 3000),
    "ageing_time": _U32,
    "mcast_snooping": one_of(0, 1),
    "arp_ignore": _number(0, 8),
    "arp_announce": _number(0, 2),
    "proxy_arp": one_of(0, 1),
    "forwarding": one_of(0, 1),
    "rp_filter": _number(0, 2),
    "disable_ipv6": FLAG,
    "forwarding6": one_of(0, 1),
    "proxy_ndp": one_of(0, 1),
    "proxy_delay": _U32,
    "proxy_delay6": _U32,
    "accept_ra": _number(0, 2),
}
"""Attributes of a link a step may set, with the kernel's names and ranges (linux/if_link.h,
Documentation/networking/ip-sysctl.rst); ``forwarding6`` is net.ipv6.conf.*.forwarding."""

CREATED_KINDS: Mapping[str, frozenset[str]] = {
    "tap": frozenset(),
    "bridge": frozenset(),
    "veth": frozenset({"peer"}),
    "vlan": frozenset({"link", "vlan_id"}),
    "macvtap": frozenset({"link", "mode"}),
}
"""Kinds of link a step may make, with the attributes that one cannot be made without."""


def is_attributes(value: Any) -> bool:
    """Tell whether these are attributes of a link, by name."""
    return isinstance(value, dict) and all(
        key in ATTRIBUTES and ATTRIBUTES[key](item) for key, item in value.items()
    )


def is_new_attributes(value: Any) -> bool:
    """Tell whether a link may be made with these attributes: it must be marked."""
    return is_attributes(value) and is_mark(value.get("alias"))


def is_doomed(value: Any) -> bool:
    """Tell whether these are links to delete: name and index of each, index 0 for any."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(item, list) and len(item) == 2 and NAME(item[0]) and _U32(item[1])
            for item in value
        )
    )


ADDRESS: Mapping[str, Callable[[Any], bool]] = {
    "local": _WITH_PREFIX,
    "peer": lambda value: value == "" or _WITH_PREFIX(value),
    "broadcast": lambda value: value == "" or IP(value),
    "scope": _number(0, 255),
    "flags": _U32,
    "label": lambda value: _is_text(value, checks.IFNAMSIZ - 1),
    "valid": lambda value: value is None or _U32(value),
    "preferred": lambda value: value is None or _U32(value),
    "metric": _U32,
}

ROUTE: Mapping[str, Callable[[Any], bool]] = {
    "destination": _PREFIX,
    "gateway": lambda value: value == "" or IP(value),
    "source": lambda value: value == "" or IP(value),
    "table": _U32,
    "priority": _U32,
    "protocol": _number(0, 255),
    "scope": _number(0, 255),
    "tos": _number(0, 255),
    "onlink": FLAG,
    "mtu": _U32,
}


def is_pci_address(value: Any) -> bool:
    """Tell whether this is the address of a PCI function, as the kernel writes it."""
    return holds(checks.pci_address)(value) and bool(checks.pci_address(value) == value)


VF_NUMBER = _number(0, 0xFFFF)  # sriov_numvfs is a 16-bit register (PCI Express, 9.3.3.7)
DRIVER = holds(checks.pci_driver)

_VF_SETTINGS: Mapping[str, Callable[[Any], bool]] = {
    # Undo gives back whatever was there, and unplug gives back none.
    "mac": lambda value: isinstance(value, str) and bool(_ANY_MAC.match(value)),
    "vlan": _number(0, 4095),
    "qos": _number(0, 7),
    "vlan_proto": one_of(0x8100, 0x88A8),
    "min_tx_rate": _U32,
    "max_tx_rate": _U32,
    "spoofchk": FLAG,
    "trust": FLAG,
    "link_state": one_of("auto", "enable", "disable"),
}
"""Settings of a virtual function (linux/if_link.h, IFLA_VF_*), rates in Mbit/s."""

VF_TOGETHER = (("vlan", "qos", "vlan_proto"), ("min_tx_rate", "max_tx_rate"))
"""Settings that are only ever set together."""


def is_vf_settings(value: Any) -> bool:
    """Tell whether these are settings of a virtual function, whole as far as they are there."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(key in _VF_SETTINGS and _VF_SETTINGS[key](item) for key, item in value.items())
        and all(len(value.keys() & set(names)) in (0, len(names)) for names in VF_TOGETHER)
    )


def is_function_mark(value: Any) -> bool:
    """Tell whether this is the mark of a PCI function, as we write it."""
    return isinstance(value, str) and parse_function_mark(value) is not None


def is_record(fields: Mapping[str, Callable[[Any], bool]]) -> Callable[[Any], bool]:
    """Return the predicate for exactly these fields."""
    return lambda value: (
        isinstance(value, dict)
        and value.keys() == fields.keys()
        and all(ok(value[key]) for key, ok in fields.items())
    )


def is_rules(value: Any) -> bool:
    """Tell whether these are words of rules that a command line can take."""
    return isinstance(value, list) and all(
        isinstance(rule, list)
        and rule
        and all(isinstance(word, str) and _RULE_WORD.match(word) for word in rule)
        for rule in value
    )


def is_words(value: Any) -> bool:
    """Tell whether this is text for people."""
    return _is_text(value, 1000)


def is_comment(value: Any) -> bool:
    """Tell whether this is the comment of forwarding rules of ours."""
    return isinstance(value, str) and parse_rules_comment(value) is not None


def is_pattern(value: Any) -> bool:
    """Tell whether this is a regular expression."""
    return isinstance(value, str) and holds(re.compile)(value)
