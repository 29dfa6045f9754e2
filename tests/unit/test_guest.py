# SPDX-License-Identifier: Apache-2.0
"""From a VIF to its guest's card, and what no hypervisor is told."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.guest import GuestOptions
from os_vif.guest.admitted import admit, notes
from os_vif.guest.card import (
    CLOUD_HYPERVISOR,
    FIRECRACKER,
    LIBVIRT,
    NAMES,
    QEMU,
    QMP,
    Another,
    Function,
    HypervisorMacvtap,
    HypervisorTap,
    Macvtap,
    Nested,
    Tap,
    VhostUser,
    card_of,
)
from tests import vifs, vifs_ovs, vifs_sriov
from tests.cards import ENDS, MAC, card, card_with

NAME, PCI = vifs.tap_name(1), "0000:3b:00.2"
ALL = {*NAMES}


def end_of(vif: Any) -> Any:
    os_vif.initialize()
    return os_vif.guest_card(vif, vifs.instance()).end


# --- each plugin says which end -------------------------------------------------------------------


def test_a_tap_of_ours() -> None:
    assert end_of(vifs.tap_vif()) == Tap(device=NAME, mtu=1500)
    with vifs.configured("tap", multi_queue=True, network_device_mtu=1400):
        assert end_of(vifs.tap_vif()) == Tap(device=NAME, mtu=1400, multi_queue=True)


def test_a_bridge_whose_tap_libvirt_makes_unless_we_do() -> None:
    vif = vifs.bridge_vif(network=vifs.network("br7", mtu=1280), bridge_name="br0")
    assert end_of(vif) == HypervisorTap(device=NAME, bridge="br0", mtu=1280)
    with vifs.configured("linux_bridge", create_tap=True):
        assert end_of(vif) == Tap(device=NAME, mtu=1280)


def test_a_network_without_mtu_has_the_plugins() -> None:
    vif = vifs.bridge_vif(network=vifs.network("br0", mtu=0))
    with vifs.configured("linux_bridge", network_device_mtu=9000):
        assert end_of(vif).mtu == 9000


def test_the_ways_to_open_vswitch() -> None:
    mtu, port = vifs_ovs.MTU, vifs.vif_id(1)
    assert end_of(vifs_ovs.plain()) == Tap(device=NAME, mtu=mtu)
    several = end_of(vifs_ovs.plain(multiqueue=True))
    assert several == Tap(device=NAME, mtu=mtu, multi_queue=True)
    assert end_of(vifs_ovs.plain(tap=False)) == HypervisorTap(device=NAME, mtu=mtu)
    profile = vifs_ovs.profile(profile_id="gold")
    nothing = vifs_ovs.plain(port_profile=profile)
    assert end_of(nothing) == HypervisorTap(
        device=NAME, bridge="br-int", interface_id=port, profile_id="gold", mtu=mtu
    )
    with vifs.configured("ovs", per_port_bridge=True):
        assert end_of(nothing) == HypervisorTap(device=NAME, mtu=mtu)
    hybrid = HypervisorTap(device=NAME, bridge=vifs_ovs.name("qbr"), mtu=mtu)
    assert end_of(vifs_ovs.hybrid()) == hybrid


@pytest.mark.parametrize("mode", ["client", "server"])
def test_the_guests_part_at_a_socket_is_the_vifs(mode: str) -> None:
    path = f"/run/nowhere/{vifs_ovs.name('vhu')}"
    expected = VhostUser(path=path, mode=mode, mtu=vifs_ovs.MTU)
    assert end_of(vifs_ovs.vhost_user(mode=mode)) == expected
    others = vifs_ovs.vhost_user(mode=mode, plugin="noop")
    assert end_of(others) == expected


def test_a_fast_paths_guest_has_the_socket_and_not_the_tap() -> None:
    from os_vif.objects.vif import VIFPortProfileFPTap

    vif = vifs_ovs.vhost_user(
        mode="server", plugin="vhostuser_fp", port_profile=VIFPortProfileFPTap(mac_address=MAC)
    )
    for back_end in ("6wind", "testpmd"):
        with vifs.configured("vhostuser_fp", back_end=back_end):
            assert end_of(vif) == VhostUser(path=vif.path, mode="server", mtu=vifs_ovs.MTU)


def test_a_macvtap_and_what_libvirt_would_make_instead() -> None:
    end = end_of(vifs.direct_vif(mode="passthrough", mtu=1400))
    assert end == Macvtap(
        device=NAME, mtu=1400, instead=HypervisorMacvtap(lower="eth0", mode="passthrough")
    )


def test_a_port_profile_by_libvirts_names() -> None:
    from os_vif.objects.vif import VIFPortProfile8021Qbg, VIFPortProfile8021Qbh

    qbg = VIFPortProfile8021Qbg(
        manager_id=1, type_id=2, type_id_version=3, instance_id=vifs.vif_id(9)
    )
    qbh = VIFPortProfile8021Qbh(profile_id="gold")
    found = [
        end_of(vifs.direct_vif(mode="vepa", port_profile=profile)).instead.profile
        for profile in (qbg, qbh)
    ]
    assert found == [
        {
            "type": "802.1Qbg",
            "managerid": "1",
            "typeid": "2",
            "typeidversion": "3",
            "instanceid": vifs.vif_id(9),
        },
        {"type": "802.1Qbh", "profileid": "gold"},
    ]


def test_a_function_is_managed_unless_it_is_plugged_bound() -> None:
    vif = vifs_sriov.device(1, PCI)
    assert end_of(vif) == Function(address=PCI, managed=True, ethernet=True)
    with vifs.configured("sriov", bind_driver="vfio-pci"):
        assert end_of(vif) == Function(address=PCI, managed=False, ethernet=True)
    other = vifs_sriov.device(1, PCI, kind="generic", vlan=7)
    assert end_of(other) == Function(address=PCI, managed=True, ethernet=False)
    behind = vifs_ovs.host_device(1, PCI)
    assert end_of(behind) == Function(address=PCI, managed=True, ethernet=True)


@pytest.mark.parametrize("plugin", ["sriov", "noop"])
def test_libvirt_is_told_the_vlan_or_it_takes_it_away(plugin: str) -> None:
    vif = vifs_sriov.device(1, PCI, vlan=7)
    vif.plugin = plugin
    assert end_of(vif) == Function(address=PCI, managed=True, ethernet=True, vlan=7)


def test_noop_knows_what_libvirt_shares_and_what_is_nested() -> None:
    from os_vif.objects.vif import VIFNestedDPDK

    vif = vifs.direct_vif(mode="vepa")
    vif.plugin = "noop"
    assert end_of(vif) == HypervisorMacvtap(lower="eth0", mode="vepa")
    nested = VIFNestedDPDK(id=vifs.vif_id(1), plugin="noop", pci_address=PCI, dev_driver="x")
    assert end_of(nested) == Nested()


def test_what_noop_does_not_know() -> None:
    vif = vifs.tap_vif()
    vif.plugin = "noop"
    with pytest.raises(exception.NotDescribed, match="plugin noop does not say"):
        end_of(vif)


def test_the_address_is_the_guests_in_small_letters() -> None:
    vif = vifs.tap_vif(address="52:54:00:AB:CD:EF")
    os_vif.initialize()
    assert os_vif.guest_card(vif).mac == "52:54:00:ab:cd:ef"


def test_addresses_and_routes_of_the_network() -> None:
    subnets = [
        vifs.subnet(
            "192.0.2.0/24",
            ["192.0.2.9"],
            gateway="192.0.2.1",
            routes=[("198.51.100.0/24", "192.0.2.2")],
        ),
        vifs.subnet("2001:db8::/64", ["2001:db8::9"]),
    ]
    vif = vifs.tap_vif(network=vifs.network(subnets=subnets))
    os_vif.initialize()
    found = os_vif.guest_card(vif)
    assert found.addresses == ("192.0.2.9/24", "2001:db8::9/64")
    assert found.routes == (("", "192.0.2.1"), ("198.51.100.0/24", "192.0.2.2"))


def test_a_plugin_that_acts_on_its_own_may_say_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from os_vif.plugin import PluginBase

    class Alone(PluginBase):
        def describe(self) -> Any:
            raise NotImplementedError

        def plug(self, vif: Any, instance_info: Any) -> None: ...

        def unplug(self, vif: Any, instance_info: Any) -> None: ...

    class Telling(Alone):
        def describe_guest_end(self, vif: Any, topology: Any) -> Any:
            assert topology is None
            return Tap(device=vif.vif_name)

    vif = vifs.tap_vif()
    config: Any = None
    monkeypatch.setattr(os_vif, "_plugin_of", lambda _vif: Alone(config))
    with pytest.raises(exception.NotDescribed):
        os_vif.guest_card(vif)
    monkeypatch.setattr(os_vif, "_plugin_of", lambda _vif: Telling(config))
    assert os_vif.guest_card(vif).end == Tap(device=NAME)


# --- who can be given what ------------------------------------------------------------------------

TAKEN = {
    "tap": ALL,
    "tap of several queues": ALL - {FIRECRACKER},
    "bridge": {LIBVIRT},
    "waiting port": {LIBVIRT},
    "switch": {LIBVIRT},
    "macvtap": {LIBVIRT, QEMU, QMP, CLOUD_HYPERVISOR},
    "vhost-user server": ALL - {FIRECRACKER},
    "vhost-user client": ALL - {FIRECRACKER},
    "function": ALL - {FIRECRACKER},
    "bound function": ALL - {FIRECRACKER},
    "any device": ALL - {FIRECRACKER},
    "nested": set(),
}


@pytest.mark.parametrize(("name", "hypervisor"), [*itertools.product(ENDS, NAMES)])
def test_who_cannot_is_told_who_can(name: str, hypervisor: str) -> None:
    several = name == "tap of several queues"
    if several and hypervisor == FIRECRACKER:
        return  # its own page refuses that
    options = GuestOptions(queues=2 if several else 1)
    if hypervisor in TAKEN[name]:
        admit(card(name), options, hypervisor)
        return
    with pytest.raises(exception.NotForHypervisor) as caught:
        admit(card(name), options, hypervisor)
    words = str(caught.value)
    assert words.startswith(f"{NAMES[hypervisor]} cannot be given this {card(name).vif_class}, ")
    assert set(caught.value.kwargs["able"]) == TAKEN[name]
    assert all(NAMES[able] in words for able in TAKEN[name])


def test_the_words_of_a_refusal() -> None:
    with pytest.raises(exception.NotForHypervisor) as caught:
        admit(card("macvtap"), GuestOptions(), FIRECRACKER)
    assert str(caught.value) == (
        "Firecracker cannot be given this VIFDirect, a macvtap: a macvtap is had by its descriptor "
        "alone, and it takes none; libvirt, QEMU, QEMU by QMP and Cloud Hypervisor can"
    )
    with pytest.raises(exception.NotForHypervisor, match=r"; none can$"):
        admit(card("nested"), GuestOptions(), LIBVIRT)


def test_a_third_partys_end_names_those_it_has_words_for() -> None:
    mine = Another(name="a vDPA device", told_by={QEMU: lambda *_: None})
    admit(card_with(mine), GuestOptions(), QEMU)
    with pytest.raises(exception.NotForHypervisor, match=r"a vDPA device: .*; QEMU can$"):
        admit(card_with(mine), GuestOptions(), LIBVIRT)


@pytest.mark.parametrize(
    ("name", "queues", "words"),
    [
        ("tap", 2, "1, as tap tap-web has a single queue; plug it with multi_queue to have more"),
        ("tap of several queues", 1, "2 or more, as tap tap-web is a multi-queue one"),
    ],
)
@pytest.mark.parametrize("hypervisor", NAMES)
def test_queues_that_the_tap_has_not(name: str, queues: int, words: str, hypervisor: str) -> None:
    with pytest.raises(exception.InvalidField, match=words):
        admit(card(name), GuestOptions(queues=queues), hypervisor)


def test_any_number_of_queues_of_what_is_made_for_them() -> None:
    for name in ("macvtap", "bridge", "vhost-user client"):
        for queues in (1, 2, 256):
            admit(card(name), GuestOptions(queues=queues), LIBVIRT)


def test_a_guest_without_an_address() -> None:
    with pytest.raises(exception.InvalidField, match=r"VIFGeneric\.address"):
        admit(card("tap", mac=None), GuestOptions(), LIBVIRT)
    admit(card("any device", mac=None), GuestOptions(), LIBVIRT)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("vhost-user client", {"model": "e1000e"}, "model: 'e1000e'.*virtio"),
        ("tap", {"tx_queue_size": 512}, "tx_queue_size: 512.*256 at most for a tap"),
        ("tap", {"libvirt_makes_it": True}, "a VIFDirect, and not a tap"),
        ("function", {"queues": 2}, "queues: 2.*a PCI function brings its own"),
        ("macvtap", {"by_name": True}, "descriptors: a macvtap cannot be opened by its name"),
    ],
)
def test_options_that_do_not_go_with_the_card(
    name: str, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(exception.InvalidField, match=words):
        admit(card(name), GuestOptions(**options), LIBVIRT)


@pytest.mark.parametrize(
    ("mtu", "address", "told"),
    [
        (1279, "2001:db8::9/64", True),
        (1280, "2001:db8::9/64", False),
        (68, "192.0.2.9/24", False),
    ],
)
def test_an_mtu_too_small_for_ipv6_is_told(mtu: int, address: str, told: bool) -> None:
    small = dataclasses.replace(card("tap"), end=Tap(device=NAME, mtu=mtu), addresses=(address,))
    assert any("1280" in note for note in notes(small, GuestOptions(), (), QEMU)) is told


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("queues", value) for value in (0, 257, -1, "2", "2x", True, 1.0, None)),
        *(("model", value) for value in ("", "virtio,mac=x", "cirrus", None)),
        ("vhost", "maybe"),
        ("domain_type", "xen"),
        *(("rx_queue_size", value) for value in (0, 100, 2048, "256", True)),
        *(("memory", value) for value in (0, -1, "1G", 1 << 60, True)),
        *(("vcpus", value) for value in (0, "2", True)),
        *(("id", value) for value in ("0", "a,b", "a b", "ä", "a" * 65, "-a")),
        *(("bus", value) for value in ("pcie.0,addr=1", "1")),
        *(("qemu_version", value) for value in ("7.1", "7", "new", "7.2x", "-1.0")),
        *(("firecracker_version", value) for value in ("0.25", "1", "newest")),
    ],
)
def test_options_that_cannot_be(field: str, value: Any) -> None:
    with pytest.raises(exception.InvalidField, match=f"^{field}: "):
        GuestOptions(**{field: value})


@pytest.mark.parametrize(
    "options",
    [{"queues": 2}, {"rx_queue_size": 512}, {"tx_queue_size": 256}, {"vhost": "on"}],
)
def test_only_virtio_has_queues_and_vhost(options: dict[str, Any]) -> None:
    GuestOptions(**options)
    with pytest.raises(exception.InvalidField, match="virtio"):
        GuestOptions(model="e1000e", **options)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        (Tap, "device", "a,b"),
        (Tap, "device", "tap-of-16-letters"),
        (Macvtap, "device", "../x"),
        (HypervisorTap, "bridge", "br0'/>"),
        (Tap, "mtu", 67),
        (Tap, "mtu", 65536),
    ],
)
def test_ends_check_what_they_are_given(kind: Any, field: str, value: Any) -> None:
    with pytest.raises(exception.InvalidField):
        kind(**{"device": "tap-web", field: value})


@pytest.mark.parametrize(
    "path", ["", "relative", "/a\nb", "/a\0b", "/x/", f"/{'x' * 107}", "/\udcff"]
)
def test_paths_that_no_socket_has(path: str) -> None:
    with pytest.raises(exception.InvalidField, match=r"VIFVHostUser\.path"):
        VhostUser(path=path, mode="client")


def test_other_bad_values_of_ends() -> None:
    for bad in (
        lambda: VhostUser(path="/x", mode="both"),
        lambda: Function(address="3b:00.2", managed=True, ethernet=True),
        lambda: Function(address=PCI, managed=True, ethernet=True, vlan=4095),
    ):
        with pytest.raises(exception.InvalidField):
            bad()


@pytest.mark.parametrize("address", ["01:00:5e:00:00:01", "00:00:00:00:00:00"])
def test_an_address_that_no_guest_has(address: str) -> None:
    with pytest.raises(exception.InvalidField, match=r"VIFGeneric\.address"):
        card_of(vifs.tap_vif(address=address), Tap(device=NAME))
