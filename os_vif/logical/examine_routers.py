# SPDX-License-Identifier: Apache-2.0
"""Routers and floating addresses that OVN would take without a word, and that would not work."""

from __future__ import annotations

import contextlib

from os_vif.logical.expression import Address
from os_vif.logical.findings import Finding, Findings, chassis, identity, reserved, text
from os_vif.logical.objects import External, Router
from os_vif.logical.routers import at_of, next_hop, snat_of
from os_vif.logical.subnets import address_of, dhcp_of, range_of
from os_vif.logical.survey import SeenNetwork, SeenPort, Survey

PRIORITY_MAX = 32767
"""Of a Gateway_Chassis, and so as many can be told apart."""


def examine_routers(survey: Survey) -> Findings:
    """Return what is wrong with the routers, and with floating addresses, which they translate."""
    ids: dict[str, Router] = {}
    inside: dict[str, Router] = {}
    outside = _outside(survey)
    for router in survey.wanted.routers:
        at = at_of(router)
        yield from identity(at, router.id)
        yield from text(at, "label", router.label)
        first = ids.setdefault(router.id, router)
        if first is not router:
            yield Finding(at, "id", router.id, f"an id that {at_of(first)} has not")
        yield from _legs(survey, router, inside)
        if router.external is not None:
            yield from _external(survey, router, router.external, outside)
    yield from _floating(survey, outside)


_Outside = dict[tuple[str, Address], Router]
"""By network and address the router that has it outside, the first of those that say so."""


def _outside(survey: Survey) -> _Outside:
    found: _Outside = {}
    for router in survey.wanted.routers:
        if router.external is not None:
            with contextlib.suppress(ValueError):  # which is told of
                address = address_of(router.external.address)
                found.setdefault((router.external.network, address), router)
    return found


def _legs(survey: Survey, router: Router, inside: dict[str, Router]) -> Findings:
    at = at_of(router)
    if not router.networks:
        yield Finding(at, "networks", None, "the networks it is between, one at least")
    for position, identity_ in enumerate(router.networks):
        where = f"networks[{position}]"
        network = survey.networks.get(identity_)
        if network is None:
            yield Finding(at, where, identity_, survey.one_of())
            continue
        label = network.shown
        if identity_ in router.networks[:position]:
            yield Finding(at, where, label, "each network once")
            continue
        first = inside.setdefault(identity_, router)
        if first is not router:
            expected = f"a network without a router; {first.label} is at the gateways of this one"
            yield Finding(at, where, label, expected)
        yield from _advertised(network)
        if not any(subnet.gateway for subnet in network.subnets):
            expected = "a network with a gateway in one of its subnets, where the router is"
            yield Finding(at, where, label, expected)
        for other in router.networks[:position]:
            if other in survey.networks:
                yield from _overlap(at, where, network, survey.networks[other])


def _advertised(network: SeenNetwork) -> Findings:
    for number, subnet in enumerate(network.subnets):
        served = subnet.gateway and dhcp_of(network.logical, subnet)
        if subnet.cidr.version == 6 and served and subnet.cidr.prefixlen != 64:
            expected = "guests make themselves no address of it: advertisements take a /64"
            inner = f"subnets[{number}].cidr"
            yield Finding(network.at, inner, str(subnet.cidr), expected, is_warning=True)


def _overlap(at: str, where: str, network: SeenNetwork, other: SeenNetwork) -> Findings:
    for subnet in network.subnets:
        for theirs in other.subnets:
            if subnet.cidr.version == theirs.cidr.version and subnet.cidr.overlaps(theirs.cidr):
                expected = (
                    f"networks apart from each other; {subnet.cidr} is in "
                    f"{theirs.cidr} of {other.shown}"
                    if subnet.cidr.prefixlen >= theirs.cidr.prefixlen
                    else f"networks apart from each other; {theirs.cidr} of "
                    f"{other.shown} is in {subnet.cidr}"
                )
                yield Finding(at, where, network.shown, expected)


def _external(
    survey: Survey,
    router: Router,
    external: External,
    outside: _Outside,
) -> Findings:
    at = at_of(router)
    network = survey.networks.get(external.network)
    yield from chassis(at, "external.chassis", external.chassis)
    if len(external.chassis) > PRIORITY_MAX:
        yield Finding(at, "external.chassis", len(external.chassis), f"at most {PRIORITY_MAX}")
    if len(external.chassis) == 2:
        expected = (
            "two gateways do not fail over, for each takes itself for the one that is cut off; "
            "three or one"
        )
        yield Finding(at, "external.chassis", list(external.chassis), expected, is_warning=True)
    if network is None:
        yield Finding(at, "external.network", external.network, survey.one_of())
        return
    label = network.shown
    if external.network in router.networks:
        expected = "a network that is not inside, too"
        yield Finding(at, "external.network", label, expected)
        return
    for identity_ in router.networks:
        if identity_ in survey.networks:
            yield from _overlap(at, "external.network", network, survey.networks[identity_])
    try:
        address = address_of(external.address)
    except ValueError:
        expected = "an IPv4 or IPv6 address, as in 192.0.2.10 (without a prefix length)"
        yield Finding(at, "external.address", external.address or None, expected)
        return
    subnet = network.subnet_of(address)
    if subnet is None:
        yield Finding(at, "external.address", external.address, f"an address {_in(network)}")
        return
    holder = network.first_of(address)
    if address == subnet.gateway:
        why = "the gateway beyond it"
    elif holder is not None:
        why = f"the address of {holder.shown}"
    else:
        why = reserved(subnet, address)
    first = outside[network.id, address]
    if why or first is not router:
        why = why or f"the address of router {first.shown}"
        yield Finding(
            at, "external.address", external.address, f"an address of its own; this is {why}"
        )
    yield from _gateway(at, external, network, address)
    yield from _snat(survey, router, external, address)


