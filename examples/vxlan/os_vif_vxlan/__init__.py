# SPDX-License-Identifier: Apache-2.0
"""VXLAN tunnels (RFC 7348) as a kind of thing that a host can hold."""

from os_vif.engine.family import Family

FAMILY = Family(name="vxlan", package=__name__)
