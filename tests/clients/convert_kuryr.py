# SPDX-License-Identifier: Apache-2.0
"""Kuryr's conversion of Neutron ports, its own VIFs and its pod state; prints primitives."""

import json
import sys

from kuryr_kubernetes import config, os_vif_util
from kuryr_kubernetes.objects import vif as kuryr_vif
from openstack.network.v2 import network, port, subnet

import os_vif

os_vif.initialize()
config.CONF.set_override("ovs_bridge", "br-int", group="neutron_defaults")
config.CONF.set_override("mount_point", "/run/vhost", group="vhostuser")

PORT = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
NETWORK = "437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7"
SUBNET = "2f37d7f6-e51a-4a1f-8b6e-b0917ffc8390"

os_network = os_vif_util.neutron_to_osvif_network(
    network.Network(
        id=NETWORK,
        name="pods",
        mtu=1442,
        provider_network_type="vlan",
        provider_segmentation_id=1234,
    )
)
os_network.subnets.objects.append(
    os_vif_util.neutron_to_osvif_subnet(
        subnet.Subnet(
            cidr="192.0.2.0/24",
            dns_nameservers=["9.9.9.9"],
            gateway_ip="192.0.2.1",
            host_routes=[{"destination": "203.0.113.0/24", "nexthop": "192.0.2.254"}],
        )
    )
)
SUBNETS = {SUBNET: os_network}


def os_port(**details):
    return port.Port(
        id=PORT,
        mac_address="fa:16:3e:12:34:56",
        network_id=NETWORK,
        fixed_ips=[{"subnet_id": SUBNET, "ip_address": "192.0.2.7"}],
        status="ACTIVE",
        binding_vif_details={"port_filter": True, **details},
    )


def convert(**details):
    return os_vif_util.neutron_to_osvif_vif("ovs", os_port(**details), SUBNETS)


vlan = os_vif_util.neutron_to_osvif_vif_nested_vlan(os_port(), SUBNETS, vlan_id=7)
ovs = convert()
vhost_user = convert(vhostuser_mode="server")

# Another distribution's plugin of the name `noop`, and a VIF class no plugin of ours has heard of.
os_vif.plug(vlan, os_vif.objects.instance_info.InstanceInfo(name="pod"))
os_vif.unplug(vlan, os_vif.objects.instance_info.InstanceInfo(name="pod"))

state = kuryr_vif.PodState(default_vif=ovs, additional_vifs={"eth1": vlan})
wire = json.loads(json.dumps(state.obj_to_primitive()))
back = os_vif.objects.base.VersionedObject.obj_from_primitive(wire)
vifs = {"ovs": ovs, "ovs hybrid": convert(ovs_hybrid_plug=True), "vhost-user": vhost_user}
vifs |= {"nested VLAN": vlan, "pod state": state, "pod state read back": back}
json.dump({name: vif.obj_to_primitive() for name, vif in vifs.items()}, sys.stdout)
