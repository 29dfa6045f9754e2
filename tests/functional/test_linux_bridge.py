# SPDX-License-Identifier: Apache-2.0
"""VIFBridge on the real kernel: what the contract says, and none of the faults it lists."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import runner
from os_vif.system import netlink
from tests import guest, vifs, witness
from tests.functional.calls import plug, refused, steps_left, unplug

pytestmark = pytest.mark.functional

INSTANCE = 1


@pytest.fixture
def taps() -> Iterator[None]:
    with vifs.configured("linux_bridge", create_tap=True):
        yield


# --- the bridge --------------------------------------------------------------------------------


def test_a_new_bridge(inside: Any) -> None:
    plug(vifs.bridge_vif())
    bridge = witness.link("br0")
    assert bridge is not None
    assert "UP" in bridge["flags"]
    settings = bridge["linkinfo"]["info_data"]
    assert settings["stp_state"] == 0
    assert settings["forward_delay"] == 0
    assert settings["mcast_snooping"] == 0
    assert settings["ageing_time"] == 30000
    assert bridge["ifalias"] == "os-vif shared"
    assert bridge.get("group", "default") == "default"
    assert witness.sysctl("ipv6/conf/br0/disable_ipv6") == "1"
    assert witness.sysctl("ipv4/conf/br0/arp_ignore") == "1"
    assert witness.sysctl("ipv4/conf/br0/arp_announce") == "2"
    assert list(inside.links()) == ["br0"], "the hypervisor makes the tap"
    assert steps_left(vifs.bridge_vif()) == []


@pytest.mark.parametrize("fields", [{"multi_host": True}, {"should_provide_bridge": False}])
def test_no_bridge_where_none_is_asked_for(inside: Any, fields: dict[str, Any]) -> None:
    plug(vifs.bridge_vif(network=vifs.network(**fields)))
    unplug(vifs.bridge_vif(network=vifs.network(**fields)))
    assert inside.links() == {}


@pytest.mark.parametrize("options", [{}, {"multi_queue": True}])
def test_a_tap_of_several_queues_stays(inside: Any, taps: None, options: dict[str, bool]) -> None:
    """As libvirt makes it for Nova: the guest runs on two queues before and after."""
    vif = vifs.bridge_vif()
    witness.ip(f"tuntap add {vif.vif_name} mode tap multi_queue vnet_hdr")
    host_mac = "fe" + vif.address[2:]
    witness.ip(f"link add br0 type bridge\nlink set {vif.vif_name} address {host_mac} master br0")
    index = inside.links()[vif.vif_name]["ifindex"]
    queues = [guest.Guest(vif.vif_name, vif.address, multi_queue=True) for _ in range(2)]
    try:
        with vifs.configured("linux_bridge", **options):
            plug(vif)
            assert steps_left(vif) == []
    finally:
        for queue in queues:
            queue.close()
    assert inside.links()[vif.vif_name]["ifindex"] == index, "it was made anew"
    with vifs.configured("linux_bridge", multi_queue=False):
        assert [step.kind for step in steps_left(vif)] == ["delete_links", "create_link"]


def test_unplug_leaves_the_bridge(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    unplug(vif)
    assert list(inside.links()) == ["br0"]
    unplug(vif)
    assert list(inside.links()) == ["br0"]


def test_a_tap_on_a_strangers_bridge_takes_few_exchanges_with_the_kernel(
    inside: Any, taps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the bridge's addresses are, and IPv6 is on: nothing of it is to be changed."""
    witness.ip(
        """
        link add br0 type bridge
        addr add 2001:db8::1/64 dev br0 nodad
        link set br0 up
        """
    )
    vif = vifs.bridge_vif()
    exchanges = 0
    exchange = netlink._exchange

    def counted(channel: Any, messages: Any) -> Any:
        nonlocal exchanges
        exchanges += 1
        return exchange(channel, messages)

    def refused_dump(kind: int, _body: bytes) -> Any:
        raise AssertionError(f"a dump of type {kind}, which grows with the host")

    monkeypatch.setattr(netlink, "_exchange", counted)
    monkeypatch.setattr(netlink, "dump", refused_dump)
    plug(vif)
    assert exchanges <= 3, "one look, one to set it up, one to raise it"
    exchanges = 0
    assert steps_left(vif) == []
    assert exchanges == 1


