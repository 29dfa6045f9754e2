# SPDX-License-Identifier: Apache-2.0
"""VIFDirect on the real kernel: macvtaps in each mode, with frames through their descriptors."""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from os_vif.host.links.system import sysfs
from tests import guest, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.killing import killed
from tests.functional.test_privilege import OTHERS, as_nobody

pytestmark = pytest.mark.functional

OWN_MAC = "52:00:00:00:0e:00"
LOWER = f"""
    link add eth0 type veth peer name wire0
    link set wire0 address 52:00:00:00:0e:01 up
    link set eth0 address {OWN_MAC} up
    link set eth0 down
"""
"""A network card, ``eth0``, that is down, but was up (its qdisc shows that); its wire ends in
``wire0``."""

HAIRPIN = """
    link add switch type bridge
    link set wire0 master switch
    link set wire0 type bridge_slave hairpin on
    link set switch up
"""
FLAGS = ("/links/eth0/flags", "/links/wire0/flags")
KIND = 0x88B5  # for local experiments (IEEE 802-2014, 9.2.4)


@pytest.fixture
def card(inside: Any) -> Any:
    witness.ip(LOWER)
    return inside


class Opened(guest.Guest):
    """A guest on a descriptor that somebody else opened."""

    def __init__(self, vif: Any) -> None:
        self.mac = str(vif.address)
        [self.descriptor] = verbs.open_guest_end(vif)

    def say(self, target: str, text: bytes) -> None:
        self.send(guest.ethernet(target, self.mac, KIND, text + b"\0" * 46))


class Wire(guest.Wire):
    """The other end of the card's wire."""

    def __init__(self) -> None:
        super().__init__("wire0")

    def say(self, target: str, text: bytes) -> None:
        frame = guest.ethernet(target, "52:00:00:00:0e:01", KIND, text + b"\0" * 46)
        self.send(frame)

    def hears(self, text: bytes) -> bool:
        return any(text in frame for frame in self.frames())


@contextlib.contextmanager
def running(*plugged: Any) -> Iterator[tuple[Any, ...]]:
    """Open the guests' ends of VIFs, and the wire's other end."""
    with contextlib.ExitStack() as stack:
        opened = []
        for vif in plugged:
            opened.append(Opened(vif))
            stack.callback(opened[-1].close)
        wire = Wire()
        stack.callback(wire.close)
        yield (*opened, wire)


def differences_but_up(before: dict[str, Any]) -> list[str]:
    """Return what is not as it was, but for a card that is up: one that others may share stays."""
    found = witness.differences(before, witness.snapshot())
    return [line for line in found if not line.startswith(FLAGS)]


def hears_only(one: guest.Guest, wanted: bytes, other: bytes) -> bool:
    """Tell whether a guest hears one thing and, before it, not the other."""
    return not any(other in frame for frame in one.until(wanted))


# --- each mode ------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["vepa", "bridge", "passthrough"])
def test_a_macvtap(card: Any, mode: str) -> None:
    before = witness.snapshot()
    vif = vifs.direct_vif(mode=mode, mtu=1450)
    plug(vif)
    macvtap = witness.link(vif.vif_name)
    assert macvtap is not None
    assert macvtap["linkinfo"]["info_kind"] == "macvtap"
    assert macvtap["linkinfo"]["info_data"]["mode"] == mode.replace("through", "thru")
    assert (macvtap["link"], macvtap["mtu"], macvtap["address"]) == ("eth0", 1450, vif.address)
    assert "UP" in macvtap["flags"]
    assert str(vif.id) in macvtap["ifalias"]
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/disable_ipv6") == "1"
    lower = witness.link("eth0")
    assert lower is not None
    assert "UP" in lower["flags"]
    assert lower["address"] == (vif.address if mode == "passthrough" else OWN_MAC)
    assert steps_left(vif) == []
    plug(vif)
    with running(vif) as (inside, wire):
        wire.say(vif.address, b"to the guest")
        inside.until(b"to the guest")
        inside.say("52:00:00:00:0e:01", b"from the guest")
        assert wire.hears(b"from the guest")
        assert steps_left(vif) == [], "a running guest is no drift"
    unplug(vif)
    if mode != "passthrough":
        assert "UP" in card.links()["eth0"]["flags"], "others may share it"
        witness.ip("link set eth0 down")
    assert witness.differences(before, witness.snapshot()) == []
    unplug(vif)


