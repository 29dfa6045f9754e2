# SPDX-License-Identifier: Apache-2.0
"""Gateways made by a daemon, in a container, by many processes at once; and as the command sees."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.cli import held
from os_vif.engine.topology import Mark
from os_vif.host.gateways.system import serving
from os_vif.system import netlink, nf_tables, sysctl
from tests import vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.test_boundary import ask
from tests.functional.test_concurrency import in_processes
from tests.functional.test_container import in_container
from tests.functional.test_privilege import BRIDGES, as_nobody, counted
from tests.gateways import BR0, advertise, changed, gateways, outside, ruleset, whole

pytestmark = pytest.mark.functional

VIF_ID = vifs.vif_id(1)
MARK = str(Mark(VIF_ID, "linux_bridge"))


@pytest.fixture(autouse=True)
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True), gateways(BR0):
        yield


@pytest.fixture
def uplinked(inside: Any) -> Iterator[Any]:
    with outside(inside):
        yield inside


# --- through the daemon ---------------------------------------------------------------------------


def test_through_the_daemon(uplinked: Any) -> None:
    before = whole()
    one, two = vifs.bridge_vif(1), vifs.bridge_vif(2)

    def act() -> None:
        calls = counted()
        os_vif.plug(one, vifs.instance())
        assert len(calls) == 1, "one round trip"
        os_vif.plug(two, vifs.instance())
        assert os_vif.check(one, vifs.instance()) == []
        os_vif.plug(one, vifs.instance())
        os_vif.unplug(two, vifs.instance())

    as_nobody(act)
    assert steps_left(one) == []

    def end() -> None:
        calls = counted()
        os_vif.unplug(one, vifs.instance())
        assert len(calls) == 1
        os_vif.unplug(one, vifs.instance())

    as_nobody(end)
    assert (ruleset(), witness.addresses("br0")) == ("", [])
    witness.ip("link delete br0")
    assert changed(before) == []


def test_what_the_daemon_refuses(uplinked: Any) -> None:
    """It makes gateways of bridges, for VIFs, and gives back what a table of ours tells."""
    witness.run("nft", "add table inet os-vif-br7")
    witness.ip("link add br7 type bridge\nlink add br8 type bridge")
    before = whole()
    wanted = {"vif": VIF_ID, "mark": MARK, "addresses": ["10.7.0.1/24"], "nat": ["10.7.0.0/24"]}

    def act() -> None:
        assert "eth0 is no bridge" in ask(BRIDGES, "set_gateway", {"bridge": "eth0", **wanted})
        assert "somebody else has made" in ask(BRIDGES, "set_gateway", {"bridge": "br7", **wanted})
        assert ask(BRIDGES, "leave_gateways", {"users": [["br7", VIF_ID]]}) == ""
        assert ask(BRIDGES, "leave_gateways", {"users": [["eth0", VIF_ID]]}) == ""
        assert ask(BRIDGES, "set_gateway", {"bridge": "br8", **wanted}) == ""
        assert ask(BRIDGES, "leave_gateways", {"users": [["br8", vifs.vif_id(2)]]}) == ""
        assert witness.addresses("br8") == ["10.7.0.1/24"]
        assert ask(BRIDGES, "leave_gateways", {"users": [["br8", VIF_ID]]}) == ""

    as_nobody(act)
    assert changed(before) == []


# --- in a container -------------------------------------------------------------------------------


def test_where_proc_sys_cannot_be_written(uplinked: Any) -> None:
    """It says which setting is wanted; with those there, a gateway takes nothing else."""
    vif = vifs.bridge_vif()

    def act() -> None:
        with refused(r"/proc/sys is read-only here, and net/ipv4/conf/\w+/forwarding must be 1"):
            plug(vif)

    in_container(act)
    ipv4 = type(BR0)(bridge="br0", addresses=("10.7.0.1/24",), nat=("10.7.0.0/24",))
    witness.run("sysctl", "-w", "net.ipv4.ip_forward=1")

    def served() -> None:
        plug(vif)
        assert steps_left(vif) == []
        unplug(vif)

    with gateways(ipv4):
        in_container(served)
    assert ruleset() == ""


# --- a host that learns its routes ----------------------------------------------------------------


def test_a_host_goes_on_learning(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the whole host becomes a router, as before Linux 6.17."""
    read = sysctl.read_at

    def missing(path: str) -> int | None:
        return None if path.endswith("/force_forwarding") else read(path)

    monkeypatch.setattr(sysctl, "read_at", missing)
    vif = vifs.bridge_vif()
    with outside(inside) as router:
        witness.ip("route del default via 2001:db8::1")
        assert advertise(router)
        plug(vif)
        assert witness.sysctl("ipv6/conf/all/forwarding") == "1"
        assert witness.ask("-6 route show default dev eth0 proto ra"), "the kernel took it away"
        witness.run("ip", "-6", "route", "flush", "proto", "ra")
        assert advertise(router)
        unplug(vif)
        assert witness.ask("-6 route show default dev eth0 proto ra")
        assert witness.sysctl("ipv6/conf/eth0/accept_ra") == "1"


# --- many at once ---------------------------------------------------------------------------------


