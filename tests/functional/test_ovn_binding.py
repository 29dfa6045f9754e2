# SPDX-License-Identifier: Apache-2.0
"""Ports that OVN is to bind: waited for, and told why it has not."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from os_vif.system import ovsdb
from tests import ovn, vifs, vifs_ovs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, steps_left, unplug
from tests.openvswitch import Switch
from tests.waiting import until

pytestmark = pytest.mark.functional

IN_VAIN_S = 4
"""For what OVN is never going to bind; Open vSwitch must have followed by then."""


@pytest.fixture
def chassis(centre: ovn.Centre, inside: Any, switch: Switch) -> Iterator[ovn.Chassis]:
    with vifs.configured("ovs", wait_for="ovn"):
        made = ovn.Chassis(centre, inside, switch, "h1")
        yield made
        made.close()


def add_port(centre: ovn.Centre, number: int = 1) -> str:
    port = vifs.vif_id(number)
    centre.add_port("blue", port, f"{vifs.guest_mac(number)} 10.5.0.{number}")
    return port


def installed(switch: Switch, number: int = 1) -> bool:
    return switch.get("Interface", vifs.tap_name(number), "external_ids:ovn-installed") == "true"


def warnings(vif: Any) -> list[str]:
    [found] = verbs.examine([(vif, vifs.instance())])
    return [str(it.words) for it in found.warnings]


def test_plug_returns_when_it_is_bound(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    add_port(centre)
    vif = vifs_ovs.plain()
    plug(vif)
    assert installed(chassis.switch)
    assert steps_left(vif) == []
    # Nothing watches any more, and the connection serves again.
    plug(vif)
    unplug(vif)
    assert chassis.switch.get("Interface", vifs.tap_name(1), "name") == ""


def test_a_look_takes_the_connection_that_is_there(
    centre: ovn.Centre, chassis: ovn.Chassis, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_port(centre)
    vif, made = vifs_ovs.plain(), []
    with vifs.configured("ovs", wait_for="attached"):
        plug(vif)
    connect = ovsdb._connect

    def counted(database: Any, *arguments: Any, **options: Any) -> Any:
        made.append(database.name)
        return connect(database, *arguments, **options)

    monkeypatch.setattr(ovsdb, "_connect", counted)
    for _time in range(2):
        warnings(vif)
    assert made == ["OVN_Southbound"]


def test_the_logical_port_comes_later(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    vif, done = vifs_ovs.plain(), threading.Event()

    def make() -> None:
        time.sleep(1)
        assert not done.is_set()
        add_port(centre)

    maker = threading.Thread(target=make)
    maker.start()
    plug(vif)
    done.set()
    maker.join()
    assert installed(chassis.switch)


def test_a_port_that_is_there_already(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    """Plugged before without waiting; now it is waited for."""
    vif = vifs_ovs.plain()
    with vifs.configured("ovs", wait_for="attached"):
        plug(vif)
    maker = threading.Timer(0.5, add_port, [centre])
    maker.start()
    plug(vif)
    maker.join()
    assert installed(chassis.switch)


def test_one_that_waits_keeps_nobody_else_waiting(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    """One VIF is unknown to OVN; another, of another caller, is plugged meanwhile."""
    add_port(centre, 2)
    failed: list[Exception] = []

    def wait() -> None:
        try:
            with host.enter():
                plug(vifs_ovs.plain(1))
        except exception.PlugException as error:
            failed.append(error)

    host = chassis._host
    with vifs.configured("ovs", ovs_vsctl_timeout=20):
        waiting = threading.Thread(target=wait)
        waiting.start()
        until(lambda: chassis.switch.get("Interface", vifs.tap_name(1), "name"))
        plug(vifs_ovs.plain(2))
        assert waiting.is_alive()
        waiting.join()
    assert failed


def unbound(words: str, vif: Any = None) -> None:
    """Expect plugging to fail with the reason, to be undone, and ``check`` to say the same."""
    vif = vif or vifs_ovs.plain()
    before = witness.snapshot()
    said = f"OVN has not bound it within {IN_VAIN_S} s.*{words}"
    with (
        vifs.configured("ovs", ovs_vsctl_timeout=IN_VAIN_S),
        pytest.raises(exception.PlugException, match=said),
    ):
        plug(vif)
    # Open vSwitch gives its bridge the smallest MTU of its ports, when it gets to it.
    later = witness.differences(before, witness.snapshot())
    assert [it for it in later if not re.match("/links/br-(int|other)/mtu", it)] == []
    with vifs.configured("ovs", wait_for="attached"):
        plug(vif)
    assert any(re.search(words, it) for it in warnings(vif)), warnings(vif)
    [step] = steps_left(vif)
    assert step.kind == "set_port"
    with vifs.configured("ovs", wait_for="attached"):
        assert steps_left(vif) == []
        unplug(vif)


@pytest.mark.parametrize("key", ["system-id", "ovn-remote", "ovn-encap-type", "ovn-encap-ip"])
def test_the_host_was_not_told(centre: ovn.Centre, chassis: ovn.Chassis, key: str) -> None:
    add_port(centre)
    chassis.end("controller")
    chassis.switch.vsctl("remove", "Open_vSwitch", ".", "external_ids", key)
    unbound(f"ovn-controller was not told {key}: ovs-vsctl set Open_vSwitch . external_ids:{key}=")


def test_on_another_bridge(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    add_port(centre)
    vif = vifs_ovs.plain(bridge="br-other")
    chassis.switch.vsctl(
        "add-br", "br-other", "--", "set", "Bridge", "br-other", "datapath_type=netdev"
    )
    unbound("it is on br-other, and OVN looks at the ports of br-int alone", vif)


def test_no_logical_port(chassis: ovn.Chassis) -> None:
    unbound(f"there is no logical port {vifs.vif_id(1)} in this OVN")


def test_another_version_of_it(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    port = add_port(centre)
    centre.nbctl("set", "Logical_Switch_Port", port, "options:iface-id-ver=7")
    unbound("iface-id-ver is not set, and OVN wants 7")


def test_wanted_elsewhere(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    port = add_port(centre)
    centre.nbctl("set", "Logical_Switch_Port", port, "options:requested-chassis=h3")
    unbound("OVN wants it on h3; this is h1")


def test_held_elsewhere(
    centre: ovn.Centre,
    chassis: ovn.Chassis,
    other_host: PrivateHost,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another chassis has it, and would fight for it; it stands still meanwhile."""
    add_port(centre)
    away = Switch(other_host)
    other = ovn.Chassis(centre, other_host, away, "h2", "127.0.0.2")
    try:
        away.vsctl(
            *("add-port", "br-int", "other", "--", "set", "Interface", "other", "type=internal"),
            f"external_ids:iface-id={vifs.vif_id(1)}",
        )
        logical = f"logical_port={vifs.vif_id(1)}"
        ovn.until(centre, "Chassis", "name=h2", "hostname", "h2.example")
        uuid = centre.sbctl("--bare", "--columns=_uuid", "find", "Chassis", "name=h2").strip()
        ovn.until(centre, "Port_Binding", logical, "chassis", str(["uuid", uuid]))
        chassis.signal("controller", signal.SIGSTOP)
        words = "h2 has it: it is plugged there too, and both chassis will fight over it"
        unbound(words)
        assert f"{vifs.tap_name(1)}: {words}" in caplog.text
        chassis.signal("controller", signal.SIGCONT)
    finally:
        other.close()
        away.close()


