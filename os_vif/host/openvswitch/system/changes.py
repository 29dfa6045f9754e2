# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's bridges and ports, changed in one transaction and seen to work.

Source: ovs-vswitchd.conf.db(5).  ``Open_vSwitch.next_cfg`` counts what was asked for, ``cur_cfg``
what ovs-vswitchd has done; a change is over when the second has caught up with the first.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from os_vif.engine import turns
from os_vif.engine.step import Step
from os_vif.host.openvswitch.questions import MARK_KEY
from os_vif.host.openvswitch.resources import VLAN_SETTINGS, Database
from os_vif.host.openvswitch.system import binding
from os_vif.host.openvswitch.system.settings import column, limit, of_qos, qos_row
from os_vif.system import ovsdb
from os_vif.system import ovsdb_wire as wire
from os_vif.system.ovsdb import Connection
from os_vif.system.ovsdb_calls import Deadline, Malformed, OvsdbError, Refused, deadline_of

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
        self.operations: list[wire.Operation] = []
        self.owners: list[list[Step]] = []
        self.interfaces: dict[str, int] = {}
        """Which operation makes an interface, by name."""
        self._joining: dict[str, list[tuple[Step, str]]] = {}
        self._rows = 0

    def add(self, step: Step, *operations: wire.Operation) -> None:
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
            ports = wire.to_set([["named-uuid", port] for _step, port in joining])
            self.operations += [
                _guard("Bridge", bridge, there=True),
                wire.mutate("Bridge", [["name", "==", bridge]], [["ports", "insert", ports]]),
            ]
            self.owners += [[step for step, _port in joining]] * 2


def _guard(table: str, name: str, *, there: bool) -> wire.Operation:
    """Let the transaction fail if a row has come or gone since it was planned."""
    rows = [{"name": name}] if there else []
    return wire.wait(table, [["name", "==", name]], ["name"], until="==", rows=rows)


def _add_br(txn: _Transaction, step: Step) -> None:
    args = step.args
    interface, port, bridge = txn.row_id(), txn.row_id(), txn.row_id()
    row: wire.Row = {
        "name": args["name"],
        "datapath_type": args["datapath_type"] or "system",
        "ports": ["named-uuid", port],
    }
    if args["mark"]:
        row["external_ids"] = wire.to_map({MARK_KEY: args["mark"]})
    txn.add(
        step,
        _guard("Bridge", args["name"], there=False),
        wire.insert("Interface", interface, {"name": args["name"], "type": "internal"}),
        wire.insert("Port", port, {"name": args["name"], "interfaces": ["named-uuid", interface]}),
        wire.insert("Bridge", bridge, row),
        wire.mutate("Open_vSwitch", [], [["bridges", "insert", ["named-uuid", bridge]]]),
    )


def _add_port(txn: _Transaction, step: Step) -> None:
    args = step.args
    interface, port = txn.row_id(), txn.row_id()
    device: wire.Row = {
        "name": args["name"],
        "type": args["type"],
        "options": wire.to_map(args["options"]),
        "external_ids": wire.to_map(args["external_ids"]),
    }
    if args["mtu_request"] is not None:
        device["mtu_request"] = args["mtu_request"]
    row: wire.Row = {"name": args["name"], "interfaces": ["named-uuid", interface]}
    settings = dict(args["settings"])
    max_rate = settings.pop("max_rate", None)
    for key, value in settings.items():
        target = row if key in VLAN_SETTINGS else device
        target[key] = column(key, value)
    txn.add(
        step,
        _guard("Port", args["name"], there=False),
        wire.insert("Interface", interface, device),
    )
    txn.interfaces[args["name"]] = len(txn.operations) - 1
    qos_type = args["qos_type"] if max_rate is None else "linux-htb"
    if args["qos_row"]:
        row["qos"] = ["uuid", args["qos_row"]]
        if max_rate is not None:
            txn.add(step, *limit(args["qos_row"], qos_type or "", max_rate))
    elif qos_type is not None:
        qos = txn.row_id()
        mark = args["external_ids"].get(MARK_KEY)
        txn.add(step, wire.insert("QoS", qos, qos_row(args["name"], qos_type, max_rate, mark)))
        row["qos"] = ["named-uuid", qos]
    txn.add(step, wire.insert("Port", port, row))
    txn.join(step, args["bridge"], port)


