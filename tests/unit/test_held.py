# SPDX-License-Identifier: Apache-2.0
"""From what the host holds back to what was said: each type, where no machine has the hardware."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from os_vif.cli.specs import reader, types
from os_vif.engine.plugged import Held
from os_vif.engine.topology import Mark, parse_mark
from os_vif.host.bridge_ports.resources import BridgePort, VlanFiltering
from os_vif.host.functions.questions import FunctionMark, Given
from os_vif.host.links.questions import Function, Link
from os_vif.host.links.resources import Bridge, Uplink, Vlan
from os_vif.host.openvswitch.questions import BridgeRow, PortRow
from os_vif.host.openvswitch.resources import OvsBridge
from os_vif.host.routes.resources import HostRoute
from os_vif.specs import NotTold

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
MAC = "52:54:00:12:34:56"
PCI = "0000:03:10.2"
IDS = {"iface-id": ID, "attached-mac": MAC}
UPLINK = Uplink(name="vlan7", bridge="br0")
VLAN = Vlan(name="vlan7", link="eth1", vlan_id=7)
DEVICE = {"owner": 0, "owner_group": None}


def link(kind: str, name: str, plugin: str, note: str = "", **attributes: Any) -> Link:
    """Return a device of the VIF's."""
    alias = f"{Mark(ID, plugin)} {note}".strip()
    return Link(name, 7, kind, alias, {"mtu": 1500, "mac": f"fe{MAC[2:]}", **DEVICE, **attributes})


def held(plugin: str, shared: dict[str, Any] | None = None, **parts: Any) -> Held:
    """Return what the host holds of a VIF."""
    return Held(mark=Mark(ID, plugin), parts=parts, shared=shared or {})


def port(name: str, **fields: Any) -> PortRow:
    """Return a port of the VIF's."""
    return PortRow(name, "br-int", external_ids={**IDS, **fields.pop("ids", {})}, **fields)


def given(card: str, settings: dict[str, Any], driver: str = "") -> Given:
    """Return a function of the VIF's."""
    function = Function(PCI, number=2)
    return Given(FunctionMark(PCI, ID, driver), card or "lo", True, function, settings)


SHARED = {"br-int": (OvsBridge(name="br-int", datapath_type="netdev"),)}
FP = {"plugin": "vhostuser_fp", "note": "listens=/run/vhu", "multi_queue": True}
COMMON = {"id": ID, "mac": MAC}
NETWORK = {"network": {"mtu": 1500}}

