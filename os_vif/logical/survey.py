# SPDX-License-Identifier: Apache-2.0
"""What is wanted, read once and put side by side, for the mapping and the checks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator

from os_vif.logical import names
from os_vif.logical.expression import Address, Range
from os_vif.logical.objects import LogicalNetwork, Port, Router, Wanted
from os_vif.logical.subnets import Fixed, Route, Subnet, mtu_of, subnets_of
from os_vif.logical.versioned import said


@dataclasses.dataclass(slots=True)
class SeenPort:
    """A VIF, with what of it is asked more than once.

    :ivar network: the id of its network; '' for none.
    :ivar mac: in lower case with colons; '' for none.
    """

    port: Port
    id: str
    name: str
    shown: str
    mac: str
    network: str
    subnets: tuple[Subnet, ...]

    @property
    def at(self) -> str:
        """What it is called in errors."""
        return self.port.at or f"vif {self.shown}"

    @property
    def fixed(self) -> list[Fixed]:
        """Its addresses."""
        return [fixed for subnet in self.subnets for fixed in subnet.ips]

    def place(self, address: Address) -> str:
        """Return the field that says an address."""
        field = self.port.places.get(str(address))
        return f"{self.at}.{field}" if field else f"{self.at}.network.subnets"


@dataclasses.dataclass
class SeenNetwork:
    """A network with its VIFs."""

    logical: LogicalNetwork
    id: str
    label: str
    mtu: int
    subnets: tuple[Subnet, ...]
    ports: list[SeenPort] = dataclasses.field(default_factory=list)

    @property
    def shown(self) -> str:
        """What people call it."""
        return self.label or self.id

    @property
    def at(self) -> str:
        """What it is called in errors."""
        return self.logical.at or f"network {self.shown}"

    @functools.cached_property
    def _first(self) -> dict[Address, SeenPort]:
        found: dict[Address, SeenPort] = {}
        for port in self.ports:
            for fixed in port.fixed:
                found.setdefault(fixed.address, port)
        return found

    def first_of(self, address: Address) -> SeenPort | None:
        """Return the first VIF that has an address."""
        return self._first.get(address)

    def behind(self) -> Iterator[tuple[Route, SeenPort, str]]:
        """Return the routes that lead by a guest here, each once, with the guest and the field."""
        told: set[Route] = set()
        for number, subnet in enumerate(self.subnets):
            for position, route in enumerate(subnet.routes):
                guest = self.first_of(route[1])
                if guest is not None and route not in told:
                    told.add(route)
                    yield route, guest, f"{self.at}.subnets[{number}].routes[{position}].via"
        for port in self.ports:
            for number, subnet in enumerate(port.subnets):
                for route in subnet.routes:
                    guest = self.first_of(route[1])
                    if guest is not None and route not in told:
                        told.add(route)
                        yield route, guest, f"{port.at}.network.subnets[{number}].routes"

    @functools.cached_property
    def prefixes(self) -> dict[str, list[Range]]:
        """By the id of a VIF what lies behind its guest."""
        found: dict[str, list[Range]] = {}
        for (to, _via), guest, _field in self.behind():
            ranges = found.setdefault(guest.id, [])
            if to not in ranges:
                ranges.append(to)
        return found

    def subnet_of(self, address: Address) -> Subnet | None:
        """Return the subnet that an address is in."""
        for subnet in self.subnets:
            if subnet.cidr.version == address.version and address in subnet.cidr:
                return subnet
        return None


@dataclasses.dataclass(slots=True)
class Survey:
    """All of it: networks by id, the first of one id, and VIFs in order."""

    wanted: Wanted
    networks: dict[str, SeenNetwork]
    ports: list[SeenPort]

    def one_of(self) -> str:
        """Return which networks there are, for an error."""
        return f"one of: {', '.join(it.shown for it in self.networks.values())}"

    def inside(self, network_id: str) -> list[Router]:
        """Return the routers that have a network inside."""
        return [router for router in self.wanted.routers if network_id in router.networks]


def survey_of(wanted: Wanted) -> Survey:
    """Read all that is wanted."""
    networks: dict[str, SeenNetwork] = {}
    for logical in wanted.networks:
        identity = str(said(logical.network, "id", ""))
        label = str(said(logical.network, "label", ""))
        networks.setdefault(
            identity,
            SeenNetwork(logical, identity, label, mtu_of(logical), subnets_of(logical.network)),
        )
    ports = [_seen(port) for port in wanted.ports]
    for port in ports:
        if port.network in networks:
            networks[port.network].ports.append(port)
    return Survey(wanted, networks, ports)


def _seen(port: Port) -> SeenPort:
    vif = port.vif
    network = said(vif, "network")
    return SeenPort(
        port=port,
        id=str(said(vif, "id", "")),
        name=names.port_name(vif),
        shown=names.shown_name(vif),
        mac=str(said(vif, "address", "")).lower().replace("-", ":"),
        network=str(said(network, "id", "")),
        subnets=subnets_of(network),
    )
