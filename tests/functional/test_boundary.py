# SPDX-License-Identifier: Apache-2.0
"""What a daemon does for whoever may start it: to VIFs' things, and no more than a plan needs.

The caller is nobody, with a daemon of each section, and sends what no plan of ours holds.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import dispatch
from os_vif.engine.place import Place
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark
from os_vif.host.functions.questions import FunctionMark
from os_vif.host.functions.resources import NO_MAC
from os_vif.host.functions.system import ownership
from os_vif.host.links.questions import SHARED_MARK
from os_vif.host.links.system import altnames, sysfs
from os_vif.host.links.system import devices as links
from os_vif.host.links.system import ownership as links_ownership
from os_vif.host.routes.questions import Address, as_mapping
from tests import vifs, witness
from tests.fake_sysfs import FakeSysfs
from tests.functional.test_privilege import BRIDGES, FAST_PATH, OTHERS, SWITCH, as_nobody

pytestmark = pytest.mark.functional

EVERY = (BRIDGES, SWITCH, OTHERS, FAST_PATH)
VIF_ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
MARK = str(Mark(VIF_ID, "tap"))
PCI = "ffff:ff:1f.7"
GOOD = {"alias": SHARED_MARK}


def ask(section: str, kind: str, args: dict[str, Any]) -> str:
    """Send one step to a daemon; return why it was not run, '' if it was."""
    from os_vif.engine import privilege

    try:
        [report] = privilege.run(section, [[[kind, args, None, None]]], together=False)
    except exception.InvalidField as error:
        return "not this daemon's" if f"step: '{kind}'" in str(error) else str(error)
    return str(report["error"]["reason"]) if report["error"] else ""


def set_link(name: str, **attributes: Any) -> tuple[str, dict[str, Any]]:
    return "set_link", {"name": name, "attributes": attributes}


def delete(name: str) -> tuple[str, dict[str, Any]]:
    return "delete_links", {"links": [[name, 0]]}


STRANGERS = [
    set_link("lo", up=False),
    set_link("lo", mtu=1280),
    set_link("eth0", mac="52:54:00:00:00:99"),
    set_link("eth0", alias=MARK),
    set_link("eth0", alias=SHARED_MARK, up=False),
    set_link("eth0", group=7),
    set_link("eth0", disable_ipv6=True),
    set_link("eth0", forwarding=1, mtu=1400),
    set_link("eth0", master=None, proxy_arp=1),
    set_link("port0", master="br-own"),
    set_link("eth0", master="port0"),
    set_link("br-host", alias=MARK),
    set_link("br-host", stp_state=1),
    set_link("br-host", alias=SHARED_MARK),
    delete("eth0"),
    delete("br-host"),
    delete("port0"),
    ("delete_links", {"links": [["own", 0], ["br-host", 0]]}),
    ("delete_unused", {"name": "br-host"}),
    ("delete_idle", {"name": "br-host"}),
    ("delete_unused", {"name": "port0"}),
]


@pytest.fixture
def strangers(inside: Any) -> None:
    """Make a bridge of the host's with a port, a card's stand-in, and a tap of a VIF's."""
    witness.ip("link add br-host type bridge")
    witness.ip("link add port0 type veth peer name eth0")
    witness.ip("link set port0 master br-host")
    witness.ip("link add br-own type bridge")
    links.change("br-own", {"alias": SHARED_MARK})
    witness.ip("tuntap add own mode tap")
    links.change("own", {"alias": MARK})


@pytest.mark.slow
def test_devices_without_a_mark(strangers: None) -> None:
    before = witness.snapshot()

    def act() -> None:
        for section, (kind, args) in itertools.product(EVERY, STRANGERS):
            if section == FAST_PATH and args.get("name") in ("eth0", "port0"):
                continue  # these could be what the fast path has made
            if section == SWITCH and (kind, args) == delete("eth0"):
                continue  # and this the end of a container's that was a port
            why = ask(section, kind, args)
            assert why.startswith("the privileged side refuses: "), (section, kind, args, why)

    as_nobody(act, section=EVERY)
    assert witness.differences(before, witness.snapshot()) == []


def test_an_alternative_name_of_a_card(card: FakeSysfs) -> None:
    """A card is known by its own name in sysfs."""
    altnames.add("eth0", "os-vif,card")
    for name in ("eth0", "os-vif,card"):
        for section in EVERY:
            kind, args = set_link(name, alias=MARK)
            why = links_ownership.REFUSES[kind](args, section)
            assert why.startswith("eth0 is a"), (name, section)


def test_ipv6_of_an_uplink(strangers: None) -> None:
    """It goes off on a port, and how it is goes to a bridge."""

    def act() -> None:
        for device in ("eth0", "missing"):
            how = {"device": device, "settings": {"accept_ra": 2}, "as_on": ""}
            why = ask(BRIDGES, "set_ipv6", how)
            assert why == f"the privileged side refuses: {device} is no bridge"
        how = {"device": "br-host", "settings": {"accept_ra": 2}, "as_on": ""}
        assert ask(SWITCH, "set_ipv6", how) == "not this daemon's"
        assert not ask(BRIDGES, "set_ipv6", how)
        assert not ask(BRIDGES, *set_link("port0", disable_ipv6=True))
        assert not ask(BRIDGES, *set_link("port0", disable_ipv6=False))

    as_nobody(act, section=EVERY)
    assert witness.sysctl("ipv6/conf/br-host/accept_ra") == "2"


