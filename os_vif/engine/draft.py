# SPDX-License-Identifier: Apache-2.0
"""A plan in the making, and what every rule does with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from os_vif import exception
from os_vif.engine import families, steps
from os_vif.engine.family import Caution, Family
from os_vif.engine.observed import Host
from os_vif.engine.step import Step
from os_vif.engine.topology import Topology


@dataclasses.dataclass(slots=True)
class Plan:
    """What to do for one topology.

    :ivar steps: in order.
    :ivar undo: for each step the one that takes it back; None where there is nothing to take.
    :ivar cautions: what planning saw and no step puts right.
    """

    steps: list[Step] = dataclasses.field(default_factory=list)
    undo: list[Step | None] = dataclasses.field(default_factory=list)
    cautions: list[Caution] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(slots=True)
class Known:
    """What a call has seen of devices that do not tell themselves whose they are.

    What showed it may be gone at the next look, taken away by the call itself.

    :ivar kept: names of those that are not the VIF's to delete, whatever they are called, each with
        who has it, in words.
    :ivar shown: names of those that are the VIF's, whatever they are called.
    """

    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    shown: set[str] = dataclasses.field(default_factory=set)


class Draft:
    """A plan in the making: records steps with their inverses and writes them on the model.

    :ivar topology: what is wanted.
    :ivar mark: whose it is.
    :ivar host: the model.
    :ivar undoable: whether each step can be taken back.
    :ivar plan: so far.
    :ivar kept: see :class:`Known`.
    :ivar shown: the same.
    """

    def __init__(
        self, topology: Topology, host: Host, *, undoable: bool, known: Known | None = None
    ) -> None:
        self.undoable = undoable
        self.topology = topology
        self.mark = topology.mark
        self.host = host
        self.plan = Plan()
        known = known or Known()
        self.kept = known.kept
        self.shown = known.shown
        self._notes: dict[str, Any] = {}
        self._forget: list[Callable[[], None] | None] = []

    def add(self, kind: str, /, **args: Any) -> None:
        """Take up a step, with what takes it back, and write it on the model."""
        self.take(Step(kind, args))

    def take(self, step: Step) -> None:
        """Take up a step that somebody else made."""
        kind = families.kind_of(step.kind)
        undo = kind.inverse(self.host, step.args) if self.undoable else None
        forget = None
        if self.undoable and undo is None and kind.forget is not None:
            forget = kind.forget(self.host, step.args)
        kind.effect(self.host, step.args)
        last = self.plan.steps[-1] if self.plan.steps else None
        if not self.undoable and kind.merge and last and last.kind == step.kind:
            self.plan.steps[-1] = Step(step.kind, kind.merge(last.args, step.args))
            return
        self.plan.steps.append(step)
        self.plan.undo.append(undo)
        self._forget.append(forget)

    def warn(self, device: str, words: str, costs: Iterable[str] = ()) -> None:
        """Say what no step puts right, and what planning sees anyway: plug tells of it too.

        :param device: as :class:`~os_vif.engine.family.Caution` has it, ``words`` and ``costs``
        """
        self.plan.cautions.append(Caution(device, words, frozenset(costs)))

    def abandon(self) -> None:
        """Take it all back on the model: none of it will run."""
        for undo, forget in zip(reversed(self.plan.undo), reversed(self._forget), strict=True):
            if undo is not None:
                steps.apply(self.host, undo)
            elif forget is not None:
                forget()

    def remember(self, name: str, what: Any) -> None:
        """Keep what one rule saw for another one of the same plan."""
        self._notes[name] = what

    def remembered(self, name: str) -> Any:
        """Return what :meth:`remember` kept; None for nothing."""
        return self._notes.get(name)

    def will_make(self, device: str) -> bool:
        """Tell whether plugging the topology makes this device, or makes it anew, from here on."""
        return any(
            device in families.rule_of(type(resource)).makes(self, resource)
            for resource in self.topology.resources
        )

    # --- what the mark of the VIF's device tells -------------------------------------------------

    def noted(self, alias: str) -> list[str]:
        """Return the words that the mark of the VIF's device must have behind it.

        :param alias: what the device has now; '' for none
        """
        found = []
        for resource in self.topology.resources:
            note = families.rule_of(type(resource)).note
            if note is not None and (word := note(self, resource, alias)):
                found.append(word)
        return found

    def release(self, device: Any) -> None:
        """Take back what a device of the VIF's tells, and the topology does not want any more."""
        for family in families.all_families():
            if family.notes is not None:
                _let(family, family.notes.release, self, device)

    def before_anew(self, device: Any) -> None:
        """Take back what must be before a device of the VIF's is deleted to be made anew."""
        for family in families.all_families():
            if family.notes is not None and family.notes.anew is not None:
                _let(family, family.notes.anew, self, device)


def _let(family: Family, act: Callable[[Draft, Any], None], draft: Draft, device: Any) -> None:
    """Have a family take back what it has noted; without it the device cannot be changed.

    :raises UnusableFamily: it is at fault.
    """
    try:
        act(draft, device)
    except (OSError, exception.ExceptionBase):
        raise
    except Exception as error:
        if families.is_ours(family):
            raise
        reason = f"it failed to say what {device.name} must give back: {error!r}"
        raise exception.UnusableFamily(family=family.name, reason=reason) from error


def note_prefixes() -> tuple[str, ...]:
    """Return how the words begin that families write behind a mark."""
    return tuple(
        prefix
        for family in families.all_families()
        if family.notes is not None
        for prefix in family.notes.prefixes
    )
