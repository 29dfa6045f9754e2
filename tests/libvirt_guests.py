# SPDX-License-Identifier: Apache-2.0
"""Guests that libvirt starts, one for each kind of card, and what QEMU is to be told of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import os_vif
from os_vif.guest import GuestOptions, libvirt
from tests import vifs, vifs_ovs, vifs_sriov, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, unplug
from tests.libvirtd import Libvirt
from tests.openvswitch import Switch
from tests.switch_witness import make_bridge, snapshot

MEMORY = 32 << 20
MTU = 1400
LOWER = """
    link add br0 type bridge
    link add port0 type veth peer name port1
    link set port0 master br0
    link set br0 up
    link add eth0 type veth peer name wire0
    link set wire0 up
    link set eth0 address 52:00:00:00:0e:00 up
"""


@dataclasses.dataclass(frozen=True)
class Place:
    """A host with a bridge, a card, a switch and libvirt."""

    host: PrivateHost
    switch: Switch
    libvirt: Libvirt

    @property
    def guests(self) -> Path:
        """Where guests make their sockets."""
        return self.switch.folder / "guests"

    def node(self, macvtap: str) -> Path:
        """Return the character device that a macvtap has by its number, in /dev.

        It is another's where one in another namespace has the same number.
        """
        [link] = witness.ask(f"link show dev {macvtap}")
        return Path(f"/dev/tap{link['ifindex']}")

    def has_its_own_node(self, macvtap: str) -> bool:
        """Tell whether libvirt, which opens it by its number, would open this macvtap."""
        node = self.node(macvtap)
        files = (self.libvirt.root / "sys/class/net" / macvtap).glob(f"**/{node.name}/dev")
        number = node.stat().st_rdev
        return min(files).read_text().strip() == f"{os.major(number)}:{os.minor(number)}"


@contextlib.contextmanager
def on_host(host: PrivateHost, tree: Path) -> Iterator[Place]:
    """Make a place of a host that the caller is on.

    :param tree: of libvirt's packages
    """
    with contextlib.ExitStack() as stack:
        switch = stack.enter_context(contextlib.closing(Switch(host, dpdk=True)))
        witness.ip(LOWER)
        make_bridge(switch)
        (switch.folder / "guests").mkdir()
        # libvirt's ovs-vsctl looks for the database in /run.
        shared = {str(switch.folder): switch.folder, "/run/openvswitch": switch.folder}
        daemon = Libvirt(tree, within=host.argv(), shared=shared)
        stack.enter_context(contextlib.closing(daemon))
        options = {"ovsdb_connection": switch.remote, "ovs_vsctl_timeout": 30}
        stack.enter_context(vifs.configured("ovs", **options))
        yield Place(host, switch, daemon)


AFTERWARDS = re.compile(
    # libvirt takes a tap's queue away, for the guest has queues of its own, and leaves it so.
    r"/links/[^/]+/qdisc: '(?:pfifo_fast|mq)' became 'noqueue'"
    # Open vSwitch's bridge takes the least MTU of its ports.
    rf"|/links/br-int/mtu: 1500 became {MTU}"
)
"""What a guest changes for good."""


def changes_since(place: Place, before: dict[str, Any]) -> list[str]:
    """Return how host and switch differ from what they were."""
    found = witness.differences(before, snapshot(place.switch))
    return [each for each in found if not AFTERWARDS.fullmatch(each)]


def flat(xml: str) -> dict[str, str]:
    """Return all attributes of an element and of those in it, by where they stand."""

    def of(element: ElementTree.Element, path: str) -> Iterator[tuple[str, str]]:
        for key, value in element.attrib.items():
            yield f"{path} {key}".strip(), value
        for child in element:
            yield from of(child, f"{path}/{child.tag}".lstrip("/"))

    return dict(of(ElementTree.fromstring(xml), ""))  # noqa: S314 - of a program that we run


def domain(*interfaces: libvirt.Interface) -> str:
    """Return a domain that has such cards."""
    memory = next(filter(None, (each.memory for each in interfaces)), "")
    return f"""\
<domain type='qemu'>
  <name>guest</name>
  <memory>{MEMORY >> 10}</memory>
  {memory}
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <memballoon model='none'/>
    {"".join(each.xml for each in interfaces)}
  </devices>
