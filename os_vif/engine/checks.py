# SPDX-License-Identifier: Apache-2.0
"""What a value must be like before it may become part of a path, a message or a command line.

Everything in a VIF is text from somewhere else; these are the gates it passes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Mapping

from os_vif import exception

IFNAMSIZ = 16
"""Bytes of an interface name, the closing NUL included (linux/if.h)."""

ALTIFNAMSIZ = 128
"""Bytes of an alternative name of an interface, the closing NUL included (linux/if.h)."""

MTU_MIN, MTU_MAX = 68, 65535
"""Bytes: the least IPv4 may have (RFC 791), the most any device takes (ETH_MAX_MTU)."""

SOCKET_PATH_MAX = 107
"""Bytes of a unix socket's path, without the closing NUL (unix(7))."""

VLAN_MIN, VLAN_MAX = 1, 4094
"""Usable VLAN identifiers (IEEE 802.1Q clause 9.6: 0 and 4095 are reserved)."""

# dev_valid_name() in the kernel forbids '/', ':' and white space.  '%' is a template on creation,
# a leading '-' an option and a trailing '+' a wildcard to iptables.  Narrower is safer here, and
# no tool of the field makes names beyond these.
_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*\Z")
# 'all' and 'default' are the kernel's own folders beside the devices' in /proc/sys/net/*/conf.
_RESERVED = frozenset({".", "..", "all", "default"})
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}\Z")
_PCI = re.compile(r"[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]\Z")
_DRIVER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
_TELLABLE = re.compile(r"[A-Za-z0-9_./:@+~-]+\Z")
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,31}\$?\Z")
_VIF_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
_OWNER = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,23}\Z")
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")


def interface_name(value: object, field: str = "name") -> str:
    """Return ``value`` if Linux and every tool can take it as an interface name.

    :raises InvalidField: it is empty, longer than 15 bytes, or holds a character that is special
        to the kernel, to a path or to a command line.
    """
    return _interface(value, field, IFNAMSIZ - 1)


def any_interface_name(value: object, field: str = "name") -> str:
    """Return ``value`` if a device of the host's can have it as its own or an alternative name.

    :raises InvalidField: it is empty, longer than 127 bytes, or as :func:`interface_name` says.
    """
    return _interface(value, field, ALTIFNAMSIZ - 1)


def _interface(value: object, field: str, most: int) -> str:
    # All that passes is ASCII.
    if (
        isinstance(value, str)
        and len(value) <= most
        and _NAME.match(value)
        and value not in _RESERVED
    ):
        return value
    expected = (
        "letters, digits, '_', '.' and '-', not starting with '-' "
        "(no '/', ':', '%', blank or NUL; not '.', '..', 'all' or 'default')"
    )
    if not isinstance(value, str) or not value:
        expected = "an interface name"
    elif len(value.encode("utf-8", "surrogatepass")) > most:
        expected = f"at most {most} bytes"
    raise exception.InvalidField(field=field, value=value, expected=expected)


def mac_address(value: object, field: str = "mac") -> str:
    """Return a unicast Ethernet address as lower-case ``xx:xx:xx:xx:xx:xx``.

    :raises InvalidField: malformed, all zeroes, or with the group bit set (IEEE 802-2014, 8.2).
    """
    text = value.lower().replace("-", ":") if isinstance(value, str) else ""
    if not _MAC.match(text):
        raise exception.InvalidField(
            field=field, value=value, expected="six bytes in hexadecimal, as in 52:54:00:12:34:56"
        )
    if text == "00:00:00:00:00:00":
        raise exception.InvalidField(field=field, value=value, expected="an address that is not 0")
    if int(text[:2], 16) & 1:
        raise exception.InvalidField(
            field=field,
            value=value,
            expected="a unicast address; the first byte of this one is odd, which makes it a "
            "multicast address",
        )
    return text


