# SPDX-License-Identifier: Apache-2.0
"""Network devices that a topology can be made of: one frozen dataclass per kind.

What may live here: plain data with the kernel's own attribute names and units.  No I/O and no
decisions: what to do about a resource is the planner's business.

Everything in a VIF is text from somewhere else, so every resource checks its own fields when it
is made and raises :class:`os_vif.exception.InvalidField`, naming the field and the value.
"""

from __future__ import annotations

import dataclasses
import ipaddress
from collections.abc import Mapping

from os_vif import exception
from os_vif.engine.checks import (
    account,
    any_interface_name,
    interface_name,
    mac_address,
    mtu_bytes,
    pci_address,
    vlan_tag,
)

Value = str | int | bool | None
"""What one attribute of a link may be."""

TAP_MTU_MAX = 65521
"""The Ethernet header counts towards a tap's 65535 bytes (drivers/net/tun.c, tun_net_init)."""

MACVTAP_MODES = ("vepa", "bridge", "passthru")
"""How a macvtap may share its lower device: with others through the adjacent switch, with others
directly, or not at all (ip-link(8))."""


def host_side_mac(guest: str) -> str:
    """Return the MAC for the host's end of a tap whose guest has the MAC ``guest``.

    A bridge keeps the address of each of its ports for itself, and a host answers ARP with its
    own, so the host's end must not carry the guest's.  The first byte becomes fe, or fa where the
    guest's is fe, as libvirt does it: locally administered, and higher than a NIC's.  A bridge that
    was given no address of its own has the lowest of its ports', so a stranger's keeps its uplink's
    as guests come and go.  Bridges made here are given one.
    """
    return ("fa" if guest.startswith("fe") else "fe") + guest[2:]


def macs_of_guest(guest: str | None) -> frozenset[str]:
    """Return the MACs by which a tap is known to belong to the guest with the MAC ``guest``."""
    return frozenset({guest, host_side_mac(guest)} if guest else ())


