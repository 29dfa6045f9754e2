# SPDX-License-Identifier: Apache-2.0
"""A domain that runs against what it should have been told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from os_vif import exception
from os_vif.guest import GuestOptions, libvirt
from os_vif.guest.compared import differences, domain_of
from tests.cards import ENDS, MAC, card


def domain(*devices: str) -> str:
    """Return a domain as libvirt writes one: with more in it than was said."""
    inner = "".join(devices)
    return f'<domain type="kvm" id="3"><name>web</name><devices><disk/>{inner}</devices></domain>'


def told(name: str, **options: Any) -> str:
    made = libvirt.interface(card(name), GuestOptions(**options)).xml
    more = '<alias name="net0"/><address type="pci" bus="0x01"/></interface>'
    return made.replace("</interface>", more)


def found(name: str, text: str, **options: Any) -> tuple[str, ...]:
    return differences(card(name), GuestOptions(**options), domain_of(text))


@pytest.mark.parametrize("name", [name for name in ENDS if name != "nested"])
def test_what_was_told_is_there(name: str) -> None:
    queues = 2 if name == "tap of several queues" else 1
    other = told("tap").replace(MAC, "52:54:00:99:99:99")
    assert found(name, domain(other, told(name, queues=queues)), queues=queues) == ()


@pytest.mark.parametrize(
    ("name", "said", "has", "drift"),
    [
        ("tap", 'dev="tap-web"', 'dev="vnet3"', "target dev is vnet3, and should be tap-web"),
        ("tap", 'size="1500"', 'size="9000"', "mtu size is 9000, and should be 1500"),
        ("tap", '<mtu size="1500" />', "", "mtu size is not said, and should be 1500"),
        ("tap", '"ethernet"', '"bridge"', "type is bridge, and should be ethernet"),
        ("tap", '"virtio"', '"e1000e"', "model type is e1000e, and should be virtio"),
        ("tap", "<rom", '<driver queues="4"/><rom', "driver queues is 4, and should be not said"),
        ("tap", "<rom", '<link state="down"/><rom', "its link is down"),
        ("bridge", '"br0"', '"br1"', "source bridge is br1, and should be br0"),
        (
            "vhost-user client",
            '"client"',
            '"server"',
            "source mode is server, and should be client",
        ),
        ("function", 'function="0x2"', 'function="0x3"', "it is another PCI function"),
    ],
)
def test_what_is_otherwise(name: str, said: str, has: str, drift: str) -> None:
    text = domain(told(name).replace(said, has, 1))
    assert found(name, text) == (drift,)


def test_queues_that_the_guest_was_not_given() -> None:
    text = domain(told("tap"))
    [drift] = found("tap of several queues", text, queues=2)
    assert drift == "driver queues is not said, and should be 2"


def test_a_card_that_is_not_there_or_twice() -> None:
    assert found("tap", domain()) == (f"the guest has no card with the address {MAC}",)
    twice = domain(told("tap"), told("tap"))
    assert found("tap", twice) == (f"2 cards of the guest have the address {MAC}",)
    other = told("any device").replace('bus="0x3b"', 'bus="0x3c"')
    assert found("any device", domain(other)) == ("the guest has no device 0000:3b:00.2",)


def test_an_address_in_capital_letters_and_one_that_is_none() -> None:
    lettered = card("tap", mac="52:54:00:ab:cd:ef")
    text = libvirt.interface(lettered, GuestOptions()).xml.replace("ab:cd:ef", "AB:CD:EF")
    assert differences(lettered, GuestOptions(), domain_of(domain(text))) == ()
    broken = told("function").replace('bus="0x3b"', 'bus="x"')
    assert found("function", domain(broken)) == ("it is another PCI function",)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "<domain>",
        "<network/>",
        "\ud800",
        '<!DOCTYPE d [<!ENTITY a "b">]><domain>&a;</domain>',
        "<domain>\0</domain>",
    ],
)
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(exception.InvalidField, match=r"^domain: "):
        domain_of(text)


def test_a_comment_is_no_declaration() -> None:
    assert found("tap", re.sub("<devices>", "<!-- mine --><devices>", domain(told("tap")))) == ()


def test_who_cannot_be_told_cannot_be_compared() -> None:
    with pytest.raises(exception.NotForHypervisor):
        found("nested", domain())
