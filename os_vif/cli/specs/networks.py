# SPDX-License-Identifier: Apache-2.0
"""Networks and routers of files: what they say, and how a VIF that names a network gets its part.

A VIF says by a label which network it is in, and which addresses it has there.  It is read as if
the network stood in it, as far as its type knows the fields; so each value keeps its place.
"""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from os_vif.cli.specs import nodes
from os_vif.cli.specs.batch import Batch, join
from os_vif.cli.specs.nodes import Node, Scalar, what
from os_vif.cli.specs.reading import read_group
from os_vif.cli.suggest import suggest
from os_vif.specs import Field, Group, Mark, Problem, Reading, Values, derived_id
from os_vif.specs import networks as words
from os_vif.specs.kinds import fields_of
from os_vif.specs.problems import quoted

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase


@dataclasses.dataclass
class Definition:
    """A network or a router of a file.

    :ivar node: where it stands, and what it says.
    :ivar values: what was said, by field.
    :ivar reading: where each field stands.
    :ivar owner: of its document; '' where that says none.
    :ivar usable: nothing is wrong with it.
    """

    node: nodes.Mapping
    values: Values
    reading: Reading
    owner: str
    usable: bool

    @property
    def label(self) -> str:
        """What it is called."""
        return str(self.values.get("label", ""))

    @property
    def mark(self) -> Mark:
        """Where it stands."""
        return self.node.mark

    @property
    def root(self) -> str:
        """Its path in its document."""
        return self.reading.root

    @property
    def marks(self) -> Mapping[str, Mark]:
        """Where each of its fields stands."""
        return self.reading.marks

    @functools.cached_property
    def ranges(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Those of its subnets, if it is usable."""
        return [ipaddress.ip_network(subnet["cidr"]) for subnet in self.values.get("subnets", [])]

    def identity(self, kind: str) -> str:
        """Return its id."""
        return str(self.values.get("id") or derived_id(kind, self.owner, self.label))


@dataclasses.dataclass(slots=True)
class Named:
    """What a VIF says of a network that it names.

    :ivar places: by each address, fixed or floating, the field that says it.
    """

    network: Definition
    values: Values
    places: dict[str, str]

    def settle(self, vif: VIFBase) -> None:
        """Have the VIF say what no field of its type does."""
        floating: Mapping[str, list[str]] = self.values.get("floating", {})
        if floating and vif.network is not None:
            for subnet in vif.network.subnets:
                for fixed in subnet.ips:
                    address = str(ipaddress.ip_address(str(fixed.address)))
                    fixed.floating_ips = floating.get(address, [])
        if "active" in self.values:
            vif.active = self.values["active"]
        if vif.network is not None and vif.network.mtu is None and is_port(vif):
            # So wide is the port behind its switch, and no tap need be wider.
            physical = self.network.values.get("physical")
            vif.network.mtu = words.MTU_PHYSICAL if physical else words.MTU_OVERLAY


def is_port(vif: VIFBase) -> bool:
    """Tell whether a VIF has what a chassis of OVN finds its port by."""
    profile = vif.port_profile if vif.obj_attr_is_set("port_profile") else None
    return profile is not None and "interface_id" in profile.fields


# --- definitions ----------------------------------------------------------------------------------


def define(document: nodes.Mapping, root: str, batch: Batch) -> None:
    """Add the networks and routers of a document to ``batch``."""
    said = document.get("owner")
    owner = said.text if isinstance(said, Scalar) and not said.is_null else ""
    for field, kind, known in (
        (words.NETWORKS, "network", batch.networks),
        (words.ROUTERS, "router", batch.routers),
    ):
        for found in _read(document, field, owner, root, batch):
            first = known.setdefault(found.label, found)
            if first is not found:
                _again(first, found, kind, batch)


def _read(
    document: nodes.Mapping, field: Field, owner: str, root: str, batch: Batch
) -> Iterator[Definition]:
    items = document.get(field.name)
    path = join(root, field.name)
    if items is None or (isinstance(items, Scalar) and items.is_null):
        return
    if not isinstance(items, nodes.Sequence):
        message = f"expected a list of {field.name}, found {what(items)}"
        batch.problems.append(Problem(items.mark, path, message))
        return
    for position, item in enumerate(items.items):
        into = Reading(f"{path}[{position}]")
        values = read_group(fields_of(field.kind), item, "", into)
        batch.problems += into.problems
        if isinstance(item, nodes.Mapping) and "label" in values:
            yield Definition(item, values, into, owner, not into.problems)


def _again(first: Definition, found: Definition, kind: str, batch: Batch) -> None:
    """Note that a label stands twice, unless another file says the very same of it."""
    here, there = found.marks["label"], first.marks["label"]
    if here.source != there.source and (found.values, found.owner) == (first.values, first.owner):
        return
    message = f"the {kind} {quoted(found.label)} is another one at {there}; say it once"
    batch.problems.append(Problem(here, found.reading.path("label"), message))


_OF_THE_NETWORK = {field.name for field in words.NETWORK.fields} - {"label"}
_OF_A_NAME = {field.name for field in words.NAMED.fields} - {"label"}
"""What a network says itself, and what a VIF says that names one."""


# --- VIFs -----------------------------------------------------------------------------------------


def merged(
    node: nodes.Mapping, fields: Iterable[Field], batch: Batch, into: Reading
) -> tuple[nodes.Mapping, Named | None]:
    """Return what a VIF says with the network in it that it names.

    :param fields: those of its type
    :returns: the node as it is and None, if it names none
    """
    said = node.get("network")
    known = next((field.kind for field in fields if field.name == "network"), None)
    label = said.get("label") if isinstance(said, nodes.Mapping) else None
    if (
        not isinstance(said, nodes.Mapping)
        or not isinstance(known, Group)
        or not isinstance(label, Scalar)
    ):
        return node, None
    network = batch.networks.get(label.text)
    keys = {key.text for key, _value in said.items}
    if network is None and not keys & _OF_A_NAME and keys & _OF_THE_NETWORK:
        return node, None  # one of its own, whatever others have
    if network is None:
        hint = suggest(label.text, batch.networks) if batch.networks else "no file here has any"
        message = f"there is no network {quoted(label.text)} in 'networks'; {hint}"
        into.problem(label.mark, "network.label", message)
        return _with_network(node, None), None
    hosts_own = {field.name for field in known.fields} - _OF_THE_NETWORK - {"label"}
    rest, here = [], []
    for key, value in said.items:
        if key.text in hosts_own:
            here.append((key, value))  # an uplink, say, that no other host has
        elif key.text in _OF_THE_NETWORK:
            message = f"the network says this itself, at {network.mark}; leave it out here"
            into.problem(key.mark, f"network.{key.text}", message)
        else:
            rest.append((key, value))
    values = read_group(words.NAMED.fields, nodes.Mapping(said.mark, rest), "network", into)
    named = Named(network, values, {})
    if not network.usable:
        # What is wrong with it was told where it stands.
        return _with_network(node, None), named
    found = _Merger(said, named, into).network(known)
    found.items += here
    return _with_network(node, found), named


def _with_network(node: nodes.Mapping, network: nodes.Mapping | None) -> nodes.Mapping:
    items: list[tuple[Scalar, Node]] = []
    for key, value in node.items:
        if key.text != "network":
            items.append((key, value))
        elif network is not None:
            items.append((key, network))
    return nodes.Mapping(node.mark, items)


class _Merger:
    """Puts a network together as it would stand in a VIF."""

    def __init__(self, said: nodes.Mapping, named: Named, into: Reading) -> None:
        self.said, self.named, self.into = said, named, into
        self.ranges = named.network.ranges

    def network(self, kind: Group) -> nodes.Mapping:
        definition = self.named.network
        known = {field.name: field for field in kind.fields}
        addresses = self._addresses()
        self._floating()
        items: list[tuple[Scalar, Node]] = []
        for key, value in definition.node.items:
            if key.text == "subnets" and isinstance(value, nodes.Sequence) and "subnets" in known:
                inner = {field.name for field in fields_of(known["subnets"].kind)}
                items.append((key, self._merged(value, inner, addresses)))
            elif key.text in known and key.text not in ("subnets", "id"):
                items.append((key, value))
        if "id" in known:
            mark = definition.mark
            identity = Scalar(mark, definition.identity("network"), plain=False)
            items.append((Scalar(mark, "id", plain=True), identity))
        return nodes.Mapping(self.said.mark, items)

    def _merged(
        self, subnets: nodes.Sequence, known: set[str], addresses: list[list[Node]]
    ) -> nodes.Sequence:
        found: list[Node] = []
        for subnet, own in zip(subnets.items, addresses, strict=True):
            items = [
                item
                for item in (subnet.items if isinstance(subnet, nodes.Mapping) else [])
                if item[0].text in known
            ]
            if own and "addresses" in known:
                key = Scalar(own[0].mark, "addresses", plain=True)
                items.append((key, nodes.Sequence(own[0].mark, own)))
            found.append(nodes.Mapping(subnet.mark, items))
        return nodes.Sequence(subnets.mark, found)

    def _addresses(self) -> list[list[Node]]:
        """Return the addresses by their subnets."""
        found: list[list[Node]] = [[] for _range in self.ranges]
        for address, node, path in self._said(self.said.get("addresses"), "network.addresses"):
            self.named.places[str(address)] = path
            for number, cidr in enumerate(self.ranges):
                if address.version == cidr.version and address in cidr:
                    found[number].append(node)
                    break
            else:
                ranges = " or ".join(map(str, self.ranges)) or "a subnet, of which it has none"
                network = self.named.network.label
                message = f"{what(node)} cannot be used; expected an address in {ranges}, {network}"
                self.into.problem(node.mark, path, message)
        return found

    def _floating(self) -> None:
        node = self.said.get("floating")
        for key, value in node.items if isinstance(node, nodes.Mapping) else ():
            path = f"network.floating.{key.text}"
            for fixed, _node, _path in self._said(nodes.Sequence(key.mark, [key]), path):
                if str(fixed) not in self.named.places:
                    own = " or ".join(self.named.places) or "addresses in the network"
                    message = f"{quoted(key.text)} is no address of the guest; expected {own}"
                    self.into.problem(key.mark, path, message)
            for address, _node, inner in self._said(value, path):
                self.named.places[str(address)] = inner

    @staticmethod
    def _said(
        node: Node | None, path: str
    ) -> Iterator[tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, Node, str]]:
        """Return addresses of a list that can be used; of others was told."""
        for position, item in enumerate(node.items if isinstance(node, nodes.Sequence) else ()):
            try:
                address = ipaddress.ip_address(item.text if isinstance(item, Scalar) else "")
            except ValueError:
                continue
            yield address, item, f"{path}[{position}]"
