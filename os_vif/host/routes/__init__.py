# SPDX-License-Identifier: Apache-2.0
"""Addresses, routes and neighbours of the host's own."""

from os_vif.engine.family import Family

FAMILY = Family(name="routes", package=__name__, floor=0)
