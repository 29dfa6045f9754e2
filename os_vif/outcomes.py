# SPDX-License-Identifier: Apache-2.0
"""What became of VIFs that were plugged or unplugged, and what a look at them found."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_vif.engine.family import Caution, Unseen
    from os_vif.engine.step import Change, Step
    from os_vif.objects.vif import VIFBase


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one VIF.

    :ivar vif: the VIF.
    :ivar steps: what was done, in order; empty if the host was as described already.
    :ivar error: why it failed; None if it did not.
    :ivar told: whether ``steps`` tells what was done; a third party's plugin keeps it to itself.
    :ivar warnings: what plugging saw and does not put right: of those that
        :func:`~os_vif.verbs.examine` finds, what needs no look of its own.
    """

    vif: VIFBase
    steps: tuple[Step, ...] = ()
    error: Exception | None = None
    told: bool = True
    warnings: tuple[Caution, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Findings:
    """What a look at one VIF found.

    :ivar vif: the VIF.
    :ivar steps: as :func:`~os_vif.verbs.check`, one a drift; empty if all is as described.
    :ivar warnings: what may keep the guest from its network, or do the host harm, all the same.
    :ivar error: why it could not be told; None if it could.
    :ivar unseen: what nobody here may see, where the rest was asked for.
    :ivar assumed: of the steps, those that plugging takes unless they turn out to be done: what
        they do could not be seen.
    :ivar changes: of each step, in their order, what it changes.
    """

    vif: VIFBase
    steps: tuple[Step, ...] = ()
    warnings: tuple[Caution, ...] = ()
    error: Exception | None = None
    unseen: tuple[Unseen, ...] = ()
    assumed: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
