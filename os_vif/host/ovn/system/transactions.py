# SPDX-License-Identifier: Apache-2.0
"""Run the steps of many groups as one transaction on OVN's Northbound database: all or nothing.

What a step was planned on is guarded within the transaction, so that it is refused where somebody
was faster.  An answer that was lost is no trouble: the same is sent again, and rows that were made
have their ``_uuid`` already.  Source: RFC 7047, 5.2; ovsdb-server(7), 5.2.1; ovn-nb(5).
"""

from __future__ import annotations

import dataclasses
import errno
from collections.abc import Sequence
from typing import Any

from os_vif.engine.runner import Group, Report
from os_vif.engine.step import Args, Step
from os_vif.host.ovn.questions import NAMED, UP, NbRow
from os_vif.host.ovn.resources import OWNER_KEY, PARENTS, ROWS_AT_ONCE, Northbound
from os_vif.host.ovn.steps import briefly
from os_vif.host.ovn.system import guesses
from os_vif.host.ovn.system.rows import Doubts
from os_vif.system import ovsdb
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb_calls import OvsdbError, Refused

_IDS = "external_ids"
_OVERTAKEN = ("timed out", "duplicate uuid", "referential integrity violation")
"""What the server says of a guard that no longer holds, of a row that was made meanwhile, and of
one that is gone."""


class _Transaction:
    """Operations in the making, each known by the step it belongs to, if it is one's alone."""

    def __init__(self) -> None:
        self.operations: list[wire.Operation] = []
        self.owners: list[Step | None] = []
        self._guarded: set[tuple[str, str]] = set()
        self._made: set[str] = set()
        self._joining: dict[tuple[str, str, str, str], list[str]] = {}
        self._leaving: dict[tuple[str, str, str, str], list[str]] = {}
        self._roots: list[Step] = []

    def add(self, step: Step | None, *operations: wire.Operation) -> None:
        self.operations += operations
        self.owners += [step] * len(operations)

    def _guard(self, step: Step | None, table: str, uuid: str, owner: str) -> None:
        """Let all fail unless a row is there and is still its owner's."""
        if uuid in self._made or (table, uuid) in self._guarded:
            return
        self._guarded.add((table, uuid))
        self.add(step, _there(table, [*wire.by_uuid(uuid), _is_of(owner)]))

    def guess(self, row: NbRow) -> None:
        """Let all fail unless a row is as it was."""
        then = {name: _wire_of(value) for name, value in row.columns.items()}
        where = wire.by_uuid(row.uuid)
        self.add(None, wire.wait(row.table, where, [*then], until="==", rows=[then]))
        self._guarded.add((row.table, row.uuid))

    def set_row(self, step: Step) -> None:
        args = step.args
        table, uuid, owner = args["table"], args["uuid"], args["owner"]
        columns = {name: _wire(items) for name, items in args["columns"].items()}
        if args["new"]:
            for name, keys in args["keys"].items():
                columns[name] = wire.to_map(keys)
            self.add(step, wire.insert_as(table, uuid, columns))
            self._made.add(uuid)
        else:
            self._change_row(step, columns)
        for parent in args["detach"]:
            self._leaving.setdefault((owner, *parent[:3]), []).append(uuid)
        if args["attach"] is not None:
            self._joining.setdefault((owner, *args["attach"][:3]), []).append(uuid)

    def _change_row(self, step: Step, columns: wire.Row) -> None:
        args = step.args
        table, uuid = args["table"], args["uuid"]
        if args["unmarked"] is not None:
            ids = wire.to_map(args["unmarked"])
            self.add(step, _there(table, [*wire.by_uuid(uuid), [_IDS, "==", ids]]))
            self._guarded.add((table, uuid))
        else:
            self._guard(step, table, uuid, args["owner"])
        if columns:
            self.add(step, wire.update(table, wire.by_uuid(uuid), columns))
        mutations = [it for name, keys in args["keys"].items() for it in wire.set_keys(name, keys)]
        if mutations:
            self.add(step, wire.mutate(table, wire.by_uuid(uuid), mutations))

    def remove_row(self, step: Step) -> None:
        args = step.args
        table, uuid, owner = args["table"], args["uuid"], args["owner"]
        self._guard(step, table, uuid, owner)
        if args["down"]:
            up = [*wire.by_uuid(uuid), [UP, "==", True]]
            self.add(step, wire.wait(table, up, ["_uuid"], until="==", rows=[]))
        for parent in args["parents"]:
            self._leaving.setdefault((owner, *parent[:3]), []).append(uuid)
        if PARENTS[table] is None:
            self._roots.append(step)

    def close(self) -> None:
        """Add what many steps have in common, and what must come last."""
        for names, verb in ((self._leaving, "delete"), (self._joining, "insert")):
            for (owner, table, uuid, column), children in names.items():
                members = wire.to_set([["uuid", it] for it in children])
                self._guard(None, table, uuid, owner)
                self.add(None, wire.mutate(table, wire.by_uuid(uuid), [[column, verb, members]]))
        for step in self._roots:
            table, uuid = step.args["table"], step.args["uuid"]
            columns = [refers[1] for refers in PARENTS.values() if refers and refers[0] == table]
            empty = [[column, "==", wire.to_set([])] for column in columns]
            if empty:
                self.add(step, _there(table, [*wire.by_uuid(uuid), *empty]))
            self.add(step, wire.delete(table, wire.by_uuid(uuid)))


