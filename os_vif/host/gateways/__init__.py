# SPDX-License-Identifier: Apache-2.0
"""Gateways: the host routes for the guests of a bridge, and stands in for them outside (NAT)."""

from os_vif.engine.family import Family

FAMILY = Family(name="gateways", package=__name__, floor=1)
