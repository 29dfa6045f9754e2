# SPDX-License-Identifier: Apache-2.0
"""The plugin for VIFs whose back end is another program's: it does nothing."""

from os_vif.objects.host_info import HostPluginInfo, HostVIFInfo
from os_vif.objects.instance_info import InstanceInfo
from os_vif.objects.vif import VIFBase, VIFVHostUser
from os_vif.plugin import PluginBase

PLUGIN_NAME = "noop"


class NoOpPlugin(PluginBase):
    """Takes whatever it is sent and leaves the host as it is."""

    def describe(self) -> HostPluginInfo:
        """VIFVHostUser, in every version. Other VIFs work too, but nobody should count on it."""
        return HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                HostVIFInfo(
                    vif_object_name=VIFVHostUser.obj_name(),
                    min_version="1.0",
                    max_version=VIFVHostUser.VERSION,
                    supported_port_profiles=[],
                )
            ],
        )

    def plug(self, vif: VIFBase, instance_info: InstanceInfo) -> None:
        """Nothing to make."""

    def unplug(self, vif: VIFBase, instance_info: InstanceInfo) -> None:
        """Nothing to take away."""
