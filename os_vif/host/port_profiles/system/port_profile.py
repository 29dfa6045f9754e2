# SPDX-License-Identifier: Apache-2.0
"""Port profiles of IEEE 802.1Qbh, which a NIC's firmware asks the switch for.

Sources: linux/if_link.h (PORT_PROFILE_RESPONSE_*), net/core/rtnetlink.c (ndo_set_vf_port).  Of
the drivers in Linux, enic is known to have the operation.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import socket
import struct
import uuid
from pathlib import Path

from os_vif.host.links.system import sysfs
from os_vif.host.links.system.link_message import IFLA_EXT_MASK, by_index
from os_vif.host.port_profiles.questions import PROFILE_SET, REQUEST_ASSOCIATE, PortState
from os_vif.host.port_profiles.system import ports
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError, attribute, nested

ADDRESSEE = netlink.KERNEL
"""The port id that is asked."""

HOST_IDS = (Path("/sys/class/dmi/id/product_uuid"), Path("/etc/machine-id"))
"""Where this host's UUID is, the first that can be read: the firmware's, else machine-id(5)."""

_IN_PROGRESS = 0x101
_REASONS = {
    0x102: "invalid: it knows no such profile, or cannot use a value",
    0x103: "bad state: its port cannot take a profile now",
    0x104: "insufficient resources",
    0x105: "an error it does not explain",
}
_ANSWER_S = 5.0
"""Seconds the kernel may take for an answer; a driver may ask its firmware meanwhile."""

_RTEXT_FILTER_VF = 1
_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
_DRVINFO = struct.Struct("=I32s32s32s32s32s12x5I")
_IFREQ = struct.Struct("16sP16x")


class ProfileError(ports.PortError):
    """A port has not got its profile."""


class Unsupported(ProfileError):
    """The driver knows no port profiles."""

    number = errno.EOPNOTSUPP


class InProgress(ProfileError):
    """The switch has not answered yet."""

    number = errno.EINPROGRESS


class Refused(ProfileError):
    """The switch, or the NIC, refused; the words say why."""

    number = errno.EACCES


def look(device: str) -> PortState | None:
    """Return the port profile of a device; None where it has none, or its driver knows of none.

    :raises OSError: ENODEV: there is no such device; the kernel refused to tell.
    """
    return _look(*_addressee(device))


def set_profile(device: str, profile: str, instance: str, timeout: int) -> None:
    """Give a port its profile, and return when the switch has agreed.

    :param profile: its name on the switch.
    :param instance: UUID of the guest; '' names none.
    :param timeout: seconds the switch may take.
    :raises OSError: the kernel refused, or :class:`ProfileError`: the class says why.
    """
    waiting = ports.Waiting(timeout)
    name, number = _addressee(device)
    wish = [attribute(ports.PORT_PROFILE, profile.encode() + b"\0")]
    if instance:
        wish.append(ports.instance(instance))
    if own := _host_id():
        wish.append(attribute(ports.PORT_HOST_UUID, own.bytes))
    _send(device, name, number, [*wish, ports.request(REQUEST_ASSOCIATE)])
    while True:
        state = _look(name, number)
        response = state.response if state else None
        if response == PROFILE_SET:
            return
        if response not in (None, _IN_PROGRESS):
            said = _REASONS.get(response, f"response {response:#x}, which linux/if_link.h has not")
            raise Refused(f'the switch refused port profile "{profile}" for {device}: {said}')
        if not waiting.on():
            raise InProgress(
                f'the switch has not given {device} the port profile "{profile}" within {timeout} '
                "s: in progress"
            )


def clear_profile(device: str, profile: str, instance: str) -> bool:
    """Take a port's profile away if it is still this one; the switch is not waited for.

    :param profile: its name; '' for any.
    :param instance: UUID of the guest it is for; '' for any.
    :returns: False if the port has no profile, or another one.
    :raises OSError: the kernel refused.
    """
    try:
        name, number = _addressee(device)
        state = _look(name, number)
        if state is None or state.request != REQUEST_ASSOCIATE:
            return False
        if (profile or state.profile) != state.profile:
            return False
        if instance and state.instance and instance != state.instance:
            return False
        _send(device, name, number, [ports.request(ports.DISASSOCIATE)])
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
        return False
    return True


def _addressee(device: str) -> tuple[str, int]:
    """Return through which device, and by which number, a port is set.

    A virtual function is set through its physical one; everything else by itself.
    """
    _driver, bus = _driver_of(device)
    function = sysfs.function(bus) if bus else None
    if function and function.number is not None and function.physical_netdev:
        return function.physical_netdev, function.number
    return device, ports.SELF


def _driver_of(device: str) -> tuple[str, str]:
    """Return the driver of a device and its address on the bus, '' for none (ethtool(8), -i)."""
    data = array.array("B", _DRVINFO.pack(_ETHTOOL_GDRVINFO, *(b"",) * 5, *(0,) * 5))
    asked = _IFREQ.pack(device.encode(), data.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            fcntl.ioctl(channel, _SIOCETHTOOL, asked)
        except OSError as error:
            if error.errno == errno.ENODEV:
                raise OSError(errno.ENODEV, f"there is no device {device}") from None
            return "", ""
    _command, driver, _version, _firmware, bus, *_rest = _DRVINFO.unpack(data.tobytes())
    return driver.rstrip(b"\0").decode(errors="replace"), bus.rstrip(b"\0").decode(errors="replace")


def _host_id() -> uuid.UUID | None:
    for path in HOST_IDS:
        # Firmware may hold anything, and only root may read it.
        with contextlib.suppress(OSError, ValueError):
            found = uuid.UUID(path.read_text().strip())
            if found.int:
                return found
    return None


def _look(name: str, number: int) -> PortState | None:
    mask = netlink.attribute_u32(IFLA_EXT_MASK, _RTEXT_FILTER_VF)
    message = Message(netlink.RTM_GETLINK, 0, by_index(ports.index_of(name)) + mask)
    return dict(ports.listed(netlink.ask_port(ADDRESSEE, message, _ANSWER_S))).get(number)


def _send(device: str, name: str, number: int, wish: list[bytes]) -> None:
    if number == ports.SELF:
        port = nested(ports.IFLA_PORT_SELF, *wish)
    else:
        own = netlink.attribute_u32(ports.PORT_VF, number)
        port = nested(ports.IFLA_VF_PORTS, nested(ports.IFLA_VF_PORT, own, *wish))
    # By index alone: with a name besides, older kernels say EBUSY of a device that is up.
    body = by_index(ports.index_of(name)) + port
    try:
        message = Message(netlink.RTM_SETLINK, netlink.NLM_F_ACK, body)
        netlink.ask_port(ADDRESSEE, message, _ANSWER_S)
    except NetlinkError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        driver = _driver_of(name)[0] or "that has no name"
        raise Unsupported(
            f"{device} takes no port profile: its driver {driver} has no such operation "
            "(802.1Qbh needs a NIC that does, as with enic)"
        ) from None
