# SPDX-License-Identifier: Apache-2.0
"""VIFGeneric on the real kernel: plain taps, several queues, and guests that the host routes to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.host.links import resources
from tests import guest, vifs, witness
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.kernel_guest import kernel_guest

pytestmark = pytest.mark.functional


def test_a_plain_tap(inside: Any) -> None:
    vif = vifs.tap_vif(network=vifs.network(mtu=1450))
    plug(vif)
    tap = witness.link(vif.vif_name)
    assert tap is not None
    assert tap["address"] == "fe:54:00:00:00:01", "a bridge must not take it for the guest"
    assert tap["mtu"] == 1450
    assert "UP" in tap["flags"]
    assert "master" not in tap
    assert (
        "multi_queue" not in tap["linkinfo"]["info_data"]
        or not tap["linkinfo"]["info_data"]["multi_queue"]
    )
    assert tap["linkinfo"]["info_data"]["vnet_hdr"] is True
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/disable_ipv6") == "1"
    assert steps_left(vif) == []
    with guest.guests((vif.vif_name, vif.address)):
        assert steps_left(vif) == [], "a running guest is no drift"
        plug(vif)
    unplug(vif)
    assert inside.links() == {}
    unplug(vif)


def test_a_tap_of_several_queues(inside: Any) -> None:
    vif = vifs.tap_vif()
    with vifs.configured("tap", multi_queue=True):
        plug(vif)
        queues = [guest.Guest(vif.vif_name, vif.address, multi_queue=True) for _ in range(4)]
        assert steps_left(vif) == []
        for queue in queues:
            queue.close()
        tap = witness.link(vif.vif_name)
        assert tap is not None
        assert tap["linkinfo"]["info_data"]["multi_queue"] is True
    assert steps_left(vif) == [], "nothing is said of its queues"
    with vifs.configured("tap", multi_queue=False):
        plug(vif)
    tap = witness.link(vif.vif_name)
    assert tap is not None
    assert not tap["linkinfo"]["info_data"].get("multi_queue")


@pytest.mark.parametrize("multi", [False, True])
def test_a_tap_in_use_is_not_replaced(inside: Any, multi: bool) -> None:
    vif = vifs.tap_vif()
    with vifs.configured("tap", multi_queue=multi):
        plug(vif)
    running = guest.Guest(vif.vif_name, vif.address, multi_queue=multi)
    try:
        with vifs.configured("tap", multi_queue=not multi), refused("a program has it open"):
            plug(vif)
    finally:
        running.close()


def test_drift_is_repaired(inside: Any) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    healthy = witness.snapshot()
    witness.ip(
        f"""
        link set {vif.vif_name} down
        link set {vif.vif_name} mtu 1280 address 52:54:00:00:99:99 group 5 alias mine
        """
    )
    Path(f"/proc/sys/net/ipv6/conf/{vif.vif_name}/disable_ipv6").write_text("0")
    plug(vif)
    assert witness.differences(healthy, witness.snapshot()) == []


def test_a_tap_stays_where_its_owner_put_it(inside: Any) -> None:
    """Who takes VIFGeneric connects the tap himself; that is no drift."""
    vif = vifs.tap_vif()
    plug(vif)
    witness.ip(f"link add br9 type bridge\nlink set {vif.vif_name} master br9")
    assert os_vif.check(vif) == []
    plug(vif)
    assert inside.links()[vif.vif_name]["master"] == "br9"


def test_guests_on_a_bridge_of_ones_own(inside: Any) -> None:
    """A bridge keeps its ports' own addresses for itself: a guest's must not be among them."""
    first = ("192.0.2.1/24", "2001:db8::1/64")
    second = ("192.0.2.2/24", "2001:db8::2/64")
    one, other = vifs.tap_vif(1), vifs.tap_vif(2)
    plug(one)
    # As earlier versions left it.
    witness.ip(f"link set {one.vif_name} address {one.address}")
    plug(one)
    plug(other)
    witness.ip("link add br-own type bridge\nlink set br-own up")
    for vif in (one, other):
        witness.ip(f"link set {vif.vif_name} master br-own")
        assert steps_left(vif) == []
    taps = [guest.Guest(vif.vif_name, vif.address) for vif in (one, other)]
    with (
        kernel_guest(taps[0].descriptor, one.address, *first) as a,
        kernel_guest(taps[1].descriptor, other.address, *second),
    ):
        for address in second:
            assert a.reaches(address.partition("/")[0]), address


@pytest.mark.parametrize("mtu", [65535, 65522])
def test_more_than_the_device_takes(inside: Any, mtu: int) -> None:
    """A tap takes at most 65521 bytes; the kernel agrees."""
    with refused(rf"network\.mtu: {mtu} .*from 68 to 65521"):
        plug(vifs.tap_vif(network=vifs.network(mtu=mtu)))


def test_the_largest_mtu_is_the_kernels(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(vifs.tap_vif(network=vifs.network(mtu=65521)))
    monkeypatch.setattr(resources, "TAP_MTU_MAX", 65535)
    with refused(f"could not create tap {vifs.tap_name(2)}: .*MTU 65522.*: .*mtu"):
        plug(vifs.tap_vif(2, network=vifs.network(mtu=65522)))


@pytest.mark.usefixtures("kernel_refuses")
def test_a_bad_change_of_a_tap_that_was_there_is_taken_back(inside: Any) -> None:
    """The kernel applies a message's attributes one by one, and keeps those before the bad one."""
    plug(vifs.tap_vif())
    witness.ip(f"link set {vifs.tap_name(1)} down mtu 1234 address 52:54:00:00:99:99")
    with refused(f"could not set {vifs.tap_name(1)}: "):
        plug(vifs.tap_vif(network=vifs.network(mtu=65535)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vif_name": ""}, "vif_name: ''"),
        ({"vif_name": "a" * 16}, "at most 15 bytes"),
        ({"vif_name": "tap%d"}, "vif_name: 'tap%d'"),
        ({"vif_name": "../../etc"}, "vif_name: '../../etc'"),
        ({"vif_name": "a b"}, "vif_name: 'a b'"),
        ({"vif_name": "a\0b"}, "vif_name: "),
        ({"vif_name": ".."}, r"vif_name: '\.\.'"),
        ({"address": None}, r"VIFGeneric\.address"),
        ({"address": "01:00:5e:00:00:01"}, r"VIFGeneric\.address: .*multicast"),
        ({"address": "00:00:00:00:00:00"}, r"VIFGeneric\.address: .*not 0"),
        ({"network": vifs.network(mtu=0)}, r"network\.mtu: 0 .*from 68 to 65535"),
        ({"network": vifs.network(mtu=67)}, r"network\.mtu: 67 "),
        ({"network": vifs.network(mtu=65536)}, r"network\.mtu: 65536 "),
    ],
)
def test_bad_input_touches_nothing(inside: Any, fields: dict[str, Any], words: str) -> None:
    with refused(words):
        plug(vifs.tap_vif(**fields))


