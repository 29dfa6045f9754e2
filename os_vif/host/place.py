# SPDX-License-Identifier: Apache-2.0
"""Where a VIF's steps run."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_vif.host.switch import Database


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The daemon and the database that a plugin's VIFs need.

    :ivar section: the configuration section of the privileged daemon.
    :ivar database: the Open vSwitch database; None for VIFs without one.
    """

    section: str
    database: Database | None = None
