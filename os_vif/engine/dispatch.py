# SPDX-License-Identifier: Apache-2.0
"""Who looks, and who runs what: the kernel behind the privilege boundary, the rest in this process.

A group's steps run in order; of many groups, those that go to the same place go together.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.engine import call_time, families, journal, look, runner, steps
from os_vif.engine.observed import Asked, Host
from os_vif.engine.place import AS_ROOT, Place
from os_vif.engine.runner import Group, Report
from os_vif.engine.step import CALLER, KERNEL, TRANSACTION, Step

if TYPE_CHECKING:
    from types import ModuleType

    from os_vif.engine.family import Phase, Transactions
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Topology

_CAP_NET_ADMIN = 12


@functools.lru_cache(maxsize=4)
def _has_net_admin(_process: int, _user: int) -> bool:
    with open("/proc/thread-self/status") as status:
        for line in status:
            if line.startswith("CapEff:"):
                return bool(int(line.split()[1], 16) >> _CAP_NET_ADMIN & 1)
    return False


def is_privileged(section: str = "") -> bool:
    """Tell whether this process may itself do what the daemon of a section does.

    That is to change network devices (CAP_NET_ADMIN); of :data:`.place.AS_ROOT`, also to run
    programs as root.
    """
    return _has_net_admin(os.getpid(), os.geteuid()) and (section != AS_ROOT or os.geteuid() == 0)


def _daemon() -> ModuleType:
    # oslo.privsep is only loaded where there is somebody to serve it for.
    from os_vif.engine import privilege

    return privilege


def _transactions(kind: str) -> Transactions:
    family = families.family_of(kind)
    found = family.system.transactions
    if found is None:
        raise exception.UnusableFamily(
            family=family.name, reason=f"its system runs no transactions, as {kind!r} needs"
        )
    return found


@contextlib.contextmanager
def call(place: Place, topologies: Iterable[Topology]) -> Iterator[None]:
    """Let all that is asked of the place's database in a block share one time limit."""
    with call_time.one_call():
        if place.database is None:
            yield
            return
        types = {type(resource) for it in topologies for resource in it.resources}
        there = {family.name: family for family in map(families.of_resource, types)}
        with contextlib.ExitStack() as stack:
            for family in there.values():
                if any(kind.by == TRANSACTION for kind in family.kinds.values()):
                    transactions = family.system.transactions
                    if transactions is not None:
                        stack.enter_context(transactions.one_call())
            yield


def observe(asked: Iterable[Asked], place: Place, *, with_daemon: bool) -> Host:
    """Answer questions about the host.

    :param with_daemon: also what only the privileged daemon may see; a trip to it.
    :raises OSError: somebody refused to tell.
    """
    looking = look.Look(place, privileged=with_daemon or is_privileged(place.section))
    looking.ask(asked)
    return looking.answer(_reveal)


def _reveal(section: str, name: str, keys: list[Any]) -> list[look.Row]:
    if is_privileged(section):
        return look.reveal(name, keys)
    rows: list[look.Row] = _daemon().look(section, name, keys)
    return rows


def _run_kernel(section: str, groups: Sequence[Group], *, together: bool) -> list[Report]:
    if is_privileged(section):
        return runner.run(groups, together=together)
    plain = [_plain(group, together=together) for group in groups]
    patience = sum(
        families.kind_of(step.kind).patience(step.args) for group in groups for step, _undo in group
    )
    try:
        reports: list[Report] = _daemon().run(section, plain, together=together, patience=patience)
    except OSError as error:
        if call_time.current().undoing:
            raise
        return _unanswered(section, groups, error)
    return reports


def _unanswered(section: str, groups: Sequence[Group], error: OSError) -> list[Report]:
    """Say of groups of which nobody knows what was done that they failed; take back all of it."""
    reports: list[Report] = []
    for group in reversed(groups):
        back = [undo for _step, undo in reversed(group) if undo]
        left = take_back(Place(section), back)
        failure = group and {
            "step": steps.describe(group[0][0]),
            "errno": error.errno or errno.EIO,
            "reason": error.strerror or str(error),
            "undone": journal.undone(back, left),
            "left": left,
        }
        reports.append({"error": failure or None, "unchanged": [], "seen": {}})
    return reports[::-1]


