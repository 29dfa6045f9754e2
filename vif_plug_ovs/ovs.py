# SPDX-License-Identifier: Apache-2.0
"""The port names of the Open vSwitch plugin, under the class callers know."""

from os_vif.plugins import ovs_names


class OvsPlugin:
    """The naming rule as callers reach it."""

    gen_port_name = staticmethod(ovs_names.gen_port_name)