@pytest.mark.parametrize("switch", ["no hairpin", "hairpin"])
@pytest.mark.parametrize("mode", ["bridge", "vepa"])
def test_neighbours_on_a_card(card: Any, mode: str, switch: str) -> None:
    if switch == "hairpin":
        witness.ip(HAIRPIN)
    one, other = (vifs.direct_vif(number, mode=mode) for number in (1, 2))
    plug(one)
    plug(other)
    with running(one, other) as (a, b, wire):
        a.say(b.mac, b"hello neighbour")
        if mode == "vepa":
            assert wire.hears(b"hello neighbour"), "it goes to the switch"
        if (mode, switch) == ("vepa", "no hairpin"):
            wire.say(b.mac, b"that was all")
            assert hears_only(b, b"that was all", b"hello neighbour")
        else:
            b.until(b"hello neighbour")
        if mode == "bridge":
            a.say("52:00:00:00:0e:01", b"the end")
            assert wire.hears(b"the end")


def test_passthrough_takes_what_is_for_others_too(card: Any) -> None:
    vif = vifs.direct_vif(mode="passthrough")
    plug(vif)
    with running(vif) as (inside, wire):
        wire.say("52:54:00:99:99:99", b"for somebody else")
        inside.until(b"for somebody else")


def test_a_card_that_was_up_stays_up(card: Any) -> None:
    witness.ip("link set eth0 up")
    before = witness.snapshot()
    vif = vifs.direct_vif(mode="passthrough")
    plug(vif)
    unplug(vif)
    assert witness.differences(before, witness.snapshot()) == []


def test_without_an_mtu_it_has_the_cards(card: Any) -> None:
    witness.ip("link set eth0 mtu 1280")
    vif = vifs.direct_vif()
    plug(vif)
    assert card.links()[vif.vif_name]["mtu"] == 1280
    assert steps_left(vif) == []


# --- the card by its address ----------------------------------------------------------------------


