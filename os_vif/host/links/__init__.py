# SPDX-License-Identifier: Apache-2.0
"""Network devices: taps, bridges, veths, VLAN devices, macvtaps, and uplinks of the host's."""

from os_vif.engine.family import Family

FAMILY = Family(name="links", package=__name__, floor=2)
