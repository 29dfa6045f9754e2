# SPDX-License-Identifier: Apache-2.0
"""The type of a tap that is on no switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.plugins.types.access import GROUP, OWNER, options_of
from os_vif.plugins.types.unused import routed
from os_vif.specs import (
    ID,
    INSTANCE,
    MAC_ADDRESS,
    NAME,
    NETWORK,
    Field,
    Values,
    VIFType,
    check_addresses,
    identity_of,
    network_of,
)

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase


def _tap(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFGeneric

    return VIFGeneric(**identity_of(values), plugin="tap", network=network_of(values))


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
            routed(
                Field("network", NETWORK, "the network, and the guest's addresses in it"),
                "os_vif_tap",
            ),
        ),
        _tap,
        _TAP_EXAMPLE,
        check_addresses,
        rank=2,
        options=options_of,
    ),
)
