# SPDX-License-Identifier: Apache-2.0
"""What is wrong with what is wanted: the field, the value, and what would be right."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from os_vif import exception
from os_vif.logical.expression import Address
from os_vif.logical.subnets import Subnet
from os_vif.specs.problems import quoted

_CHASSIS = re.compile(r"[0-9A-Za-z][0-9A-Za-z._:-]{0,127}\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """Something that cannot be used, or a warning.

    :ivar at: what it is found in, as its ``at`` says.
    :ivar inner: the field of that.
    :ivar value: what is there; None for nothing.
    :ivar expected: what would be right; of a warning, what will happen.
    """

    at: str
    inner: str
    value: object
    expected: str
    is_warning: bool = False

    @property
    def field(self) -> str:
        """The field with what it is in."""
        return f"{self.at}.{self.inner}" if self.at and self.inner else self.at or self.inner

    @property
    def message(self) -> str:
        """What is said of the field."""
        if self.is_warning:
            return f"{quoted(self.value)}: {self.expected}"
        said = "missing" if self.value is None else f"{quoted(self.value)} cannot be used"
        return f"{said}; expected {self.expected}"

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


Findings = Iterator[Finding]


def refused(at: str, inner: str, value: object, check: Callable[[Any], object]) -> Findings:
    """Return what a gate of :mod:`os_vif.engine.checks` has against a value."""
    try:
        check(value)
    except exception.InvalidField as error:
        yield Finding(at, inner, value, str(error.kwargs["expected"]))


def identity(at: str, value: str) -> Findings:
    """Return what is wrong with an id that rows are derived from."""
    if not _UUID.match(value):
        expected = "a UUID, as in 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
        yield Finding(at, "id", value or None, expected)


def text(at: str, inner: str, value: str) -> Findings:
    """Return what is wrong with words for people."""
    if not value.isprintable() or len(value.encode(errors="replace")) > 255:
        yield Finding(at, inner, value, "text of at most 255 bytes, without control characters")


def chassis(at: str, inner: str, names: tuple[str, ...]) -> Findings:
    """Return what is wrong with names of chassis, which OVN reads with commas between them."""
    for position, name in enumerate(names):
        where = f"{inner}[{position}]"
        if not _CHASSIS.match(name):
            expected = (
                "a chassis' name or host name: letters, digits, '.', '_', ':' and '-' "
                "(of several, each for itself in the list)"
            )
            yield Finding(at, where, name, expected)
        elif name in names[:position]:
            yield Finding(at, where, name, "each chassis once")


def taken(subnet: Subnet, address: Address) -> str:
    """Tell what an address of a subnet is, that no guest can have; '' if one can."""
    if address == subnet.gateway:
        return "the subnet's gateway"
    if address == subnet.dhcp_server:
        return "the subnet's dhcp_server"
    return reserved(subnet, address)


def reserved(subnet: Subnet, address: Address) -> str:
    """Tell what an address of a subnet is, that nobody can have; '' if one can."""
    cidr = subnet.cidr
    if cidr.prefixlen >= cidr.max_prefixlen - 1:  # RFC 3021, RFC 6164: two, and both are used
        return ""
    if address == cidr.network_address:
        return f"the address of {cidr} itself" if cidr.version == 4 else "that of all its routers"
    if address == cidr.broadcast_address and cidr.version == 4:
        return f"the broadcast address of {cidr}"
    return ""
