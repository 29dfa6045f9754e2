# SPDX-License-Identifier: Apache-2.0
"""How a host goes on with IPv6 when a bridge takes the place of an uplink.

What a router advertised is the kernel's, which learns it anew on the bridge: so the bridge gets the
settings by which the uplink learned, and IPv6 is turned off on the uplink, a port that hears no
router any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.host.links.questions import LINKS, is_shared, need
from os_vif.host.routes.questions import (
    ADDRESSES,
    HOW_IPV6,
    STABLE_PRIVACY,
    TEMPORARY,
    speaks_ipv6,
    taken_over,
)

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Host
    from os_vif.host.links.questions import Link


def take_over(draft: Draft, bridge: str, uplink: Link | None) -> None:
    """Give a bridge the settings of the uplink that is going to join it, if they matter to it.

    They do not where the host has IPv6 on both, or on neither.
    """
    host = draft.host
    if uplink is None or uplink.attributes.get("master") is not None:
        return
    if not speaks_ipv6(host, uplink.name) or speaks_ipv6(host, bridge):
        return
    settings = taken_over(host, uplink.name, bridge)
    settings.pop(TEMPORARY, None)
    secret = host[HOW_IPV6].get(uplink.name, {}).get("addr_gen_mode") == STABLE_PRIVACY
    if settings or secret:
        draft.add("set_ipv6", device=bridge, settings=settings, as_on=uplink.name)


def take_over_the_last(draft: Draft, bridge: str, uplink: str) -> None:
    """Give a bridge the one setting that it must not have before it has a carrier.

    The kernel would try to make temporary addresses, and give up for ever (addrconf_dad_begin()).
    """
    settings = taken_over(draft.host, uplink, bridge)
    if TEMPORARY in settings:
        last = {TEMPORARY: settings[TEMPORARY]}
        draft.add("set_ipv6", device=bridge, settings=last, as_on=uplink)


def silence(draft: Draft, uplink: str) -> None:
    """Turn IPv6 off on a port that was an uplink; turned on again, it asks for a router."""
    link = need(draft.host, uplink)
    if link.attributes.get("disable_ipv6") is not True:
        draft.add("set_link", name=uplink, attributes={"disable_ipv6": True})


def still_speaks(host: Host, link: Link) -> bool:
    """Tell whether a port of a bridge has IPv6 on, where the host has it on the bridge.

    Then the last step of a move is missing, and routes may be left on the port.  Of a bridge that
    is not ours it is known only while the move has left more behind.
    """
    bridge = host[LINKS].get(str(link.attributes.get("master")))
    return (
        bridge is not None
        and (
            is_shared(bridge.alias)
            or bool(host[ADDRESSES].get(link.name) and speaks_ipv6(host, bridge.name))
        )
        and bridge.attributes.get("disable_ipv6") is False
        # One that is only planned will have it on, as the kernel makes it.
        and link.attributes.get("disable_ipv6", link.index != 0) is False
    )
