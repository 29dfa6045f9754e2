# SPDX-License-Identifier: Apache-2.0
"""VIFs for the plugin ``ovs``, numbered; on a bridge in userspace unless told otherwise."""

from __future__ import annotations

from typing import Any

from tests import vifs

BRIDGE = "br-int"
MTU = 1450
"""Bytes; not the default, so that it can be told from one."""


def name(prefix: str, number: int = 1, length: int = 14) -> str:
    """Return a name as operators and Neutron know it: the prefix and the start of the VIF's id."""
    return f"{prefix}{vifs.vif_id(number)}"[:length]


def profile(number: int = 1, **fields: Any) -> Any:
    from os_vif.objects.vif import VIFPortProfileOpenVSwitch

    fields.setdefault("interface_id", vifs.vif_id(number))
    fields.setdefault("datapath_type", "netdev")
    return VIFPortProfileOpenVSwitch(**fields)


def ids(number: int = 1, **more: str) -> dict[str, str]:
    """Return the external_ids that Neutron, OVN and operators look for."""
    return {
        "iface-id": vifs.vif_id(number),
        "iface-status": "active",
        "attached-mac": vifs.guest_mac(number),
        "vm-uuid": vifs.instance().uuid,
        **more,
    }


def _fields(number: int, bridge: str, fields: dict[str, Any]) -> dict[str, Any]:
    given = {
        "id": vifs.vif_id(number),
        "plugin": "ovs",
        "address": vifs.guest_mac(number),
        "network": vifs.network(bridge, mtu=MTU),
        "port_profile": profile(number),
        **fields,
    }
    return {key: value for key, value in given.items() if value is not None}


def plain(
    number: int = 1,
    bridge: str = BRIDGE,
    *,
    port: bool = True,
    tap: bool = True,
    datapath: str | None = "netdev",
    multiqueue: bool = False,
    **fields: Any,
) -> Any:
    """Return a VIFOpenVSwitch.

    :param port: the profile's ``create_port``
    :param tap: its ``create_tap``
    :param datapath: its ``datapath_type``; None leaves the choice to the host
    :param fields: of the VIF; None leaves one out
    """
    from os_vif.objects.vif import VIFOpenVSwitch

    asked = profile(
        number, create_port=port, create_tap=tap, datapath_type=datapath, multiqueue=multiqueue
    )
    fields.setdefault("port_profile", asked)
    fields.setdefault("vif_name", vifs.tap_name(number))
    fields.setdefault("bridge_name", bridge)
    return VIFOpenVSwitch(**_fields(number, bridge, fields))


def hybrid(number: int = 1, bridge: str = BRIDGE, **fields: Any) -> Any:
    """Return a VIFBridge: a Linux bridge for filters between the guest and the switch."""
    from os_vif.objects.vif import VIFBridge

    fields.setdefault("vif_name", vifs.tap_name(number))
    fields.setdefault("bridge_name", name("qbr", number))
    return VIFBridge(**_fields(number, bridge, fields))


def vhost_user(number: int = 1, bridge: str = BRIDGE, *, mode: str, **fields: Any) -> Any:
    """Return a VIFVHostUser; ``mode`` is the guest's part: client or server."""
    from os_vif.objects.vif import VIFVHostUser

    fields.setdefault("vif_name", name("vhu", number))
    fields.setdefault("path", f"/run/nowhere/{name('vhu', number)}")
    return VIFVHostUser(mode=mode, **_fields(number, bridge, fields))


def host_device(
    number: int, address: str, *, name: str = "", datapath: str = "system", **fields: Any
) -> Any:
    """Return a VIFHostDevice, a virtual function whose representor is to be a port.

    :param address: PCI address of the function
    :param name: what its representor is to be called
    """
    from os_vif.objects.vif import DatapathOffloadRepresentor, VIFHostDevice

    asked = profile(number, datapath_type=datapath)
    if name:
        asked.datapath_offload = DatapathOffloadRepresentor(
            representor_name=name, representor_address=address
        )
    fields.setdefault("port_profile", asked)
    return VIFHostDevice(
        dev_type="ethernet", dev_address=address, **_fields(number, BRIDGE, fields)
    )
