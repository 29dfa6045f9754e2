# SPDX-License-Identifier: Apache-2.0
"""When a row of OVN's Northbound database is there, and which steps make it so; pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from os_vif import exception
from os_vif.engine.family import Caution, Rule
from os_vif.host.ovn.questions import (
    CENTRAL,
    CHILDREN,
    NAMED,
    NAMES,
    NEIGHBOURS,
    PORT,
    ROWS,
    UP,
    Addressed,
    NbRow,
    Parent,
    Waiting,
    Wanted,
    addresses_in,
    called,
    is_others,
    known_by,
    shown,
    titled,
    whose,
)
from os_vif.host.ovn.resources import Absent, Placement, Ref, Row

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Mark, Topology

_WITH_TWO, _WITH_RARP = (22, 6), (22, 9)
"""Releases of OVN from which a port may have two chassis, and an activation strategy (its NEWS)."""

# --- a row ----------------------------------------------------------------------------------------


def _values(value: Any) -> list[Any]:
    """Return what a column is to hold as :mod:`.questions` has it."""
    items = value if isinstance(value, tuple) else (value,)
    plain = [{"uuid": it.uuid} if isinstance(it, Ref) else it for it in items]
    if len(plain) == 1:
        return plain
    once = {_key(item): item for item in plain}
    return [once[key] for key in sorted(once)]


def _key(item: Any) -> str:
    return repr(item)


def _asks_row(row: Row, _mark: Mark) -> Iterator[Asked]:
    named = str(row.columns.get("name", "")) if row.table in NAMED else ""
    columns = {*row.columns, *row.keys, *(("type", UP) if row.table == PORT else ())}
    yield ROWS(Wanted(row.table, row.uuid, tuple(sorted(columns)), row.parent, named))


def _plug_row(draft: Draft, row: Row) -> None:
    """Make the row, or set what differs.

    :raises ResourceConflict: another has it, its name or the row that is to refer to it.
    """
    there = draft.host[ROWS].get(row.uuid)
    _need_name(draft.host, row)
    place = _place_of(draft, row)
    columns = {name: _values(value) for name, value in row.columns.items()}
    keys: Mapping[str, Mapping[str, str | None]] = row.keys
    unmarked = None
    detach: list[Any] = []
    if there is None:
        keys = {
            column: {key: text for key, text in its.items() if text is not None}
            for column, its in keys.items()
        }
    else:
        _need_ours(row, there)
        unmarked = dict(there.ids) if there.owner != row.owner else None
        columns = {
            name: items
            for name, items in columns.items()
            if (its := there.set(name)) != items and sorted(its, key=_key) != items
        }
        keys = {column: _differing(its, there.map(column)) for column, its in keys.items()}
        keys = {column: its for column, its in keys.items() if its}
        former = [it for it in there.parents if it[:3] != row.parent]
        if any(it[:3] == row.parent for it in there.parents):
            place = None
        elif place is not None:
            detach = [_leave(row.what, row.owner, it, _refuse) for it in former]
        if not columns and not keys and place is None:
            return
    draft.add(
        "set_row",
        what=row.what,
        table=row.table,
        uuid=row.uuid,
        owner=row.owner,
        new=there is None,
        columns=columns,
        keys=keys,
        unmarked=unmarked,
        attach=place,
        detach=detach,
        called={it["uuid"]: _called(draft, it["uuid"]) for it in _refs(columns)},
        fields=dict(row.fields),
    )


def _differing(wanted: Mapping[str, str | None], there: Mapping[str, str]) -> dict[str, str | None]:
    return {key: text for key, text in wanted.items() if there.get(key) != text}


def _refs(columns: Mapping[str, Sequence[Any]]) -> Iterator[Any]:
    return (item for items in columns.values() for item in items if isinstance(item, dict))


def _called(draft: Draft, uuid: str) -> str:
    """Return what people call a row of the topology; its ``_uuid`` for one of another."""
    names = draft.remembered("ovn_called")
    if names is None:
        names = {it.uuid: it.what for it in draft.topology.resources if isinstance(it, Row)}
        draft.remember("ovn_called", names)
    return str(names.get(uuid, uuid))


def _place_of(draft: Draft, row: Row) -> list[str] | None:
    """Return what is to refer to a row.

    :raises ResourceConflict: it is another's.
    :raises UnusableDevice: it is not there.
    """
    if row.parent is None:
        return None
    table, uuid, column = row.parent
    parent = draft.host[ROWS].get(uuid)
    name = _called(draft, uuid)
    if parent is None:
        reason = f"{table} {name}, in whose {column} it is to be, is not there"
        raise exception.UnusableDevice(device=row.what, reason=reason)
    if parent.owner != row.owner:
        _refuse(row.what, f"it is to be in {called(parent)}")
    title = titled(table, parent.name, parent.ids) if name == uuid else name
    return [table, uuid, column, title]


def _need_ours(row: Row, there: NbRow) -> None:
    """See that a row may be changed.

    One that has our ``_uuid`` and nobody's mark has lost ours.
    """
    if there.owner != row.owner and (there.owner or is_others(there.ids)):
        _refuse(row.what, called(there))


def _need_name(host: Host, row: Row) -> None:
    names = host[NAMES]
    holder = names.get((row.table, str(row.columns.get("name", "")))) if names else None
    if holder is not None and holder.uuid != row.uuid and host[ROWS].get(holder.uuid, holder):
        inside = [f"in {shown(it.name)}, {whose(dict(it.ids))}" for it in holder.parents]
        _refuse(row.what, f"its name is taken: {' '.join([called(holder), *inside])}")


def _leave(
    what: str, owner: str, parent: Parent, refuse: Callable[[str, str], NoReturn]
) -> list[str]:
    if parent.owner != owner:
        refuse(what, f"it is in {parent.table} {shown(parent.name)}, {whose(dict(parent.ids))}")
    title = titled(parent.table, parent.name, dict(parent.ids))
    return [parent.table, parent.uuid, parent.column, title]


def _refuse(what: str, reason: str) -> NoReturn:
    raise exception.ResourceConflict(resource=what, reason=reason)


def _keep(what: str, reason: str) -> NoReturn:
    raise exception.HeldByAnother(f"{what} cannot go: {reason}", resource=what, reason=reason)


def _watch_row(row: Row, _mark: Mark) -> Iterator[Asked]:
    if row.table == PORT and row.parent is not None:
        texts = (it for it in _values(row.columns.get("addresses", ())) if isinstance(it, str))
        addresses = tuple(dict.fromkeys(one for text in texts for one in addresses_in(text)))
        if addresses:
            yield NEIGHBOURS(Addressed(row.uuid, row.parent[1], addresses))
    elif row.table in _WHOLE:
        yield CHILDREN((row.table, row.uuid))


_WHOLE = ("Logical_Router", "Logical_Router_Port")
"""What is described with all that it holds, which is not much."""


def _warn_of_row(topology: Topology, host: Host, row: Row) -> Iterable[Caution]:
    there = host[ROWS].get(row.uuid)
    if there is not None and row.table in _WHOLE:
        described = {it.uuid for it in topology.resources if isinstance(it, Row)}
        for held in host[CHILDREN].get(row.uuid, ()):
            if held.owner == row.owner and held.uuid not in described:
                words = (
                    f"still holds {known_by(held)}, which is not described any more and works on"
                )
                yield Caution(row.what, f"{words}; gc for owner {row.owner} removes it")
    if there is None or not there.is_guests:
        return
    if not there.is_up:
        yield Waiting(row.what, "is plugged on no host")
    for address, other in host[NEIGHBOURS].get(row.uuid, ()):
        words = f"shares {address} with another port of its network: {called(other)}"
        yield Caution(row.what, words)


# --- one that is not to be there ------------------------------------------------------------------


def _asks_absent(absent: Absent, _mark: Mark) -> Iterator[Asked]:
    columns = ("type", UP) if absent.table == PORT else ()
    yield ROWS(Wanted(absent.table, absent.uuid, columns, whole=True))


def _remove(draft: Draft, absent: Absent) -> None:
    """Remove the row.

    :raises HeldByAnother: a chassis has it, or it holds what others have.
    """
    there = draft.host[ROWS].get(absent.uuid)
    if there is None or there.owner != absent.owner:
        return
    if there.is_up and not absent.force:
        _keep(absent.what, "it is plugged on a host, and its guest would lose its network")
    held = draft.host[CHILDREN].get(absent.uuid, ())
    left = [it for it in held if draft.host[ROWS].get(it.uuid, it) is not None]
    if left:
        more = f", and {len(left) - 1} more" if len(left) > 1 else ""
        if all(it.owner == absent.owner for it in left):
            more += f" (gc for owner {absent.owner} removes what is not described any more)"
        _keep(absent.what, f"it holds what is to stay: {called(left[0])}{more}")
    draft.add(
        "remove_row",
        what=absent.what,
        table=absent.table,
        uuid=absent.uuid,
        owner=absent.owner,
        parents=[_leave(absent.what, absent.owner, it, _keep) for it in there.parents],
        down=there.is_guests and not absent.force,
    )


# --- where a port is to be ------------------------------------------------------------------------


def _asks_placement(placement: Placement, _mark: Mark) -> Iterator[Asked]:
    yield NAMES((PORT, placement.port))
    if len(placement.chassis) > 1:
        yield CENTRAL("")


def _place(draft: Draft, placement: Placement) -> None:
    """Have OVN want the port there.

    :raises ResourceConflict: it is another's.
    :raises UnusableDevice: it is not there, or this OVN cannot have it on two chassis.
    """
    what = f"port {placement.port}"
    port = draft.host[NAMES][PORT, placement.port]
    if port is None:
        reason = "OVN has no logical port of this name; is the network applied?"
        raise exception.UnusableDevice(device=what, reason=reason)
    if not port.owner:
        _refuse(what, called(port))
    central = draft.host[CENTRAL].get("")
    least = _WITH_RARP if placement.activation else _WITH_TWO
    if central is not None and central.version is not None and central.version < least:
        of, needed = (f"{year}.{month:02}" for year, month in (central.version, least))
        reason = f"two chassis need OVN {needed}" + (" with rarp" if placement.activation else "")
        raise exception.UnusableDevice(device=what, reason=f"{reason}; this is {of}")
    options: dict[str, str | None] = {
        "requested-chassis": ",".join(placement.chassis) or None,
        "activation-strategy": placement.activation or None,
    }
    keys = _differing(options, port.map("options"))
    if keys:
        draft.host[ROWS].setdefault(port.uuid, port)
        draft.add(
            "set_row",
            what=what,
            table=PORT,
            uuid=port.uuid,
            owner=port.owner,
            new=False,
            columns={},
            keys={"options": keys},
            unmarked=None,
            attach=None,
            detach=[],
            called={},
            fields={},
        )


RULES: Mapping[type, Rule] = {
    Row: Rule(asks=_asks_row, plug=_plug_row, watches=_watch_row, warns=_warn_of_row, waits=True),
    Absent: Rule(asks=_asks_absent, plug=_remove, waits=True),
    Placement: Rule(asks=_asks_placement, plug=_place, waits=True),
}
"""By type of resource."""
