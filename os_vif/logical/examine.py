# SPDX-License-Identifier: Apache-2.0
"""Networks and VIFs that OVN would take without a word, and that would not work.

OVN's Northbound database knows types and ranges of columns, and little else: an address with a
typing error, two ports of one address, a subnet that nobody can be in are all taken, and what is
wrong is told to a log or to nobody.  So all is looked at here, before anything is asked.
"""

from __future__ import annotations

import re

from os_vif import exception
from os_vif.engine import checks
from os_vif.host.links.resources import eui64
from os_vif.logical import expression
from os_vif.logical.examine_routers import examine_routers
from os_vif.logical.expression import Address
from os_vif.logical.findings import (
    Finding,
    Findings,
    chassis,
    identity,
    refused,
    reserved,
    taken,
    text,
)
from os_vif.logical.objects import Wanted
from os_vif.logical.routers import advertised
from os_vif.logical.subnets import Subnet, dhcp_of, names_range
from os_vif.logical.survey import SeenNetwork, SeenPort, Survey, survey_of
from os_vif.logical.versioned import said
from os_vif.specs.networks import ACTIVATION_STRATEGIES, LEASE_MAX, LEASE_MIN, VLAN_MAX

_MTU_V6 = 1280
"""Bytes, without which there is no IPv6 (RFC 8200, 5)."""

_PHYSICAL = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")


def examine(wanted: Wanted) -> list[Finding]:
    """Return all that is wrong, in the order of networks, VIFs and routers; and warnings."""
    return list(examine_survey(survey_of(wanted)))


def examine_survey(survey: Survey) -> Findings:
    """Return what :func:`examine` does, of what was read already."""
    yield from refused("", "owner", survey.wanted.owner or None, checks.owner)
    yield from _networks(survey)
    yield from _ports(survey)
    yield from examine_routers(survey)


# --- networks -------------------------------------------------------------------------------------


def _networks(survey: Survey) -> Findings:
    first = {id(seen.logical): seen for seen in survey.networks.values()}
    for logical in survey.wanted.networks:
        seen = first.get(id(logical))
        if seen is None:
            taken_by = survey.networks[str(said(logical.network, "id", ""))]
            at = logical.at or "network"
            yield Finding(at, "id", taken_by.id, f"an id that {taken_by.at} has not")
            continue
        yield from _network(seen)
        for number, subnet in enumerate(seen.subnets):
            yield from _subnet(seen, number, subnet)


def _network(seen: SeenNetwork) -> Findings:
    at, logical = seen.at, seen.logical
    yield from identity(at, seen.id)
    yield from text(at, "label", seen.label)
    yield from refused(at, "mtu", seen.mtu, checks.mtu_bytes)
    if checks.MTU_MIN <= seen.mtu < _MTU_V6 and any(it.cidr.version == 6 for it in seen.subnets):
        expected = f"at least {_MTU_V6} bytes, for there is a subnet of IPv6 (RFC 8200)"
        yield Finding(at, "mtu", seen.mtu, expected)
    if logical.physical and not _PHYSICAL.match(logical.physical):
        expected = (
            "the name that chassis have for it in ovn-bridge-mappings: letters, digits, '.', '_' "
            "and '-', 64 at most"
        )
        yield Finding(at, "physical", logical.physical, expected)
    vlan = said(logical.network, "vlan")
    if vlan is not None and not 1 <= vlan <= VLAN_MAX:
        yield Finding(at, "vlan", vlan, f"a VLAN id from 1 to {VLAN_MAX}")
    elif vlan is not None and not logical.physical:
        yield Finding(at, "vlan", vlan, "reaches nothing without physical", is_warning=True)
    for cidr in logical.dhcp:
        if not any(names_range(cidr, subnet.cidr) for subnet in seen.subnets):
            yield Finding(at, "dhcp", cidr, f"a subnet of {seen.label or 'the network'}")


def _subnet(seen: SeenNetwork, number: int, subnet: Subnet) -> Findings:
    at, inner, cidr = seen.at, f"subnets[{number}]", subnet.cidr
    if "/" not in subnet.said or subnet.said.partition("/")[0] != str(cidr.network_address):
        yield Finding(at, f"{inner}.cidr", subnet.said, f"the network's own address: {cidr}")
    unusable = cidr.is_multicast or cidr.is_loopback or cidr.is_unspecified
    if unusable or cidr.prefixlen == 0:
        yield Finding(at, f"{inner}.cidr", subnet.said, "a range that guests can have")
    for earlier, other in enumerate(seen.subnets[:number]):
        if cidr.version == other.cidr.version and cidr.overlaps(other.cidr):
            expected = f"a range apart from {other.cidr}, that of subnets[{earlier}]"
            yield Finding(at, f"{inner}.cidr", subnet.said, expected)
    for field, address in (("gateway", subnet.gateway), ("dhcp_server", subnet.dhcp_server)):
        if address is None:
            continue
        if address not in cidr:
            yield Finding(at, f"{inner}.{field}", str(address), f"an address in {cidr}")
        elif why := reserved(subnet, address):
            yield Finding(at, f"{inner}.{field}", str(address), f"an address other than {why}")
    for position, server in enumerate(subnet.dns):
        if server.version != cidr.version:
            expected = f"a server of IPv{cidr.version}, as the subnet is"
            yield Finding(at, f"{inner}.dns[{position}]", str(server), expected)
    yield from _routes(seen, inner, subnet)
    yield from _dhcp(seen, inner, subnet)


