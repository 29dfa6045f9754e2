# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch: its bridges and ports."""

from os_vif.engine.family import Family

FAMILY = Family(name="openvswitch", package=__name__, floor=5)
