# SPDX-License-Identifier: Apache-2.0
"""When a route, an NDP proxy or a forwarding rule is there, and which steps make it so."""

from __future__ import annotations

from collections.abc import Mapping

from os_vif import exception
from os_vif.host.draft import Draft
from os_vif.host.observed import Route, as_mapping
from os_vif.host.resources import ForwardRules, HostRoute, ProxyNeighbour, Value
from os_vif.host.topology import rules_comment

RT_SCOPE_LINK = 253
RTPROT_STATIC = 4


def row_of(wanted: HostRoute) -> Mapping[str, Value]:
    """Return the route as the fields of a step."""
    on_link_ipv4 = wanted.gateway is None and ":" not in wanted.destination
    return as_mapping(
        Route(
            wanted.destination,
            gateway=wanted.gateway or "",
            protocol=RTPROT_STATIC,
            scope=RT_SCOPE_LINK if on_link_ipv4 else 0,
        )
    )


def plug_route(draft: Draft, wanted: HostRoute) -> None:
    """Make the route, unless it leads elsewhere."""
    found = draft.host.routes_to.get(wanted.destination)
    if found == wanted.target:
        return
    if found is not None:
        raise exception.ResourceConflict(
            resource=f"route {wanted.destination}",
            reason=f"it leads to {found[0]}, and {wanted.device} is needed",
        )
    draft.add("add_route", device=wanted.device, route=row_of(wanted))


def is_proxied(draft: Draft, wanted: ProxyNeighbour) -> bool:
    """Tell whether the host answers for the address already."""
    return wanted.address in draft.host.proxies.get(wanted.device, frozenset())


def plug_proxy(draft: Draft, wanted: ProxyNeighbour) -> None:
    """Let the host answer for the address."""
    if not is_proxied(draft, wanted):
        draft.add("add_proxy", device=wanted.device, address=wanted.address)


def plug_rules(draft: Draft, wanted: ForwardRules) -> None:
    """Set the rules, where those there differ."""
    set_rules(draft, wanted, wanted.rules)


def set_rules(draft: Draft, wanted: ForwardRules, rules: tuple[tuple[str, ...], ...]) -> None:
    """Make the VIF's rules for the bridge just these, unless they are or there is no iptables."""
    comment = rules_comment(draft.mark, wanted.bridge)
    key = (comment, wanted.ipv6)
    if key in draft.host.forwarding:
        found = draft.host.forwarding[key]
        # iptables spells out what a target has by default, so ours may be the beginning.
        if found is None or (
            len(found) == len(rules)
            and all(have[: len(want)] == want for have, want in zip(found, rules, strict=True))
        ):
            return
    draft.add(
        "set_forwarding",
        comment=comment,
        ipv6=wanted.ipv6,
        rules=[list(rule) for rule in rules],
        top_regex=wanted.top_regex,
        bottom_regex=wanted.bottom_regex,
    )
