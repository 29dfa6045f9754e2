# SPDX-License-Identifier: Apache-2.0
"""From files to what is wanted of OVN: networks, the VIFs in them, and routers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs import files, reader
from os_vif.cli.specs.batch import Batch, Entry, join
from os_vif.cli.specs.networks import Definition, is_port
from os_vif.cli.specs.refused import BadInput
from os_vif.cli.suggest import suggest
from os_vif.logical import DHCP, External, Finding, LogicalNetwork, Port, Router, Wanted
from os_vif.logical.examine import examine_survey
from os_vif.logical.survey import Survey, survey_of
from os_vif.specs import Mark, Problem, Values, network_of
from os_vif.specs.problems import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclasses.dataclass(slots=True)
class Logical:
    """What files want of OVN.

    :ivar survey: read and examined.
    :ivar batch: all that they say.
    :ivar warnings: what will not be as it may be meant.
    """

    survey: Survey
    batch: Batch
    warnings: list[Problem]
    _places: _Places

    @property
    def wanted(self) -> Wanted:
        """What they want, as they say it."""
        return self.survey.wanted

    def mark_of(self, field: str) -> Mark | None:
        """Return where a field stands, by the name that ``wanted`` has for it, or what lacks it."""
        return self._places.nearest(field)[0]


def read(names: Sequence[str]) -> Logical:
    """Read files, as :func:`os_vif.cli.specs.reader.read_files` does; there may be no VIF.

    :raises BadInput: with all problems of all files
    """
    batch = Batch()
    named = reader.gather(names, batch)
    if not batch.networks and not batch.routers and not batch.problems:
        for name in named or names:
            message = "there is no network in it (networks: [{label: ..., subnets: [...]}])"
            batch.problems.append(Problem(Mark(files.source_of(name), 0, 0), "", message))
    if batch.problems:
        raise BadInput(batch.problems)
    return of_batch(batch)


def is_meant(batch: Batch) -> bool:
    """Tell whether networks of files are for OVN: there are routers, or ports in them."""
    named = (entry for entry in batch.entries if entry.named is not None)
    return bool(batch.routers) or any(is_port(entry.vif) for entry in named)


def of_batch(batch: Batch) -> Logical:
    """Return what files want that were read already.

    :raises BadInput: with all problems
    """
    gathering = _Gathering(batch)
    wanted = gathering.wanted()
    if gathering.problems:
        raise BadInput(gathering.problems)
    survey = survey_of(wanted)
    warnings = list(gathering.warnings())
    places = _Places(gathering.called)
    problems: list[Problem] = []
    for finding in examine_survey(survey):
        (warnings if finding.is_warning else problems).append(places.problem(finding))
    if problems:
        raise BadInput(problems)
    return Logical(survey, batch, warnings, places)


class _Gathering:
    """Makes plain data of what was read, each thing with a name of its own for errors."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.problems: list[Problem] = []
        self.called: dict[str, Definition | Entry] = {}
        self.ids = {label: network.identity("network") for label, network in batch.networks.items()}

    def wanted(self) -> Wanted:
        return Wanted(
            owner=self._owner(),
            networks=tuple(map(self._network, self.batch.networks.values())),
            ports=tuple(map(self._port, self._bound())),
            routers=tuple(map(self._router, self.batch.routers.values())),
        )

    def warnings(self) -> Iterator[Problem]:
        """Return what is said and reaches nothing on OVN."""
        for network in self.batch.networks.values():
            if network.values.get("nat"):
                message = "reaches nothing on OVN: a router translates there (external.snat)"
                yield Problem(network.marks["nat"], network.reading.path("nat"), message)
        for entry in self.batch.entries:
            if entry.named is not None and not is_port(entry.vif):
                message = "reaches nothing on OVN: a VIF of this type is no port of it"
                yield Problem(entry.mark, entry.root, message)

    def _call(self, thing: Definition | Entry) -> str:
        """Return what a thing is called: its path, and its file where others have that path."""
        mark = thing.mark
        name = thing.root or "document"
        if name in self.called:
            name = f"{mark.source}: {name}"
        while name in self.called:
            name = f"{name} (line {mark.line}, column {mark.column})"
        self.called[name] = thing
        return name

    def _owner(self) -> str:
        """Return whose all is; note where two say another one, or none does."""
        first: Definition | None = None
        for found in (*self.batch.networks.values(), *self.batch.routers.values()):
            mark = found.mark
            if not found.owner:
                message = (
                    "missing; say in a word who may change and remove it (owner: NAME, beside "
                    "'networks')"
                )
                self.problems.append(Problem(mark, "owner", message))
                return ""
            first = first or found
            if found.owner != first.owner:
                message = (
                    f"{quoted(found.owner)} here and {quoted(first.owner)} at {first.mark}; "
                    "what is applied together has one owner"
                )
                self.problems.append(Problem(mark, "owner", message))
                return ""
        return first.owner if first is not None else ""

    def _network(self, found: Definition) -> LogicalNetwork:
        values = {**found.values, "id": found.identity("network")}
        return LogicalNetwork(
            network=network_of({"network": values}, vlan=values.get("vlan")),
            physical=values.get("physical", ""),
            dhcp=_dhcp(values),
            at=self._call(found),
        )

    def _bound(self) -> Iterator[Entry]:
        """Return the VIFs that are ports in these networks."""
        ids = set(self.ids.values())
        for entry in self.batch.entries:
            network: Any = entry.vif.network if entry.vif.obj_attr_is_set("network") else None
            if network is not None and network.id in ids and is_port(entry.vif):
                yield entry

    def _port(self, entry: Entry) -> Port:
        said: Values = entry.named.values if entry.named is not None else {}
        return Port(
            vif=entry.vif,
            instance=entry.instance,
            chassis=tuple(said.get("chassis", ())),
            activation_strategy=said.get("activation_strategy", ""),
            port_security=said.get("port_security", True),
            places=entry.named.places if entry.named is not None else {},
            at=self._call(entry),
        )

    def _router(self, found: Definition) -> Router:
        values = found.values
        inside = [
            self._id(found, label, f"networks[{position}]")
            for position, label in enumerate(values.get("networks", ()))
        ]
        external = None
        if "external" in values:
            said = values["external"]
            snat = said.get("snat", False)
            external = External(
                network=self._id(found, said["network"], "external.network"),
                address=said["address"],
                gateway=said.get("gateway", ""),
                chassis=tuple(said.get("chassis", ())),
                snat=snat if isinstance(snat, bool) else tuple(snat),
                distributed=said.get("distributed", False),
            )
        return Router(
            id=found.identity("router"),
            label=found.label,
            networks=tuple(inside),
            external=external,
            at=self._call(found),
        )

    def _id(self, router: Definition, label: str, inner: str) -> str:
        """Return the id of a network that a router names."""
        if label not in self.ids:
            message = f"there is no network {quoted(label)}; {suggest(label, self.ids)}"
            mark = router.marks[inner]
            self.problems.append(Problem(mark, router.reading.path(inner), message))
        return self.ids.get(label, "")


