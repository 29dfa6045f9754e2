# SPDX-License-Identifier: Apache-2.0
"""What a step is, and what a row of the table of kinds says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from os_vif.host.observed import Host

KERNEL = "kernel"
"""Run behind the privilege boundary."""

CALLER = "caller"
"""Run in the caller's own process, with its own rights, and never by a daemon, whose rights would
tell the caller what it may not see itself.  Such a step only looks: nothing takes it back."""

OVSDB = "ovsdb"
"""Run in the caller's own process, all of a batch in one transaction."""

Args = dict[str, Any]
"""Fields of a step by name; only str, int, bool, None, lists and dicts of these."""


class Step(NamedTuple):
    """One thing to do.

    :ivar kind: a key of :data:`os_vif.host.steps.KINDS`.
    :ivar args: its fields.
    """

    kind: str
    args: Args


class Kind(NamedTuple):
    """A row of the table.

    :ivar fields: what each field may hold.
    :ivar effect: writes on the model what the step does to the host.
    :ivar inverse: given the model *before* the step, the step that takes it back, if any.
    :ivar words: what the step does, for people.
    :ivar by: who runs it: :data:`KERNEL`, :data:`CALLER` or :data:`OVSDB`.
    :ivar partial: whether a failed step may have done a part of its work, so that its own
        inverse must run too.  The others clean up after themselves or do all or nothing.
    :ivar whole: what the fields must hold together.
    :ivar daemon: the configuration section of the one daemon that may run it; '' for any.
    """

    fields: Mapping[str, Callable[[Any], bool]]
    effect: Callable[[Host, Args], None]
    inverse: Callable[[Host, Args], Step | None]
    words: Callable[[Args], str]
    by: str = KERNEL
    partial: bool = False
    whole: Callable[[Args], bool] = lambda _args: True
    daemon: str = ""