def _there(table: str, where: list[Any]) -> wire.Operation:
    return wire.wait(table, where, ["_uuid"], until="!=", rows=[])


def _is_of(owner: str) -> list[Any]:
    return [_IDS, "includes", wire.to_map({OWNER_KEY: owner})]


def _wire(items: Sequence[Any]) -> Any:
    if len(items) == 1:
        [item] = items
        return ["uuid", item["uuid"]] if isinstance(item, dict) else item
    return wire.to_set([["uuid", it["uuid"]] if isinstance(it, dict) else it for it in items])


def _wire_of(value: Any) -> Any:
    return wire.to_map(value) if isinstance(value, dict) else _wire(value)


def run(database: Northbound, groups: Sequence[Group], doubts: Doubts) -> list[Report]:
    """Run groups of steps: all, or as many thousands of the first as there was no error for."""
    reports: list[Report] = [{"error": None, "unchanged": [], "seen": {}} for _group in groups]
    todo = [(at, step) for at, group in enumerate(groups) for step, _undo in group]
    for begin in range(0, len(todo), ROWS_AT_ONCE):
        part = todo[begin : begin + ROWS_AT_ONCE]
        is_last = begin + len(part) == len(todo)
        try:
            _commit(database, [step for _at, step in part], doubts, count=is_last)
        except _Failed as error:
            at, first = next(it for it in part if error.step in (None, it[1]))
            _fail(reports[at], first, error, begin)
            break
    return reports


def _fail(report: Report, step: Step, error: _Failed, done: int) -> None:
    words = error.words
    if done:
        words += f"; {done} rows before it are done, and applying again does the rest"
    report["error"] = {
        "step": briefly(step),
        "errno": error.code,
        "reason": words,
        "left": [],
    }


@dataclasses.dataclass
class _Failed(Exception):
    """A transaction that was not done.

    :ivar step: whose operation was refused; None where it is not one's alone.
    """

    step: Step | None
    code: int
    words: str


def _commit(database: Northbound, todo: Sequence[Step], doubts: Doubts, *, count: bool) -> None:
    """Run steps as one transaction.

    :param count: have ovn-northd say when it has followed, if the caller is to wait for it
    """
    txn = _Transaction()
    for row in doubts.guessed.values():
        if row is not None:
            txn.guess(row)
    for step in todo:
        (txn.set_row if step.kind == "set_row" else txn.remove_row)(step)
    txn.close()
    if count and database.counted:
        txn.add(None, wire.mutate("NB_Global", [], [["nb_cfg", "+=", 1]]))
    try:
        ovsdb.ask(database, lambda server, deadline: server.transact(txn.operations, deadline))
    except Refused as error:
        if doubts.guessed:
            guesses.refused(database, doubts.guessed)
            raise _Failed(None, errno.EEXIST, error.strerror or error.kind) from error
        whose = next(iter(txn.owners[error.position : error.position + 1]), None)
        raise _refused(error, whose, todo, doubts) from error
    except OvsdbError as error:
        raise _Failed(None, error.errno or errno.EIO, error.strerror or str(error)) from error
    guesses.done(database, todo)


def _refused(error: Refused, step: Step | None, todo: Sequence[Step], doubts: Doubts) -> _Failed:
    """Return why a transaction was refused, and note what is to be looked for."""
    words = error.strerror or error.kind
    if error.kind in _OVERTAKEN:
        if step is not None and step.kind == "remove_row":
            doubts.roots.add(step.args["uuid"])
        return _Failed(step, errno.EEXIST, words)
    if error.kind == "constraint violation" and step is None:
        doubts.names.update(_names(todo))
        return _Failed(None, errno.EEXIST, words)
    fields = _fields(step.args, words) if step is not None else ""
    return _Failed(step, errno.EPROTO, f"{fields}{words}")


def _names(todo: Sequence[Step]) -> set[tuple[str, str]]:
    return {
        (step.args["table"], name)
        for step in todo
        if step.kind == "set_row" and step.args["table"] in NAMED
        for name in step.args["columns"].get("name", ())
    }


def _fields(args: Args, words: str) -> str:
    """Return which fields of a file hold the value that the server says is not in its range."""
    told = args.get("fields", {})
    columns = args.get("columns", {}).items()
    meant = [name for name, items in columns if any(f": {it} is not" in words for it in items)]
    found = [told[name] for name in meant if name in told]
    return f"{' or '.join(dict.fromkeys(found))}: " if found else ""