@pytest.fixture
def pci(card: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a PCI function ``0000:03:00.0`` in a /sys of the test's own."""
    function = tmp_path / "bus/pci/devices/0000:03:00.0"
    function.mkdir(parents=True)
    monkeypatch.setattr(sysfs, "ROOT", tmp_path)
    return function


def test_the_card_behind_an_address(card: Any, pci: Path) -> None:
    vif = vifs.direct_vif(lower=None, dev_address="0000:03:00.0", mode="passthrough")
    with refused(r"PCI device 0000:03:00\.0 cannot be used: there is no network device behind it"):
        plug(vif)
    (pci / "virtio3/net/eth0").mkdir(parents=True)
    representor = pci / "net/eth0_0"
    representor.mkdir(parents=True)
    (representor / "phys_switch_id").write_text("e0")
    (representor / "phys_port_name").write_text("pf0vf0")
    plug(vif)
    assert card.links()[vif.vif_name]["link"] == "eth0"
    assert steps_left(vif) == []
    unplug(vif)
    assert vif.vif_name not in card.links()
    assert card.links()["eth0"]["address"] == OWN_MAC
    (pci / "net/eth1").mkdir(parents=True)
    with refused(r"several network devices behind it \(eth1, eth0\); .*bridge_interface"):
        plug(vif)


@pytest.mark.parametrize("mode", ["bridge", "passthrough"])
def test_no_such_address(card: Any, mode: str) -> None:
    with refused(r"PCI device 0000:fe:1f\.7 cannot be used: this host has no such PCI device"):
        plug(vifs.direct_vif(lower=None, dev_address="0000:fe:1f.7", mode=mode))


# --- what cannot be -------------------------------------------------------------------------------

OTHER = "link add link eth0 name other address 52:54:00:00:00:77 type macvtap mode"


@pytest.mark.parametrize(
    ("setup", "fields", "words"),
    [
        ("", {"lower": "eth9"}, "Network interface eth9 not found"),
        ("", {"lower": None}, r"VIFDirect\.dev_address: None .*PCI address.*bridge_interface"),
        ("", {"lower": "lo"}, "device lo cannot be used: it is not an Ethernet device"),
        ("", {"lower": "a/b"}, "bridge_interface: 'a/b'"),
        (
            "tuntap add tun9 mode tun\nlink set tun9 up",
            {"lower": "tun9"},
            "could not create macvtap .*: tun9 is no Ethernet device",
        ),
        ("", {"vif_name": "a" * 16}, "vif_name: .*at most 15 bytes"),
        ("", {"vif_name": "eth0"}, "device eth0 is in the way: .*needs a macvtap of this name"),
        ("", {"address": None}, r"VIFDirect\.address"),
        ("", {"address": "01:00:5e:00:00:01"}, r"VIFDirect\.address: .*multicast"),
        ("", {"address": OWN_MAC}, f"MAC {OWN_MAC} is in the way: eth0 has it itself"),
        ("", {"mtu": 67}, r"network\.mtu: 67 .*from 68 to 65535"),
        ("", {"mtu": 1501}, r"network\.mtu: 1501 .*at most 1500 bytes, the MTU of eth0"),
        ("", {"vlan": 7}, r"VIFDirect\.vlan_name: .*a name for the device of VLAN 7"),
        ("", {"vlan_name": "vlan7"}, r"network\.vlan: None .*the VLAN id of vlan7"),
        ("", {"vlan": 4095, "vlan_name": "vlan7"}, "vlan: 4095 .*from 1 to 4094"),
        (
            "link add br9 type bridge\nlink set eth0 master br9",
            {},
            "device eth0 is in the way: it is a port of br9",
        ),
        (f"{OTHER} vepa", {"lower": "other"}, "device other cannot be used: .*below it .eth0"),
        (f"{OTHER} vepa", {"vif_name": "other"}, "device other is in the way: it is a macvtap"),
        (
            f"link set eth0 up\n{OTHER} vepa\nlink set other up",
            {"address": "52:54:00:00:00:77"},
            "could not create macvtap .*: other on eth0 has the MAC 52:54:00:00:00:77 already",
        ),
        (
            f"{OTHER} vepa",
            {"mode": "passthrough"},
            "device eth0 is in the way: other uses it too, and passthrough needs it to itself",
        ),
        (
            f"{OTHER} passthru",
            {},
            r"could not create macvtap .*: other has eth0 to itself \(passthrough\)",
        ),
        (f"{OTHER} passthru", {"mode": "passthrough"}, "other uses it too"),
        (
            "addr add 192.0.2.1/24 dev eth0",
            {"mode": "passthrough"},
            r"device eth0 is in the way: the host has the address 192\.0\.2\.1/24 on it",
        ),
    ],
)
def test_what_cannot_be_touches_nothing(
    card: Any, setup: str, fields: dict[str, Any], words: str
) -> None:
    if setup:
        witness.ip(setup)
    with refused(words):
        plug(vifs.direct_vif(**fields))


def test_a_kernel_without_vlan_devices(card: Any) -> None:
    """Where there are some, the macvtap stands on one; more of that in the lab."""
    vif = vifs.direct_vif(vlan=7, vlan_name="vlan7")
    made = card.run(
        "ip", "link", "add", "link", "wire0", "probe", "type", "vlan", "id", "9", check=False
    )
    if made.returncode:
        with refused("could not create vlan vlan7: .*it lacks the module 8021q"):
            plug(vif)
        return
    plug(vif)
    assert card.links()[vif.vif_name]["link"] == "vlan7"
    unplug(vif)
    assert "vlan7" not in card.links()


def test_the_tap_of_another_vif_is_no_card(card: Any) -> None:
    plug(vifs.tap_vif(2))
    with refused(f"device {vifs.tap_name(2)} is in the way: it is a tap of VIF {vifs.vif_id(2)}"):
        plug(vifs.direct_vif(1, lower=vifs.tap_name(2)))


def test_a_failed_change_of_mode_brings_the_old_one_back(card: Any) -> None:
    vif = vifs.direct_vif(mode="vepa")
    plug(vif)
    witness.ip(OTHER + " vepa")
    with refused("other uses it too"):
        plug(vifs.direct_vif(mode="passthrough"))


def test_a_failed_move_brings_the_old_one_back(card: Any) -> None:
    plug(vifs.direct_vif(mode="passthrough"))
    witness.ip(
        f"""
        link add eth1 type veth peer name wire1
        link set eth1 up
        link add link eth1 name twin address {vifs.guest_mac(1)} type macvtap mode vepa
        link set twin up
        """
    )
    with refused("twin on eth1 has the MAC"):
        plug(vifs.direct_vif(lower="eth1"))


# --- drift ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "link set {} down",
        "link set {} mtu 1280",
        "link set {} address 52:54:00:00:99:99",
        "link set {} alias mine",
        "link set {} group 5",
        "link set {} type macvtap mode private",
        "link set eth0 down",
        "link del {}",
    ],
)
def test_drift_is_repaired(card: Any, change: str) -> None:
    vif = vifs.direct_vif(mode="bridge", mtu=1450)
    plug(vif)
    healthy = witness.snapshot()
    witness.ip(change.format(vif.vif_name))
    assert len(steps_left(vif)) == 1
    plug(vif)
    assert witness.differences(healthy, witness.snapshot()) == []
    assert steps_left(vif) == []


