# SPDX-License-Identifier: Apache-2.0
"""What `check` says: each step that plugging would take, as what is wrong now."""

from __future__ import annotations

from collections.abc import Iterable

from os_vif.drawing.scene import Fault
from os_vif.engine import families
from os_vif.engine.step import HOST, Drift, Step


def drifts_of(steps: Iterable[Step]) -> list[Drift]:
    """Return what is wrong, once each, from the steps that would put it right."""
    from os_vif.engine.steps import describe

    steps = list(steps)
    found: list[Drift] = []
    for step in steps:
        drift = families.kind_of(step.kind).drift
        if drift is not None:
            found += drift(step.args, steps)
        else:
            found.append(Drift(HOST, f"to do: {describe(step)}"))
    # Of what is not there, it goes without saying that it is not as it should be.
    missing = {drift.device for drift in found if drift.missing}
    said = [drift for drift in found if drift.missing or drift.device not in missing]
    return list({(drift.device, drift.words): drift for drift in said}.values())


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
