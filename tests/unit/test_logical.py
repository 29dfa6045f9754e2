# SPDX-License-Identifier: Apache-2.0
"""Networks, VIFs and routers to rows of OVN's Northbound database: a golden row for each line."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from os_vif import exception, logical
from os_vif.engine.topology import Topology
from os_vif.host.links.resources import eui64
from os_vif.host.ovn.resources import PARENTS, Ref, Row
from os_vif.logical import names
from os_vif.logical.subnets import subnets_of
from os_vif.objects import fixed_ip, instance_info, route
from os_vif.objects import network as networks_
from os_vif.objects import subnet as subnets_
from os_vif.objects import vif as vifs_

NET = "5f4ab6c1-0000-4000-8000-000000000001"
OUT = "5f4ab6c1-0000-4000-8000-000000000002"
VIF = "b679325f-0000-4000-8000-000000000001"
BEN = "b679325f-0000-4000-8000-000000000002"
EDGE = "c0ffee00-0000-4000-8000-000000000001"
GUEST = "11111111-0000-4000-8000-000000000001"


def subnet(cidr: str, ips: Any = (), routes: Any = (), **more: Any) -> subnets_.Subnet:
    return subnets_.Subnet(
        cidr=cidr,
        ips=fixed_ip.FixedIPList(
            objects=[
                fixed_ip.FixedIP(address=address, floating_ips=list(floating))
                for address, floating in dict(ips).items()
            ]
        ),
        routes=route.RouteList(objects=[route.Route(cidr=to, gateway=via) for to, via in routes]),
        **more,
    )


def network(*subnets: Any, **more: Any) -> Any:
    said = {"id": NET, "label": "blue", **more}
    return networks_.Network(subnets=subnets_.SubnetList(objects=list(subnets)), **said)


def vif(*subnets: Any, of: str = NET, name: str = "tap-anna", **more: Any) -> Any:
    said = {"id": VIF, "address": "52:54:00:00:00:01", **more}
    return vifs_.VIFOpenVSwitch(
        vif_name=name, plugin="ovs", network=network(*subnets, id=of), **said
    )


V4 = {"cidr": "10.5.0.0/24", "gateway": "10.5.0.1"}
V6 = {"cidr": "fd00:5::/64", "gateway": "fd00:5::1"}
ANNA = {"10.5.0.11": ()}


def wanted(*ports: Any, networks: Any = None, routers: Any = (), **more: Any) -> logical.Wanted:
    return logical.Wanted(
        owner="lab",
        networks=tuple(networks or [blue()]),
        ports=tuple(it if isinstance(it, logical.Port) else logical.Port(vif=it) for it in ports),
        routers=tuple(routers),
        **more,
    )


def blue(*subnets: Any, **more: Any) -> logical.LogicalNetwork:
    of_network = {key: more.pop(key) for key in ("mtu", "vlan", "id", "label") if key in more}
    return logical.LogicalNetwork(
        network=network(*(subnets or (subnet(**V4),)), **of_network), **more
    )


def rows(found: logical.Wanted) -> list[Row]:
    return [row for topology in logical.topologies(found) for row in topology.resources]  # type: ignore[misc]


def only(found: logical.Wanted, table: str, start: str = "") -> Row:
    [row] = [it for it in rows(found) if it.table == table and it.what.startswith(start)]
    return row


# --- networks -------------------------------------------------------------------------------------


def test_a_network_is_a_switch_called_by_its_id():
    row = only(wanted(), "Logical_Switch")
    assert row.uuid == logical.switch_row_of(NET)
    assert row.columns == {"name": f"os-vif-{NET}"}
    assert row.keys == {
        "external_ids": {
            "os-vif": f"network={NET}",
            "os-vif-owner": "lab",
            "os-vif-label": "blue",
        }
    }
    assert (row.parent, row.what) == (None, "network blue")


def test_each_network_and_each_router_is_a_topology_of_its_own():
    found = logical.topologies(lab())
    assert [(it.mark.vif_id, it.mark.plugin, it.mark.owner, it.kind) for it in found] == [
        (NET, "ovn", "lab", "network"),
        (OUT, "ovn", "lab", "network"),
        (EDGE, "ovn", "lab", "router"),
    ]
    assert all(isinstance(it, Topology) for it in found)


def test_a_providers_network_has_a_port_that_leads_there():
    assert [it.table for it in rows(wanted(networks=[blue(physical="physnet1")]))].count(
        "Logical_Switch_Port"
    ) == 1
    row = only(wanted(networks=[blue(physical="physnet1", vlan=200)]), "Logical_Switch_Port")
    assert row.columns == {
        "name": f"os-vif-ln-{NET}",
        "type": "localnet",
        "addresses": ("unknown",),
        "tag": 200,
    }
    assert row.keys["options"] == {"network_name": "physnet1"}
    assert row.parent == ("Logical_Switch", logical.switch_row_of(NET), "ports")
    untagged = only(wanted(networks=[blue(physical="physnet1")]), "Logical_Switch_Port")
    assert untagged.columns["tag"] == ()


# --- DHCP -----------------------------------------------------------------------------------------


def options(found: logical.Wanted, start: str = "") -> Any:
    return only(found, "DHCP_Options", start).keys["options"]


def test_a_subnet_has_all_that_ovn_serves_no_dhcp_without():
    row = only(wanted(), "DHCP_Options")
    assert row.columns == {"cidr": "10.5.0.0/24"}
    assert row.keys["options"] == {
        "server_id": "10.5.0.1",
        "server_mac": names.mac_of("dhcp", NET, "10.5.0.0/24"),
        "lease_time": "43200",
        "mtu": "1442",
        "router": "10.5.0.1",
        "dns_server": None,
        "domain_name": None,
        "classless_static_route": None,
    }
    assert row.parent is None


def test_dhcp_says_what_the_subnet_says():
    found = blue(
        subnet(
            **V4,
            dhcp_server="10.5.0.2",
            dns=["192.0.2.53", "192.0.2.54"],
            routes=[("198.51.100.0/24", "10.5.0.9")],
        ),
        mtu=1400,
        dhcp={"10.5.0.0/24": logical.DHCP(lease=600, domain="example.org")},
    )
    said = options(wanted(networks=[found]))
    assert said["server_id"] == "10.5.0.2"
    assert said["router"] == "10.5.0.1"
    assert said["lease_time"] == "600"
    assert said["mtu"] == "1400"
    assert said["dns_server"] == "{192.0.2.53, 192.0.2.54}"
    assert said["domain_name"] == '"example.org"'
    # Whoever takes option 121 ignores option 3: the way out is told in both.
    assert said["classless_static_route"] == "{198.51.100.0/24,10.5.0.9, 0.0.0.0/0,10.5.0.1}"


def test_without_a_gateway_no_way_out_is_told():
    found = blue(
        subnet("10.5.0.0/24", dhcp_server="10.5.0.2", routes=[("198.51.100.0/24", "10.5.0.9")])
    )
    said = options(wanted(networks=[found]))
    assert (said["router"], said["server_id"]) == (None, "10.5.0.2")
    assert said["classless_static_route"] == "{198.51.100.0/24,10.5.0.9}"


@pytest.mark.parametrize(
    "network_",
    [blue(subnet("10.5.0.0/24")), blue(subnet(**V4), dhcp={"10.5.0.0/24": None})],
    ids=["nobody serves", "not wanted"],
)
def test_dhcp_is_served_where_it_can_and_is_to_be(network_):
    found = wanted(vif(subnet("10.5.0.0/24", ANNA)), networks=[network_])
    assert "DHCP_Options" not in [it.table for it in rows(found)]
    assert only(found, "Logical_Switch_Port").columns["dhcpv4_options"] == ()


def test_dhcp_of_ipv6_has_the_servers_mac_for_an_id():
    found = blue(subnet(**V6, dns=["fd00::53"]), dhcp={"fd00:5::/64": logical.DHCP(domain="x.y")})
    assert options(wanted(networks=[found])) == {
        "server_id": names.mac_of("dhcp", NET, "fd00:5::/64"),
        "dns_server": "{fd00::53}",
        "domain_search": '"x.y"',
    }


def test_the_mtu_that_nobody_said_is_what_tunnels_leave_or_the_providers():
    assert options(wanted())["mtu"] == "1442"
    assert options(wanted(networks=[blue(physical="physnet1")]))["mtu"] == "1500"


# --- VIFs -----------------------------------------------------------------------------------------


def test_a_vif_is_a_port_called_by_its_id():
    guest = instance_info.InstanceInfo(uuid=GUEST, name="anna")
    both = [subnet(**V4), subnet(**V6)]
    found = wanted(
        logical.Port(
            vif=vif(
                subnet("10.5.0.0/24", ANNA), subnet("fd00:5::/64", {"fd00:5::5054:ff:fe00:1": ()})
            ),
            instance=guest,
        ),
        networks=[blue(*both)],
    )
    row = only(found, "Logical_Switch_Port")
    addresses = ("52:54:00:00:00:01 10.5.0.11 fd00:5::5054:ff:fe00:1",)
    assert row.uuid == logical.port_row_of(VIF)
    assert row.columns == {
        "name": VIF,
        "type": "",
        "addresses": addresses,
        "port_security": addresses,
        "enabled": True,
        "dhcpv4_options": Ref(uuid=names.dhcp_row_of(NET, "10.5.0.0/24")),
        "dhcpv6_options": Ref(uuid=names.dhcp_row_of(NET, "fd00:5::/64")),
    }
    # Unset placement is neither read nor written: who moves a guest sets it meanwhile.
    assert row.keys == {
        "options": {"hostname": '"anna"'},
        "external_ids": {
            "os-vif": f"vif={VIF} instance={GUEST}",
            "os-vif-owner": "lab",
            "os-vif-name": "tap-anna",
            "os-vif-network": NET,
        },
    }
    assert row.parent == ("Logical_Switch", logical.switch_row_of(NET), "ports")
    assert row.what == "port tap-anna"
    assert row.field("addresses") == "vif tap-anna.network.addresses"


def port(**more: Any) -> Row:
    found = wanted(logical.Port(vif=vif(subnet("10.5.0.0/24", ANNA)), **more))
    return only(found, "Logical_Switch_Port")


def test_the_logical_port_that_the_profile_names_is_the_name():
    profile = vifs_.VIFPortProfileOpenVSwitch(interface_id=GUEST)
    found = wanted(vif(subnet("10.5.0.0/24", ANNA), port_profile=profile))
    row = only(found, "Logical_Switch_Port")
    assert row.columns["name"] == GUEST
    assert row.uuid == logical.port_row_of(VIF)


def test_a_vif_that_is_not_active_has_a_port_that_is_shut():
    found = wanted(vif(subnet("10.5.0.0/24", ANNA), active=False))
    assert only(found, "Logical_Switch_Port").columns["enabled"] is False


def test_without_port_security_any_address_passes_and_is_found():
    row = port(port_security=False)
    assert row.columns["port_security"] == ()
    assert row.columns["addresses"] == ("52:54:00:00:00:01 10.5.0.11", "unknown")


@pytest.mark.parametrize(
    ("placement", "options_"),
    [
        ({"chassis": ("h1",)}, {"requested-chassis": "h1", "activation-strategy": None}),
        ({"chassis": ("h1", "h2")}, {"requested-chassis": "h1,h2", "activation-strategy": "rarp"}),
        (
            {"chassis": ("h1", "h2"), "activation_strategy": "none"},
            {"requested-chassis": "h1,h2", "activation-strategy": None},
        ),
    ],
    ids=["one", "two", "at once"],
)
def test_where_a_port_may_be_is_said_only_if_it_was_said(placement, options_):
    assert port(**placement).keys["options"] == {"hostname": None, **options_}
    assert port().keys["options"] == {"hostname": None}


@pytest.mark.parametrize("name", [GUEST, "my guest", 'a"; drop', "a}b", "x\n", "-a", "a_b", ""])
def test_a_guests_name_that_is_no_host_name_is_told_to_nobody(name):
    guest = instance_info.InstanceInfo(uuid=GUEST, name=name)
    assert port(instance=guest).keys["options"] == {"hostname": None}


def test_a_host_name_goes_with_dhcp():
    guest = instance_info.InstanceInfo(uuid=GUEST, name="anna")
    found = wanted(
        logical.Port(vif=vif(subnet("10.5.0.0/24", ANNA)), instance=guest),
        networks=[blue(subnet("10.5.0.0/24"))],
    )
    assert only(found, "Logical_Switch_Port").keys["options"] == {"hostname": None}


def test_the_row_of_dhcp_is_that_of_the_subnet_the_vif_is_in():
    second = subnet("10.6.0.0/24", gateway="10.6.0.1")
    found = wanted(
        vif(subnet("10.6.0.0/24", {"10.6.0.9": ()})), networks=[blue(subnet(**V4), second)]
    )
    row = only(found, "Logical_Switch_Port")
    assert row.columns["dhcpv4_options"] == Ref(uuid=names.dhcp_row_of(NET, "10.6.0.0/24"))


# --- routes ---------------------------------------------------------------------------------------

BEHIND = [("198.51.100.0/24", "10.5.0.11")]


def behind() -> logical.Wanted:
    return wanted(
        vif(subnet("10.5.0.0/24", ANNA, BEHIND)),
        vif(
            subnet("10.5.0.0/24", {"10.5.0.12": ()}, BEHIND),
            id=BEN,
            name="tap-ben",
            address="52:54:00:00:00:02",
        ),
        networks=[blue(subnet(**V4, routes=BEHIND))],
        routers=[logical.Router(id=EDGE, label="edge", networks=(NET,))],
    )


def test_a_route_by_a_guest_is_told_to_all_but_that_one():
    told = options(behind(), "DHCP of 10.5.0.0/24 for tap-anna")
    assert told["classless_static_route"] is None
    assert told["router"] == "10.5.0.1"
    of_all = [it for it in rows(behind()) if it.what == "DHCP of 10.5.0.0/24"]
    assert [it.keys["options"]["classless_static_route"] for it in of_all] == [
        "{198.51.100.0/24,10.5.0.11, 0.0.0.0/0,10.5.0.1}"
    ]
    anna = only(behind(), "Logical_Switch_Port", "port tap-anna")
    ben = only(behind(), "Logical_Switch_Port", "port tap-ben")
    own = names.dhcp_row_of(NET, "10.5.0.0/24", VIF)
    assert anna.columns["dhcpv4_options"] == Ref(uuid=own)
    assert ben.columns["dhcpv4_options"] == Ref(uuid=names.dhcp_row_of(NET, "10.5.0.0/24"))


def test_what_is_behind_a_guest_may_pass_its_port_and_the_router_knows_the_way():
    anna = only(behind(), "Logical_Switch_Port", "port tap-anna")
    assert anna.columns["port_security"] == ("52:54:00:00:00:01 10.5.0.11 198.51.100.0/24",)
    assert anna.columns["addresses"] == ("52:54:00:00:00:01 10.5.0.11",)
    route = only(behind(), "Logical_Router_Static_Route")
    assert route.columns == {"ip_prefix": "198.51.100.0/24", "nexthop": "10.5.0.11"}
    assert route.parent == ("Logical_Router", logical.router_row_of(EDGE), "static_routes")


def test_a_router_knows_no_way_by_a_subnet_that_it_is_not_in():
    found = behind()
    apart = blue(subnet("10.5.0.0/24", routes=BEHIND), subnet("10.6.0.0/24", gateway="10.6.0.1"))
    found = dataclasses.replace(found, networks=(apart,))
    assert "Logical_Router_Static_Route" not in [it.table for it in rows(found)]


def test_a_vif_with_routes_of_its_own_has_its_own_row():
    routes = [("192.0.2.0/24", "10.5.0.7")]
    found = wanted(vif(subnet("10.5.0.0/24", ANNA, routes)))
    told = options(found, "DHCP of 10.5.0.0/24 for tap-anna")
    assert told["classless_static_route"] == "{192.0.2.0/24,10.5.0.7, 0.0.0.0/0,10.5.0.1}"


# --- routers --------------------------------------------------------------------------------------


def lab(**external: Any) -> logical.Wanted:
    said = {
        "network": OUT,
        "address": "203.0.113.10",
        "chassis": ("h1", "h2", "h3"),
        "snat": True,
        **external,
    }
    out = blue(
        subnet("203.0.113.0/24", gateway="203.0.113.1"),
        physical="physnet1",
        id=OUT,
        label="outside",
        dhcp={"203.0.113.0/24": None},
    )
    inside = blue(subnet(**V4), subnet("10.6.0.0/24", gateway="10.6.0.1"), subnet(**V6))
    ben = vif(subnet("10.5.0.0/24", {"10.5.0.12": ["203.0.113.20"]}), id=BEN, name="tap-ben")
    router = logical.Router(
        id=EDGE, label="edge", networks=(NET,), external=logical.External(**said)
    )
    return wanted(ben, networks=[inside, out], routers=[router])


def test_a_router_learns_no_more_than_it_needs():
    row = only(lab(), "Logical_Router")
    assert row.columns == {"name": f"os-vif-{EDGE}"}
    assert row.keys == {
        "options": {"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
        "external_ids": {
            "os-vif": f"router={EDGE}",
            "os-vif-owner": "lab",
            "os-vif-label": "edge",
        },
    }


def test_a_leg_inside_has_all_gateways_tells_the_mtu_and_advertises():
    row = only(lab(), "Logical_Router_Port", "leg of router edge in network blue")
    assert row.columns == {
        "name": f"os-vif-{EDGE}-{NET}",
        "mac": names.mac_of("leg", EDGE, NET),
        "networks": ("10.5.0.1/24", "10.6.0.1/24", "fd00:5::1/64"),
    }
    assert row.keys["options"] == {"gateway_mtu": "1442"}
    assert row.keys["ipv6_ra_configs"] == {
        "address_mode": "slaac",
        "send_periodic": "true",
        "mtu": "1442",
        "rdnss": None,
    }
    assert row.parent == ("Logical_Router", logical.router_row_of(EDGE), "ports")
    plug = only(lab(), "Logical_Switch_Port", "port of router edge in network blue")
    assert plug.columns == {
        "name": f"os-vif-lsp-{EDGE}-{NET}",
        "type": "router",
        "addresses": ("router",),
    }
    assert plug.keys["options"] == {"router-port": f"os-vif-{EDGE}-{NET}", "nat-addresses": None}
    assert plug.parent == ("Logical_Switch", logical.switch_row_of(NET), "ports")


def test_an_advertisement_names_the_first_server_of_names():
    found = wanted(
        networks=[blue(subnet(**V6, dns=["fd00::53", "fd00::54"]))],
        routers=[logical.Router(id=EDGE, label="edge", networks=(NET,))],
    )
    assert only(found, "Logical_Router_Port").keys["ipv6_ra_configs"]["rdnss"] == "fd00::53"


@pytest.mark.parametrize(
    "network_",
    [blue(), blue(subnet(**V6), dhcp={"fd00:5::/64": None})],
    ids=["IPv4 alone", "not wanted"],
)
def test_a_leg_that_advertises_nothing_has_none_of_the_keys(network_):
    found = wanted(
        networks=[network_], routers=[logical.Router(id=EDGE, label="edge", networks=(NET,))]
    )
    configs = only(found, "Logical_Router_Port").keys["ipv6_ra_configs"]
    assert configs == dict.fromkeys(("address_mode", "send_periodic", "mtu", "rdnss"))


def test_a_leg_outside_has_gateways_in_their_order_and_tells_where_addresses_are():
    row = only(lab(), "Logical_Router_Port", "leg of router edge in network outside")
    assert row.columns["networks"] == ("203.0.113.10/24",)
    assert row.keys["options"] == {"gateway_mtu": None}
    plug = only(lab(), "Logical_Switch_Port", "port of router edge in network outside")
    assert plug.keys["options"]["nat-addresses"] == "router"
    gateways = [it for it in rows(lab()) if it.table == "Gateway_Chassis"]
    assert [(it.columns["chassis_name"], it.columns["priority"]) for it in gateways] == [
        ("h1", 3),
        ("h2", 2),
        ("h3", 1),
    ]
    assert {it.parent for it in gateways} == {("Logical_Router_Port", row.uuid, "gateway_chassis")}
    assert gateways[0].columns["name"] == f"os-vif-{EDGE}-{OUT}-h1"


def test_who_sends_more_than_the_outside_takes_is_told_so():
    found = lab()
    narrow = dataclasses.replace(
        found.networks[1],
        network=network(
            subnet("203.0.113.0/24", gateway="203.0.113.1"), id=OUT, label="outside", mtu=1400
        ),
    )
    found = dataclasses.replace(found, networks=(found.networks[0], narrow))
    row = only(found, "Logical_Router_Port", "leg of router edge in network outside")
    assert row.keys["options"] == {"gateway_mtu": "1400"}


def test_what_leads_further_goes_to_the_gateway():
    row = only(lab(), "Logical_Router_Static_Route")
    assert row.columns == {"ip_prefix": "0.0.0.0/0", "nexthop": "203.0.113.1"}
    other = only(lab(gateway="203.0.113.2"), "Logical_Router_Static_Route")
    assert other.columns["nexthop"] == "203.0.113.2"
    assert other.uuid == row.uuid


def nats(found: logical.Wanted, kind: str) -> list[Row]:
    return [it for it in rows(found) if it.table == "NAT" and it.columns["type"] == kind]


def test_guests_go_out_with_the_routers_address():
    found = nats(lab(), "snat")
    assert [(it.columns["external_ip"], it.columns["logical_ip"]) for it in found] == [
        ("203.0.113.10", "10.5.0.0/24"),
        ("203.0.113.10", "10.6.0.0/24"),
    ]
    assert found[0].parent == ("Logical_Router", logical.router_row_of(EDGE), "nat")
    some = nats(lab(snat=("10.6.0.0/24",)), "snat")
    assert [it.uuid for it in some] == [found[1].uuid]
    assert nats(lab(snat=False), "snat") == []


def test_a_floating_address_leads_to_its_guest():
    [row] = nats(lab(), "dnat_and_snat")
    assert row.columns == {
        "type": "dnat_and_snat",
        "external_ip": "203.0.113.20",
        "logical_ip": "10.5.0.12",
        "external_mac": (),
        "logical_port": (),
    }
    assert row.keys["external_ids"] == {"os-vif": f"vif={BEN}", "os-vif-owner": "lab"}
    [row] = nats(lab(distributed=True), "dnat_and_snat")
    assert row.columns["logical_port"] == BEN
    assert row.columns["external_mac"] == names.mac_of("floating", EDGE, "203.0.113.20")


# --- what is derived ------------------------------------------------------------------------------


def test_derived_names_never_change():
    """Whoever changes one of these finds nothing again that was applied before."""
    assert logical.switch_row_of(NET) == "14b6aa15-e7dc-5bae-981f-50d66eb740a8"
    assert logical.port_row_of(VIF) == "7e139260-0eae-586c-9d43-94386491fbc3"
    assert logical.router_row_of(EDGE) == "e4991bd1-f5e1-5ce6-ad58-1811082b3dd0"
    assert names.mac_of("leg", EDGE, NET) == "02:40:d5:03:46:25"
    assert names.dhcp_row_of(NET, "10.5.0.0/24") == "3879a792-bd99-50fc-b20a-94f6445aa597"


def test_a_derived_mac_is_nobody_elses():
    first = int(names.mac_of("x")[:2], 16)
    assert first & 3 == 2  # locally administered, and of one alone


def test_eui64_is_what_the_standard_has():
    [v6] = subnets_of(network(subnet("2001:db8::/64")))
    assert str(eui64(v6.cidr, "34:56:78:9a:bc:de")) == "2001:db8::3656:78ff:fe9a:bcde"


@st.composite
def wanteds(draw: Any) -> logical.Wanted:
    """Networks with a subnet of each family, some with a router, and VIFs in them."""
    found, ports, number = [], [], 0
    amount = draw(st.integers(1, 3))
    for at in range(amount):
        identity = f"5f4ab6c1-0000-4000-8000-00000000010{at}"
        said = [subnet(f"10.{at}.0.0/24", gateway=f"10.{at}.0.1")]
        if draw(st.booleans()):
            said.append(subnet(f"fd00:{at}::/64", gateway=f"fd00:{at}::1"))
        routes = [("198.51.100.0/24", f"10.{at}.0.11")] if draw(st.booleans()) else []
        mtu = draw(st.sampled_from([None, 1400]))
        physical = draw(st.sampled_from(["", "physnet1"]))
        found.append(
            blue(
                *said,
                id=identity,
                label=draw(st.text("ab /é\"'{}", max_size=5)),
                mtu=mtu,
                physical=physical,
            )
        )
        for position in range(draw(st.integers(0, 4))):
            number += 1
            ips = {f"10.{at}.0.{10 + position}": ()}
            made = vif(
                subnet(f"10.{at}.0.0/24", ips, routes),
                id=f"b679325f-0000-4000-8000-{number:012d}",
                of=identity,
                name=f"tap{number}",
                address=f"52:54:00:00:00:{number:02x}",
            )
            ports.append(logical.Port(vif=made, chassis=draw(st.sampled_from([(), ("h1", "h2")]))))
    ids = [str(it.network.id) for it in found]
    inside = tuple(draw(st.lists(st.sampled_from(ids), unique=True, min_size=1)))
    routers = [logical.Router(id=EDGE, label="r", networks=inside)] if draw(st.booleans()) else []
    return wanted(*ports, networks=found, routers=routers)


@settings(max_examples=60, deadline=None)
@given(wanteds())
def test_rows_are_the_same_each_time_each_once_and_refer_to_what_is_there(found):
    made = rows(found)
    assert made == rows(found)
    assert len({row.uuid for row in made}) == len(made)
    before: dict[str, str] = {}
    for row in made:
        if row.parent is not None:
            table, uuid, column = row.parent
            assert before[uuid] == table
            assert PARENTS[row.table] == (table, column)
        for value in row.columns.values():
            for item in value if isinstance(value, tuple) else (value,):
                assert not isinstance(item, Ref) or before[item.uuid] == "DHCP_Options"
        before[row.uuid] = row.table
    columns = [(row.table, row.columns["name"]) for row in made if "name" in row.columns]
    assert len(set(columns)) == len(columns)


def test_the_order_of_what_is_wanted_changes_no_row():
    found = behind()
    turned = dataclasses.replace(found, ports=found.ports[::-1])
    assert {row.uuid: row for row in rows(found)} == {row.uuid: row for row in rows(turned)}


def test_what_ovn_reads_as_an_expression_holds_nothing_that_was_not_made_here():
    """Names that could end the expression are refused, and never get that far."""
    for text in ('a"b', "a b", "{a}", "a\nb", "a,b", "ä", "a..b", "-a", "a" * 64):
        found = wanted(networks=[blue(dhcp={"10.5.0.0/24": logical.DHCP(domain=text)})])
        with pytest.raises(exception.InvalidField, match="domain"):
            logical.topologies(found)
    assert json.loads(options(wanted(networks=[blue()]))["mtu"]) == 1442


# --- what the library is given, which no file's reader has looked at ------------------------------


def found(wanted_: logical.Wanted) -> list[str]:
    made = [str(it) for it in logical.examine(wanted_) if not it.is_warning]
    if made:
        with pytest.raises(exception.InvalidField) as caught:
            logical.topologies(wanted_)
        assert str(caught.value.kwargs["field"]) in made[0]
    return made


def router(**more: Any) -> logical.Router:
    return logical.Router(**{"id": EDGE, "label": "edge", "networks": (NET,), **more})


BAD_OBJECTS = {
    "no owner": (dataclasses.replace(wanted(), owner=""), "owner: missing; expected one word"),
    "an owner of two words": (dataclasses.replace(wanted(), owner="a b"), "owner: 'a b'"),
    "a network's id that is none": (
        wanted(networks=[blue(id=NET.upper())]),
        "network blue.id: ",
    ),
    "two networks of one id": (wanted(networks=[blue(), blue()]), "network.id: "),
    "a label that cannot be shown": (wanted(networks=[blue(label="a\nb")]), "label: 'a\\nb'"),
    "host bits": (
        wanted(networks=[blue(subnet("10.5.0.7/24", gateway="10.5.0.1"))]),
        "network blue.subnets[0].cidr: '10.5.0.7/24' cannot be used; "
        "expected the network's own address: 10.5.0.0/24",
    ),
    "MTU": (wanted(networks=[blue(mtu=67)]), "network blue.mtu: 67 cannot be used"),
    "VLAN": (wanted(networks=[blue(vlan=4096, physical="p")]), "network blue.vlan: 4096"),
    "physical": (wanted(networks=[blue(physical="a:b")]), "network blue.physical: 'a:b'"),
    "DHCP of no subnet": (
        wanted(networks=[blue(dhcp={"10.9.0.0/24": None})]),
        "network blue.dhcp: '10.9.0.0/24'",
    ),
    "DHCP of no range": (wanted(networks=[blue(dhcp={"x": None})]), "network blue.dhcp: 'x'"),
    "a lease": (
        wanted(networks=[blue(dhcp={"10.5.0.0/24": logical.DHCP(lease=1)})]),
        "network blue.subnets[0].dhcp.lease: 1 cannot be used",
    ),
    "no MAC": (wanted(vif(address=None)), "vif tap-anna.mac: missing"),
    "a MAC of many": (wanted(vif(address="01:00:5e:00:00:01")), "vif tap-anna.mac: "),
    "no network": (wanted(vif(of=OUT)), f"vif tap-anna.network: '{OUT}' cannot be used"),
    "an address elsewhere": (
        wanted(vif(subnet("10.9.0.0/24", {"10.9.0.9": ()}))),
        "vif tap-anna.network.subnets: '10.9.0.9' cannot be used; expected an address in "
        "10.5.0.0/24",
    ),
    "one logical port twice": (
        wanted(
            vif(port_profile=vifs_.VIFPortProfileOpenVSwitch(interface_id=GUEST)),
            vif(
                id=BEN,
                name="tap-ben",
                address="52:54:00:00:00:02",
                port_profile=vifs_.VIFPortProfileOpenVSwitch(interface_id=GUEST),
            ),
        ),
        "vif tap-ben.interface_id: ",
    ),
    "chassis": (
        wanted(logical.Port(vif=vif(), chassis=("a,b",))),
        "vif tap-anna.network.chassis[0]: 'a,b'",
    ),
    "a strategy": (
        wanted(logical.Port(vif=vif(), chassis=("a", "b"), activation_strategy="garp")),
        "vif tap-anna.network.activation_strategy: 'garp'",
    ),
    "a router's id that is none": (wanted(routers=[router(id="x")]), "router edge.id: 'x'"),
    "two routers of one id": (
        wanted(
            networks=[blue(), blue(subnet(**V6), id=OUT)],
            routers=[router(), router(networks=(OUT,), label="b")],
        ),
        "router b.id: ",
    ),
    "a router without networks": (
        wanted(routers=[router(networks=())]),
        "router edge.networks: missing",
    ),
    "a router of no network": (
        wanted(routers=[router(networks=(OUT,))]),
        f"router edge.networks[0]: '{OUT}' cannot be used; expected one of: blue",
    ),
    "no such outside": (lab(network=GUEST), "router edge.external.network: "),
    "an address with prefix": (
        lab(address="203.0.113.10/24"),
        "router edge.external.address: '203.0.113.10/24'",
    ),
    "no address": (lab(address=""), "router edge.external.address: missing"),
    "a gateway that is none": (lab(gateway="x"), "router edge.external.gateway: 'x'"),
    "SNAT of nothing": (lab(snat=("x",)), "router edge.external.snat[0]: 'x'"),
    "SNAT with host bits": (lab(snat=("10.5.0.1/24",)), "router edge.external.snat[0]: "),
}


@pytest.mark.parametrize("name", BAD_OBJECTS)
def test_what_the_library_is_given_is_looked_at_too(name):
    wanted_, said = BAD_OBJECTS[name]
    assert said in found(wanted_)[0]


def test_what_nobody_has_set_is_no_error():
    bare = networks_.Network(id=NET)
    made = logical.Wanted(owner="lab", networks=(logical.LogicalNetwork(network=bare),))
    assert [it.what for it in rows(made)] == [f"network {NET}"]
