# SPDX-License-Identifier: Apache-2.0
"""Talk to an OVSDB server: connections, transactions, deadlines.

Source: RFC 7047 and ovsdb-server(7); the connection and its JSON-RPC are the Open vSwitch
project's own ``ovs`` package.  There is no replica of the database here: what is asked for is
asked by name, and an idle connection costs nothing.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from os_vif.system import eventlet_free, ovsdb_answers
from os_vif.system.ovsdb_calls import Deadline, Lost, Malformed, OvsdbError, Refused, deadline_of
from os_vif.system.ovsdb_wire import Operation

with eventlet_free.imports():
    import ovs.jsonrpc
    import ovs.poller
    import ovs.stream

if TYPE_CHECKING:
    from os_vif.host.openvswitch.resources import Database

_RETRY_MS = 100
"""How long to wait before trying a server again that is not there."""

SILENCE_S = 5
"""Seconds of silence after which a server is probed, and after as many more another is asked."""

_PROBE = "os-vif"
"""The id of a probe, which is no number as those of requests are."""

_CANCEL_S = 5
"""Seconds for the server to hear that its news are not wanted any more."""

_RECEIVE_BYTES = 65536

_MOST_CHARACTERS = 1 << 27
"""Of one answer: ten times what a switch of ten thousand ports would have to say."""

_MOST_MESSAGES = 1000  # that an idle connection may have got: a server sends a few probes

_SSL_ERROR = 1
"""SSL_ERROR_SSL, which the package takes for an errno."""

_JSON = json.JSONDecoder()

_ANSWERS = (ovs.jsonrpc.Message.T_REPLY, ovs.jsonrpc.Message.T_ERROR)

Answer = TypeVar("Answer")


class Connection:
    """One connection to a server, for one caller at a time."""

    def __init__(self, database: Database, deadline: Deadline, *, patient: bool) -> None:
        self._rpc = _connect(database, deadline, patient=patient)
        self._database = database
        self._told = False
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
        elif message.type == ovs.jsonrpc.Message.T_NOTIFY and message.method == "update2":
            self._told = True

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
        message = self._call("transact", [self._database.name, *operations], deadline)
        return _results(operations, message, self._database.least)

    @contextlib.contextmanager
    def watch(self, table: str, where: list[Any], deadline: Deadline) -> Iterator[None]:
        """Have the server tell while this lasts when one of some rows changes.

        :meth:`wait_for_change` waits for it.  Source: ovsdb-server(7), 4.1.12, "Monitor_cond".

        :param where: conditions; a row for which one of them holds is watched
        :raises OvsdbError: it cannot be had, of servers before Open vSwitch 2.6 for one.
        """
        rows = {"where": where, "select": {"initial": False}}
        self._call("monitor_cond", [self._database.name, table, {table: [rows]}], deadline)
        self._told = False
        try:
            yield
        finally:
            if self._rpc.stream is not None:
                self._call("monitor_cancel", [table], deadline.at_least(_CANCEL_S))

    def wait_for_change(self, deadline: Deadline) -> None:
        """Wait until one of the watched rows has changed since this was last asked.

        :raises Lost: the connection was lost.
        :raises OvsdbError: the deadline is over.
        """
        while not self._told:
            error, message = self._receive()
            if error == errno.EAGAIN:
                self._wait(deadline.left_ms())
            elif error:
                raise self._lost(error)
            else:
                self._answer(message)
        self._told = False

    def _call(self, method: str, params: list[Any], deadline: Deadline) -> Any:
        """Return the message that answers a request.

        :raises OvsdbError: the server did not do it.
        :raises Lost: no answer came.
        """
        request = ovs.jsonrpc.Message.create_request(method, params)
        error, silence = self._rpc.send(request), _Silence()
        while not error:
            error, message = self._receive()
            if error == errno.EAGAIN:
                error = self._be_patient(silence, deadline)
            elif not error:
                self._untried = False
                silence.end()
                if message.id == _PROBE:
                    continue
                if message.type in _ANSWERS:
                    return _answer_to(message, request.id)
                self._answer(message)
                self._left_ms(deadline)
        raise self._lost(error)

    def _be_patient(self, silence: _Silence, deadline: Deadline) -> int:
        """Wait for a message; return an errno where another server is to be asked instead.

        A server that waits for something answers a probe all the same; one that hangs does not.
        """
        left = self._left_ms(deadline)
        if len(self._database.remotes) == 1:
            self._wait(left)
            return 0
        if silence.left_ms() <= 0:
            if silence.is_probed:
                self._untried = False
                _turn_away(self._database)
                return errno.ETIMEDOUT
            silence.begin_again()
            probe = ovs.jsonrpc.Message.create_request("echo", [])
            probe.id = _PROBE
            return int(self._rpc.send(probe))
        self._wait(min(left, silence.left_ms()))
        return 0

    def _lost(self, error: int) -> OvsdbError:
        """Close it, and return what to raise."""
        self.close()
        if self._untried:
            # With TLS 1.3 the server looks at our certificate after the handshake.
            return OvsdbError(
                errno.EPROTO,
                f"{self._rpc.name}: the server closed the connection before its first answer; "
                "does it trust the certificate in ssl_cert_file?",
            )
        return Lost(errno.EPIPE, f"the connection was lost: {_words(error)}")

    def _wait(self, left: int) -> None:
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


class _Silence:
    """How long a server has said nothing."""

    def __init__(self) -> None:
        self.end()

    def end(self) -> None:
        """Note that it has said something."""
        self.is_probed = False
        self._over = time.monotonic() + SILENCE_S

    def begin_again(self) -> None:
        """Give it as long again, to answer a probe."""
        self.is_probed = True
        self._over = time.monotonic() + SILENCE_S

    def left_ms(self) -> int:
        """Return how long it may go on, in milliseconds."""
        return int((self._over - time.monotonic()) * 1000)


def _words(error: int) -> str:
    return "the server closed it" if error == ovs.jsonrpc.EOF else os.strerror(error)


def _answer_to(message: Any, asked: Any) -> Any:
    if message.type == ovs.jsonrpc.Message.T_ERROR:
        raise OvsdbError(errno.EPROTO, f"the server answered {message.error}")
    if message.id != asked:
        raise Malformed("it answers what was not asked")
    return message


def _results(operations: Sequence[Operation], message: Any, least: str) -> list[Any]:
    results: list[Any] = message.result
    for position, result in enumerate(results if isinstance(results, list) else ()):
        if isinstance(result, dict) and "error" in result:
            raise Refused(position, str(result["error"]), str(result.get("details", "")), least)
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
    # One that does not answer is not to take the time of those that do.
    most = SILENCE_S * 1000 if len(database.remotes) > 1 else 60_000
    while True:
        for remote in _in_turn(database):
            try:
                left = deadline.left_ms(most)
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
                _answering[database] = remote
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


def _in_turn(database: Database) -> list[str]:
    """Return the remotes, the one that answered last before all others."""
    remotes = database.remotes
    last = _answering.get(database)
    at = remotes.index(last) if last in remotes else 0
    return remotes[at:] + remotes[:at]


def _turn_away(database: Database) -> None:
    """Have the next remote asked from now on, by nobody's idle connection to this one."""
    _answering[database] = (_in_turn(database) * 2)[1]
    for idle in _idle.pop(database, []):
        idle.close()


_answering: dict[Database, str] = {}
"""The remote that has answered last."""


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
