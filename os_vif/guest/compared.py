# SPDX-License-Identifier: Apache-2.0
"""A running guest, as libvirt tells of it, against what it should have been told of a card.

Only what :func:`os_vif.guest.libvirt.interface` writes is compared; a domain has more, and may.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from os_vif.guest import libvirt
from os_vif.guest.card import Card, Function
from os_vif.guest.options import GuestOptions, refuse

_PLACES = (
    (".", "type"),
    ("source", "bridge"),
    ("source", "dev"),
    ("source", "mode"),
    ("source", "path"),
    ("target", "dev"),
    ("virtualport", "type"),
    ("virtualport/parameters", "interfaceid"),
    ("virtualport/parameters", "profileid"),
    ("vlan/tag", "id"),
    ("model", "type"),
    ("driver", "queues"),
    ("mtu", "size"),
)
_ADDRESS = ("domain", "bus", "slot", "function")


def domain_of(text: str) -> ElementTree.Element:
    """Read what ``virsh dumpxml`` wrote.

    :raises InvalidField: it is no domain
    """
    if "<!" in text.replace("<!--", ""):
        # libvirt writes no declarations, and entities could make much of little.
        refuse("domain", text[:40], "the XML of a domain, without <!DOCTYPE>")
    try:
        found = ElementTree.fromstring(text)  # noqa: S314  (declarations are refused above)
    except (ElementTree.ParseError, ValueError) as error:
        refuse("domain", text[:40], f"the XML of a domain ({error})")
    if found.tag != "domain":
        refuse("domain", text[:40], "the XML of a domain, as virsh dumpxml writes it")
    return found


def differences(card: Card, options: GuestOptions, domain: ElementTree.Element) -> tuple[str, ...]:
    """Return in words what of a card is not in the guest as it should be; empty if all is.

    :param domain: as :func:`domain_of` has read it
    :raises NotForHypervisor: libvirt cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card
    """
    wanted = ElementTree.fromstring(  # noqa: S314  (it is what was just written)
        libvirt.interface(card, options).xml
    )
    function = card.end if isinstance(card.end, Function) else None
    if function is not None and not function.ethernet:
        there = any(_same_address(wanted, it) for it in domain.findall("devices/hostdev"))
        return () if there else (f"the guest has no device {function.address}",)
    cards = [it for it in domain.findall("devices/interface") if _mac(it) == card.mac]
    if not cards:
        return (f"the guest has no card with the address {card.mac}",)
    if len(cards) > 1:
        return (f"{len(cards)} cards of the guest have the address {card.mac}",)
    return tuple(_unlike(wanted, cards[0]))


def _unlike(wanted: ElementTree.Element, found: ElementTree.Element) -> Iterator[str]:
    for place, attribute in _PLACES:
        should = _read(wanted, place, attribute)
        has = _read(found, place, attribute)
        if should != has and (should or (place, attribute) in _TOLD_IF_THERE):
            name = attribute if place == "." else f"{place.replace('/', ' ')} {attribute}"
            yield f"{name} is {has or 'not said'}, and should be {should or 'not said'}"
    if wanted.find("source/address") is not None and not _same_address(wanted, found):
        yield "it is another PCI function"
    if _read(found, "link", "state") == "down":
        yield "its link is down"


# What nobody asked for makes a difference here alone: one queue is what is not said.
_TOLD_IF_THERE = {("driver", "queues")}


def _read(element: ElementTree.Element, place: str, attribute: str) -> str:
    part = element if place == "." else element.find(place)
    return "" if part is None else part.get(attribute, "")


def _mac(interface: ElementTree.Element) -> str:
    return _read(interface, "mac", "address").lower()


def _same_address(one: ElementTree.Element, other: ElementTree.Element) -> bool:
    def address(element: ElementTree.Element) -> list[int]:
        part = element.find("source/address")
        if part is None:
            return []
        try:
            return [int(part.get(name, "0"), 16) for name in _ADDRESS]
        except ValueError:
            return []

    return address(one) == address(other)
