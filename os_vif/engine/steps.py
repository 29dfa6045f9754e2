# SPDX-License-Identifier: Apache-2.0
"""What is done with any step, whichever family it is of.

A step crosses a socket to a privileged process, which checks it (:func:`checked`) before it runs
it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from os_vif import exception
from os_vif.engine import families
from os_vif.engine.observed import Host
from os_vif.engine.step import KERNEL, Args, Change, Kind, Step


def apply(host: Host, step: Step) -> None:
    """Write on the model ``host`` what ``step`` does to the real one."""
    families.kind_of(step.kind).effect(host, step.args)


def inverse(host: Host, step: Step) -> Step | None:
    """Return the step that takes ``step`` back, given the model as it was before it."""
    return families.kind_of(step.kind).inverse(host, step.args)


def change(host: Host, step: Step) -> Change:
    """Write on the model ``host`` what ``step`` does, and return what that changes."""
    kind = families.kind_of(step.kind)
    before = dict(kind.shows(host, step.args))
    kind.effect(host, step.args)
    after = kind.shows(host, step.args) if before else {}
    return Change(before, {name: after[name] for name in before if name in after})


def with_before(step: Step, before: Mapping[str, Any]) -> Args:
    """Return the fields of a step, for its words, with what is there now."""
    return {**step.args, "before": before} if before else step.args


def describe(step: Step, before: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return a step in words.

    :param before: what is there now of what it sets, as :class:`~os_vif.engine.step.Change` has it
    """
    return families.kind_of(step.kind).words(with_before(step, before))


def tells_drift(step: Step, every: Sequence[Step]) -> bool:
    """Tell whether something is wrong where a step is left.

    :param every: all that are
    """
    drift = families.kind_of(step.kind).drift
    return drift is None or bool(drift(step.args, every))


def _as_lists(value: Any) -> Any:
    # The channel to the daemon makes tuples of lists.
    if isinstance(value, list | tuple):
        return [_as_lists(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    return value


def checked(kind: object, args: object, section: str = "") -> Step:
    """Return a step from plain data that came from elsewhere.

    :param section: the configuration section of the daemon that is to run it
    :raises InvalidField: the kind is unknown or not for this daemon, a field is missing or unknown,
        or holds what it may not.
    """
    args = _as_lists(args)
    row = _row(kind)
    if row is None or not _is_for(row, section):
        raise exception.InvalidField(field="step", value=kind, expected=_known(section))
    if not isinstance(args, dict) or args.keys() != row.fields.keys():
        raise exception.InvalidField(field=f"{kind}", value=args, expected=", ".join(row.fields))
    for name, ok in row.fields.items():
        if not ok(args[name]):
            raise exception.InvalidField(
                field=f"{kind}.{name}", value=args[name], expected="a value the step can take"
            )
    if not row.whole(args):
        raise exception.InvalidField(
            field=f"{kind}", value=args, expected="all that such a step needs"
        )
    return Step(str(kind), args)


def _row(kind: object) -> Kind | None:
    try:
        return families.kind_of(kind) if isinstance(kind, str) else None
    except exception.UnusableFamily:
        return None


def _known(section: str) -> str:
    there: Mapping[str, Kind] = families.kinds()
    return ", ".join(name for name, row in there.items() if _is_for(row, section))


def _is_for(row: Kind, section: str) -> bool:
    return row.by == KERNEL and (not row.daemons or section in row.daemons)
