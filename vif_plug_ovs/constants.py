# SPDX-License-Identifier: Apache-2.0
"""Constants of the Open vSwitch plugin, under the names callers know."""

from os_vif.host.openvswitch import resources as switch
from os_vif.plugins import ovs_names

PLUGIN_NAME = ovs_names.PLUGIN_NAME

OVS_DATAPATH_SYSTEM = ovs_names.DATAPATH_SYSTEM
OVS_DATAPATH_NETDEV = ovs_names.DATAPATH_NETDEV

OVS_DPDK_INTERFACE_TYPE = ovs_names.INTERFACE_DPDK
OVS_VHOSTUSER_INTERFACE_TYPE = ovs_names.INTERFACE_VHOST_USER
OVS_VHOSTUSER_CLIENT_INTERFACE_TYPE = ovs_names.INTERFACE_VHOST_USER_CLIENT

OVS_VHOSTUSER_PREFIX = ovs_names.VHOST_USER_PREFIX
TRUNK_BR_PREFIX = ovs_names.TRUNK_BRIDGE_PREFIX

DEAD_VLAN = switch.DEAD_VLAN
