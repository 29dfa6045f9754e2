# SPDX-License-Identifier: Apache-2.0
"""What the host holds of a VIF, as its families tell it: to be drawn, to be listed, as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from os_vif.drawing.scene import Fault, Guest
    from os_vif.engine.picture import Picture
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource, Topology

Said = TypeVar("Said")


def _told(ask: Callable[[Picture], Iterable[Said]]) -> list[Said]:
    """Return what all families have to say, the lowest floor's first."""
    from os_vif.engine import families

    return [
        said
        for family in families.all_families()
        for said in families.ask(family, lambda it: ask(it.picture))
    ]


def as_plugged(item: Plugged) -> tuple[Topology, Guest]:
    """Return what the host holds of a VIF as a topology, as far as its own parts show it."""
    from os_vif.drawing.scene import Guest
    from os_vif.engine.topology import Topology

    odd: list[str] = []
    resources = _told(lambda picture: _drawable(picture, item, odd))
    # The beginning of an id is enough to name it here, and leaves room for more guests.
    name = item.mark.guest or f"guest {item.mark.instance[:8]}".strip()
    lines = [f"VIF {item.mark.vif_id[:8]}", *([] if resources else [state_of(item)]), *odd]
    return Topology(item.mark, tuple(resources)), Guest(name, tuple(lines))


def _drawable(picture: Picture, item: Plugged, odd: list[str]) -> list[Resource]:
    """Return what a family holds of a VIF, up to what is none of ours: the host takes more."""
    from os_vif import exception

    drawn: list[Resource] = []
    try:
        drawn.extend(picture.held(item))
    except exception.InvalidField as error:
        odd.append(f"not drawn: {error.kwargs['value']!a}")
    return drawn


def faults_of(item: Plugged) -> dict[str, Fault]:
    """Return what is wrong with what the host holds, by the key of a part of the picture."""
    return dict(_told(lambda picture: picture.faults(item).items()))


def state_of(item: Plugged) -> str:
    """Return a VIF's state in words."""
    found = _told(lambda picture: picture.states(item))
    if found:
        return min(found, key=lambda state: state.rank).words
    return "up" if all(_told(lambda picture: picture.up(item))) else "down"


def is_open(item: Plugged) -> bool | None:
    """Return whether a program has the guest's end of a VIF open; None where that does not show."""
    found = _told(lambda picture: picture.opened(item))
    return any(found) if found else None


def has_carrier(item: Plugged) -> bool | None:
    """Return whether all that a VIF has of devices have a carrier; None where it has none."""
    found = _told(lambda picture: picture.carriers(item))
    return all(found) if found else None


def as_json(item: Plugged) -> dict[str, Any]:
    """Return a VIF for JSON."""
    found: dict[str, list[Any]] = {}
    for key, entries in _told(lambda picture: picture.json(item).items()):
        _join(found.setdefault(key, []), entries)
    return {
        "id": item.mark.vif_id,
        "plugin": item.mark.plugin,
        "instance": item.mark.instance or None,
        "guest": item.mark.guest or None,
        "owner": item.mark.owner or None,
        "state": state_of(item).replace(" ", "_"),
        "open": is_open(item),
        "carrier": has_carrier(item),
        **found,
    }


def _join(told: list[Any], entries: Sequence[Any]) -> None:
    """Add entries to those that other families have told; one of the same name adds to that."""
    named = {entry["name"]: entry for entry in told if isinstance(entry, dict) and "name" in entry}
    for entry in entries:
        known = named.get(entry.get("name")) if isinstance(entry, dict) else None
        if known is not None:
            known.update(entry)
        else:
            told.append(entry)


def places_of(item: Plugged) -> str:
    """Return what a VIF has on the host and where, in one line; '' if it has no names."""
    places: dict[str, Any] = dict(_told(lambda picture: picture.names(item)))
    return ", ".join(f"{name} on {place}" if place else name for name, place in places.items())


def things_of(item: Plugged) -> str:
    """Return the same, or else in words what it is that has no name."""
    return places_of(item) or ", ".join(_told(lambda picture: picture.nameless(item)))


def names_of(item: Plugged) -> list[str]:
    """Return the names of what a VIF has on the host."""
    return [name for name, _place in _told(lambda picture: picture.names(item))]


def bridges_of(item: Plugged) -> list[str]:
    """Return the names of what a VIF's things are on: bridges, of the kernel and Open vSwitch's."""
    return [str(place) for _name, place in _told(lambda picture: picture.names(item)) if place]


def beside(item: Plugged) -> list[str]:
    """Return what sorts VIFs so that those which share something are drawn side by side."""
    found = _told(lambda picture: [list(picture.beside(item))])
    return next((shared for shared in reversed(found) if shared), [])


def columns() -> dict[str, Callable[[Plugged], str]]:
    """Return the columns of a list that only families know, by title."""
    return dict(_told(lambda picture: picture.columns.items()))


def waiting_of(item: Plugged) -> tuple[str, ...]:
    """Return the names of what waits for something that the hypervisor has yet to make."""
    return tuple(_told(lambda picture: picture.waiting(item) if picture.waiting else ()))
