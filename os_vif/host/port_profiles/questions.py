# SPDX-License-Identifier: Apache-2.0
"""What can be asked about VSIs and port profiles, and the shape of the answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection
from typing import Any

from os_vif.engine.observed import LAST, ON_DEVICES, Host, Question
from os_vif.host.links.questions import LINKS, netdevs_of

ASSOCIATED = 0
"""PORT_VDP_RESPONSE_SUCCESS: the switch agreed, and the VSI stands."""

REQUEST_ASSOCIATE = 2
PROFILE_SET = 0x100
"""PORT_PROFILE_RESPONSE_SUCCESS."""


@dataclasses.dataclass(frozen=True, slots=True)
class PortState:
    """A port profile as the kernel or lldpad shows it.

    :ivar instance: whose it is, a UUID; '' where that is not told.
    :ivar response: PORT_VDP_RESPONSE_* or PORT_PROFILE_RESPONSE_*; None while there is none.
    :ivar request: PORT_REQUEST_* of what was asked for last; None where that is not told.
    :ivar profile: the profile's name; '' where that is not told.
    """

    instance: str = ""
    response: int | None = None
    request: int | None = None
    profile: str = ""

    @property
    def is_set(self) -> bool:
        """Whether the profile is the port's (802.1Qbh)."""
        return (self.request, self.response) == (REQUEST_ASSOCIATE, PROFILE_SET)


# --- the questions --------------------------------------------------------------------------------


def _there(places: Collection[Any], host: Host) -> list[Any]:
    return [name for name in netdevs_of(host, places) if host[LINKS].get(name) is not None]


def _take(answers: dict[str, dict[str, int | None]], rows: list[Any]) -> None:
    for device, there in rows:
        answers[device] = dict(there)


VSIS: Question[str, dict[str, int | None]] = Question(
    "vsis", LAST, privileged=True, among=_there, take=_take, sees="VSIs (802.1Qbg)"
)
"""Asked of a device by name, or by PCI address; by name, the response to each VSI (802.1Qbg) by its
instance, None while there is none.  Absent where nobody could look."""

PORT_PROFILES: Question[str, PortState | None] = Question("port_profiles", ON_DEVICES)
"""Asked of a device by name, or by PCI address; by name, its port profile (802.1Qbh); None where it
has none, or its driver knows of none."""

QUESTIONS = (VSIS, PORT_PROFILES)
"""All that can be asked."""
