# SPDX-License-Identifier: Apache-2.0
"""From which addresses a guest may send: fields of the types whose plugins can keep it to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from os_vif.host.anti_spoofing.resources import allowed
from os_vif.specs import Field, Kind, ListOf, Told, Values, identity_of, one_of

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held

ADDRESSES = (
    Field(
        "anti_spoofing",
        one_of("none", "mac", "ip"),
        "what the guest is kept to; what else it sends is dropped: mac, its MAC address; ip, that "
        "and its IP addresses (addresses of network.subnets), and it is neither a router nor a "
        "DHCP server",
        default="the plugin's option anti_spoofing, which is none",
        known_as=("anti_spoofing", "port_security"),
    ),
    Field(
        "allowed_addresses",
        ListOf(Kind("an IP address, a network or a MAC address", allowed, {"type": "string"})),
        "what it may send from beside its own addresses, as in [192.0.2.9, 10.42.0.0/24, "
        "fe80::/64, 00:00:5e:00:01:07]",
        default="nothing else",
        known_as=("allowed_addresses", "allowed_address_pairs"),
    ),
)
"""Where there is a device that what the guest sends passes."""


def options_of_addresses(values: Values) -> dict[str, tuple[str, str, Any]]:
    """Return what these fields say, as entries of the plugin's options."""
    named = {"anti_spoofing": "anti_spoofings", "allowed_addresses": "allowed_addresses"}
    vif_id = identity_of(values)["id"]
    return {field: (named[field], vif_id, values[field]) for field in named if field in values}


def tell_addresses(held: Held, told: Told) -> None:
    """Write down what these fields say of what a VIF has."""
    for it in held["anti_spoofing"]:
        told.values["anti_spoofing"] = it.mode
        if more := [*it.macs[1:], *(it.addresses or ())]:
            told.values["allowed_addresses"] = more
        return
    if any(" antispoof=" in link.alias for link in held["links"]):
        told.doubts.append(
            "anti_spoofing: from which addresses its guest may send, which is seen "
            "with privilege alone, and where nobody has changed it"
        )
