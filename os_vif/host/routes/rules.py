# SPDX-License-Identifier: Apache-2.0
"""When a route or an NDP proxy is there, and which steps make it so."""

from __future__ import annotations

from collections.abc import Mapping

from os_vif import exception
from os_vif.engine.draft import Draft
from os_vif.engine.family import Rule
from os_vif.host.routes.questions import PROXIES, ROUTES_TO, is_proxied, row_of
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour


def plug_route(draft: Draft, wanted: HostRoute) -> None:
    """Make the route, unless it leads elsewhere."""
    found = draft.host[ROUTES_TO].get(wanted.destination)
    if found == wanted.target:
        return
    if found is not None:
        raise exception.ResourceConflict(
            resource=f"route {wanted.destination}",
            reason=f"it leads to {found[0]}, and {wanted.device} is needed",
        )
    draft.add("add_route", device=wanted.device, route=row_of(wanted))


def plug_proxy(draft: Draft, wanted: ProxyNeighbour) -> None:
    """Let the host answer for the address."""
    if not is_proxied(draft.host, wanted):
        draft.add("add_proxy", device=wanted.device, address=wanted.address)


# The kernel takes both away with the device they stand on.
RULES: Mapping[type, Rule] = {
    HostRoute: Rule(
        asks=lambda route, _mark: [ROUTES_TO(route.destination)],
        plug=plug_route,
    ),
    ProxyNeighbour: Rule(
        asks=lambda proxy, _mark: [PROXIES((proxy.device, proxy.address))],
        plug=plug_proxy,
    ),
}
"""What is to be known of each kind of resource."""
