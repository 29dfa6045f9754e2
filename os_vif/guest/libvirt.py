# SPDX-License-Identifier: Apache-2.0
"""libvirt's domain XML: one interface, and what the domain needs besides.

The schema lets more pass than a guest starts with: an MTU of a macvtap of libvirt's own, of a PCI
function or a vhost-user socket, and a reconnect where the guest listens.  None is written here.

Source: formatdomain, "Network interfaces", and what libvirt 9.0 and 11.3 were seen to do.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any
from xml.etree import ElementTree

from os_vif.guest import admitted
from os_vif.guest.card import (
    LIBVIRT,
    Card,
    Function,
    HypervisorMacvtap,
    HypervisorTap,
    Macvtap,
    Tap,
    VhostUser,
)
from os_vif.guest.options import GuestOptions, refuse

_HEARD = frozenset(
    {
        *("queues", "model", "vhost", "rx_queue_size", "tx_queue_size", "id"),
        *("boot_rom", "domain_type", "libvirt_makes_it"),
    }
)
# What no XML 1.0 document can hold (Extensible Markup Language 1.0, 2.2).
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MEMORY = """\
<memoryBacking>
  <source type="memfd" />
  <access mode="shared" />
</memoryBacking>
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Interface:
    """What a domain says of one card.

    :ivar xml: an ``interface`` or ``hostdev``, for ``devices``; it ends in a newline.
    :ivar memory: a ``memoryBacking`` for the domain, once for all of its cards; '' for none.
    :ivar notes: sentences for people.
    """

    xml: str
    memory: str = ""
    notes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return all but the notes as plain data."""
        return {"xml": self.xml, "memory": self.memory}


def interface(card: Card, options: GuestOptions) -> Interface:
    """Return the XML of a card.

    :raises NotForHypervisor: libvirt cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    admitted.admit(card, options, LIBVIRT)
    told = admitted.another(card, options, LIBVIRT, ())
    if isinstance(told, Interface):
        return told
    end = card.end
    notes = admitted.notes(card, options, _HEARD, LIBVIRT)
    if isinstance(end, Macvtap) and options.libvirt_makes_it and end.instead is not None:
        end = end.instead
    match end:
        case Tap() | Macvtap():
            made = _interface(card, "ethernet")
            # Without this libvirt says that the device exists already, and deletes it.
            _add(made, "target", dev=end.device, managed="no")
        case HypervisorTap():
            made = _of_hypervisor(card, end)
        case HypervisorMacvtap():
            made = _direct(card, end)
        case VhostUser():
            made = _vhost_user(card, end)
            notes += _vhost_user_notes(card)
        case Function():
            made = _function(card, end)
        case _:
            raise admitted.refusal(card, LIBVIRT, end.hint)
    if not isinstance(end, Function):
        _model(made, options, in_kernel=not isinstance(end, VhostUser))
    if card.mtu is not None and isinstance(end, Tap | Macvtap | HypervisorTap):
        _add(made, "mtu", size=str(card.mtu))
    if not options.boot_rom:
        _add(made, "rom", enabled="no")
    if options.id:
        _add(made, "alias", name=f"ua-{options.id}")  # libvirt keeps only such
    ElementTree.indent(made)
    return Interface(
        xml=f"{ElementTree.tostring(made, encoding='unicode')}\n",
        memory=_MEMORY if isinstance(end, VhostUser) else "",
        notes=tuple(notes),
    )


def _interface(card: Card, kind: str) -> ElementTree.Element:
    made = ElementTree.Element("interface", type=kind)
    _add(made, "mac", address=card.mac or "")
    return made


def _model(made: ElementTree.Element, options: GuestOptions, *, in_kernel: bool) -> None:
    """Say what the guest sees.

    :param in_kernel: whether the kernel could move the packets (vhost)
    """
    _add(made, "model", type=options.model)
    said: dict[str, str] = {}
    if options.is_virtio and in_kernel:
        if options.vhost == "on":
            said["name"] = "vhost"
        elif options.vhost == "off" or options.domain_type == "qemu":
            said["name"] = "qemu"
    if options.queues > 1:
        said["queues"] = str(options.queues)
    for field in ("rx_queue_size", "tx_queue_size"):
        if getattr(options, field) is not None:
            said[field] = str(getattr(options, field))
    if said:
        _add(made, "driver", **said)


def _of_hypervisor(card: Card, end: HypervisorTap) -> ElementTree.Element:
    made = _interface(card, "bridge" if end.bridge else "ethernet")
    if end.bridge:
        _add(made, "source", bridge=end.bridge)
    _add(made, "target", dev=end.device)
    if end.interface_id:
        said = {"interfaceid": end.interface_id}
        if end.profile_id:
            said["profileid"] = end.profile_id
        _add(_add(made, "virtualport", type="openvswitch"), "parameters", **said)
    return made


def _direct(card: Card, end: HypervisorMacvtap) -> ElementTree.Element:
    if not end.lower:
        refuse("network.bridge_interface", None, "the device to share by name, for libvirt")
    made = _interface(card, "direct")
    _add(made, "source", dev=end.lower, mode=end.mode)
    if end.profile:
        parameters = dict(end.profile)
        port = _add(made, "virtualport", type=parameters.pop("type"))
        _add(port, "parameters", **parameters)
    return made


def _vhost_user(card: Card, end: VhostUser) -> ElementTree.Element:
    made = _interface(card, "vhostuser")
    source = _add(made, "source", type="unix", path=end.path, mode=end.mode)
    if end.mode == "client":
        # Without it QEMU ends where nobody listens yet, and a back end that restarts is lost.
        _add(source, "reconnect", enabled="yes", timeout="1")
    return made


def _vhost_user_notes(card: Card) -> list[str]:
    found = ["the domain needs the memoryBacking too: its memory is shared with the back end"]
    if card.mtu is not None:
        found.append(
            f"libvirt cannot tell a vhost-user guest its MTU ({card.mtu} bytes): set it inside"
        )
    found.append("starting the domain waits until the back end is there")
    return found


def _function(card: Card, end: Function) -> ElementTree.Element:
    managed = "yes" if end.managed else "no"
    domain, bus, slot, function = re.split("[:.]", end.address)
    if end.ethernet:
        made = ElementTree.Element("interface", type="hostdev", managed=managed)
        _add(made, "mac", address=card.mac or "")
        address = {"type": "pci"}
    else:
        made = ElementTree.Element("hostdev", mode="subsystem", type="pci", managed=managed)
        address = {}
    address |= {
        "domain": f"0x{domain}",
        "bus": f"0x{bus}",
        "slot": f"0x{slot}",
        "function": f"0x{function}",
    }
    _add(_add(made, "source"), "address", **address)
    if end.vlan is not None:
        _add(_add(made, "vlan"), "tag", id=str(end.vlan))
    return made


def _add(parent: ElementTree.Element, name: str, /, **attributes: str) -> ElementTree.Element:
    for attribute, value in attributes.items():
        if _NO_XML.search(value):
            refuse(f"{name} {attribute}", value, "text that XML can hold")
    return ElementTree.SubElement(parent, name, attributes)


def document(cards: Sequence[Interface]) -> str:
    """Return what is said of all cards, and of the domain's memory once, at the end."""
    memories = dict.fromkeys(card.memory for card in cards)
    return "".join([*(card.xml for card in cards), *memories])
