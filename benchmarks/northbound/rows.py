# SPDX-License-Identifier: Apache-2.0
"""What everybody brings about: a switch, and ports in it with the same columns.  And modes."""

from __future__ import annotations

from benchmarks.port import Port

DATABASE = "OVN_Northbound"
SWITCH = "0f1a9a44-11d3-4c3c-9d3b-2a8c9f6f5e01"
"""The id of the network; its Logical_Switch is called ``os-vif-ID``."""
NAME = f"os-vif-{SWITCH}"
OWNER = "bench"

ADD, FRESH, CHECK, NEIGHBOURS = "add", "fresh", "check", "neighbours"
"""Modes: add and delete over an open connection; over a new one each; look whether a port is as it
should be; and whether somebody else's has its address, too."""


def address(port: Port) -> str:
    """MAC and IP address of a port."""
    number = int(port.name[-6:], 16)
    return f"{port.mac} 10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


def ids(port: Port) -> dict[str, str]:
    """external_ids of a port."""
    return {
        "os-vif": f"vif={port.vif_id}",
        "os-vif-owner": OWNER,
        "os-vif-name": port.name,
        "os-vif-network": SWITCH,
    }


def need(well: bool) -> None:
    """See that what was looked up is as it should be.

    :raises RuntimeError: it is not
    """
    if not well:
        raise RuntimeError("the port is not as it was made")