def _in(network: SeenNetwork) -> str:
    ranges = " or ".join(str(it.cidr) for it in network.subnets)
    return f"in {ranges or 'a subnet'} of {network.shown}"


def _gateway(at: str, external: External, network: SeenNetwork, address: Address) -> Findings:
    if external.gateway:
        try:
            gateway = address_of(external.gateway)
        except ValueError:
            expected = "an IPv4 or IPv6 address, as in 192.0.2.1 (without a prefix length)"
            yield Finding(at, "external.gateway", external.gateway, expected)
            return
        subnet = network.subnet_of(address)
        if subnet is not None and (gateway not in subnet.cidr or gateway == address):
            expected = f"an address in {subnet.cidr} that is not the router's"
            yield Finding(at, "external.gateway", external.gateway, expected)
    elif next_hop(external, network) is None:
        expected = "leads nowhere further: neither the router nor the subnet has a gateway"
        yield Finding(at, "external.network", network.label, expected, is_warning=True)


def _snat(survey: Survey, router: Router, external: External, address: Address) -> Findings:
    at = at_of(router)
    inside = [survey.networks[it] for it in router.networks if it in survey.networks]
    known = [subnet.cidr for network in inside for subnet in network.subnets]
    known += [to for network in inside for (to, _via), _guest, _field in network.behind()]
    if external.snat and not external.chassis:
        expected = "chassis with it: without a gateway nothing is translated"
        yield Finding(at, "external.snat", external.snat, expected)
    translated = snat_of(external, inside)
    if external.snat is True:
        if not translated:
            expected = f"subnets of IPv{address.version} with a gateway in the networks inside"
            yield Finding(at, "external.snat", True, expected)
        return
    for position, cidr in enumerate(translated):
        where = f"external.snat[{position}]"
        try:
            wanted = range_of(cidr)
        except ValueError:
            yield Finding(at, where, cidr, "a network in CIDR form, as in 192.0.2.0/24")
            continue
        within = (it for it in known if it.version == wanted.version)
        if str(wanted) != cidr:
            yield Finding(at, where, cidr, f"the network's own address: {wanted}")
        elif wanted.version != address.version:
            expected = f"a network of IPv{address.version}, as {external.address} is"
            yield Finding(at, where, cidr, expected)
        elif not any(
            int(it.network_address) <= int(wanted.network_address)
            and int(wanted.broadcast_address) <= int(it.broadcast_address)
            for it in within
        ):
            expected = f"a network inside: {', '.join(map(str, known))}"
            yield Finding(at, where, cidr, expected)
        elif cidr in translated[:position]:
            yield Finding(at, where, cidr, "each network once")


# --- floating addresses ---------------------------------------------------------------------------


def _floating(survey: Survey, outside: _Outside) -> Findings:
    used: dict[Address, SeenPort] = {}
    for seen in survey.ports:
        for fixed in seen.fixed:
            for address in fixed.floating:
                yield from _one_floating(survey, seen, fixed.address, address, outside)
                first = used.setdefault(address, seen)
                if first is not seen:
                    expected = f"an address of its own; it leads to {first.shown} already"
                    yield Finding(seen.place(address), "", str(address), expected)


def _one_floating(
    survey: Survey, seen: SeenPort, fixed: Address, address: Address, outside: _Outside
) -> Findings:
    field = seen.place(address)
    if address.version != fixed.version:
        yield Finding(field, "", str(address), f"an address of IPv{fixed.version}, as {fixed} is")
        return
    found = []
    for router in survey.inside(seen.network):
        external = router.external
        if external is not None and external.network in survey.networks:
            found.append((router, external, survey.networks[external.network]))
    here = [it for it in found if it[2].subnet_of(address) is not None]
    if not found:
        expected = "a router that has the VIF's network inside, and an external network"
        yield Finding(field, "", str(address), expected)
        return
    if len(here) != 1:
        ranges = " or ".join(_in(network) for _router, _external, network in found)
        expected = (
            f"an address {ranges}"
            if not here
            else f"one router that has it outside; {' and '.join(it[0].label for it in here)} have"
        )
        yield Finding(field, "", str(address), expected)
        return
    [(router, external, network)] = here
    subnet = network.subnet_of(address)
    holder = network.first_of(address)
    if not external.chassis:
        expected = f"chassis at router {router.label}: without a gateway nothing is translated"
        yield Finding(field, "", str(address), expected)
    owner = outside.get((external.network, address))
    if owner is not None:
        why = f"that of router {owner.shown} itself"
    elif subnet is not None and address == subnet.gateway:
        why = "the gateway beyond the router"
    elif holder is not None:
        why = f"that of {holder.shown} in {network.label}"
    else:
        why = reserved(subnet, address) if subnet else ""
    if why:
        yield Finding(field, "", str(address), f"an address of its own; this is {why}")
