# SPDX-License-Identifier: Apache-2.0
"""Forwarding: rules of the host's firewall for a bridge's traffic."""

from os_vif.engine.family import Family

FAMILY = Family(name="forwarding", package=__name__, floor=0)
