# SPDX-License-Identifier: Apache-2.0
"""The plugin ``ovs`` and the representors of virtual functions, on the kernel's Open vSwitch."""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif import exception
from tests import switch_witness, vifs, vifs_ovs
from tests.lab.devices.nics import EndIn, GuestItself, Nic, Representor, reaches
from tests.openvswitch import Switch

pytestmark = pytest.mark.lab

Representors = tuple[Representor, ...]


@pytest.fixture(autouse=True)
def _integration_bridge(switch: Switch) -> None:
    switch.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=system")


def plug(vif: Any) -> None:
    os_vif.plug(vif, vifs.instance())


def unplug(vif: Any) -> None:
    os_vif.unplug(vif, vifs.instance())


def steps_left(vif: Any) -> list[Any]:
    return os_vif.check(vif, vifs.instance())


def seen(here: GuestItself, name: str) -> tuple[bool, int, str]:
    link = here.links()[name]
    return "UP" in link["flags"], link["mtu"], link.get("ifalias", "")


def test_a_representor_is_the_port(
    here: GuestItself, switch: Switch, representors: Representors, end_in: EndIn
) -> None:
    pairs = [(number, representors[number]) for number in (0, 1)]
    plugged = [vifs_ovs.host_device(number + 1, one.vf) for number, one in pairs]
    for vif, (number, one) in zip(plugged, pairs, strict=True):
        plug(vif)
        up, mtu, alias = seen(here, one.netdev)
        assert (up, mtu) == (True, vifs_ovs.MTU)
        assert vif.id in alias
        row = switch_witness.interface(switch, one.netdev)
        assert row is not None
        assert row["attached"]
        assert switch_witness.ids(switch, one.netdev) == vifs_ovs.ids(number + 1)
        assert steps_left(vif) == []
        plug(vif)
    one, two = (end_in(item.far, f"10.0.0.{number + 1}/24") for number, item in pairs)
    assert reaches(one, "10.0.0.2")
    assert reaches(two, "10.0.0.1")
    assert [item.mark.vif_id for item in os_vif.list_vifs()] == [vif.id for vif in plugged]
    here.run("ip", "link", "set", representors[0].netdev, "down")
    assert steps_left(plugged[0]) != []
    plug(plugged[0])
    assert steps_left(plugged[0]) == []
    unplug(plugged[0])
    unplug(plugged[0])
    assert seen(here, representors[0].netdev)[::2] == (False, "")
    assert switch.vsctl("list-ports", "br-int").split() == [representors[1].netdev]
    os_vif.gc([])
    assert seen(here, representors[1].netdev)[::2] == (False, "")
    assert switch.vsctl("list-ports", "br-int") == ""
    assert switch.vsctl("list", "QoS") == ""


def test_another_name_for_the_time_being(
    here: GuestItself, switch: Switch, representors: Representors
) -> None:
    own = representors[2].netdev
    index = here.links()[own]["ifindex"]
    named = vifs_ovs.host_device(1, representors[2].vf, name="tap-vm")
    other = vifs_ovs.host_device(1, representors[2].vf, name="tap-other")
    plain = vifs_ovs.host_device(1, representors[2].vf)
    for vif, name in ((named, "tap-vm"), (other, "tap-other"), (plain, own), (named, "tap-vm")):
        plug(vif)
        assert here.links()[name]["ifindex"] == index
        assert seen(here, name)[0]
        assert switch.vsctl("list-ports", "br-int").split() == [name]
        assert steps_left(vif) == []
    # Also by one who knows nothing of the name.
    unplug(plain)
    assert here.links()[own]["ifindex"] == index
    assert seen(here, own)[::2] == (False, "")
    assert "tap-vm" not in here.links()
    plug(named)
    os_vif.gc([])
    assert here.links()[own]["ifindex"] == index
    assert switch.vsctl("list-ports", "br-int") == ""


def refused(vif: Any, words: str, switch: Switch, here: GuestItself) -> None:
    before = (switch.vsctl("show"), {name: link["flags"] for name, link in here.links().items()})
    with pytest.raises(exception.PlugException, match=words):
        plug(vif)
    after = (switch.vsctl("show"), {name: link["flags"] for name, link in here.links().items()})
    assert after == before


def test_refused(
    here: GuestItself, switch: Switch, representors: Representors, nic: Nic, end_in: EndIn
) -> None:
    plug(vifs_ovs.host_device(2, representors[3].vf))
    for vif, words in (
        (vifs_ovs.host_device(1, "0000:ff:1f.7"), "0000:ff:1f.7.*no such PCI device"),
        (vifs_ovs.host_device(1, nic.pf), "not a virtual function"),
        (vifs_ovs.host_device(1, representors[3].vf), f"in the way.*{vifs.vif_id(2)}"),
        (
            vifs_ovs.host_device(1, representors[4].vf, name=representors[5].netdev),
            f"{representors[5].netdev} is in the way",
        ),
    ):
        refused(vif, words, switch, here)
    # Into another namespace, as if its driver had made none.
    end_in(representors[6].netdev, "10.0.0.7/24")
    refused(
        vifs_ovs.host_device(1, representors[6].vf),
        "no representor of virtual function 6",
        switch,
        here,
    )


def test_without_a_switch_on_the_card(here: GuestItself, switch: Switch, nic: Nic) -> None:
    refused(vifs_ovs.host_device(1, nic.vfs[0]), "is it in switchdev mode", switch, here)
