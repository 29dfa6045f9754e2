# SPDX-License-Identifier: Apache-2.0
"""What a step is, what a family says of each kind of step, and what is wrong where one is left."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from os_vif.engine.observed import Asked, Host

KERNEL = "kernel"
"""Run behind the privilege boundary."""

CALLER = "caller"
"""Run in the caller's own process, with its own rights, and never by a daemon, whose rights would
tell the caller what it may not see itself.  Such a step only looks: nothing takes it back."""

TRANSACTION = "transaction"
"""Run in the caller's own process, all of a batch in one transaction of the family's."""

Args = dict[str, Any]
"""Fields of a step by name; only str, int, bool, None, lists and dicts of these."""

HOST = "the host's routing"
"""What a drift concerns that concerns no device: the host as a router."""


class Step(NamedTuple):
    """One thing to do.

    :ivar kind: the name of a kind of step that a family has.
    :ivar args: its fields.
    """

    kind: str
    args: Args


@dataclasses.dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as described.

    :ivar device: the device it concerns, or the host's routing.
    :ivar words: what is wrong, without the device.
    :ivar missing: the device is not there at all.
    :ivar attribute: the attribute that differs; '' where it is something else.
    :ivar expected: the attribute's right value.
    :ivar detached: the device is not attached to what it should be.
    :ivar astray: the device is there, and should not be.
    :ivar part: the key of the part of a picture that it concerns; '' for the device.
    :ivar before: of an attribute that differs, its value now; None where it is not known.
    """

    device: str
    words: str
    missing: bool = False
    attribute: str = ""
    expected: Any = None
    detached: bool = dataclasses.field(default=False, compare=False)
    astray: bool = dataclasses.field(default=False, compare=False)
    part: str = dataclasses.field(default="", compare=False)
    before: Any = dataclasses.field(default=None, compare=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """What a step changes, by attribute, as far as that is known.

    :ivar before: what is there now; empty for nothing, and of what is to be made.
    :ivar after: what the step makes of it.
    """

    before: Mapping[str, Any]
    after: Mapping[str, Any]


UNKNOWN = Change({}, {})
"""Of a step of which nothing is known."""


def from_to(before: str, after: str) -> str:
    """Return in words that one thing becomes another: ``MTU 900 -> 1500``.

    :param before: in words; '' where it is not known
    :param after: in the same words, as far as they go
    """
    if before in ("", after):
        return after
    old, new = before.split(" "), after.split(" ")
    same = 0
    while same < min(len(old), len(new)) - 1 and old[same] == new[same]:
        same += 1
    return f"{before} -> {' '.join(new[same:])}"


def _always(_args: Args) -> bool:
    return True


def _nothing(_args: Args) -> Iterable[Asked]:
    return ()


def _unproven(_args: Args, _seen: Mapping[str, Any]) -> bool:
    return False


def _well(_args: Args, _host: Host) -> bool:
    return True


def _unknown(_host: Host, _args: Args) -> Mapping[str, Any]:
    return {}


def _its_name(args: Args, _steps: Sequence[Step]) -> Collection[str]:
    return [args["name"]] if "name" in args else []


class Kind(NamedTuple):
    """A kind of step.

    :ivar fields: what each field may hold.
    :ivar effect: writes on the model what the step does to the host.
    :ivar inverse: given the model *before* the step, the step that takes it back, if any.
    :ivar words: what the step does, for people.  Here, and to :attr:`drift`, the fields come with
        one more, ``before``, where :attr:`shows` tells what is there.
    :ivar forget: given the model before the step, what takes it back on the model alone where
        nothing takes it back on the host; None where nothing can be there to take back.
    :ivar drift: what is wrong where the step is left, given all that are; None says the words.
    :ivar by: who runs it: :data:`KERNEL`, :data:`CALLER` or :data:`TRANSACTION`.
    :ivar partial: whether a failed step may have done a part of its work, so that its own
        inverse must run too.  The others clean up after themselves or do all or nothing.
    :ivar whole: what the fields must hold together.
    :ivar daemons: the configuration sections of the daemons that may run it: those of the plugins
        that need it.  None for all.
    :ivar patience: how many seconds it may take because somebody else does.
    :ivar hidden: whether what it changes is seen by the privileged side alone.
    :ivar merge: makes one step of two that follow each other and need no undo; None for never.
        Of many groups, those that stand first are run as one, too: the kernel waits once for it.
    :ivar final: whether what it did needs no second look, where nothing else was done.
    :ivar proven: whether the answer to it, the attributes that were shown by device, leaves
        nothing to look at again.
    :ivar crowning: whether it shows, once it has run, that the steps before it have taken.
    :ivar doubts: what must be looked at after it has run, to know that it holds.
    :ivar holds: whether, by these answers, it does.
    :ivar makes: of a kind that :attr:`Rule.own <os_vif.engine.family.Rule.own>` names, given all
        the steps of a plan: the names of what it makes that the VIF did not have before.
    :ivar adopts: whether it makes a thing the VIF's that was there, and not the VIF's.
    :ivar shows: by attribute, what the model shows of what the step sets, of a thing that is there;
        asked of the model before the step and after it.
    :ivar identity: by what two plans' steps of the kind are one and the same, though they differ;
        '' if they are not, then.
    """

    fields: Mapping[str, Callable[[Any], bool]]
    effect: Callable[[Host, Args], None]
    inverse: Callable[[Host, Args], Step | None]
    words: Callable[[Args], str]
    forget: Callable[[Host, Args], Callable[[], None]] | None = None
    drift: Callable[[Args, Sequence[Step]], list[Drift]] | None = None
    by: str = KERNEL
    partial: bool = False
    whole: Callable[[Args], bool] = _always
    daemons: Collection[str] = ()
    patience: Callable[[Args], float] = lambda _args: 0.0
    hidden: bool = False
    merge: Callable[[Args, Args], Args] | None = None
    final: bool = False
    proven: Callable[[Args, Mapping[str, Any]], bool] = _unproven
    crowning: Callable[[Args], bool] = lambda _args: False
    doubts: Callable[[Args], Iterable[Asked]] = _nothing
    holds: Callable[[Args, Host], bool] = _well
    makes: Callable[[Args, Sequence[Step]], Collection[str]] = _its_name
    adopts: Callable[[Args], bool] = lambda _args: False
    shows: Callable[[Host, Args], Mapping[str, Any]] = _unknown
    identity: Callable[[Args], str] = lambda _args: ""
