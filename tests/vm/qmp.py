# SPDX-License-Identifier: Apache-2.0
"""A client of QEMU's monitor, as its documentation has it (QEMU Machine Protocol Specification)."""

from __future__ import annotations

import array
import collections
import contextlib
import json
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any

from os_vif.guest.qmp import Command, Wait

PATIENCE = 60.0


class Refused(Exception):
    """QEMU did not do it; the text is its own."""


class Monitor:
    """A connection to a monitor, made as soon as QEMU has its socket.

    :param path: of the socket
    :ivar events: what has happened and was not waited for, oldest first
    """

    def __init__(self, path: str) -> None:
        self.events: collections.deque[dict[str, Any]] = collections.deque()
        self._said = b""
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            deadline = time.monotonic() + PATIENCE
            while self._socket.connect_ex(path):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"QEMU did not open {path}")
                time.sleep(0.02)
            assert "QMP" in self._next(PATIENCE)
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def execute(
        self,
        command: str,
        arguments: Mapping[str, Any] | None = None,
        descriptors: Sequence[int] = (),
        seconds: float = PATIENCE,
    ) -> Any:
        """Have QEMU do something and return its answer.

        :param descriptors: what goes with the command
        :raises Refused: it did not
        :raises TimeoutError: it did not answer in so many seconds
        """
        message = json.dumps({"execute": command, "arguments": dict(arguments or {})}).encode()
        ancillary = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            if descriptors
            else []
        )
        self._socket.sendmsg([message], ancillary)
        while True:
            said = self._next(seconds)
            if "event" in said:
                self.events.append(said)
            elif "error" in said:
                raise Refused(said["error"]["desc"])
            else:
                return said["return"]

    def follow(self, commands: Sequence[Command], descriptors: Sequence[int] = ()) -> None:
        """Do what puts a card in or takes it out, and wait where that says so.

        :param descriptors: of the card's tap or macvtap
        :raises Refused: QEMU did not do one; what was done before it is undone
        """
        done: list[Command] = []
        for command in commands:
            own = () if command.descriptor is None else (descriptors[command.descriptor],)
            try:
                self.execute(command.execute, command.arguments, own)
            except Refused:
                for undo in (it.undo for it in reversed(done) if it.undo is not None):
                    with contextlib.suppress(Refused):  # one undone may have taken others with it
                        self.execute(undo.execute, undo.arguments)
                raise
            done.append(command)
            if command.wait is None:
                continue
            if command.wait.event:
                self.wait_for(command.wait.event, **command.wait.data)
            else:
                self._until_connected(command.wait)

    def _until_connected(self, wait: Wait) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            [found] = [it for it in self.execute(wait.query) if it["label"] == wait.data["label"]]
            if not found["filename"].startswith("disconnected:"):
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def wait_for(self, event: str, **data: Any) -> list[dict[str, Any]]:
        """Wait for an event with these data; return what came before it."""
        deadline = time.monotonic() + PATIENCE
        passed = []
        while True:
            while self.events:
                one = self.events.popleft()
                if one["event"] == event and data.items() <= one.get("data", {}).items():
                    return passed
                passed.append(one)
            self.events.append(self._next(deadline - time.monotonic()))

    def _next(self, seconds: float) -> dict[str, Any]:
        while b"\n" not in self._said:
            self._socket.settimeout(max(seconds, 0.001))
            more = self._socket.recv(65536)
            if not more:
                raise ConnectionError("QEMU has ended")
            self._said += more
        line, _, self._said = self._said.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found
