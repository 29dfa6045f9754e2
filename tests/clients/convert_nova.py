# SPDX-License-Identifier: Apache-2.0
"""Nova's conversion of its network model, run by Nova's own interpreter; prints primitives."""

import json
import sys

from nova import objects
from nova.network import model, os_vif_util

import os_vif

os_vif.initialize()
objects.register_all()

PORT = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
subnet = model.Subnet(
    cidr="192.0.2.0/24",
    dns=[model.IP(address="192.0.2.2", type="dns")],
    gateway=model.IP(address="192.0.2.1", type="gateway"),
    ips=[
        model.FixedIP(
            address="192.0.2.7", floating_ips=[model.IP(address="198.51.100.7", type="floating")]
        )
    ],
    routes=[
        model.Route(cidr="203.0.113.0/24", gateway=model.IP(address="192.0.2.254", type="gateway"))
    ],
)
network = model.Network(
    id="437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7",
    bridge="br-int",
    label="private",
    subnets=[subnet],
    mtu=1442,
)
OVS_SOCKET = {
    model.VIF_DETAILS_VHOSTUSER_MODE: "server",
    model.VIF_DETAILS_VHOSTUSER_SOCKET: "/run/vhu",
}
VIFS = {
    "ovs": model.VIF(type=model.VIF_TYPE_OVS, details={model.VIF_DETAILS_PORT_FILTER: True}),
    "ovs hybrid": model.VIF(
        type=model.VIF_TYPE_OVS, details={model.VIF_DETAILS_OVS_HYBRID_PLUG: True}
    ),
    "ovs direct": model.VIF(
        type=model.VIF_TYPE_OVS,
        vnic_type=model.VNIC_TYPE_DIRECT,
        profile={"pci_slot": "0000:03:00.1"},
    ),
    "vhost-user on ovs": model.VIF(
        type=model.VIF_TYPE_VHOSTUSER,
        details={**OVS_SOCKET, model.VIF_DETAILS_VHOSTUSER_OVS_PLUG: True},
    ),
    "vhost-user fast path": model.VIF(
        type=model.VIF_TYPE_VHOSTUSER,
        details={**OVS_SOCKET, model.VIF_DETAILS_VHOSTUSER_FP_PLUG: True},
    ),
    "vrouter": model.VIF(type=model.VIF_TYPE_VROUTER),
}

converted = {}
for name, vif in VIFS.items():
    vif.update(id=PORT, address="fa:16:3e:12:34:56", network=network, devname="tap-xxx-yyy-zzz")
    converted[name] = os_vif_util.nova_to_osvif_vif(vif).obj_to_primitive()
instance = objects.Instance(id=10, uuid="f0000000-0000-0000-0000-000000000001", project_id="p")
converted["instance"] = os_vif_util.nova_to_osvif_instance(instance).obj_to_primitive()
json.dump(converted, sys.stdout)