def mtu_bytes(value: object, field: str = "mtu", most: int = MTU_MAX) -> int:
    """Return an MTU in bytes, 68 to 65535.

    :param most: that the device can have, if it is less
    :raises InvalidField: not a whole number in that range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not MTU_MIN <= value <= most:
        raise exception.InvalidField(
            field=field, value=value, expected=f"a number of bytes from {MTU_MIN} to {most}"
        )
    return value


def vlan_tag(value: object, field: str = "vlan") -> int:
    """Return a VLAN identifier, 1 to 4094.

    :raises InvalidField: not a whole number in that range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not VLAN_MIN <= value <= VLAN_MAX:
        raise exception.InvalidField(
            field=field, value=value, expected=f"a VLAN id from {VLAN_MIN} to {VLAN_MAX}"
        )
    return value


RATE_MIN, RATE_MAX = 8_000, 10**12
"""Bits a second: less is no network, and Open vSwitch counts in kilobits; more is no card."""

BURST_MIN, BURST_MAX = 2_000, 10**9
"""Bytes: a burst holds a frame at least."""

_QUANTITY = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?[ ]?([A-Za-z]*?)(?:/s|ps)?\Z")
_RATE_UNITS = {"": 1, "bit": 1, "kbit": 10**3, "mbit": 10**6, "gbit": 10**9}
_BURST_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "kib": 2**10, "mib": 2**20}


def bit_rate(value: object, field: str = "rate") -> int:
    """Return a rate in bit/s: a number of them, or text with bit, kbit, Mbit or Gbit (of 1000).

    :raises InvalidField: anything else, or less than 8 kbit/s, or more than 1000 Gbit/s.
    """
    found = _quantity(value, _RATE_UNITS)
    if found is None or not RATE_MIN <= found <= RATE_MAX:
        expected = "a rate from 8 kbit to 1000 Gbit in a second, as in 100 Mbit"
        raise exception.InvalidField(field=field, value=value, expected=expected)
    return found


def burst_bytes(value: object, field: str = "burst") -> int:
    """Return a burst in bytes: a number of them, or text with B, kB, MB, KiB or MiB.

    :raises InvalidField: anything else, or less than 2000 bytes, or more than 10**9.
    """
    found = _quantity(value, _BURST_UNITS)
    if found is None or not BURST_MIN <= found <= BURST_MAX:
        expected = "a number of bytes from 2000 to 1000 MB, as in 64 KiB"
        raise exception.InvalidField(field=field, value=value, expected=expected)
    return found