def test_modes_change_live_where_the_kernel_can(card: Any) -> None:
    plug(vifs.direct_vif(mode="vepa"))
    name = vifs.tap_name(1)
    index = card.links()[name]["ifindex"]
    plug(vifs.direct_vif(mode="bridge"))
    assert card.links()[name]["ifindex"] == index
    assert card.links()[name]["linkinfo"]["info_data"]["mode"] == "bridge"
    plug(vifs.direct_vif(mode="passthrough"))
    assert card.links()[name]["linkinfo"]["info_data"]["mode"] == "passthru"
    plug(vifs.direct_vif(mode="vepa"))
    assert card.links()[name]["linkinfo"]["info_data"]["mode"] == "vepa"
    assert card.links()["eth0"]["address"] == OWN_MAC
    assert steps_left(vifs.direct_vif(mode="vepa")) == []


def test_a_macvtap_moves_to_another_card(card: Any) -> None:
    witness.ip(LOWER.replace("eth0", "eth1").replace("wire0", "wire1"))
    before = witness.snapshot()
    plug(vifs.direct_vif(mode="passthrough"))
    plug(vifs.direct_vif(mode="passthrough", lower="eth1"))
    assert card.links()[vifs.tap_name(1)]["link"] == "eth1"
    assert card.links()["eth0"]["address"] == OWN_MAC
    unplug(vifs.direct_vif(mode="passthrough", lower="eth1"))
    assert differences_but_up(before) == []


def test_an_unmarked_one_with_the_guests_mac_is_adopted(card: Any) -> None:
    vif = vifs.direct_vif(vif_name="macvtap0")
    witness.ip(f"link add link eth0 name macvtap0 address {vif.address} type macvtap mode bridge")
    index = card.links()["macvtap0"]["ifindex"]
    plug(vif)
    assert card.links()["macvtap0"]["ifindex"] == index
    unplug(vif)
    assert "macvtap0" not in card.links()


# --- many, list, gc -------------------------------------------------------------------------------


def test_many(card: Any) -> None:
    pairs = [(vifs.direct_vif(number), vifs.instance()) for number in range(1, 31)]
    outcomes = os_vif.plug_many(pairs)
    assert [outcome.error for outcome in outcomes] == [None] * 30
    assert len(card.links()) == 32
    listed = os_vif.list_vifs()
    assert {item.mark.vif_id for item in listed} == {vif.id for vif, _ in pairs}
    assert all(os_vif.check(*pair) == [] for pair in pairs)
    outcomes = os_vif.unplug_many(pairs[:20])
    assert [outcome.error for outcome in outcomes] == [None] * 20
    gone = os_vif.gc({pairs[-1][0].id})
    assert len(gone) == 9
    assert set(card.links()) == {"eth0", "wire0", vifs.tap_name(30)}


def test_all_or_nothing(card: Any) -> None:
    before = witness.snapshot()
    twin = vifs.direct_vif(2, address=vifs.guest_mac(1))
    outcomes = os_vif.plug_many([(vifs.direct_vif(1), None), (twin, None)], together=True)
    assert all(outcome.error for outcome in outcomes)
    assert witness.differences(before, witness.snapshot()) == []


def test_gc_gives_the_card_back(card: Any) -> None:
    before = witness.snapshot()
    plug(vifs.direct_vif(mode="passthrough"))
    os_vif.gc(set())
    assert witness.differences(before, witness.snapshot()) == []


def test_a_caller_without_privilege(card: Any) -> None:
    def act() -> None:
        for mode in ("vepa", "bridge", "passthrough"):
            vif = vifs.direct_vif(mode=mode)
            plug(vif)
            assert steps_left(vif) == []
        with pytest.raises(exception.StepFailed, match=r"could not open macvtap .*: .*ermi"):
            verbs.open_guest_end(vif)
        unplug(vif)

    before = witness.snapshot()
    as_nobody(act, section=OTHERS)
    assert differences_but_up(before) == []


# --- the guest's end ------------------------------------------------------------------------------


def test_several_queues(card: Any) -> None:
    vif = vifs.direct_vif()
    plug(vif)
    queues = verbs.open_guest_end(vif, 4)
    try:
        assert len(set(queues)) == 4
        assert not any(os.get_inheritable(queue) for queue in queues)
        wire = Wire()
        for number, queue in enumerate(queues):
            text = b"queue %d" % number
            frame = guest.ethernet("52:00:00:00:0e:01", vif.address, KIND, text + b"\0" * 46)
            os.write(queue, guest.VNET_HEADER + frame)
            assert wire.hears(text)
        wire.say(vif.address, b"to any")
        ready, _, _ = select.select(queues, [], [], 30)
        assert ready
        wire.close()
    finally:
        for queue in queues:
            os.close(queue)


