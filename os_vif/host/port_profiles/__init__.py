# SPDX-License-Identifier: Apache-2.0
"""What a switch is told of a VIF's port: IEEE 802.1Qbg by lldpad, 802.1Qbh by the NIC."""

from os_vif.engine.family import Family

FAMILY = Family(name="port_profiles", package=__name__, floor=4)
