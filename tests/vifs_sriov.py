# SPDX-License-Identifier: Apache-2.0
"""VIFs for the plugin ``sriov``, numbered."""

from __future__ import annotations

from typing import Any

from tests import vifs


def device(
    number: int, where: str, *, kind: str = "ethernet", vlan: int | None = None, **fields: Any
) -> Any:
    """Return a VIFHostDevice at the PCI address ``where``; ``kind`` is its ``dev_type``."""
    from os_vif.objects.vif import VIFHostDevice

    fields.setdefault("network", vifs.network(should_provide_bridge=False, vlan=vlan))
    fields.setdefault("address", vifs.guest_mac(number))
    return VIFHostDevice(
        id=vifs.vif_id(number), plugin="sriov", dev_type=kind, dev_address=where, **fields
    )
