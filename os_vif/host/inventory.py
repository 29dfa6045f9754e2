# SPDX-License-Identifier: Apache-2.0
"""What this host holds of VIFs, by the marks, and what removes it.

The host is the only database: interface aliases and alternative names, comments of forwarding rules
and external_ids.
"""

from __future__ import annotations

import dataclasses
import errno
import time
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from oslo_log import log as logging

from os_vif import exception
from os_vif.host import dispatch, fields, observer, planner
from os_vif.host.backends import iptables, links, sysfs, testpmd, vfs
from os_vif.host.fast_path import DAEMON
from os_vif.host.fast_path_rules import deleting, stopping
from os_vif.host.fast_path_steps import stop_back_end
from os_vif.host.function_marks import LOOPBACK, FunctionMark
from os_vif.host.function_rules import giving_back
from os_vif.host.function_vlan_rules import noted_function, vlan_back
from os_vif.host.macvtap_rules import lowering
from os_vif.host.observed import Function, Link, VfSettings
from os_vif.host.passthrough import PciDevice, VirtualFunction
from os_vif.host.place import Place
from os_vif.host.profile_rules import releasing
from os_vif.host.step import Args, Step
from os_vif.host.steps import is_unfinished
from os_vif.host.switch import MARK_KEY, BridgeRow, Database, PortRow
from os_vif.host.switch_steps import del_br, del_port
from os_vif.host.topology import (
    Mark,
    Resource,
    Topology,
    noted_socket,
    parse_mark,
    parse_rules_comment,
)

_MAKING_S = 0.1
"""Seconds after which a device that is being made has long been made."""