def _quantity(value: object, units: Mapping[str, int]) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    parts = _QUANTITY.match(str(value))
    unit = units.get(parts[3].lower()) if parts else None
    if parts is None or unit is None:
        return None
    fraction = parts[2] or ""
    number = int(f"{parts[1]}{fraction}")
    return int(number * unit // 10 ** len(fraction))


_VLAN_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?\Z")


def vlan_ids(text: str, field: str = "trunks", least: int = VLAN_MIN) -> list[int]:
    """Return in order, each once, the VLAN ids of a list with ranges, as in ``10 20-29``.

    :param least: that any may be; 4094 is the greatest
    :raises InvalidField: it is none.
    """
    found: set[int] = set()
    for word in text.split():
        ends = _VLAN_RANGE.match(word)
        low, high = (int(ends[1]), int(ends[2] or ends[1])) if ends else (1, 0)
        if not least <= low <= high <= VLAN_MAX:
            expected = f"VLAN ids from {least} to {VLAN_MAX} and ranges of them, as in 10 20-29"
            raise exception.InvalidField(field=field, value=text, expected=expected)
        found.update(range(low, high + 1))
    return sorted(found)


def vlan_ranges(ids: Collection[int]) -> list[tuple[int, int]]:
    """Return VLAN ids as ranges, in order, each with its first and its last."""
    found: list[tuple[int, int]] = []
    for vlan in sorted(ids):
        if found and vlan == found[-1][1] + 1:
            found[-1] = (found[-1][0], vlan)
        else:
            found.append((vlan, vlan))
    return found


def spelled_vlans(ids: Collection[int]) -> str:
    """Return VLAN ids as :func:`vlan_ids` reads them, always in the same way."""
    return " ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in vlan_ranges(ids))


def pci_address(value: object, field: str = "dev_address") -> str:
    """Return the address of a PCI function, ``domain:bus:device.function`` in lower-case hex.

    :raises InvalidField: anything else.
    """
    text = value.lower() if isinstance(value, str) else ""
    if not _PCI.match(text):
        raise exception.InvalidField(
            field=field, value=value, expected="a PCI address, as in 0000:3b:00.2"
        )
    return text


def pci_driver(value: object, field: str = "bind_driver") -> str:
    """Return the name of a driver of the PCI bus, which becomes part of a path.

    :raises InvalidField: it is empty, or not of letters, digits, '_' and '-', 64 at most.
    """
    if not isinstance(value, str) or not _DRIVER.match(value):
        raise exception.InvalidField(
            field=field, value=value, expected="the name of a driver, as in vfio-pci"
        )
    return value


def back_end_path(value: object, field: str = "path") -> str:
    """Return a socket's path that a DPDK program can be told, whose lists have no quoting.

    :raises InvalidField: no socket can have it, or it holds a blank, a comma or the like.
    """
    path = socket_path(value, field)
    if not _TELLABLE.match(path):
        raise exception.InvalidField(
            field=field, value=value, expected="only letters, digits and _./:@+~- (DPDK's limits)"
        )
    return path


def socket_path(value: object, field: str = "path") -> str:
    """Return an absolute path that a unix socket can have: 107 bytes at most (unix(7), sun_path).

    :raises InvalidField: anything else.
    """
    text = value if isinstance(value, str) else ""
    try:
        # Strictly: what Python makes of a name that is no text passes no log and no daemon.
        length = len(text.encode(sys.getfilesystemencoding()))
    except UnicodeEncodeError:
        raise exception.InvalidField(
            field=field, value=value, expected="text that this host's file names can hold"
        ) from None
    if not text.startswith("/"):
        raise exception.InvalidField(field=field, value=value, expected="an absolute path")
    if any(character < " " or character == "\x7f" for character in text):
        raise exception.InvalidField(
            field=field, value=value, expected="an absolute path without control characters"
        )
    if text.endswith("/"):
        raise exception.InvalidField(
            field=field, value=value, expected="the path of a socket, which does not end in /"
        )
    if length > SOCKET_PATH_MAX:
        raise exception.InvalidField(
            field=field, value=value, expected=f"at most {SOCKET_PATH_MAX} bytes (unix(7))"
        )
    return text


def account(value: object, field: str, kind: str = "user") -> str:
    """Return the name or number of a user or group, whether this host has it or not.

    :raises InvalidField: no user or group can have it (useradd(8)); a number is at most 2**32 - 2.
    """
    text = value if isinstance(value, str) else ""
    numeric = text.isascii() and text.isdigit() and len(text) <= 10 and int(text) < 0xFFFFFFFF
    if not numeric and not _ACCOUNT.match(text):
        raise exception.InvalidField(
            field=field, value=value, expected=f"name or number of a {kind} of this host"
        )
    return text


def vif_id(value: object, field: str = "id") -> str:
    """Return a VIF's id, which becomes part of marks: a UUID or a word of 64 characters at most.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _VIF_ID.match(value):
        raise exception.InvalidField(
            field=field, value=value, expected="a UUID (letters, digits, '-', '.' and '_')"
        )
    return value


def owner(value: object, field: str = "owner") -> str:
    """Return ``value`` if it can say in a mark whose a VIF is to take away: 24 characters at most.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _OWNER.match(value):
        raise exception.InvalidField(
            field=field,
            value=value,
            expected="one word of letters, digits, '-', '.' and '_', 24 characters at most",
        )
    return value


def word(value: object, field: str) -> str:
    """Return ``value`` if it can stand in a mark: letters, digits, '.', '_', '-', 64 at most.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _WORD.match(value):
        raise exception.InvalidField(
            field=field, value=value, expected="one word of letters, digits, '-', '.' and '_'"
        )
    return value
