# SPDX-License-Identifier: Apache-2.0
"""One dnsmasq a bridge: DHCP, DNS and router advertisements for its guests, and their addresses."""

from os_vif.engine.family import Family

FAMILY = Family(name="dnsmasq", package=__name__, floor=3)
