# SPDX-License-Identifier: Apache-2.0
"""What the privileged side does to devices for another process: to ours, and little to others.

A plan of ours changes devices that carry a mark, makes a left-over of ours its own, and has a
device of the host's join a bridge or come up.  Whoever can reach the daemon may send it other
steps.  What is asked here costs one look by name, or none.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from os_vif.engine import families
from os_vif.engine.place import AS_ROOT, OVS
from os_vif.engine.step import Args
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import Link, is_mark, is_unfinished, what
from os_vif.host.links.system import devices, sysfs

_LENT = frozenset({"up", "mtu", "master"})
"""What plugging changes of a device that is and stays the host's: an uplink, a lower device."""

_TAPS = frozenset({"tap", "macvtap"})
"""Kinds that become a VIF's by its MAC address too, which no step tells."""

_OTHERS = frozenset({"bridge", "bond", "team", "vlan", "vrf"})
"""Kinds of which nobody makes a device for a VIF but us."""

_DERIVED = re.compile(r"[0-9a-f]{8}-[0-9a-f]{2}")
"""The beginning of an id, as names derived from one hold it."""


def is_ours(link: Link) -> bool:
    """Tell whether a device carries a mark, or the group of one that is being made."""
    return is_mark(link.alias) or is_unfinished(link)


def _is_left_over(link: Link, alias: str = "") -> bool:
    """Tell whether a device without a mark may become a VIF's.

    :param alias: the mark that it is to get; '' for none
    """
    mark = parse_mark(alias)
    if _DERIVED.search(link.name) or (mark is not None and mark.vif_id[:11] in link.name):
        return link.kind in (*_TAPS, "veth", "bridge")
    # Of another name one is a VIF's by its MAC address, and not while a stranger has it open.
    return link.kind in _TAPS and not link.attributes.get("queues")


def _is_lent_whole(link: Link, section: str) -> bool:
    """Tell whether a device without a mark is one that its maker lends: a card, or a fast path."""
    if sysfs.is_representor(link.name):
        return True
    if link.kind in _OTHERS or _is_loopback(link) or sysfs.pci_address_of(link.name):
        return False
    # What they are called and of what kind they are, others say: a fast path, another's family.
    return section == AS_ROOT or (
        link.kind != "" and not all(map(families.is_ours, families.all_families()))
    )


def look_up(name: str) -> Link | None:
    """Return the device of this name, or alternative name, under its own; None for none.

    Its master is the index.
    """
    return devices.look_up_each([(name, 0)])[0]


def _set_link(args: Args, section: str) -> str:
    link, changed = look_up(args["name"]), dict(args["attributes"])
    if link is None or is_ours(link):
        return ""
    if changed.get("alias") == link.alias:
        del changed["alias"]
    if "disable_ipv6" in changed and not (changed["disable_ipv6"] and _is_alone(link)):
        # Of an uplink in a bridge, and back: what a host would lose by it, it has there.
        del changed["disable_ipv6"]
    alias = changed.get("alias", "")
    lent = _is_lent_whole(link, section) or _is_left_over(link, alias)
    if lent and ("alias" not in changed or is_mark(alias)):
        return ""
    if _is_loopback(link):
        return f"{link.name} is the loopback device"
    others = sorted(changed.keys() - _LENT)
    if others == ["mac"] and sysfs.is_virtual(link.name):
        others = []  # what a guest had left it as
    if others:
        return f"{link.name} is {what(link)}, and {', '.join(others)} of it not ours to change"
    return _joins(link, changed["master"]) if "master" in changed else ""


def _note_guest(args: Args, section: str) -> str:
    return _set_link({"name": args["name"], "attributes": {"alias": args["alias"]}}, section)


def _is_alone(link: Link) -> bool:
    return link.attributes.get("master") is None


def _joins(link: Link, bridge: str | None) -> str:
    above = look_up(bridge) if bridge is not None else None
    if above is None:
        return ""
    if link.attributes.get("master") not in (None, above.index):
        return f"{link.name} is a port of another device"
    return "" if above.kind == "bridge" else f"{bridge} is no bridge"


def _is_loopback(link: Link) -> bool:
    """Tell whether this is a device that only the host itself is behind."""
    return link.name == "lo" or link.attributes.get("mac") == "00:00:00:00:00:00"


def _is_end_of_a_container(link: Link, section: str) -> bool:
    # Its port told whose it is, and that has gone by then.
    return section == OVS and link.kind == "veth" and link.attributes.get("master") is None


def _delete_links(args: Args, section: str) -> str:
    links = devices.look_up_each([(name, index) for name, index in args["links"]])
    for link in links:
        if link is None or is_ours(link) or _is_left_over(link):
            continue
        if not _is_end_of_a_container(link, section):
            return f"{link.name} is {what(link)}"
    return ""


def _delete_unused(args: Args, _section: str) -> str:
    link = look_up(args["name"])
    return f"{link.name} is {what(link)}" if link is not None and not is_ours(link) else ""


REFUSES: Mapping[str, Callable[[Args, str], str]] = {
    "set_link": _set_link,
    "delete_links": _delete_links,
    "delete_unused": _delete_unused,
    "delete_idle": _delete_unused,
    "tag_link": _delete_unused,
    "note_guest": _note_guest,
}
"""Why a kind of step is not run for another process."""
