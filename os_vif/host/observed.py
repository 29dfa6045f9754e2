# SPDX-License-Identifier: Apache-2.0
"""What was seen of the host: the answers to a topology's questions, and nothing else of it.

What may live here: plain data in the kernel's own terms.  The planner compares it with what is
wanted and writes on it what its steps will do; the backends fill it in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from os_vif.host.fast_path import BackEndState, SocketState
from os_vif.host.function_marks import FunctionMark
from os_vif.host.profiles import PortState
from os_vif.host.resources import Value
from os_vif.host.switch import BridgeRow, PortRow

DEFAULT_ROUTES = ("0.0.0.0/0", "::/0")
"""The destinations of default routes, in CIDR form."""


@dataclasses.dataclass(slots=True)
class Link:
    """A network device.

    :ivar name: interface name.
    :ivar index: interface index; 0 for one that is only planned.
    :ivar kind: IFLA_INFO_KIND (``tap`` and ``tun`` told apart); '' for a NIC.
    :ivar alias: IFLA_IFALIAS; '' for none.
    :ivar attributes: ``mac, mtu, up, master, group, promiscuity, link, vlan_id, multi_queue,
        queues, stp_state, forward_delay, ageing_time, mcast_snooping, arp_ignore, arp_announce,
        proxy_arp, rp_filter, forwarding, disable_ipv6, proxy_ndp, forwarding6, accept_ra``, of
        a macvtap ``mode`` (macvlan_mode, as ip-link(8) calls them), and
        ``proxy_delay, proxy_delay6`` where asked for (1/100 s; neigh/*/proxy_delay), as
        far as the kind has them.  ``master`` and ``link`` are names.
    :ivar functions: the marks of PCI functions among its alternative names (IFLA_PROP_LIST).
    """

    name: str
    index: int
    kind: str
    alias: str
    attributes: dict[str, Value]
    functions: tuple[FunctionMark, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """An address of a device, as much of it as a move must keep (rtnetlink(7), ifaddrmsg).

    :ivar local: the address, in CIDR form with its prefix length.
    :ivar peer: the other end of a point-to-point address; '' for none.
    :ivar broadcast: '' for none.
    :ivar scope: rtnetlink scope number.
    :ivar flags: IFA_F_* bits worth keeping.
    :ivar label: IPv4 label; '' for none.
    :ivar valid: seconds it stays valid; None for ever.
    :ivar preferred: seconds it stays preferred; None for ever.
    :ivar metric: IFA_RT_PRIORITY of the prefix route; 0 for the kernel's choice.
    """

    local: str
    peer: str = ""
    broadcast: str = ""
    scope: int = 0
    flags: int = 0
    label: str = ""
    valid: int | None = None
    preferred: int | None = None
    metric: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What tells one address of a device from another; the rest may change while it stays."""
        return self.local, self.peer


@dataclasses.dataclass(frozen=True, slots=True)
class Route:
    """A route by one device (rtnetlink(7), rtmsg).

    :ivar destination: network in CIDR form.
    :ivar gateway: '' for on-link.
    :ivar source: RTA_PREFSRC; '' for none.
    :ivar table: routing table number.
    :ivar priority: metric; 0 for the kernel's choice.
    :ivar protocol: RTPROT_* number.
    :ivar scope: rtnetlink scope number.
    :ivar tos: type of service.
    :ivar onlink: RTNH_F_ONLINK.
    :ivar mtu: RTAX_MTU; 0 for none.
    """

    destination: str
    gateway: str = ""
    source: str = ""
    table: int = 254
    priority: int = 0
    protocol: int = 4
    scope: int = 0
    tos: int = 0
    onlink: bool = False
    mtu: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Function:
    """A PCI function, as sysfs shows it (Documentation/ABI/testing/sysfs-bus-pci, sysfs-class-net).

    :ivar address: of the function.
    :ivar physical: PCI address of the physical function; '' if this is no virtual one.
    :ivar number: of the virtual function; None if this is no virtual one.
    :ivar uplink: netdev of the physical function that is a switch's uplink; '' for none.
    :ivar switch_id: phys_switch_id of the switch it belongs to; '' for none.
    :ivar representor: netdev that represents it on that switch; '' for none.
    :ivar physical_netdev: netdev of the physical function through which virtual ones are set; ''
        for none.
    :ivar physical_driver: of the physical function; '' for none.
    :ivar virtual_functions: how many virtual functions it has itself, made and numbered.
    :ivar netdevs: its own network devices, as far as this network namespace holds them.
    :ivar uppers: of those, each with what stands on it: a bridge, a bond, a VLAN device.
    :ivar driver: what drives it; '' for nothing.
    :ivar override: ``driver_override``, the only driver that may; '' for the kernel's choice.
    :ivar iommu_group: the number of its IOMMU group; '' where no IOMMU holds it.
    :ivar group_members: the other functions of that group, each with its driver.
    """

    address: str
    physical: str = ""
    number: int | None = None
    uplink: str = ""
    switch_id: str = ""
    representor: str = ""
    physical_netdev: str = ""
    physical_driver: str = ""
    virtual_functions: int = 0
    netdevs: tuple[str, ...] = ()
    uppers: tuple[tuple[str, str], ...] = ()
    driver: str = ""
    override: str = ""
    iommu_group: str = ""
    group_members: tuple[tuple[str, str], ...] = ()


VfSettings = dict[str, str | int | bool]
"""What the driver of a physical function says of a virtual one (linux/if_link.h, IFLA_VF_*):
``mac``; ``vlan`` (0 for none), ``qos`` and ``vlan_proto`` (ETH_P_*); ``min_tx_rate`` and
``max_tx_rate`` (Mbit/s, 0 for no limit); ``link_state`` (``auto``, ``enable``, ``disable``);
``spoofchk`` and ``trust`` where the driver has them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Questions:
    """What must be looked up to plan a topology: names and addresses, never a whole table.

    :ivar links: devices by name.
    :ivar bridges: bridges whose IPv6 addresses count, should IPv6 be on.
    :ivar users: devices, by name or PCI address, of which it counts who else uses them.
    :ivar proxying: devices whose delay before a proxied answer counts.
    :ivar moves: uplink and bridge, whose addresses and routes count.
    :ivar routes_to: destinations in CIDR form.
    :ivar proxies: device and address.
    :ivar forwarding: comment and whether IPv6.
    :ivar functions: PCI functions by address; their netdevs and representors count as ``links``,
        and the latter as ``ovs_ports`` if any of those is asked for.
    :ivar handed: PCI functions to be given away, so that who uses their netdevs counts.
    :ivar vfs: virtual functions by PCI address, whose settings count, and their physical
        functions' netdevs as ``links``.
    :ivar pci_drivers: drivers of the PCI bus by name.
    :ivar vsis: devices, by name or PCI address, whose VSIs count (802.1Qbg).
    :ivar port_profiles: devices, by name or PCI address, whose port profile counts (802.1Qbh).
    :ivar back_ends: taps by name, between which and a vhost-user socket a process may be.
    :ivar sockets: paths of vhost-user sockets, each with the hypervisor's user ('' for none) and
        whether the guest listens there.
    :ivar ovs_bridges: bridges of Open vSwitch by name.
    :ivar ovs_ports: ports of Open vSwitch by name.
    :ivar ovs_ids: ports of Open vSwitch by their iface-id.
    """

    links: frozenset[str] = frozenset()
    bridges: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()
    proxying: frozenset[str] = frozenset()
    moves: frozenset[tuple[str, str]] = frozenset()
    routes_to: frozenset[str] = frozenset()
    proxies: frozenset[tuple[str, str]] = frozenset()
    forwarding: frozenset[tuple[str, bool]] = frozenset()
    functions: frozenset[str] = frozenset()
    handed: frozenset[str] = frozenset()
    vfs: frozenset[str] = frozenset()
    pci_drivers: frozenset[str] = frozenset()
    vsis: frozenset[str] = frozenset()
    port_profiles: frozenset[str] = frozenset()
    back_ends: frozenset[str] = frozenset()
    sockets: frozenset[tuple[str, str, bool]] = frozenset()
    ovs_bridges: frozenset[str] = frozenset()
    ovs_ports: frozenset[str] = frozenset()
    ovs_ids: frozenset[str] = frozenset()

    @classmethod
    def union(cls, asked: Sequence[Questions]) -> Questions:
        """Return the questions of all in one."""
        if len(asked) == 1:
            return asked[0]
        return cls(
            *(
                frozenset().union(*(getattr(item, field.name) for item in asked))
                for field in dataclasses.fields(cls)
            )
        )


@dataclasses.dataclass(slots=True)
class Host:
    """The host, as far as it was asked about.

    :ivar links: by name; None for a name that no device has.
    :ivar addresses: of a device, in the kernel's order; without IPv6 link-local ones.
    :ivar users: the devices that stand on one, and the bridge it is a port of.
    :ivar routes: by a device, those the kernel does not keep itself.
    :ivar routes_to: the device (and gateway) by which exactly this destination is reached; None
        when there is no such route.
    :ivar proxies: NDP proxy addresses present, by device.
    :ivar forwarding: the rules that carry a comment of ours, by that comment and whether IPv6;
        None where the host has no iptables, absent where nobody looked (it needs privilege).
    :ivar functions: by PCI address; None where there is none.
    :ivar vfs: settings of virtual functions, by the netdev of the physical one and number.
    :ivar pci_drivers: whether the kernel has a driver of this name, now.
    :ivar vsis: by device, the response to each VSI by its instance, None while there is none;
        absent where nobody looked (it needs privilege).
    :ivar port_profiles: by device; None where it has none, or its driver knows of none.
    :ivar back_ends: by tap; None where no process runs, absent where nobody looked (it needs
        privilege).
    :ivar sockets: by path; absent where nobody could look.
    :ivar ovs_bridges: by name; None for a name that no bridge has.
    :ivar ovs_ports: by name; None for a name that no port has.
    :ivar ovs_ids: the names of the ports that have an iface-id.
    """

    links: dict[str, Link | None] = dataclasses.field(default_factory=dict)
    addresses: dict[str, tuple[Address, ...]] = dataclasses.field(default_factory=dict)
    users: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    routes: dict[str, tuple[Route, ...]] = dataclasses.field(default_factory=dict)
    routes_to: dict[str, tuple[str, str] | None] = dataclasses.field(default_factory=dict)
    proxies: dict[str, frozenset[str]] = dataclasses.field(default_factory=dict)
    forwarding: dict[tuple[str, bool], tuple[tuple[str, ...], ...] | None] = dataclasses.field(
        default_factory=dict
    )
    functions: dict[str, Function | None] = dataclasses.field(default_factory=dict)
    vfs: dict[tuple[str, int], VfSettings] = dataclasses.field(default_factory=dict)
    pci_drivers: dict[str, bool] = dataclasses.field(default_factory=dict)
    vsis: dict[str, dict[str, int | None]] = dataclasses.field(default_factory=dict)
    port_profiles: dict[str, PortState | None] = dataclasses.field(default_factory=dict)
    back_ends: dict[str, BackEndState | None] = dataclasses.field(default_factory=dict)
    sockets: dict[str, SocketState] = dataclasses.field(default_factory=dict)
    ovs_bridges: dict[str, BridgeRow | None] = dataclasses.field(default_factory=dict)
    ovs_ports: dict[str, PortRow | None] = dataclasses.field(default_factory=dict)
    ovs_ids: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    def link(self, name: str) -> Link | None:
        """Return the device of this name, or None; the name must have been asked about."""
        return self.links[name]


def as_mapping(value: Address | Route) -> Mapping[str, Value]:
    """Return an address or route as the plain data that steps carry."""
    return dataclasses.asdict(value)
