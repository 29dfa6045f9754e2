# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's bridges and ports, changed in one transaction and seen to work.

Source: ovs-vswitchd.conf.db(5).  ``Open_vSwitch.next_cfg`` counts what was asked for, ``cur_cfg``
what ovs-vswitchd has done; a change is over when the second has caught up with the first.
"""

from __future__ import annotations

import errno
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from os_vif.engine.step import Args, Step
from os_vif.host.openvswitch.questions import MARK_KEY
from os_vif.host.openvswitch.resources import Database
from os_vif.system import ovsdb
from os_vif.system.ovsdb import Connection, Deadline, Operation, Refused

_SEEN_COLUMNS = ["_uuid", "ofport", "error"]

_UNDO_S = 5
"""Seconds for taking back what was done when the time of a call is over."""

_ANSWER_S = 5
"""Seconds for a server to answer that was asked to wait until the time was over."""


_NO_REASON = (
    "Open vSwitch gave it no port number and no reason; does this host have the bridge's datapath "
    "(for system: the kernel module openvswitch)?"
)
_LEFT_SOCKET = (
    "; if an ovs-vswitchd that was killed left a socket of the port's name in its vhost-sock-dir, "
    "remove it"
)


class _Transaction:
    """Operations in the making, each known by the steps it belongs to."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.owners: list[list[Step]] = []
        self.interfaces: dict[str, int] = {}
        """Which operation makes an interface, by name."""
        self._joining: dict[str, list[tuple[Step, str]]] = {}
        self._rows = 0

    def add(self, step: Step, *operations: Operation) -> None:
        self.operations += operations
        self.owners += [[step]] * len(operations)

    def row_id(self) -> str:
        self._rows += 1
        return f"row{self._rows}"

    def join(self, step: Step, bridge: str, port: str) -> None:
        """Put a new port into a bridge, together with all others that join it."""
        self._joining.setdefault(bridge, []).append((step, port))

    def close(self) -> None:
        """Add what many steps have in common."""
        for bridge, joining in self._joining.items():
            ports = ovsdb.to_set([["named-uuid", port] for _step, port in joining])
            self.operations += [
                _guard("Bridge", bridge, there=True),
                ovsdb.mutate("Bridge", [["name", "==", bridge]], [["ports", "insert", ports]]),
            ]
            self.owners += [[step for step, _port in joining]] * 2


def _guard(table: str, name: str, *, there: bool) -> Operation:
    """Let the transaction fail if a row has come or gone since it was planned."""
    return {
        "op": "wait",
        "table": table,
        "timeout": 0,
        "where": [["name", "==", name]],
        "columns": ["name"],
        "until": "==",
        "rows": [{"name": name}] if there else [],
    }


def _add_br(txn: _Transaction, step: Step) -> None:
    args = step.args
    interface, port, bridge = txn.row_id(), txn.row_id(), txn.row_id()
    row: ovsdb.Row = {
        "name": args["name"],
        "datapath_type": args["datapath_type"] or "system",
        "ports": ["named-uuid", port],
    }
    if args["mark"]:
        row["external_ids"] = ovsdb.to_map({MARK_KEY: args["mark"]})
    txn.add(
        step,
        _guard("Bridge", args["name"], there=False),
        ovsdb.insert("Interface", interface, {"name": args["name"], "type": "internal"}),
        ovsdb.insert("Port", port, {"name": args["name"], "interfaces": ["named-uuid", interface]}),
        ovsdb.insert("Bridge", bridge, row),
        ovsdb.mutate("Open_vSwitch", [], [["bridges", "insert", ["named-uuid", bridge]]]),
    )


def _add_port(txn: _Transaction, step: Step) -> None:
    args = step.args
    interface, port = txn.row_id(), txn.row_id()
    device: ovsdb.Row = {
        "name": args["name"],
        "type": args["type"],
        "options": ovsdb.to_map(args["options"]),
        "external_ids": ovsdb.to_map(args["external_ids"]),
    }
    if args["mtu_request"] is not None:
        device["mtu_request"] = args["mtu_request"]
    row: ovsdb.Row = {"name": args["name"], "interfaces": ["named-uuid", interface]}
    row |= {
        key: ovsdb.to_set(value) if isinstance(value, list) else value
        for key, value in args["vlan"].items()
    }
    txn.add(
        step,
        _guard("Port", args["name"], there=False),
        ovsdb.insert("Interface", interface, device),
    )
    txn.interfaces[args["name"]] = len(txn.operations) - 1
    if args["qos_row"]:
        row["qos"] = ["uuid", args["qos_row"]]
    elif args["qos_type"] is not None:
        qos = txn.row_id()
        txn.add(step, ovsdb.insert("QoS", qos, _qos_row(args)))
        row["qos"] = ["named-uuid", qos]
    txn.add(step, ovsdb.insert("Port", port, row))
    txn.join(step, args["bridge"], port)


_QOS_NAMESPACE = uuid.UUID("68da264a-847f-42a8-8ab0-5e774aee3d95")
"""Of the ids by which os-vif 3 to 5 find the QoS row of a port."""


