# SPDX-License-Identifier: Apache-2.0
"""The resources of a vhost-user port that another program serves: plain data.

A fast path moves packets in user space.  On the host it shows as a network device; the device's
other end is a vhost-user socket, where the guest's hypervisor is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from os_vif import exception
from os_vif.engine.checks import (
    back_end_path,
    interface_name,
    mac_address,
    mtu_bytes,
    socket_path,
    word,
)
from os_vif.host.links.resources import Value

SIX_WIND, TESTPMD = "6wind", "testpmd"
"""The back ends there are."""

FAST_PATH = "vhostuser_fp"
"""The plugin whose taps have a process."""

HYPERVISOR_USER = "[os_vif_noop] hypervisor_user"
"""The option that says whose a VhostSocket must be to use."""

TESTPMD_MTU = 1500
"""Bytes; DPDK's driver of taps drops longer frames."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FastPathDevice:
    """A device that 6WIND's fast path makes on the command ``fp-vdev``.

    :ivar name: interface name.
    :ivar path: the vhost-user socket; '' of a device seen on the host, which does not tell.
    :ivar listens: whether the fast path listens at it (``--sockmode server``), or the guest does.
    :ivar mac: address of the host's end.
    :ivar mtu: bytes.
    :ivar bridge: the Linux bridge it is a port of; None for none.
    :ivar disable_ipv6: whether the host's own IPv6 is silent on it.
    :ivar conf: IPv4 and IPv6 settings of the device by their sysctl names, such as ``proxy_arp``.
    """

    name: str
    path: str
    listens: bool
    mac: str
    mtu: int
    bridge: str | None = None
    disable_ipv6: bool = True
    conf: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        interface_name(self.name, "vif_name")
        if self.path:
            socket_path(self.path)
        mac_address(self.mac)
        mtu_bytes(self.mtu)
        if self.bridge is not None:
            interface_name(self.bridge, "bridge_name")

    def attributes(self) -> dict[str, Value]:
        """Return what the device must look like, by attribute name."""
        wanted: dict[str, Value] = {
            "up": True,
            "mac": self.mac,
            "mtu": self.mtu,
            "disable_ipv6": self.disable_ipv6,
            **self.conf,
        }
        return wanted if self.bridge is None else {**wanted, "master": self.bridge}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BackEnd:
    """A process that joins a tap and a vhost-user socket: one ``dpdk-testpmd`` a port.

    :ivar name: of the tap, by which the process is found again.
    :ivar path: the vhost-user socket.
    :ivar listens: whether the process listens at it, or the guest does.
    :ivar mac: the tap's, which the process would set anew.
    :ivar mtu: the tap's, in bytes, 1500 at most.
    """

    name: str
    path: str
    listens: bool
    mac: str
    mtu: int

    def __post_init__(self) -> None:
        interface_name(self.name, "vif_name")
        back_end_path(self.path)
        mac_address(self.mac)
        if mtu_bytes(self.mtu) > TESTPMD_MTU:
            raise exception.InvalidField(
                field="network.mtu",
                value=self.mtu,
                expected=f"at most {TESTPMD_MTU} bytes: DPDK's driver of taps drops longer frames",
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class VhostSocket:
    """A vhost-user socket that is neither ours to make nor to take away.

    :ivar path: the socket.
    :ivar listens: whether the back end listens at it, or the guest will.
    :ivar user: the hypervisor's user, who must be able to use it; '' asks for nothing.
    """

    path: str
    listens: bool
    user: str = ""

    def __post_init__(self) -> None:
        socket_path(self.path)
        if self.user:
            word(self.user, HYPERVISOR_USER)
