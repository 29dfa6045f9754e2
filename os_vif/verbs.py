# SPDX-License-Identifier: Apache-2.0
"""What can be done with VIFs beyond plugging one: many at once, a dry run, a check, a clean-up.

These take the plugins that describe (ours). :func:`plug_many` and :func:`unplug_many` take third
parties' too, one by one; the others raise :exc:`~os_vif.exception.NotDescribed` for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.outcomes import Findings, Outcome
from os_vif.plugin import TopologyPlugin

if TYPE_CHECKING:
    from os_vif.engine.converge import Request
    from os_vif.engine.family import Caution, Diagnosis, Shared
    from os_vif.engine.place import Place
    from os_vif.engine.plugged import Held, Plugged
    from os_vif.engine.step import Step
    from os_vif.engine.topology import Topology
    from os_vif.guest.card import Card
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase
    from os_vif.plugin import PluginBase

Pair = tuple["VIFBase", "InstanceInfo | None"]

_NO_OWNERS: Mapping[str, str] = MappingProxyType({})


def plugin_of(vif: VIFBase) -> PluginBase:
    """Return the loaded plugin that a VIF names.

    :raises LibraryNotInitialized: :func:`os_vif.initialize` has not been called
    :raises NoMatchingPlugin: no plugin of this name is loaded
    """
    import os_vif

    return os_vif._plugin_of(vif)


def place_of(plugin_name: str) -> Place | None:
    """Return where the steps of a plugin's VIFs run; None for one that is not loaded, or not ours.

    :param plugin_name: as a mark has it
    """
    plugin = dict(_topology_plugins()).get(plugin_name)
    return None if plugin is None else plugin.place()


def describe(
    vif: VIFBase,
    instance_info: InstanceInfo | None = None,
    *,
    unplugging: bool = False,
    owner: str = "",
) -> Request:
    """Return what the engine is to do for a VIF, checked against what its plugin takes.

    :param owner: as :func:`plug_many` has owners
    :raises NotDescribed: the plugin does things itself
    :raises ExceptionBase: the plugin refuses the VIF
    """
    plugin = plugin_of(vif)
    if not isinstance(plugin, TopologyPlugin):
        raise exception.NotDescribed(plugin_name=vif.plugin)
    request = plugin.request(vif, instance_info, unplugging=unplugging)
    if owner:
        mark = dataclasses.replace(request.topology.mark, owner=owner)
        request.topology = dataclasses.replace(request.topology, mark=mark)
    return request


def _request(
    pair: Pair, unplugging: bool, with_bridge: bool, owners: Mapping[str, str] = _NO_OWNERS
) -> Request:
    vif, instance_info = pair
    owner = owners.get(vif.id, "") if owners else ""
    request = describe(vif, instance_info, unplugging=unplugging, owner=owner)
    if with_bridge and unplugging:
        request.shared = describe(vif, instance_info).topology
    return request


def plug_many(
    pairs: Iterable[Pair], *, together: bool = False, owners: Mapping[str, str] = _NO_OWNERS
) -> list[Outcome]:
    """Plug many VIFs in one go; one that fails does not stop the others.

    Of two that have one MAC address in one place of a network, or one logical port of Open vSwitch
    (``interface_id``), the second is a ResourceConflict.

    :param pairs: each VIF with the guest it belongs to
    :param together: all or nothing: when one fails the others are taken back
    :param owners: by a VIF's id, who takes it away once it no longer exists: letters, digits, '-',
        '.' and '_', 24 at most.  It stands in the marks; :func:`gc` leaves another owner's.
    """
    return _many(list(pairs), unplugging=False, together=together, owners=owners)


def unplug_many(pairs: Iterable[Pair], *, with_bridge: bool = False) -> list[Outcome]:
    """Unplug many VIFs in one go; one that fails does not stop the others.

    :param pairs: each VIF with the guest it belongs to
    :param with_bridge: take away, too, a bridge and a VLAN device that os-vif made and that nobody
        uses any more; the uplink gets back addresses, routes and MTU.  A VIF of which this fails
        is unplugged all the same, and the bridge is as it was.
    """
    return _many(list(pairs), unplugging=True, together=False, with_bridge=with_bridge)


def _many(
    pairs: Sequence[Pair],
    *,
    unplugging: bool,
    together: bool,
    with_bridge: bool = False,
    owners: Mapping[str, str] = _NO_OWNERS,
) -> list[Outcome]:
    from os_vif.engine import converge
    from os_vif.engine.claims import conflicts_of

    outcomes: dict[int, Outcome] = {}
    requests: dict[int, Request] = {}
    others: list[int] = []
    for position, (vif, instance_info) in enumerate(pairs):
        try:
            requests[position] = _request((vif, instance_info), unplugging, with_bridge, owners)
        except exception.NotDescribed:
            others.append(position)
        except Exception as error:
            outcomes[position] = Outcome(vif, error=error)
    if not unplugging:
        named = {at: (pairs[at][0], request.topology) for at, request in requests.items()}
        refused = conflicts_of(named).items()
        outcomes |= {at: Outcome(pairs[at][0], error=why) for at, why in refused}
    requests = {at: request for at, request in requests.items() if at not in outcomes}
    if together and (outcomes or others):
        for position in others:
            vif = pairs[position][0]
            outcomes[position] = Outcome(vif, error=exception.NotDescribed(plugin_name=vif.plugin))
        for position in requests:
            outcomes[position] = Outcome(pairs[position][0], error=exception.NotAttempted())
    else:
        if unplugging:
            converge.unplug(list(requests.values()))
        else:
            converge.plug(list(requests.values()), together=together)
        for position, request in requests.items():
            steps, seen = tuple(request.done), _cautions(request.cautions, requests.values())
            outcomes[position] = Outcome(pairs[position][0], steps, request.error, warnings=seen)
        for position in others:
            outcomes[position] = _one_by_one(*pairs[position], unplugging=unplugging)
    done = [outcomes[position] for position in range(len(pairs))]
    _log_those_done(done, unplugging=unplugging)
    return done


def _log_those_done(outcomes: Sequence[Outcome], *, unplugging: bool) -> None:
    """Log what plug and unplug log; what failed is told to the caller, who says so."""
    verb = "unplugged" if unplugging else "plugged"
    log = logging.getLogger("os_vif")  # plug's, as operators know it
    if log.isEnabledFor(logging.INFO):
        for outcome in outcomes:
            if outcome.error is None:
                log.info("Successfully %s vif %s", verb, outcome.vif)


def _one_by_one(vif: VIFBase, instance_info: InstanceInfo | None, *, unplugging: bool) -> Outcome:
    plugin = plugin_of(vif)
    act = plugin.unplug if unplugging else plugin.plug
    try:
        act(vif, instance_info)  # type: ignore[arg-type]  # such plugins get what they were given
    except Exception as error:
        return Outcome(vif, error=error)
    return Outcome(vif, told=False)


def plan(
    vif: VIFBase,
    instance_info: InstanceInfo | None = None,
    *,
    unplugging: bool = False,
    with_bridge: bool = False,
    partial: bool = False,
) -> list[Step]:
    """Return the steps that plugging (or unplugging) would take now, and touch nothing.

    :param with_bridge: unplugging, as :func:`unplug_many` has it
    :param partial: what it takes privilege to see (rules of iptables, say) is planned as if it
        were missing, where this process has none and the configuration names no helper.
        :func:`examine` says what that was.
    :raises NotPrivileged: there is such a thing, and ``partial`` was not asked for
    :raises ExceptionBase: what plugging would raise: the VIF is refused, something is in the way
    """
    from os_vif.engine import examine as looking

    request = _request((vif, instance_info), unplugging, with_bridge)
    return looking.plan(request, unplugging=unplugging, partial=partial).steps


def check(
    vif: VIFBase, instance_info: InstanceInfo | None = None, *, partial: bool = False
) -> list[Step]:
    """Return what is missing of a plugged VIF, one step a drift; empty if all is well.

    A step that only lets a device be found the faster, as of a VIF that an earlier release has
    plugged, is no drift; plugging takes it along.

    :param partial: what it takes privilege to see is not checked, where :func:`plan` would plan
        it as if it were missing
    :raises ExceptionBase: as :func:`plan`
    """
    from os_vif.engine import examine as looking
    from os_vif.engine.steps import tells_drift

    seen = looking.plan(_request((vif, instance_info), False, False), partial=partial)
    steps = [step for step in seen.steps if step not in seen.assumed]
    return steps if any(tells_drift(step, steps) for step in steps) else []


def _cautions(found: Iterable[Caution], requests: Iterable[Request]) -> tuple[Caution, ...]:
    """Return those that are not only at the cost of VIFs of the same call."""
    own = {request.topology.mark.vif_id for request in requests}
    return tuple(it for it in found if not it.costs or it.costs - own)


def examine(
    pairs: Iterable[Pair],
    *,
    unplugging: bool = False,
    with_bridge: bool = False,
    partial: bool = False,
    owners: Mapping[str, str] = _NO_OWNERS,
) -> list[Findings]:
    """Return what is missing of VIFs, as :func:`check`, and what to be warned of beside it.

    A warning is about what no step puts right: a firewall that drops what a bridge forwards, say.
    Where this process cannot see what it takes privilege to see, and checking the VIFs needs none
    of that, it is not looked for.

    :param pairs: each VIF with the guest it belongs to; one that fails does not stop the others
    :param unplugging: of unplug instead, which warns of nothing
    :param with_bridge: unplugging, as :func:`unplug_many` has it
    :param partial: as for :func:`plan`; each VIF's findings say what could not be seen
    :param owners: as :func:`plug_many` has them
    """
    from os_vif.engine import examine as looking

    pairs = list(pairs)
    findings: dict[int, Findings] = {}
    requests: dict[int, Request] = {}
    for position, (vif, instance_info) in enumerate(pairs):
        try:
            requests[position] = _request((vif, instance_info), unplugging, with_bridge, owners)
        except Exception as error:
            findings[position] = Findings(vif, error=error)
    found = looking.examine(list(requests.values()), unplugging=unplugging, partial=partial)
    for position, seen in zip(requests, found, strict=True):
        vif = pairs[position][0]
        findings[position] = Findings(
            vif,
            tuple(seen.steps),
            _cautions(seen.cautions, requests.values()),
            seen.error,
            tuple(seen.unseen),
            tuple(seen.assumed),
            tuple(seen.changes),
        )
    return [findings[position] for position in range(len(pairs))]


def open_guest_end(vif: VIFBase, queues: int = 1) -> list[int]:
    """Return file descriptors of a plugged VIF's tap or macvtap, one for each queue.

    This is for who starts the hypervisor himself and gives it descriptors instead of names; there
    is a virtio header (10 bytes, or as TUNSETVNETHDRSZ says) before each frame.  The caller closes
    them, and makes those inheritable that another program is to have.  It needs privilege in this
    process (CAP_NET_ADMIN for a tap; CAP_MKNOD for a macvtap, unless udev gave the caller its
    device).

    :param queues: 1 to 256; more than one takes a macvtap or a multi-queue tap
    :raises InvalidField: so many queues cannot be
    :raises UnusableDevice: the VIF has no such device, or it is not plugged
    :raises StepFailed: the system refused
    """
    from os_vif.engine import guest_end

    return guest_end.open_guest_end(describe(vif).topology, queues)


def guest_card(
    vif: VIFBase, instance_info: InstanceInfo | None = None, topology: Topology | None = None
) -> Card:
    """Return what plugging a VIF makes known of its guest's card, for :mod:`os_vif.guest`.

    Nothing is looked at, and the VIF need not be plugged.

    :param topology: the VIF's, where it is known already
    :raises NotDescribed: the plugin does not say what the guest is connected to
    :raises ExceptionBase: the plugin refuses the VIF
    """
    from os_vif.guest.card import card_of

    plugin = plugin_of(vif)
    if topology is None and isinstance(plugin, TopologyPlugin):
        topology = describe(vif, instance_info).topology
    return card_of(vif, plugin.describe_guest_end(vif, topology))


def list_vifs(vif_id: str | None = None) -> list[Plugged]:
    """Return the VIFs this host holds, by the marks on their devices, sorted by id.

    :param vif_id: only this one
    """
    from os_vif.engine import inventory

    return inventory.plugged(vif_id, _databases())


def held_vifs() -> list[Held]:
    """Return the same of all, with what it takes to say what would plug them again.

    That takes some more looks than the list: settings of bridges' ports, what bridges join.
    """
    from os_vif.engine import inventory

    return inventory.held(_databases())


def _databases() -> set[Any]:
    """Return the databases of all plugins that have one."""
    places = [plugin.place() for _name, plugin in _topology_plugins()]
    return {place.database for place in places if place.database is not None}


def _topology_plugins() -> list[tuple[str, TopologyPlugin]]:
    import os_vif

    loaded = os_vif._loaded_plugins()
    return [(name, plugin) for name, plugin in loaded if isinstance(plugin, TopologyPlugin)]


def diagnose(name: str) -> list[Diagnosis]:
    """Return what is so of the host itself, apart from VIFs; what is wrong says what mends it.

    :param name: what to examine: ``ovn`` for what ovn-controller needs of a chassis
    :raises InvalidField: there is nothing of this name
    :raises OSError: it could not be looked at
    """
    from os_vif.engine import inventory

    return inventory.diagnose(name, _databases())


def lost_back_ends() -> list[str]:
    """Return the names of devices that are gone, and whose back ends still run.

    gc ends these too. Only root sees them.
    """
    from os_vif.engine import inventory

    return [item.name for item in inventory.abandoned() if item.told]


def unused_bridges(live: Collection[str], *, owner: str = "") -> list[Shared]:
    """Return the bridges and VLAN devices of ours that no VIF of ``live`` uses, nor anybody else.

    They are what ``gc(live, bridges=True)`` takes away.  A bridge with an uplink that nobody has
    noted on it, or with an address and no uplink, is used.

    :param live: ids of the VIFs that still exist
    :param owner: as :func:`gc` has it
    """
    from os_vif.engine import inventory

    databases = _databases()
    held = inventory.plugged(None, databases)
    gone = [it for it in held if it.mark.vif_id not in live and it.mark.owner == owner]
    return inventory.idle(gone, TopologyPlugin.PRIVILEGED_SECTION, databases)


def gc(
    live: Collection[str],
    *,
    dry_run: bool = False,
    bridges: bool = False,
    described: Iterable[Pair] = (),
    owner: str = "",
    found: Sequence[Plugged] | None = None,
) -> list[Plugged]:
    """Remove everything of VIFs that no longer exist, and return it.

    VIFs of another owner stay, and so do, where none is named, those that have any.
    What VIFs share (bridges, VLAN devices) stays.  Devices that a process was killed over before
    it could say whose they are go too.

    :param live: ids of the VIFs that still exist; what carries another VIF's mark goes
    :param dry_run: only tell
    :param bridges: remove what VIFs share too, where nobody uses it any more
        (:func:`unused_bridges`); uplinks get back addresses, routes and MTU
    :param described: of those that still exist, what they are like: what such a VIF has elsewhere,
        of an earlier description, goes, unless a program has it open
    :param owner: whose VIFs may go, as :func:`plug_many` had owners; '' for those that have none
    :param found: what :func:`list_vifs` has just found, instead of another look
    :raises StepFailed: the system refused
    """
    from os_vif.engine import examine as looking
    from os_vif.engine import inventory

    if not dry_run:
        inventory.remove_abandoned()
    databases = _databases()
    held = inventory.plugged(None, databases) if found is None else found
    gone = [it for it in held if it.mark.vif_id not in live and it.mark.owner == owner]
    there = {item.mark.vif_id: item.mark for item in held}
    for vif, instance_info in described:
        if vif.id not in live or vif.id not in there:
            continue
        with contextlib.suppress(exception.NotDescribed):
            request = describe(vif, instance_info)
            elsewhere = looking.elsewhere(request, {there[vif.id]}, databases)
            gone += [] if elsewhere is None else [elsewhere]
    if gone and not dry_run:
        remove(gone)
    if bridges and not dry_run:
        inventory.dissolve(TopologyPlugin.PRIVILEGED_SECTION, databases)
    return gone


def remove(gone: Sequence[Plugged]) -> list[Step]:
    """Remove what the host holds of VIFs, but not what they share; return what was done.

    :param gone: as :func:`list_vifs` has found them
    :raises StepFailed: the system refused
    """
    from os_vif.engine import inventory

    sections = {name: plugin.PRIVILEGED_SECTION for name, plugin in _topology_plugins()}
    return inventory.remove(gone, TopologyPlugin.PRIVILEGED_SECTION, _databases(), sections)
