# SPDX-License-Identifier: Apache-2.0
"""Rows that others keep in OVN's Northbound database, and proof that nobody touched them.

The names and keys are those that Neutron (its ML2/OVN driver), Incus, ovn-kubernetes and kube-ovn
are known by, as their documentation and issues show them; what the rows hold beside is made up.
Some come near to ours: an external_ids key ``owner``, a switch whose name begins with ``os-vif-``,
a row without any external_ids.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.ovn import Server

DATABASE = "OVN_Northbound"

Operation = dict[str, Any]
"""Of OVSDB's ``transact`` (RFC 7047, 5.2)."""


def _map(pairs: Mapping[str, str]) -> list[Any]:
    return ["map", [[key, value] for key, value in pairs.items()]]


def _insert(table: str, name: str, /, **columns: Any) -> Operation:
    """Insert a row; a mapping is a map, a tuple a set, and ``@name`` another row of these."""
    return {"op": "insert", "table": table, "uuid-name": name, "row": _row(columns)}


def _row(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {column: _value(value) for column, value in columns.items()}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _map(value)
    if isinstance(value, tuple):
        return ["set", [_value(item) for item in value]]
    if isinstance(value, str) and value.startswith("@"):
        return ["named-uuid", value[1:]]
    return value


_NEUTRON_ROUTER = "neutron-7d2c6f3e-51a0-4a87-8f0e-2b1c9d4e5f60"
_NEUTRON_NETWORK = "neutron-0c9f7a52-3e4b-4c6d-9a1f-8b7e6d5c4b3a"
_NEUTRON_PORT = "2f6a1b0c-7d8e-4f90-a1b2-c3d4e5f60718"
_NEUTRON_LEG = "b7c8d9e0-f1a2-4b3c-8d5e-6f708192a3b4"

NEUTRON: Sequence[Operation] = (
    _insert(
        "DHCP_Options",
        "neutron_dhcp",
        cidr="10.5.0.0/24",
        options={
            "router": "10.5.0.1",
            "server_id": "10.5.0.1",
            "server_mac": "fa:16:3e:aa:bb:01",
            "lease_time": "43200",
            "mtu": "1442",
            "dns_server": "{8.8.8.8}",
        },
        external_ids={
            "subnet_id": "5b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
            "neutron:revision_number": "0",
        },
    ),
    _insert(
        "Logical_Switch_Port",
        "neutron_port",
        name=_NEUTRON_PORT,
        addresses=("fa:16:3e:00:00:11 10.5.0.11",),
        port_security=("fa:16:3e:00:00:11 10.5.0.11",),
        enabled=True,
        dhcpv4_options="@neutron_dhcp",
        options={"requested-chassis": "compute1", "mcast_flood_reports": "true"},
        external_ids={
            "neutron:cidrs": "10.5.0.11/24",
            "neutron:device_id": "0e2b1a52-4f5c-4d3e-8f5a-6b7c8d9e0f10",
            "neutron:device_owner": "compute:nova",
            "neutron:network_name": _NEUTRON_NETWORK,
            "neutron:port_name": "web",
            "neutron:project_id": "3d1f2e3c4b5a69788796a5b4c3d2e1f0",
            "neutron:revision_number": "4",
            "neutron:security_group_ids": "9a8b7c6d-5e4f-4031-a221-b0c9d8e7f605",
        },
    ),
    _insert(
        "Logical_Switch_Port",
        "neutron_leg",
        name=_NEUTRON_LEG,
        type="router",
        addresses=("router",),
        options={"router-port": f"lrp-{_NEUTRON_LEG}"},
        external_ids={
            "neutron:device_owner": "network:router_interface",
            "neutron:network_name": _NEUTRON_NETWORK,
            "neutron:revision_number": "3",
        },
    ),
    _insert(
        "Logical_Switch_Port",
        "neutron_provnet",
        name="provnet-3b9d2c1a-0f8e-4d7c-b6a5-948372615040",
        type="localnet",
        addresses=("unknown",),
        tag=200,
        options={"network_name": "physnet1"},
    ),
    _insert(
        "Logical_Switch",
        "neutron_switch",
        name=_NEUTRON_NETWORK,
        ports=("@neutron_port", "@neutron_leg", "@neutron_provnet"),
        other_config={"mcast_snoop": "false", "vlan-passthru": "false"},
        external_ids={
            "neutron:network_name": "blue",
            "neutron:mtu": "1442",
            "neutron:availability_zone_hints": "",
            "neutron:revision_number": "2",
        },
    ),
    _insert(
        "Gateway_Chassis",
        "neutron_gateway",
        name=f"lrp-{_NEUTRON_LEG}_compute1",
        chassis_name="compute1",
        priority=1,
    ),
    _insert(
        "Logical_Router_Port",
        "neutron_lrp",
        name=f"lrp-{_NEUTRON_LEG}",
        mac="fa:16:3e:00:00:01",
        networks=("10.5.0.1/24",),
        gateway_chassis=("@neutron_gateway",),
        external_ids={
            "neutron:network_name": _NEUTRON_NETWORK,
            "neutron:router_name": "7d2c6f3e-51a0-4a87-8f0e-2b1c9d4e5f60",
            "neutron:subnet_ids": "5b1c2d3e-4f50-4617-8293-a4b5c6d7e8f9",
            "neutron:revision_number": "3",
        },
    ),
    _insert(
        "NAT",
        "neutron_fip",
        type="dnat_and_snat",
        external_ip="203.0.113.20",
        logical_ip="10.5.0.11",
        external_ids={
            "neutron:fip_id": "c1d2e3f4-a5b6-4778-8990-a1b2c3d4e5f6",
            "neutron:fip_port_id": _NEUTRON_PORT,
            "neutron:router_name": _NEUTRON_ROUTER,
            "neutron:revision_number": "1",
        },
    ),
    _insert(
        "Logical_Router_Static_Route",
        "neutron_route",
        ip_prefix="0.0.0.0/0",
        nexthop="203.0.113.1",
        external_ids={
            "neutron:is_ext_gw": "true",
            "neutron:subnet_id": "d4e5f607-1829-4a3b-8c4d-5e6f70819203",
        },
    ),
    _insert(
        "Logical_Router",
        "neutron_router",
        name=_NEUTRON_ROUTER,
        enabled=True,
        ports=("@neutron_lrp",),
        nat=("@neutron_fip",),
        static_routes=("@neutron_route",),
        options={"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
        external_ids={"neutron:router_name": "edge", "neutron:revision_number": "5"},
    ),
    _insert(
        "ACL",
        "neutron_acl",
        direction="to-lport",
        priority=1002,
        match="outport == @pg_9a8b7c6d_5e4f_4031_a221_b0c9d8e7f605 && ip4",
        action="allow-related",
        external_ids={"neutron:security_group_rule_id": "e5f60718-293a-4b4c-8d5e-6f7081920314"},
    ),
    _insert(
        "Port_Group",
        "neutron_group",
        name="pg_9a8b7c6d_5e4f_4031_a221_b0c9d8e7f605",
        ports=("@neutron_port",),
        acls=("@neutron_acl",),
        external_ids={"neutron:security_group_id": "9a8b7c6d-5e4f-4031-a221-b0c9d8e7f605"},
    ),
)

INCUS: Sequence[Operation] = (
    _insert(
        "DHCP_Options",
        "incus_dhcp",
        cidr="10.7.0.0/24",
        options={
            "router": "10.7.0.1",
            "server_id": "10.7.0.1",
            "server_mac": "10:66:6a:aa:bb:02",
            "lease_time": "3600",
            "domain_name": '"incus"',
        },
        external_ids={"incus_switch": "incus-net2-ls-int"},
    ),
    _insert(
        "Logical_Switch_Port",
        "incus_port",
        name="incus-net2-instance-6f708192-a3b4-4c5d-8e6f-708192a3b4c5-eth0",
        addresses=("10:66:6a:00:00:21 10.7.0.2",),
        port_security=("10:66:6a:00:00:21",),
        dhcpv4_options="@incus_dhcp",
        external_ids={"incus_switch": "incus-net2-ls-int", "incus_location": "server1"},
    ),
    _insert(
        "Logical_Switch_Port",
        "incus_leg",
        name="incus-net2-ls-int-lsp-router",
        type="router",
        addresses=("router",),
        options={"router-port": "incus-net2-lr-lrp-int", "nat-addresses": "router"},
        external_ids={"incus_switch": "incus-net2-ls-int"},
    ),
    _insert(
        "DNS",
        "incus_dns",
        records={"c1.incus": "10.7.0.2"},
        external_ids={
            "incus_switch": "incus-net2-ls-int",
            "incus_switch_port": "incus-net2-instance-6f708192-a3b4-4c5d-8e6f-708192a3b4c5-eth0",
        },
    ),
    _insert(
        "Logical_Switch",
        "incus_switch",
        name="incus-net2-ls-int",
        ports=("@incus_port", "@incus_leg"),
        dns_records=("@incus_dns",),
        other_config={"subnet": "10.7.0.0/24", "exclude_ips": "10.7.0.1"},
    ),
    _insert("HA_Chassis", "incus_member", chassis_name="server1", priority=9876),
    _insert("HA_Chassis_Group", "incus_group", name="incus-net2", ha_chassis=("@incus_member",)),
    _insert(
        "Logical_Router_Port",
        "incus_lrp",
        name="incus-net2-lr-lrp-int",
        mac="10:66:6a:00:00:01",
        networks=("10.7.0.1/24", "fd42:1:2:3::1/64"),
        ha_chassis_group="@incus_group",
        ipv6_ra_configs={"address_mode": "dhcpv6_stateless", "send_periodic": "true"},
    ),
    _insert(
        "NAT",
        "incus_nat",
        type="snat",
        external_ip="203.0.113.30",
        logical_ip="10.7.0.0/24",
    ),
    _insert(
        "Logical_Router",
        "incus_router",
        name="incus-net2-lr",
        ports=("@incus_lrp",),
        nat=("@incus_nat",),
        options={"always_learn_from_arp_request": "false", "dynamic_neigh_routers": "true"},
    ),
    _insert(
        "Port_Group",
        "incus_acl",
        name="incus_acl5_net2",
        external_ids={"incus_project_id": "1", "incus_switch": "incus-net2-ls-int"},
    ),
)


def _kubernetes(kind: str, name: str, **more: str) -> dict[str, str]:
    """Return how ovn-kubernetes says whose a row is."""
    controller = "default-network-controller"
    return {
        "k8s.ovn.org/owner-controller": controller,
        "k8s.ovn.org/owner-type": kind,
        "k8s.ovn.org/name": name,
        "k8s.ovn.org/id": ":".join([controller, kind, name, *more.values()]),
        **{f"k8s.ovn.org/{key}": value for key, value in more.items()},
    }


OVN_KUBERNETES: Sequence[Operation] = (
    _insert(
        "DHCP_Options",
        "k8s_dhcp",
        cidr="192.168.100.0/24",
        options={
            "lease_time": "3500",
            "server_mac": "0a:58:a9:fe:01:01",
            "server_id": "169.254.1.1",
            "mtu": "1300",
            "hostname": '"vm1"',
        },
        external_ids=_kubernetes("VirtualMachine", "foo/vm1", cidr="192.168.100.0/24"),
    ),
    _insert(
        "Logical_Switch_Port",
        "k8s_pod",
        name="default_web",
        addresses=("0a:58:0a:f4:00:05 10.244.0.5",),
        port_security=("0a:58:0a:f4:00:05 10.244.0.5",),
        dhcpv4_options="@k8s_dhcp",
        options={
            "requested-chassis": "node1",
            "iface-id-ver": "69611cd1-cfcd-414f-afea-5669dc947fb1",
        },
        external_ids={"namespace": "default", "pod": "true"},
    ),
    _insert(
        "Logical_Switch_Port",
        "k8s_router",
        name="stor-node1",
        type="router",
        addresses=("router",),
        options={"router-port": "rtos-node1"},
    ),
    _insert(
        "ACL",
        "k8s_acl",
        direction="to-lport",
        priority=1001,
        match="ip4.src == 10.244.0.2",
        action="allow-related",
        external_ids=_kubernetes("NetpolNode", "node1", ip="10.244.0.2"),
    ),
    _insert(
        "Logical_Switch",
        "k8s_node",
        name="node1",
        ports=("@k8s_pod", "@k8s_router"),
        acls=("@k8s_acl",),
        other_config={"subnet": "10.244.0.0/24", "mcast_snoop": "true"},
    ),
    _insert(
        "Logical_Router_Port",
        "k8s_lrp",
        name="rtos-node1",
        mac="0a:58:0a:f4:00:01",
        networks=("10.244.0.1/24",),
        options={"gateway_mtu": "1400"},
    ),
    _insert(
        "Logical_Router_Policy",
        "k8s_policy",
        priority=102,
        match="ip4.src == 10.244.0.0/16 && ip4.dst == 10.244.0.0/16",
        action="allow",
        external_ids=_kubernetes("EgressIP", "none", priority="102"),
    ),
    _insert(
        "Logical_Router",
        "k8s_cluster",
        name="ovn_cluster_router",
        ports=("@k8s_lrp",),
        policies=("@k8s_policy",),
        external_ids={"k8s-cluster-router": "yes"},
    ),
    _insert(
        "Address_Set",
        "k8s_set",
        name="a14645450421485494999",
        addresses=("10.244.0.5",),
        external_ids=_kubernetes("Namespace", "default", ipFamily="v4"),
    ),
)

KUBE_OVN: Sequence[Operation] = (
    _insert(
        "DHCP_Options",
        "kubeovn_dhcp",
        cidr="10.16.0.0/16",
        options={
            "lease_time": "3600",
            "router": "10.16.0.1",
            "server_id": "169.254.0.254",
            "server_mac": "00:00:00:2e:2f:b8",
        },
        external_ids={"ls": "ovn-default", "protocol": "IPv4", "vendor": "kube-ovn"},
    ),
    _insert(
        "Logical_Switch_Port",
        "kubeovn_pod",
        name="web.default",
        addresses=("00:00:00:53:2f:11 10.16.0.11",),
        port_security=("00:00:00:53:2f:11 10.16.0.11",),
        dhcpv4_options="@kubeovn_dhcp",
        options={"requested-chassis": "node1,node2", "activation-strategy": "rarp"},
        external_ids={"ls": "ovn-default", "pod": "default/web", "vendor": "kube-ovn"},
    ),
    _insert(
        "Logical_Switch",
        "kubeovn_switch",
        name="ovn-default",
        ports=("@kubeovn_pod",),
        other_config={"exclude_ips": "10.16.0.1", "subnet": "10.16.0.0/16"},
        external_ids={"vendor": "kube-ovn"},
    ),
    _insert(
        "Logical_Router",
        "kubeovn_router",
        name="ovn-cluster",
        external_ids={"vendor": "kube-ovn"},
    ),
)

NEAR: Sequence[Operation] = (
    # Nobody's that is known; each has something of what ours have.
    _insert("Logical_Switch_Port", "near_port", name="os-vif-port", addresses=("unknown",)),
    _insert("Logical_Switch", "near_switch", name="os-vif-blue", ports=("@near_port",)),
    _insert("Logical_Switch", "near_mark", name="marked", external_ids={"os-vif": "network=1"}),
    _insert("Logical_Router", "near_owner", name="owned", external_ids={"owner": "lab"}),
    _insert("DHCP_Options", "near_dhcp", cidr="10.5.0.0/24", options={}),
)

WRITERS: Mapping[str, Sequence[Operation]] = {
    "Neutron": NEUTRON,
    "Incus": INCUS,
    "ovn-kubernetes": OVN_KUBERNETES,
    "kube-ovn": KUBE_OVN,
    "near to ours": NEAR,
}
"""What each writes, by whom."""

OWNER = "os-vif-owner"
"""The key of external_ids that all rows of ours have, and only these."""


def write(centre: Server, *names: str, followed: bool = True) -> None:
    """Have them written, all or those of some.

    :param followed: let ovn-northd see them; there is one
    """
    for name in names or WRITERS:
        answers = transact(centre, *WRITERS[name])
        assert all("error" not in answer for answer in answers), (name, answers)
    if followed:
        centre.nbctl("--wait=sb", "sync")


def transact(centre: Server, *operations: Operation) -> list[dict[str, Any]]:
    """Run operations on the Northbound database, and return their results."""
    return list(_call(centre, "transact", DATABASE, *operations))


def _call(centre: Server, method: str, *params: Any) -> Any:
    """Return the result of a request (RFC 7047, 4.1), by a client that knows nothing of ours."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(centre.northbound.removeprefix("unix:"))
        client.sendall(json.dumps({"id": 1, "method": method, "params": params}).encode())
        answer = b""
        while True:
            answer += client.recv(1 << 20)
            try:
                said = json.loads(answer)
            except ValueError:
                continue
            assert said["error"] is None, said
            return said["result"]


def theirs(centre: Server) -> dict[str, dict[str, Any]]:
    """Return all rows that are not ours, by table and UUID, each whole, with its ``_version``.

    A row that was written to has another ``_version``, even if it holds what it held before.
    """
    return {key: row for key, row in _rows(centre).items() if OWNER not in _pairs(row)}


def ours(centre: Server) -> dict[str, dict[str, Any]]:
    """Return our rows, by table and UUID."""
    return {key: row for key, row in _rows(centre).items() if OWNER in _pairs(row)}


def _pairs(row: Mapping[str, Any]) -> dict[str, str]:
    return dict(row.get("external_ids", ["map", []])[1])


def _rows(centre: Server) -> dict[str, dict[str, Any]]:
    schema = _call(centre, "get_schema", DATABASE)
    # NB_Global counts the transactions that somebody waited for; its options are looked at.
    tables = {name: [*it["columns"], "_uuid", "_version"] for name, it in schema["tables"].items()}
    tables["NB_Global"] = ["_uuid", "name", "connections", "ssl", "options", "external_ids"]
    asked = [
        {"op": "select", "table": name, "where": [], "columns": columns}
        for name, columns in tables.items()
    ]
    answers = transact(centre, *asked)
    return {
        f"{name} {row['_uuid'][1]}": row
        for name, answer in zip(tables, answers, strict=True)
        for row in answer["rows"]
    }
