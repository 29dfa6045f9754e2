# SPDX-License-Identifier: Apache-2.0
"""Talk to an OVSDB server: connections, transactions, deadlines.

Source: RFC 7047 and ovsdb-server(7); the connection and its JSON-RPC are the Open vSwitch
project's own ``ovs`` package.  There is no replica of the database here: what is asked for is
asked by name, and an idle connection costs nothing.
"""

from __future__ import annotations

import codecs
import contextlib
import contextvars
import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import ovs.jsonrpc
import ovs.poller
import ovs.stream

from os_vif.system import ovsdb_answers

if TYPE_CHECKING:
    from os_vif.host.openvswitch.resources import Database

DATABASE = "Open_vSwitch"

_RETRY_MS = 100
"""How long to wait before trying a server again that is not there."""

_RECEIVE_BYTES = 65536

_MOST_CHARACTERS = 1 << 27
"""Of one answer: ten times what a switch of ten thousand ports would have to say."""

_MOST_MESSAGES = 1000  # that an idle connection may have got: a server sends a few probes

_SSL_ERROR = 1
"""SSL_ERROR_SSL, which the package takes for an errno."""

_JSON = json.JSONDecoder()

_ANSWERS = (ovs.jsonrpc.Message.T_REPLY, ovs.jsonrpc.Message.T_ERROR)

Answer = TypeVar("Answer")
Operation = dict[str, Any]
Row = dict[str, Any]


class OvsdbError(OSError):
    """The server could not be reached, or refused; ``strerror`` holds the words."""


class Lost(OvsdbError):
    """No answer came to what was sent, which may have been done or not."""


class Malformed(Lost):
    """What came is no answer to what was sent, which may have been done or not."""

    def __init__(self, words: str) -> None:
        words = f"the connection was lost: the server's answer is no OVSDB: {words}"
        super().__init__(errno.EPROTO, words)


class Refused(OvsdbError):
    """The server refused an operation of a transaction, and so did none of it.

    :ivar position: of the operation; the number of operations where the whole was refused.
    :ivar kind: the server's error string (RFC 7047, 3.1), such as ``timed out``.
    """

    def __init__(self, position: int, kind: str, details: str) -> None:
        self.position = position
        self.kind = kind
        code, words = errno.EPROTO, f"{kind}: {details}" if details else kind
        if kind == "timed out":  # a guard that no longer holds
            code, words = errno.EEXIST, "somebody else was faster, and changed it"
        elif kind == "constraint violation":
            code = errno.EEXIST
        elif kind == "syntax error":  # an operation on a column it does not know
            words += "; this needs the database of Open vSwitch 2.6 or later"
        super().__init__(code, words)


class Deadline:
    """When a call has to be over.

    :param seconds: from now; 0 for never
    """

    def __init__(self, seconds: int) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds if seconds else None

    def at_least(self, seconds: int) -> Deadline:
        """Return a deadline that leaves so much time: this one, or one later than this."""
        if self._end is None or self._end - time.monotonic() >= seconds:
            return self
        return Deadline(seconds)

    def left_ms(self, most: int = 60_000) -> int:
        """Return the milliseconds left, ``most`` of them where there is no end.

        :raises OvsdbError: there are none.
        """
        if self._end is None:
            return most
        left = int((self._end - time.monotonic()) * 1000)
        if left <= 0:
            raise OvsdbError(errno.ETIMEDOUT, f"no answer within {self._seconds} s")
        return min(left, most)


_deadlines: contextvars.ContextVar[dict[Database, Deadline] | None] = contextvars.ContextVar(
    "deadlines", default=None
)


@contextlib.contextmanager
def one_call() -> Iterator[None]:
    """Let all that is asked of a database in this block share one deadline."""
    token = _deadlines.set({})
    try:
        yield
    finally:
        _deadlines.reset(token)


def deadline_of(database: Database) -> Deadline:
    """Return when this call has to be over; see :func:`one_call`."""
    shared = _deadlines.get()
    if shared is None:
        return Deadline(database.timeout)
    return shared.setdefault(database, Deadline(database.timeout))


