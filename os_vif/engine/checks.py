# SPDX-License-Identifier: Apache-2.0
"""What a value must be like before it may become part of a path, a message or a command line.

Everything in a VIF is text from somewhere else; these are the gates it passes.
"""

from __future__ import annotations

import re
import sys

from os_vif import exception

IFNAMSIZ = 16
"""Bytes of an interface name, the closing NUL included (linux/if.h)."""

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
_WORD = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")


def interface_name(value: object, field: str = "name") -> str:
    """Return ``value`` if Linux and every tool can take it as an interface name.

    :raises InvalidField: it is empty, longer than 15 bytes, or holds a character that is special
        to the kernel, to a path or to a command line.
    """
    if not isinstance(value, str) or not value:
        raise exception.InvalidField(field=field, value=value, expected="an interface name")
    if len(value.encode("utf-8", "surrogatepass")) >= IFNAMSIZ:
        raise exception.InvalidField(
            field=field, value=value, expected=f"at most {IFNAMSIZ - 1} bytes"
        )
    if value in _RESERVED or not _NAME.match(value):
        raise exception.InvalidField(
            field=field,
            value=value,
            expected="letters, digits, '_', '.' and '-', not starting with '-' "
            "(no '/', ':', '%', blank or NUL; not '.', '..', 'all' or 'default')",
        )
    return value


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


def mtu_bytes(value: object, field: str = "mtu") -> int:
    """Return an MTU in bytes, 68 to 65535.

    :raises InvalidField: not a whole number in that range.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not MTU_MIN <= value <= MTU_MAX:
        raise exception.InvalidField(
            field=field, value=value, expected=f"a number of bytes from {MTU_MIN} to {MTU_MAX}"
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


def word(value: object, field: str) -> str:
    """Return ``value`` if it can stand in a mark: letters, digits, '.', '_', '-', 64 at most.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _WORD.match(value):
        raise exception.InvalidField(
            field=field, value=value, expected="one word of letters, digits, '-', '.' and '_'"
        )
    return value
