# SPDX-License-Identifier: Apache-2.0
"""What the types of vhost-user sockets have in common: the socket, and the guest's part at it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.specs import SOCKET, Field, Values, identity_of, network_of, one_of

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase, VIFPortProfileBase

MODE = Field(
    "mode",
    one_of("client", "server"),
    "the guest's part: server listens at path and survives a restart of the other side, client "
    "connects to it",
    required=True,
    known_as=("mode", "VIFVHostUser.mode"),
)
PATH = Field(
    "path",
    SOCKET,
    "the socket, 107 bytes at most, in a folder that is there",
    required=True,
    known_as=("path", "VIFVHostUser.path"),
)


def socket_of(values: Values, plugin: str, profile: VIFPortProfileBase | None = None) -> VIFBase:
    """Return the socket as a VIF of a plugin, with the port profile if there is one."""
    from os_vif.objects.vif import VIFVHostUser

    of_bridge = {"bridge": values["bridge"]} if "bridge" in values else {}
    vif = VIFVHostUser(
        **identity_of(values, "vhu"),
        plugin=plugin,
        mode=values["mode"],
        path=values["path"],
        network=network_of(values, **of_bridge),
    )
    if profile is not None:
        vif.port_profile = profile
    return vif
