# SPDX-License-Identifier: Apache-2.0
"""What people have already: files of Nova and Kuryr are read, of other tools are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.cli.specs import reader
from os_vif.cli.specs.refused import BadInput
from os_vif.objects import vif as vifs

ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
OTHER = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
MAC = "fa:16:3e:12:34:56"
NETWORK_ID = "437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7"
CLIENTS = json.loads((Path(__file__).parents[1] / "golden" / "clients.json").read_text())


@pytest.fixture(autouse=True)
def _objects() -> None:
    os_vif.initialize()


def read(text: str) -> list[reader.Entry]:
    batch = reader.Batch()
    reader.read_text("x", text, batch)
    if batch.problems:
        raise BadInput(batch.problems)
    return batch.entries


def problems(text: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        read(text)
    return [str(problem) for problem in caught.value.problems]


def nova(kind: str, details: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """Return a VIF as Nova's info_cache has it."""
    meta = fields.pop("meta", {"mtu": 1442, "injected": False, "tenant_id": "x"})
    subnet = {
        "cidr": "192.0.2.0/24",
        "dns": [{"address": "9.9.9.9", "type": "dns", "version": 4, "meta": {}}],
        "gateway": {"address": "192.0.2.1", "type": "gateway", "version": 4, "meta": {}},
        "ips": [{"address": "192.0.2.7", "type": "fixed", "floating_ips": [], "version": 4}],
        "routes": [{"cidr": "198.51.100.0/24", "gateway": {"address": "192.0.2.2"}}],
        "version": 4,
        "meta": {"dhcp_server": "192.0.2.3"},
    }
    network = {
        "id": NETWORK_ID,
        "bridge": "br-int",
        "label": "net1",
        "subnets": [subnet],
        "meta": meta,
    }
    return {
        "id": ID,
        "address": MAC,
        "network": network,
        "type": kind,
        "details": {"port_filter": True, **(details or {})},
        "devname": "tap5f4ab6c1-ca",
        "ovs_interfaceid": ID,
        "qbh_params": None,
        "qbg_params": None,
        "active": True,
        "vnic_type": "normal",
        "profile": {},
        "preserve_on_delete": False,
        "delegate_create": True,
        "meta": {},
        **fields,
    }


