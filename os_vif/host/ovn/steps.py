# SPDX-License-Identifier: Apache-2.0
"""The kinds of step on rows of OVN's Northbound database.

A row that is to be made is made whole; of one that is there, what differs is set.  Nothing takes a
step back: all of a call are one transaction, which is done or is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.engine import fields
from os_vif.engine.observed import Host
from os_vif.engine.step import TRANSACTION, Args, Drift, Kind, Step, from_to
from os_vif.host.ovn.questions import NAMES, ROWS, NbRow, Parent
from os_vif.host.ovn.resources import MARK_KEY, OWNER_KEY, PARENTS

_IDS = "external_ids"

# --- effect on the model --------------------------------------------------------------------------


def _set_row(host: Host, args: Args) -> None:
    row = host[ROWS].get(args["uuid"]) or NbRow(args["table"], args["uuid"], {_IDS: {}})
    columns = {**row.columns, **args["columns"]}
    for column, keys in args["keys"].items():
        merged = {**row.map(column), **keys}
        columns[column] = {key: text for key, text in merged.items() if text is not None}
    parents = row.parents
    if args["attach"] is not None:
        left = {tuple(it[:3]) for it in args["detach"]}
        kept = [it for it in parents if it[:3] not in left]
        parents = (*kept, Parent(*args["attach"][:3]))
    made = NbRow(row.table, row.uuid, columns, parents)
    host[ROWS][row.uuid] = made
    names = host[NAMES]
    if names and (row.table, made.name) in names:
        names[row.table, made.name] = made


def _remove_row(host: Host, args: Args) -> None:
    host[ROWS][args["uuid"]] = None


def _forget(host: Host, args: Args) -> Callable[[], None]:
    uuid = args["uuid"]
    before = host[ROWS].get(uuid)
    names = args.get("columns", {}).get("name") or [before.name if before else ""]
    key = (args["table"], names[0])
    holder = host[NAMES].get(key)

    def restore() -> None:
        host[ROWS][uuid] = before
        if key in host[NAMES]:
            host[NAMES][key] = holder

    return restore


def _shows(host: Host, args: Args) -> Mapping[str, Any]:
    row = host[ROWS].get(args["uuid"])
    if row is None or args["new"]:
        return {}
    shown: dict[str, Any] = {name: row.columns.get(name, []) for name in args["columns"]}
    for column, keys in args["keys"].items():
        there = row.map(column)
        shown |= {f"{column}:{key}": there.get(key) for key in keys}
    return shown


# --- words ----------------------------------------------------------------------------------------


def _value(args: Args, value: Any) -> str:
    """Return in words what a column or a key holds."""
    if not isinstance(value, list):
        return "nothing" if value is None else _item(args, value)
    return ", ".join(_item(args, item) for item in value) or "nothing"


def _item(args: Args, item: Any) -> str:
    if isinstance(item, dict):
        return str(args["called"].get(item["uuid"], item["uuid"]))
    if isinstance(item, bool):
        return str(item).lower()
    text = str(item)
    return text if text.isprintable() else repr(text)


def _attributes(args: Args) -> dict[str, Any]:
    """Return what is set, by column and by column and key."""
    keyed = {
        f"{column}:{key}": text
        for column, keys in args["keys"].items()
        for key, text in keys.items()
    }
    return {**args["columns"], **keyed}


_MARKS = tuple(f"{_IDS}:{key}" for key in (MARK_KEY, OWNER_KEY))


def _set_words(args: Args) -> str:
    before = args.get("before", {})
    said = [
        f"{name}={from_to(_value(args, before[name]) if name in before else '', _value(args, it))}"
        for name, it in _attributes(args).items()
        # That a new row gets its mark, and no empty columns, goes without saying.
        if not args["new"] or (name not in _MARKS and it not in ([], [""], None))
    ]
    place = args["attach"]
    inside = f" to {place[3]}" if place is not None else ""
    if args["new"]:
        return f"add {args['what']}{inside}" + (f": {', '.join(said)}" if said else "")
    moved = [f"move it{inside}" if args["detach"] else f"put it{inside.replace(' to', ' in')}"]
    return f"set {args['what']}: {', '.join([*said, *(moved if place is not None else [])])}"


def briefly(step: Step) -> str:
    """Return in words what is done to which row, without what it holds."""
    verb = "delete" if step.kind == "remove_row" else "add" if step.args["new"] else "set"
    return f"{verb} {step.args['what']}"


def _set_drift(args: Args, _every: Sequence[Step]) -> list[Drift]:
    what, place, before = args["what"], args["attach"], args.get("before", {})
    if args["new"]:
        return [Drift(what, f"{args['table']} is missing", missing=True)]
    found = []
    for name, wanted in _attributes(args).items():
        there = before.get(name)
        words = f"{name} should be {_value(args, wanted)}"
        words += f"; is {_value(args, there)}" if name in before else ""
        if name in _MARKS:
            words = "lacks the mark of its owner"
        found.append(Drift(what, words, False, name, wanted, before=there))
    if place is not None:
        words = f"should be in {place[3]}"
        words += f"; is in {args['detach'][0][3]}" if args["detach"] else ""
        found.append(Drift(what, words, False, "parent", place[3], detached=True))
    return found


def _remove_words(args: Args) -> str:
    places = " and ".join(dict.fromkeys(parent[3] for parent in args["parents"]))
    return f"delete {args['what']}" + (f" from {places}" if places else "")


# --- what fields may hold -------------------------------------------------------------------------


def _is_parent(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and (value[0], value[2]) in PARENTS.values()
        and all(fields.is_text(it, 1000) for it in value)
    )


def _all(ok: fields.Predicate) -> fields.Predicate:
    return lambda value: isinstance(value, list) and all(map(ok, value))


def _by_name(ok: fields.Predicate) -> fields.Predicate:
    return lambda value: (
        isinstance(value, dict)
        and all(fields.is_text(key, 100) and ok(it) for key, it in value.items())
    )


def _text(value: Any) -> bool:
    return fields.is_text(value, 1 << 16)


def _is_item(value: Any) -> bool:
    return isinstance(value, bool | int) or _text(value) or fields.is_record({"uuid": _text})(value)


_COMMON: Mapping[str, fields.Predicate] = {
    "what": fields.is_words,
    "table": fields.one_of(*PARENTS),
    "uuid": _text,
    "owner": _text,
}

KINDS: Mapping[str, Kind] = {
    "set_row": Kind(
        {
            **_COMMON,
            "new": fields.FLAG,
            "columns": _by_name(_all(_is_item)),
            "keys": _by_name(_by_name(lambda value: value is None or _text(value))),
            "unmarked": lambda value: value is None or _by_name(_text)(value),
            "attach": lambda value: value is None or _is_parent(value),
            "detach": _all(_is_parent),
            "called": _by_name(fields.is_words),
            "fields": _by_name(fields.is_words),
        },
        _set_row,
        lambda _host, _args: None,
        _set_words,
        forget=_forget,
        drift=_set_drift,
        by=TRANSACTION,
        makes=lambda args, _steps: [args["what"]] if args["new"] else [],
        shows=_shows,
    ),
    "remove_row": Kind(
        {**_COMMON, "parents": _all(_is_parent), "down": fields.FLAG},
        _remove_row,
        lambda _host, _args: None,
        _remove_words,
        forget=_forget,
        drift=lambda args, _every: [Drift(args["what"], "is still there", astray=True)],
        by=TRANSACTION,
        makes=lambda _args, _steps: [],
    ),
}
"""Every kind of step on rows.

What ``set_row`` is told beside the row: ``unmarked``, the external_ids of a row that has lost its
mark; ``attach`` and ``detach``, who is to refer to it and who no more: table, ``_uuid``, column,
and what it is called; ``called``, what other rows are called, by ``_uuid``; ``fields``, of a column
the field of a file.  What ``remove_row`` is told: ``parents``, who refers to it, and ``down``,
whether it must not be up.
"""
