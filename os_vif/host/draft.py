# SPDX-License-Identifier: Apache-2.0
"""A plan in the making, and what every rule does with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from os_vif import exception
from os_vif.host import steps
from os_vif.host.observed import Host, Link
from os_vif.host.resources import Value
from os_vif.host.step import Step
from os_vif.host.switch import PortRow
from os_vif.host.topology import Topology, parse_mark

IPV6_SETTINGS = frozenset({"disable_ipv6", "forwarding6", "proxy_ndp", "accept_ra", "proxy_delay6"})


@dataclasses.dataclass(slots=True)
class Plan:
    """What to do for one topology.

    :ivar steps: in order.
    :ivar undo: for each step the one that takes it back; None where there is nothing to take.
    """

    steps: list[Step] = dataclasses.field(default_factory=list)
    undo: list[Step | None] = dataclasses.field(default_factory=list)


class Draft:
    """A plan in the making: records steps with their inverses and writes them on the model."""

    def __init__(self, topology: Topology, host: Host, *, undoable: bool) -> None:
        self.undoable = undoable
        self.topology = topology
        self.mark = topology.mark
        self.host = host
        self.plan = Plan()
        self._changed: list[Link | None] = []
        self.detached: dict[str, PortRow] = {}
        """Ports that were taken out, to be added again when their device is there."""

    def add(self, kind: str, /, **args: Any) -> None:
        """Take up a step, with what takes it back, and write it on the model."""
        self.take(Step(kind, args))

    def take(self, step: Step) -> None:
        """Take up a step that somebody else made."""
        self.plan.undo.append(steps.inverse(self.host, step) if self.undoable else None)
        self._changed.append(
            self.host.links.get(step.args["name"]) if step.kind == "set_link" else None
        )
        self.plan.steps.append(step)
        steps.apply(self.host, step)

    def abandon(self) -> None:
        """Take it all back on the model: none of it will run."""
        for undo, link in zip(reversed(self.plan.undo), reversed(self._changed), strict=True):
            if undo is not None:
                steps.apply(self.host, undo)
            elif link is not None:
                self.host.links[link.name] = link

    def correct(self, link: Link, wanted: Mapping[str, Value], alias: str | None = None) -> None:
        """Set what differs of ``wanted`` (and the mark) on a device that exists."""
        have = link.attributes
        drift: dict[str, Value] = {
            key: value
            for key, value in wanted.items()
            # A kernel without IPv6 shows no such settings, and needs none.
            if have.get(key) != value and (key in have or key not in IPV6_SETTINGS)
        }
        if alias is not None and link.alias != alias:
            drift["alias"] = alias
        if drift:
            self.add("set_link", name=link.name, attributes=drift)

    def need(self, name: str) -> Link:
        """Return a device that only the host's operator can provide."""
        link = self.host.link(name)
        if link is None:
            raise exception.NetworkInterfaceNotFound(interface=name)
        return link

    def own_links(self) -> list[Link]:
        """Return the VIF's devices, by their marks."""
        return [
            link
            for link in self.host.links.values()
            if link is not None
            and (owner := parse_mark(link.alias)) is not None
            and owner.vif_id == self.mark.vif_id
        ]


def what(link: Link) -> str:
    """Return in words what a device is that is not the VIF's."""
    mark = parse_mark(link.alias)
    if mark is not None:
        return f"a {link.kind or 'NIC'} of VIF {mark.vif_id}"
    return f"a {link.kind} that is not this VIF's" if link.kind else "a NIC of the host"


def in_the_way(link: Link, need: str) -> exception.ResourceConflict:
    """Return the error for a device that stands in the way."""
    return exception.ResourceConflict(
        resource=f"device {link.name}", reason=f"it is {what(link)}, and {need}"
    )