SLOT = {"pci_slot": "0000:03:10.2"}
NOVA: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "ovs": (
        nova("ovs", {"ovs_datapath_type": "system"}),
        vifs.VIFOpenVSwitch,
        {
            "vif_name": "tap5f4ab6c1-ca",
            "bridge_name": "br-int",
            "network.bridge": "br-int",
            "network.id": NETWORK_ID,
            "network.label": "net1",
            "network.mtu": 1442,
            "port_profile.interface_id": ID,
            "port_profile.create_port": True,
            "port_profile.create_tap": False,
            "port_profile.datapath_type": "system",
        },
    ),
    "the port is libvirt's": (
        nova("ovs", delegate_create=False),
        vifs.VIFOpenVSwitch,
        {"port_profile.create_port": False},
    ),
    "no name": (
        nova("ovs", devname=None, ovs_interfaceid=OTHER),
        vifs.VIFOpenVSwitch,
        {"vif_name": "nic5f4ab6c1-ca", "port_profile.interface_id": OTHER},
    ),
    "hybrid": (
        nova("ovs", {"ovs_hybrid_plug": True}),
        vifs.VIFBridge,
        {"bridge_name": "qbr5f4ab6c1-ca", "plugin": "ovs"},
    ),
    "representor": (
        nova("ovs", vnic_type="direct", profile=SLOT),
        vifs.VIFHostDevice,
        {"dev_address": "0000:03:10.2", "plugin": "ovs", "network.bridge": "br-int"},
    ),
    "vhost-user": (
        nova(
            "vhostuser",
            {
                "vhostuser_ovs_plug": True,
                "vhostuser_mode": "server",
                "vhostuser_socket": "/run/vhu",
            },
        ),
        vifs.VIFVHostUser,
        {"vif_name": "vhu5f4ab6c1-ca", "mode": "server", "path": "/run/vhu", "plugin": "ovs"},
    ),
    "another program's socket": (
        nova("vhostuser", {"vhostuser_socket": "/run/vhu"}),
        vifs.VIFVHostUser,
        {"mode": "server", "plugin": "noop"},
    ),
    "fast path": (
        nova(
            "vhostuser",
            {
                "vhostuser_fp_plug": True,
                "vhostuser_ovs_plug": True,
                "ovs_hybrid_plug": True,
                "vhostuser_socket": "/run/vhu",
            },
        ),
        vifs.VIFVHostUser,
        {
            "plugin": "vhostuser_fp",
            "port_profile.hybrid_plug": True,
            "port_profile.bridge_name": "qbr5f4ab6c1-ca",
        },
    ),
    "fast path on a bridge": (
        nova("vhostuser", {"vhostuser_fp_plug": True, "vhostuser_socket": "/run/vhu"}),
        vifs.VIFVHostUser,
        {"plugin": "vhostuser_fp", "port_profile.bridge_name": "br-int"},
    ),
    "bridge": (
        nova("bridge"),
        vifs.VIFBridge,
        {
            "plugin": "linux_bridge",
            "bridge_name": "br-int",
            "has_traffic_filtering": True,
            "network.should_provide_bridge": False,
        },
    ),
    "bridge that is made": (
        nova(
            "bridge",
            {"port_filter": False},
            meta={
                "should_create_bridge": True,
                "should_create_vlan": True,
                "vlan": 7,
                "bridge_interface": "eth1",
            },
        ),
        vifs.VIFBridge,
        {
            "has_traffic_filtering": False,
            "network.should_provide_bridge": True,
            "network.should_provide_vlan": True,
            "network.vlan": 7,
            "network.bridge_interface": "eth1",
        },
    ),
    "virtual function": (
        nova("hw_veb", {"vlan": 7}, vnic_type="direct", profile=SLOT),
        vifs.VIFHostDevice,
        {"plugin": "sriov", "network.vlan": 7, "dev_address": "0000:03:10.2"},
    ),
    "its macvtap": (
        nova("hw_veb", {"vlan": 7}, vnic_type="macvtap", profile=SLOT),
        vifs.VIFDirect,
        {"plugin": "macvtap", "mode": "passthrough", "network.vlan": 7},
    ),
    "port profile": (
        nova(
            "802.1qbh",
            vnic_type="macvtap",
            profile=SLOT,
            qbh_params={"profileid": "web"},
        ),
        vifs.VIFDirect,
        {"port_profile.profile_id": "web"},
    ),
    "tap": (nova("tap"), vifs.VIFGeneric, {"plugin": "tap"}),
    "macvtap": (
        nova("macvtap", {"macvtap_source": "eth1", "macvtap_mode": "bridge"}),
        vifs.VIFDirect,
        {"mode": "bridge", "network.bridge_interface": "eth1"},
    ),
}


@pytest.mark.parametrize("case", NOVA)
def test_what_nova_has(case: str) -> None:
    said, cls, expected = NOVA[case]
    [entry] = read(json.dumps([said]))
    vif: Any = entry.vif
    assert type(vif) is cls
    assert (vif.id, str(vif.address)) == (ID, MAC)
    for path, value in expected.items():
        found = vif
        for name in path.split("."):
            found = getattr(found, name)
        assert found == value, path
    [subnet] = vif.network.subnets
    assert str(subnet.cidr) == "192.0.2.0/24"
    assert [str(it.address) for it in subnet.ips] == ["192.0.2.7"]
    assert [str(it.gateway) for it in subnet.routes] == ["192.0.2.2"]
    assert (str(subnet.gateway), str(subnet.dhcp_server)) == ("192.0.2.1", "192.0.2.3")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (nova("unbound"), "[0].type: 'unbound': Neutron has not bound this port to a host"),
        (nova("vrouter"), "[0].type: nothing here plugs what Nova calls 'vrouter'"),
        (nova("ovs", vnic_type="remote-managed"), "[0].vnic_type: 'remote-managed': of Nova's"),
        (nova("ovs", vnic_type="direct"), "[0].profile.pci_slot: missing; Nova has the device"),
        (nova("vhostuser"), "[0].details.vhostuser_socket: missing"),
        (nova("802.1qbh", profile=SLOT), "[0].vnic_type: of Nova's type 802.1qbh only macvtap"),
        (nova("ovs", colour="red"), "[0].colour: unknown in a VIF of Nova's network_info"),
        (nova("ovs", address="01:00:00:00:00:01"), "[0].mac: '01:00:00:00:00:01' cannot be used"),
    ],
)
def test_what_nova_has_and_nobody_plugs_here(said: dict[str, Any], words: str) -> None:
    assert any(words in problem for problem in problems(json.dumps([said])))


