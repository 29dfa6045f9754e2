# SPDX-License-Identifier: Apache-2.0
"""Where a VIF's steps run."""

from __future__ import annotations

import dataclasses
from typing import Any

DEFAULT = "os_vif_privileged"
"""The configuration section of the daemon of every plugin that names no other."""

LINUX_BRIDGE = "vif_plug_linux_bridge_privileged"
OVS = "vif_plug_ovs_privileged"
"""Those of two plugins, named in existing files and sudo rules."""

AS_ROOT = "vhostuser_fp_privileged"
"""The configuration section of the one daemon that runs programs and ends processes: it needs all
that root has, where the others need capabilities of the network alone."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """The daemon and the database that a plugin's VIFs need.

    :ivar section: the configuration section of the privileged daemon.
    :ivar database: what the family that runs transactions needs to reach its own; None for VIFs
        without one.  Today that family is Open vSwitch: ``list`` and ``gc`` look for its ports in
        every database that a plugin names.
    """

    section: str
    database: Any = None
