# SPDX-License-Identifier: Apache-2.0
"""What was done to the host, a line for each step, for who asks afterwards: at DEBUG.

The lines are written in the process of the caller, whichever process ran the steps.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from os_vif.engine import steps

if TYPE_CHECKING:
    from os_vif.engine.runner import Group, Report
    from os_vif.engine.step import Step

LOG = logging.getLogger(__name__)


def is_kept() -> bool:
    """Tell whether anybody wants these lines; asked once for all steps that run together."""
    return LOG.isEnabledFor(logging.DEBUG)


def tell(
    whose: Sequence[str],
    groups: Sequence[Group],
    reports: Sequence[Report],
    *,
    rolled_back: bool = False,
) -> None:
    """Tell what became of groups of steps.

    :param whose: by group, the beginning of its lines: ``VIF ID``
    :param rolled_back: those that did not fail were taken back because of one that did
    """
    for who, group, report in zip(whose, groups, reports, strict=False):
        error = report["error"]
        if error is not None:
            LOG.debug("%s: failed: %s: %s", who, error["step"], error["reason"])
            for words in error.get("undone", ()):
                LOG.debug("%s: taken back: %s", who, words)
            continue
        changed = [item for at, item in enumerate(group) if at not in report["unchanged"]]
        for step, _undo in changed:
            LOG.debug("%s: %s", who, steps.describe(step))
        if rolled_back:
            tell_undone(who, [undo for _step, undo in reversed(changed) if undo])


def tell_undone(who: str, back: Iterable[Step], left: Sequence[str] = ()) -> None:
    """Tell what was taken back of somebody's, and what could not be.

    :param left: what could not be, in words: those of the step, and why
    """
    for words in undone(back, left):
        LOG.debug("%s: taken back: %s", who, words)
    for words in left:
        LOG.debug("%s: could not be taken back: %s", who, words)


def undone(back: Iterable[Step], left: Sequence[str]) -> list[str]:
    """Return in words which of these steps were run, where some are ``left``."""
    every = [steps.describe(step) for step in back]
    return [words for words in every if not any(it.startswith(f"{words}: ") for it in left)]
