# SPDX-License-Identifier: Apache-2.0
"""Networks over many hosts, on OVN: what is wanted, checked, and mapped to rows of its database.

Pure, as the plugins are: nothing is looked up, nothing is done.  ``objects`` says what can be
wanted beside versioned objects, ``examine`` and ``examine_routers`` what of it cannot be used,
``switches``, ``dhcp`` and ``routers`` which rows each becomes, ``names`` what they are called and
known by, ``expression`` what OVN reads as an expression, and ``mapping`` puts it together.
``survey``, ``subnets`` and ``versioned`` read versioned objects.
"""

from os_vif.logical.examine import examine
from os_vif.logical.findings import Finding
from os_vif.logical.mapping import topologies
from os_vif.logical.names import port_row_of, router_row_of, switch_row_of
from os_vif.logical.objects import (
    DHCP,
    External,
    LogicalNetwork,
    Port,
    Router,
    Wanted,
)

__all__ = [
    "DHCP",
    "External",
    "Finding",
    "LogicalNetwork",
    "Port",
    "Router",
    "Wanted",
    "examine",
    "port_row_of",
    "router_row_of",
    "switch_row_of",
    "topologies",
]