CASES: dict[str, tuple[Held, dict[str, Any]]] = {
    "bridge with a VLAN": (
        held(
            "linux_bridge",
            {"br0": (VLAN, Bridge(name="br0"), UPLINK)},
            links=(link("tap", "tap0", "linux_bridge", master="br0"),),
        ),
        {
            "type": "bridge",
            "bridge": "br0",
            "name": "tap0",
            "network": {"mtu": 1500, "uplink": "eth1", "vlan": 7},
        },
    ),
    "port in VLANs": (
        held(
            "linux_bridge",
            {"br0": (Bridge(name="br0"),)},
            links=(link("tap", "tap0", "linux_bridge", master="br0"),),
            comments=("x",),
            vlan_filtering=(VlanFiltering(name="br0"),),
            bridge_ports=(
                BridgePort(
                    name="tap0",
                    bridge="br0",
                    flags={"isolated": True, "learning": True, "flood": False},
                    vlan=5,
                    trunks=frozenset({10, 20, 21, 22}),
                ),
            ),
        ),
        {
            "type": "bridge",
            "bridge": "br0",
            "name": "tap0",
            "isolated": True,
            "flood": False,
            "vlan": 5,
            "trunks": ["10", "20-22"],
            "vlan_filtering": True,
            **NETWORK,
        },
    ),
    "macvtap in a VLAN": (
        held(
            "macvtap",
            {"vlan7": (VLAN,)},
            links=(link("macvtap", "mv0", "macvtap", mac=MAC, mode="passthru", link="vlan7"),),
        ),
        {
            "type": "macvtap",
            "name": "mv0",
            "mode": "passthrough",
            "vlan_name": "vlan7",
            "network": {"uplink": "eth1", "vlan": 7, "mtu": 1500},
        },
    ),
    "macvtap": (
        held(
            "macvtap",
            links=(
                link(
                    "macvtap",
                    "mv0",
                    "macvtap",
                    "lower=down limits=,2000000/5000",
                    mac=MAC,
                    mode="vepa",
                    link="eth1",
                ),
            ),
        ),
        {
            "type": "macvtap",
            "name": "mv0",
            "mode": "vepa",
            "rate_to_guest": 2_000_000,
            "burst_to_guest": 5000,
            "network": {"uplink": "eth1", "mtu": 1500},
        },
    ),
    "macvtap with a VSI, of a guest with a name": (
        held(
            "macvtap",
            links=(
                link(
                    "macvtap",
                    "mv0",
                    "macvtap",
                    f"vsi=eth1,1,5,2,0,525400123456,{ID} lower=down guest=web",
                    mac=MAC,
                    mode="vepa",
                    link="eth1",
                ),
            ),
        ),
        {
            "type": "macvtap",
            "name": "mv0",
            "mode": "vepa",
            "vsi": {"manager": 1, "type": 5, "version": 2, "instance": ID},
            "network": {"uplink": "eth1", "mtu": 1500},
        },
    ),
    "virtual function": (
        held("sriov", functions=(given("eth1", {"mac": MAC, "vlan": 5}, "vfio-pci"),)),
        {"type": "sriov", "device": PCI, "vlan": 5},
    ),
    "any function": (
        held("sriov", functions=(given("", {}),)),
        {"type": "sriov", "device": PCI, "kind": "generic", "mac": None},
    ),
    "vhost-user, the guest listens": (
        held(
            "ovs",
            SHARED,
            ports=(
                port(
                    "vhu0",
                    type="dpdkvhostuserclient",
                    options={"vhost-server-path": "/run/vhu"},
                    mtu_request=9000,
                ),
            ),
        ),
        {
            "type": "openvswitch-vhostuser",
            "bridge": "br-int",
            "mode": "server",
            "path": "/run/vhu",
            "name": "vhu0",
            "datapath": "netdev",
            "network": {"mtu": 9000},
        },
    ),
    "vhost-user, the guest connects": (
        held("ovs", SHARED, ports=(port("vhu0", type="dpdkvhostuser", mtu_request=1500),)),
        {
            "type": "openvswitch-vhostuser",
            "bridge": "br-int",
            "mode": "client",
            "name": "vhu0",
            "datapath": "netdev",
            **NETWORK,
        },
    ),
    "limits": (
        held(
            "ovs",
            {},
            links=(link("tap", "tap0", "ovs", mac=MAC),),
            ports=(
                port(
                    "tap0",
                    settings={
                        "tag": 9,
                        "max_rate": 10_000_000,
                        "ingress_policing_rate": 5000,
                        "ingress_policing_burst": 1048,
                    },
                    ids={
                        "os-vif-set": '{"max_rate": 1, "ingress_policing_rate": 1, '
                        '"ingress_policing_burst": 1}'
                    },
                ),
            ),
        ),
        {
            "type": "openvswitch",
            "bridge": "br-int",
            "name": "tap0",
            "rate_to_guest": 10_000_000,
            "rate_from_guest": 5_000_000,
            "burst_from_guest": 131_000,
            **NETWORK,
        },
    ),
    "trunk of Neutron's": (
        held(
            "ovs",
            links=(link("tap", "tap0", "ovs", mac=MAC),),
            bridges=(BridgeRow("tbr-12345678-9", "system"),),
            ports=(PortRow("tap0", "tbr-12345678-9", external_ids=IDS),),
        ),
        {
            "type": "openvswitch",
            "bridge": "tbr-12345678-9",
            "name": "tap0",
            "datapath": "system",
            **NETWORK,
        },
    ),
    "representor": (
        held(
            "ovs",
            links=(link("", "eth5", "ovs"),),
            ports=(port("eth5"),),
            represented=((PCI, "eth5", "eth5", 1500),),
        ),
        {"type": "openvswitch-hostdev", "bridge": "br-int", "device": PCI, **NETWORK},
    ),
    "representor under another name": (
        held(
            "ovs",
            links=(link("", "tap7", "ovs"),),
            ports=(port("tap7"),),
            represented=((PCI, "tap7", "eth5", 1500),),
        ),
        {
            "type": "openvswitch-hostdev",
            "bridge": "br-int",
            "device": PCI,
            "name": "tap7",
            **NETWORK,
        },
    ),
    "fast path on a bridge": (
        held("vhostuser_fp", links=(link("tap", "vhu0", **FP, master="br0"),)),
        {
            "type": "fastpath-bridge",
            "bridge": "br0",
            "mode": "client",
            "path": "/run/vhu",
            "name": "vhu0",
            **NETWORK,
        },
    ),
    "fast path by itself": (
        held(
            "vhostuser_fp",
            links=(link("tap", "vhu0", **{**FP, "note": "connects=/run/vhu"}, master=None),),
        ),
        {
            "type": "fastpath-tap",
            "mode": "server",
            "path": "/run/vhu",
            "name": "vhu0",
            **NETWORK,
        },
    ),
    "fast path on Open vSwitch": (
        held("vhostuser_fp", links=(link("tap", "vhu0", **FP),), ports=(port("vhu0"),)),
        {
            "type": "fastpath-openvswitch",
            "bridge": "br-int",
            "mode": "client",
            "path": "/run/vhu",
            "name": "vhu0",
            **NETWORK,
        },
    ),
    "fast path, routed": (
        held(
            "vhostuser_fp",
            links=(link("tap", "vhu0", **FP, master=None, proxy_arp=True),),
            routes=(
                HostRoute(device="vhu0", destination="192.0.2.10/32"),
                HostRoute(device="vhu0", destination="10.7.0.0/16", gateway="192.0.2.10"),
            ),
        ),
        {
            "type": "fastpath-tap",
            "mode": "client",
            "path": "/run/vhu",
            "name": "vhu0",
            "network": {
                **NETWORK["network"],
                "subnets": [
                    {
                        "cidr": "192.0.2.10/32",
                        "addresses": ["192.0.2.10"],
                        "routes": [{"to": "10.7.0.0/16", "via": "192.0.2.10"}],
                    }
                ],
            },
        },
    ),
    "fast path, filtered": (
        held(
            "vhostuser_fp",
            links=(
                link("tap", "vhu0", **FP, master="qbr5f4ab6c1-ca"),
                link("bridge", "qbr5f4ab6c1-ca", "vhostuser_fp"),
                link("veth", "qvb5f4ab6c1-ca", "vhostuser_fp"),
                link("veth", "qvo5f4ab6c1-ca", "vhostuser_fp"),
            ),
            ports=(port("qvo5f4ab6c1-ca"),),
        ),
        {
            "type": "fastpath-openvswitch",
            "bridge": "br-int",
            "mode": "client",
            "path": "/run/vhu",
            "hybrid": True,
            "name": "vhu0",
            **NETWORK,
        },
    ),
}


