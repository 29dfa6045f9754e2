# SPDX-License-Identifier: Apache-2.0
"""What a type checker says of callers: checked by mypy, never run.

A comment that ignores an error is an error itself where there is none (warn_unused_ignores).
"""

from __future__ import annotations

from os_vif.objects.fixed_ip import FixedIP, FixedIPList
from os_vif.objects.instance_info import InstanceInfo
from os_vif.objects.network import Network
from os_vif.objects.subnet import Subnet, SubnetList
from os_vif.objects.vif import VIFBridge, VIFOpenVSwitch, VIFPortProfileOpenVSwitch

SUBNET = Subnet(
    cidr="192.0.2.0/24",
    gateway="192.0.2.1",
    dns=["192.0.2.1"],
    ips=FixedIPList(objects=[FixedIP(address="192.0.2.5")]),
)
NETWORK = Network(bridge="br0", mtu=1500, vlan=None, subnets=SubnetList(objects=[SUBNET]))

VIFBridge()
VIFBridge(address="52:54:00:12:34:56", network=NETWORK, bridge_name="br0")
InstanceInfo(uuid="5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea", name="web")
VIFOpenVSwitch(network=NETWORK, port_profile=VIFPortProfileOpenVSwitch(create_tap=True))

VIFBridge(addres="52:54:00:12:34:56")  # type: ignore[call-arg]
VIFBridge(address=5)  # type: ignore[arg-type]
VIFBridge(network="br0")  # type: ignore[arg-type]
VIFBridge(hybrid_plug=True)  # type: ignore[call-arg]
VIFPortProfileOpenVSwitch(multiqueue="yes")  # type: ignore[arg-type]
