# SPDX-License-Identifier: Apache-2.0
"""OVN: rows of its Northbound database."""

from os_vif.engine.family import Family

FAMILY = Family(name="ovn", package=__name__, floor=6)
