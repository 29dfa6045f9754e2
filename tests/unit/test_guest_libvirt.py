# SPDX-License-Identifier: Apache-2.0
"""What libvirt is told, word for word; tests with a real libvirt say that it starts."""

from __future__ import annotations

import inspect
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.guest import GuestOptions, libvirt
from os_vif.guest.card import Another, Function, HypervisorMacvtap, HypervisorTap, VhostUser
from tests.cards import PORT, card, card_with


def said(name: str, **options: Any) -> str:
    return libvirt.interface(card(name), GuestOptions(**options)).xml


def read(xml: str) -> ElementTree.Element:
    return ElementTree.fromstring(xml)  # noqa: S314  (it is what was just written)


def text(block: str) -> str:
    return inspect.cleandoc(block) + "\n"


GOLDEN = {
    "tap": """
        <interface type="ethernet">
          <mac address="52:54:00:12:34:56" />
          <target dev="tap-web" managed="no" />
          <model type="virtio" />
          <mtu size="1500" />
          <rom enabled="no" />
        </interface>
        """,
    "bridge": """
        <interface type="bridge">
          <mac address="52:54:00:12:34:56" />
          <source bridge="br0" />
          <target dev="tap-web" />
          <model type="virtio" />
          <mtu size="1500" />
          <rom enabled="no" />
        </interface>
        """,
    "waiting port": """
        <interface type="ethernet">
          <mac address="52:54:00:12:34:56" />
          <target dev="tap-web" />
          <model type="virtio" />
          <mtu size="1500" />
          <rom enabled="no" />
        </interface>
        """,
    "switch": f"""
        <interface type="bridge">
          <mac address="52:54:00:12:34:56" />
          <source bridge="br-int" />
          <target dev="tap-web" />
          <virtualport type="openvswitch">
            <parameters interfaceid="{PORT}" />
          </virtualport>
          <model type="virtio" />
          <mtu size="1500" />
          <rom enabled="no" />
        </interface>
        """,
    "macvtap": """
        <interface type="ethernet">
          <mac address="52:54:00:12:34:56" />
          <target dev="tap-web" managed="no" />
          <model type="virtio" />
          <mtu size="1400" />
          <rom enabled="no" />
        </interface>
        """,
    "vhost-user server": """
        <interface type="vhostuser">
          <mac address="52:54:00:12:34:56" />
          <source type="unix" path="/run/vhost/web.sock" mode="server" />
          <model type="virtio" />
          <rom enabled="no" />
        </interface>
        """,
    "vhost-user client": """
        <interface type="vhostuser">
          <mac address="52:54:00:12:34:56" />
          <source type="unix" path="/run/vhost/web.sock" mode="client">
            <reconnect enabled="yes" timeout="1" />
          </source>
          <model type="virtio" />
          <rom enabled="no" />
        </interface>
        """,
    "function": """
        <interface type="hostdev" managed="yes">
          <mac address="52:54:00:12:34:56" />
          <source>
            <address type="pci" domain="0x0000" bus="0x3b" slot="0x00" function="0x2" />
          </source>
          <rom enabled="no" />
        </interface>
        """,
    "any device": """
        <hostdev mode="subsystem" type="pci" managed="yes">
          <source>
            <address domain="0x0000" bus="0x3b" slot="0x00" function="0x2" />
          </source>
          <rom enabled="no" />
        </hostdev>
        """,
}


@pytest.mark.parametrize("name", GOLDEN)
def test_word_for_word(name: str) -> None:
    assert said(name) == text(GOLDEN[name])


def test_a_function_that_is_plugged_bound_is_not_libvirts_to_bind() -> None:
    bound = said("bound function")
    assert bound == said("function").replace('managed="yes"', 'managed="no"')


def test_several_queues() -> None:
    several = said("tap of several queues", queues=2)
    assert several == said("tap").replace(
        '<model type="virtio" />', '<model type="virtio" />\n  <driver queues="2" />'
    )


@pytest.mark.parametrize(
    ("options", "driver"),
    [
        ({"vhost": "on"}, {"name": "vhost"}),
        ({"vhost": "off"}, {"name": "qemu"}),
        ({"domain_type": "qemu"}, {"name": "qemu"}),
        ({"domain_type": "qemu", "vhost": "on"}, {"name": "vhost"}),
        (
            {"rx_queue_size": 512, "tx_queue_size": 256},
            {"rx_queue_size": "512", "tx_queue_size": "256"},
        ),
        ({"model": "e1000e", "domain_type": "qemu"}, None),
    ],
)
def test_the_driver(options: dict[str, Any], driver: dict[str, str] | None) -> None:
    found = read(said("tap", **options)).find("driver")
    assert (None if found is None else found.attrib) == driver


