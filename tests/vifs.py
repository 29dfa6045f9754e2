# SPDX-License-Identifier: Apache-2.0
"""VIFs as callers make them, numbered so that a test can have many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from oslo_config import cfg

import os_vif

NETWORK_ID = "d1a9b1f8-31f0-4b8f-8c6e-0c4c4f8d2b11"


def vif_id(number: int) -> str:
    return f"{number:08x}-77b1-4c0d-9d6e-3b1f0a2c4d5e"


def guest_mac(number: int) -> str:
    return f"52:54:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


def tap_name(number: int) -> str:
    return f"tap{vif_id(number)[:11]}"


def instance(number: int = 1) -> Any:
    from os_vif.objects.instance_info import InstanceInfo

    return InstanceInfo(uuid=f"{number:08x}-0000-4000-8000-00000000beef", name=f"guest{number}")


def subnet(
    cidr: str,
    ips: Sequence[str] = (),
    *,
    gateway: str | None = None,
    routes: Sequence[tuple[str, str]] = (),
) -> Any:
    from os_vif.objects.fixed_ip import FixedIP, FixedIPList
    from os_vif.objects.route import Route, RouteList
    from os_vif.objects.subnet import Subnet

    made = Subnet(
        cidr=cidr,
        ips=FixedIPList(objects=[FixedIP(address=address) for address in ips]),
        routes=RouteList(objects=[Route(cidr=to, gateway=via) for to, via in routes]),
    )
    if gateway is not None:
        made.gateway = gateway
    return made


def network(bridge: str = "br0", *, subnets: Sequence[Any] = (), **fields: Any) -> Any:
    from os_vif.objects.network import Network
    from os_vif.objects.subnet import SubnetList

    fields.setdefault("should_provide_bridge", True)
    return Network(
        id=NETWORK_ID, bridge=bridge, subnets=SubnetList(objects=list(subnets)), **fields
    )


def bridge_vif(number: int = 1, bridge: str = "br0", **fields: Any) -> Any:
    """Return a VIFBridge; fields of its network are given as ``network=network(...)``."""
    from os_vif.objects.vif import VIFBridge

    fields.setdefault("network", network(bridge))
    fields.setdefault("has_traffic_filtering", True)
    fields.setdefault("vif_name", tap_name(number))
    fields.setdefault("address", guest_mac(number))
    fields.setdefault("bridge_name", bridge)
    return VIFBridge(id=vif_id(number), plugin="linux_bridge", **fields)


def tap_vif(number: int = 1, **fields: Any) -> Any:
    """Return a VIFGeneric for the plugin ``tap``."""
    from os_vif.objects.vif import VIFGeneric

    fields.setdefault("network", network(should_provide_bridge=False))
    fields.setdefault("vif_name", tap_name(number))
    fields.setdefault("address", guest_mac(number))
    return VIFGeneric(id=vif_id(number), plugin="tap", **fields)


def direct_vif(number: int = 1, lower: str | None = "eth0", **fields: Any) -> Any:
    """Return a VIFDirect on the device ``lower``; ``vlan`` and ``mtu`` are its network's."""
    from os_vif.objects.vif import VIFDirect

    said = {key: fields.pop(key) for key in ("vlan", "mtu") if key in fields}
    fields.setdefault("network", network("", bridge_interface=lower, **said))
    fields.setdefault("vif_name", tap_name(number))
    fields.setdefault("address", guest_mac(number))
    fields.setdefault("mode", "bridge")
    return VIFDirect(id=vif_id(number), plugin="macvtap", **fields)


@contextlib.contextmanager
def configured(group: str, **options: Any) -> Iterator[None]:
    """Set options of a plugin for a while; ``group`` is the plugin's name."""
    os_vif.initialize()
    section = f"os_vif_{group}"
    before = {name: cfg.CONF._get_opt_info(name, section).get("override") for name in options}
    for name, value in options.items():
        cfg.CONF.set_override(name, value, section)
    try:
        yield
    finally:
        for name, value in before.items():
            cfg.CONF.clear_override(name, section)
            if value is not None:  # within another such block
                cfg.CONF.set_override(name, value, section)
