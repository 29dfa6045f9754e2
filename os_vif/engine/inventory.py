# SPDX-License-Identifier: Apache-2.0
"""What this host holds of VIFs, by the marks, and what removes it.

The host is the only database: each family finds its own by the marks, and says what takes it away.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from os_vif import exception
from os_vif.engine import converge, dispatch, families, journal, planner, runner
from os_vif.engine.family import Abandoned, Diagnosis, Family, Phase, Search, Shared, Use
from os_vif.engine.place import Place
from os_vif.engine.plugged import Held, Part, Plugged
from os_vif.engine.step import TRANSACTION, Step
from os_vif.engine.topology import Mark, Topology


def plugged(vif_id: str | None = None, databases: Iterable[Any] = ()) -> list[Plugged]:
    """Return what the host holds of VIFs, by the marks; of one, or of all, sorted by id.

    Some of it is only seen with privilege.

    :param databases: of Open vSwitch; one where no server listens is passed over
    :raises OSError: somebody refused to tell
    """
    search = Search(vif_id, tuple(databases), dispatch.is_privileged())
    return _found(search, families.all_families())


def _found(search: Search, there: Iterable[Family]) -> list[Plugged]:
    found: dict[str, list[Part]] = {}
    for family in there:
        for part in families.ask(family, lambda it: it.system.find(search)):
            if search.vif_id in (None, part.vif_id):
                found.setdefault(part.vif_id, []).append(part)
    return [_plugged(parts) for _owner, parts in sorted(found.items())]


def _plugged(parts: Sequence[Part]) -> Plugged:
    by_kind: dict[str, list[Any]] = {}
    for part in parts:
        by_kind.setdefault(part.kind, []).append(part.item)
    told = next((part.mark for part in parts if part.mark is not None), None)
    mark = told or Mark(parts[0].vif_id, parts[0].plugin)
    guest = next((part.mark.guest for part in parts if part.mark and part.mark.guest), "")
    mark = dataclasses.replace(mark, guest=guest)
    return Plugged(mark, {kind: tuple(items) for kind, items in by_kind.items()})


def held(databases: Iterable[Any] = ()) -> list[Held]:
    """Return the same of all VIFs, with all that can be told of them; it takes more looks.

    :raises OSError: somebody refused to tell
    """
    search = Search(None, tuple(databases), dispatch.is_privileged())
    shared = {it.name: it.resources for it in _shared(search)}
    return [_held(item, shared, search) for item in plugged(None, search.databases)]


def _held(item: Plugged, shared: Mapping[str, Any], search: Search) -> Held:
    parts = dict(item.parts)
    for family in families.all_families():
        for part in families.ask(family, lambda it: it.system.tell(item)):
            parts[part.kind] = (*parts.get(part.kind, ()), part.item)
    return Held(mark=item.mark, parts=parts, shared=shared, privileged=search.privileged)


# --- what no mark tells of ------------------------------------------------------------------------


def abandoned() -> list[Abandoned]:
    """Return what nobody has any more, as far as this process may see it."""
    return [
        item
        for family in families.all_families()
        for item in families.ask(family, lambda it: it.system.abandoned())
    ]


def remove_abandoned() -> list[Abandoned]:
    """Take away what nobody has any more, and return it.

    :raises StepFailed: the system refused.
    """
    gone = abandoned()
    for section in dict.fromkeys(item.section for item in gone):
        mine = [step for item in gone if item.section == section for step in item.steps]
        _run(Place(section), _joined(mine))
    return gone


# --- what VIFs share ------------------------------------------------------------------------------

_NOBODY = Mark("nobody", "os-vif")


def idle(gone: Iterable[Plugged], section: str, databases: Iterable[Any] = ()) -> list[Shared]:
    """Return what was made for many VIFs and none has any more, once those of ``gone`` are gone.

    :param section: of the daemon that looks, for a caller without privilege
    :raises OSError: somebody refused to tell
    """
    search = Search(None, tuple(databases), dispatch.is_privileged())
    gone = list(gone)
    return [item for item in _shared(search) if _is_idle(item, gone, section)]


def _shared(search: Search) -> list[Shared]:
    return [
        item
        for family in families.all_families()
        for item in families.ask(family, lambda it: it.system.shared(search))
    ]


def _is_idle(item: Shared, gone: Sequence[Plugged], section: str) -> bool:
    topology = Topology(_NOBODY, item.resources)
    asked = planner.dissolve_questions(topology)
    host = dispatch.observe(asked, Place(section, item.database), with_daemon=True)
    for step in [step for it in gone for phase in Phase for step in dispatch.removing(it, phase)]:
        with contextlib.suppress(LookupError):  # of what this has nothing to do with
            families.kind_of(step.kind).effect(host, step.args)
    try:
        return bool(planner.plan_dissolve(topology, host).steps)
    except exception.ExceptionBase:
        return True  # told by who tries


def dissolve(section: str, databases: Iterable[Any] = ()) -> list[Shared]:
    """Take away what was made for many VIFs and none has any more, and return it.

    :param section: of the daemon that does, for a caller without privilege
    :raises ExceptionBase: something of it could not be, and is as it was; all else is done.
    """
    failed: Exception | None = None
    done = []
    for item in idle((), section, databases):
        request = converge.Request(Topology(_NOBODY, item.resources), Place(section, item.database))
        converge.dissolve([request])
        failed = failed or request.error
        if request.done:
            done.append(item)
    if failed is not None:
        raise failed
    return done


# --- in use ---------------------------------------------------------------------------------------


def uses(items: Sequence[Plugged]) -> dict[str, list[Use]]:
    """Return what programs have open of VIFs, their guests', by the VIF's id.

    :param items: as :func:`plugged` found them
    :raises OSError: somebody refused to tell
    """
    told = [
        use
        for family in families.loaded()
        for use in families.ask(family, lambda it: it.system.uses(items))
    ]
    used = {use.vif_id for use in told}
    served = {
        (item.mark.vif_id, name)
        for family in families.loaded()
        if told
        for item in items
        if item.mark.vif_id in used
        for name in families.ask(family, functools.partial(_served, item))
    }
    found: dict[str, list[Use]] = {}
    for use in told:
        if (use.vif_id, use.device) not in served:
            found.setdefault(use.vif_id, []).append(use)
    return found


def uses_of(vif_ids: Collection[str]) -> dict[str, list[Use]]:
    """Return the same of the VIFs with these ids, which were described, as far as they are plugged.

    :raises OSError: somebody refused to tell
    """
    only = next(iter(vif_ids)) if len(vif_ids) == 1 else None
    # What can be open is a device, and those are seen without privilege and in no database.
    found = _found(Search(only, (), privileged=False), families.loaded())
    return uses([it for it in found if it.mark.vif_id in vif_ids])


def _served(item: Plugged, family: Family) -> Iterable[str]:
    return family.system.serves(item)


# --- removing -------------------------------------------------------------------------------------


def remove(
    gone: Sequence[Plugged],
    section: str,
    databases: Iterable[Any] = (),
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
        todo = [
            step
            for phase in (Phase.LET_GO, Phase.CLOSE)
            for item in gone
            for step in dispatch.removing(item, phase)
        ]
        in_one = [step for step in todo if _is_transaction(step)]
        done += _run(Place(section, database), in_one)
    failed = None
    ready = []
    for item in gone:
        # First, as all there is to take back stands on the devices; and each by itself, as one
        # that fails must not keep those of the others.
        try:
            before = dispatch.removing(item, Phase.LET_GO) + dispatch.removing(item, Phase.CLOSE)
            ahead = [step for step in before if not _is_transaction(step)]
            ahead += dispatch.removing(item, Phase.AHEAD)
            done += _run(Place(sections.get(item.mark.plugin, section)), ahead)
        except exception.StepFailed as error:
            failed = failed or error
        else:
            ready.append(item)
    together = [step for item in ready for step in dispatch.removing(item, Phase.DELETE)]
    together = _joined(together)
    together += [step for item in ready for step in dispatch.removing(item, Phase.LAST)]
    done += _run(Place(section), together)
    # Each by itself, too.
    for part in [part for item in ready for part in _single(item)]:
        try:
            done += _run(Place(section), dispatch.removing(part, Phase.GIVE_BACK))
        except exception.StepFailed as error:
            # A guest may have it open still, and must not keep those of the others.
            failed = failed or error
    if failed is not None:
        raise failed
    return done


def plan_removal(item: Plugged) -> list[Step]:
    """Return the steps that take away what was found of a VIF, in order."""
    return [step for phase in Phase for step in dispatch.removing(item, phase)]


def _is_transaction(step: Step) -> bool:
    return families.kind_of(step.kind).by == TRANSACTION


def _single(item: Plugged) -> list[Plugged]:
    return [
        Plugged(item.mark, {kind: (part,)}) for kind, parts in item.parts.items() for part in parts
    ]


def _joined(todo: Sequence[Step]) -> list[Step]:
    """Return the steps, those that can be one as one: the kernel waits once for it."""
    joined: list[Step] = []
    at: dict[str, int] = {}
    for step in todo:
        merge = families.kind_of(step.kind).merge
        if merge is not None and step.kind in at:
            first = joined[at[step.kind]]
            joined[at[step.kind]] = Step(step.kind, merge(first.args, step.args))
        else:
            at[step.kind] = len(joined)
            joined.append(step)
    return joined


def _run(place: Place, todo: Sequence[Step]) -> list[Step]:
    if not todo:
        return []
    group: runner.Group = [(step, None) for step in todo]
    [report] = dispatch.run(place, [group], together=False)
    if journal.is_kept():
        journal.tell(["gc"], [group], [report])
    if report["error"]:
        raise exception.StepFailed(
            step=report["error"]["step"],
            reason=report["error"]["reason"],
            errno=report["error"]["errno"],
            left="",
        )
    return [step for i, step in enumerate(todo) if i not in report["unchanged"]]


def examinable() -> dict[str, Family]:
    """Return what :func:`diagnose` can examine, by name, each with the family that does."""
    found: dict[str, Family] = {}
    # Nobody takes the place of one of ours.
    for family in sorted(families.all_families(), key=families.is_ours, reverse=True):
        for name in families.ask(family, lambda it: it.system.doctor):
            found.setdefault(name, family)
    return found


def diagnose(name: str, databases: Collection[Any]) -> list[Diagnosis]:
    """Return what is so of the host itself; see :attr:`.family.System.doctor`.

    :raises InvalidField: there is nothing of this name
    :raises OSError: it could not be looked at
    """
    known = examinable()
    if name not in known:
        expected = f"one of {', '.join(sorted(known))}"
        raise exception.InvalidField(field="name", value=name, expected=expected)
    return families.ask(known[name], lambda family: family.system.doctor[name](databases))
