# SPDX-License-Identifier: Apache-2.0
"""When a switch knows what it is to know of a VIF's port, and what tells it or takes it back."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.host.checks import interface_name
from os_vif.host.function_rules import netdev_behind
from os_vif.host.function_vlan_rules import VLAN_NOTE, vlan_back, vlan_note
from os_vif.host.passthrough import FunctionVlan
from os_vif.host.profiles import (
    ASSOCIATED,
    REQUEST_ASSOCIATE,
    PortProfileQbg,
    PortProfileQbh,
    Vsi,
    canonical_uuid,
)
from os_vif.host.step import Step
from os_vif.host.topology import parse_mark

if TYPE_CHECKING:
    from os_vif.host.draft import Draft
    from os_vif.host.observed import Link
    from os_vif.host.topology import Mark

_ABSENT = -1

_LONGEST = 244
"""Bytes of an alias (IFALIASZ is 256) that leave room for one word more."""

_CLEANING_S = 20
"""Seconds a switch may take when what it was told is taken back without the VIF."""

_VSI_NOTE = "vsi="
_PROFILE_NOTE = "port-profile="
_NOTES = (_VSI_NOTE, _PROFILE_NOTE, VLAN_NOTE)


def asks_vsi(wanted: PortProfileQbg, _mark: Mark) -> list[tuple[str, Any]]:
    """Return what must be looked up for a VSI."""
    return [("vsis", wanted.behind or wanted.link), *_asks_device(wanted)]


def asks_port_profile(wanted: PortProfileQbh, _mark: Mark) -> list[tuple[str, Any]]:
    """Return what must be looked up for a port profile."""
    return [("port_profiles", wanted.behind or wanted.link), *_asks_device(wanted)]


def _asks_device(wanted: PortProfileQbg | PortProfileQbh) -> list[tuple[str, Any]]:
    return [("functions", wanted.behind)] if wanted.behind else [("links", wanted.link)]


def _device(draft: Draft, wanted: PortProfileQbg | PortProfileQbh) -> str:
    """Return the name of the device; '' where there is none."""
    if not wanted.behind:
        return wanted.link if draft.host.link(wanted.link) is not None else ""
    found = draft.host.functions.get(wanted.behind)
    return found.netdevs[0] if found and found.netdevs else ""


def _need_device(draft: Draft, wanted: PortProfileQbg | PortProfileQbh) -> str:
    return draft.need(wanted.link or netdev_behind(draft.host, wanted.behind)).name


def _association(interface: str, wanted: PortProfileQbg) -> dict[str, Any]:
    vsi = dataclasses.asdict(wanted.vsi)
    return {"interface": interface, "vsi": vsi, "timeout": wanted.timeout}


def plug_vsi(draft: Draft, wanted: PortProfileQbg) -> None:
    """Associate the VSI unless it is; of lldpad's list only the instance tells whose one is."""
    interface = _need_device(draft, wanted)
    # Without privilege nobody could look; an associated one is left alone then too.
    there = draft.host.vsis.get(interface, {})
    if there.get(wanted.vsi.instance, _ABSENT) != ASSOCIATED:
        # lldpad is not at once ready for a link that this very plan sets up.
        fresh = any(
            step.kind == "set_link"
            and step.args["name"] == interface
            and step.args["attributes"].get("up")
            for step in draft.plan.steps
        )
        draft.add("associate_vsi", **_association(interface, wanted), fresh=fresh)


def unplug_vsi(draft: Draft, wanted: PortProfileQbg) -> None:
    """Disassociate the VSI, whatever became of the request for it."""
    for link in draft.own_links():
        # lldpad may have the instance with other numbers, and wants to hear those.
        release_former(draft, link)
    interface = _device(draft, wanted)
    there = draft.host.vsis.get(interface)
    if interface and (there is None or wanted.vsi.instance in there):
        _disconnect(draft)
        draft.add("disassociate_vsi", **_association(interface, wanted))


def _disconnect(draft: Draft) -> None:
    """Set the VIF's devices down.

    They stay until the switch has answered, for their note; it may take long over that, and the
    guest must not stay connected meanwhile.
    """
    for link in draft.own_links():
        draft.correct(link, {"up": False})


def _profile(device: str, wanted: PortProfileQbh) -> dict[str, Any]:
    return {
        "device": device,
        "profile": wanted.profile,
        "instance": wanted.instance,
        "timeout": wanted.timeout,
    }


