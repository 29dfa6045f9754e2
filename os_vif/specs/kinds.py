# SPDX-License-Identifier: Apache-2.0
"""What a field of a file may hold: how its text is converted, and its JSON Schema.

What may live here: one kind for each sort of value, and how they nest.  Which fields there are is
the business of each type (:mod:`os_vif.specs.vif_type`).
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from os_vif.engine import checks

Schema = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A sort of single value.

    :ivar name: for people, as in "a MAC address".
    :ivar convert: text to value; raises ValueError or InvalidField with what would be right.
    :ivar schema: its JSON Schema.
    """

    name: str
    convert: Callable[[str], Any]
    schema: Schema


@dataclasses.dataclass(frozen=True, slots=True)
class ListOf:
    """A list of values of one kind."""

    of: Kind | Group

    @property
    def name(self) -> str:
        """For people."""
        return f"a list, each {self.of.name}"

    @property
    def schema(self) -> Schema:
        """JSON Schema."""
        return {"type": "array", "items": self.of.schema}


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A mapping with fields of its own."""

    name: str
    fields: tuple[Field, ...]

    @property
    def schema(self) -> Schema:
        """JSON Schema."""
        schema: Schema = {
            "type": "object",
            "properties": {field.name: field.schema for field in self.fields},
            "additionalProperties": False,
        }
        required = [field.name for field in self.fields if field.required]
        return {**schema, "required": required} if required else schema


@dataclasses.dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping whose keys are values themselves: of one kind, and so is what stands by them."""

    keys: Kind
    of: Kind | ListOf

    @property
    def name(self) -> str:
        """For people."""
        return f"a mapping, by {self.keys.name} {self.of.name}"

    @property
    def schema(self) -> Schema:
        """JSON Schema."""
        return {"type": "object", "additionalProperties": self.of.schema}


@dataclasses.dataclass(frozen=True, slots=True)
class Either:
    """A single value, or else a list or a mapping of its own."""

    single: Kind
    other: ListOf | Group

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.single.name}, or {self.other.name}"

    @property
    def schema(self) -> Schema:
        """JSON Schema."""
        return {"anyOf": [self.single.schema, self.other.schema]}


AnyKind = Kind | ListOf | Group | MapOf | Either


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """One field.

    :ivar help: what it is for; one sentence without its full stop.
    :ivar default: what holds without it, in words; '' if that needs none.
    :ivar known_as: the names the library's own errors have for it.
    :ivar unused: given all that was said of the VIF, and once the call's options are set: why the
        field reaches nothing, for a warning; '' if it does reach something.
    """

    name: str
    kind: AnyKind
    help: str
    required: bool = False
    default: str = ""
    known_as: tuple[str, ...] = ()
    unused: Callable[[Mapping[str, Any]], str] | None = None

    @property
    def schema(self) -> Schema:
        """JSON Schema, with the description."""
        text = f"{self.help} (default: {self.default})" if self.default else self.help
        return {"description": text, **self.kind.schema}


def fields_of(kind: AnyKind) -> tuple[Field, ...]:
    """Return the fields of a kind's mapping, or of each mapping of its list; () if it has none."""
    inner = kind.other if isinstance(kind, Either) else kind
    inner = inner.of if isinstance(inner, ListOf | MapOf) else inner
    return inner.fields if isinstance(inner, Group) else ()


# --- the kinds ----------------------------------------------------------------------------------

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_BOOLS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _uuid(text: str) -> str:
    if not _UUID.match(text.lower()):
        raise ValueError("a UUID, as in 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea")
    return text.lower()


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("text without control characters")
    return text


def _bool(text: str) -> bool:
    if text.lower() not in _BOOLS:
        raise ValueError("true or false")
    return _BOOLS[text.lower()]


def one_of(*words: str) -> Kind:
    """Return the kind of a value that is one of these words."""
    choice = " or ".join(words)

    def convert(text: str) -> str:
        if text not in words:
            raise ValueError(choice)
        return text

    return Kind(choice, convert, {"enum": list(words)})


