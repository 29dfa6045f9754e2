# SPDX-License-Identifier: Apache-2.0
"""Devices that stand on others: who uses one, and macvtaps.

Sources: Documentation/ABI/testing/sysfs-class-net (upper_*), rtnetlink(7), drivers/net/macvlan.c
for what the errors mean.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from typing import Any

from os_vif.host.links.questions import Link
from os_vif.host.links.system import deleting
from os_vif.host.links.system import devices as links

ROOT = "/sys/class/net"


def users_of(link: Link) -> tuple[str, ...]:
    """Return the names of the devices that stand on one, and of the bridge it is a port of.

    Costs the same however many others the host has, where /sys shows this network namespace.
    """
    folder = f"{ROOT}/{link.name}"
    if is_shown(folder, link):
        try:
            there = os.listdir(folder)
        except FileNotFoundError:  # it has just gone
            return ()
        return tuple(sorted(name[6:] for name in there if name.startswith("upper_")))
    master = link.attributes.get("master")
    found = {item.name for item in links.all_links() if _stands_on(item, link)}
    return tuple(sorted({*found, *([str(master)] if master else [])}))


def _stands_on(item: Link, link: Link) -> bool:
    # The two ends of a veth each say that they are on the other.
    return item.kind != "veth" and item.attributes.get("link") == link.name


def is_shown(folder: str, link: Link) -> bool:
    """Tell whether a folder below /sys/class/net is this device's.

    /sys shows the network namespace of whoever mounted it, where another device may have the
    name.
    """
    try:
        shown = {}
        for name in ("ifindex", "address", "ifalias"):
            # As link_message.py reads it: an alias may be any bytes.
            with open(f"{folder}/{name}", encoding="utf-8", errors="replace") as file:
                shown[name] = file.read().strip()
    except OSError:
        return False
    mine = {"ifindex": str(link.index), "address": link.attributes.get("mac"), "ifalias": ""}
    return shown == {**mine, "ifalias": link.alias.strip()}


def delete_unused(name: str) -> None:
    """Delete a device that others may have come to use, unless it has ports or users.

    :raises OSError: the kernel refused.
    """
    link = links.look_up([name])[name]
    if link is not None and not users_of(link) and not links.ports_of(link.index):
        deleting.delete([(name, link.index)])


def delete_idle(name: str) -> None:
    """Delete a device that nobody uses; one that is gone is fine.

    :raises OSError: somebody uses it (EBUSY), and it is there still; the kernel refused.
    """
    link = links.look_up([name])[name]
    if link is None:
        return
    used_by = [*users_of(link), *(port.name for port in links.ports_of(link.index))]
    if used_by:
        raise OSError(errno.EBUSY, f"{', '.join(used_by)} uses it")
    deleting.delete([(name, link.index)])


def create_macvtap(name: str, attributes: Mapping[str, Any]) -> Link:
    """Make a macvtap, with its mark, and return how it looks then; or leave nothing behind.

    :raises OSError: the kernel refused; ``strerror`` says who is in the way, where somebody is.
    """
    try:
        return links.create(name, "macvtap", attributes)
    except OSError as error:
        reason = _reason(attributes, error)
        if not reason:
            raise
        raise OSError(error.errno, f"{reason} ({error.strerror})") from error


def change_macvtap(name: str, attributes: Mapping[str, Any]) -> Link:
    """Set attributes of a macvtap of which ``allmulticast`` is one, and return how it looks then.

    One in passthrough counts on its lower device what is changed while it is up, and takes nothing
    back when it goes (macvlan_stop()); so it is down for that moment.

    :raises OSError: the kernel refused.
    """
    link = links.look_up([name])[name]
    if link is not None and link.attributes.get("mode") == "passthru" and link.attributes["up"]:
        links.bring(name, up=False)
        attributes = {"up": True, **attributes}
    return links.change(name, attributes)


def _reason(attributes: Mapping[str, Any], error: OSError) -> str:
    """Return why the kernel refused a macvtap, which it does not say; '' if that is not known."""
    lower = attributes["link"]
    others = [
        item
        for item in links.all_links()
        if item.kind in ("macvtap", "macvlan") and item.attributes.get("link") == lower
    ]
    names = ", ".join(item.name for item in others)
    if error.errno == errno.EADDRINUSE:
        same = [item.name for item in others if item.attributes["mac"] == attributes.get("mac")]
        owner = f"{', '.join(same)} on {lower}" if same else lower
        return f"{owner} has the MAC {attributes.get('mac')} already"
    if error.errno != errno.EINVAL:
        return ""
    if not others:
        return (
            f"{lower} is no Ethernet device, a macvtap in another network namespace has it to "
            "itself, or it takes none for another reason"
        )
    if attributes["mode"] == "passthru":
        return f"passthrough needs {lower} to itself, and {names} is on it"
    if others[0].attributes.get("mode") == "passthru":
        return f"{names} has {lower} to itself (passthrough)"
    return ""
