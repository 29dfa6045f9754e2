# SPDX-License-Identifier: Apache-2.0
"""What a switch is to be told of a VIF's port, from the VIF's 802.1Qbg or 802.1Qbh profile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_config import cfg

from os_vif import objects
from os_vif.engine.checks import mac_address
from os_vif.host.port_profiles.resources import (
    ANY_VLAN,
    SECONDS,
    VSI_NUMBERS,
    PortProfileQbg,
    PortProfileQbh,
    Vsi,
    canonical_uuid,
    profile_name,
    vsi_number,
    vsi_vlan,
)
from os_vif.plugin import optional, required

if TYPE_CHECKING:
    from os_vif.objects.host_info import HostPortProfileInfo
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase, VIFPortProfile8021Qbg, VIFPortProfile8021Qbh

# lldpad and the switch may agree on longer; 10.5 s and half as much again is what they begin with.
TIMEOUT_OPT = cfg.IntOpt(
    "port_profile_timeout",
    default=20,
    min=1,
    max=SECONDS,
    help="Seconds a switch may take to answer about an 802.1Qbg or 802.1Qbh port profile.",
)


def supported() -> list[HostPortProfileInfo]:
    """Return the profiles that :func:`resource_of` takes."""
    return [
        objects.host_info.HostPortProfileInfo(
            profile_object_name=profile.obj_name(), min_version="1.0", max_version=profile.VERSION
        )
        for profile in (objects.vif.VIFPortProfile8021Qbg, objects.vif.VIFPortProfile8021Qbh)
    ]


def resource_of(
    vif: VIFBase,
    instance_info: InstanceInfo | None,
    *,
    link: str = "",
    behind: str = "",
    timeout: int,
) -> PortProfileQbg | PortProfileQbh | None:
    """Return what the switch is to be told of a VIF; None where it has neither profile.

    :param link: the NIC (never a VLAN device on it); or else
    :param behind: its PCI address
    :param timeout: seconds the switch may take, the value of :data:`TIMEOUT_OPT`
    :raises InvalidField: a value of the profile cannot be used
    """
    profile = optional(vif, "port_profile")
    if isinstance(profile, objects.vif.VIFPortProfile8021Qbg):
        return _qbg(vif, profile, link, behind, timeout)
    if isinstance(profile, objects.vif.VIFPortProfile8021Qbh):
        return PortProfileQbh(
            link=link,
            behind=behind,
            profile=profile_name(required(profile, "profile_id"), _field(profile, "profile_id")),
            instance=_guest(instance_info),
            timeout=timeout,
        )
    return None


def _qbg(
    vif: VIFBase, profile: VIFPortProfile8021Qbg, link: str, behind: str, timeout: int
) -> PortProfileQbg:
    network = optional(vif, "network")
    vlan = optional(network, "vlan", ANY_VLAN) if network else ANY_VLAN
    manager, kind, version = (
        vsi_number(required(profile, field), _field(profile, field), largest)
        for field, largest in zip(
            ("manager_id", "type_id", "type_id_version"), VSI_NUMBERS.values(), strict=True
        )
    )
    return PortProfileQbg(
        link=link,
        behind=behind,
        timeout=timeout,
        vsi=Vsi(
            manager=manager,
            type=kind,
            version=version,
            instance=canonical_uuid(
                required(profile, "instance_id"), _field(profile, "instance_id")
            ),
            mac=mac_address(required(vif, "address"), f"{vif.obj_name()}.address"),
            vlan=vsi_vlan(vlan, "network.vlan"),
        ),
    )


def _field(profile: VIFPortProfile8021Qbg | VIFPortProfile8021Qbh, name: str) -> str:
    return f"{profile.obj_name()}.{name}"


def _guest(instance_info: InstanceInfo | None) -> str:
    uuid = optional(instance_info, "uuid", "") if instance_info else ""
    return canonical_uuid(uuid, "instance_info.uuid") if uuid else ""
