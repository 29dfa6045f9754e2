# SPDX-License-Identifier: Apache-2.0
"""Kuryr's way of a DPDK port nested in a guest: made, sent, bound and released; prints what came.

The controller's conversion, the CNI's ``connect`` and ``disconnect``, the binding driver and the
plugin `noop` are Kuryr's own. Stand-ins: the guest's /sys, its list of devices, and Kubernetes.
"""

import json
import os
import sys
import types
from pathlib import Path

from kuryr_kubernetes import os_vif_util
from kuryr_kubernetes.cni.binding import base, dpdk
from kuryr_kubernetes.objects import vif as kuryr_vif
from openstack.network.v2 import network, port, subnet

import os_vif
from os_vif import objects

os_vif.initialize()

PORT = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
NETWORK = "437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7"
SUBNET = "2f37d7f6-e51a-4a1f-8b6e-b0917ffc8390"
MAC = "fa:16:3e:12:34:56"
PCI = "0000:00:05.0"
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {
        "name": "web",
        "namespace": "default",
        "resourceVersion": "7",
        "labels": {"app": "web"},
    },
}
INSTANCE = objects.instance_info.InstanceInfo(uuid=PORT, name="web")


def converted():
    pods = os_vif_util.neutron_to_osvif_network(network.Network(id=NETWORK, name="pods", mtu=1442))
    pods.subnets.objects.append(
        os_vif_util.neutron_to_osvif_subnet(
            subnet.Subnet(
                cidr="192.0.2.0/24", dns_nameservers=[], gateway_ip="192.0.2.1", host_routes=[]
            )
        )
    )
    made = port.Port(
        id=PORT,
        mac_address=MAC,
        network_id=NETWORK,
        fixed_ips=[{"subnet_id": SUBNET, "ip_address": "192.0.2.7"}],
        status="ACTIVE",
        binding_vif_details={"port_filter": True},
    )
    return os_vif_util.neutron_to_osvif_vif_dpdk(made, {SUBNET: pods}, POD)


def travelled(thing):
    wire = json.loads(json.dumps(thing.obj_to_primitive()))
    return objects.base.VersionedObject.obj_from_primitive(wire)


def a_guests_sys(folder):
    """Make the files of one virtio card, which the driver links to and writes into."""
    device = folder / "devices" / PCI
    (device / "virtio3").mkdir(parents=True)
    for path, target in (
        ("net/eth1/device", "../../virtio/virtio3"),
        ("virtio/virtio3", f"../devices/{PCI}/virtio3"),
        (f"pci/{PCI}", f"../devices/{PCI}"),
        (f"devices/{PCI}/driver", "../../drivers/virtio-pci"),
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(target)
    for driver in ("virtio-pci", "uio_pci_generic"):
        (folder / "drivers" / driver).mkdir(parents=True)
    dpdk.NET_DEV_PATH = f"{folder}/net/{{}}/device"
    dpdk.VIRTIO_DEVS_PATH = f"{folder}/virtio"
    dpdk.PCI_PATH = f"{folder}/pci"
    dpdk.PCI_DRVS_PATH = f"{folder}/drivers"


class Devices:
    interfaces = types.MappingProxyType({"eth1": {"address": MAC, "ifname": "eth1"}})

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Kubernetes:
    """Hold one pod and its KuryrPort."""

    def __init__(self, vif):
        self.status = {"vifs": {"eth1": {"default": False, "vif": vif.obj_to_primitive()}}}

    def get(self, path):
        if "kuryrports" in path:
            return {"metadata": {"selflink": path}, "status": self.status}
        return POD

    def patch_crd(self, field, path, data):
        self.status = data

    def annotate(self, path, annotations, resource_version):
        self.annotations = annotations


vif = converted()
state = travelled(kuryr_vif.PodState(default_vif=converted(), additional_vifs={"eth1": vif}))
received = state.additional_vifs["eth1"]
folder = Path("sys").resolve()
a_guests_sys(folder)
kubernetes = Kubernetes(vif)
dpdk.clients.get_kubernetes_client = lambda: kubernetes
base.get_ipdb = lambda netns=None: Devices()
# Kuryr 10.0.0 spells an argument of os.makedirs wrongly, so its last step never worked.
makedirs = os.makedirs
dpdk.os = types.SimpleNamespace(
    **{**vars(os), "makedirs": lambda path, exists_ok: makedirs(path, exist_ok=exists_ok)}
)
dpdk.CONF.set_override("pci_mount_point", str(folder / "addresses"), group="nested_dpdk")

os_vif.plug(received, INSTANCE)
base.connect(received, INSTANCE, "eth1", netns="/proc/self/ns/net", container_id="c0ffee")
written = {
    name: (folder / name).read_text()
    for name in (
        "drivers/virtio-pci/unbind",
        "drivers/uio_pci_generic/bind",
        f"devices/{PCI}/driver_override",
        "addresses/c0ffee-eth1",
    )
}
bound = travelled(received)
base.disconnect(received, INSTANCE, "eth1", netns="/proc/self/ns/net", container_id="c0ffee")

plain = objects.vif.VIFNestedDPDK(
    id=PORT,
    address=MAC,
    plugin="noop",
    vif_name="eth1",
    pci_address=PCI,
    dev_driver="virtio-pci",
    port_profile=objects.vif.VIFPortProfileK8sDPDK(
        l3_setup=False, selflink="/api/v1/namespaces/default/pods/web", resourceversion="7"
    ),
)
os_vif.plug(plain, INSTANCE)
os_vif.unplug(plain, INSTANCE)
older = objects.vif.VIFPortProfileK8sDPDK(l3_setup=True, selflink="/x", resourceversion="7")
result = {
    "converted": vif.obj_to_primitive(),
    "pod state": state.obj_to_primitive(),
    "bound": bound.obj_to_primitive(),
    "written": written,
    "left": sorted(os.listdir(folder / "addresses")),
    "KuryrPort": kubernetes.status,
    "os_vif's own": travelled(plain).obj_to_primitive(),
    "profile 1.0": older.obj_to_primitive(target_version="1.0"),
    "needs l3": base._need_configure_l3(plain),
}
json.dump(result, sys.stdout)