def _known(server: Connection, todo: Sequence[Step], deadline: Deadline) -> list[Step]:
    """Return the steps with the rows they are about, which were only planned when they were."""
    unknown = [at for at, step in enumerate(todo) if not step.args.get("rows", [True])[0]]
    if not unknown:
        return list(todo)
    asked = [(at, question) for at in unknown for question in _questions(todo[at])]
    answers = server.transact([question for _at, question in asked], deadline)
    found: dict[int, list[list[wire.Row]]] = {}
    for (at, _question), answer in zip(asked, answers, strict=True):
        found.setdefault(at, []).append(answer["rows"])
    known: list[Step] = []
    for at, step in enumerate(todo):
        if at not in found:
            known.append(step)
        elif all(found[at]):
            rows = [uuid for [row, *_more] in found[at] for uuid in _uuids(step, row)]
            known.append(Step(step.kind, {**step.args, "rows": rows}))
    return known


def _questions(step: Step) -> list[wire.Operation]:
    named = [["name", "==", step.args["name"]]]
    if step.kind == "del_br":  # and the port of its own that it has
        return [wire.select(table, named, ["_uuid"]) for table in ("Bridge", "Port")]
    return [wire.select("Port", named, ["_uuid", "interfaces", "qos"])]


def _uuids(step: Step, row: wire.Row) -> list[str]:
    if step.kind == "del_br":
        return [row["_uuid"][1]]
    # The QoS row was made a moment ago, for this port alone.
    qos = wire.optional(row["qos"]) or ["uuid", ""]
    return [row["_uuid"][1], wire.from_set(row["interfaces"])[0][1], qos[1]]


def _set_port(txn: _Transaction, step: Step) -> None:
    interface = step.args["rows"][1]
    txn.add(step, _guard("Port", step.args["name"], there=True))
    columns = dict(step.args["columns"])
    ids = columns.pop("external_ids", {})
    if ids:
        mutations = wire.set_keys("external_ids", ids)
        txn.add(step, wire.mutate("Interface", wire.by_uuid(interface), mutations))
    port = {key: column(key, columns.pop(key)) for key in VLAN_SETTINGS if key in columns}
    if "qos" in columns:
        made, more = of_qos(step.args, columns.pop("qos"), columns.pop("max_rate"), txn.row_id())
        txn.add(step, *made)
        port |= more
    if port:
        txn.add(step, wire.update("Port", wire.by_uuid(step.args["rows"][0]), port))
    if columns:
        values = {key: column(key, value) for key, value in columns.items()}
        txn.add(step, wire.update("Interface", wire.by_uuid(interface), values))


def _del_port(txn: _Transaction, step: Step) -> None:
    uuid, _interface, own_qos = step.args["rows"]
    if own_qos:
        # A root table: nothing takes its rows away but this.  The reference goes first, for the
        # server looks for such before it drops rows that nobody holds.
        none = {"qos": wire.to_set([])}
        txn.add(
            step,
            wire.update("Port", wire.by_uuid(uuid), none),
            wire.delete("QoS", wire.by_uuid(own_qos)),
        )
    port = ["uuid", uuid]
    # From whichever bridge has it: the plan's may have changed.
    where = [["ports", "includes", port]]
    txn.add(step, wire.mutate("Bridge", where, [["ports", "delete", port]]))


def _del_br(txn: _Transaction, step: Step) -> None:
    bridge, *own = (["uuid", row] for row in step.args["rows"])
    if own:
        # It was made a moment ago, for all, and may have got ports of others since.
        alone = {"ports": own[0]}
        txn.add(
            step,
            wire.wait("Bridge", [["_uuid", "==", bridge]], ["ports"], until="==", rows=[alone]),
        )
    txn.add(step, wire.mutate("Open_vSwitch", [], [["bridges", "delete", bridge]]))


class Failed(OvsdbError):
    """The transaction could not be done, and nothing of it was.

    :ivar steps: those that were refused.
    """

    def __init__(self, steps: Sequence[Step], code: int, words: str) -> None:
        self.steps = steps
        super().__init__(code, words)


class NotFollowed(OvsdbError):
    """The rows are there, but ovs-vswitchd has not acted on them in time."""