def test_addresses_of_the_host(strangers: None) -> None:
    """They move: one that no other device has is not taken away."""
    witness.ip("address add 192.0.2.1/24 dev eth0")
    witness.ip("address add 2001:db8::1/64 dev eth0 nodad")
    witness.ip("address add 192.0.2.7/24 dev eth0 valid_lft 500 preferred_lft 500")

    def act() -> None:
        for local, scope in (("192.0.2.1/24", 0), ("2001:db8::1/64", 0)):
            address = as_mapping(Address(local, scope=scope))
            delete = "delete_address", {"device": "eth0", "address": address}
            words = f"no other device than eth0 has the address {local}"
            assert ask(BRIDGES, *delete) == f"the privileged side refuses: {words}"
            assert not ask(BRIDGES, "add_address", {"device": "br-own", "address": address})
            assert not ask(BRIDGES, *delete)
        lent = as_mapping(Address("192.0.2.7/24", scope=0))
        assert not ask(BRIDGES, "delete_address", {"device": "eth0", "address": lent})
        gone = {"device": "missing", "address": lent}
        assert "missing" in ask(BRIDGES, "delete_address", gone)

    as_nobody(act)
    assert witness.addresses("eth0") == []


def test_what_a_plan_does_to_devices(strangers: None, inside: Any) -> None:
    """To an uplink, and to what is a VIF's or its left-over."""

    def act() -> None:
        for kind, args in (
            set_link("eth0", mtu=1400, up=True, master="br-own"),
            set_link("eth0", master=None, up=False),
            set_link("br-host", up=True),
            set_link("own", mtu=1400, alias=f"{MARK} lower=down", up=True),
            set_link("missing", up=True),
            set_link("br-own", ageing_time=0),
            delete("own"),
            delete("missing"),
        ):
            why = ask(BRIDGES, kind, args)
            assert not why or args.get("name") == "missing", (kind, args, why)

    as_nobody(act)
    assert set(inside.links()) == {"br-host", "port0", "eth0", "br-own"}


# By each daemon, one of a kind that is another plugin's.
FUNCTION = {"address": PCI, "driver": None, "override": ""}
RULES = {
    "comment": "os-vif vif=1 bridge=br0",
    "ipv6": False,
    "rules": [],
    "top_regex": "",
    "bottom_regex": "",
}
ELSEWHERE = [
    ("bind_driver", FUNCTION, {OTHERS}),
    ("set_vf", {"address": PCI, "device": "eth0", "vf": 0, "settings": {"trust": True}}, {OTHERS}),
    ("mark_function", {"device": "lo", "mark": str(FunctionMark(PCI, "1"))}, {OTHERS}),
    ("rename_link", {"name": "eth0", "to": "eth1", "alias": MARK, "up": True}, {SWITCH}),
    ("set_forwarding", RULES, {BRIDGES}),
    ("clear_port_profile", {"device": "eth0", "profile": "x", "instance": ""}, {OTHERS}),
    ("add_proxy", {"device": "eth0", "address": "2001:db8::1"}, {OTHERS, FAST_PATH}),
    ("stop_back_end", {"name": "x", "stale": "", "abandoned": True}, {FAST_PATH}),
]


@pytest.mark.slow
def test_each_daemon_runs_what_its_plugins_need(inside: Any) -> None:
    def act() -> None:
        for section, (kind, args, its) in itertools.product(EVERY, ELSEWHERE):
            assert (ask(section, kind, args) == "not this daemon's") == (section not in its), kind

    as_nobody(act, section=EVERY)


# --- PCI functions --------------------------------------------------------------------------------

VF, CARD, DISK = "0000:3b:00.2", "0000:3b:00.0", "0000:3c:00.0"