</domain>
"""


# --- the cards -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of card.

    :ivar vif: the VIF, whose number is 1.
    :ivar settings: options of its plugin.
    :ivar options: what its guest is to have, besides a tap of one queue.
    :ivar mtu: what the guest is told; None for nothing.
    :ivar opens: what the descriptors are of: "tap", "macvtap" or nothing.
    :ivar ours: whether that is there before the guest, and after it.
    :ivar lost: whether Open vSwitch holds on to the tap that has gone with the guest.
    """

    vif: Callable[[Place], Any]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    mtu: int | None = MTU
    opens: str = "tap"
    ours: bool = True
    lost: bool = False

    @property
    def guest(self) -> GuestOptions:
        return GuestOptions(domain_type="qemu", memory=MEMORY, **self.options)

    @property
    def queues(self) -> int:
        return self.guest.queues

    def said(self, vif: Any) -> libvirt.Interface:
        """Return what libvirt is told."""
        return libvirt.interface(os_vif.guest_card(vif), self.guest)

    @contextlib.contextmanager
    def plugged(self, place: Place) -> Iterator[Any]:
        """Plug the VIF for a while, and see that nothing is left of it."""
        vif = self.vif(place)
        before = snapshot(place.switch)
        with vifs.configured(vif.plugin, **self.settings):
            plug(vif)
            try:
                while self.opens == "macvtap" and not place.has_its_own_node(vif.vif_name):
                    unplug(vif)
                    plug(vif)
                yield vif
            finally:
                unplug(vif)
        assert witness.differences(before, snapshot(place.switch)) == []


TWO = {"queues": 2}


def on_bridge(_place: Place) -> Any:
    return vifs.bridge_vif(network=vifs.network("br0", should_provide_bridge=False, mtu=MTU))


def alone(_place: Place) -> Any:
    return vifs.tap_vif(network=vifs.network(should_provide_bridge=False, mtu=MTU))


def on_switch(**fields: Any) -> Callable[[Place], Any]:
    return lambda _place: vifs_ovs.plain(network=vifs.network(vifs_ovs.BRIDGE, mtu=MTU), **fields)


def hybrid(_place: Place) -> Any:
    return vifs_ovs.hybrid(network=vifs.network(vifs_ovs.BRIDGE, mtu=MTU))


def on_card(_place: Place) -> Any:
    return vifs.direct_vif(mtu=MTU)


def on_socket(mode: str) -> Callable[[Place], Any]:
    name = vifs_ovs.name("vhu")

    def made(place: Place) -> Any:
        folder = place.guests if mode == "server" else place.switch.folder
        network = vifs.network(vifs_ovs.BRIDGE, mtu=MTU)
        return vifs_ovs.vhost_user(mode=mode, path=f"{folder}/{name}", network=network)

    return made


SOCKET: dict[str, Any] = {"mtu": None, "opens": "", "ours": False}
KINDS = {
    "tap": Kind(alone),
    "tap of two queues": Kind(alone, {"multi_queue": True}, TWO),
    "tap of the usual MTU": Kind(lambda _place: vifs.tap_vif(), mtu=1500),
    "tap of e1000e": Kind(alone, options={"model": "e1000e"}, mtu=None),
    "tap, queue sizes": Kind(alone, options={"rx_queue_size": 512}),
    "bridge": Kind(on_bridge, {"create_tap": True}),
    "bridge, two queues": Kind(on_bridge, {"create_tap": True, "multi_queue": True}, TWO),
    "bridge, libvirt's tap": Kind(on_bridge, ours=False),
    "bridge, libvirt's tap of two queues": Kind(on_bridge, options=TWO, ours=False),
    "switch": Kind(on_switch()),
    "switch, two queues": Kind(on_switch(multiqueue=True), options=TWO),
    "switch, libvirt's port": Kind(on_switch(port=False, tap=False), ours=False),
    "switch, libvirt's tap": Kind(on_switch(tap=False), ours=False, lost=True),
    "hybrid": Kind(hybrid, ours=False),
    "macvtap": Kind(on_card, opens="macvtap"),
    "macvtap, two queues": Kind(on_card, options=TWO, opens="macvtap"),
    "vhost-user server": Kind(on_socket("server"), **SOCKET),
    "vhost-user client": Kind(on_socket("client"), **SOCKET),
    "vhost-user, two queues": Kind(on_socket("server"), options=TWO, **SOCKET),
}


def function(kind: str = "ethernet") -> libvirt.Interface:
    vif = vifs_sriov.device(1, "0000:3b:00.2", kind=kind, vlan=None)
    return libvirt.interface(os_vif.guest_card(vif), GuestOptions(domain_type="qemu"))


def meant(kind: Kind, vif: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the netdev and the device that QEMU is to be told."""
    model = kind.guest.model
    device: dict[str, Any] = {
        "driver": "virtio-net-pci" if model == "virtio" else model,
        "mac": str(vif.address),
        "romfile": "",
    }
    if kind.mtu is not None:
        device["host_mtu"] = kind.mtu
    if kind.queues > 1:
        device |= {"mq": True, "vectors": 2 * kind.queues + 2}
    if kind.guest.rx_queue_size:
        device["rx_queue_size"] = kind.guest.rx_queue_size
    netdev: dict[str, Any] = {"type": "tap"}
    if not kind.opens:
        netdev["type"] = "vhost-user"
        if kind.queues > 1:
            netdev["queues"] = kind.queues
    return netdev, device