class Connection:
    """One connection to a server, for one caller at a time."""

    def __init__(self, database: Database, deadline: Deadline, *, patient: bool) -> None:
        self._rpc = _connect(database, deadline, patient=patient)
        self._untried = self._rpc.name.startswith("ssl:")
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._chunks: list[str] = []
        self._characters = 0

    def close(self) -> None:
        """Close it, whatever is under way."""
        if self._rpc.stream is not None:
            self._rpc.close()

    def is_alive(self) -> bool:
        """Answer the server's probes, and tell whether it still listens."""
        for _message in range(_MOST_MESSAGES):
            try:
                error, message = self._receive()
            except Malformed:
                return False
            if error == errno.EAGAIN:
                return not self._rpc.get_status()
            if error:
                return False
            self._answer(message)
        return False

    def _answer(self, message: Any) -> None:
        if message.type == ovs.jsonrpc.Message.T_REQUEST and message.method == "echo":
            self._rpc.send(ovs.jsonrpc.Message.create_reply(message.params, message.id))

    def _receive(self) -> tuple[int, Any]:
        """Return a message; or an errno, EAGAIN where none has arrived.

        The package's own parser takes a character at a time: 45 ms for the answer to a
        transaction of 500 ports, and 1 ms this way.
        """
        while True:
            if self._chunks and self._chunks[-1].rstrip()[-1:] == "}":  # else there is more to come
                text = "".join(self._chunks).lstrip()
                try:
                    value, end = _JSON.raw_decode(text)
                except ValueError:
                    self._chunks = [text]
                except RecursionError:
                    raise Malformed("it is nested too deep") from None
                else:
                    self._chunks = [text[end:]] if text[end:] else []
                    message = ovs.jsonrpc.Message.from_json(value)
                    if isinstance(message, str):
                        raise Malformed(message)
                    return 0, message
            error, data = self._rpc.stream.recv(_RECEIVE_BYTES)
            if error:
                return error, None
            if not data:
                return ovs.jsonrpc.EOF, None
            self._take_up(data)

    def _take_up(self, data: bytes) -> None:
        try:
            self._chunks.append(self._decoder.decode(data))
        except UnicodeDecodeError as error:
            raise Malformed(str(error)) from None
        if self._chunks[0].lstrip()[:1] not in ("{", ""):
            raise Malformed("it is not JSON")
        self._characters = self._characters + len(data) if len(self._chunks) > 1 else len(data)
        if self._characters > _MOST_CHARACTERS:
            raise Malformed(f"it is longer than {_MOST_CHARACTERS} characters")

    def transact(self, operations: Sequence[Operation], deadline: Deadline) -> list[Any]:
        """Run operations as one transaction and return their results.

        :raises Refused: the server did none of them.
        :raises Lost: no answer came.
        """
        request = ovs.jsonrpc.Message.create_request("transact", [DATABASE, *operations])
        error = self._rpc.send(request)
        while not error:
            error, message = self._receive()
            if error == errno.EAGAIN:
                error = 0
                self._wait(deadline)
            elif not error:
                self._untried = False
                if message.type in _ANSWERS:
                    return _results(operations, message, request.id)
                self._answer(message)
                self._left_ms(deadline)
        self.close()
        if self._untried:
            # With TLS 1.3 the server looks at our certificate after the handshake.
            raise OvsdbError(
                errno.EPROTO,
                f"{self._rpc.name}: the server closed the connection before its first answer; "
                "does it trust the certificate in ssl_cert_file?",
            )
        raise Lost(errno.EPIPE, f"the connection was lost: {_words(error)}")

    def _wait(self, deadline: Deadline) -> None:
        left = self._left_ms(deadline)
        self._rpc.run()
        poller = ovs.poller.Poller()
        self._rpc.wait(poller)
        self._rpc.recv_wait(poller)
        poller.timer_wait(left)
        poller.block()

    def _left_ms(self, deadline: Deadline) -> int:
        try:
            return deadline.left_ms()
        except OvsdbError as error:
            # Its answer may still come, and must not be taken for another's.
            self.close()
            raise Lost(error.errno, error.strerror) from None


def _words(error: int) -> str:
    return "the server closed it" if error == ovs.jsonrpc.EOF else os.strerror(error)


def _results(operations: Sequence[Operation], message: Any, asked: Any) -> list[Any]:
    if message.type == ovs.jsonrpc.Message.T_ERROR:
        raise OvsdbError(errno.EPROTO, f"the server answered {message.error}")
    if message.id != asked:
        raise Malformed("it answers what was not asked")
    results: list[Any] = message.result
    for position, result in enumerate(results if isinstance(results, list) else ()):
        if isinstance(result, Mapping) and "error" in result:
            raise Refused(position, str(result["error"]), str(result.get("details", "")))
    if fault := ovsdb_answers.fault(operations, results):
        raise Malformed(fault)
    return results