@pytest.fixture
def card(inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSysfs:
    """Make a card with a virtual function, and a disk; sysfs is not of this network namespace."""
    monkeypatch.setattr(sysfs, "ROOT", tmp_path)
    made = FakeSysfs(tmp_path)
    physical = made.function(CARD, driver="ice")
    virtual = made.virtual(physical, 0, VF, driver="iavf")
    for function in (physical, virtual):
        (function / "class").write_text("0x020000\n")
    (made.function(DISK, driver="nvme") / "class").write_text("0x010802\n")
    made.netdev(physical, "eth0")
    (made.root / "class/net/eth0/device").symlink_to(physical)
    witness.ip("link add eth0 type bridge")
    return made


def refused(kind: str, **args: Any) -> str:
    return ownership.REFUSES[kind](args, OTHERS)


def test_the_driver_of_a_function(card: FakeSysfs) -> None:
    def bind(address: str, driver: str | None = "vfio-pci") -> str:
        return refused("bind_driver", address=address, driver=driver, override=driver or "")

    for driver in ("vfio-pci", "", None):
        assert bind(DISK, driver) == f"{DISK} is no network function"
        assert bind(VF, driver) == f"{VF} carries no VIF's mark"
    for carrier in ("lo", "eth0"):
        mark = str(FunctionMark(VF, "1234", "vfio-pci"))
        assert altnames.add(carrier, mark)
        assert bind(VF) == bind(VF, "iavf") == ""
        assert bind(DISK) == f"{DISK} is no network function"
        altnames.remove(carrier, mark)
    (card.root / "bus/pci/devices" / VF / "driver_override").write_text("vfio-pci\n")
    assert bind(VF, None) == "", "it was given to a guest, whoever has lost the mark"
    assert refused("mark_function", device="lo", mark=str(FunctionMark(DISK, "1"))) == (
        f"{DISK} is no network function"
    )
    altnames.add("lo", str(FunctionMark(CARD, "1")))
    assert bind(CARD) == f"there are virtual functions of {CARD}"


def test_the_settings_of_a_function(card: FakeSysfs) -> None:
    def change(vf: int = 0, **settings: Any) -> str:
        return refused("set_vf", address=VF, device="eth0", vf=vf, settings=settings)

    assert change(1, trust=False) == f"{VF} is not virtual function 1 of eth0"
    assert change(trust=True) == f"{VF} carries no VIF's mark"
    assert change(mac="52:54:00:00:00:01", vlan=5) == f"{VF} carries no VIF's mark"
    assert change(vlan=5, qos=0, vlan_proto=0x8100) == "", "a macvtap notes it in its own mark"
    assert change(mac=NO_MAC, trust=False, spoofchk=True, vlan=0) == ""
    altnames.add("eth0", str(FunctionMark(VF, "1234")))
    assert change(trust=True) == ""


def test_a_device_that_is_no_representor(card: FakeSysfs) -> None:
    step = {"name": "eth0", "to": "eth1", "alias": MARK, "up": True}
    assert refused("rename_link", **step) == "eth0 is neither a VIF's nor a representor"
    links.change("eth0", {"alias": MARK})
    assert refused("rename_link", **step) == ""


# --- another plugin's -----------------------------------------------------------------------------


@pytest.mark.slow
def test_what_another_daemon_takes_away(inside: Any) -> None:
    """gc runs in one daemon, but for what only another plugin's may take away."""
    vif = vifs.bridge_vif(has_traffic_filtering=False)

    def act() -> None:
        os_vif.plug(vif, vifs.instance())
        for step in (
            Step("set_forwarding", {**RULES, "comment": f"os-vif vif={vif.id} bridge=br0"}),
            Step("create_link", {"kind": "bridge", "name": "br9", "attributes": GOOD}),
        ):
            [report] = dispatch.run(Place(OTHERS), [[(step, None)]], together=False)
            assert report["error"] is None

    with vifs.configured("linux_bridge", create_tap=True):
        as_nobody(act, section=(BRIDGES, OTHERS))
    assert witness.rules() == []
    assert "br9" in inside.links()


def test_what_keeps_guests_to_their_addresses(strangers: None) -> None:
    """Neither a stranger's device nor another VIF's gets a filter, and a stranger's table stays."""
    other = vifs.vif_id(2)
    table = f"os-vif-{other}"
    witness.run("nft", f"add table netdev {table}")

    def filtering(vif_id: str, device: str) -> str:
        chains = {"from_guest": [["drop"]]}
        named = {"vif": vif_id, "mark": str(Mark(vif_id, "tap")), "device": device}
        return ask(OTHERS, "set_guest_filter", {**named, "guest_inside": False, "chains": chains})

    def act() -> None:
        assert f"own is not VIF {other}'s" in filtering(other, "own")
        assert f"eth0 is not VIF {other}'s" in filtering(other, "eth0")
        taken = {"filters": [[other, ""]]}
        assert "somebody else has made" in ask(OTHERS, "remove_guest_filters", taken)
        assert filtering(VIF_ID, "own") == ""

    as_nobody(act, section=OTHERS)
    assert 'device "own"' in witness.run("nft", "list", "table", "netdev", f"os-vif-{VIF_ID}")
    assert witness.run("nft", "list", "table", "netdev", table).split() == [
        *("table", "netdev", table, "{", "}")
    ]


def test_a_guest_is_kept_by_the_daemon(inside: Any) -> None:
    vif = vifs.tap_vif()

    def act() -> None:
        os_vif.plug(vif, vifs.instance())
        assert os_vif.check(vif, vifs.instance()) == []

    with vifs.configured("tap", anti_spoofing="mac"):
        as_nobody(act, section=OTHERS)
        assert vif.vif_name in witness.run("nft", "list", "ruleset")
        as_nobody(lambda: os_vif.unplug(vif, vifs.instance()), section=OTHERS)
    assert witness.run("nft", "list", "ruleset") == ""
