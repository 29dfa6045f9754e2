# SPDX-License-Identifier: Apache-2.0
"""What the host holds of a VIF, as a picture needs it: a topology, as far as its parts show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from os_vif.drawing.scene import Guest
    from os_vif.host.inventory import Given, Plugged
    from os_vif.host.observed import Link
    from os_vif.host.topology import Resource, Topology


def as_plugged(item: Plugged) -> tuple[Topology, Guest]:
    """Return what the host holds of a VIF as a topology, as far as its own parts show it."""
    from os_vif.drawing.scene import Guest
    from os_vif.host.topology import Topology

    resources = [resource for link in item.links for resource in _of_link(link)]
    resources += _of_switch(item)
    resources += [resource for given in item.functions for resource in _of_function(given)]
    # The beginning of an id is enough to name it here, and leaves room for more guests.
    name = f"guest {item.mark.instance[:8]}" if item.mark.instance else "guest"
    lines = [f"VIF {item.mark.vif_id[:8]}", *([] if resources else ["rules only"])]
    return Topology(item.mark, tuple(resources)), Guest(name, tuple(lines))


def _of_link(link: Link) -> list[Resource]:
    from os_vif.host.fast_path import TESTPMD_MTU, BackEnd, FastPathDevice
    from os_vif.host.fast_path_rules import deleting
    from os_vif.host.fields import NAME
    from os_vif.host.resources import MACVTAP_MODES, Bridge, Macvtap, Tap, Veth
    from os_vif.host.topology import noted_socket

    found: Any = link.attributes
    master, mtu = found.get("master"), found.get("mtu")
    bridge: list[Resource] = [] if master is None else [Bridge(name=master)]
    if deleting(link):
        # Whatever the fast path has made it as.
        path, listens = noted_socket(link.alias) or ("", False)
        device = FastPathDevice(
            name=link.name, path=path, listens=listens, mac=found["mac"], mtu=mtu, bridge=master
        )
        return [*bridge, device]
    if link.kind == "bridge":
        return [Bridge(name=link.name, own=True)]
    if link.kind == "veth":
        # The other end is a link too, and is drawn with this one.
        return [Veth(name=link.name, peer=found["link"], mtu=mtu, bridge=master)] if master else []
    if link.kind == "macvtap" and found["mode"] in MACVTAP_MODES:
        lower = str(found.get("link"))
        if not NAME(lower):
            lower = "elsewhere"  # in another network namespace, which shows no more than a number
        return [Macvtap(name=link.name, mac=found["mac"], mode=found["mode"], mtu=mtu, link=lower)]
    if link.kind != "tap":
        return bridge  # a representor, which is drawn as the port it is
    multi_queue = bool(found.get("multi_queue"))
    tap = Tap(name=link.name, mtu=mtu, bridge=master, multi_queue=multi_queue)
    socket = noted_socket(link.alias)
    if socket is None:
        return [*bridge, tap]
    path, listens = socket
    process = BackEnd(
        name=link.name, path=path, listens=listens, mac=found["mac"], mtu=min(mtu, TESTPMD_MTU)
    )
    return [*bridge, tap, process]


def _of_switch(item: Plugged) -> list[Resource]:
    from os_vif.host.switch import OvsBridge, OvsPort

    own = {bridge.name: bridge.datapath_type for bridge in item.bridges}
    names = dict.fromkeys([*own, *(port.bridge for port in item.ports)])
    resources: list[Resource] = [
        OvsBridge(name=name, datapath_type=own.get(name, ""), own=name in own) for name in names
    ]
    for port in item.ports:
        resources.append(
            OvsPort(
                name=port.name,
                bridge=port.bridge,
                type=port.type,
                options=port.options,
                external_ids=port.external_ids,
                mtu_request=port.mtu_request,
                isolate=port.isolated,
            )
        )
    return resources


def _of_function(given: Given) -> list[Resource]:
    from os_vif.host.function_steps import NO_MAC
    from os_vif.host.passthrough import PciDevice, VirtualFunction

    address, found = given.mark.address, given.settings
    driver = given.function.driver if given.function and given.mark.driver else ""
    device = PciDevice(address=address, driver=driver)
    if not given.card:
        return [device]
    shown: Any = {key: found[key] for key in ("vlan", "spoofchk", "trust") if key in found}
    shown["mac"] = "" if found.get("mac") == NO_MAC else found.get("mac", "")
    return [device, VirtualFunction(address=address, **shown)]