def _run_merged_first(section: str, groups: Sequence[Group]) -> list[Report]:
    """Run as one the steps at the head of all groups that can be: the kernel waits once for each.

    So it goes on with those behind them.  One that something else has to go before stays where it
    is.  Should the step fail, each goes by itself.
    """
    ahead: list[tuple[Step, list[Group]]] = []
    rest = list(groups)
    while True:
        heads = _heads(rest)
        merged = _merged([step for mine in heads for step, _undo in mine])
        if merged is None:
            break
        ahead.append((merged, heads))
        rest = [group[len(mine) :] for group, mine in zip(rest, heads, strict=True)]
    groups_ahead: list[Group] = [[(merged, None)] for merged, _heads_of in ahead]
    found = _run_kernel(section, [*groups_ahead, *rest], together=False)
    first, reports = found[: len(ahead)], found[len(ahead) :]
    for report, group, left in zip(reports, groups, rest, strict=True):
        report["unchanged"] = [len(group) - len(left) + at for at in report["unchanged"]]
    for (_merged_one, heads), told in zip(ahead, first, strict=True):
        if told["error"]:
            alone = _run_kernel(section, heads, together=False)
            for report, its in zip(reports, alone, strict=True):
                report["error"] = report["error"] or its["error"]
    return reports


def _heads(groups: Sequence[Group]) -> list[Group]:
    """Return of each group the steps it begins with, all of one kind that can be merged."""
    kinds = (group[0][0].kind for group in groups if group)
    kind = next((kind for kind in kinds if families.kind_of(kind).merge), None)
    return [list(itertools.takewhile(lambda item: item[0].kind == kind, group)) for group in groups]


def _merged(todo: Sequence[Step]) -> Step | None:
    merge = families.kind_of(todo[0].kind).merge if todo else None
    if merge is None:
        return None
    return Step(todo[0].kind, functools.reduce(merge, (step.args for step in todo)))


def _plain(group: Group, *, together: bool) -> runner.Plain:
    plain: runner.Plain = []
    for position, (step, undo) in enumerate(group, 1):
        # Nobody needs the last one's undo on the other side if that either does all or nothing.
        needed = together or position < len(group) or families.kind_of(step.kind).partial
        back = (undo.kind, undo.args) if undo and needed else (None, None)
        plain.append([step.kind, step.args, *back])
    return plain


def _by(step: Step) -> str:
    return families.kind_of(step.kind).by


_ORDER = (CALLER, KERNEL, TRANSACTION)


def _goes_to(place: Place, step: Step) -> tuple[int, str]:
    """Return where a step goes, by whose turn it is first: to its own family, or to a daemon."""
    by = _by(step)
    whose = families.family_of(step.kind).name if by == TRANSACTION else ""
    return _ORDER.index(by), _home(place.section, step) if by == KERNEL else whose


def _home(section: str, step: Step) -> str:
    """Return the section of the daemon that runs a step, where a VIF's are of this section's.

    One that this may not run is another plugin's: the VIF was that one's before, say.
    """
    daemons = families.kind_of(step.kind).daemons
    if not daemons or section in daemons:
        return section
    home = next(iter(daemons))
    return section if is_privileged(section) and is_privileged(home) else home


def _run_part(
    place: Place, target: tuple[int, str], parts: Sequence[Group], *, merge: bool
) -> list[Report]:
    by, whose = _ORDER[target[0]], target[1]
    if by == CALLER:
        return runner.run_as_caller(parts)
    if by == TRANSACTION:
        return _transactions(parts[0][0][0].kind).run(place, parts)
    if merge:
        return _run_merged_first(whose, parts)
    return _run_kernel(whose, parts, together=False)