def test_who_comes_while_others_go(uplinked: Any) -> None:
    """Whoever is plugged has a gateway, however many come and go meanwhile; and none is left."""
    before = whole()

    def act(process: int) -> None:
        vif = vifs.bridge_vif(1 + process)
        for _round in range(6):
            os_vif.plug(vif, vifs.instance())
            assert os_vif.check(vif, vifs.instance()) == []
            os_vif.unplug(vif, vifs.instance())

    in_processes(4, act)
    assert (ruleset(), witness.addresses("br0")) == ("", [])
    witness.ip("link delete br0")
    assert changed(before) == []


def test_many_go_at_once(uplinked: Any) -> None:
    many = [(vifs.bridge_vif(number), vifs.instance()) for number in range(1, 9)]
    assert [it.error for it in os_vif.plug_many(many)] == [None] * 8
    assert [it.error for it in os_vif.unplug_many(many[1:])] == [None] * 7
    assert steps_left(many[0][0]) == []
    unplug(many[0][0])
    assert ruleset() == ""


def test_all_or_nothing(uplinked: Any) -> None:
    before = whole()
    good, bad = vifs.bridge_vif(1), vifs.bridge_vif(2, vif_name="eth0")
    found = os_vif.plug_many([(good, None), (bad, None)], together=True)
    assert isinstance(found[0].error, exception.NotAttempted)
    assert ruleset() == ""
    assert changed(before, but_of="br0") == []


def test_tables_that_others_change_each_time(
    uplinked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided on tables as they were is decided anew, as long as it takes."""
    commit, left = nf_tables.commit, [3]

    def disturbed(*arguments: Any) -> None:
        if left[0]:
            left[0] -= 1
            witness.run("nft", "add table ip another; delete table ip another")
        commit(*arguments)

    monkeypatch.setattr(nf_tables, "commit", disturbed)
    vif = vifs.bridge_vif()
    plug(vif)
    assert (steps_left(vif), left) == ([], [0])
    left[0] = 3
    unplug(vif)
    assert (ruleset(), left) == ("", [0])


@pytest.mark.parametrize(("least", "left"), [(serving._ATTEMPTS, 25), (1, 3)])
def test_tables_that_others_change_many_times(
    uplinked: Any, monkeypatch: pytest.MonkeyPatch, least: int, left: int
) -> None:
    """Each time before one writes; one that has given up plans anew."""
    write, calls = serving.tables.write, []

    def overtaken(*arguments: Any) -> None:
        calls.append(None)
        if len(calls) <= left:
            raise netlink.NetlinkError(errno.ERESTART, "Interrupted system call")
        write(*arguments)

    monkeypatch.setattr(serving, "_ATTEMPTS", least)
    monkeypatch.setattr(serving.tables, "write", overtaken)
    plug(vifs.bridge_vif())
    assert steps_left(vifs.bridge_vif()) == []
    assert len(calls) > left


def test_ipv6_that_another_turns_off_meanwhile(
    uplinked: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has made the bridge does so when it gets there."""
    add, left = serving.addresses.add, [2]

    def late(device: str, address: dict[str, Any]) -> None:
        if left[0] and ":" in address["local"]:
            left[0] -= 1
            sysctl.write(device, "disable_ipv6", 1)
        add(device, address)

    monkeypatch.setattr(serving.addresses, "add", late)
    plug(vifs.bridge_vif())
    assert (steps_left(vifs.bridge_vif()), left) == ([], [0])


def test_a_kernel_without_nat(uplinked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_arguments: Any) -> None:
        raise netlink.NetlinkError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(nf_tables, "commit", refuses)
    with refused(r"this kernel has no NAT in nf_tables \(CONFIG_NFT_NAT, CONFIG_NFT_MASQ\)"):
        plug(vifs.bridge_vif())


# --- as the command sees it -----------------------------------------------------------------------


def test_what_the_host_holds(uplinked: Any) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    [item] = os_vif.list_vifs()
    shown = json.loads(json.dumps(held.as_json(item)))
    assert shown["gateways"] == [
        {"bridge": "br0", "addresses": list(BR0.addresses), "nat": list(BR0.nat)}
    ]
    witness.ip(f"link delete {vif.vif_name}")
    [item] = os_vif.list_vifs()
    assert held.as_json(item)["state"] == "gateway_only"
    assert os_vif.gc([]) != []
    assert (os_vif.list_vifs(), ruleset()) == ([], "")


def test_a_network_beside_the_way_out(uplinked: Any) -> None:
    """Guests get no answer from there until the host forwards it, which check tells."""
    witness.ip("link add lan0 up type veth peer name far0\naddr add 198.51.100.1/24 dev lan0")
    vif = vifs.bridge_vif()
    plug(vif)

    def said() -> list[str]:
        [found] = os_vif.examine([(vif, vifs.instance())])
        return [it.words for it in found.warnings]

    assert said() == [
        "IPv4 is not forwarded from lan0, so guests on br0 get no answer from 198.51.100.0/24: "
        "sysctl -w net.ipv4.conf.lan0.forwarding=1"
    ]
    witness.run("sysctl", "-w", "net.ipv4.conf.lan0.forwarding=1")
    assert said() == []


def test_what_to_warn_of(inside: PrivateHost) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    [found] = os_vif.examine([(vif, vifs.instance())])
    assert [it.words for it in found.warnings] == [
        f"there is no default route for {name}: guests reach what this host has a route to, and "
        "nobody else"
        for name in ("IPv4", "IPv6")
    ]
