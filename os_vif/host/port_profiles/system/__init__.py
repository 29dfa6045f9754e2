# SPDX-License-Identifier: Apache-2.0
"""VSIs and port profiles on the real host: lldpad has the ones, the kernel the others."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from os_vif import exception
from os_vif.engine.checks import interface_name
from os_vif.engine.family import Phase, System
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.place import Place
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.step import Args, Step
from os_vif.host.links.questions import LINKS, Link, netdevs_of
from os_vif.host.port_profiles.questions import PORT_PROFILES, VSIS
from os_vif.host.port_profiles.resources import Vsi
from os_vif.host.port_profiles.rules import PROFILE_NOTE, releasing
from os_vif.host.port_profiles.system import port_profile, vdp

# --- looking --------------------------------------------------------------------------------------


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    links = host[LINKS]
    for device in netdevs_of(host, asked.get(PORT_PROFILES, ())):
        if links[device] is not None:
            try:
                host[PORT_PROFILES][device] = port_profile.look(device)
            except OSError as error:
                if error.errno != errno.ENODEV:
                    raise
                host.device_gone(device)  # it went meanwhile
    return ()


def _vsis(asked: list[Any]) -> list[Any]:
    """Return the VSIs of devices: each with pairs of instance and response.

    Where lldpad cannot tell, nothing is associated; the step that associates says why it cannot.
    One that does not answer may have any, so of its devices nothing is said.
    """
    found: list[Any] = []
    for device in map(interface_name, asked):
        try:
            there = vdp.look(device)
        except vdp.Silent:
            continue
        except OSError:
            there = {}
        found.append([device, [[instance, response] for instance, response in there.items()]])
    return found


# --- running, and taking away by the notes --------------------------------------------------------


def _on_vsi(act: Callable[..., bool]) -> Callable[[Args], Args | None]:
    """Return the handler for ``act``, which tells whether anything was to be done."""
    return lambda args: None if act(**{**args, "vsi": Vsi(**args["vsi"])}) else args


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    if phase is not Phase.AHEAD:
        return []
    return [step for link in plugged["links"] for step in _releasing(link)]


def _releasing(link: Link) -> list[Step]:
    told = releasing(link)
    # A switch may be silent, and the guest must not stay connected meanwhile.
    down = [Step("set_link", {"name": link.name, "attributes": {"up": False}})] if told else []
    return [*down, *told]


def _tell(item: Plugged) -> Iterator[Part]:
    """Yield the names of port profiles: a device's note says where one is, the card which."""
    for link in item["links"]:
        for word in link.alias.split(" "):
            name = _profile_at(word.removeprefix(PROFILE_NOTE)) if PROFILE_NOTE in word else ""
            if name:
                yield Part(item.mark.vif_id, "profiles", name, item.mark)


def _profile_at(device: str) -> str:
    try:
        state = port_profile.look(interface_name(device))
    except exception.InvalidField:
        return ""  # somebody else's words
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return ""
    return state.profile if state is not None else ""


SYSTEM = System(
    look=_look,
    tell=_tell,
    reveal={VSIS.name: _vsis},
    run={
        "associate_vsi": _on_vsi(vdp.associate),
        "disassociate_vsi": _on_vsi(vdp.disassociate),
        "set_port_profile": lambda args: port_profile.set_profile(**args),
        "clear_port_profile": lambda args: None if port_profile.clear_profile(**args) else args,
    },
    remove=_remove,
)