LOG = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A PCI function that a VIF has.

    :ivar mark: whose it is.
    :ivar device: the one that carries the mark: ``lo``, or the physical function's, through which
        the function is set for the VIF.
    :ivar up: whether that is up.
    :ivar function: as it is now; None if the host has it no more.
    :ivar settings: as the physical function's driver tells them; empty where nothing is set.
    """

    mark: FunctionMark
    device: str
    up: bool
    function: Function | None
    settings: VfSettings

    @property
    def card(self) -> str:
        """The netdev through which the function is set for the VIF; '' for one given as it is."""
        return "" if self.device == LOOPBACK else self.device


@dataclasses.dataclass(frozen=True, slots=True)
class Plugged:
    """What the host holds of one VIF.

    :ivar mark: whose it is.
    :ivar links: its devices.
    :ivar comments: the comments of its forwarding rules.
    :ivar ports: its ports of Open vSwitch.
    :ivar bridges: the bridges of Open vSwitch that are its own.
    :ivar functions: its PCI functions.
    """

    mark: Mark
    links: tuple[Link, ...] = ()
    comments: tuple[str, ...] = ()
    ports: tuple[PortRow, ...] = ()
    bridges: tuple[BridgeRow, ...] = ()
    functions: tuple[Given, ...] = ()

    @property
    def unserved(self) -> tuple[str, ...]:
        """The names of the taps whose process is gone."""
        return tuple(
            link.name
            for link in self.links
            if link.kind == "tap" and noted_socket(link.alias) and not link.attributes.get("queues")
        )

    @property
    def waiting(self) -> tuple[str, ...]:
        """The names of the ports whose device the hypervisor has yet to make."""
        there = {link.name for link in self.links}
        return tuple(
            port.name
            for port in self.ports
            if not port.type and port.name not in there and (port.ofport or -1) < 0
        )


class _Found:
    """What was found of one VIF so far."""

    def __init__(self) -> None:
        self.mark: Mark | None = None
        self.parts: dict[str, list[Any]] = {}

    def add(self, mark: Mark | None, part: str, item: object) -> None:
        self.mark = self.mark or mark
        self.parts.setdefault(part, []).append(item)


def plugged(vif_id: str | None = None, databases: Iterable[Database] = ()) -> list[Plugged]:
    """Return what the host holds of VIFs, by the marks; of one, or of all, sorted by id.

    Forwarding rules are only seen with privilege.

    :param databases: of Open vSwitch; one where no server listens is passed over
    :raises OSError: somebody refused to tell
    """
    found: dict[str, _Found] = {}

    def take(owner: str, mark: Mark | None, part: str, item: object) -> None:
        if vif_id in (None, owner):
            found.setdefault(owner, _Found()).add(mark, part, item)

    for link in links.all_links():
        if mark := parse_mark(link.alias):
            take(mark.vif_id, mark, "links", link)
        for given in _given(link, vif_id):
            vif = given.mark.vif_id
            # One plugin alone gives functions away.
            take(vif, Mark(vif, "sriov", given.mark.instance), "functions", given)
    for database in databases:
        ports, bridges = _on_switch(database)
        for port in ports:
            if mark := parse_mark(port.external_ids.get(MARK_KEY)):
                take(mark.vif_id, mark, "ports", port)
        for bridge in bridges:
            if mark := parse_mark(bridge.mark):
                take(mark.vif_id, mark, "bridges", bridge)
    if dispatch.is_privileged():
        both = {comment for ipv6 in (False, True) for comment in iptables.comments(ipv6=ipv6)}
        for comment in sorted(both):
            if owner := parse_rules_comment(comment):
                take(owner, None, "comments", comment)
    return [
        # Rules carry no more than the id, and one plugin alone makes them.
        Plugged(
            item.mark or Mark(owner, "linux_bridge"),
            **{part: tuple(items) for part, items in item.parts.items()},
        )
        for owner, item in sorted(found.items())
    ]


def _given(link: Link, vif_id: str | None) -> list[Given]:
    """Return the functions that a device carries marks of; of one VIF, or of all."""
    marks = [mark for mark in link.functions if vif_id in (None, mark.vif_id)]
    set_here = {} if link.name == LOOPBACK or not marks else vfs.look_up([link.name])
    found = []
    for mark in marks:
        function = sysfs.function(mark.address)
        number = -1 if function is None or function.number is None else function.number
        settings = set_here.get((link.name, number), {})
        up = bool(link.attributes.get("up"))
        found.append(Given(mark, link.name, up, function, settings))
    return found


def _on_switch(database: Database) -> tuple[list[PortRow], list[BridgeRow]]:
    from os_vif.host import switch_runner  # a host without a switch need not load it

    try:
        return switch_runner.marked(database)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ECONNREFUSED):
            raise
        LOG.info("no Open vSwitch is asked: %s", error.strerror)
        return [], []


def remove_abandoned(section: str) -> list[Link]:
    """Delete devices that a process was killed over before it could mark them; return them.

    Making one takes less than a millisecond, so one that is still the same after a while is
    nobody's.  Fast-path processes whose tap is gone are ended too, as far as we may see them.

    :raises StepFailed: the system refused.
    """
    _end_abandoned()
    begun = {link.index: link for link in links.all_links() if is_unfinished(link)}
    if not begun:
        return []
    time.sleep(_MAKING_S)
    left = [link for link in links.all_links() if is_unfinished(link) and link.index in begun]
    doomed = [[link.name, link.index] for link in left]
    _run(Place(section), [Step("delete_links", {"links": doomed})] if doomed else [])
    return left


def lost_back_ends() -> list[str]:
    """Return the names of taps that are gone, and whose processes are not; root alone sees them."""
    if not dispatch.is_privileged(DAEMON):
        return []
    serving = testpmd.devices()
    there = links.look_up(serving) if serving else {}
    return [name for name in serving if there[name] is None]


def _end_abandoned() -> None:
    """End the processes that serve a tap which somebody deleted; a tap is made before its process.

    :raises StepFailed: one does not end.
    """
    _run(Place(DAEMON), [stop_back_end(name, abandoned=True) for name in lost_back_ends()])


def remove(
    gone: Sequence[Plugged],
    section: str,
    databases: Iterable[Database] = (),
    sections: Mapping[str, str] = MappingProxyType({}),
) -> list[Step]:
    """Take away everything the host holds of these VIFs; return what was done.

    :param section: of the daemon that deletes devices and rules, for a caller without privilege
    :param sections: by plugin, that of the daemon which undoes what only the plugin does
    :param databases: of Open vSwitch, whose ports and bridges are looked for in each
    :raises StepFailed: the system refused.
    """
    done: list[Step] = []
    for database in databases:
        todo = [del_port(port) for item in gone for port in item.ports]
        todo += [del_br(bridge) for item in gone for bridge in item.bridges]
        done += _run(Place(section, database), todo)
    failed = None
    ready = []
    for item in gone:
        # First, as all there is to take back stands on the devices; and each by itself, as one
        # that fails must not keep those of the others.
        ahead = [step for link in item.links for step in _ahead(link)]
        try:
            done += _run(Place(sections.get(item.mark.plugin, section)), ahead)
        except exception.StepFailed as error:
            failed = failed or error
        else:
            ready.append(item)
    marked = [link for item in ready for link in item.links]
    marked = [link for link in marked if not deleting(link)]
    # A device of the host's own is only lent to a VIF, and the kernel would not delete it either.
    doomed = [[link.name, link.index] for link in marked if link.kind in fields.CREATED_KINDS]
    todo = [giving_back(link) for link in marked if link.kind not in fields.CREATED_KINDS]
    if doomed:
        todo.insert(0, Step("delete_links", {"links": doomed}))
    for item in ready:
        for comment in item.comments:
            for ipv6 in (False, True):
                args: Args = {"comment": comment, "ipv6": ipv6, "rules": []}
                todo.append(Step("set_forwarding", {**args, "top_regex": "", "bottom_regex": ""}))
    done += _run(Place(section), todo)
    for given in [given for item in ready for given in item.functions]:
        try:
            done += _run(Place(section), _releasing(given))
        except exception.StepFailed as error:
            # A guest may have it open still, and must not keep those of the others.
            failed = failed or error
    if failed is not None:
        raise failed
    return done


def _ahead(link: Link) -> list[Step]:
    """Return the steps that take back what only the mark of a device tells, before it goes."""
    told = releasing(link)
    # A switch may be silent, and the guest must not stay connected meanwhile.
    down = [Step("set_link", {"name": link.name, "attributes": {"up": False}})] if told else []
    address = noted_function(link)
    looked = {address: sysfs.function(address)} if address else {}
    given_back = [*down, *told, *vlan_back(link, looked), *lowering(link)]
    # A process has its tap open, and what a fast path made it deletes itself.
    return [*given_back, *stopping(link), *deleting(link)]


def _releasing(given: Given) -> list[Step]:
    """Return the steps that give back a function: as unplugging, which knows no address here."""
    mark = given.mark
    resources: tuple[Resource, ...] = (PciDevice(address=mark.address),)
    if given.device != LOOPBACK:
        resources += (VirtualFunction(address=mark.address, mac=""),)
    topology = Topology(Mark(mark.vif_id, "sriov"), resources)
    asked = planner.questions(topology)
    host = observer.observe(asked, observer.functions(asked))
    todo = planner.plan_unplug(topology, host).steps
    # Of a function that is gone nobody finds the mark but who looks at every device.
    last = Step("unmark_function", {"device": given.device, "mark": str(mark)})
    return todo if last in todo else [*todo, last]


def _run(place: Place, todo: Sequence[Step]) -> list[Step]:
    if not todo:
        return []
    [report] = dispatch.run(place, [[(step, None) for step in todo]], together=False)
    if report["error"]:
        raise exception.StepFailed(
            step=report["error"]["step"],
            reason=report["error"]["reason"],
            errno=report["error"]["errno"],
            left="",
        )
    return [step for i, step in enumerate(todo) if i not in report["unchanged"]]