def _qos_row(args: Args) -> ovsdb.Row:
    ids = {key: args["external_ids"][key] for key in (MARK_KEY,) if key in args["external_ids"]}
    # For an earlier release that has to take the port away.
    ids |= {"id": str(uuid.uuid5(_QOS_NAMESPACE, args["name"])), "_type": args["qos_type"]}
    return {"type": args["qos_type"], "external_ids": ovsdb.to_map(ids)}


def _at(uuid: str) -> list[Any]:
    return [["_uuid", "==", ["uuid", uuid]]]


def _known(server: Connection, todo: Sequence[Step], deadline: Deadline) -> list[Step]:
    """Return the steps with the rows they are about, which were only planned when they were."""
    unknown = [at for at, step in enumerate(todo) if not step.args.get("rows", [True])[0]]
    if not unknown:
        return list(todo)
    asked = [
        ovsdb.select("Bridge", [["name", "==", todo[at].args["name"]]], ["_uuid"])
        if todo[at].kind == "del_br"
        else ovsdb.select(
            "Port", [["name", "==", todo[at].args["name"]]], ["_uuid", "interfaces", "qos"]
        )
        for at in unknown
    ]
    known: list[Step | None] = list(todo)
    for at, answer in zip(unknown, server.transact(asked, deadline), strict=True):
        step = todo[at]
        found = [_uuids(row) for row in answer["rows"]]
        known[at] = Step(step.kind, {**step.args, "rows": found[0]}) if found else None
    return [step for step in known if step is not None]


def _uuids(row: ovsdb.Row) -> list[str]:
    if "interfaces" not in row:
        return [row["_uuid"][1]]
    # The QoS row was made a moment ago, for this port alone.
    qos = ovsdb.optional(row["qos"]) or ["uuid", ""]
    return [row["_uuid"][1], ovsdb.from_set(row["interfaces"])[0][1], qos[1]]


def _set_port(txn: _Transaction, step: Step) -> None:
    interface = step.args["rows"][1]
    txn.add(step, _guard("Port", step.args["name"], there=True))
    columns = dict(step.args["columns"])
    ids = columns.pop("external_ids", {})
    if ids:
        kept = {key: value for key, value in ids.items() if value is not None}
        mutations = [
            ["external_ids", "delete", ovsdb.to_set(list(ids))],
            ["external_ids", "insert", ovsdb.to_map(kept)],
        ]
        txn.add(step, ovsdb.mutate("Interface", _at(interface), mutations))
    if columns:
        values = {
            key: ovsdb.to_map(value)
            if isinstance(value, dict)
            else ovsdb.to_set([])
            if value is None
            else value
            for key, value in columns.items()
        }
        txn.add(step, ovsdb.update("Interface", _at(interface), values))


def _del_port(txn: _Transaction, step: Step) -> None:
    uuid, _interface, own_qos = step.args["rows"]
    if own_qos:
        # A root table: nothing takes its rows away but this.  The reference goes first, for the
        # server looks for such before it drops rows that nobody holds.
        none = {"qos": ovsdb.to_set([])}
        txn.add(step, ovsdb.update("Port", _at(uuid), none), ovsdb.delete("QoS", _at(own_qos)))
    port = ["uuid", uuid]
    # From whichever bridge has it: the plan's may have changed.
    where = [["ports", "includes", port]]
    txn.add(step, ovsdb.mutate("Bridge", where, [["ports", "delete", port]]))


def _del_br(txn: _Transaction, step: Step) -> None:
    bridge = ["uuid", step.args["rows"][0]]
    txn.add(step, ovsdb.mutate("Open_vSwitch", [], [["bridges", "delete", bridge]]))


class Failed(ovsdb.OvsdbError):
    """The transaction could not be done, and nothing of it was.

    :ivar steps: those that were refused.
    """

    def __init__(self, steps: Sequence[Step], code: int, words: str) -> None:
        self.steps = steps
        super().__init__(code, words)


class NotFollowed(ovsdb.OvsdbError):
    """The rows are there, but ovs-vswitchd has not acted on them in time."""


def change(database: Database, todo: Sequence[Step]) -> list[tuple[Step, int, str]]:
    """Do all of ``todo`` in one transaction, and wait until ovs-vswitchd has followed.

    :returns: the steps whose port is there and could not be attached, with errno and words.
    :raises Failed: the server refused.
    :raises NotFollowed: ovs-vswitchd does not follow.
    :raises OvsdbError: the server could not be reached.
    """
    deadline = ovsdb.deadline_of(database)
    with ovsdb.connection(database, deadline) as server:
        done = _commit(server, todo, deadline)
        if not any(_is_awaited(step) for step in todo):
            return []
        attaching = [step for step in todo if step.args.get("attached")]
        try:
            ports = _await_config(server, done, attaching, deadline)
        except NotFollowed:
            raise
        except ovsdb.OvsdbError as error:  # the rows are there all the same
            raise NotFollowed(error.errno, error.strerror) from error
        return _unattached(attaching, ports, done.interfaces)