def _dhcp(values: Values) -> Mapping[str, DHCP | None]:
    """Return how DHCP is served, of subnets that say so."""
    found: dict[str, DHCP | None] = {}
    for subnet in values.get("subnets", ()):
        said = subnet.get("dhcp")
        if said is False:
            found[subnet["cidr"]] = None
        elif said is not None:
            found[subnet["cidr"]] = DHCP() if said is True else DHCP(**said)
    return found


class _Places:
    """Where each field stands, by the name that findings have for it."""

    def __init__(self, called: Mapping[str, Definition | Entry]) -> None:
        self.marks: dict[str, tuple[Mark, str]] = {}
        for name, thing in called.items():
            self.marks[name] = (thing.mark, thing.root)
            for inner, there in thing.marks.items():
                if inner:
                    self.marks[f"{name}.{inner}"] = (there, join(thing.root, inner))

    def problem(self, finding: Finding) -> Problem:
        """Return a finding with its place; a field that was left out stands where it is missing."""
        field = finding.field
        mark, shown = self.nearest(field)
        return Problem(mark, shown, finding.message)

    def nearest(self, field: str) -> tuple[Mark | None, str]:
        """Return where a field stands and what people call it, or what it is missing in."""
        path = field
        while path and path not in self.marks:
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        if not path:
            return None, field
        mark, shown = self.marks[path]
        return mark, f"{shown}{field[len(path) :]}"
