# SPDX-License-Identifier: Apache-2.0
"""When a macvtap is as it should be, what its lower device must be like, and what it gets back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.draft import note_prefixes
from os_vif.engine.fields import NAME
from os_vif.engine.step import Step
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import (
    LINKS,
    USERS,
    correct,
    found_lower_down,
    in_the_way,
    mark_on,
    naming_guest,
    need,
    netdev_behind,
    raising_mark,
    what,
)
from os_vif.host.links.rules.devices import is_ethernet, is_ours
from os_vif.host.links.rules.taps import give_node
from os_vif.host.routes.questions import ADDRESSES

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Host
    from os_vif.host.links.questions import Link
    from os_vif.host.links.resources import Macvtap, Value

_LONGEST = 244
"""Bytes of an alias (IFALIASZ is 256) that leave room for one word more."""

_STACKED = frozenset({"macvtap", "macvlan", "ipvlan", "ipvtap"})
"""Kinds that share a device themselves: the kernel would put the macvtap on what is below them."""


def plug_macvtap(draft: Draft, wanted: Macvtap) -> None:
    """Make the macvtap, correct it, or make it anew where the kernel cannot change it."""
    lower = need(draft.host, wanted.link or netdev_behind(draft.host, wanted.behind))
    link = draft.host[LINKS][wanted.name]
    if link is not None and not is_ours(draft.mark, wanted, link):
        raise in_the_way(link, f"VIF {draft.mark.vif_id} needs a macvtap of this name")
    _need_fit(draft, wanted, lower)
    given = link is not None and link.attributes.get("mode") == "passthru"
    if wanted.mode != "passthru" and not given:
        _need_free(draft, wanted, lower)
    if wanted.mode != "passthru":
        correct(draft, lower, {"up": True})
    if link is not None:
        draft.release(link)
        link = need(draft.host, wanted.name)
    if link is not None and _can_become(link, wanted, lower):
        correct(draft, link, wanted.attributes(), _mark(draft, link, lower))
    else:
        if wanted.mode == "passthru":
            _need_alone(draft, wanted, lower)
        if link is not None:
            _make_way(draft, link, lower)
        alias = noted(draft, str(draft.mark))
        if wanted.mode == "passthru" and not need(draft.host, lower.name).attributes["up"]:
            alias = raising_mark(alias)
        alias = naming_guest(draft, alias)
        attributes = {**wanted.attributes(), "link": lower.name, "alias": alias}
        draft.add("create_link", kind="macvtap", name=wanted.name, attributes=attributes)
    # One that goes down again with the macvtap comes up last, and down first: wherever this is
    # killed, the mark says what was.
    correct(draft, need(draft.host, lower.name), {"up": True})
    give_node(draft, wanted)


def _mark(draft: Draft, link: Link, lower: Link) -> str:
    """Return the mark the macvtap must carry; what is noted in it stays."""
    alias = noted(draft, mark_on(draft.mark, link), link.alias)
    was_down = found_lower_down(link.alias)
    if parse_mark(link.alias) is None and link.attributes.get("mode") == "passthru":
        # Left by whoever was killed before he could mark it.
        was_down = not lower.attributes["up"]
    if was_down and not found_lower_down(alias):
        alias = raising_mark(alias)
    return naming_guest(draft, alias, link)


def noted(draft: Draft, alias: str, former: str = "") -> str:
    """Return the alias of a macvtap with the notes that its VIF's other things leave on it.

    :param former: the alias the device has now
    """
    prefixes = note_prefixes()
    words = [word for word in alias.split(" ") if not word.startswith(prefixes)]
    notes = draft.noted(former)
    if not notes and len(words) == len(alias.split(" ")):
        return alias
    # Always behind the mark, so that what was noted otherwise is the same text each time.
    behind = len(str(parse_mark(alias) or draft.mark).split(" "))
    text = " ".join([*words[:behind], *notes, *words[behind:]])
    if len(text) > _LONGEST:
        raise exception.InvalidField(
            field="id",
            value=draft.mark.vif_id,
            expected=f"an id, and one of the guest, that leave room in {_LONGEST} bytes for "
            + " ".join(notes),
        )
    return text


def _can_become(link: Link, wanted: Macvtap, lower: Link) -> bool:
    """Tell whether the kernel can make of this device what is wanted (macvlan_changelink())."""
    mode = link.attributes.get("mode")
    both = (mode == "passthru", wanted.mode == "passthru")
    return link.attributes.get("link") == lower.name and both in ((True, True), (False, False))


def _make_way(draft: Draft, link: Link, lower: Link) -> None:
    """Delete a macvtap of ours in steps of which each can be taken back."""
    if parse_mark(link.alias) is None:
        # Only a device with a mark is made again, so an adopted one is marked first.
        draft.add("set_link", name=link.name, attributes={"alias": str(draft.mark)})
    draft.before_anew(link)
    # Below a VLAN device is the card too.
    if link.attributes.get("link") not in (lower.name, lower.attributes.get("link")):
        _lower_again(draft, link)
    draft.add("delete_links", links=[[link.name, link.index]])


def unplug_macvtap(draft: Draft, wanted: Macvtap) -> None:
    """Set the lower device down where it was down before; the kernel gives it back its MAC."""
    link = draft.host[LINKS][wanted.name]
    if link is not None and is_ours(draft.mark, wanted, link):
        draft.release(link)
        _lower_again(draft, link)


def _lower_again(draft: Draft, link: Link) -> None:
    for step in lowering(link):
        if draft.host[LINKS].get(step.args["name"]) is not None:
            draft.take(step)


def lowering(link: Link) -> list[Step]:
    """Return the step, if there is one to take, that sets down what was down before."""
    lower = link.attributes.get("link")
    # Of one that was put into another network namespace only the number is shown (#3).
    if not found_lower_down(link.alias) or not NAME(lower):
        return []
    return [Step("set_link", {"name": lower, "attributes": {"up": False}})]


# --- the lower device -----------------------------------------------------------------------------


def _unusable(lower: Link, reason: str) -> exception.UnusableDevice:
    return exception.UnusableDevice(device=f"device {lower.name}", reason=reason)


def _need_fit(draft: Draft, wanted: Macvtap, lower: Link) -> None:
    """See that macvtaps can be made on a device, and this one.

    :raises UnusableDevice: not on such a device.
    :raises ResourceConflict: somebody else has it.
    :raises InvalidField: the MTU is larger than the device's.
    """
    if lower.kind in _STACKED:
        raise _unusable(
            lower, f"it is {what(lower)}; name the device below it ({lower.attributes.get('link')})"
        )
    if "mac" in lower.attributes and not is_ethernet(lower):
        raise _unusable(lower, "it is not an Ethernet device, and macvtaps stand on no others")
    if parse_mark(lower.alias) is not None:
        raise in_the_way(lower, f"VIF {draft.mark.vif_id} needs a network device of the host's")
    master = lower.attributes.get("master")
    if master is not None:
        raise exception.ResourceConflict(
            resource=f"device {lower.name}",
            reason=f"it is a port of {master}, which gets all its packets; take it out first (ip "
            f"link set {lower.name} nomaster) or name another device",
        )
    most = _inherited(draft.host, lower, "mtu")
    if wanted.mtu is not None and isinstance(most, int) and wanted.mtu > most:
        raise exception.InvalidField(
            field="network.mtu",
            value=wanted.mtu,
            expected=f"at most {most} bytes, the MTU of {lower.name}",
        )


def _need_free(draft: Draft, wanted: Macvtap, lower: Link) -> None:
    """See that a device that stays the host's too has not the guest's MAC itself."""
    if _inherited(draft.host, lower, "mac") == wanted.mac:
        raise exception.ResourceConflict(
            resource=f"MAC {wanted.mac}", reason=f"{lower.name} has it itself"
        )


def _inherited(host: Host, link: Link, attribute: str) -> Value:
    """Return an attribute; a VLAN device that is only planned gets that of the device below it."""
    if attribute in link.attributes:
        return link.attributes[attribute]
    below = host[LINKS].get(str(link.attributes.get("link")))
    return below.attributes.get(attribute) if below is not None else None


def _need_alone(draft: Draft, wanted: Macvtap, lower: Link) -> None:
    """See that nobody else uses a device that the macvtap is to have for itself."""
    others = [user for user in draft.host[USERS].get(lower.name, ()) if user != wanted.name]
    if others:
        raise exception.ResourceConflict(
            resource=f"device {lower.name}",
            reason=f"{', '.join(others)} uses it too, and passthrough needs it to itself; take "
            "that away first, or choose another mode or device",
        )
    addresses = [address.local for address in draft.host[ADDRESSES].get(lower.name, ())]
    if addresses:
        raise exception.ResourceConflict(
            resource=f"device {lower.name}",
            reason=f"the host has the address {', '.join(addresses)} on it, and passthrough would "
            f"take all its packets to the guest; take it away first (ip address del), or name "
            "another device",
        )
