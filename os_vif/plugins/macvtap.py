# SPDX-License-Identifier: Apache-2.0
"""VIFDirect: a share of a network device, or all of it, as a macvtap.

``mode`` says how the share meets others on the same device: ``vepa`` sends all to the switch,
which must send back what is for a neighbour (hairpin); ``bridge`` hands that over itself;
``passthrough`` leaves no room for others.  A port profile is what the switch is told besides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from os_vif import exception, objects
from os_vif.engine.checks import mac_address, mtu_bytes, pci_address
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.functions import resources as functions
from os_vif.host.links import resources as links
from os_vif.plugin import TopologyPlugin, optional, required, tap_name
from os_vif.plugins import anti_spoofing, limits, port_profiles, tap_access

if TYPE_CHECKING:
    from os_vif.guest.card import End
    from os_vif.objects.host_info import HostPluginInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

PLUGIN_NAME = "macvtap"

_MODES = {"vepa": "vepa", "bridge": "bridge", "passthrough": "passthru"}
"""The kernel's word for each mode (ip-link(8))."""


class MacvtapPlugin(TopologyPlugin):
    """Makes the macvtap and, for a VLAN, the device below it, and tells the switch its profile."""

    CONFIG_OPTS: ClassVar[list[cfg.Opt]] = [
        cfg.BoolOpt(
            "all_multicast",
            default=True,
            help="Let all multicast in. Without it a guest hears only broadcasts and unicasts: "
            "no neighbour solicitations (IPv6), no mDNS. False leaves that to the hypervisor, such "
            "as libvirt with trustGuestRxFilters.",
        ),
        cfg.StrOpt(
            "tap_owner",
            default="",
            help="Name or number of the user who gets the character devices. Empty leaves them to "
            "root and udev.",
        ),
        cfg.StrOpt(
            "tap_group",
            default="",
            help="Name or number of the group that gets them too.",
        ),
        *tap_access.FOR_ONE,
        *limits.OPTS,
        *anti_spoofing.OPTS,
        port_profiles.TIMEOUT_OPT,
    ]

    def describe(self) -> HostPluginInfo:
        """VIFDirect, without a port profile or with one of IEEE 802.1Qbg or 802.1Qbh."""
        return objects.host_info.HostPluginInfo(
            plugin_name=PLUGIN_NAME,
            vif_info=[
                objects.host_info.HostVIFInfo(
                    vif_object_name=objects.vif.VIFDirect.obj_name(),
                    min_version="1.0",
                    max_version=objects.vif.VIFDirect.VERSION,
                    supported_port_profiles=port_profiles.supported(),
                )
            ],
        )

    def describe_host(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the macvtap, the VLAN device it stands on, and what the switch is told."""
        link, behind = _lower(vif)
        if not link and not behind:
            raise exception.InvalidField(
                field="VIFDirect.dev_address",
                value=None,
                expected="a PCI address, or else a network device in network.bridge_interface",
            )
        mode = str(required(vif, "mode"))
        if mode not in _MODES:
            raise exception.InvalidField(
                field="VIFDirect.mode", value=mode, expected=", ".join(_MODES)
            )
        if _function_vlan(vif) is None:
            _need_whole_vlan(vif)
        network = optional(vif, "network")
        mtu = optional(network, "mtu") if network else None
        vlan = _vlan(vif, link, behind)
        macvtap = links.Macvtap(
            name=tap_name(vif),
            mac=mac_address(required(vif, "address"), "VIFDirect.address"),
            mode=_MODES[mode],
            mtu=None if mtu is None else mtu_bytes(mtu, "network.mtu"),
            link=vlan.name if vlan else link,
            behind="" if vlan else behind,
            all_multicast=self.config.all_multicast,
            **tap_access.whose(self.config, vif),
        )
        limited = [
            *limits.on_device(self.config, vif, macvtap.name, guest_inside=True),
            *anti_spoofing.on_device(self.config, vif, macvtap.name, guest_inside=True),
        ]
        return self._topology(vif, instance_info, vlan, macvtap, *limited, card=(link, behind))

    def describe_remains(self, vif: VIFBase, instance_info: InstanceInfo | None) -> Topology:
        """Return the same, whatever the mode was."""
        link, behind = _lower(vif)
        vlan = _vlan(vif, link, behind) if link or behind else None
        mac = mac_address(required(vif, "address"), "VIFDirect.address")
        macvtap = links.Macvtap(name=tap_name(vif), mac=mac, mode="vepa", link=link, behind=behind)
        kept = anti_spoofing.remains(self.config, vif, macvtap.name)
        return self._topology(vif, instance_info, vlan, macvtap, *kept, card=(link, behind))

    def describe_guest_end(self, vif: VIFBase, topology: Topology | None) -> End:
        """Return the macvtap, and what libvirt would make in its place."""
        from os_vif.guest.card import Macvtap as MacvtapEnd
        from os_vif.guest.card import hypervisor_macvtap

        network = optional(vif, "network")
        return MacvtapEnd(
            device=tap_name(vif),
            mtu=optional(network, "mtu") if network else None,
            instead=hypervisor_macvtap(vif),
        )

    def _topology(
        self,
        vif: VIFBase,
        instance_info: InstanceInfo | None,
        vlan: links.Vlan | None,
        macvtap: links.Macvtap,
        *limited: Resource,
        card: tuple[str, str],
    ) -> Topology:
        resources: list[Resource] = [macvtap] if vlan is None else [vlan, macvtap]
        resources += limited
        function = _function_vlan(vif)
        resources += [function] if function is not None else []
        link, behind = card
        if link or behind:
            # The switch is asked through the card itself, never through a VLAN device on it.
            profile = port_profiles.resource_of(
                vif,
                instance_info,
                link=link,
                behind=behind,
                timeout=self.config.port_profile_timeout,
            )
            resources += [profile] if profile is not None else []
        return Topology(Mark.of(vif, PLUGIN_NAME, instance_info), tuple(resources))


def _lower(vif: VIFBase) -> tuple[str, str]:
    """Return the name of the device to share, or else its PCI address; '' for what is unset."""
    address = optional(vif, "dev_address")
    if address:
        return "", pci_address(address, "VIFDirect.dev_address")
    network = optional(vif, "network")
    return str(optional(network, "bridge_interface", "") if network else ""), ""


def _vlan(vif: VIFBase, link: str, behind: str) -> links.Vlan | None:
    """Return the VLAN device that the macvtap is to stand on; None for no VLAN."""
    name, tag = _vlan_words(vif)
    if name and tag is not None:
        return links.Vlan(name=name, link=link, behind=behind, vlan_id=tag, stays=False)
    return None


def _vlan_words(vif: VIFBase) -> tuple[str, int | None]:
    network = optional(vif, "network")
    return str(optional(vif, "vlan_name", "")), optional(network, "vlan") if network else None


def _function_vlan(vif: VIFBase) -> functions.FunctionVlan | None:
    """Return the VLAN of the virtual function that the guest gets; None where none can be meant.

    One on a card that is no virtual function has a name, as it is a device of its own.
    """
    name, tag = _vlan_words(vif)
    address = optional(vif, "dev_address")
    if name or tag is None or not address or optional(vif, "mode") != "passthrough":
        return None
    return functions.FunctionVlan(address=pci_address(address, "VIFDirect.dev_address"), vlan=tag)


def _need_whole_vlan(vif: VIFBase) -> None:
    """See that a VLAN has both its name and its id, or neither.

    :raises InvalidField: one is missing; the guest must not end up in another network than meant
    """
    name, tag = _vlan_words(vif)
    if name and tag is None:
        raise exception.InvalidField(
            field="network.vlan", value=None, expected=f"the VLAN id of {name} (vlan_name)"
        )
    if tag is not None and not name:
        raise exception.InvalidField(
            field="VIFDirect.vlan_name",
            value=name,
            expected=f"a name for the device of VLAN {tag} (network.vlan)",
        )