def test_no_vhost_of_the_kernels_for_a_socket() -> None:
    assert "driver" not in said("vhost-user client", domain_type="qemu")


def test_a_boot_rom_and_an_alias_on_request() -> None:
    assert "rom" not in said("tap", boot_rom=True)
    assert '<alias name="ua-web0" />' in said("tap", id="web0")


def test_only_a_socket_needs_shared_memory() -> None:
    for name in GOLDEN:
        memory = libvirt.interface(card(name), GuestOptions()).memory
        if "vhost-user" not in name:
            assert memory == ""
            continue
        assert memory == text("""
            <memoryBacking>
              <source type="memfd" />
              <access mode="shared" />
            </memoryBacking>
            """)


def test_what_people_are_told() -> None:
    notes = {name: libvirt.interface(card(name), GuestOptions()).notes for name in GOLDEN}
    assert notes["tap"] == notes["function"] == ()
    for name in ("vhost-user server", "vhost-user client"):
        assert any("cannot tell a vhost-user guest its MTU" in it for it in notes[name])
        assert "starting the domain waits until the back end is there" in notes[name]


def test_libvirt_makes_the_macvtap_on_request() -> None:
    assert said("macvtap", libvirt_makes_it=True) == text("""
        <interface type="direct">
          <mac address="52:54:00:12:34:56" />
          <source dev="eth0" mode="bridge" />
          <model type="virtio" />
          <rom enabled="no" />
        </interface>
        """)


def test_a_port_profile_of_libvirts_macvtap() -> None:
    profile = {"type": "802.1Qbh", "profileid": 'gold"<&'}
    end = HypervisorMacvtap(lower="eth0", mode="vepa", profile=profile)
    made = read(libvirt.interface(card_with(end), GuestOptions()).xml)
    port = made.find("virtualport")
    assert port is not None
    assert port.attrib == {"type": "802.1Qbh"}
    assert port[0].attrib == {"profileid": 'gold"<&'}


def test_libvirt_shares_only_what_has_a_name() -> None:
    end = HypervisorMacvtap(lower="", mode="vepa")
    with pytest.raises(exception.InvalidField, match=r"network\.bridge_interface"):
        libvirt.interface(card_with(end), GuestOptions())


def test_the_vlan_of_a_function() -> None:
    end = Function(address="0000:3b:00.2", managed=True, ethernet=True, vlan=7)
    made = libvirt.interface(card_with(end), GuestOptions())
    tag = read(made.xml).find("vlan/tag")
    assert tag is not None
    assert tag.attrib == {"id": "7"}


def test_a_profile_of_open_vswitch() -> None:
    end = HypervisorTap(device="tap-web", bridge="br-int", interface_id=PORT, profile_id="a'b")
    made = read(libvirt.interface(card_with(end), GuestOptions()).xml)
    parameters = made.find("virtualport/parameters")
    assert parameters is not None
    assert parameters.attrib == {"interfaceid": PORT, "profileid": "a'b"}


@pytest.mark.parametrize("character", ["\0", "\x1b", "\ufffe", "\ud800"])
def test_text_that_no_xml_holds(character: str) -> None:
    end = HypervisorTap(
        device="tap-web", bridge="br-int", interface_id=PORT, profile_id=f"a{character}"
    )
    with pytest.raises(exception.InvalidField, match="profileid"):
        libvirt.interface(card_with(end), GuestOptions())


def test_a_third_partys_words() -> None:
    mine = libvirt.Interface("<interface type='vdpa'/>")
    end = Another(name="a vDPA device", told_by={"libvirt": lambda *_: mine})
    assert libvirt.interface(card_with(end), GuestOptions()) is mine


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_no_path_becomes_an_element(tail: str) -> None:
    path = f"/run/{tail}".rstrip("/")
    try:
        end = VhostUser(path=path, mode="server")
        made = libvirt.interface(card_with(end), GuestOptions())
    except exception.InvalidField:
        return
    found = read(made.xml)
    source = found.find("source")
    assert source is not None
    assert source.attrib == {"type": "unix", "path": path, "mode": "server"}
    assert [it.tag for it in found] == ["mac", "source", "model", "rom"]
