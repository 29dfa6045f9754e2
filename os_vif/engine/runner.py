# SPDX-License-Identifier: Apache-2.0
"""Run steps, and take back those of a group that failed: the privileged side of the boundary.

What comes in is plain data from a process that may be anybody, so each step is checked against
the table again before the first one runs.
"""

from __future__ import annotations

import errno
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif import exception
from os_vif.engine import call_time, families, steps
from os_vif.engine.family import Seen
from os_vif.engine.step import Args, Step
from os_vif.system import netlink

LOG = logging.getLogger(__name__)

Plain = list[Any]
"""``[[kind, args, undo kind or None, undo args or None], ...]``: one group of steps."""

Report = dict[str, Any]
"""What became of a group: ``error`` (None, or ``step``, ``errno``, ``reason``, ``undone``, what was
taken back, where that is known, and ``left``, what could not be), ``unchanged``, the positions of
steps that found all done, and ``seen``, the attributes a step was to set as the kernel showed them
right after it, by device."""


_Back = tuple[Sequence[str], Sequence[str]]
"""In words, which steps were taken back, and which could not be, each with the reason."""

_NOTHING: _Back = ((), ())

Handler = Callable[[Args], Args | Seen | None]


def handler_of(kind: str) -> Handler:
    """Return what runs a kind of step on the privileged side.

    :raises UnusableFamily: no family has it, or its system does not run it.
    """
    return _part_of(kind, "run")


def _part_of(kind: str, part: str) -> Handler:
    family = families.family_of(kind)
    found: Mapping[str, Handler] = getattr(family.system, part)
    if kind not in found:
        raise exception.UnusableFamily(
            family=family.name, reason=f"its system has nothing that runs {kind!r}"
        )
    return found[kind]


Group = list[tuple[Step, Step | None]]
"""Steps in order, each with the one that takes it back."""


def run_plain(
    groups: Sequence[Plain], section: str, *, together: bool, end: float | None = None
) -> list[Report]:
    """Check plain data that came from another process, and run it; see :func:`run`.

    :param section: the configuration section of the daemon that this is
    :param end: when who asked gives this process up, by :func:`time.monotonic`; None for never
    :raises InvalidField: a step is not one of the table's for this daemon; nothing was run.
    """
    checked: list[Group] = [
        [
            (
                steps.checked(kind, args, section),
                steps.checked(undo_kind, undo_args, section) if undo_kind is not None else None,
            )
            for kind, args, undo_kind, undo_args in group
        ]
        for group in groups
    ]
    run_step = functools.partial(_run_if_allowed, section)
    return run(checked, together=together, run_step=run_step, end=end)


def _run_now(step: Step) -> Args | Seen | None:
    return handler_of(step.kind)(step.args)


def _run_if_allowed(section: str, step: Step) -> Args | Seen | None:
    refuses = families.family_of(step.kind).system.refuses.get(step.kind)
    if refuses is not None and (why := refuses(step.args, section)):
        raise OSError(errno.EPERM, f"the privileged side refuses: {why}")
    return _run_now(step)


RunStep = Callable[[Step], Args | Seen | None]


def run(
    groups: Sequence[Group],
    *,
    together: bool,
    run_step: RunStep = _run_now,
    end: float | None = None,
) -> list[Report]:
    """Run groups of steps one after another; a failed group is taken back, the others go on.

    :param together: one group's failure takes back all, and those behind it do not run.
    :param run_step: runs one, or takes one back.
    :param end: when there is no time left, by :func:`time.monotonic`; None for no end
    """
    with netlink.session():
        until = float("inf") if end is None else end
        return _run_groups(groups, run_step, together=together, end=until)


def run_as_caller(groups: Sequence[Group]) -> list[Report]:
    """Run groups of steps that need no privilege; those of a failed one have nothing to take back.

    :returns: as :func:`run`.
    """
    reports: list[Report] = []
    for group in groups:
        failure = None
        for step, _undo in group:
            try:
                _part_of(step.kind, "run_as_caller")(step.args)
            except Exception as error:
                if not (isinstance(error, OSError) or _is_others(step, error)):
                    raise
                failure = _failure(step, error)
                break
        reports.append({"error": failure, "unchanged": [], "seen": {}})
    return reports


