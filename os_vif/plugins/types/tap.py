# SPDX-License-Identifier: Apache-2.0
"""The type of a tap that is on no switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.plugins.types.access import GROUP, MULTI_QUEUE, OWNER, tap_options_of
from os_vif.plugins.types.anti_spoofing import (
    ADDRESSES,
    options_of_addresses,
    tell_addresses,
)
from os_vif.plugins.types.limits import LIMITS, limit_options, told_of_limits
from os_vif.plugins.types.routing import tell_routes
from os_vif.plugins.types.unused import routed
from os_vif.specs import (
    ID,
    INSTANCE,
    MAC_ADDRESS,
    NAME,
    NETWORK,
    Field,
    Told,
    Values,
    VIFType,
    access_of,
    check_addresses,
    identity_of,
    mac_of_guest,
    network_of,
    one_device,
    told_of,
)

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.objects.vif import VIFBase


def _tap(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFGeneric

    return VIFGeneric(**identity_of(values), plugin="tap", network=network_of(values))


def _held(held: Held) -> Told:
    tap = one_device(held, "tap")
    found = tap.attributes
    told = told_of(held, name=tap.name, **access_of(tap), **told_of_limits(tap))
    tell_addresses(held, told)
    told.values["mac"] = mac_of_guest(found["mac"], told)
    told.network(mtu=found.get("mtu"))
    tell_routes(held, told, tap)
    return told


_TAP_EXAMPLE = """\
type: tap
name: tap-web
mac: 52:54:00:12:34:56
network:
  mtu: 9000
"""

TYPES = (
    VIFType(
        "tap",
        "a tap that is on no switch; the host may route to it (options: tap: routed: true)",
        "guests in layer-3 networks, and whoever connects the tap himself",
        "tap",
        "VIFGeneric",
        (
            MAC_ADDRESS,
            NAME,
            ID,
            INSTANCE,
            OWNER,
            GROUP,
            *LIMITS,
            *ADDRESSES,
            MULTI_QUEUE,
            routed(
                Field("network", NETWORK, "the network, and the guest's addresses in it"),
                "os_vif_tap",
            ),
        ),
        _tap,
        _TAP_EXAMPLE,
        check_addresses,
        rank=2,
        options=lambda values: {
            **tap_options_of(values),
            **limit_options(values),
            **options_of_addresses(values),
        },
        held=_held,
    ),
)