def plug_port_profile(draft: Draft, wanted: PortProfileQbh) -> None:
    """Give the port its profile.

    :raises ResourceConflict: it has one of another guest's.
    """
    device = _need_device(draft, wanted)
    there = draft.host.port_profiles.get(device)
    if there is not None and there.is_set:
        if wanted.instance and there.instance and there.instance != wanted.instance:
            raise exception.ResourceConflict(
                resource=f'port profile "{there.profile}" of {device}',
                reason=f"guest {there.instance} has it",
            )
        if there.profile == wanted.profile and there.instance == wanted.instance:
            return
    draft.add("set_port_profile", **_profile(device, wanted))


def unplug_port_profile(draft: Draft, wanted: PortProfileQbh) -> None:
    """Take the profile back unless the port was handed to another guest meanwhile."""
    device = _device(draft, wanted)
    there = draft.host.port_profiles.get(device)
    if there is None or there.request != REQUEST_ASSOCIATE or there.profile != wanted.profile:
        return
    if wanted.instance and there.instance and there.instance != wanted.instance:
        return
    draft.add("clear_port_profile", **_cleared(device, wanted.profile, wanted.instance))


def _cleared(device: str, profile: str, instance: str) -> dict[str, Any]:
    return {"device": device, "profile": profile, "instance": instance}


# --- what the VIF's device says of it -------------------------------------------------------------


def noted(draft: Draft, alias: str, former: str = "") -> str:
    """Return the alias of a VIF's device with a note of what the switch is told of the VIF.

    Neither lldpad nor the kernel keeps whose a VSI or a profile is, so without the note nobody
    could take it back who does not have the VIF.

    :param former: the alias the device has now
    """
    words = [word for word in alias.split(" ") if not word.startswith(_NOTES)]
    notes = []
    for resource in draft.topology.resources:
        if isinstance(resource, PortProfileQbg):
            vsi = resource.vsi
            numbers = f"{vsi.manager},{vsi.type},{vsi.version},{vsi.vlan}"
            which = f"{vsi.mac.replace(':', '')},{vsi.instance}"
            notes.append(f"{_VSI_NOTE}{_device(draft, resource)},{numbers},{which}")
        elif isinstance(resource, PortProfileQbh):
            notes.append(f"{_PROFILE_NOTE}{_device(draft, resource)}")
        elif isinstance(resource, FunctionVlan):
            notes.append(vlan_note(draft, resource, former))
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


def release_former(draft: Draft, link: Link) -> None:
    """Take back what the switch was told of the VIF with this device and is not to know any more.

    The VIF may have been given another profile, or another device, since.
    """
    kept: list[tuple[str, Any]] = []
    for resource in draft.topology.resources:
        if isinstance(resource, PortProfileQbg):
            kept.append((_device(draft, resource), dataclasses.asdict(resource.vsi)))
        elif isinstance(resource, PortProfileQbh):
            kept.append((_device(draft, resource), None))
    if not any(isinstance(resource, FunctionVlan) for resource in draft.topology.resources):
        for step in vlan_back(link, draft.host.functions):
            if step not in draft.plan.steps:
                draft.take(step)
    for step in releasing(link):
        about = step.args.get("interface") or step.args["device"], step.args.get("vsi")
        if about not in kept and step not in draft.plan.steps:
            if not draft.undoable:
                _disconnect(draft)
            draft.take(step)


def releasing(link: Link) -> list[Step]:
    """Return the steps that take back what the switch was told of the VIF with this device."""
    mark = parse_mark(link.alias)
    if mark is None:
        return []
    try:
        found = [_release(mark, word) for word in link.alias.split(" ")]
    except (exception.InvalidField, ValueError):
        return []  # somebody else's words
    return [step for step in found if step is not None]


def _release(mark: Mark, word: str) -> Step | None:
    if word.startswith(_VSI_NOTE):
        numbers = word.removeprefix(_VSI_NOTE).split(",")
        interface, manager, kind, version, vlan, mac, instance = numbers
        vsi = Vsi(
            manager=int(manager),
            type=int(kind),
            version=int(version),
            instance=instance,
            mac=":".join(mac[at : at + 2] for at in range(0, len(mac), 2)),
            vlan=int(vlan),
        )
        wanted = PortProfileQbg(link=interface, vsi=vsi, timeout=_CLEANING_S)
        return Step("disassociate_vsi", _association(interface, wanted))
    if word.startswith(_PROFILE_NOTE) and mark.instance:
        device = interface_name(word.removeprefix(_PROFILE_NOTE))
        guest = canonical_uuid(mark.instance, "instance uuid")
        return Step("clear_port_profile", _cleared(device, "", guest))
    return None