def test_a_strangers_bridge_is_used_as_it_is(inside: Any, taps: None) -> None:
    witness.ip(
        """
        link add br0 type bridge stp_state 1 forward_delay 1000 mcast_snooping 1
        addr add 192.0.2.1/24 dev br0
        """
    )
    vif = vifs.bridge_vif()
    plug(vif)
    bridge = witness.link("br0")
    assert bridge is not None
    assert "UP" in bridge["flags"], "it is of no use down"
    assert bridge["linkinfo"]["info_data"]["stp_state"] == 1
    assert bridge["linkinfo"]["info_data"]["mcast_snooping"] == 1
    assert "ifalias" not in bridge
    assert witness.sysctl("ipv4/conf/br0/arp_ignore") == "0"
    assert witness.addresses("br0") == ["192.0.2.1/24"]
    assert steps_left(vif) == []
    unplug(vif)
    assert witness.addresses("br0") == ["192.0.2.1/24"]


def test_plugging_again_repairs_a_drifted_bridge(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    healthy = witness.snapshot()
    witness.ip(
        f"""
        link set br0 down
        link set br0 type bridge stp_state 1 mcast_snooping 1 forward_delay 1500
        link set {vif.vif_name} nomaster
        link set {vif.vif_name} down mtu 1200 address 02:00:00:00:00:01
        """
    )
    drift = steps_left(vif)
    assert {step.args["name"] for step in drift} == {"br0", vif.vif_name}
    plug(vif)
    assert steps_left(vif) == []
    assert witness.differences(healthy, witness.snapshot()) == []


def test_plugging_again_finishes_a_half_made_bridge(inside: Any) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    healthy = witness.snapshot()
    mac = inside.links()["br0"]["address"]
    witness.ip("link del br0")
    # Just as it is when its maker is killed before the mark.
    witness.ip(f"link add br0 group {0x6F732D76} type bridge stp_state 0")
    assert any("mac" in step.args["attributes"] for step in steps_left(vif))
    plug(vif)
    assert witness.differences(healthy, witness.snapshot()) == []
    assert inside.links()["br0"]["address"] == mac
    witness.ip(
        """
        link add low0 address 02:00:00:00:00:01 type veth peer name low1
        link set low0 master br0
        """
    )
    assert inside.links()["br0"]["address"] == mac, "it changes with the guests"
    assert steps_left(vif) == []


def test_two_hosts_that_plug_one_vif_reach_each_other(inside: Any, other_host: Any) -> None:
    """Each has an address on its bridge; the bridges are one segment."""
    vif = vifs.bridge_vif()
    macs = []
    for number, host in enumerate((inside, other_host), 1):
        with host.enter():
            plug(vif)
            witness.ip(f"addr add 192.0.2.{number}/24 dev br0")
        macs.append(host.links()["br0"]["address"])
    assert macs[0] != macs[1]
    witness.ip(
        f"""
        link add wire0 type veth peer name wire1 netns {other_host.pid}
        link set wire0 master br0 up
        """
    )
    with other_host.enter():
        witness.ip("link set wire1 master br0 up")
    inside.run("ping", "-c", "1", "-w", "10", "192.0.2.2")


def test_ipv6_on_a_bridge_of_ours_is_the_operators_choice(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    Path("/proc/sys/net/ipv6/conf/br0/disable_ipv6").write_text("0")
    witness.ip("addr add 2001:db8::1/64 dev br0 nodad")
    plug(vif)
    assert witness.addresses("br0", "-6") == ["2001:db8::1/64"]
    assert steps_left(vif) == []


# --- the tap -----------------------------------------------------------------------------------


def test_create_tap(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif(network=vifs.network(mtu=1450))
    plug(vif)
    tap = witness.link(vif.vif_name)
    assert tap is not None
    assert tap["linkinfo"]["info_kind"] == "tun"
    assert tap["linkinfo"]["info_data"]["type"] == "tap"
    assert tap["linkinfo"]["info_data"]["persist"] is True
    assert tap["master"] == "br0"
    assert tap["mtu"] == 1450
    assert tap["address"] == "fe:54:00:00:00:01"
    assert "UP" in tap["flags"]
    assert tap["ifalias"] == (
        f"os-vif vif={vif.id} plugin=linux_bridge instance={vifs.instance().uuid} guest=guest1"
    )
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/disable_ipv6") == "1"
    unplug(vif)
    assert list(inside.links()) == ["br0"]


def test_mtu_of_the_configuration_where_the_network_has_none(inside: Any, taps: None) -> None:
    with vifs.configured("linux_bridge", network_device_mtu=1300):
        vif = vifs.bridge_vif()
        plug(vif)
    tap = witness.link(vif.vif_name)
    assert tap is not None
    assert tap["mtu"] == 1300


def test_a_tap_below_the_least_mtu_of_ipv6(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif(network=vifs.network(mtu=1000))
    plug(vif)
    assert steps_left(vif) == []
    vif.network.mtu = 1500
    plug(vif)
    assert steps_left(vif) == []
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/disable_ipv6") == "1"


def test_a_tap_that_libvirt_left_is_adopted(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif(vif_name="vnet7")
    witness.ip(
        """
        tuntap add vnet7 mode tap vnet_hdr
        link set vnet7 address fe:54:00:00:00:01
        """
    )
    index = inside.links()["vnet7"]["ifindex"]
    plug(vif)
    assert inside.links()["vnet7"]["ifindex"] == index
    assert inside.links()["vnet7"]["master"] == "br0"
    unplug(vif)
    assert "vnet7" not in inside.links()


def test_a_tap_named_after_the_vif_is_adopted(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif()
    witness.ip(f"tuntap add {vif.vif_name} mode tap")
    plug(vif)
    assert vif.id in inside.links()[vif.vif_name]["ifalias"]


@pytest.mark.parametrize(
    ("made", "what"),
    [
        ("tuntap add vnet7 mode tap", "a tap that is not this VIF's"),
        ("tuntap add vnet7 mode tun", "a tun that is not this VIF's"),
        ("link add vnet7 type veth peer name vnet8", "a veth that is not this VIF's"),
        ("link add vnet7 address 52:54:00:00:00:01 type bridge", "a bridge that is not this VIF's"),
    ],
)
def test_a_stranger_in_the_way(inside: Any, taps: None, made: str, what: str) -> None:
    witness.ip(made)
    vif = vifs.bridge_vif(vif_name="vnet7")
    with refused(f"device vnet7 is in the way: it is {what}"):
        plug(vif)
    before = witness.snapshot()
    unplug(vif)
    assert witness.differences(before, witness.snapshot()) == []


def test_another_vifs_tap_in_the_way(inside: Any, taps: None) -> None:
    plug(vifs.bridge_vif(2, vif_name="vnet7"))
    vif = vifs.bridge_vif(1, vif_name="vnet7")
    with refused(f"a tap of VIF {vifs.vif_id(2)}"):
        plug(vif)
    unplug(vif)
    assert "vnet7" in inside.links()


def test_unplug_leaves_the_hypervisors_tap(inside: Any) -> None:
    vif = vifs.bridge_vif()
    plug(vif)
    witness.ip(
        f"""
        tuntap add {vif.vif_name} mode tap
        link set {vif.vif_name} address fe:54:00:00:00:01 master br0 up
        """
    )
    plug(vif)
    before = witness.snapshot()
    unplug(vif)
    assert witness.differences(before, witness.snapshot()) == []


def test_unplug_finds_the_tap_when_create_tap_was_switched_off(inside: Any) -> None:
    from os_vif.objects.vif import VIFBridge

    vif = VIFBridge(
        id=vifs.vif_id(1),
        plugin="linux_bridge",
        address=vifs.guest_mac(1),
        bridge_name="br0",
        network=vifs.network(),
        has_traffic_filtering=True,
    )
    with vifs.configured("linux_bridge", create_tap=True):
        plug(vif)
    assert vifs.tap_name(1) in inside.links()
    unplug(vif)
    assert list(inside.links()) == ["br0"]


def test_unplug_needs_no_mac(inside: Any) -> None:
    vif = vifs.bridge_vif(address=None)
    plug(vif)
    unplug(vif)


def test_the_bridge_must_be_there_when_it_is_not_to_be_made(inside: Any, taps: None) -> None:
    vif = vifs.bridge_vif(network=vifs.network(should_provide_bridge=False))
    with refused("Network interface br0 not found"):
        plug(vif)


@pytest.mark.parametrize("made", ["tuntap add br0 mode tap", "link add br0 type veth peer name x0"])
def test_a_bridge_name_that_is_something_else(inside: Any, made: str) -> None:
    """The reference counts it as success."""
    witness.ip(made)
    with refused("device br0 is in the way: .* a bridge of this name is needed"):
        plug(vifs.bridge_vif())


# --- the uplink --------------------------------------------------------------------------------


def uplinked(number: int = 1, **fields: Any) -> Any:
    fields = {"bridge_interface": "eth0", "mtu": 1500, **fields}
    return vifs.bridge_vif(number, network=vifs.network(**fields))


HOST_V4 = ["192.0.2.10/24", "198.51.100.7/32", "192.0.2.11/24", "192.0.2.12/24"]
HOST_V6 = ["2001:db8::a/64", "2001:db8::b/64"]


def test_addresses_and_routes_move_to_the_bridge(uplink: Any) -> None:
    """The reference loses secondary and dynamic addresses."""
    before = {device: witness.ask(f"addr show dev {device}")[0] for device in ("eth0",)}
    v4, v6 = witness.routes(), witness.routes("-6")
    other = witness.routes(where="table 100")
    plug(uplinked())
    assert witness.addresses("br0") == HOST_V4
    assert sorted(witness.addresses("br0", "-6")) == HOST_V6
    assert witness.addresses("eth0") == []
    assert witness.addresses("eth0", "-6") == []
    assert witness.routes() == {(to, via, "br0") for to, via, _device in v4}
    assert witness.routes("-6") == {
        (to, via, device.replace("eth0", "br0")) for to, via, device in v6
    }
    assert witness.routes(where="table 100") == {(to, via, "br0") for to, via, _ in other}
    for route in witness.ask("-6 route show dev eth0"):
        assert route["dst"].startswith("fe80"), f"left on the uplink: {route}"
    now = {item["local"]: item for item in witness.ask("addr show dev br0")[0]["addr_info"]}
    for was in before["eth0"]["addr_info"]:
        if was["scope"] == "link":
            continue
        kept = now[was["local"]]
        for key in ("prefixlen", "scope", "broadcast", "address", "secondary", "dynamic"):
            assert kept.get(key) == was.get(key), (key, was, kept)
        for key in ("valid_life_time", "preferred_life_time"):
            assert abs(kept[key] - was[key]) <= 2, (key, was, kept)
    assert now["192.0.2.11"]["label"] == "br0:1"
    eth0 = witness.link("eth0")
    bridge = witness.link("br0")
    assert eth0 is not None
    assert bridge is not None
    assert eth0["master"] == "br0"
    assert bridge["address"] == eth0["address"], "or it changes with the guests"
    assert witness.sysctl("ipv6/conf/br0/disable_ipv6") == "0"
    assert steps_left(uplinked()) == []


def test_the_host_is_never_without_address_and_route(uplink: Any) -> None:
    """Watched through rtnetlink events: not sampled, so no moment is missed."""
    import pyroute2

    watcher = pyroute2.IPRoute(groups=0x7FF)
    watcher.bind()
    holders: dict[Any, set[int]] = {("192.0.2.10",): set(), ("default", 2): set()}
    lost: list[str] = []
    index = {name: link["ifindex"] for name, link in uplink.links().items()}
    holders["192.0.2.10",].add(index["eth0"])
    holders["default", 2].add(index["eth0"])
    plug(uplinked())
    seen = 0
    done = False
    while not done:
        for message in watcher.get():
            attributes = dict(message["attrs"])
            event = message["event"]
            if event in ("RTM_NEWADDR", "RTM_DELADDR"):
                who = holders.get((attributes.get("IFA_LOCAL", attributes["IFA_ADDRESS"]),))
                device = message["index"]
            elif event in ("RTM_NEWROUTE", "RTM_DELROUTE"):
                plain = message["dst_len"] == 0 and attributes.get("RTA_TABLE") == 254
                who = holders.get(("default", message["family"])) if plain else None
                device = attributes.get("RTA_OIF")
            else:
                continue
            if who is None:
                continue
            seen += 1
            (who.add if event.startswith("RTM_NEW") else who.discard)(device)
            if not who:
                lost.append(str(message))
            # The old primary address is the last thing that goes.
            done = event == "RTM_DELADDR" and device == index["eth0"]
    watcher.close()
    assert seen >= 4
    assert lost == []


def test_sampled_from_outside_nothing_is_ever_missing(uplink: Any) -> None:
    started, stop = threading.Event(), threading.Event()
    missing: list[str] = []
    samples = 0

    def sample() -> None:
        nonlocal samples
        with uplink.enter():
            while not stop.is_set():
                addresses = Path("/proc/thread-self/net/fib_trie").read_text()
                routes = Path("/proc/thread-self/net/route").read_text()
                samples += 1
                started.set()
                for address in ("192.0.2.10", "192.0.2.11", "192.0.2.12"):
                    if f"-- {address}\n" not in addresses:
                        missing.append(address)
                if "\t00000000\t010200C0\t" not in routes:
                    missing.append("default route")

    thread = threading.Thread(target=sample)
    thread.start()
    started.wait()
    try:
        plug(uplinked())
    finally:
        stop.set()
        thread.join()
    assert samples > 1
    assert missing == []


def test_plugging_again_finishes_a_half_moved_uplink(uplink: Any) -> None:
    """The reference loses the route for good."""
    plug(uplinked())
    healthy = witness.snapshot()
    Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("0")
    witness.ip(
        """
        addr add 192.0.2.10/24 broadcast 192.0.2.255 dev eth0
        addr add 2001:db8::a/64 dev eth0 nodad
        route append default via 192.0.2.1 dev eth0
        route append default via 2001:db8::1 dev eth0
        """
    )
    assert steps_left(uplinked())
    plug(uplinked())
    assert steps_left(uplinked()) == []
    assert witness.differences(healthy, witness.snapshot()) == []


def test_an_address_as_network_manager_sets_it(inside: Any) -> None:
    """With noprefixroute the connected route is the manager's, though it says the kernel's."""
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set wire0 up
        link set eth0 up
        addr add 192.0.2.10/24 dev eth0 noprefixroute
        addr add 2001:db8::a/64 dev eth0 noprefixroute nodad
        route add 192.0.2.0/24 dev eth0 proto kernel scope link src 192.0.2.10 metric 100
        route add default via 192.0.2.1 dev eth0 proto dhcp metric 100
        route add 2001:db8::/64 dev eth0 proto kernel metric 100
        route add default via 2001:db8::1 dev eth0 metric 100
        """
    )
    before = witness.ask("-4 route show")
    plug(uplinked())
    after = witness.ask("-4 route show")
    assert after == json.loads(json.dumps(before).replace("eth0", "br0"))
    assert witness.routes("-6") == {("default", "2001:db8::1", "br0")}
    assert [item["dev"] for item in witness.ask("-6 route show 2001:db8::/64")] == ["br0"]


def test_a_gateway_that_needs_a_route_of_its_own(inside: Any) -> None:
    """As on hosts of clouds that give a /32."""
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set wire0 up
        link set eth0 up
        addr add 10.128.0.7/32 dev eth0
        route add 10.128.0.1/32 dev eth0 scope link
        route add default via 10.128.0.1 dev eth0
        """
    )
    plug(uplinked())
    assert witness.routes() == {("10.128.0.1", "", "br0"), ("default", "10.128.0.1", "br0")}


def test_a_route_of_ipv4_by_an_ipv6_neighbour(inside: Any) -> None:
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set wire0 up
        link set eth0 up
        addr add 192.0.2.10/24 dev eth0
        addr add 2001:db8::a/64 dev eth0 nodad
        route add 10.0.0.0/8 via inet6 2001:db8::1 dev eth0
        """
    )
    plug(uplinked())
    [route] = witness.ask("-4 route show 10.0.0.0/8")
    assert route["dev"] == "br0"
    assert route["via"] == {"family": "inet6", "host": "2001:db8::1"}


def test_a_route_with_several_next_hops_is_not_torn_apart(inside: Any) -> None:
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link add eth1 type veth peer name wire1
        link set wire0 up
        link set wire1 up
        link set eth0 up
        link set eth1 up
        addr add 192.0.2.10/24 dev eth0
        addr add 198.51.100.10/24 dev eth1
        route add 10.0.0.0/8 nexthop via 192.0.2.1 dev eth0 nexthop via 198.51.100.1 dev eth1
        """
    )
    before = witness.snapshot()
    with pytest.raises(exception.PlugException, match=r"10\.0\.0\.0/8 .* has several next hops"):
        plug(uplinked())
    assert witness.differences(before, witness.snapshot()) == []


def test_the_bridges_own_routes_are_left_alone(inside: Any) -> None:
    """One with several next hops could not be moved; of an uplink without routes nothing is."""
    witness.ip(
        """
        link set lo up
        link add br0 type bridge
        link set br0 up
        addr add 192.0.2.10/24 dev br0
        link add other type bridge
        link set other up
        addr add 198.51.100.10/24 dev other
        link add eth0 type veth peer name wire0
        route add 10.0.0.0/8 nexthop via 192.0.2.1 dev br0 nexthop via 198.51.100.1 dev other
        """
    )
    plug(uplinked())
    assert inside.links()["eth0"]["master"] == "br0"


def test_a_route_by_a_nexthop_object_is_refused(inside: Any) -> None:
    """The object names the uplink, and routing daemons share one among many routes."""
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set wire0 up
        link set eth0 up
        addr add 192.0.2.10/24 dev eth0
        nexthop add id 7 via 192.0.2.1 dev eth0
        route add 203.0.113.0/24 nhid 7
        """
    )
    before = witness.snapshot()
    with pytest.raises(exception.PlugException, match=r"203\.0\.113\.0/24 .* nexthop object"):
        plug(uplinked())
    assert witness.differences(before, witness.snapshot()) == []


def test_a_bridge_keeps_its_address_as_guests_come_and_go(inside: Any) -> None:
    plug(vifs.bridge_vif(3))
    address = inside.links()["br0"]["address"]
    for number in (1, 2):
        plug(vifs.bridge_vif(number))
    unplug(vifs.bridge_vif(3))
    assert inside.links()["br0"]["address"] == address
    assert address.startswith("02:")


def test_an_uplink_that_is_missing(inside: Any) -> None:
    """The reference counts it as success."""
    with refused("Network interface eth0 not found"):
        plug(uplinked())


def test_an_uplink_of_another_bridge_is_not_stolen(uplink: Any) -> None:
    witness.ip("link add br1 type bridge\nlink set eth0 master br1")
    with refused("uplink eth0 is in the way: it is a port of br1"):
        plug(uplinked())


@pytest.mark.parametrize(
    ("made", "name", "words"),
    [
        ("link add eth9 type bridge", "eth9", "an uplink for br0 is needed"),
        ("tuntap add eth9 mode tun", "eth9", "not an Ethernet device"),
        ("link set lo up", "lo", "not an Ethernet device"),
    ],
)
def test_an_uplink_that_cannot_be_one(inside: Any, made: str, name: str, words: str) -> None:
    witness.ip(made)
    with refused(words):
        plug(uplinked(bridge_interface=name))


def test_another_vifs_tap_is_no_uplink(inside: Any, taps: None) -> None:
    os_vif.plug(vifs.tap_vif(2), vifs.instance())
    with refused("an uplink for br0 is needed"):
        plug(uplinked(bridge_interface=vifs.tap_name(2)))


def test_an_uplink_by_its_alternative_name(uplink: Any) -> None:
    witness.ip("link property add dev eth0 altname enp1s0f0")
    vif = uplinked(bridge_interface="enp1s0f0")
    plug(vif)
    eth0 = witness.link("eth0")
    assert eth0 is not None
    assert eth0["master"] == "br0"
    assert witness.addresses("br0") == HOST_V4
    assert os_vif.check(vif, vifs.instance()) == []


def test_flat_interface_of_the_configuration_wins(uplink: Any) -> None:
    with vifs.configured("linux_bridge", flat_interface="eth0"):
        plug(uplinked(bridge_interface="nonsense"))
    eth0 = witness.link("eth0")
    assert eth0 is not None
    assert eth0["master"] == "br0"


def test_a_second_vif_without_uplink_leaves_the_hosts_addresses(uplink: Any, taps: None) -> None:
    plug(uplinked(1))
    plug(vifs.bridge_vif(2))
    assert sorted(witness.addresses("br0", "-6")) == HOST_V6
    assert witness.addresses("br0") == HOST_V4
    unplug(vifs.bridge_vif(2))
    assert steps_left(uplinked(1)) == []


def test_a_vlan_uplink_or_the_word_that_the_kernel_has_none(uplink: Any) -> None:
    """The reference fails always (TypeError)."""
    vif = uplinked(should_provide_vlan=True, vlan=42)
    possible = (
        "NETDEV UP"
        in uplink.run(
            "sh",
            "-c",
            "ip link add link wire0 name probe type vlan id 9 && echo NETDEV UP",
            check=False,
        ).stdout
    )
    if possible:
        witness.ip("link del probe")
        plug(vif)
        vlan = witness.link("vlan42")
        assert vlan is not None
        assert vlan["linkinfo"]["info_data"]["id"] == 42
        assert vlan["link"] == "eth0"
        assert vlan["master"] == "br0"
        assert witness.addresses("eth0") == HOST_V4, "only the VLAN joins"
        assert steps_left(vif) == []
    else:
        with refused("could not create vlan vlan42: .*this kernel cannot make a vlan device"):
            plug(vif)


def test_a_vlan_name_that_is_something_else(uplink: Any) -> None:
    witness.ip("link add vlan42 type veth peer name x0")
    with refused("device vlan42 is in the way: .*VLAN 42 on eth0 is needed"):
        plug(uplinked(should_provide_vlan=True, vlan=42))


# --- failures are taken back ---------------------------------------------------------------------


def test_an_enslave_failure_leaves_nothing(inside: Any) -> None:
    """A bridge port must not be what the bridge is for; the kernel says so at the last step."""
    witness.ip("link add eth0 type vxlan id 7 dstport 4789 dev lo")
    witness.ip("link set eth0 up")
    with (
        vifs.configured("linux_bridge", uplink_mtu={"eth0": 65535}),
        refused("could not set eth0: .*MTU"),
    ):
        plug(uplinked())


@pytest.mark.parametrize("position", range(40))
def test_a_fault_at_any_step_is_taken_back(
    uplink: Any, taps: None, monkeypatch: pytest.MonkeyPatch, position: int
) -> None:
    vif = uplinked(number=1)
    vif.has_traffic_filtering = False
    ran = 0
    broken = False

    def failing(kind: str, act: Any) -> Any:
        def handle(args: Any) -> Any:
            nonlocal ran, broken
            ran += 1
            if ran == position + 1 and not broken:
                broken = True
                raise OSError(5, "the disk of the network is full")
            return act(args)

        return handle

    before = witness.snapshot()
    with monkeypatch.context() as patch:
        handler_of = runner.handler_of
        patch.setattr(runner, "handler_of", lambda kind: failing(kind, handler_of(kind)))
        [outcome] = os_vif.plug_many([(vif, vifs.instance())])
    if outcome.error is None:
        assert not broken
        assert position > 20, "there are that many steps"
        return
    assert str(outcome.error).endswith("the disk of the network is full")
    assert str(outcome.error).count("could not ") == 1
    assert witness.differences(before, witness.snapshot()) == []
    plug(vif)
    assert steps_left(vif) == []


# --- forwarding rules ----------------------------------------------------------------------------


@pytest.fixture
def docker(inside: Any) -> Any:
    """A host with Docker: bridged traffic goes through FORWARD, whose policy is DROP."""
    for name in ("iptables", "ip6tables"):
        Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}").write_text("1")
        witness.run(name, "-w", "-P", "FORWARD", "DROP")
    return inside


def pair(**fields: Any) -> tuple[Any, Any]:
    fields.setdefault("has_traffic_filtering", False)
    return vifs.bridge_vif(1, **fields), vifs.bridge_vif(2, **fields)


def passes(one: Any, other: Any, *, ipv6: bool = False) -> bool:
    """Tell whether a packet gets from one guest to the other; an ARP frame always does."""
    with guest.guests((one.vif_name, one.address), (other.vif_name, other.address)) as (a, b):
        a.wait_for(b)
        if ipv6:
            addresses = "2001:db8::1", "2001:db8::2"
            body = guest.ipv6(*addresses, guest.udp6(*addresses, b"may I pass"), 17)
            kind = guest.ETH_IPV6
        else:
            body = guest.ipv4("10.0.0.1", "10.0.0.2", guest.udp(b"may I pass"))
            kind = guest.ETH_IPV4
        a.send(guest.ethernet(b.mac, a.mac, kind, body))
        a.send(guest.ethernet(b.mac, a.mac, guest.ETH_ARP, b"the end of it" + b"\0" * 40))
        return any(b"may I pass" in frame for frame in b.until(b"the end of it"))


def test_traffic_passes_where_forward_drops(docker: Any, taps: None) -> None:
    filtered = pair(has_traffic_filtering=True)
    for vif in filtered:
        plug(vif)
    assert not passes(*filtered), "the host is not as this test needs it"
    one, other = pair()
    plug(one)
    plug(other)
    assert passes(one, other)
    unplug(one)
    assert len(witness.rules()) == 2, "the other's"
    plug(one)
    assert passes(one, other)
    unplug(one)
    unplug(other)
    assert witness.rules() == []


def test_ipv6_rules_where_a_subnet_has_it(docker: Any, taps: None) -> None:
    four = vifs.network(subnets=[vifs.subnet("10.0.0.0/24", ["10.0.0.1"])])
    one, other = pair(network=four)
    plug(one)
    plug(other)
    assert not passes(one, other, ipv6=True)
    assert witness.rules("ip6tables") == []
    six = vifs.network(subnets=[vifs.subnet("2001:db8::/64", ["2001:db8::1"])])
    one, other = pair(network=six)
    plug(one)
    assert passes(one, other, ipv6=True)
    unplug(one)
    unplug(other)
    assert witness.rules("ip6tables") == []
    with vifs.configured("linux_bridge", use_ipv6=True):
        one, other = pair(network=four)
        plug(one)
        plug(other)
        assert passes(one, other, ipv6=True)
    unplug(one)
    unplug(other)
    assert witness.rules("ip6tables") == []


STRANGERS = [
    ("-s", "10.99.0.0/16", "-m", "comment", "--comment", "os-vif", "-j", "DROP"),
    ("-s", "10.98.0.0/16", "-m", "comment", "--comment", "os-vif bridge traffic", "-j", "DROP"),
    ("-i", "br0", "-m", "comment", "--comment", 'not os-vif, don\'t touch \\ "it"', "-j", "ACCEPT"),
    ("-i", "os-vif0", "-j", "ACCEPT"),
    ("-o", "br0", "-m", "comment", "--comment", "os-vif vif=(none) bridge=br0", "-j", "ACCEPT"),
]


def test_strangers_rules_stay(inside: Any, taps: None) -> None:
    for rule in STRANGERS:
        witness.run("iptables", "-w", "-A", "FORWARD", *rule)
    strangers = witness.rules()
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    other = vifs.bridge_vif(2, "br1", has_traffic_filtering=False)
    plug(vif)
    plug(other)
    assert [rule for rule in witness.rules() if rule in strangers] == strangers
    assert len(witness.rules()) == len(strangers) + 4
    assert [item.mark.vif_id for item in os_vif.list_vifs()] == [vif.id, other.id]
    unplug(vif)
    assert len(witness.rules()) == len(strangers) + 2, "the other bridge's rules stay"
    # A new process, which knows nothing of the one before, leaves the others' rules too.
    inside.python("import os_vif; os_vif.initialize()")
    plug(vif)
    assert len(witness.rules()) == len(strangers) + 4
    os_vif.gc([])
    assert witness.rules() == strangers
    assert list(inside.links()) == sorted(inside.links())
    assert set(inside.links()) == {"br0", "br1"}


def test_rules_that_drifted_are_repaired(inside: Any) -> None:
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    plug(vif)
    healthy = witness.rules()
    witness.run(
        "iptables",
        "-w",
        "-D",
        *healthy[0].split('"')[0].split()[1:4],
        "-m",
        "comment",
        "--comment",
        healthy[0].split('"')[1],
        "-j",
        "ACCEPT",
    )
    assert len(witness.rules()) == 1
    assert len(steps_left(vif)) == 1
    plug(vif)
    assert witness.rules() == healthy
    unplug(vif)
    unplug(vif)
    assert witness.rules() == []


def test_rules_stand_between_top_and_bottom(inside: Any) -> None:
    for target in ("10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16"):
        witness.run("iptables", "-w", "-A", "FORWARD", "-d", target, "-j", "ACCEPT")
    options = {"iptables_top_regex": r"10\.1\.", "iptables_bottom_regex": r"10\.[23]\."}
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    with vifs.configured("linux_bridge", **options):
        plug(vif)
        assert steps_left(vif) == []
    order = ["os-vif" if "os-vif" in rule else rule.split()[3] for rule in witness.rules()]
    assert order == ["10.1.0.0/16", "os-vif", "os-vif", "10.2.0.0/16", "10.3.0.0/16"]


@pytest.mark.parametrize("option", ["iptables_top_regex", "iptables_bottom_regex"])
def test_a_pattern_that_takes_for_ever(inside: Any, option: str) -> None:
    """Who looks for it, a daemon for one, serves others too."""
    stranger = ("-d", "10.1.0.0/16", "-m", "comment", "--comment", "a" * 40, "-j", "ACCEPT")
    witness.run("iptables", "-w", "-A", "FORWARD", *stranger)
    before = witness.snapshot(), witness.rules()
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    began = time.monotonic()
    with vifs.configured("linux_bridge", **{option: "(a+)+!"}):
        with pytest.raises(exception.PlugException, match=rf"{option} .* takes more than 2 s"):
            plug(vif)
        assert time.monotonic() - began < 30
        assert before == (witness.snapshot(), witness.rules())


@pytest.mark.parametrize("action", ["DROP", "REJECT"])
def test_forwarding_to_some_interfaces_only(docker: Any, taps: None, action: str) -> None:
    options = {"forward_bridge_interface": ["eth7"], "iptables_drop_action": action}
    one, other = pair()
    with vifs.configured("linux_bridge", **options):
        plug(one)
        plug(other)
        assert steps_left(one) == []
        words = [rule.split() for rule in witness.rules() if one.id in rule]
        assert [(" ".join(w[2 : w.index("-m")]), w[w.index("-j") + 1]) for w in words] == [
            ("-i br0 -o eth7", "ACCEPT"),
            ("-i eth7 -o br0", "ACCEPT"),
            ("-i br0 -o br0", "ACCEPT"),
            ("-i br0", action),
            ("-o br0", action),
        ]
        assert passes(one, other), "guests of one bridge reach each other"
        again = witness.rules()
        plug(one)
        assert witness.rules() == again
    unplug(one)
    unplug(other)
    assert witness.rules() == []


def test_a_host_without_iptables_needs_no_rules(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    vif = vifs.bridge_vif(has_traffic_filtering=False)
    plug(vif)
    assert steps_left(vif) == []
    unplug(vif)
