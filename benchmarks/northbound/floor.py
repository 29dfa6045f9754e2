# SPDX-License-Identifier: Apache-2.0
"""The floor: one hand-written transaction over one socket, that looks at nothing beforehand.

It knows all rows, and remembers those it made.  Source: RFC 7047, 4.1.3 and 5.2; ovn-nb(5).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.drivers import Driver
from benchmarks.northbound.rows import ADD, CHECK, DATABASE, FRESH, NAME, address, ids, need
from benchmarks.port import Port

_CHUNK = 1 << 20


class Server:
    """A connection to the database."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._decode = json.JSONDecoder().raw_decode

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def transact(self, operations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Run operations; return their results.

        :raises RuntimeError: one was refused
        """
        params = [DATABASE, *operations]
        request = {"id": 1, "method": "transact", "params": params}
        self._socket.sendall(json.dumps(request).encode())
        text = ""
        while True:
            text += self._socket.recv(_CHUNK).decode()
            try:
                message, end = self._decode(text)
            except json.JSONDecodeError:
                continue
            if message.get("method") == "echo":
                answer = {"id": message["id"], "result": message["params"], "error": None}
                self._socket.sendall(json.dumps(answer).encode())
                text = text[end:]
                continue
            results: list[dict[str, Any]] = message["result"]
            refused = [it for it in results if it and "error" in it]
            if refused:
                raise RuntimeError(str(refused[0]))
            return results


def insert(ports: Iterable[Port]) -> list[dict[str, Any]]:
    """The operations that add ports to the switch."""
    made = []
    for number, port in enumerate(ports):
        row = {
            "name": port.vif_id,
            "addresses": address(port),
            "port_security": address(port),
            "enabled": True,
            "external_ids": ["map", [list(pair) for pair in ids(port).items()]],
        }
        made.append(
            {
                "op": "insert",
                "table": "Logical_Switch_Port",
                "uuid-name": f"p{number}",
                "row": row,
            }
        )
    members = [["named-uuid", it["uuid-name"]] for it in made]
    return [*made, _mutate("insert", members)]


def _mutate(how: str, members: list[Any]) -> dict[str, Any]:
    return {
        "op": "mutate",
        "table": "Logical_Switch",
        "where": [["name", "==", NAME]],
        "mutations": [["ports", how, ["set", members]]],
    }


class Floor(Driver):
    """The least there is to do."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._server = Server(path)
        self._mode = ADD
        self._rows: dict[str, list[str]] = {}

    def choose(self, mode: str) -> None:
        self._mode = mode

    def plug(self, port: Port) -> None:
        if self._mode == CHECK:
            columns = ["addresses", "port_security", "enabled", "external_ids"]
            where = [["_uuid", "==", self._rows[port.name]]]
            [found] = self._server.transact(
                [
                    {
                        "op": "select",
                        "table": "Logical_Switch_Port",
                        "where": where,
                        "columns": columns,
                    }
                ]
            )
            need(found["rows"][0]["addresses"] == address(port))
            return
        if self._mode == FRESH:
            self._server.close()
            self._server = Server(self._path)
        self.plug_many([port])

    def unplug(self, port: Port) -> None:
        self.unplug_many([port])

    def plug_many(self, ports: Sequence[Port]) -> None:
        answers = self._server.transact(insert(ports))
        for port, answer in zip(ports, answers, strict=False):
            self._rows[port.name] = answer["uuid"]

    def unplug_many(self, ports: Sequence[Port]) -> None:
        # A port is no root: it goes with the reference.
        self._server.transact([_mutate("delete", [self._rows.pop(port.name) for port in ports])])


def connect(arguments: Mapping[str, str]) -> Driver:
    """Connect to the socket that the arguments name."""
    return Floor(arguments["path"])
