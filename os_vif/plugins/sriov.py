# SPDX-License-Identifier: Apache-2.0
"""VIFHostDevice: a virtual function whose card does the switching, or any PCI device.

The settings of a virtual function are made through its physical function, so the guest cannot
change them.  The hypervisor takes the device from its driver (VFIO), unless ``bind_driver`` is set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from os_vif import exception, objects
from os_vif.engine.checks import mac_address, pci_address, pci_driver
from os_vif.engine.topology import Mark, Topology
from os_vif.host.functions import resources as functions
from os_vif.plugin import TopologyPlugin, optional, required

if TYPE_CHECKING:
    from os_vif.guest.card import End
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

PLUGIN_NAME = "sriov"

ETHERNET = "ethernet"


class SriovPlugin(TopologyPlugin):
    """Sets virtual functions, and gives PCI devices to the driver that a hypervisor needs."""

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.BoolOpt(
            "spoof_check",
            help="Have the card drop what a guest sends from another MAC address than its own. "
            "Unset leaves each virtual function as it is.",
        ),
        cfg.BoolOpt(
            "trust",
            help="Let guests use promiscuous mode and other MAC addresses. Unset leaves each "
            "virtual function as it is.",
        ),
        cfg.IntOpt(
            "min_tx_rate",
            min=0,
            help="Rate guaranteed to each guest in Mbit/s, 0 for none. Unset leaves it as it is.",
        ),
        cfg.IntOpt(
            "max_tx_rate",
            min=0,
            help="Limit of each guest's rate in Mbit/s, 0 for none. Unset leaves it as it is.",
        ),
        cfg.StrOpt(
            "link_state",
            choices=["auto", "enable", "disable"],
            help="The link that guests see: the port's (auto), always up (enable: guests of one "
            "card reach each other without the port) or down. Unset leaves it as it is.",
        ),
        cfg.StrOpt(
            "bind_driver",
            help="Driver to give devices to while they are plugged, such as vfio-pci. Unset leaves "
            "that to the hypervisor (libvirt's managed='yes').",
        ),
    ]

    def describe(self) -> HostPluginInfo:
        """VIFHostDevice, without a port profile."""
        return objects.host_info.HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=objects.vif.VIFHostDevice.obj_name(),
                    min_version="1.0",
                    max_version=objects.vif.VIFHostDevice.VERSION,
                    supported_port_profiles=[],
                )
            ],
        )

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the device and, of a virtual function, its settings."""
        resources = self._device(vif)
        if _is_ethernet(vif):
            network = optional(vif, "network")
            resources.append(
                functions.VirtualFunction(
                    address=resources[0].address,
                    mac=_mac(vif),
                    vlan=_vlan(optional(network, "vlan") if network is not None else None),
                    spoofchk=self.config.spoof_check,
                    trust=self.config.trust,
                    min_tx_rate=self.config.min_tx_rate,
                    max_tx_rate=self.config.max_tx_rate,
                    link_state=self.config.link_state,
                )
            )
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the device and, of a virtual function, all that may have been set."""
        resources = self._device(vif)
        if _is_ethernet(vif):
            # Taken back first: the host's own driver must not find the guest's address.
            check = self.config.spoof_check
            resources.append(
                functions.VirtualFunction(
                    address=resources[0].address, mac=_mac(vif), spoofchk=check
                )
            )
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))

    def describe_guest_end(self, vif: VIFBase, topology: Topology | None) -> End:
        """Return the function, which the hypervisor binds unless it is plugged so."""
        from os_vif.guest.card import Function

        [device, *_settings] = self._device(vif)
        network = optional(vif, "network") if _is_ethernet(vif) else None
        return Function(
            address=device.address,
            managed=not self.config.bind_driver,
            ethernet=_is_ethernet(vif),
            vlan=(_vlan(optional(network, "vlan")) if network is not None else 0) or None,
        )

    def _device(self, vif: VIFBase) -> list[functions.PciDevice | functions.VirtualFunction]:
        address = pci_address(required(vif, "dev_address"), "VIFHostDevice.dev_address")
        driver = self.config.bind_driver
        return [
            functions.PciDevice(
                address=address, driver=pci_driver(driver) if driver else "", mac=_mac(vif)
            )
        ]


def _is_ethernet(vif: VIFBase) -> bool:
    return bool(required(vif, "dev_type") == ETHERNET)


def _mac(vif: VIFBase) -> str:
    """Return the address of a virtual function; '' for a device that has no settings."""
    if not _is_ethernet(vif):
        return ""
    return mac_address(required(vif, "address"), "VIFHostDevice.address")


def _vlan(value: int | None) -> int:
    # In OpenStack a network without VLAN has none, or 0; 4095 is no VLAN either, but a mistake.
    if value is None or 0 <= value < 4095:
        return value or 0
    raise exception.InvalidField(
        field="network.vlan", value=value, expected="a VLAN id from 1 to 4094, or 0 for none"
    )