def undo(database: Database, todo: Sequence[Step]) -> None:
    """Do all of ``todo`` in one transaction, even if the call's time is over; wait for nobody.

    :raises OvsdbError: the server could not be reached, or refused.
    """
    ovsdb.ask(database, lambda server, deadline: _commit(server, todo, deadline), least_s=_UNDO_S)


class _Done(NamedTuple):
    """What came of a transaction.

    :ivar wanted: the number of the configuration it made.
    :ivar seen: the number ovs-vswitchd had got to.
    :ivar interfaces: uuids of the Interface rows it made, by name.
    """

    wanted: int
    seen: int
    interfaces: dict[str, str]


def _commit(server: Connection, todo: Sequence[Step], deadline: Deadline) -> _Done:
    txn = _Transaction()
    for step in _known(server, todo, deadline):
        _OPERATIONS[step.kind](txn, step)
    txn.close()
    count = len(txn.operations)
    last = [
        ovsdb.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]),
        ovsdb.select("Open_vSwitch", [], ["next_cfg", "cur_cfg"]),
    ]
    try:
        answers = server.transact([*txn.operations, *last], deadline)
    except Refused as error:
        owners = txn.owners[error.position] if error.position < count else list(todo)
        raise Failed(owners, error.errno or 0, error.strerror or str(error)) from error
    config = _config(answers[count + 1])
    interfaces = {name: answers[at]["uuid"][1] for name, at in txn.interfaces.items()}
    return _Done(config["next_cfg"], config["cur_cfg"], interfaces)


_OPERATIONS: Mapping[str, Callable[[_Transaction, Step], None]] = {
    "add_br": _add_br,
    "del_br": _del_br,
    "add_port": _add_port,
    "set_port": _set_port,
    "del_port": _del_port,
}


def _is_awaited(step: Step) -> bool:
    return bool(step.args.get("attached", step.kind in ("add_br", "del_port", "del_br")))


def _await_config(
    server: Connection, done: _Done, attaching: Sequence[Step], deadline: Deadline
) -> list[list[ovsdb.Row]]:
    """Wait until ovs-vswitchd has done what a transaction asks for.

    :returns: the interfaces that were to be attached, as they are then.
    """
    look = [
        ovsdb.select("Open_vSwitch", [], ["cur_cfg"]),
        *(
            ovsdb.select("Interface", [["name", "==", step.args["name"]]], _SEEN_COLUMNS)
            for step in attaching
        ),
    ]
    waiting = [_until_not(done.seen, deadline)] if done.seen < done.wanted else []
    while True:
        answers = _transact_waiting(server, [*waiting, *look], deadline)
        if answers is not None:
            config, *interfaces = answers[len(waiting) :]
            done = done._replace(seen=_config(config)["cur_cfg"])
            if done.seen >= done.wanted:
                return [answer["rows"] for answer in interfaces]
        waiting = [_until_not(done.seen, deadline)]


def _config(answer: Mapping[str, Any]) -> ovsdb.Row:
    """Return the one row of the table Open_vSwitch."""
    rows: list[ovsdb.Row] = answer["rows"]
    if len(rows) != 1:
        raise ovsdb.Malformed(f"the table Open_vSwitch has {len(rows)} rows instead of one")
    return rows[0]


def _until_not(seen: int, deadline: Deadline) -> Operation:
    """Return the operation with which the server itself waits for the number to change.

    :raises NotFollowed: there is no time left to wait.
    """
    try:
        left = deadline.left_ms()
    except ovsdb.OvsdbError as error:
        raise NotFollowed(
            errno.ETIMEDOUT, f"ovs-vswitchd has not followed: {error.strerror}; is it running?"
        ) from error
    return {
        "op": "wait",
        "table": "Open_vSwitch",
        "timeout": left,
        "where": [],
        "columns": ["cur_cfg"],
        "until": "!=",
        "rows": [{"cur_cfg": seen}],
    }


def _transact_waiting(
    server: Connection, operations: list[Operation], deadline: Deadline
) -> list[Any] | None:
    """Return the answers to operations of which the first may wait; None if that took too long."""
    try:
        return server.transact(operations, deadline.at_least(_ANSWER_S))
    except Refused as error:
        if error.kind != "timed out":
            raise
        return None


def _unattached(
    attaching: Sequence[Step], ports: Sequence[list[ovsdb.Row]], interfaces: Mapping[str, str]
) -> list[tuple[Step, int, str]]:
    """Return the steps whose port should have its number and has none."""
    found = []
    for step, rows in zip(attaching, ports, strict=True):
        name = step.args["name"]
        expected = interfaces.get(name) or step.args["rows"][1]
        if not rows or rows[0]["_uuid"][1] != expected:
            found.append((step, errno.EEXIST, "somebody else deleted or replaced the port"))
            continue
        [row] = rows
        ofport = ovsdb.optional(row["ofport"])
        if ofport is not None and ofport > 0:
            continue
        words = ovsdb.optional(row["error"])
        reason = f"Open vSwitch could not attach it: {words}" if words else _NO_REASON
        if step.args.get("type") == "dpdkvhostuser":
            reason += _LEFT_SOCKET
        found.append((step, errno.EPROTO, reason))
    return found
