# SPDX-License-Identifier: Apache-2.0
"""What can be asked about what guests may send, and the word by which that is known as ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from os_vif.engine.checks import vif_id
from os_vif.engine.observed import Question
from os_vif.host.anti_spoofing.resources import AntiSpoofing
from os_vif.host.links.questions import words_behind

NOTE = "antispoof="
"""How the word behind a device's mark begins that tells of a filter: so it is taken back when
nobody describes it any more, and nothing must be asked of VIFs that have none."""

TABLE = "os-vif-"
"""How the names of our tables begin, in the family netdev; the VIF's id follows."""

Chains = Mapping[str, list[list[str]]]
"""By name, its rules, each a list of words; see :mod:`.chains`."""


@dataclasses.dataclass(frozen=True, slots=True)
class Filter:
    """What a VIF's table looks like.

    :ivar mark: the comment of the table: whose it is, as on devices.
    :ivar hook: where its first chain stands, as :func:`hook_of` has it.
    :ivar chains: all that have rules.
    """

    mark: str
    hook: str
    chains: Chains


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What the mark of a device tells of its guest.

    :ivar device: its name.
    :ivar mode: ``mac`` or ``ip``, as :attr:`.AntiSpoofing.mode` has it.
    """

    device: str
    mode: str


def _take(answers: dict[str, Filter | None], rows: list[Any]) -> None:
    for vif, found in rows:
        if found is None:
            answers[vif] = None
        else:
            mark, hook, chains = found
            # The channel to the daemon makes tuples of lists.
            plain = {name: [list(rule) for rule in rules] for name, rules in chains.items()}
            answers[vif] = Filter(mark, hook, plain)


FILTERS: Question[str, Filter | None] = Question(
    "guest_filter", privileged=True, take=_take, sees="filters of what guests send"
)
"""Of a VIF's id: its filter; None for none.  What was not asked is not there."""

QUESTIONS = (FILTERS,)
"""All that can be asked."""


def hook_of(device: str, *, guest_inside: bool) -> str:
    """Return where a filter stands, in words: where what the guest sends passes."""
    return f"{'egress' if guest_inside else 'ingress'} {device}"


def table_of(vif: str) -> str:
    """Return the name of a VIF's table."""
    return TABLE + vif


def owner_of(table: str) -> str:
    """Return the id of the VIF that a table of this name would be of; '' for none."""
    name = table.removeprefix(TABLE)
    try:
        return vif_id(name) if name != table else ""
    except Exception:  # a stranger's
        return ""


def note(wanted: AntiSpoofing) -> str:
    """Return the word for what a VIF has."""
    return NOTE + wanted.mode


def noted(alias: str) -> str:
    """Return what the alias of a device tells: ``mac``, ``ip`` or '' for nothing."""
    return next(iter(words_behind(alias, NOTE.rstrip("="))), "")
