# SPDX-License-Identifier: Apache-2.0
"""Zun's conversion of Neutron ports, and its container's VIF state; prints primitives."""

import json
import sys

import zun.conf
from zun.cni import utils
from zun.common import consts
from zun.network import os_vif_util
from zun.objects import container
from zun.objects import vif as zun_vif

import os_vif

os_vif.initialize()
zun.conf.CONF.set_override("ovs_bridge", "br-int", group="neutron")

SUBNET = "2f37d7f6-e51a-4a1f-8b6e-b0917ffc8390"
NETWORK = {
    "id": "437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7",
    "name": "containers",
    "mtu": 1442,
    "provider:network_type": "vlan",
    "provider:segmentation_id": 1234,
}
SUBNETS = {
    SUBNET: {
        "cidr": "192.0.2.0/24",
        "dns_nameservers": ["9.9.9.9"],
        "gateway_ip": "192.0.2.1",
        "host_routes": [{"destination": "203.0.113.0/24", "nexthop": "192.0.2.254"}],
    }
}


def convert(**details):
    port = {
        "id": "b679325f-ca89-4ee0-a8be-6db1409b69ea",
        "mac_address": "fa:16:3e:12:34:56",
        "fixed_ips": [{"subnet_id": SUBNET, "ip_address": "192.0.2.7"}],
        "status": "ACTIVE",
        "binding:vif_details": {"port_filter": True, **details},
    }
    return os_vif_util.neutron_to_osvif_vif("ovs", port, NETWORK, SUBNETS)


vifs = {"ovs": convert(), "ovs hybrid": convert(ovs_hybrid_plug=True)}
state = zun_vif.VIFState(default_vif=vifs["ovs"], additional_vifs={"eth1": vifs["ovs hybrid"]})
wire = json.loads(json.dumps(state.obj_to_primitive()))
read_back = utils.get_vifs(container.Container(cni_metadata={consts.CNI_METADATA_VIF: wire}))
vifs |= {f"read back {name}": vif for name, vif in read_back.items()}
json.dump({name: vif.obj_to_primitive() for name, vif in vifs.items()}, sys.stdout)
