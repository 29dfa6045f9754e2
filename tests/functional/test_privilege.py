# SPDX-License-Identifier: Apache-2.0
"""A caller without privilege, through the real oslo.privsep daemon.

The daemon is started by the operator's helper command while the caller still is root, as sudo
would; then the caller becomes nobody.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif import exception
from os_vif.engine import journal
from os_vif.engine.topology import Mark
from tests import openvswitch, vifs, vifs_ovs, witness
from tests.command import APART, COMMAND, ForkServer

pytestmark = pytest.mark.functional

NOBODY = 65534
HELPER = (
    f"{sys.executable} -c 'from oslo_privsep.daemon import helper_main as m; raise SystemExit(m())'"
)
SERVER = ForkServer(os.environ, str(Path(COMMAND).with_name("privsep-helper")))
BRIDGES, OTHERS = "vif_plug_linux_bridge_privileged", "os_vif_privileged"
SWITCH, FAST_PATH = "vif_plug_ovs_privileged", "vhostuser_fp_privileged"


@functools.cache
def served_helper() -> str:
    """Return a helper command whose daemons are forked from a process that has loaded all."""
    if APART:
        return HELPER
    folder = tempfile.TemporaryDirectory(prefix="helper-")
    atexit.register(folder.cleanup)
    SERVER.install(Path(folder.name))
    return f"{folder.name}/privsep-helper"


def as_nobody(
    act: Callable[[], Any], *, section: str | tuple[str, ...] = BRIDGES, helper: str | None = ""
) -> None:
    """Run ``act`` in a child that has lost all privilege, and fail with what it says.

    :param section: the configuration section of the daemon, or those of several.
    :param helper: the helper command of the daemon, if not that of most; None for one that
        cannot run.
    """
    from os_vif.engine import privilege

    command = "/nonexistent/privsep-helper" if helper is None else helper or served_helper()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            cfg.CONF([], project="os-vif-tests", default_config_files=[])
            contexts = {
                BRIDGES: privilege.linux_bridge,
                SWITCH: privilege.ovs,
                FAST_PATH: privilege.fast_path,
            }
            for name in (section,) if isinstance(section, str) else section:
                cfg.CONF.set_override("helper_command", command, name)
                if helper is not None:
                    contexts.get(name, privilege.default).start()
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            act()
            status = 0
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode())
        finally:
            # The daemons end with their connections.
            os._exit(status)
    os.close(writing)
    _, status = os.waitpid(child, 0)
    with open(reading) as said:
        words = said.read()
    assert status == 0, words


def counted() -> list[str]:
    """Return a list that grows by one entry with each call to a daemon."""
    from os_vif.engine import privilege

    calls: list[str] = []
    contexts = (privilege.linux_bridge, privilege.ovs, privilege.fast_path, privilege.default)
    for context in contexts:
        channel = context.channel
        if channel is None:
            continue
        remote_call = channel.remote_call

        def count(
            name: Any, *args: Any, remote_call: Callable[..., Any] = remote_call, **options: Any
        ) -> Any:
            calls.append(str(name))
            return remote_call(name, *args, **options)

        channel.remote_call = count
    return calls


def test_a_bridge_with_rules_and_tap(inside: Any) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)

    def act() -> None:
        with pytest.raises(PermissionError):
            open("/proc/self/oom_score_adj", "w").write("-1000")  # noqa: SIM115
        calls = counted()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1, "one round trip"
        calls.clear()
        assert os_vif.check(vif, vifs.instance()) == []
        assert len(calls) == 1, "the rules can only be seen with privilege"
        calls.clear()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1

    with vifs.configured("linux_bridge", create_tap=True):
        as_nobody(act)
        assert os_vif.check(vif, vifs.instance()) == []
        assert witness.rules()

        def again() -> None:
            calls = counted()
            os_vif.unplug(vif, vifs.instance())
            assert len(calls) == 1
            os_vif.unplug(vif, vifs.instance())

        as_nobody(again)
    assert list(inside.links()) == ["br0"]
    assert witness.rules() == []


def test_who_asks_gets_what_can_be_seen_without_privilege(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    guest = vifs.instance()

    def refused(act: Callable[..., Any]) -> bool:
        with pytest.raises(exception.NotPrivileged):
            act(vif, guest)
        with pytest.raises(exception.NotPrivileged):
            act(vif, guest, partial=True)  # the configuration names a helper, which fails
        return True

    def act() -> None:
        assert refused(os_vif.plan)
        assert refused(os_vif.check)
        # Nobody is no sudoer, if there is a sudo at all.
        cfg.CONF.clear_override("helper_command", BRIDGES)
        with pytest.raises(exception.NotPrivileged):
            os_vif.check(vif, guest)
        planned = tuple(os_vif.plan(vif, guest, partial=True))
        assert {step.kind.removesuffix("_where_dropped") for step in planned} == {"set_forwarding"}
        assert os_vif.check(vif, guest, partial=True) == []
        [found] = os_vif.examine([(vif, guest)], partial=True)
        assert (found.error, found.steps, found.assumed) == (None, planned, planned)
        assert [(it.what, it.needs) for it in found.unseen] == [("FORWARD rules", "CAP_NET_ADMIN")]
        [without] = os_vif.examine([(vif, guest)])
        assert isinstance(without.error, exception.NotPrivileged)

    with vifs.configured("linux_bridge", create_tap=True):
        os_vif.plug(vif, guest)
        as_nobody(act, helper=None)
        [found] = os_vif.examine([(vif, guest)], partial=True)
        assert (found.steps, found.unseen) == ((), ()), "who may see it all does"


def test_a_port_with_settings(inside: Any) -> None:
    vif = vifs.bridge_vif()

    def act() -> None:
        calls = counted()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1, "one round trip"
        assert os_vif.check(vif, vifs.instance()) == []

    with vifs.configured("linux_bridge", create_tap=True, port_settings={"isolated": True}):
        as_nobody(act)
    port = witness.link(vif.vif_name)
    assert port is not None
    assert port["linkinfo"]["info_slave_data"]["isolated"] is True


def test_without_rules_what_is_well_needs_no_daemon(inside: Any) -> None:
    vif = vifs.bridge_vif()

    def act() -> None:
        calls = counted()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1
        os_vif.plug(vif, vifs.instance())
        assert os_vif.check(vif, vifs.instance()) == []
        assert len(calls) == 1
        os_vif.unplug(vif, vifs.instance())
        assert len(calls) == 2

    with vifs.configured("linux_bridge", create_tap=True):
        as_nobody(act)
    assert list(inside.links()) == ["br0"]


def test_an_uplink_moves_in_one_round_trip(uplink: Any) -> None:
    vif = vifs.bridge_vif(network=vifs.network(bridge_interface="eth0"))

    def act() -> None:
        calls = counted()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1

    as_nobody(act)
    assert os_vif.check(vif, vifs.instance()) == []
    assert witness.addresses("eth0") == []


def test_the_way_back(uplink: Any) -> None:
    network = vifs.network(bridge_interface="eth0")
    vif = vifs.bridge_vif(network=network, has_traffic_filtering=False)
    before = witness.snapshot()
    options = {"create_tap": True, "uplink_mtu": {"eth0": 4000}}
    with vifs.configured("linux_bridge", **options):

        def act() -> None:
            os_vif.plug(vif, vifs.instance())
            os_vif.unplug(vif, vifs.instance())
            assert [it.name for it in os_vif.unused_bridges([])] == ["br0"]
            [outcome] = os_vif.unplug_many([(vif, vifs.instance())], with_bridge=True)
            assert outcome.error is None
            os_vif.plug(vif, vifs.instance())
            os_vif.unplug(vif, vifs.instance())
            os_vif.gc([], bridges=True)

        as_nobody(act, section=(BRIDGES, OTHERS))
    left = witness.differences(before, witness.snapshot())
    # What the kernel makes of an IPv6 address comes a moment after it.
    assert [line for line in left if "'table': 'local'" not in line] == []


def test_a_routed_tap(inside: Any) -> None:
    subnets = [
        vifs.subnet("10.65.0.0/16", ["10.65.0.1"]),
        vifs.subnet("2001:db8:7::/64", ["2001:db8:7::1"], gateway="2001:db8:7::ff"),
    ]
    vif = vifs.tap_vif(network=vifs.network(subnets=subnets))

    def act() -> None:
        calls = counted()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1
        assert os_vif.check(vif, vifs.instance()) == []
        os_vif.unplug(vif, vifs.instance())
        assert len(calls) == 2
        os_vif.plug(vif, vifs.instance())

    with vifs.configured("tap", routed=True):
        as_nobody(act, section=OTHERS)
        assert os_vif.check(vif, vifs.instance()) == []


def test_many_in_one_round_trip(inside: Any) -> None:
    many = [(vifs.bridge_vif(number), vifs.instance()) for number in range(1, 21)]

    def act() -> None:
        calls = counted()
        assert all(outcome.error is None for outcome in os_vif.plug_many(many))
        assert len(calls) == 1
        assert all(outcome.error is None for outcome in os_vif.unplug_many(many))
        assert len(calls) == 2

    with vifs.configured("linux_bridge", create_tap=True):
        as_nobody(act)
    assert list(inside.links()) == ["br0"]


@pytest.mark.parametrize(
    ("make", "trips"), [(vifs_ovs.plain, 1), (vifs_ovs.hybrid, 1)], ids=["tap", "hybrid"]
)
def test_open_vswitch(inside: Any, make: Any, trips: int) -> None:
    """Its database is asked by the caller itself; only devices need privilege."""
    vif = make(1)
    with contextlib.closing(openvswitch.Switch(inside, tcp=True)) as switch:

        def act() -> None:
            calls = counted()
            os_vif.plug(vif, vifs.instance())
            assert len(calls) == trips
            assert os_vif.check(vif, vifs.instance()) == []
            os_vif.plug(vif, vifs.instance())
            assert len(calls) == trips
            os_vif.unplug(vif, vifs.instance())
            assert len(calls) == 2 * trips

        with vifs.configured("ovs", ovsdb_connection=switch.tcp, ovs_vsctl_timeout=30):
            as_nobody(act, section=SWITCH)
        assert switch.vsctl("list-ports", "br-int") == ""
        assert set(inside.links()) == {"br-int", "ovs-netdev"}


def test_a_containers_veth_goes_with_its_port(inside: Any) -> None:
    """Its runtime has made it, so no mark says that the daemon may."""
    vif = vifs_ovs.plain(port=False, tap=False)
    with contextlib.closing(openvswitch.Switch(inside, tcp=True)) as switch:

        def act() -> None:
            os_vif.unplug(vif, vifs.instance())

        with vifs.configured("ovs", ovsdb_connection=switch.tcp, ovs_vsctl_timeout=30):
            os_vif.plug(vif, vifs.instance())
            witness.ip(f"link add {vif.vif_name} type veth peer name inside")
            as_nobody(act, section=SWITCH)
        assert set(inside.links()) == {"br-int", "ovs-netdev"}


@pytest.mark.usefixtures("kernel_refuses")
def test_a_failure_comes_back_with_the_kernels_words_and_undone(
    inside: Any, caplog: pytest.LogCaptureFixture
) -> None:
    vif = vifs.bridge_vif(network=vifs.network(mtu=65535))
    before = witness.snapshot()
    caplog.set_level(logging.DEBUG, logger=journal.__name__)

    def act() -> None:
        with pytest.raises(exception.PlugException, match=r"could not create tap .*mtu") as caught:
            os_vif.plug(vif, vifs.instance())
        assert isinstance(caught.value.__cause__, exception.StepFailed)
        told = [item.getMessage() for item in caplog.records if item.name == journal.__name__]
        assert told[0].startswith(f"VIF {vif.id}: failed: create tap {vif.vif_name}: "), told
        assert told[1:] == [f"VIF {vif.id}: taken back: delete br0, which nobody uses"], told

    with vifs.configured("linux_bridge", create_tap=True):
        as_nobody(act)
    assert witness.differences(before, witness.snapshot()) == []


GOOD = ["create_link", {"kind": "bridge", "name": "br9", "attributes": {"alias": "os-vif shared"}}]
MARK = str(Mark("1234", "tap"))


BAD: list[list[Any]] = [
    ["run_command", {"command": "reboot"}],
    ["create_link", {"kind": "veth", "name": "x", "attributes": {"alias": MARK}}],
    ["create_link", {"kind": "tap", "name": "../x", "attributes": {"alias": MARK}}],
    ["create_link", {"kind": "tap", "name": "x", "attributes": {"alias": "mine"}}],
    ["set_link", {"name": "lo", "attributes": {"mtu": "1500; reboot"}}],
    ["set_link", {"name": "lo", "attributes": {"unknown": 1}}],
    [
        "set_forwarding",
        {"comment": "docker", "ipv6": False, "rules": [], "top_regex": "", "bottom_regex": ""},
    ],
    ["set_link", None],
    [7, {}],
]


def test_the_daemon_refuses_what_is_no_step(inside: Any) -> None:
    def act() -> None:
        from os_vif.engine import privilege

        for bad in BAD:
            for group in ([[*GOOD, None, None], [*bad, None, None]], [[*GOOD, *bad]]):
                with pytest.raises(exception.InvalidField):
                    privilege.run(BRIDGES, [group], together=False)

    as_nobody(act)
    assert inside.links() == {}, "nothing was run, not even what came before"


@pytest.mark.parametrize(("make", "section"), [(vifs.bridge_vif, BRIDGES), (vifs.tap_vif, OTHERS)])
def test_no_privilege_and_no_helper(inside: Any, make: Callable[[], Any], section: str) -> None:
    def act() -> None:
        with pytest.raises(exception.PlugException) as caught:
            os_vif.plug(make(), vifs.instance())
        assert isinstance(caught.value.__cause__, exception.NotPrivileged)
        assert "helper_command" in str(caught.value)
        assert "privilege" in str(caught.value)
        assert section in str(caught.value)

    before = witness.snapshot()
    as_nobody(act, section=section, helper=None)
    assert witness.differences(before, witness.snapshot()) == []


# --- what a VIF has elsewhere ---------------------------------------------------------------------


def test_what_a_vif_has_elsewhere_goes_through_the_daemon(inside: Any) -> None:
    old = vifs.bridge_vif(bridge="br0", vif_name="t0", has_traffic_filtering=False)
    new = vifs.bridge_vif(bridge="br1", vif_name="t1", has_traffic_filtering=False)
    with vifs.configured("linux_bridge", create_tap=True):
        os_vif.plug(old, vifs.instance())

        def nobody_plugs() -> None:
            assert os_vif.check(new, vifs.instance())
            os_vif.plug(new, vifs.instance())
            assert os_vif.check(new, vifs.instance()) == []

        as_nobody(nobody_plugs)
        assert {link["ifname"] for link in witness.ask("link show")} == {"lo", "br0", "br1", "t1"}
        assert witness.rules()
        assert not any("br0" in rule for rule in witness.rules())
        witness.ip("link set t1 down\nlink set t1 name away0")
        as_nobody(lambda: os_vif.unplug(new, vifs.instance()))
    assert {link["ifname"] for link in witness.ask("link show")} == {"lo", "br0", "br1"}
    assert witness.rules() == []


@pytest.mark.parametrize("reached", [True, False])
def test_a_port_becomes_a_linux_bridges_through_the_daemon(inside: Any, reached: bool) -> None:
    """Where the caller may not ask the switch, what is there stays for who may."""
    bridged = vifs.bridge_vif()
    with contextlib.closing(openvswitch.Switch(inside, tcp=True)) as switch:
        with vifs.configured("ovs", ovsdb_connection=switch.remote):
            os_vif.plug(vifs_ovs.plain(), vifs.instance())

        def nobody_plugs() -> None:
            os_vif.plug(bridged, vifs.instance())
            assert os_vif.check(bridged, vifs.instance()) == []

        remote = switch.tcp if reached else switch.remote
        with (
            vifs.configured("ovs", ovsdb_connection=remote),
            vifs.configured("linux_bridge", create_tap=True),
        ):
            as_nobody(nobody_plugs)
        assert witness.ask(f"link show dev {vifs.tap_name(1)}")[0]["master"] == "br0"
        there = vifs.tap_name(1) in switch.vsctl("list-ports", vifs_ovs.BRIDGE)
        assert there is not reached
