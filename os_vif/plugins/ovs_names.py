# SPDX-License-Identifier: Apache-2.0
"""Names and numbers an Open vSwitch host is known by.

Operators, Neutron and hosts plugged by earlier releases rely on them: none may ever change.
"""

PLUGIN_NAME = "ovs"

DATAPATH_SYSTEM = "system"
DATAPATH_NETDEV = "netdev"

# Interface types of ovs-vswitchd.conf.db(5).
INTERFACE_DPDK = "dpdk"
INTERFACE_VHOST_USER = "dpdkvhostuser"
INTERFACE_VHOST_USER_CLIENT = "dpdkvhostuserclient"

VHOST_USER_PREFIX = "vhu"
DPDK_REPRESENTOR_PREFIX = "vfr"
TRUNK_BRIDGE_PREFIX = "tbr-"

PORT_NAME_LENGTH = 14
"""In characters; the kernel takes 15 (IFNAMSIZ without the final NUL)."""

PATCH_NAME_LENGTH = 64
"""In characters; a patch port is no device of the kernel's."""


def gen_port_name(prefix: str, vif_id: str, max_length: int = PORT_NAME_LENGTH) -> str:
    """Return the first ``max_length`` characters of prefix and VIF id.

    >>> gen_port_name("vhu", "b679325f-ca89-4ee0-a8be-6db1409b69ea")
    'vhub679325f-ca'
    """
    return (prefix + vif_id)[:max_length]
