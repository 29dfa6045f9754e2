# SPDX-License-Identifier: Apache-2.0
"""What a field of a specification may hold: how its text is read, and its JSON Schema.

What may live here: one kind for each sort of value, and the reading of nested ones.  Which
fields there are is the table's business (``types``).
"""

from __future__ import annotations

import dataclasses
import difflib
import ipaddress
import re
from collections.abc import Callable, Iterable
from typing import Any

from os_vif import exception
from os_vif.cli.specs.nodes import Mapping, Mark, Node, Problem, Scalar, Sequence, what
from os_vif.host import checks

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
class Field:
    """One field.

    :ivar help: what it is for; one sentence without its full stop.
    :ivar default: what holds without it, in words; '' if that needs none.
    :ivar known_as: the names the library's own errors have for it.
    """

    name: str
    kind: Kind | ListOf | Group
    help: str
    required: bool = False
    default: str = ""
    known_as: tuple[str, ...] = ()

    @property
    def schema(self) -> Schema:
        """JSON Schema, with the description."""
        text = f"{self.help} (default: {self.default})" if self.default else self.help
        return {"description": text, **self.kind.schema}


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


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        address = text.partition("/")[0]
        hint = " (without a prefix length)" if address != text else ""
        raise ValueError(f"an IPv4 or IPv6 address, as in 192.0.2.10{hint}") from None


def _cidr(text: str) -> str:
    try:
        loose = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError("a network in CIDR form, as in 192.0.2.0/24") from None
    if "/" not in text:
        raise ValueError(f"a network in CIDR form, as in {loose}")
    if loose.network_address != ipaddress.ip_interface(text).ip:
        raise ValueError(f"the network's own address: {loose}")
    return str(loose)


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


# --- reading ------------------------------------------------------------------------------------


@dataclasses.dataclass(slots=True)
class Reading:
    """What reading one VIF found.

    :ivar marks: where each field stands, by its path within the VIF.
    """

    root: str
    problems: list[Problem] = dataclasses.field(default_factory=list)
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)

    def path(self, inner: str) -> str:
        """Return the path of a field from the top of its document."""
        return f"{self.root}.{inner}" if self.root and inner else self.root or inner

    def problem(self, mark: Mark, inner: str, message: str) -> None:
        """Note a problem of the field ``inner``."""
        self.problems.append(Problem(mark, self.path(inner), message))


def read_group(fields: Iterable[Field], node: Node, path: str, into: Reading) -> dict[str, Any]:
    """Read a mapping; problems go to ``into``, and what could be read is returned."""
    known = {field.name: field for field in fields}
    values: dict[str, Any] = {}
    meant: set[str] = set()
    into.marks[path] = node.mark
    if not isinstance(node, Mapping):
        example = ", ".join(list(known)[:3])
        into.problem(node.mark, path, f"expected a mapping ({example}, ...), found {what(node)}")
        return values
    for key, value in node.items:
        inner = f"{path}.{key.text}" if path else key.text
        into.marks[inner] = value.mark
        field = known.get(key.text)
        if field is None:
            place = place_of(key.text, known.values())
            meant.add(place or closest(key.text, known))
            hint = f"did you mean {place!r}?" if place else suggest(key.text, known)
            into.problem(key.mark, inner, f"unknown field; {hint}")
        elif not (isinstance(value, Scalar) and value.is_null):
            found = read(field.kind, value, inner, into)
            if found is not None:
                values[field.name] = found
        elif field.required:
            into.problem(value.mark, inner, f"has no value; expected {field.kind.name}")
    for field in known.values():
        if field.required and field.name not in meant and node.get(field.name) is None:
            inner = f"{path}.{field.name}" if path else field.name
            message = f"missing; add {field.name}: {field.help} ({field.kind.name})"
            into.problem(node.mark, inner, message)
    return values


def read(kind: Kind | ListOf | Group, node: Node, path: str, into: Reading) -> Any:
    """Read a value of a kind; None, with a problem in ``into``, if it cannot be used."""
    if isinstance(kind, Group):
        return read_group(kind.fields, node, path, into)
    if isinstance(kind, ListOf):
        if not isinstance(node, Sequence):
            hint = f": write [{node.text}]" if isinstance(node, Scalar) else ""
            into.problem(node.mark, path, f"expected a list, found {what(node)}{hint}")
            return None
        found = []
        for position, item in enumerate(node.items):
            inner = f"{path}[{position}]"
            into.marks[inner] = item.mark
            found.append(read(kind.of, item, inner, into))
        return [item for item in found if item is not None]
    if not isinstance(node, Scalar):
        into.problem(node.mark, path, f"expected {kind.name}, found {what(node)}")
        return None
    try:
        return kind.convert(node.text)
    except exception.InvalidField as error:
        expected = error.kwargs["expected"]
    except ValueError as error:
        expected = str(error)
    into.problem(node.mark, path, f"{node.text!r} cannot be used; expected {expected}")
    return None


def place_of(word: str, fields: Iterable[Field], path: str = "") -> str:
    """Return the path of the field that goes by this name elsewhere: in OpenStack, or deeper."""
    for field in fields:
        if word in field.known_as or (path and word == field.name):
            return f"{path}{field.name}"
        if isinstance(field.kind, Group):
            deeper = place_of(word, field.kind.fields, f"{path}{field.name}.")
            if deeper:
                return deeper
    return ""


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was meant, by its looks; '' if none is close."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else ""


def suggest(word: str, known: Iterable[str]) -> str:
    """Say which of the known words may have been meant."""
    words = list(known)
    meant = closest(word, words)
    return f"did you mean {meant!r}?" if meant else f"expected one of: {', '.join(words)}"