def test_two_hosts_whose_nodes_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both macvtaps have one index, and devtmpfs one /dev/tapN for it."""
    os_vif.initialize()
    folders: list[str] = []
    make = tempfile.mkdtemp

    def making(**options: Any) -> str:
        folders.append(make(**options))
        return folders[-1]

    monkeypatch.setattr(tempfile, "mkdtemp", making)
    hosts = [PrivateHost(), PrivateHost()]
    try:
        for number, host in enumerate(hosts):
            with host.enter():
                witness.ip(LOWER)
                plug(vifs.direct_vif(number + 1))
        indices = [host.links()[vifs.tap_name(n + 1)]["ifindex"] for n, host in enumerate(hosts)]
        assert indices[0] == indices[1]
        for number, host in enumerate(hosts):
            with host.enter(), running(vifs.direct_vif(number + 1)) as (inside, wire):
                inside.say("52:00:00:00:0e:01", b"from %d" % number)
                assert wire.hears(b"from %d" % number)
    finally:
        for host in hosts:
            host.close()
    assert folders, "nodes are made anew"
    assert not any(Path(folder).exists() for folder in folders)


def test_the_end_of_a_tap(inside: Any) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    [descriptor] = verbs.open_guest_end(vif)
    with pytest.raises(exception.StepFailed, match=f"could not open tap {vif.vif_name}: .*busy"):
        verbs.open_guest_end(vif)
    os.close(descriptor)
    with pytest.raises(exception.UnusableDevice, match="it has a single queue, not 2; plug it"):
        verbs.open_guest_end(vif, 2)
    with vifs.configured("tap", multi_queue=True):
        plug(vif)
        for descriptor in verbs.open_guest_end(vif, 2):
            os.close(descriptor)


def test_nothing_to_open(card: Any) -> None:
    vif = vifs.direct_vif()
    with pytest.raises(exception.UnusableDevice, match="is not plugged: there is no such device"):
        verbs.open_guest_end(vif)
    plug(vif)
    with pytest.raises(exception.UnusableDevice, match="this device is not the VIF's"):
        verbs.open_guest_end(vifs.direct_vif(2, vif_name=vif.vif_name))
    for queues in (0, 257):
        with pytest.raises(exception.InvalidField, match="from 1 to 256"):
            verbs.open_guest_end(vif, queues)
    with pytest.raises(exception.UnusableDevice, match="no tap or macvtap is made for it"):
        verbs.open_guest_end(vifs.bridge_vif())


# --- killed ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def machine() -> Iterator[None]:
    os_vif.initialize()
    private = PrivateHost()
    try:
        with private.enter():
            witness.ip(LOWER)
            yield
    finally:
        private.close()


@pytest.mark.slow
@pytest.mark.parametrize("begin", ["plug", "unplug", "replace"])
def test_killed_and_the_card_comes_back(begin: str) -> None:
    """Wherever a passthrough is killed: unplugged, the card is as it was found."""
    vif = vifs.direct_vif(mode="passthrough", vif_name="macvtap0")
    other = vifs.direct_vif(mode="vepa", vif_name="macvtap0")
    was_killed = True
    number = 0
    while was_killed:
        with machine():
            before = witness.snapshot()
            if begin != "plug":
                plug(vif)
            act = {"plug": (plug, vif), "unplug": (unplug, vif), "replace": (plug, other)}[begin]
            was_killed = killed(lambda act=act: act[0](act[1]), number)  # type: ignore[misc]
            unplug(vif)
            left = differences_but_up(before)
            if begin != "replace":
                left = witness.differences(before, witness.snapshot())
            assert left == [], number
            plug(vif)
            assert steps_left(vif) == [], number
        number += 1
    assert number >= 2


def test_a_card_whose_alias_is_no_text(card: Any) -> None:
    os_vif.initialize()
    vif = vifs.direct_vif(mode="passthrough")
    from os_vif.host.links.system import devices as links
    from os_vif.host.links.system.link_message import IFINFO
    from os_vif.system import netlink

    index = links.look_up(["eth0"])["eth0"].index
    body = IFINFO.pack(0, 0, index, 0, 0) + netlink.attribute(20, b"\xff\xfe\0")
    netlink.ask(netlink.Message(netlink.RTM_NEWLINK, netlink.NLM_F_ACK, body))
    os_vif.plug(vif, vifs.instance())
    assert os_vif.check(vif, vifs.instance()) == []
    os_vif.unplug(vif, vifs.instance())
