# SPDX-License-Identifier: Apache-2.0
"""From VIFBridge and configuration to what the host should look like: no host needed."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine.topology import Resource
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.links.resources import Bridge, Tap, Uplink, Vlan
from os_vif.verbs import describe
from tests import vifs


def resources(vif: Any, *, unplugging: bool = False, **options: Any) -> tuple[Resource, ...]:
    with vifs.configured("linux_bridge", **options):
        return describe(vif, vifs.instance(), unplugging=unplugging).topology.resources


def uplinked(**fields: Any) -> Any:
    return vifs.bridge_vif(network=vifs.network(**fields))


def test_the_least() -> None:
    assert resources(vifs.bridge_vif()) == (Bridge(name="br0", mtu=1500),)


@pytest.mark.parametrize("fields", [{"multi_host": True}, {"should_provide_bridge": False}])
def test_nothing_is_provided_unasked(fields: dict[str, Any]) -> None:
    vif = uplinked(bridge_interface="eth0", **fields)
    assert resources(vif) == ()
    bridge, tap = resources(vif, create_tap=True)
    assert bridge == Bridge(name="br0", create=False)
    assert isinstance(tap, Tap)


def test_the_tap() -> None:
    _bridge, tap = resources(uplinked(mtu=1400), create_tap=True)
    assert tap == Tap(
        name=vifs.tap_name(1),
        mac="fe:54:00:00:00:01",
        mtu=1400,
        bridge="br0",
        known_macs=frozenset({"52:54:00:00:00:01", "fe:54:00:00:00:01"}),
    )


def test_a_flat_uplink() -> None:
    assert resources(uplinked(bridge_interface="eth0", mtu=9000)) == (
        Bridge(name="br0", mtu=9000),
        Uplink(name="eth0", bridge="br0"),
    ), "a guest's MTU is not its uplink's"
    assert resources(uplinked(bridge_interface="eth0"), flat_interface="bond0") == (
        Bridge(name="br0", mtu=1500),
        Uplink(name="bond0", bridge="br0"),
    )
    least = {"eth0": 9000}
    for options in ({"uplink_mtu": least}, {"uplink_mtu": least, "flat_interface": "bond0"}):
        assert resources(uplinked(bridge_interface="eth0"), **options)[1] == Uplink(
            name=options.get("flat_interface", "eth0"), bridge="br0", mtu=9000
        )
    assert resources(uplinked(), uplink_mtu={"eth0": 9000}, flat_interface="bond0")[1] == Uplink(
        name="bond0", bridge="br0"
    )


def test_a_vlan_uplink() -> None:
    vif = uplinked(bridge_interface="eth0", should_provide_vlan=True, vlan=7)
    vif.has_traffic_filtering = False
    assert resources(vif) == (
        Vlan(name="vlan7", link="eth0", vlan_id=7),
        Bridge(name="br0", mtu=1500),
        Uplink(name="vlan7", bridge="br0"),
    ), "rules are for flat networks alone"
    assert resources(vif, uplink_mtu={"eth0": 9000}) == (
        Vlan(name="vlan7", link="eth0", vlan_id=7, mtu=9000),
        Bridge(name="br0", mtu=1500),
        Uplink(name="vlan7", bridge="br0", mtu=9000),
    )
    vlan, *_ = resources(vif, vlan_interface="bond0", flat_interface="no")
    assert vlan == Vlan(name="vlan7", link="bond0", vlan_id=7)


@pytest.mark.parametrize("tag", [None, 0, 4095, -1])
def test_a_vlan_without_a_usable_id(tag: int | None) -> None:
    with pytest.raises(exception.InvalidField, match=r"network\.vlan: .*1 to 4094"):
        resources(uplinked(bridge_interface="eth0", should_provide_vlan=True, vlan=tag))


def test_a_vlan_without_an_uplink() -> None:
    with pytest.raises(exception.InvalidField, match=r"network\.bridge_interface: .*vlan_inter"):
        resources(uplinked(should_provide_vlan=True, vlan=7))


def rules_of(found: tuple[Resource, ...]) -> list[ForwardRules]:
    return [resource for resource in found if isinstance(resource, ForwardRules)]


def test_rules_for_those_nobody_filters() -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    [rules, of_ipv6] = rules_of(resources(vif))
    assert (rules.ipv6, rules.where_dropped) == (False, False)
    assert rules.rules == (("-i", "br0", "-j", "ACCEPT"), ("-o", "br0", "-j", "ACCEPT"))
    # Nobody said what the guests speak.
    assert of_ipv6 == dataclasses.replace(rules, ipv6=True, where_dropped=True)
    always = [(False, False), (True, False)]
    for asked, subnets in (({"use_ipv6": True}, ()), ({}, [vifs.subnet("2001:db8::/64")])):
        vif.network = vifs.network(subnets=subnets)
        found = rules_of(resources(vif, **asked))
        assert [(one.ipv6, one.where_dropped) for one in found] == always
    vif.network = vifs.network(subnets=[vifs.subnet("10.0.0.0/24")])
    assert [one.ipv6 for one in rules_of(resources(vif))] == [False]
    vif.has_traffic_filtering = True
    assert rules_of(resources(vif)) == []


def test_rules_that_bound_the_traffic() -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    [rules, _of_ipv6] = rules_of(
        resources(
            vif,
            forward_bridge_interface=["eth0", "eth1"],
            iptables_drop_action="REJECT",
            iptables_top_regex="^top",
            iptables_bottom_regex="bottom$",
        )
    )
    assert [" ".join(rule) for rule in rules.rules] == [
        "-i br0 -o eth0 -j ACCEPT",
        "-i eth0 -o br0 -j ACCEPT",
        "-i br0 -o eth1 -j ACCEPT",
        "-i eth1 -o br0 -j ACCEPT",
        "-i br0 -o br0 -j ACCEPT",
        "-i br0 -j REJECT",
        "-o br0 -j REJECT",
    ]
    assert (rules.top_regex, rules.bottom_regex) == ("^top", "bottom$")


def test_a_pattern_that_is_none() -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    with pytest.raises(exception.InvalidField, match="iptables_top_regex"):
        resources(vif, iptables_top_regex="(")


@pytest.mark.parametrize("create_tap", [False, True])
def test_remains_do_not_depend_on_the_configuration(create_tap: bool) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    found = resources(vif, unplugging=True, create_tap=create_tap, network_device_mtu=7)
    assert [one.ipv6 for one in rules_of(found)] == [False, True]
    [tap] = [one for one in found if isinstance(one, Tap)]
    assert tap.name == vif.vif_name
    assert tap.adopt is create_tap, "or it is the hypervisor's"


def test_names() -> None:
    vif = vifs.bridge_vif(network=None, bridge_name="br7")
    assert resources(vif) == ()
    assert [one.name for one in resources(vif, create_tap=True) if isinstance(one, Bridge)] == [
        "br7"
    ]
    from os_vif.objects.vif import VIFBridge

    bare = VIFBridge(
        id=vifs.vif_id(1),
        address=vifs.guest_mac(1),
        network=vifs.network("br5"),
        plugin="linux_bridge",
    )
    bridge, *_rules, tap = resources(bare, create_tap=True)
    assert isinstance(bridge, Bridge)
    assert isinstance(tap, Tap)
    assert (bridge.name, tap.name) == ("br5", vifs.tap_name(1))


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"vif_name": ""}, "vif_name"),
        ({"vif_name": "a" * 16}, "vif_name"),
        ({"bridge_name": ""}, "bridge"),
        ({"bridge_name": "br 0"}, "bridge"),
        ({"address": None}, "VIFBridge.address"),
        ({"address": "ff:ff:ff:ff:ff:ff"}, "VIFBridge.address"),
        ({"network": vifs.network(mtu=67)}, "network.mtu"),
        ({"network": vifs.network(mtu=65536)}, "network.mtu"),
        ({"network": vifs.network(bridge_interface="a/b")}, "bridge_interface"),
    ],
)
def test_bad_input(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(exception.InvalidField) as caught:
        resources(vifs.bridge_vif(**fields), create_tap=True)
    assert caught.value.kwargs["field"] == field


def test_a_vif_without_id() -> None:
    from os_vif.objects.vif import VIFBridge

    vif = VIFBridge(plugin="linux_bridge", bridge_name="br0", address=vifs.guest_mac(1))
    with pytest.raises(exception.InvalidField, match="id"):
        resources(vif, create_tap=True)
    with pytest.raises(exception.InvalidField, match="id"):
        resources(vif, unplugging=True)


def test_other_classes_are_refused() -> None:
    vif = vifs.tap_vif()
    vif.plugin = "linux_bridge"
    with pytest.raises(exception.NoMatchingVIFClass):
        resources(vif)
    from os_vif.objects.vif import VIFPortProfileOpenVSwitch

    vif = vifs.bridge_vif(port_profile=VIFPortProfileOpenVSwitch())
    with pytest.raises(exception.NoMatchingPortProfileClass):
        resources(vif)
