# SPDX-License-Identifier: Apache-2.0
"""What can be asked about the limits of a device, and the word by which they are known as ours."""

from __future__ import annotations

import dataclasses

from os_vif import exception
from os_vif.engine.observed import Question
from os_vif.host.links.questions import words_behind
from os_vif.host.traffic_limits.resources import Bucket

NOTE = "limits="
"""How the word behind a device's mark begins that tells its limits: so they can be taken back when
nobody describes them any more, and nothing must be asked of devices that have none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a device.

    :ivar egress: ours; None for none.
    :ivar ingress: ours; None for none.
    :ivar others: in words, what somebody else has in the place of ours; '' for nothing.
    """

    egress: Bucket | None = None
    ingress: Bucket | None = None
    others: str = ""


NONE = Limits()


def _gone(answers: dict[str, Limits], name: str) -> None:
    if name in answers:
        answers[name] = NONE


LIMITS: Question[str, Limits] = Question("traffic_limits", gone=_gone)
"""Of a device, by name: its limits, none where it is not there."""

QUESTIONS = (LIMITS,)
"""All that can be asked."""


def note(egress: Bucket | None, ingress: Bucket | None) -> str:
    """Return the word for the limits of a device; '' for none."""
    if egress is None and ingress is None:
        return ""
    return NOTE + ",".join(f"{it.rate}/{it.burst}" if it else "" for it in (egress, ingress))


def noted(alias: str) -> Limits:
    """Return the limits that the alias of a device tells of."""
    for words in words_behind(alias, NOTE.rstrip("=")):
        try:
            egress, ingress = map(_bucket, words.split(","))
        except (ValueError, exception.InvalidField):
            return NONE  # somebody else's words
        return Limits(egress, ingress)
    return NONE


def _bucket(words: str) -> Bucket | None:
    if not words:
        return None
    rate, burst = words.split("/")
    return Bucket(int(rate), int(burst))
