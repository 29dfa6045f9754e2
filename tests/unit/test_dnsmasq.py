# SPDX-License-Identifier: Apache-2.0
"""What dnsmasq is told, and what can never be part of that."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception
from os_vif.drawing.scene import Guest, scene_of
from os_vif.engine import steps
from os_vif.engine.draft import Draft
from os_vif.engine.observed import Host
from os_vif.engine.place import AS_ROOT
from os_vif.engine.step import Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.dnsmasq.questions import SERVERS, Reserved, Server, Taken
from os_vif.host.dnsmasq.resources import Dnsmasq, Reservation, ServedSubnet
from os_vif.host.dnsmasq.rules import is_in_the_way, plug_reservation, plug_server
from os_vif.host.dnsmasq.steps import reserving, starting
from os_vif.host.dnsmasq.system import written
from os_vif.host.links.questions import LINKS, Link
from os_vif.host.links.resources import Bridge
from tests import vifs

IPV4 = ServedSubnet(cidr="10.7.0.0/24", gateway="10.7.0.1")
IPV6 = ServedSubnet(cidr="fd00:7::/64", gateway="fd00:7::1")
SLAAC = dataclasses.replace(IPV6, dhcp=False)
PLACE = written.Place("/run/os-vif-dnsmasq/1/br0", "dnsmasq", "nogroup")
MARK = Mark(vifs.vif_id(1), "linux_bridge")
MAC = vifs.guest_mac(1)
EVIL = ("a,b", 'a"b', "a\nb", "a#b", "a%b", "a b", "a\\b", "a;b", "\u00e4")


def served(*subnets: ServedSubnet, **more: Any) -> Dnsmasq:
    return Dnsmasq(**{"bridge": "br0", "subnets": subnets or (IPV4,), "mtu": 1400, **more})


def told(*subnets: ServedSubnet, **more: Any) -> list[str]:
    return written.configuration(served(*subnets, **more), PLACE).splitlines()


# --- what may be described ------------------------------------------------------------------------


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"cidr": "10.7.0.5/24"}, "cidr", "a network without host bits"),
    ({"cidr": "10.7.0.0/31"}, "cidr", "/30 or larger"),
    ({"cidr": "10.7.0.0/32"}, "cidr", "/30 or larger"),
    ({"cidr": "10.7.0.0/30", "gateway": "10.7.0.1", "dns": ("10.7.0.2",)}, "cidr", "with room"),
    ({"gateway": "10.8.0.1"}, "gateway", "an address of a host in 10.7.0.0/24"),
    ({"gateway": "10.7.0.0"}, "gateway", "an address of a host in 10.7.0.0/24"),
    ({"gateway": "10.7.0.255"}, "gateway", "an address of a host in 10.7.0.0/24"),
    ({"gateway": "fd00:7::1"}, "gateway", "an IPv4 address"),
    ({"dns": ("fd00::53",)}, "dns", "an IPv4 address"),
    ({"dns": ("0.0.0.0",)}, "dns", "an IPv4 address of one host"),  # noqa: S104
    ({"routes": (("10.9.0.0/16", "10.8.0.1"),)}, "routes.gateway", "in 10.7.0.0/24"),
    ({"routes": (("10.9.0.1/16", "10.7.0.9"),)}, "routes.cidr", "without host bits"),
    ({"routes": (("10.9.0.0/16", "10.7.0.9"),) * 40}, "routes", "255 bytes in all"),
    ({"cidr": "fd00:7::/80", "dhcp": False}, "cidr", "a /64"),
    ({"cidr": "fd00:7::/127"}, "cidr", "/64 to /126"),
    ({"cidr": "fd00::/48"}, "cidr", "/64 to /126"),
    ({"cidr": "fd00:7::/64", "dns": ("192.0.2.53",)}, "dns", "an IPv6 address"),
    ({"cidr": "fd00:7::/64", "routes": (("fd00:9::/64", "fd00:7::9"),)}, "routes", "hold none"),
    ({"cidr": "fd00:7::/64", "gateway": "fe80::1%br0"}, "gateway", "an IPv6 address"),
    ({"cidr": "FD00:7::/64"}, "cidr", "a network without host bits"),
]


@pytest.mark.parametrize(("fields", "field", "words"), WRONG)
def test_a_subnet_that_cannot_be_served(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(exception.InvalidField) as caught:
        ServedSubnet(**{"cidr": "10.7.0.0/24", **fields})
    assert caught.value.kwargs["field"] == f"network.subnets.{field}"
    assert words in caught.value.kwargs["expected"]


@pytest.mark.parametrize("text", EVIL)
def test_no_text_means_more_than_it_says(text: str) -> None:
    for make in (
        lambda: Reservation(bridge="br0", mac=MAC, name=text),
        lambda: Reservation(bridge=text, mac=MAC),
        lambda: Reservation(bridge="br0", mac=text),
        lambda: Reservation(bridge="br0", mac=MAC, addresses=(f"10.7.0.5{text}",)),
        lambda: ServedSubnet(cidr=f"10.7.0.0/24{text}"),
        lambda: ServedSubnet(cidr="10.7.0.0/24", gateway=f"10.7.0.1{text}"),
        lambda: ServedSubnet(cidr="10.7.0.0/24", dns=(f"10.7.0.1{text}",)),
        lambda: ServedSubnet(cidr="10.7.0.0/24", routes=((f"10.9.0.0/24{text}", "10.7.0.9"),)),
        lambda: served(bridge=text),
    ):
        with pytest.raises(exception.InvalidField):
            make()


@pytest.mark.parametrize(
    "name", ["", "-a", "a-", "a.b", "a" * 64, "1h", "42", "infinite", "Ignore"]
)
def test_names_that_dnsmasq_would_take_for_something_else(name: str) -> None:
    if not name:
        Reservation(bridge="br0", mac=MAC, name=name)
        return
    with pytest.raises(exception.InvalidField, match="RFC 1123"):
        Reservation(bridge="br0", mac=MAC, name=name)


@pytest.mark.parametrize("name", ["a", "anna", "Web-01", "1a", "a" * 63, "4h2"])
def test_names_that_are_names(name: str) -> None:
    assert Reservation(bridge="br0", mac=MAC, name=name).name == name


def test_subnets_that_overlap_and_an_mtu_that_ipv6_cannot_have() -> None:
    other = ServedSubnet(cidr="10.7.0.128/25")
    with pytest.raises(exception.InvalidField, match=r"does not overlap 10\.7\.0\.0/24"):
        served(IPV4, other)
    with pytest.raises(exception.InvalidField, match="at least 1280 bytes"):
        served(IPV4, IPV6, mtu=1200)
    served(IPV4, mtu=1200)


def test_addresses_of_others_are_not_given_out() -> None:
    subnet = ServedSubnet(
        cidr="10.7.0.0/29",
        gateway="10.7.0.1",
        dns=("10.7.0.3",),
        routes=(("0.0.0.0/1", "10.7.0.6"),),
    )
    assert [(str(a), str(b)) for a, b in subnet.ranges()] == [
        ("10.7.0.2", "10.7.0.2"),
        ("10.7.0.4", "10.7.0.5"),
    ]


# --- what dnsmasq is told -------------------------------------------------------------------------


def test_it_serves_one_bridge_and_reads_nothing_of_the_host() -> None:
    lines = told()
    assert {"interface=br0", "except-interface=lo", "bind-dynamic"} <= set(lines)
    assert {"no-resolv", "no-hosts", "user=dnsmasq", "group=nogroup", "pid-file="} <= set(lines)
    assert "dhcp-range=set:subnet0,10.7.0.2,10.7.0.254,255.255.255.0,12h" in lines
    assert "dhcp-option=tag:subnet0,option:router,10.7.0.1" in lines
    assert not [line for line in lines if line.startswith(("server=", "enable-ra"))]


def test_whose_name_servers_are_asked() -> None:
    own = dataclasses.replace(IPV4, dns=("192.0.2.53",))
    asks = {
        forwards: "no-resolv" not in written.configuration(served(forwards=forwards), PLACE)
        for forwards in (True, False)
    }
    assert asks == {True: True, False: False}
    assert "no-resolv" in written.configuration(served(own, forwards=True), PLACE)


def test_name_servers_and_routes() -> None:
    both = dataclasses.replace(IPV4, dns=("192.0.2.53",), routes=(("10.9.0.0/16", "10.7.0.9"),))
    lines = told(both, dataclasses.replace(IPV6, dns=("2001:db8::53",)))
    assert [it for it in lines if it.startswith("server=")] == [
        "server=192.0.2.53",
        "server=2001:db8::53",
    ]
    option = "dhcp-option=tag:subnet0,option:classless-static-route"
    assert f"{option},10.9.0.0/16,10.7.0.9,0.0.0.0/0,10.7.0.1" in lines


def test_how_guests_come_to_their_ipv6_addresses() -> None:
    assert "dhcp-range=fd00:7::2,fd00:7::ffff:ffff:ffff:ffff,64,12h" in told(IPV6)
    assert "dhcp-range=fd00:7::,ra-stateless,ra-names,64,12h" in told(SLAAC)
    assert "ra-param=br0,mtu:1400,600,1800" in told(SLAAC)
    assert "ra-param=br0,mtu:1400,600,0" in told(dataclasses.replace(SLAAC, gateway=""))


@pytest.mark.parametrize(
    ("addresses", "name", "lines"),
    [
        ((), "", [MAC]),
        (("10.7.0.5",), "anna", [f"{MAC},10.7.0.5,anna"]),
        (("fd00:7::5",), "", [f"{MAC},[fd00:7::5]"]),
        (
            ("10.7.0.5", "10.8.0.5", "fd00:7::5"),
            "anna",
            [f"{MAC},10.7.0.5,[fd00:7::5],anna", f"{MAC},10.8.0.5,anna"],
        ),
    ],
)
def test_a_reservation_is_read_as_it_was_written(
    addresses: tuple[str, ...], name: str, lines: list[str]
) -> None:
    wanted = Reserved(str(MARK), MAC, addresses, name)
    text = written.reservation(wanted)
    assert text.splitlines() == [f"# {MARK}", *lines]
    assert written.reserved(MARK.vif_id, text) == wanted


def test_the_order_of_addresses_is_no_difference() -> None:
    assert Reserved("", MAC, ("fd00:7::5", "10.7.0.5"), "").addresses == ("10.7.0.5", "fd00:7::5")


@pytest.mark.parametrize(
    "text", ["", "\n", "# x\n", f"# {MARK}\n", f"{MAC}\n", f"# {MARK}\n{MAC},ignore\n"]
)
def test_what_somebody_else_wrote_is_no_reservation(text: str) -> None:
    assert written.reserved(MARK.vif_id, text) is None
    assert (
        written.reserved("another", written.reservation(Reserved(str(MARK), MAC, (), ""))) is None
    )


LEASES = f"""\
1796045576 {MAC} 10.7.0.53 dora *
1796045577 52:54:00:00:00:02 10.7.0.54 * ff:01:02
duid 00:01:00:01:2f:00:00:00:52:54:00:00:00:99
1796045578 7 fd00:7::50 anna 00:03:00:01:{MAC}
half a line
"""


def test_leases() -> None:
    first, second, third = written.leases(LEASES)
    assert (first.address, first.mac, first.client) == ("10.7.0.53", MAC, "")
    assert (second.client, second.association) == ("ff:01:02", -1)
    assert (third.address, third.mac, third.association) == ("fd00:7::50", MAC, 7)
    assert written.server_duid(LEASES).startswith("00:01:00:01:")
    assert written.leases(written.without(LEASES, [first, third])) == [second]


def test_its_last_words() -> None:
    said = ["", "dnsmasq: failed to bind DHCP server socket: Address already in use", ""]
    assert written.last_words(said) == "failed to bind DHCP server socket: Address already in use"
    assert written.last_words([]) == "it said nothing"


# --- rules ----------------------------------------------------------------------------------------


def draft(server: Server | None, index: int = 7) -> Draft:
    host = Host()
    host[LINKS]["br0"] = Link("br0", index, "bridge", "os-vif shared", {})
    if server is not None:
        host[SERVERS]["br0"] = server
    return Draft(Topology(MARK, (served(),)), host, undoable=True)


RUNNING = Server(running=True, subnets=(IPV4,), mtu=1400, index=7)


def test_what_other_guests_are_told_no_more_is_told_before() -> None:
    routed = dataclasses.replace(
        IPV4, dns=("192.0.2.53",), routes=(("10.9.0.0/16", "10.7.0.9"),), dhcp=False
    )

    def warned(have: Dnsmasq, wanted: Dnsmasq, *vif_ids: str) -> list[str]:
        reserved = {it: Reserved(f"os-vif vif={it} plugin=tap", MAC, (), "") for it in vif_ids}
        subnets, forwards = have.subnets, have.forwards
        server = dataclasses.replace(
            RUNNING, subnets=subnets, forwards=forwards, outdated=True, reserved=reserved
        )
        made = draft(server)
        plug_server(made, wanted)
        assert [it.kind for it in made.plan.steps] == ["start_dnsmasq"]
        assert [it.costs for it in made.plan.cautions] in ([], [frozenset(vif_ids) - {MARK.vif_id}])
        return [it.words for it in made.plan.cautions]

    one, other, third = served(IPV4, forwards=True), served(routed, forwards=True), "3-vif"
    assert warned(one, other) == warned(one, other, MARK.vif_id) == warned(one, one, third) == []
    assert warned(one, served(IPV6, forwards=True), third) == [], "the gateway warns of it"
    [words] = warned(one, other, MARK.vif_id, third, "4-vif")
    lost = "DHCP for 10.7.0.0/24, the host's name servers"
    assert words.startswith(f"VIF 3-vif and 1 more use {lost} there, which goes when this one is")
    [words] = warned(one, served(IPV4, forwards=True, mtu=1300), third)
    assert words.startswith("VIF 3-vif uses MTU 1400 there, which goes when this one is plugged")
    [words] = warned(other, one, third)
    lost = "name server 192.0.2.53, the route to 10.9.0.0/16 by 10.7.0.9"
    assert words.startswith(f"VIF 3-vif uses {lost} there, which goes when this one is plugged")


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (Server(), "does not run"),
        (dataclasses.replace(RUNNING, subnets=(SLAAC,)), "otherwise than described"),
        (dataclasses.replace(RUNNING, mtu=1500), "tells MTU 1500, and 1400"),
        (dataclasses.replace(RUNNING, forwards=True), "asks the host's name servers"),
        (dataclasses.replace(RUNNING, outdated=True), "another release"),
        (dataclasses.replace(RUNNING, index=6), "that is gone"),
        (None, ""),
        (RUNNING, None),
    ],
)
def test_when_it_is_started(server: Server | None, why: str | None) -> None:
    made = draft(server)
    plug_server(made, served())
    said = [step.args["why"] for step in made.plan.steps]
    assert len(said) == (why is not None)
    assert all(why is not None and why in it for it in said)


@pytest.mark.parametrize(
    ("port", "address", "subnet", "expected"),
    [
        (67, "0.0.0.0", IPV4, True),  # noqa: S104
        (67, "0.0.0.0", IPV6, False),  # noqa: S104
        (67, "0.0.0.0", dataclasses.replace(IPV4, dhcp=False), False),  # noqa: S104
        (547, "::", IPV4, False),
        (547, "::", SLAAC, True),
        (53, "0.0.0.0", IPV4, True),  # noqa: S104
        (53, "127.0.0.53", IPV4, False),
        (53, "10.7.0.1", IPV4, True),
    ],
)
def test_whose_socket_is_in_the_way(
    port: int, address: str, subnet: ServedSubnet, expected: bool
) -> None:
    assert is_in_the_way(Taken(port, address, ""), [subnet]) is expected


def test_what_is_not_known_of_a_mark_is_as_it_was() -> None:
    known = Reserved(f"{MARK} instance=i1 guest=anna", MAC, (), "")
    made = draft(dataclasses.replace(RUNNING, reserved={MARK.vif_id: known}))
    plug_reservation(made, Reservation(bridge="br0", mac=MAC))
    assert made.plan.steps == []


# --- pictures -------------------------------------------------------------------------------------


def test_a_picture_has_one_server_and_a_few_guests_by_name() -> None:
    def scene(guests: int) -> list[str]:
        vifs_ = [
            Topology(
                Mark(vifs.vif_id(it), "linux_bridge"),
                (
                    Bridge(name="br0", mtu=1400),
                    served(IPV4, SLAAC),
                    Reservation(
                        bridge="br0",
                        mac=vifs.guest_mac(it),
                        addresses=(f"10.7.0.{10 + it}",),
                        name=f"guest{it}",
                    ),
                ),
            )
            for it in range(guests)
        ]
        made = scene_of([(it, Guest(it.mark.vif_id, ())) for it in vifs_])
        part = made.parts["dnsmasq on br0"]
        assert (part.title, part.below) == ("dnsmasq", "br0")
        return part.lines

    subnets = ["DHCP 10.7.0.0/24", "SLAAC fd00:7::/64"]
    assert scene(2) == [*subnets, "guest0 10.7.0.10", "guest1 10.7.0.11"]
    assert scene(9) == [*subnets, "9 reservations"]


# --- the boundary ---------------------------------------------------------------------------------


GOOD = Reserved(str(MARK), MAC, ("10.7.0.5",), "anna")


@pytest.mark.parametrize(
    "step",
    [
        starting("br0", served(IPV4, SLAAC)),
        reserving("br0", MARK.vif_id, GOOD),
        reserving("br0", MARK.vif_id, None),
    ],
)
def test_steps_that_are_run_for_others(step: Step) -> None:
    assert steps.checked(step.kind, step.args, AS_ROOT) == step
    with pytest.raises(exception.InvalidField):
        steps.checked(step.kind, step.args, "vif_plug_ovs_privileged")


BAD: list[tuple[Step, dict[str, Any]]] = [
    (reserving("br0", MARK.vif_id, GOOD), {"vif": "../../etc/passwd"}),
    (reserving("br0", MARK.vif_id, GOOD), {"vif": "another"}),
    (reserving("br0", MARK.vif_id, GOOD), {"mark": f"{MARK}\ndhcp-script=/bin/sh"}),
    (reserving("br0", MARK.vif_id, GOOD), {"name": "a,ignore"}),
    (reserving("br0", MARK.vif_id, GOOD), {"addresses": ["10.7.0.5,b"]}),
    (reserving("br0", MARK.vif_id, GOOD), {"mac": ""}),
    (reserving("br0", MARK.vif_id, None), {"name": "anna"}),
    (starting("br0", served()), {"bridge": "../br0"}),
    (starting("br0", served()), {"subnets": []}),
    (starting("br0", Server(subnets=(IPV4, IPV4), mtu=1400)), {}),
    (starting("br0", served()), {"mtu": 0}),
    (starting("br0", served()), {"forwards": "yes"}),
]


@pytest.mark.parametrize(("step", "changed"), BAD)
def test_steps_that_are_not(step: Step, changed: dict[str, Any]) -> None:
    with pytest.raises(exception.InvalidField):
        steps.checked(step.kind, {**step.args, **changed}, AS_ROOT)
