# SPDX-License-Identifier: Apache-2.0
"""What an OVSDB server must not answer: told in a sentence, and what was done is undone.

A stand-in between the library and the real server changes what that says.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.system import ovsdb
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug

pytestmark = pytest.mark.functional

Spoil = Callable[[dict[str, Any]], bytes]
"""From a message of the server's to what is sent in its place."""


class Between:
    """A server in front of the real one.

    :ivar answers: how many answers there were.
    :ivar spoil: the answers of these numbers, from 0, are spoiled so.
    """

    def __init__(self, path: Path, server: str) -> None:
        self.remote = f"unix:{path}"
        self.answers = 0
        self.spoil: dict[int, Spoil] = {}
        self.spoiled = 0
        self._server = server.removeprefix("unix:")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def begin_anew(self) -> None:
        """Count answers from now on, to who has no connection yet."""
        ovsdb._idle.clear()
        self.answers = self.spoiled = 0

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                for act in (self._there, self._back):
                    threading.Thread(target=act, args=(client, server), daemon=True).start()

    def _there(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)

    def _back(self, client: socket.socket, server: socket.socket) -> None:
        text = ""
        with contextlib.suppress(OSError), client, server:
            while data := server.recv(65536):
                text += data.decode()
                while text:
                    try:
                        message, end = json.JSONDecoder().raw_decode(text)
                    except ValueError:
                        break
                    text = text[end:]
                    client.sendall(self._changed(message))

    def _changed(self, message: dict[str, Any]) -> bytes:
        if "method" not in message:
            spoil = self.spoil.get(self.answers) or self.spoil.get(-1)
            self.answers += 1
            if spoil is not None:
                self.spoiled += 1
                return spoil(message)
        return json.dumps(message).encode()


@pytest.fixture
def between(switch: Any, inside: Any, tmp_path: Path) -> Iterator[Between]:
    made = Between(tmp_path / "between.sock", switch.remote)
    made.begin_anew()
    with (
        contextlib.closing(made),
        vifs.configured("ovs", ovsdb_connection=made.remote, ovs_vsctl_timeout=20),
    ):
        yield made


def with_result(result: Any) -> Spoil:
    return lambda message: json.dumps({**message, "result": result}).encode()


def each_result(change: Callable[[Any], Any]) -> Spoil:
    def spoil(message: dict[str, Any]) -> bytes:
        return json.dumps({**message, "result": [change(it) for it in message["result"]]}).encode()

    return spoil


def rows(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """Change each row that is told, and where there is none put one."""
    return each_result(
        lambda result: (
            {"rows": [change(row) for row in result["rows"]] or [change({})]}
            if "rows" in result
            else result
        )
    )


def deep(_message: dict[str, Any]) -> bytes:
    return b'{"result":' + b"[" * 100_000 + b"]" * 100_000 + b',"error":null,"id":1}'


_KEYS = ("name", "_uuid")
SPOILS: dict[str, Spoil] = {
    "no JSON": lambda _message: b"HTTP/1.0 400 Bad Request\r\n\r\n",
    "no text": lambda _message: b'{"\xff\xfe": 1}',
    "a list": lambda _message: b"[1, 2]",
    "no message": lambda _message: b'{"colour": "red"}',
    "another's answer": lambda message: json.dumps({**message, "id": 4711}).encode(),
    "nobody's answer": lambda message: json.dumps({**message, "id": None}).encode(),
    "an error": lambda message: json.dumps({**message, "result": None, "error": [7]}).encode(),
    "too deep": deep,
    "a number": with_result(7),
    "a text": with_result("yes"),
    "a map": with_result({"rows": []}),
    "nothing": with_result([]),
    "nulls": each_result(lambda _result: None),
    "numbers": each_result(lambda _result: 3),
    "empty": each_result(lambda _result: {}),
    "no rows": each_result(lambda _result: {"rows": None}),
    "a row that is none": rows(lambda _row: 5),
    "a row without columns": rows(lambda _row: {}),
    "columns of numbers": rows(lambda row: dict.fromkeys(row or _KEYS, 3.5)),
    "columns of lists": rows(lambda row: {key: ["map", 3] for key in row or _KEYS}),
    "columns of sets": rows(lambda row: {key: ["set", [[]]] for key in row or _KEYS}),
    "an odd error": each_result(lambda _result: {"error": {"a": 1}, "details": [2]}),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_an_answer_that_is_none(between: Between, switch: Any, inside: Any, spoil: Spoil) -> None:
    """Whichever answer it is, of those that plugging and undoing get."""
    for number in range(5):
        between.begin_anew()
        before = witness.snapshot()
        between.spoil[number] = spoil
        error: exception.PlugException | None = None
        try:
            plug(vifs_ovs.plain(1))
        except exception.PlugException as caught:
            error = caught
        if error is not None:
            cause = error.__cause__
            assert isinstance(cause, exception.ExceptionBase | OSError), (number, cause)
            assert "could not take back" not in str(error), number
            assert between.spoiled, number
            differences = witness.differences(before, witness.snapshot())
            left = [it for it in differences if vifs.tap_name(1) in str(it)]
            assert not left, (number, differences)
        between.spoil.clear()
        listed = [item.mark.vif_id for item in os_vif.list_vifs()]
        assert listed in ([], [vifs.vif_id(1)]), number
        plug(vifs_ovs.plain(1))
        assert steps_left(vifs_ovs.plain(1)) == [], number
        unplug(vifs_ovs.plain(1))
        switch.vsctl("del-br", vifs_ovs.BRIDGE)


def test_what_could_not_be_taken_back_is_said(between: Between, inside: Any) -> None:
    between.spoil[1] = SPOILS["nulls"]
    between.spoil.update(dict.fromkeys(range(2, 20), SPOILS["nulls"]))
    with pytest.raises(
        exception.PlugException, match=r"no OVSDB: the result of \w+ is None"
    ) as caught:
        plug(vifs_ovs.plain(1))
    cause = caught.value.__cause__
    assert isinstance(cause, exception.StepFailed)
    assert vifs.tap_name(1) in cause.kwargs["left"]
    between.spoil.clear()
    unplug(vifs_ovs.plain(1))


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_looking(between: Between, inside: Any, spoil: Spoil) -> None:
    plug(vifs_ovs.plain(1))
    between.spoil[-1] = spoil
    for look in (lambda: steps_left(vifs_ovs.plain(1)), os_vif.list_vifs):
        with contextlib.suppress(exception.ExceptionBase, OSError):
            look()
    between.spoil.clear()
    unplug(vifs_ovs.plain(1))


def test_an_answer_without_end(between: Between, inside: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(ovsdb, "_MOST_CHARACTERS", 1 << 20)
    between.spoil[0] = lambda _message: b'{"result": "' + b"x" * (1 << 21)
    with pytest.raises(exception.PlugException, match="longer than 1048576 characters"):
        plug(vifs_ovs.plain(1))


def test_messages_without_end(between: Between, inside: Any) -> None:
    notice = b'{"method": "update", "params": [], "id": null}'
    between.spoil[0] = lambda _message: notice * 200_000
    with (
        vifs.configured("ovs", ovsdb_connection=between.remote, ovs_vsctl_timeout=1),
        pytest.raises(exception.PlugException, match="no answer within 1 s"),
    ):
        plug(vifs_ovs.plain(1))