PRIMITIVE = next(
    found
    for found in CLIENTS["kuryr"].values()
    if found["versioned_object.name"] == "VIFOpenVSwitch"
)
SECOND = json.loads(json.dumps(PRIMITIVE))
SECOND["versioned_object.data"]["id"] = OTHER
STATUS = {"eth0": {"default": True, "vif": PRIMITIVE}, "eth1": {"default": False, "vif": SECOND}}
PORT = {
    "apiVersion": "openstack.org/v1",
    "kind": "KuryrPort",
    "spec": {},
    "status": {"vifs": STATUS},
}
STATE = {
    "versioned_object.name": "PodState",
    "versioned_object.namespace": "kuryr_kubernetes",
    "versioned_object.version": "1.0",
    "versioned_object.data": {"default_vif": PRIMITIVE, "additional_vifs": {"eth1": SECOND}},
}


@pytest.mark.parametrize(
    ("document", "root"),
    [
        ({"eth0": PRIMITIVE, "eth1": SECOND}, "eth0"),
        ([PRIMITIVE, SECOND], "[0]"),
        (STATUS, "eth0.vif"),
        ({"vifs": STATUS}, "vifs.eth0.vif"),
        (PORT, "status.vifs.eth0.vif"),
        ({"apiVersion": "v1", "kind": "List", "items": [PORT]}, "items[0].status.vifs.eth0.vif"),
        (STATE, "versioned_object.data.default_vif"),
    ],
)
def test_what_kuryr_has(document: Any, root: str) -> None:
    entries = read(json.dumps(document))
    first = PRIMITIVE["versioned_object.data"]["id"]
    assert [str(entry.vif.id) for entry in entries] == [first, OTHER]
    assert entries[0].root == root


def test_what_is_kuryrs_alone_is_refused_with_its_place() -> None:
    nested = json.loads(json.dumps(PRIMITIVE))
    nested["versioned_object.namespace"] = "kuryr_kubernetes"
    said = problems(json.dumps({"eth0": nested}))
    assert "eth0.versioned_object.namespace: 'kuryr_kubernetes' is another project's" in said[0]


BRIDGE = "bridge: br0\nmac: 52:54:00:12:34:56\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("type: ovs\n" + BRIDGE, "there is no type 'ovs'; did you mean 'openvswitch'?"),
        ("type: linuxbridge\n" + BRIDGE, "did you mean 'bridge'?"),
        ("type: OVS\n" + BRIDGE, "did you mean 'openvswitch'?"),
        ("vif_type: ovs\n" + BRIDGE, "x:1:1: vif_type: unknown field; did you mean 'type: openv"),
        (f"type: openvswitch\niface-id: {ID}\n{BRIDGE}", "did you mean 'interface_id'?"),
        (f"type: openvswitch\nattached-mac: {MAC}\nbridge: br0\n", "did you mean 'mac'?"),
        (f"type: bridge\nvm-uuid: {ID}\n{BRIDGE}", "did you mean 'instance.uuid'?"),
        (f"type: bridge\nmac_address: {MAC}\nbridge: br0\n", "did you mean 'mac'?"),
        ("bridge_mappings: physnet1:br-ex\n", "a setting of Neutron's agents"),
        ("tap0:\n  type: tap\n", "'tap0' is no field: the name of a device is said beside the"),
        ("interfaces:\n- name: eth0\n  type: ethernet\n", "a state of nmstate"),
        ("network:\n  version: 2\n  ethernets: {}\n", "a configuration of netplan"),
        ("services: {web: {image: x}}\n", "a file of docker compose"),
        ('{"cniVersion": "1.0.0", "name": "x", "type": "bridge"}', "a configuration of CNI"),
        ("<interface type='bridge'>\n</interface>\n", "this is XML, as libvirt has it"),
    ],
)
def test_another_tools_words(text: str, words: str) -> None:
    said = problems(text)
    assert any(words in problem for problem in said), said
    whole = not text.startswith(("type", "vif_type"))
    assert ("\n    type: bridge" in said[0]) == whole