def test_no_tun_device(inside: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    real = os.open

    def without(path: Any, *args: Any, **options: Any) -> int:
        if path == "/dev/net/tun":
            raise FileNotFoundError(2, "No such file or directory")
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", without)
    with refused("could not create tap .*/dev/net/tun, .* module tun .*: No such file"):
        plug(vifs.tap_vif())


# --- routed --------------------------------------------------------------------------------------

V6 = "2001:db8:7::"


@pytest.fixture
def router() -> Iterator[None]:
    with vifs.configured("tap", routed=True):
        yield


def routed(number: int, **fields: Any) -> Any:
    subnets = [
        vifs.subnet(
            "10.65.0.0/16",
            [f"10.65.0.{number}"],
            gateway="10.65.255.1",
            routes=[(f"10.7{number}.0.0/16", f"10.65.0.{number}"), ("10.80.0.0/16", "10.65.0.99")],
        ),
        vifs.subnet(f"{V6}/64", [f"{V6}{number}"], gateway=f"{V6}ff"),
    ]
    return vifs.tap_vif(
        number, network=vifs.network(subnets=subnets, should_provide_bridge=False), **fields
    )


def test_the_way_to_a_routed_guest(inside: Any, router: None) -> None:
    vif = routed(1)
    plug(vif)
    assert witness.routes() == {
        ("10.65.0.1", "", vif.vif_name),
        ("10.71.0.0/16", "10.65.0.1", vif.vif_name),
    }
    assert witness.routes("-6") == {(f"{V6}1", "", vif.vif_name)}
    [proxy] = witness.ask("neigh show proxy")
    assert (proxy["dst"], proxy["dev"]) == (f"{V6}ff", vif.vif_name)
    tap = witness.link(vif.vif_name)
    assert tap is not None
    assert tap["address"] == "fe:54:00:00:00:01", "a router must not have its neighbour's"
    for setting in ("ipv4/conf/{}/proxy_arp", "ipv4/conf/{}/forwarding", "ipv4/conf/{}/rp_filter"):
        assert witness.sysctl(setting.format(vif.vif_name)) == "1"
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/proxy_ndp") == "1"
    assert witness.sysctl(f"ipv6/conf/{vif.vif_name}/accept_ra") == "0", "a guest is no router"
    assert steps_left(vif) == []
    unplug(vif)
    assert witness.routes() == set()
    assert witness.routes("-6") == set()
    assert witness.ask("neigh show proxy") == []


def test_packets_between_routed_guests(inside: Any, router: None) -> None:
    # Between interfaces IPv6 is forwarded only where the operator turned it on for the host.
    Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    one, other = routed(1), routed(2)
    plug(one)
    plug(other)
    with guest.guests((one.vif_name, one.address), (other.vif_name, other.address)) as (a, b):
        # The host answers for whatever the guest asks.
        gateway = a.arp_for("10.65.0.1", "10.65.0.2")
        assert gateway == "fe:54:00:00:00:01"
        packet = guest.ipv4("10.65.0.1", "10.65.0.2", guest.udp(b"hello over there"))
        a.send(guest.ethernet(gateway, a.mac, guest.ETH_IPV4, packet))
        asked = b.until(b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01")[-1]
        b.answer_arp("10.65.0.2", asked)
        frame = b.until(b"hello over there")[-1]
        assert frame[:6].hex(":") == b.mac
        assert frame[6:12].hex(":") == "fe:54:00:00:00:02"
        assert frame[22] == 63, "one hop: it was routed, not bridged"
        # The same in IPv6, where the gateway is one that nobody has.
        gateway = a.solicit(f"{V6}1", f"{V6}ff")
        assert gateway == "fe:54:00:00:00:01"
        text = guest.udp6(f"{V6}1", f"{V6}2", b"hello in six")
        packet = guest.ipv6(f"{V6}1", f"{V6}2", text, 17)
        a.send(guest.ethernet(gateway, a.mac, guest.ETH_IPV6, packet))
        for frame in b.frames():
            if b"hello in six" in frame:
                break
            if frame[12:14] == b"\x86\xdd" and frame[54:55] == b"\x87":
                b.advertise(f"{V6}2", frame)
        assert b"hello in six" in frame
        assert frame[21] == 63


def test_a_spoofed_source_is_dropped(inside: Any, router: None) -> None:
    one, other = routed(1), routed(2)
    plug(one)
    plug(other)
    with guest.guests((one.vif_name, one.address), (other.vif_name, other.address)) as (a, b):
        gateway = a.arp_for("10.65.0.1", "10.65.0.2")
        for source, text in (("10.65.0.77", b"I am another"), ("10.65.0.1", b"I am myself")):
            packet = guest.ipv4(source, "10.65.0.2", guest.udp(text))
            a.send(guest.ethernet(gateway, a.mac, guest.ETH_IPV4, packet))
        b.answer_arp("10.65.0.2", b.until(b"\x08\x06\x00\x01\x08\x00\x06\x04\x00\x01")[-1])
        assert not any(b"I am another" in frame for frame in b.until(b"I am myself"))


def test_routed_drift_is_repaired(inside: Any, router: None) -> None:
    vif = routed(1)
    plug(vif)
    healthy = witness.snapshot()
    witness.ip(
        f"""
        route del 10.65.0.1
        route del 10.71.0.0/16
        route del {V6}1
        neigh del proxy {V6}ff dev {vif.vif_name}
        """
    )
    Path(f"/proc/sys/net/ipv4/conf/{vif.vif_name}/proxy_arp").write_text("0")
    assert len(steps_left(vif)) == 5
    plug(vif)
    assert witness.differences(healthy, witness.snapshot()) == []


def test_a_route_that_leads_elsewhere(inside: Any, router: None) -> None:
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set eth0 up
        route add 10.65.0.1/32 dev eth0
        """
    )
    with refused(r"route 10\.65\.0\.1/32 is in the way: it leads to eth0"):
        plug(routed(1))


def test_two_guests_with_one_address(inside: Any, router: None) -> None:
    plug(routed(1))
    twin = vifs.tap_vif(2, network=routed(1).network)
    with refused(f"it leads to {vifs.tap_name(1)}"):
        plug(twin)


def test_routed_mode_needs_an_address(inside: Any, router: None) -> None:
    with refused(r"network\.subnets"):
        plug(vifs.tap_vif(network=vifs.network(subnets=[vifs.subnet("10.0.0.0/24")])))


def test_a_failed_change_of_queues_gives_the_routes_back(inside: Any, router: None) -> None:
    vif = routed(1)
    plug(vif)
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set eth0 up
        route add 10.79.0.0/16 dev eth0
        """
    )
    vif.network.subnets.objects[0].routes.objects[0].cidr = "10.79.0.0/16"
    with vifs.configured("tap", multi_queue=True), refused(r"10\.79\.0\.0/16"):
        plug(vif)
    # Nothing was refused beforehand here: the kernel itself says no, at the very last step.
    vif = routed(1)
    vif.network.subnets.objects[0].routes.objects[0].cidr = "224.0.0.0/4"
    with vifs.configured("tap", multi_queue=True):
        before = witness.snapshot()
        try:
            plug(vif)
        except exception.PlugException:
            after = witness.snapshot()
            assert witness.differences(before, after) == []