def run(
    place: Place, groups: Sequence[Group], *, together: bool, merge_first: bool = False
) -> list[Report]:
    """Run groups of steps; a failed group is taken back, the others go on.

    :param together: one group's failure takes back all.
    :param merge_first: run as one what many groups begin with, if it can be, before anything else
        is done to the kernel's.
    """
    merge = merge_first and len(groups) > 1 and not together
    at_home = (_ORDER.index(KERNEL), place.section)
    if place.database is None and all(
        _goes_to(place, step) == at_home for group in groups for step, _undo in group
    ):
        if merge:
            return _run_merged_first(place.section, groups)
        return _run_kernel(place.section, groups, together=together)
    works = [_Work(place, group) for group in groups]
    while True:
        going = [work for work in works if work.rest and work.report["error"] is None]
        if not going or (together and any(work.report["error"] for work in works)):
            break
        # Devices first when plugging; unplugging, every group begins with what holds them.
        heads = [(work.target(), work) for work in going]
        target = min(head for head, _work in heads)
        mine = [work for head, work in heads if head == target]
        parts = [work.next_part(target) for work in mine]
        try:
            reports = _run_part(place, target, parts, merge=merge)
        except BaseException as error:
            left = [words for work in reversed(works) for words in work.take_back()]
            if not left or not isinstance(error, Exception):
                raise
            raise exception.with_left(error, left) from error
        for work, part, report in zip(mine, parts, reports, strict=True):
            work.take_up(part, report)
    failed = [work for work in works if work.report["error"]]
    for work in works if together and failed else failed:
        left = work.take_back()
        if work.report["error"]:
            work.report["error"].setdefault("undone", []).extend(journal.undone(work.back(), left))
            work.report["error"]["left"] += left
    return [work.report for work in works]


class _Work:
    """A group on its way: what is left, what is done, and the report so far."""

    def __init__(self, place: Place, group: Group) -> None:
        self._place = place
        self.rest = list(group)
        self.done: Group = []
        self.report: Report = {"error": None, "unchanged": [], "seen": {}}

    def target(self) -> tuple[int, str]:
        """Return where the next step goes."""
        return _goes_to(self._place, self.rest[0][0])

    def next_part(self, target: tuple[int, str]) -> Group:
        """Return the next steps that go to one place."""
        there = (_goes_to(self._place, step) != target for step, _undo in self.rest)
        end = next((at for at, elsewhere in enumerate(there) if elsewhere), len(self.rest))
        part, self.rest = self.rest[:end], self.rest[end:]
        return part

    def take_up(self, part: Group, report: Report) -> None:
        """Note what became of a part."""
        if report["error"]:
            self.report["error"] = report["error"]
            return
        self.report["unchanged"] += [at + len(self.done) for at in report["unchanged"]]
        self.report["seen"].update(report["seen"])
        self.done += part

    def take_back(self) -> list[str]:
        """Undo what is done; return what could not be, in words."""
        return take_back(self._place, self.back())

    def back(self) -> list[Step]:
        """Return what takes back what is done, the latest first."""
        return [undo for _step, undo in reversed(self.done) if undo]


def removing(item: Plugged, phase: Phase) -> list[Step]:
    """Return what takes away a phase's share; what stands on other things goes before them."""
    upper_first = reversed(families.all_families())
    return [
        step
        for family in upper_first
        for step in families.ask(family, lambda it: it.system.remove(item, phase))
    ]


def take_back(place: Place, undo: Sequence[Step]) -> list[str]:
    """Run steps that take back others, the latest first; return what could not be, in words."""
    left: list[str] = []
    in_one = [step for step in undo if _by(step) == TRANSACTION]
    for _family, mine in itertools.groupby(in_one, lambda it: families.family_of(it.kind).name):
        todo = list(mine)
        try:
            left += _transactions(todo[0].kind).take_back(place, todo)
        except (OSError, exception.ExceptionBase) as error:
            left += _all_left(todo, error)
    # Each by itself: with a device all is gone that was to be taken back of it.
    alone = [step for step in undo if _by(step) == KERNEL]
    for section, mine in itertools.groupby(alone, functools.partial(_home, place.section)):
        todo = list(mine)
        try:
            with call_time.undoing():
                reports = _run_kernel(section, [[(step, None)] for step in todo], together=False)
        except (OSError, exception.ExceptionBase) as error:
            left += _all_left(todo, error)
            continue
        failures = [report["error"] for report in reports if report["error"]]
        for failure in failures:
            if failure["errno"] != errno.ENODEV:
                left.append(f"{failure['step']}: {failure['reason']}")
    return left


def _all_left(todo: Sequence[Step], error: Exception) -> list[str]:
    reason = (isinstance(error, OSError) and error.strerror) or error
    return [f"{steps.describe(step)}: {reason}" for step in todo]
