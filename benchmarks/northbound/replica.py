# SPDX-License-Identifier: Apache-2.0
"""ovsdbapp, as Neutron has it: a replica of the database in the process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.drivers import Driver
from benchmarks.northbound.rows import ADD, CHECK, DATABASE, FRESH, NAME, address, ids, need
from benchmarks.port import Port


class Replica(Driver):
    """Its commands of the Northbound database."""

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self._mode = ADD
        self._api: Any = self._connected()

    def _connected(self) -> Any:
        from ovsdbapp.backend.ovs_idl import connection, idlutils
        from ovsdbapp.schema.ovn_northbound import impl_idl

        helper = idlutils.get_schema_helper(self._remote, DATABASE)
        helper.register_all()
        idl = connection.OvsdbIdl(self._remote, helper)
        return impl_idl.OvnNbApiIdlImpl(connection.Connection(idl, timeout=120))

    def choose(self, mode: str) -> None:
        self._mode = mode

    def _add(self, port: Port) -> Any:
        return self._api.lsp_add(
            NAME,
            port.vif_id,
            addresses=[address(port)],
            port_security=[address(port)],
            enabled=True,
            external_ids=ids(port),
        )

    def plug(self, port: Port) -> None:
        if self._mode == CHECK:
            row = self._api.lsp_get(port.vif_id).execute(check_error=True)
            need(row.addresses == [address(port)])
            return
        if self._mode == FRESH:
            self._api.ovsdb_connection.stop()
            type(self._api)._ovsdb_connection = None
            self._api = self._connected()
        self._add(port).execute(check_error=True)

    def unplug(self, port: Port) -> None:
        self._api.lsp_del(port.vif_id, NAME).execute(check_error=True)

    def plug_many(self, ports: Sequence[Port]) -> None:
        with self._api.transaction(check_error=True) as transaction:
            for port in ports:
                transaction.add(self._add(port))

    def unplug_many(self, ports: Sequence[Port]) -> None:
        with self._api.transaction(check_error=True) as transaction:
            for port in ports:
                transaction.add(self._api.lsp_del(port.vif_id, NAME))


def connect(arguments: Mapping[str, str]) -> Driver:
    """Connect, and have the replica filled."""
    return Replica(f"unix:{arguments['path']}")
