# SPDX-License-Identifier: Apache-2.0
"""When the device is there, when it is in the way, and which steps make it so."""

from os_vif.engine.family import Caution, Phase, Rule
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import LINKS, correct, in_the_way, made_by, mark_on
from os_vif_vxlan.questions import REACHED
from os_vif_vxlan.resources import Vxlan


def alias_of(mark, wanted):
    """Return the alias: the mark, who alone deletes the device, and what ip link set cannot."""
    return f"{mark} {made_by('vxlan')} vni={wanted.vni} remote={wanted.remote}"


def _is_ours(draft, link):
    mark = parse_mark(link.alias)
    if mark is None:  # a plug was killed before it could mark it
        return link.kind == "vxlan" and draft.mark.vif_id[:11] in link.name
    return mark.vif_id == draft.mark.vif_id


def plug(draft, wanted):
    """Make the device, correct it, or make it anew for another network or host."""
    link = draft.host[LINKS][wanted.name]
    alias = alias_of(draft.mark, wanted)
    if link is not None:
        if not _is_ours(draft, link):
            raise in_the_way(link, f"VIF {draft.mark.vif_id} needs a VXLAN device")
        if link.alias == alias_of(mark_on(draft.mark, link), wanted):
            correct(
                draft, link, {"master": wanted.bridge, "mac": wanted.mac, "up": True}, link.alias
            )
            return
        draft.add("del_vxlan", name=link.name)
    draft.add(
        "add_vxlan",
        name=wanted.name,
        mac=wanted.mac,
        bridge=wanted.bridge,
        vni=wanted.vni,
        remote=wanted.remote,
        alias=alias,
    )


def unplug(draft, wanted):
    """Delete the device, if it is this VIF's."""
    link = draft.host[LINKS][wanted.name]
    if link is not None and _is_ours(draft, link):
        draft.add("del_vxlan", name=link.name)


def warn(_topology, host, wanted):
    """Warn where the tunnel leads nowhere, which no step of ours changes."""
    if not host[REACHED].get(wanted.remote, True):
        yield Caution(wanted.name, f"this host has no route to {wanted.remote}; add one")


RULES = {
    Vxlan: Rule(
        asks=lambda wanted, _mark: [LINKS(wanted.name)],
        plug=plug,
        unplug={Phase.DELETE: unplug},
        own=lambda wanted: [("add_vxlan", wanted.name)],
        claims=lambda wanted: [("name", wanted.name)],
        watches=lambda wanted, _mark: [REACHED(wanted.remote)],
        warns=warn,
    )
}
