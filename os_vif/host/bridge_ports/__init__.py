# SPDX-License-Identifier: Apache-2.0
"""Ports of Linux bridges: what a bridge does with the frames of one, and which VLANs it is in."""

from os_vif.engine.family import Family

FAMILY = Family(name="bridge_ports", package=__name__, floor=3)