def _socket(text: str) -> str:
    # A zero follows it in sun_path, which has 108 bytes (unix(7)).
    if not text.startswith("/") or not text.isprintable() or len(text.encode()) > 107:
        raise ValueError("an absolute path of at most 107 bytes")
    return text


def _number(check: Callable[[Any], int]) -> Callable[[str], int]:
    def convert(text: str) -> int:
        # The check refuses text, in its own words.
        return check(int(text) if _NUMBER.match(text) else text)

    return convert


@functools.lru_cache(maxsize=1024)
def _ip(text: str) -> str:
    hint = ""
    try:
        found = ipaddress.ip_address(text)
        if "%" not in text:
            return str(found)
        hint = " (without a zone)"  # nobody behind us knows it
    except ValueError:
        if "/" in text:
            hint = " (without a prefix length)"
    raise ValueError(f"an IPv4 or IPv6 address, as in 192.0.2.10{hint}")


@functools.lru_cache(maxsize=1024)
def _cidr(text: str) -> str:
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("a network in CIDR form, as in 192.0.2.0/24") from None
    if "%" in text:
        raise ValueError("a network in CIDR form, without a zone, as in fe80::/64")
    if "/" not in text:
        raise ValueError(f"a network in CIDR form, as in {loose}")
    if loose.network_address != ipaddress.ip_interface(text).ip:
        raise ValueError(f"the network's own address: {loose}")
    return str(loose)


_DURATION = re.compile(r"([1-9][0-9]{0,9})([smhd]?)\Z")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def duration(least: int, most: int, example: str) -> Kind:
    """Return the kind of a time of whole seconds: a number of them, or with s, m, h or d."""

    def convert(text: str) -> int:
        found = _DURATION.match(text)
        seconds = int(found[1]) * _SECONDS[found[2]] if found else 0
        if not least <= seconds <= most:
            raise ValueError(f"a time of {least} to {most} seconds, as in {example}")
        return seconds

    schema: Schema = {
        "anyOf": [
            {"type": "integer", "minimum": least, "maximum": most},
            {"type": "string", "pattern": "^[1-9][0-9]{0,9}[smhd]?$"},
        ]
    }
    return Kind("a time", convert, schema)


def number(check: Callable[[Any], int], least: int, most: int) -> Kind:
    """Return the kind of a whole number that ``check`` takes, from ``least`` to ``most``."""
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return Kind("a number", _number(check), schema)


_STRING: Schema = {"type": "string"}

TEXT = Kind("text", _text, _STRING)
BOOL = Kind("true or false", _bool, {"type": "boolean"})
UUID = Kind("a UUID", _uuid, {"type": "string", "format": "uuid"})
MAC = Kind(
    "a MAC address",
    checks.mac_address,
    {"type": "string", "pattern": "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$"},
)
INTERFACE = Kind(
    "an interface name",
    checks.interface_name,
    {"type": "string", "pattern": "^[A-Za-z0-9_.][A-Za-z0-9_.-]*$", "maxLength": 15},
)
DEVICE = Kind(
    "a name of a device",
    checks.any_interface_name,
    {"type": "string", "pattern": "^[A-Za-z0-9_.][A-Za-z0-9_.-]*$", "maxLength": 127},
)
"""Of the host's: its own, or an alternative one."""
MTU = Kind(
    "a number of bytes",
    _number(checks.mtu_bytes),
    {"type": "integer", "minimum": checks.MTU_MIN, "maximum": checks.MTU_MAX},
)
VLAN = Kind(
    "a VLAN id",
    _number(checks.vlan_tag),
    {"type": "integer", "minimum": checks.VLAN_MIN, "maximum": checks.VLAN_MAX},
)
SOCKET = Kind("a path", _socket, {"type": "string", "pattern": "^/", "maxLength": 107})
PCI = Kind(
    "a PCI address",
    checks.pci_address,
    {"type": "string", "pattern": "^[0-9A-Fa-f]{4}:[0-9A-Fa-f]{2}:[0-1][0-9A-Fa-f].[0-7]$"},
)
IP = Kind("an IP address", _ip, _STRING)
CIDR = Kind("a network", _cidr, _STRING)
