# SPDX-License-Identifier: Apache-2.0
"""Traffic limits: how much a device of the kernel's takes and passes on in a second."""

from os_vif.engine.family import Family

FAMILY = Family(name="traffic_limits", package=__name__, floor=3)