def _routes(seen: SeenNetwork, inner: str, subnet: Subnet) -> Findings:
    at = seen.at
    for position, (to, via) in enumerate(subnet.routes):
        where = f"{inner}.routes[{position}]"
        if to.version != subnet.cidr.version:
            expected = f"a network of IPv{subnet.cidr.version}, as the subnet is"
            yield Finding(at, f"{where}.to", str(to), expected)
            continue
        if to.prefixlen == 0:
            yield Finding(at, f"{where}.to", str(to), "a network; the way to all is the gateway")
        if via not in subnet.cidr:
            yield Finding(at, f"{where}.via", str(via), f"an address in {subnet.cidr}")
        if (to, via) in subnet.routes[:position]:
            yield Finding(at, f"{where}.to", str(to), "each route once")
        if to.version == 6 and seen.first_of(via) is None:
            expected = "reaches no guest: routes of IPv6 are known to routers alone"
            yield Finding(at, f"{where}.to", str(to), expected, is_warning=True)


def _dhcp(seen: SeenNetwork, inner: str, subnet: Subnet) -> Findings:
    dhcp = dhcp_of(seen.logical, subnet)
    if dhcp is None:
        return
    where = f"{inner}.dhcp"
    if not subnet.server:
        expected = (
            f"false, or a gateway or dhcp_server in {subnet.cidr}: guests are told who serves"
        )
        yield Finding(seen.at, where, True, expected)
    if isinstance(dhcp.lease, bool) or not LEASE_MIN <= dhcp.lease <= LEASE_MAX:
        expected = f"a time of {LEASE_MIN} to {LEASE_MAX} seconds, as in 12h"
        yield Finding(seen.at, f"{where}.lease", dhcp.lease, expected)
    if dhcp.domain and not expression.is_name(dhcp.domain):
        expected = "a domain's name: letters, digits, '-' and dots, as in example.org"
        yield Finding(seen.at, f"{where}.domain", dhcp.domain, expected)


# --- VIFs -----------------------------------------------------------------------------------------


def _ports(survey: Survey) -> Findings:
    ids: dict[str, SeenPort] = {}
    called: dict[str, SeenPort] = {}
    held: dict[tuple[str, str], SeenPort] = {}
    for seen in survey.ports:
        at = seen.at
        yield from refused(at, "id", seen.id or None, checks.vif_id)
        for field, value, owners in (("id", seen.id, ids), ("interface_id", seen.name, called)):
            first = owners.setdefault(value, seen)
            if first is not seen:
                yield Finding(at, field, value, f"an id of its own; {first.at} has this one")
                break
        yield from refused(at, "mac", seen.mac or None, checks.mac_address)
        yield from _placement(seen)
        network = survey.networks.get(seen.network)
        if network is None:
            yield Finding(at, "network", seen.network or None, survey.one_of())
            continue
        first = held.setdefault((seen.network, seen.mac), seen)
        if first is not seen:
            expected = f"an address of its own in {network.label}; {first.shown} has this one"
            yield Finding(at, "mac", seen.mac, expected)
        yield from _addresses(survey, network, seen)


def _placement(seen: SeenPort) -> Findings:
    port = seen.port
    yield from chassis(seen.at, "network.chassis", port.chassis)
    strategy = port.activation_strategy
    where = "network.activation_strategy"
    if strategy and strategy not in ACTIVATION_STRATEGIES:
        yield Finding(seen.at, where, strategy, " or ".join(ACTIVATION_STRATEGIES))
    elif strategy and len(port.chassis) < 2:
        expected = "two chassis with it: it says how the port begins on the second one"
        yield Finding(seen.at, where, strategy, expected)


def _addresses(survey: Survey, network: SeenNetwork, seen: SeenPort) -> Findings:
    own: set[Address] = set()
    for fixed in seen.fixed:
        address = fixed.address
        field = seen.place(address)
        subnet = network.subnet_of(address)
        if subnet is None:
            ranges = " or ".join(str(it.cidr) for it in network.subnets) or "a subnet"
            yield Finding(field, "", str(address), f"an address in {ranges}")
            continue
        if why := taken(subnet, address):
            expected = f"an address that a guest can have; this is {why}"
            yield Finding(field, "", str(address), expected)
        holder = network.first_of(address)
        if holder is not None and (holder is not seen or address in own):
            expected = f"an address that nobody else has in {network.label}; {holder.shown} has it"
            yield Finding(field, "", str(address), expected)
        own.add(address)
        if address.version == 6 and advertised(network)["address_mode"] and seen.mac:
            yield from _slaac(survey, network, seen, subnet, address)


def _slaac(
    survey: Survey, network: SeenNetwork, seen: SeenPort, subnet: Subnet, address: Address
) -> Findings:
    if not survey.inside(network.id) or subnet.cidr.prefixlen != 64:
        return
    try:
        made = eui64(subnet.cidr, seen.mac)
    except exception.InvalidField:
        return  # the MAC is told of
    if address != made:
        expected = (
            f"the guest makes itself {made} of the router's advertisements, which does not pass; "
            "have it configured, or give it that one"
        )
        yield Finding(seen.place(address), "", str(address), expected, is_warning=True)
