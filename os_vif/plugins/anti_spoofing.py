# SPDX-License-Identifier: Apache-2.0
"""From which addresses guests may send: the same options for each plugin that can keep them to it.

Beside its MAC address those are the addresses that its network names (``subnets[].ips``), and what
else a guest was allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from oslo_config import cfg, types

from os_vif import exception
from os_vif.engine.checks import mac_address
from os_vif.host.anti_spoofing import resources
from os_vif.plugin import optional, required
from os_vif.plugins import routing

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource
    from os_vif.objects.vif import VIFBase

MODES = ("none", "mac", "ip")

OPTS = (
    cfg.StrOpt(
        "anti_spoofing",
        default="none",
        choices=[
            ("none", "Guests may send whatever they like."),
            ("mac", "From their own MAC addresses alone, in ARP and neighbour discovery too."),
            (
                "ip",
                "Also from their own IP addresses alone, as their networks name them; neither "
                "router advertisements nor what a DHCP server sends.",
            ),
        ],
        help="What guests are kept to; what else they send is dropped. Takes nftables in the "
        "kernel (Linux 5.10; of macvtaps 5.16).",
    ),
    cfg.Opt(
        "anti_spoofings",
        type=types.Dict(types.String(choices=MODES), bounds=False),
        default={},
        help="The same for single VIFs, by their ids: ID:mac,ID:ip. In a file for the command: "
        "the field anti_spoofing.",
    ),
    cfg.DictOpt(
        "allowed_addresses",
        default={},
        help="By the ids of VIFs, what their guests may send from beside their own addresses: IP "
        "addresses, networks and MAC addresses, ID:192.0.2.9 10.42.0.0/24,ID:fe80::/64. Each may "
        "come with each MAC address. In a file for the command: the field allowed_addresses.",
    ),
)


def on_device(
    config: Any, vif: VIFBase, device: str, *, guest_inside: bool = False, switch: str = ""
) -> list[Resource]:
    """Return what keeps the guest behind a device to its addresses, if it is to be kept.

    :param guest_inside: the device is the guest's own, as a macvtap is
    :param switch: the bridge of Open vSwitch that it is a port of
    :raises InvalidField: an address is none, or none is known
    """
    mode = _mode(config, vif)
    said = config.allowed_addresses.get(vif.id, "")
    more = [resources.allowed(it) for it in (said.split() if isinstance(said, str) else said)]
    if mode == "none":
        if more:
            raise exception.InvalidField(
                field="allowed_addresses",
                value=more,
                expected="anti_spoofing: mac or ip beside it; without, all are allowed",
            )
        return []
    macs = [mac_address(required(vif, "address"), f"{vif.obj_name()}.address")]
    macs += [it for it in more if resources.is_mac(it)]
    beside = [it for it in more if not resources.is_mac(it)]
    if mode == "mac" and beside:
        raise exception.InvalidField(
            field="allowed_addresses",
            value=beside,
            expected="MAC addresses alone, or anti_spoofing: ip; with mac, all IP addresses are "
            "allowed",
        )
    addresses = [*routing.own_addresses(optional(vif, "network")), *beside]
    if mode == "ip" and not addresses:
        raise exception.InvalidField(
            field="anti_spoofing",
            value=mode,
            expected="the guest's addresses (in a file: addresses of network.subnets, or "
            "allowed_addresses), or else anti_spoofing: mac",
        )
    return [
        resources.AntiSpoofing(
            device=device,
            macs=tuple(dict.fromkeys(macs)),
            addresses=tuple(dict.fromkeys(addresses)) if mode == "ip" else None,
            guest_inside=guest_inside,
            switch=switch,
        )
    ]


def need_none(config: Any, vif: VIFBase, expected: str) -> None:
    """See that nothing is to keep a guest to its addresses, where nothing could.

    :param expected: in words
    :raises InvalidField: something is
    """
    mode = _mode(config, vif)
    if mode != "none":
        raise exception.InvalidField(field="anti_spoofing", value=mode, expected=expected)


def remains(config: Any, vif: VIFBase, device: str) -> list[Resource]:
    """Return the same, to be taken away: what only plugging needs may be missing."""
    mac = optional(vif, "address")
    if _mode(config, vif) == "none" or mac is None:
        return []
    return [resources.AntiSpoofing(device=device, macs=(mac_address(mac),))]


def _mode(config: Any, vif: VIFBase) -> str:
    return str(config.anti_spoofings.get(vif.id, config.anti_spoofing))