def change(database: Database, todo: Sequence[Step]) -> list[tuple[Step, int, str]]:
    """Do all of ``todo`` in one transaction, and wait until ovs-vswitchd has followed.

    Where OVN is to bind a port, wait for that too.

    :returns: the steps whose port is there and could not be attached, or was not bound, with errno
        and words.
    :raises Failed: the server refused.
    :raises NotFollowed: ovs-vswitchd does not follow.
    :raises OvsdbError: the server could not be reached.
    """
    deadline = deadline_of(database)
    attaching = [step for step in todo if step.args.get("attached")]
    binding_ = [step for step in attaching if step.args.get("bound")]
    with ovsdb.connection(database, deadline) as server, contextlib.ExitStack() as stack:
        if binding_:  # before there is anything that could change
            watched = binding.condition(binding_)
            stack.enter_context(server.watch("Interface", watched, deadline))
            binding.warn_of_others(database, server, binding_, deadline)
        done = _commit(server, todo, deadline)
        if not any(_is_awaited(step) for step in todo):
            return []
        turns.only_waits()
        try:
            ports = _await_config(server, done, attaching, deadline)
            failed = _unattached(attaching, ports, done.interfaces)
            late = [step for step in binding_ if all(step != it for it, _code, _why in failed)]
            late = binding.wait(server, late, deadline) if late else []
        except NotFollowed:
            raise
        except OvsdbError as error:  # the rows are there all the same
            raise NotFollowed(error.errno, error.strerror) from error
    return failed + (binding.unbound(database, late) if late else [])


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
        wire.mutate("Open_vSwitch", [], [["next_cfg", "+=", 1]]),
        wire.select("Open_vSwitch", [], ["next_cfg", "cur_cfg"]),
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
) -> list[list[wire.Row]]:
    """Wait until ovs-vswitchd has done what a transaction asks for.

    :returns: the interfaces that were to be attached, as they are then.
    """
    look = [
        wire.select("Open_vSwitch", [], ["cur_cfg"]),
        *(
            wire.select("Interface", [["name", "==", step.args["name"]]], _SEEN_COLUMNS)
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


def _config(answer: Mapping[str, Any]) -> wire.Row:
    """Return the one row of the table Open_vSwitch."""
    rows: list[wire.Row] = answer["rows"]
    if len(rows) != 1:
        raise Malformed(f"the table Open_vSwitch has {len(rows)} rows instead of one")
    return rows[0]


def _until_not(seen: int, deadline: Deadline) -> wire.Operation:
    """Return the operation with which the server itself waits for the number to change.

    :raises NotFollowed: there is no time left to wait.
    """
    try:
        left = deadline.left_ms()
    except OvsdbError as error:
        raise NotFollowed(
            errno.ETIMEDOUT, f"ovs-vswitchd has not followed: {error.strerror}; is it running?"
        ) from error
    seen_then = [{"cur_cfg": seen}]
    return wire.wait("Open_vSwitch", [], ["cur_cfg"], until="!=", rows=seen_then, timeout=left)


def _transact_waiting(
    server: Connection, operations: list[wire.Operation], deadline: Deadline
) -> list[Any] | None:
    """Return the answers to operations of which the first may wait; None if that took too long."""
    try:
        return server.transact(operations, deadline.at_least(_ANSWER_S))
    except Refused as error:
        if error.kind != "timed out":
            raise
        return None


def _unattached(
    attaching: Sequence[Step], ports: Sequence[list[wire.Row]], interfaces: Mapping[str, str]
) -> list[tuple[Step, int, str]]:
    """Return the steps whose port should have its number and has none."""
    found = []
    for step, rows in zip(attaching, ports, strict=True):
        name = step.args["name"]
        expected = interfaces.get(name) or step.args["rows"][1]
        if not rows or rows[0]["_uuid"][1] != expected:
            found.append((step, errno.ESTALE, "somebody else deleted or replaced the port"))
            continue
        [row] = rows
        ofport = wire.optional(row["ofport"])
        if ofport is not None and ofport > 0:
            continue
        words = wire.optional(row["error"])
        reason = f"Open vSwitch could not attach it: {words}" if words else _NO_REASON
        if step.args.get("type") == "dpdkvhostuser":
            reason += _LEFT_SOCKET
        found.append((step, errno.EPROTO, reason))
    return found