def _run_groups(
    groups: Sequence[Group], run_step: RunStep, *, together: bool, end: float
) -> list[Report]:
    reports: list[Report] = []
    finished: Group = []
    for group in groups:
        done: Group = []
        try:
            report = _run_group(group, done, run_step, end)
        except BaseException as error:
            if together or not isinstance(error, Exception):
                _undo(finished, run_step)  # nobody will hear that these were done
            raise
        reports.append(report)
        if report["error"] and together:
            report["error"]["left"] += _undo(finished, run_step)[1]
            break
        finished += done
    return reports


def _run_group(group: Group, done: Group, run_step: RunStep, end: float) -> Report:
    unchanged: list[int] = []
    seen: dict[str, Any] = {}
    for position, (step, planned_undo) in enumerate(group):
        undo = planned_undo
        if time.monotonic() > end:
            return _late(step, done, run_step, end)
        try:
            found = run_step(step)
        except BaseException as error:
            if families.kind_of(step.kind).partial:
                done.append((step, undo))
            back = _undo(done, run_step)
            if not (isinstance(error, OSError) or _is_others(step, error)):
                raise  # interrupted, or a mistake of ours
            return {"error": _failure(step, error, back), "unchanged": [], "seen": {}}
        if isinstance(found, Seen):
            seen[found.name] = dict(found.attributes)
        elif found is not None:
            if found == step.args:
                unchanged.append(position)
                undo = None
            elif undo:
                undo = Step(undo.kind, found)
        done.append((step, undo))
    if group and time.monotonic() > end:
        return _late(group[-1][0], done, run_step, end)
    return {"error": None, "unchanged": unchanged, "seen": seen}


def _late(step: Step, done: Group, run_step: RunStep, end: float) -> Report:
    if time.monotonic() > end + call_time.GRACE_S / 2:
        # We were stopped.  Who asked has given us up, has undone what was to be undone, and may
        # have had somebody else do what we should have done.
        done.clear()
    error = OSError(errno.ETIMEDOUT, "there was no time left for it")
    return {"error": _failure(step, error, _undo(done, run_step)), "unchanged": [], "seen": {}}


def _is_others(step: Step, error: BaseException) -> bool:
    """Tell whether this is the mistake of a family that is not ours, and told as its own."""
    ours = families.is_ours(families.family_of(step.kind))
    return isinstance(error, Exception) and not ours


def _failure(step: Step, error: BaseException, back: _Back = _NOTHING) -> dict[str, Any]:
    reason = str(error)
    if isinstance(error, OSError):
        reason = error.strerror or reason
    elif not isinstance(error, exception.ExceptionBase):
        family = families.family_of(step.kind).name
        LOG.error("family %s failed to %s", family, steps.describe(step), exc_info=error)
        reason = f"family {family} is at fault: {error!r}"
    return {
        "step": steps.describe(step),
        "errno": (error.errno or 0) if isinstance(error, OSError) else 0,
        "reason": reason,
        "undone": list(back[0]),
        "left": list(back[1]),
    }


def _undo(done: Group, run_step: RunStep) -> _Back:
    """Take back steps, last first; return what was, and what could not be."""
    undone, left = [], []
    for _step, undo in reversed(done):
        if undo is None:
            continue
        try:
            run_step(undo)
            undone.append(steps.describe(undo))
        except Exception as error:
            if not (isinstance(error, OSError) or _is_others(undo, error)):
                raise
            # With a device all is gone that was to be taken back.
            if not isinstance(error, OSError) or error.errno != errno.ENODEV:
                left.append(f"{steps.describe(undo)}: {_failure(undo, error)['reason']}")
    done.clear()
    return undone, left
