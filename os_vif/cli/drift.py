# SPDX-License-Identifier: Apache-2.0
"""What `check` says: each step that plugging would take, as what is wrong now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from os_vif.drawing.scene import Fault
from os_vif.engine import families
from os_vif.engine.step import HOST, UNKNOWN, Change, Drift, Step


class _Findings(Protocol):
    """What a look has found: of a VIF, of a network."""

    @property
    def steps(self) -> Sequence[Step]: ...

    @property
    def changes(self) -> Sequence[Change]: ...

    @property
    def assumed(self) -> Sequence[Step]: ...


def drifts_of(steps: Iterable[Step], changes: Iterable[Change] = ()) -> list[Drift]:
    """Return what is wrong, once each, from the steps that would put it right.

    :param changes: of each step, where it is known
    """
    from os_vif.engine.steps import describe, with_before

    steps = list(steps)
    found: list[Drift] = []
    for step, change in zip(steps, list(changes) or [UNKNOWN] * len(steps), strict=True):
        drift = families.kind_of(step.kind).drift
        if drift is not None:
            found += drift(with_before(step, change.before), steps)
        else:
            found.append(Drift(HOST, f"to do: {describe(step)}"))
    # Of what is not there, it goes without saying that it is not as it should be.
    missing = {drift.device for drift in found if drift.missing}
    said = [drift for drift in found if drift.missing or drift.device not in missing]
    return list({(drift.device, drift.words): drift for drift in said}.values())


def drifts_in(findings: _Findings) -> list[Drift]:
    """Return what is wrong with what was looked at, as far as that could be seen."""
    certain = [
        (step, change)
        for step, change in zip(findings.steps, findings.changes, strict=True)
        if step not in findings.assumed
    ]
    return drifts_of([step for step, _ in certain], [change for _, change in certain])


def as_json(drift: Drift) -> dict[str, Any]:
    """Return what is wrong, for JSON."""
    return {
        "device": drift.device,
        "words": drift.words,
        "missing": drift.missing,
        "attribute": drift.attribute or None,
        "expected": drift.expected,
        "before": drift.before,
        "after": None if drift.before is None else drift.expected,
    }


def faults_of(drifts: Iterable[Drift]) -> dict[str, Fault]:
    """Return the faults to draw, by the key of the part."""
    notes: dict[str, list[str]] = {}
    missing: set[str] = set()
    detached: set[str] = set()
    astray: set[str] = set()
    for drift in drifts:
        part = drift.part or drift.device
        notes.setdefault(part, []).append("missing" if drift.missing else drift.words)
        if drift.missing:
            missing.add(part)
        if drift.detached:
            detached.add(part)
        if drift.astray:
            astray.add(part)
    return {
        part: Fault(
            part in missing, part in detached, tuple(dict.fromkeys(words)), astray=part in astray
        )
        for part, words in notes.items()
    }
