# SPDX-License-Identifier: Apache-2.0
"""What networks of OVN look like: the provider's at the top, routers, switches, and the VIFs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from os_vif.engine.picture import Drawn, Picture
from os_vif.host.ovn.resources import LABEL_KEY, MARK_KEY, NAME_KEY, Row

if TYPE_CHECKING:
    from os_vif.drawing.scene import Part, Scene

_MOST_LINES = 8
"""So many lines a part has of its own; of more the number is told."""


class _Rows:
    """All rows of a picture, by what one looks them up by."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = {row.uuid: row for row in rows}
        self._marked = {(_mark(row), row.table): row for row in reversed(self._rows.values())}
        self._of: dict[str, list[Row]] = {}
        self._children: dict[tuple[str, str], list[Row]] = {}
        for row in self._rows.values():
            self._of.setdefault(row.table, []).append(row)
            if row.parent:
                self._children.setdefault((row.parent[1], row.table), []).append(row)
        self._plugs: dict[str | None, Row] = {}
        for port in self.of("Logical_Switch_Port", "router"):
            self._plugs.setdefault(port.keys.get("options", {}).get("router-port"), port)

    def of(self, table: str, kind: str | None = None) -> Iterator[Row]:
        """Return the rows of a table; of ports, those of a type."""
        for row in self._of.get(table, ()):
            if kind in (None, row.columns.get("type", "")):
                yield row

    def parent(self, row: Row) -> Row | None:
        """Return the row that refers to one, if it is in the picture."""
        return self._rows.get(row.parent[1]) if row.parent else None

    def children(self, row: Row, table: str) -> Sequence[Row]:
        """Return the rows of a table that a row refers to."""
        return self._children.get((row.uuid, table), ())

    def marked(self, mark: str, table: str) -> Row | None:
        """Return the row of a table with a mark, ``network=ID`` say, whatever follows in it."""
        return self._marked.get((mark, table))

    def behind(self, leg: Row) -> Row | None:
        """Return the switch that a router's leg is plugged into."""
        port = self._plugs.get(str(leg.columns.get("name")))
        return self.parent(port) if port is not None else None


def _ids(row: Row) -> Mapping[str, str | None]:
    return row.keys.get("external_ids", {})


def _mark(row: Row) -> str:
    return (_ids(row).get(MARK_KEY) or "").partition(" ")[0]


def _title(row: Row, key: str) -> str:
    return _ids(row).get(key) or str(row.columns.get("name", row.uuid))


def _texts(row: Row, column: str) -> list[str]:
    value = row.columns.get(column, ())
    return [str(it) for it in (value if isinstance(value, tuple) else (value,))]


def _draw(scene: Scene, rows: Sequence[Row]) -> None:
    """Draw all rows there are; the part of each has as its key what people call the row."""
    there = _Rows(rows)
    for switch in there.of("Logical_Switch"):
        _titled(scene, switch, "switch", LABEL_KEY)
    for served in there.of("DHCP_Options"):
        network = there.marked(_mark(served), "Logical_Switch")
        if network is not None:
            scene.part(network.what, "switch", f"{served.columns.get('cidr')}, DHCP")
    for port in there.of("Logical_Switch_Port", "localnet"):
        _provider(scene, there, port)
    for router in there.of("Logical_Router"):
        _router(scene, there, router)
    for port in there.of("Logical_Switch_Port", ""):
        part = _titled(scene, port, "guest", NAME_KEY)
        part.lines += [
            word for text in _texts(port, "addresses") for word in text.split() if word != "unknown"
        ]
        network = there.parent(port)
        part.below = network.what if network else None
    for nat in there.of("NAT"):
        holder = there.marked(_mark(nat), "Logical_Switch_Port")
        if holder is not None and nat.columns.get("type") == "dnat_and_snat":
            scene.part(holder.what, "guest", f"from outside {nat.columns.get('external_ip')}")
    for part in scene.parts.values():
        if len(part.lines) > _MOST_LINES:
            more = len(part.lines) - _MOST_LINES + 1
            part.lines[_MOST_LINES - 1 :] = [f"and {more} more"]


def _titled(scene: Scene, row: Row, kind: str, key: str) -> Part:
    part = scene.part(row.what, kind)
    part.title = _title(row, key)
    return part


def _provider(scene: Scene, there: _Rows, port: Row) -> None:
    network = port.keys.get("options", {}).get("network_name") or ""
    part = scene.part(port.what, "nic", "the provider's network")
    part.title = network
    part.lines += [f"VLAN {tag}" for tag in _texts(port, "tag")]
    switch = there.parent(port)
    if switch is not None:
        scene.part(switch.what, "switch").below = part.key


def _router(scene: Scene, there: _Rows, router: Row) -> None:
    part = _titled(scene, router, "router", LABEL_KEY)
    translated = {
        text: nat
        for nat in there.children(router, "NAT")
        for text in _texts(nat, "logical_ip")
        if nat.columns.get("type") == "snat"
    }
    for leg in there.children(router, "Logical_Router_Port"):
        switch = there.behind(leg)
        gateways = there.children(leg, "Gateway_Chassis")
        is_outer = bool(gateways) or (
            switch is not None
            and any(
                it.columns.get("type") == "localnet"
                for it in there.children(switch, "Logical_Switch_Port")
            )
        )
        own = " ".join(_texts(leg, "networks"))
        if is_outer:
            ranked = sorted(gateways, key=lambda it: -int(str(it.columns.get("priority", 0))))
            names = ", ".join(str(it.columns.get("chassis_name")) for it in ranked)
            part.lines.append(f"{own} on {names}" if names else own)
            if switch is not None and part.below is None:
                part.below = switch.what
            continue
        part.lines.append(own)
        if switch is None:
            continue
        inside = scene.part(switch.what, "switch")
        if inside.below is None:
            inside.below = part.key
        elif inside.below != part.key:
            inside.lines.append(f"also router {part.title}")
    part.lines += [f"SNAT of {text}" for text in translated]


PICTURE = Picture(drawn={Row: Drawn(draw_all=_draw)})