def said_of(item: Held) -> dict[str, Any]:
    """Return what the first type that knows the VIF says of it."""
    for row in types.all_types().values():
        if row.plugin == item.mark.plugin and row.held is not None:
            told = row.held(item)
            if told is not None:
                return {"type": row.name, **told.values}
    raise AssertionError("no type knows it")


@pytest.mark.parametrize("case", CASES)
def test_what_is_held_is_what_was_said(case: str) -> None:
    item, expected = CASES[case]
    expected = {key: value for key, value in {**COMMON, **expected}.items() if value is not None}
    said = said_of(item)
    assert said == expected
    batch = reader.Batch()
    reader.read_text("x", repr(said).replace("True", "true").replace("False", "false"), batch)
    assert batch.problems == []
    [entry] = batch.entries
    assert (entry.vif.id, entry.vif.plugin) == (ID, item.mark.plugin)


REFUSED = {
    "port profile": (
        held(
            "macvtap",
            links=(link("macvtap", "m", "macvtap", "vsi=1.2", mode="vepa", link="eth1"),),
        ),
        "which VSI it is, 'vsi=1.2' does not say",
    ),
    "profile of a switch": (
        held(
            "macvtap",
            links=(link("macvtap", "m", "macvtap", "port-profile=eth1", mode="vepa", link="eth1"),),
        ),
        "eth1 does not tell its port profile",
    ),
    "VLAN of a function": (
        held(
            "macvtap",
            links=(link("macvtap", "m", "macvtap", "vf-vlan=x", mode="passthru", link="eth1"),),
        ),
        "the VLAN of a function",
    ),
    "elsewhere": (
        held("macvtap", links=(link("macvtap", "m", "macvtap", mode="vepa", link=5),)),
        "in another network namespace",
    ),
    "function gone": (
        held("sriov", functions=(SimpleNamespace(mark=FunctionMark(PCI, ID), function=None),)),
        "0000:03:10.2 is gone",
    ),
    "port of DPDK": (held("ovs", ports=(port("vfr0", type="dpdk"),)), "no mark tells"),
    "two ports": (held("ovs", ports=(port("a"), port("b"))), "it has 2 ports"),
    "rules alone": (held("linux_bridge", comments=("x",)), "and no tap"),
    "no bridge": (
        held("linux_bridge", links=(link("tap", "tap0", "linux_bridge", master=None),)),
        "tap0 is on no bridge",
    ),
    "another MAC": (
        held("tap", links=(link("tap", "tap0", "tap", mac="02:00:00:00:00:01"),)),
        "which no plug gave it",
    ),
    "no note": (held("vhostuser_fp", links=(link("tap", "vhu0", "vhostuser_fp"),)), "not here"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_told_is_refused(case: str) -> None:
    item, words = REFUSED[case]
    with pytest.raises(NotTold, match=words):
        said_of(item)


def test_what_needs_privilege_is_not_taken_for_absent() -> None:
    tap = link("tap", "tap0", "linux_bridge", master="br0")
    shared = {"br0": (Bridge(name="br0"),)}
    row = types.all_types()["bridge"]
    assert row.held is not None
    for privileged in (True, False):
        item = Held(
            mark=Mark(ID, "linux_bridge"),
            parts={"links": (tap,)},
            shared=shared,
            privileged=privileged,
        )
        told = row.held(item)
        assert told is not None
        assert told.values.get("filtered", False) is privileged
        assert any("with privilege" in words for words in told.unknown) is not privileged


def test_every_type_that_marks_a_host_has_the_way_back() -> None:
    without = [row.name for row in types.all_types().values() if row.held is None]
    assert [name for name in without if name != "vxlan"] == ["vhostuser"]
    assert parse_mark(str(Mark(ID, "tap"))) is not None
