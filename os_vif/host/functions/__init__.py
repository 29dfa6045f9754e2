# SPDX-License-Identifier: Apache-2.0
"""PCI functions that guests get: whose they are, their settings, drivers and representors."""

from os_vif.engine.family import Family

FAMILY = Family(name="functions", package=__name__, floor=3)
