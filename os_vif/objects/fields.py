# SPDX-License-Identifier: Apache-2.0
"""Field types of our own: three enumerations and a list of IP addresses."""

from typing import TYPE_CHECKING

import netaddr

from os_vif.objects.ovo import fields

if TYPE_CHECKING:
    _IPAddressesField = fields.AutoTypedField[list[netaddr.IPAddress]]
else:
    _IPAddressesField = fields.AutoTypedField  # generic since oslo.versionedobjects 3.10


class VIFDirectMode(fields.Enum):
    """How a guest shares a physical device: the modes of a macvtap, see ``ip-link(8)``."""

    VEPA = "vepa"
    PASSTHROUGH = "passthrough"
    BRIDGE = "bridge"
    ALL = (VEPA, PASSTHROUGH, BRIDGE)

    def __init__(self) -> None:
        super().__init__(valid_values=self.ALL)


class VIFDirectModeField(fields.BaseEnumField):
    """A :class:`VIFDirectMode`."""

    AUTO_TYPE = VIFDirectMode()


class VIFVHostUserMode(fields.Enum):
    """Which part the *guest's* side plays on the vhost-user socket: connect to it or serve it."""

    CLIENT = "client"
    SERVER = "server"
    ALL = (CLIENT, SERVER)

    def __init__(self) -> None:
        super().__init__(valid_values=self.ALL)


class VIFVHostUserModeField(fields.BaseEnumField):
    """A :class:`VIFVHostUserMode`."""

    AUTO_TYPE = VIFVHostUserMode()


class VIFHostDeviceDevType(fields.Enum):
    """What a passed-through device is: a network device, or any device of the bus."""

    ETHERNET = "ethernet"
    GENERIC = "generic"
    ALL = (ETHERNET, GENERIC)

    def __init__(self) -> None:
        super().__init__(valid_values=self.ALL)


class VIFHostDeviceDevTypeField(fields.BaseEnumField):
    """A :class:`VIFHostDeviceDevType`."""

    AUTO_TYPE = VIFHostDeviceDevType()


class ListOfIPAddressField(_IPAddressesField):
    """A list of IPv4 and IPv6 addresses."""

    AUTO_TYPE = fields.List(fields.IPAddress())
