# SPDX-License-Identifier: Apache-2.0
"""The least of an OVSDB client: one socket, one transaction at a time, one number to wait for.

Source: RFC 7047; ovs-vswitchd.conf.db(5) for next_cfg and cur_cfg.
"""

from __future__ import annotations

import json
import select
import socket
from typing import Any

DATABASE = "Open_vSwitch"
_CHUNK = 1 << 20
_QUIET = 0.002
"""Seconds without a message after which none is under way."""


class Ovsdb:
    """A connection that watches a single column, Open_vSwitch.cur_cfg."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._number = 0
        watched = {DATABASE: {"columns": ["cur_cfg"]}}
        self._applied = self._cur_cfg(self._call("monitor", [DATABASE, None, watched]))

    @staticmethod
    def _cur_cfg(update: dict[str, Any]) -> int:
        [row] = update[DATABASE].values()
        return int(row["new"]["cur_cfg"])

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode())

    def _receive(self) -> dict[str, Any]:
        while True:
            try:
                message, end = self._decode(self._text)
            except json.JSONDecodeError:
                more = self._socket.recv(_CHUNK)
                if not more:
                    raise RuntimeError("ovsdb-server closed the connection") from None
                self._text += more.decode()
            else:
                self._text = self._text[end:]
                return dict(message)

    def _next_message(self) -> dict[str, Any]:
        """Receive one message, and see to it if the server asked for nothing but attention."""
        message = self._receive()
        if message.get("method") == "echo":
            self._send({"id": message["id"], "result": message["params"], "error": None})
        elif message.get("method") == "update":
            self._applied = self._cur_cfg(message["params"][1])
        return message

    def _call(self, method: str, params: list[Any]) -> Any:
        self._number += 1
        self._send({"id": self._number, "method": method, "params": params})
        while True:
            message = self._next_message()
            if "method" not in message and message["id"] == self._number:
                return message["result"]

    def catch_up(self) -> None:
        """Read what has come meanwhile, such as what other clients' transactions led to.

        Left unread it would fill the socket, and the server stops listening to who does not.
        """
        while self._text or select.select([self._socket], [], [], _QUIET)[0]:
            self._next_message()

    def transact(self, operations: list[dict[str, Any]]) -> list[Any]:
        """Commit one transaction, and return when ovs-vswitchd has done what it asks for.

        :raises RuntimeError: the server refused
        """
        count = [
            {
                "op": "mutate",
                "table": DATABASE,
                "where": [],
                "mutations": [["next_cfg", "+=", 1]],
            },
            {"op": "select", "table": DATABASE, "where": [], "columns": ["next_cfg"]},
        ]
        results = self._call("transact", [DATABASE, *operations, *count])
        for result in results:
            if result and "error" in result:
                raise RuntimeError(str(result))
        wanted = results[-1]["rows"][0]["next_cfg"]
        while self._applied < wanted:
            self._next_message()
        return list(results)


def insert(table: str, name: str, row: dict[str, Any]) -> dict[str, Any]:
    """An operation that makes a row, `name` to the others of the transaction."""
    return {"op": "insert", "table": table, "uuid-name": name, "row": row}


def add_to(table: str, where: list[Any], column: str, name: str) -> dict[str, Any]:
    """An operation that adds a new row to a set of references."""
    mutations = [[column, "insert", ["named-uuid", name]]]
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}


def take_from(table: str, where: list[Any], column: str, uuids: list[Any]) -> dict[str, Any]:
    """An operation that takes rows from a set of references, and so deletes them."""
    mutations = [[column, "delete", ["set", uuids]]]
    return {"op": "mutate", "table": table, "where": where, "mutations": mutations}
