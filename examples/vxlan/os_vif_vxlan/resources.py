# SPDX-License-Identifier: Apache-2.0
"""What a plugin can describe: a VXLAN device."""

import dataclasses
import ipaddress

from os_vif import exception
from os_vif.engine.checks import interface_name, mac_address


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Vxlan:
    """A VXLAN device that leads to one other host, and is a port of a bridge.

    :ivar name: interface name.
    :ivar mac: its own address.
    :ivar bridge: the bridge it is a port of.
    :ivar vni: VXLAN Network Identifier, 0 to 16777215.
    :ivar remote: address of the other host.
    """

    name: str
    mac: str
    bridge: str
    vni: int
    remote: str

    def __post_init__(self) -> None:
        interface_name(self.name)
        mac_address(self.mac)
        interface_name(self.bridge, "bridge")
        if type(self.vni) is not int or not 0 <= self.vni < 2**24:
            raise exception.InvalidField(
                field="vni", value=self.vni, expected="a number from 0 to 16777215"
            )
        try:
            ipaddress.ip_address(self.remote)
        except ValueError:
            raise exception.InvalidField(
                field="remote", value=self.remote, expected="an IP address"
            ) from None