def eui64(
    network: ipaddress.IPv4Network | ipaddress.IPv6Network, mac: str
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that a guest makes itself of a prefix and its MAC (RFC 4291, appendix A).

    :param network: a /64 of IPv6
    :raises InvalidField: that is no MAC address
    """
    octets = bytes.fromhex(mac_address(mac).replace(":", ""))
    tail = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    return network.network_address + int.from_bytes(tail)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tap:
    """A persistent tap (Documentation/networking/tuntap.rst) that a hypervisor opens by name.

    :ivar name: interface name.
    :ivar mac: address of the host's end; None leaves the kernel's choice.
    :ivar mtu: bytes; None leaves the kernel's choice.
    :ivar multi_queue: IFF_MULTI_QUEUE, fixed at creation; None takes one that is there as it is,
        and makes one with a single queue.
    :ivar bridge: the bridge it is a port of; None where that is not our business.
    :ivar known_macs: addresses that show an unmarked tap of this name to be this VIF's.
    :ivar adopt: whether such an unmarked tap is taken over; else it is in the way.
    :ivar spared_in: a bridge whose unmarked taps stay: a hypervisor put them there; '' for none.
    :ivar disable_ipv6: True silences the host's own IPv6 on it; None leaves it as it is.
    :ivar conf: IPv4 and IPv6 settings of the device by their sysctl names, such as ``proxy_arp``.
    :ivar note: a word that its alias has behind the mark, if there is room; '' for none.
    :ivar owner: name or number of the user who may open it, besides CAP_NET_ADMIN; '' for none.
    :ivar group: of the group whose members may; '' for none.  With both, it takes both; with
        neither the kernel lets everybody, and whose it is is not looked at.
    """

    name: str
    mac: str | None = None
    mtu: int | None = None
    multi_queue: bool | None = None
    bridge: str | None = None
    known_macs: frozenset[str] = frozenset()
    adopt: bool = True
    spared_in: str = ""
    disable_ipv6: bool | None = True
    conf: Mapping[str, int] = dataclasses.field(default_factory=dict)
    note: str = ""
    owner: str = "root"
    group: str = ""

    def __post_init__(self) -> None:
        interface_name(self.name, "vif_name")
        if self.owner:
            account(self.owner, "tap_owner")
        if self.group:
            account(self.group, "tap_group", "group")
        if self.mac is not None:
            mac_address(self.mac)
        if self.mtu is not None:
            mtu_bytes(self.mtu, "network.mtu", most=TAP_MTU_MAX)
        if self.bridge is not None:
            interface_name(self.bridge, "bridge")

    def attributes(self) -> dict[str, Value]:
        """Return what the device must look like, by attribute name."""
        wanted: dict[str, Value] = {"up": True, "group": 0}
        if self.bridge is not None:
            wanted["master"] = self.bridge
        if self.mac is not None:
            wanted["mac"] = self.mac
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        if self.disable_ipv6 is not None:
            wanted["disable_ipv6"] = self.disable_ipv6
        wanted.update(self.conf)
        return wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bridge:
    """A Linux bridge that VIFs share; whoever comes first makes it and it stays.

    The settings are those for guests: no spanning tree, so no forward delay either, and no
    multicast snooping, which needs a querier.  On a bridge somebody else made they are left
    alone.

    :ivar name: interface name.
    :ivar create: False when the bridge must be there already.
    :ivar own: whether it is this VIF's alone and goes with it.
    :ivar ageing_time: 1/100 s a learned address is kept; None leaves the kernel's 300 s.
    :ivar mtu: bytes that one made here has at least, where it has no uplink; with one it has the
        uplink's.  None leaves the kernel's choice, which is the least of its ports'.
    """

    name: str
    create: bool = True
    own: bool = False
    ageing_time: int | None = None
    mtu: int | None = None

    def __post_init__(self) -> None:
        interface_name(self.name, "bridge")
        if self.mtu is not None:
            mtu_bytes(self.mtu)

    def attributes(self) -> dict[str, Value]:
        """Return what a bridge of ours must look like, by attribute name."""
        wanted: dict[str, Value] = {
            "up": True,
            "group": 0,
            "stp_state": 0,
            "forward_delay": 0,
            "mcast_snooping": 0,
            "arp_ignore": 1,
            "arp_announce": 2,
            "disable_ipv6": True,
        }
        if self.ageing_time is not None:
            wanted["ageing_time"] = self.ageing_time
        return wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Veth:
    """A pair of devices, each the other's wire (veth(4)); this VIF's alone.

    :ivar name: one end.
    :ivar peer: the other end.
    :ivar mtu: bytes, of both.
    :ivar bridge: the bridge that ``name`` is a port of.
    """

    name: str
    peer: str
    mtu: int
    bridge: str

    def __post_init__(self) -> None:
        interface_name(self.name)
        interface_name(self.peer, "peer")
        mtu_bytes(self.mtu)
        interface_name(self.bridge, "bridge")

    def attributes(self) -> dict[str, Value]:
        """Return what both ends must look like, by attribute name."""
        return {"up": True, "group": 0, "mtu": self.mtu, "disable_ipv6": True}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VethEnd:
    """A container's veth that its runtime made, by its end on the host; it goes with the VIF.

    :ivar name: interface name.
    """

    name: str

    def __post_init__(self) -> None:
        interface_name(self.name, "vif_name")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vlan:
    """A VLAN device (IEEE 802.1Q) on a lower device; shared like a bridge.

    :ivar name: interface name.
    :ivar link: the lower device, by any of its names; it must exist and is set up, nothing else.
    :ivar vlan_id: 1 to 4094.
    :ivar behind: PCI address of the lower device, in the place of ``link``.
    :ivar stays: whether it stays when its last user has gone.
    :ivar mtu: bytes that the lower device has at least; None leaves it as it is.
    """

    name: str
    link: str = ""
    vlan_id: int
    behind: str = ""
    stays: bool = True
    mtu: int | None = None

    def __post_init__(self) -> None:
        interface_name(self.name, "vlan_name")
        if self.behind:
            pci_address(self.behind)
        else:
            any_interface_name(self.link, "vlan_interface")
        vlan_tag(self.vlan_id)
        if self.mtu is not None:
            mtu_bytes(self.mtu)

    def attributes(self) -> dict[str, Value]:
        """Return what the device must look like, by attribute name."""
        return {"up": True, "group": 0}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Macvtap:
    """A share of a network device, with a MAC of its own (drivers/net/macvtap.c).

    A hypervisor opens it by its character device, once per queue.

    :ivar name: interface name.
    :ivar mac: the guest's; in mode ``passthru`` the lower device has it too for the time being.
    :ivar mode: ``vepa``, ``bridge`` or ``passthru``, as ip-link(8) describes them.
    :ivar mtu: bytes, at most the lower device's; None leaves that.
    :ivar link: the lower device, by any of its names, which must exist.
    :ivar behind: PCI address of the lower device, in the place of ``link``.
    :ivar all_multicast: IFF_ALLMULTI: let all multicast in, as the kernel knows of no group that
        the guest has joined; False leaves that to the hypervisor.
    :ivar owner: name or number of the user whose its character device is; '' leaves that.
    :ivar group: of the group that has it too; '' leaves that, and keeps groups out.
    """

    name: str
    mac: str
    mode: str
    mtu: int | None = None
    link: str = ""
    behind: str = ""
    all_multicast: bool = True
    owner: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        interface_name(self.name, "vif_name")
        if self.owner:
            account(self.owner, "tap_owner")
        if self.group:
            account(self.group, "tap_group", "group")
        mac_address(self.mac)
        if self.mode not in MACVTAP_MODES:
            raise exception.InvalidField(
                field="mode", value=self.mode, expected=", ".join(MACVTAP_MODES)
            )
        if self.mtu is not None:
            mtu_bytes(self.mtu)
        if self.link:
            any_interface_name(self.link, "bridge_interface")
        if self.behind:
            pci_address(self.behind)

    def attributes(self) -> dict[str, Value]:
        """Return what the device must look like, by attribute name; ``link`` is the host's."""
        wanted: dict[str, Value] = {
            "up": True,
            "group": 0,
            "mode": self.mode,
            "mac": self.mac,
            "disable_ipv6": True,
        }
        if self.mtu is not None:
            wanted["mtu"] = self.mtu
        if self.all_multicast:
            wanted["allmulticast"] = True
        return wanted


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Uplink:
    """A device of the host's that joins a bridge and leaves its addresses and routes to it.

    :ivar name: interface name, or an alternative one; it must exist and be in no other bridge.
    :ivar bridge: the bridge.
    :ivar mtu: bytes it has at least; None leaves it as it is.  It is never lowered.
    """

    name: str
    bridge: str
    mtu: int | None = None

    def __post_init__(self) -> None:
        any_interface_name(self.name, "bridge_interface")
        interface_name(self.bridge, "bridge")
        if self.mtu is not None:
            mtu_bytes(self.mtu)

    def attributes(self) -> dict[str, Value]:
        """Return what the device must look like, by attribute name."""
        return {"up": True, "master": self.bridge}
