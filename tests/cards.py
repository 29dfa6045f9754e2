# SPDX-License-Identifier: Apache-2.0
"""Guests' cards, one of each kind of end."""

from __future__ import annotations

from collections.abc import Mapping

from os_vif.guest.card import (
    Card,
    End,
    Function,
    HypervisorMacvtap,
    HypervisorTap,
    Macvtap,
    Nested,
    Tap,
    VhostUser,
)

VIF_ID = "5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea"
MAC = "52:54:00:12:34:56"
PORT = "8a6f3d52-1111-4c0d-9d6e-3b1f0a2c4d5e"

ENDS: Mapping[str, tuple[str, End]] = {
    "tap": ("VIFGeneric", Tap(device="tap-web", mtu=1500)),
    "tap of several queues": ("VIFBridge", Tap(device="tap-web", mtu=1500, multi_queue=True)),
    "bridge": ("VIFBridge", HypervisorTap(device="tap-web", bridge="br0", mtu=1500)),
    "waiting port": ("VIFOpenVSwitch", HypervisorTap(device="tap-web", mtu=1500)),
    "switch": (
        "VIFOpenVSwitch",
        HypervisorTap(device="tap-web", bridge="br-int", interface_id=PORT, mtu=1500),
    ),
    "macvtap": (
        "VIFDirect",
        Macvtap(
            device="tap-web",
            mtu=1400,
            instead=HypervisorMacvtap(lower="eth0", mode="bridge"),
        ),
    ),
    "vhost-user server": (
        "VIFVHostUser",
        VhostUser(path="/run/vhost/web.sock", mode="server", mtu=1500),
    ),
    "vhost-user client": (
        "VIFVHostUser",
        VhostUser(path="/run/vhost/web.sock", mode="client", mtu=1500),
    ),
    "function": ("VIFHostDevice", Function(address="0000:3b:00.2", managed=True, ethernet=True)),
    "bound function": (
        "VIFHostDevice",
        Function(address="0000:3b:00.2", managed=False, ethernet=True),
    ),
    "any device": ("VIFHostDevice", Function(address="0000:3b:00.2", managed=True, ethernet=False)),
    "nested": ("VIFNestedDPDK", Nested()),
}


def card(name: str, mac: str | None = MAC) -> Card:
    vif_class, end = ENDS[name]
    return Card(vif_id=VIF_ID, vif_class=vif_class, mac=mac, end=end)


def card_with(end: End, mac: str | None = MAC) -> Card:
    return Card(vif_id=VIF_ID, vif_class="VIFGeneric", mac=mac, end=end)
