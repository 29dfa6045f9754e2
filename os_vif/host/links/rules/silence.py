# SPDX-License-Identifier: Apache-2.0
"""What to warn of where IPv6 of a device could only be silenced, as in a container."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from os_vif.engine.family import Caution
from os_vif.host.links.questions import LINKS

if TYPE_CHECKING:
    from os_vif.engine.observed import Host
    from os_vif.engine.topology import Topology
    from os_vif.host.links.resources import Bridge, Tap


def warn_of_advertisements(
    _topology: Topology, host: Host, device: Bridge | Tap
) -> Iterator[Caution]:
    """Warn of a device that would take a guest for a router."""
    link = host[LINKS].get(device.name)
    if link is None or not link.attributes.get("silent_ipv6"):
        return
    # Of a port the bridge takes all frames; ipv6_accept_ra() of the kernel.
    accepts = link.attributes.get("accept_ra") == 2 or (
        link.attributes.get("accept_ra") == 1 and not link.attributes.get("forwarding6")
    )
    if accepts and link.attributes.get("master") is None:
        yield Caution(
            device.name,
            "IPv6 is silent there and not off, as /proc/sys cannot be written: a guest that "
            "advertises itself as a router gives this host a route. Start the container with "
            "net.ipv6.conf.default.disable_ipv6=1, or turn it off from outside",
        )
