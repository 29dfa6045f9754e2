# SPDX-License-Identifier: Apache-2.0
"""What cannot be plugged into Open vSwitch: a clear error, and nothing has changed."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import pytest

from os_vif import exception
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug, unplug
from tests.openvswitch import Switch
from tests.switch_witness import assert_only_bridges, interface, make_bridge, refused, snapshot

pytestmark = pytest.mark.functional

TAP = vifs.tap_name(1)
QBR, QVB, QVO = (vifs_ovs.name(prefix) for prefix in ("qbr", "qvb", "qvo"))
MAKERS = [vifs_ovs.plain, vifs_ovs.hybrid, functools.partial(vifs_ovs.vhost_user, mode="server")]


def bad_id(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # oslo.versionedobjects lets it pass
        return vifs_ovs.profile(interface_id=text, create_port=True, create_tap=True)


# --- the VIF itself ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"port_profile": None}, r"\.port_profile: .*a VIFPortProfileOpenVSwitch"),
        ({"port_profile": bad_id("port-1")}, r"port_profile\.interface_id: 'port-1' .*a UUID"),
        ({"port_profile": bad_id("")}, r"interface_id: "),
        ({"port_profile": vifs_ovs.profile(datapath_type="wind")}, r"datapath_type: 'wind' "),
        ({"network": None}, r"\.network: "),
        ({"network": vifs.network("")}, r"bridge: "),
        ({"network": vifs.network("br/int")}, r"bridge: 'br/int' "),
        ({"network": vifs.network("a-bridge-too-long")}, r"bridge: .*at most 15 bytes"),
        ({"network": vifs.network(vifs_ovs.BRIDGE, mtu=12)}, r"network\.mtu: 12 "),
        ({"address": None}, r"\.address: "),
        ({"address": "01:00:5e:00:00:01"}, r"\.address: .*multicast"),
    ],
)
def test_of_any_kind(switch: Switch, fields: dict[str, Any], words: str) -> None:
    make_bridge(switch)
    for make in MAKERS:
        with refused(switch, words):
            plug(make(**fields))


@pytest.mark.parametrize("make", MAKERS)
def test_what_only_plugging_needs_may_be_missing_later(switch: Switch, make: Any) -> None:
    make_bridge(switch)
    profile = vifs_ovs.profile()
    delattr(profile, "_obj_interface_id")
    unplug(make(address=None, port_profile=profile))
    if make is not MAKERS[2]:
        plug(make())
        unplug(make(address=None, port_profile=profile))
        assert_only_bridges(switch, vifs_ovs.BRIDGE)


@pytest.mark.parametrize(
    ("vif", "words"),
    [
        (vifs_ovs.plain(vif_name=None), r"vif_name: "),
        (vifs_ovs.plain(vif_name="a/b"), r"vif_name: 'a/b' "),
        (vifs_ovs.plain(vif_name="a" * 16), r"vif_name: .*at most 15 bytes"),
        (vifs_ovs.hybrid(bridge_name=None), r"bridge_name: .* cannot be used"),
        (vifs_ovs.hybrid(bridge_name="q b"), r"bridge: 'q b' cannot be used"),
        (vifs_ovs.vhost_user(mode="server", path=None), r"\.path: "),
    ],
)
def test_of_one_kind(switch: Switch, vif: Any, words: str) -> None:
    make_bridge(switch)
    with refused(switch, words):
        plug(vif)


def test_a_kind_of_vif_that_is_not_taken(switch: Switch) -> None:
    from os_vif.objects.vif import VIFDirect

    vif = VIFDirect(id=vifs.vif_id(1), plugin="ovs", port_profile=vifs_ovs.profile())
    before = snapshot(switch)
    with pytest.raises(exception.NoMatchingVIFClass, match="VIFDirect"):
        plug(vif)
    assert witness.differences(before, snapshot(switch)) == []


def test_a_kind_of_profile_that_is_not_taken(switch: Switch) -> None:
    from os_vif.objects.vif import VIFPortProfileBase

    before = snapshot(switch)
    for make in MAKERS:
        with pytest.raises(exception.NoMatchingPortProfileClass, match="VIFPortProfileBase"):
            plug(make(port_profile=VIFPortProfileBase()))
    assert witness.differences(before, snapshot(switch)) == []


# --- what is in the way on the switch ------------------------------------------------------------


def test_a_bridge_in_another_datapath(switch: Switch) -> None:
    """Rewriting it would cut off every port the bridge has."""
    make_bridge(switch)
    for make in MAKERS:
        vif = make()
        vif.port_profile.datapath_type = "system"
        with refused(switch, f"bridge {vifs_ovs.BRIDGE} is in the way: .*netdev.*system"):
            plug(vif)


@pytest.mark.parametrize(
    ("vif", "name"),
    [
        pytest.param(vifs_ovs.plain(), TAP, id="plain"),
        pytest.param(vifs_ovs.hybrid(), QVO, id="hybrid"),
        pytest.param(vifs_ovs.vhost_user(mode="server"), vifs_ovs.name("vhu"), id="vhost-user"),
    ],
)
@pytest.mark.parametrize("bridge", [vifs_ovs.BRIDGE, "br-other"])
def test_a_port_of_another_vif(switch: Switch, vif: Any, name: str, bridge: str) -> None:
    make_bridge(switch)
    if bridge != vifs_ovs.BRIDGE:
        make_bridge(switch, bridge)
    switch.vsctl(
        *("add-port", bridge, name, "--", "set", "Interface", name, "type=patch"),
        *("options:peer=none", f"external_ids:iface-id={vifs.vif_id(2)}"),
    )
    with refused(switch, f"port {name} is in the way: .*{vifs.vif_id(2)}.*{bridge}"):
        plug(vif)
    before = snapshot(switch)
    unplug(vif)
    assert witness.differences(before, snapshot(switch)) == []


def test_a_port_with_another_vifs_mark(switch: Switch) -> None:
    """Whatever its iface-id says."""
    plug(vifs_ovs.plain(2, vif_name=TAP))
    switch.vsctl("set", "Interface", TAP, f"external_ids:iface-id={vifs.vif_id(1)}")
    with refused(switch, "is in the way"):
        plug(vifs_ovs.plain())
    unplug(vifs_ovs.plain())
    assert interface(switch, TAP) is not None


def test_a_strangers_port(switch: Switch) -> None:
    make_bridge(switch)
    switch.vsctl(
        *("add-port", vifs_ovs.BRIDGE, "mine", "--", "set", "Interface", "mine", "type=patch"),
        "options:peer=none",
    )
    vif = vifs_ovs.plain(vif_name="mine")
    with refused(switch, "port mine is in the way: .*stranger"):
        plug(vif)
    before = snapshot(switch)
    unplug(vif)
    assert witness.differences(before, snapshot(switch)) == []


@pytest.mark.parametrize("ids", ["", f"external_ids:iface-id={vifs.vif_id(2)}"])
def test_the_device_of_anothers_port(switch: Switch, ids: str) -> None:
    """It is Open vSwitch's own, or another VIF's, whatever its name."""
    make_bridge(switch)
    port = f"add-port {vifs_ovs.BRIDGE} {TAP} -- set Interface {TAP} type=internal {ids}"
    switch.vsctl(*port.split())
    with refused(switch, f"{TAP} is in the way"):
        plug(vifs_ovs.plain())
    before = snapshot(switch)
    unplug(vifs_ovs.plain())
    assert witness.differences(before, snapshot(switch)) == []


@pytest.mark.parametrize("name", [vifs_ovs.name("pb"), vifs_ovs.name("ibp", length=64)])
def test_a_name_of_the_own_bridge_is_taken(switch: Switch, name: str) -> None:
    make_bridge(switch)
    if name.startswith("pb"):
        make_bridge(switch, name)
        switch.vsctl(
            "set", "Bridge", name, f'external_ids:os-vif="os-vif vif={vifs.vif_id(2)} plugin=ovs"'
        )
    else:
        switch.vsctl(
            *("add-port", vifs_ovs.BRIDGE, name, "--", "set", "Interface", name, "type=patch"),
            *("options:peer=x", f"external_ids:iface-id={vifs.vif_id(2)}"),
        )
    with vifs.configured("ovs", per_port_bridge=True), refused(switch, f"{name} is in the way"):
        plug(vifs_ovs.plain())


def test_the_switch_is_named_as_the_port(switch: Switch) -> None:
    make_bridge(switch)
    with refused(switch, "in the way"):
        plug(vifs_ovs.plain(vif_name=vifs_ovs.BRIDGE))


# --- what is in the way on the host --------------------------------------------------------------


@pytest.mark.parametrize("kind", ["veth peer name other", "bridge"])
def test_a_device_that_is_no_tap(switch: Switch, kind: str) -> None:
    make_bridge(switch)
    witness.ip(f"link add {TAP} type {kind}")
    with refused(switch, f"{TAP} is in the way"):
        plug(vifs_ovs.plain())
    before = snapshot(switch)
    unplug(vifs_ovs.plain())
    assert witness.differences(before, snapshot(switch)) == []


@pytest.mark.parametrize("name", [QBR, QVB, QVO])
def test_hybrid_names_that_are_taken(switch: Switch, name: str) -> None:
    make_bridge(switch)
    kind = "bridge" if name != QBR else "veth peer name other"
    witness.ip(f"link add {name} type {kind}")
    with refused(switch, f"{name} is in the way"):
        plug(vifs_ovs.hybrid())


# --- what Open vSwitch cannot do -----------------------------------------------------------------


def test_unplug_says_when_it_cannot(switch: Switch) -> None:
    plug(vifs_ovs.plain())
    with (
        vifs.configured("ovs", ovsdb_connection=f"{switch.remote}.gone", ovs_vsctl_timeout=1),
        pytest.raises(exception.UnplugException, match="gone"),
    ):
        unplug(vifs_ovs.plain())
    assert interface(switch, TAP) is not None