def _connect(database: Database, deadline: Deadline, *, patient: bool) -> Any:
    """Return a connection to the first remote that answers, trying until the deadline."""
    if database.private_key:
        ovs.stream.Stream.ssl_set_private_key_file(database.private_key)
        ovs.stream.Stream.ssl_set_certificate_file(database.certificate)
        ovs.stream.Stream.ssl_set_ca_cert_file(database.ca_cert)
    said = ""
    while True:
        for remote in database.remotes:
            try:
                left = deadline.left_ms()
            except OvsdbError as error:
                raise OvsdbError(
                    errno.ETIMEDOUT, said or f"{database.remote}: {error.strerror}"
                ) from error
            try:
                opening = ovs.stream.Stream.open(remote)
            except OSError as error:  # a file of ours that TLS cannot use
                raise OvsdbError(error.errno or errno.EPROTO, _about(database, error)) from error
            code, stream = ovs.stream.Stream.open_block(opening, left)
            if not code:
                return ovs.jsonrpc.Connection(stream)
            said = f"{remote}: {os.strerror(code)}"
            if remote.startswith("ssl:") and code == _SSL_ERROR:
                raise OvsdbError(
                    errno.EPROTO,
                    f"{remote}: no agreement on TLS; is the server's certificate signed by the CA "
                    "in ssl_ca_cert_file?",
                )
            if code in (errno.EPROTO, errno.EAFNOSUPPORT, errno.EINVAL):
                raise OvsdbError(code, said)  # a wrong certificate will not get better
        if not patient:
            raise OvsdbError(code, said)
        time.sleep(min(_RETRY_MS, deadline.left_ms(_RETRY_MS)) / 1000)


def _about(database: Database, error: OSError) -> str:
    files = (
        f"ssl_key_file {database.private_key}, ssl_cert_file {database.certificate}, "
        f"ssl_ca_cert_file {database.ca_cert}"
    )
    return f"{files}: {error.strerror or error}"


_idle: dict[Database, list[Connection]] = {}


def _forget_connections() -> None:
    # A child shares its parent's sockets, and would read the parent's answers.
    _idle.clear()


os.register_at_fork(after_in_child=_forget_connections)


@contextlib.contextmanager
def connection(
    database: Database, deadline: Deadline, *, patient: bool = True
) -> Iterator[Connection]:
    """Lend a connection, an idle one where there is one that still lives.

    :param patient: wait for a server that is not there
    :raises OvsdbError: no server answered before the deadline.
    """
    pool = _idle.setdefault(database, [])
    lent: Connection | None = None
    while lent is None:
        try:
            kept = pool.pop()
        except IndexError:
            lent = Connection(database, deadline, patient=patient)
            break
        if kept.is_alive():
            lent = kept
        else:
            kept.close()
    try:
        yield lent
    except Refused:
        pool.append(lent)
        raise
    except BaseException:
        lent.close()
        raise
    else:
        pool.append(lent)


def ask(
    database: Database,
    question: Callable[[Connection, Deadline], Answer],
    *,
    patient: bool = True,
    least_s: int = 0,
) -> Answer:
    """Return the answer to a question that may be asked again when it was lost.

    :param patient: wait for a server that is not there
    :param least_s: seconds there must be for it, even if the call's time is over
    :raises OvsdbError: no server answered before the deadline.
    """
    deadline = deadline_of(database).at_least(least_s)
    lost = False
    while True:
        try:
            with connection(database, deadline, patient=patient) as server:
                return question(server, deadline)
        except Lost as error:
            if error.errno != errno.EPIPE:
                raise
        time.sleep(_RETRY_MS / 1000 if lost else 0)
        lost = True


# --- operations (RFC 7047, 5.2) -----------------------------------------------------------------


def select(table: str, where: list[Any], columns: list[str]) -> Operation:
    """Return an operation that reads columns of rows."""
    return {"op": "select", "table": table, "where": where, "columns": columns}


def insert(table: str, row_id: str, row: Row) -> Operation:
    """Return an operation that makes a row, known in the same transaction as ``row_id``."""
    return {"op": "insert", "table": table, "uuid-name": row_id, "row": row}


def mutate(table: str, where: list[Any], mutations: list[Any]) -> Operation:
    """Return an operation that changes sets, maps or numbers in place."""
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def update(table: str, where: list[Any], row: Row) -> Operation:
    """Return an operation that sets columns of rows."""
    return {"op": "update", "table": table, "where": where, "row": row}


def delete(table: str, where: list[Any]) -> Operation:
    """Return an operation that deletes rows."""
    return {"op": "delete", "table": table, "where": where}


# --- values on the wire (RFC 7047, 5.1) -------------------------------------------------------


def from_map(value: Any) -> dict[str, Any]:
    """Return an OVSDB map."""
    return dict(value[1])


def to_map(value: Mapping[str, str]) -> list[Any]:
    """Return the wire form of a map."""
    return ["map", [[key, item] for key, item in value.items()]]


def from_set(value: Any) -> list[Any]:
    """Return the members of an OVSDB set; one of one member comes bare."""
    if isinstance(value, list) and value and value[0] == "set":
        return list(value[1])
    return [value]


def optional(value: Any) -> Any:
    """Return the value of a column of at most one, or None."""
    members = from_set(value)
    return members[0] if members else None


def to_set(members: Sequence[Any]) -> list[Any]:
    """Return the wire form of a set."""
    return ["set", list(members)]
