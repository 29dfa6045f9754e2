# SPDX-License-Identifier: Apache-2.0
"""Fields that all networks have, and that reach nothing with a type: why, in its own words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from os_vif.specs import Field, Group, ListOf

Why = Callable[[Mapping[str, Any]], str]
Is = Callable[[Mapping[str, Any]], bool]


def always(why: str) -> Why:
    """Return what says so of any VIF."""
    return lambda _values: why


_SERVED = always("nothing here serves DHCP or DNS; what does is told elsewhere")
_ROUTER = "the guest has its router from elsewhere (DHCP, router advertisements, cloud-init)"
_SWITCHED: Mapping[str, Why] = {
    "gateway": always(_ROUTER),
    "routes": always("the guest has its routes from elsewhere (DHCP, cloud-init)"),
    "dns": _SERVED,
    "dhcp_server": _SERVED,
}


def switched(field: Field) -> Field:
    """Return the field of a network whose guests are on a switch: it knows no IP."""
    return _within(field, _SWITCHED)


def served_by(field: Field, more: Field, *, is_served: Is, has_dhcp: Is) -> Field:
    """Return the field of subnets that a host can serve, with one field more in each.

    :param is_served: whether it has the gateways, of any VIF
    :param has_dhcp: whether it serves DHCP
    """

    def unless(is_so: Is, why: Why) -> Why:
        return lambda values: "" if is_so(values) else why(values)

    unused = {
        "gateway": unless(is_served, _SWITCHED["gateway"]),
        "routes": unless(has_dhcp, _SWITCHED["routes"]),
        "dns": unless(has_dhcp, _SERVED),
        "dhcp_server": unless(has_dhcp, _SERVED),
    }
    kind: Any = field.kind
    group = dataclasses.replace(kind.of, fields=(*kind.of.fields, more))
    return _within(dataclasses.replace(field, kind=ListOf(group)), unused)


def routed(field: Field, section: str) -> Field:
    """Return the field of a network whose guests the host routes to, if option ``routed`` is on."""

    def without(_values: Mapping[str, Any]) -> str:
        from oslo_config import cfg

        plugin = section.removeprefix("os_vif_")
        is_on = bool(cfg.CONF[section].routed)
        return "" if is_on else f"nothing is routed to the guest (options: {plugin}: routed: true)"

    return _within(field, {**_SWITCHED, "gateway": without, "routes": without})


def _within(field: Field, unused: Mapping[str, Why]) -> Field:
    """Return a field, those in it that are named with why they reach nothing."""
    kind: Any = field.kind
    group = kind.of if isinstance(kind, ListOf) else kind
    if isinstance(group, Group):
        fields = tuple(
            _within(dataclasses.replace(inner, unused=unused.get(inner.name)), unused)
            for inner in group.fields
        )
        group = dataclasses.replace(group, fields=fields)
        kind = ListOf(group) if isinstance(kind, ListOf) else group
    return dataclasses.replace(field, kind=kind)
