# SPDX-License-Identifier: Apache-2.0
"""A host as it was seen, written down by hand: ``seen(links={...}, functions={...})``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from os_vif.engine import families
from os_vif.engine.observed import Asked, Host, Question, by_question
from os_vif.host.anti_spoofing.questions import FILTERS as GUEST_FILTERS
from os_vif.host.bridge_ports.questions import FILTERS, PORT
from os_vif.host.dnsmasq.questions import SERVERS
from os_vif.host.forwarding.questions import FORWARDING
from os_vif.host.functions.questions import PCI_DRIVERS, VFS
from os_vif.host.gateways.questions import NETWORKS, ROUTING, TABLES
from os_vif.host.links.questions import FUNCTIONS, LINKS, MOVES, NODES, USERS
from os_vif.host.openvswitch.questions import BRIDGES, IDS, PORTS
from os_vif.host.port_profiles.questions import PORT_PROFILES, VSIS
from os_vif.host.routes.questions import ADDRESSES, HOW_IPV6, PROXIES, ROUTES, ROUTES_TO, WAYS_OUT
from os_vif.host.traffic_limits.questions import LIMITS
from os_vif.host.vhost_user.questions import BACK_ENDS, SOCKETS

QUESTIONS: dict[str, Question[Any, Any]] = {
    "links": LINKS,
    "addresses": ADDRESSES,
    "users": USERS,
    "moves": MOVES,
    "nodes": NODES,
    "bridge_port": PORT,
    "vlan_filtering": FILTERS,
    "routes": ROUTES,
    "how_ipv6": HOW_IPV6,
    "routes_to": ROUTES_TO,
    "proxies": PROXIES,
    "ways_out": WAYS_OUT,
    "forwarding": FORWARDING,
    "functions": FUNCTIONS,
    "vfs": VFS,
    "pci_drivers": PCI_DRIVERS,
    "vsis": VSIS,
    "port_profiles": PORT_PROFILES,
    "back_ends": BACK_ENDS,
    "sockets": SOCKETS,
    "traffic_limits": LIMITS,
    "guest_filters": GUEST_FILTERS,
    "dnsmasq": SERVERS,
    "gateways": TABLES,
    "gateway_routing": ROUTING,
    "gateway_networks": NETWORKS,
    "ovs_bridges": BRIDGES,
    "ovs_ports": PORTS,
    "ovs_ids": IDS,
}


def seen(**answers: dict[Any, Any]) -> Host:
    """Return the model of a host with these answers, by the name of the question."""
    return Host({QUESTIONS[name]: found for name, found in answers.items()})


def asks(asked: Iterable[Asked], name: str) -> set[Any]:
    """Return what a question of this name is asked about."""
    return by_question(asked).get(QUESTIONS[name], set())


def handlers() -> dict[str, Any]:
    """Return what runs the steps of every family on the privileged side, by kind."""
    return {
        kind: act for family in families.all_families() for kind, act in family.system.run.items()
    }
