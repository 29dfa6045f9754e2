# SPDX-License-Identifier: Apache-2.0
"""When a switch knows what it is to know of a VIF's port, and what tells it or takes it back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.engine.checks import interface_name
from os_vif.engine.family import Notes, Phase, Rule
from os_vif.engine.step import Step
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import (
    FUNCTIONS,
    LINKS,
    correct,
    need,
    netdev_behind,
    own_links,
)
from os_vif.host.links.questions.names import asks_names, by_own_names
from os_vif.host.port_profiles.questions import (
    ASSOCIATED,
    PORT_PROFILES,
    REQUEST_ASSOCIATE,
    VSIS,
)
from os_vif.host.port_profiles.resources import (
    PortProfileQbg,
    PortProfileQbh,
    Vsi,
    canonical_uuid,
)

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked
    from os_vif.engine.topology import Mark
    from os_vif.host.links.questions import Link

_ABSENT = -1

_CLEANING_S = 20
"""Seconds a switch may take when what it was told is taken back without the VIF."""

_VSI_NOTE = "vsi="
PROFILE_NOTE = "port-profile="
_NOTES = (_VSI_NOTE, PROFILE_NOTE)
"""How the words begin that tell of them behind the mark of a VIF's device."""


def asks_vsi(wanted: PortProfileQbg, _mark: Mark) -> list[Asked]:
    """Return what must be looked up for a VSI."""
    return [VSIS(wanted.behind or wanted.link), *_asks_device(wanted)]


def asks_port_profile(wanted: PortProfileQbh, _mark: Mark) -> list[Asked]:
    """Return what must be looked up for a port profile."""
    return [PORT_PROFILES(wanted.behind or wanted.link), *_asks_device(wanted)]


def _asks_device(wanted: PortProfileQbg | PortProfileQbh) -> list[Asked]:
    return [FUNCTIONS(wanted.behind) if wanted.behind else LINKS(wanted.link)]


def _device(draft: Draft, wanted: PortProfileQbg | PortProfileQbh) -> str:
    """Return the name of the device; '' where there is none."""
    if not wanted.behind:
        return wanted.link if draft.host[LINKS][wanted.link] is not None else ""
    found = draft.host[FUNCTIONS].get(wanted.behind)
    return found.netdevs[0] if found and found.netdevs else ""


def _need_device(draft: Draft, wanted: PortProfileQbg | PortProfileQbh) -> str:
    return need(draft.host, wanted.link or netdev_behind(draft.host, wanted.behind)).name


def _association(interface: str, wanted: PortProfileQbg) -> dict[str, Any]:
    vsi = dataclasses.asdict(wanted.vsi)
    return {"interface": interface, "vsi": vsi, "timeout": wanted.timeout}


def plug_vsi(draft: Draft, wanted: PortProfileQbg) -> None:
    """Associate the VSI unless it is; of lldpad's list only the instance tells whose one is."""
    interface = _need_device(draft, wanted)
    # Without privilege nobody could look; an associated one is left alone then too.
    there = draft.host[VSIS].get(interface, {})
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
    for link in own_links(draft):
        # lldpad may have the instance with other numbers, and wants to hear those.
        draft.release(link)
    interface = _device(draft, wanted)
    there = draft.host[VSIS].get(interface)
    if interface and (there is None or wanted.vsi.instance in there):
        _disconnect(draft)
        draft.add("disassociate_vsi", **_association(interface, wanted))


def _disconnect(draft: Draft) -> None:
    """Set the VIF's devices down.

    They stay until the switch has answered, for their note; it may take long over that, and the
    guest must not stay connected meanwhile.
    """
    for link in own_links(draft):
        correct(draft, link, {"up": False})


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
    there = draft.host[PORT_PROFILES].get(device)
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
    there = draft.host[PORT_PROFILES].get(device)
    if there is None or there.request != REQUEST_ASSOCIATE or there.profile != wanted.profile:
        return
    if wanted.instance and there.instance and there.instance != wanted.instance:
        return
    draft.add("clear_port_profile", **_cleared(device, wanted.profile, wanted.instance))


def _cleared(device: str, profile: str, instance: str) -> dict[str, Any]:
    return {"device": device, "profile": profile, "instance": instance}


# --- what the VIF's device says of it -------------------------------------------------------------


def vsi_note(draft: Draft, wanted: PortProfileQbg, _alias: str) -> str:
    """Return the word for a VSI.

    Neither lldpad nor the kernel keeps whose a VSI or a profile is, so without the note nobody
    could take it back who does not have the VIF.
    """
    vsi = wanted.vsi
    numbers = f"{vsi.manager},{vsi.type},{vsi.version},{vsi.vlan}"
    which = f"{vsi.mac.replace(':', '')},{vsi.instance}"
    return f"{_VSI_NOTE}{_device(draft, wanted)},{numbers},{which}"


def port_profile_note(draft: Draft, wanted: PortProfileQbh, _alias: str) -> str:
    """Return the word for a port profile; the guest, whose it is, stands in the mark."""
    return f"{PROFILE_NOTE}{_device(draft, wanted)}"


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
        wanted = PortProfileQbg(link=interface_name(interface), vsi=vsi, timeout=_CLEANING_S)
        return Step("disassociate_vsi", _association(interface, wanted))
    if word.startswith(PROFILE_NOTE) and mark.instance:
        device = interface_name(word.removeprefix(PROFILE_NOTE))
        guest = canonical_uuid(mark.instance, "instance uuid")
        return Step("clear_port_profile", _cleared(device, "", guest))
    return None


RULES: Mapping[type, Rule] = {
    PortProfileQbg: Rule(
        names=asks_names("link"),
        named=by_own_names("link"),
        asks=asks_vsi,
        plug=plug_vsi,
        unplug={Phase.AHEAD: unplug_vsi},
        note=vsi_note,
        waits=True,
    ),
    PortProfileQbh: Rule(
        names=asks_names("link"),
        named=by_own_names("link"),
        asks=asks_port_profile,
        plug=plug_port_profile,
        unplug={Phase.AHEAD: unplug_port_profile},
        note=port_profile_note,
        waits=True,
    ),
}

NOTES = Notes(prefixes=_NOTES, release=release_former)
"""What it writes into the mark of a macvtap."""