def test_no_controller(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    add_port(centre)
    ovn.until(centre, "Chassis", "name=h1", "hostname", "h1.example")
    chassis.end("controller")  # killed, it leaves its chassis
    unbound("nothing is in the way that can be seen; does ovn-controller run?")
    chassis.tell(system_id="h7")
    unbound("knows no chassis h7: ovn-controller does not run here")


def test_the_southbound_is_away(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    add_port(centre)
    centre.end("sb")
    unbound("what this host was told is in order; .*could not be seen: unix:.*")


def test_an_answer_of_an_earlier_binding(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    """ovn-controller's word stays when it is gone; a port without a device is not bound."""
    add_port(centre)
    vif = vifs_ovs.plain()
    plug(vif)
    chassis.end("controller")
    witness.ip(f"link delete {vifs.tap_name(1)}")
    with (
        vifs.configured("ovs", ovs_vsctl_timeout=IN_VAIN_S),
        pytest.raises(exception.PlugException, match="OVN has not bound it"),
    ):
        plug(vif)
    chassis.start_controller()
    plug(vif)
    assert installed(chassis.switch)


def test_tunnels_that_are_too_narrow(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    add_port(centre)
    witness.ip("link add wire mtu 1500 type bridge\naddr add 192.0.2.1/24 dev wire")
    chassis.tell(ovn_encap_ip="192.0.2.1")
    vif = vifs_ovs.plain()  # of MTU 1450
    plug(vif)
    [narrow] = [it for it in warnings(vif) if "tunnels" in it]
    assert "and wire, which" in narrow
    assert "wire needs 1508, or the network 1442" in narrow
    witness.ip("link set wire mtu 1508")
    assert not [it for it in warnings(vif) if "tunnels" in it]


def test_what_the_hypervisor_makes_is_not_waited_for(
    centre: ovn.Centre, chassis: ovn.Chassis
) -> None:
    vif = vifs_ovs.plain(tap=False)
    plug(vif)
    assert steps_left(vif) == []
    assert not installed(chassis.switch)


def test_hybrid(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    add_port(centre)
    plug(vifs_ovs.hybrid())
    port = vifs_ovs.name("qvo")
    assert chassis.switch.get("Interface", port, "external_ids:ovn-installed") == "true"


def test_many(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    """All of a batch are watched at once; the one that OVN does not know fails alone."""
    for number in (1, 2, 3):
        add_port(centre, number)
    asked = [(vifs_ovs.plain(number), vifs.instance()) for number in (1, 2, 3, 4)]
    with vifs.configured("ovs", ovs_vsctl_timeout=15):
        outcomes = os_vif.plug_many(asked)
    assert [it.error is None for it in outcomes] == [True, True, True, False]
    assert "no logical port" in str(outcomes[3].error)


def mends() -> dict[str, str]:
    """Return what is wrong with this chassis: about, words and what mends it in one."""
    return {it.about: f"{it.words}; {it.mend}" for it in verbs.diagnose("ovn") if it.mend}


def test_a_chassis_is_examined(centre: ovn.Centre, chassis: ovn.Chassis) -> None:
    switch = chassis.switch
    add_port(centre)
    plug(vifs_ovs.plain())
    assert mends() == {}
    known = [it.words for it in verbs.diagnose("ovn") if it.about == "Southbound database"]
    assert known == ["it knows this chassis, h1"]
    chassis.end("controller")  # which would make the integration bridge by itself
    # A network wider than the tunnels, and bridges that are not there.
    tap = vifs.tap_name(1)
    chassis._host.run("ip", "link", "set", tap, "mtu", "65500")
    switch.vsctl("--timeout=30", "wait-until", "Interface", tap, "mtu=65500")
    chassis.tell(ovn_bridge_mappings="physnet1:br-ex,physnet2,physnet3:br-int")
    found = mends()
    assert "lost without a word if they are longer than 65478; ip link set dev lo mtu 65558" in (
        found.pop("lo")
    )
    assert re.search("'physnet2' is no mapping", found.pop("ovn-bridge-mappings"))
    assert found == {}
    chassis.tell(ovn_bridge_mappings="physnet1:br-ex", ovn_bridge="br-x;y")
    found = mends()
    assert "ovs-vsctl add-br br-ex --" in found["ovn-bridge-mappings"]
    assert "ovs-vsctl add-br 'br-x;y' --" in found["br-x;y"]
    assert "external_ids:ovn-bridge=br-int" in found[tap]
    # What it was told leads nowhere.
    chassis.tell(ovn_bridge=None, ovn_bridge_mappings=None, ovn_encap_ip="192.0.2.1")
    chassis.tell(system_id="other", ovn_encap_type=None)
    found = mends()
    assert "ip address add 192.0.2.1/PREFIX dev DEVICE" in found["tunnels"]
    assert "it knows no chassis other" in found["Southbound database"]
    assert (
        "ovs-vsctl set Open_vSwitch . external_ids:ovn-encap-type=geneve"
        in (found["ovn-encap-type"])
    )
    centre.end("sb")
    assert "it cannot be asked: " in mends()["Southbound database"]
