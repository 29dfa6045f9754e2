# SPDX-License-Identifier: Apache-2.0
"""Virtual station interfaces (VSI) of IEEE 802.1Qbg, which lldpad(8) associates with the switch.

lldpad takes RTM_SETLINK and RTM_GETLINK by unicast at its own port id.  The codes are those of
IEEE 802.1Qbg-2012, clause 41, and of linux/if_link.h (PORT_VDP_RESPONSE_*) for the drafts before.
"""

from __future__ import annotations

import contextlib
import errno
import struct
import time
from pathlib import Path

from os_vif.host.links.system.link_message import (
    IFINFO,
    IFLA_IFNAME,
    IFLA_VF_INFO,
    IFLA_VF_MAC,
    IFLA_VF_VLAN,
    IFLA_VFINFO_LIST,
    by_index,
)
from os_vif.host.port_profiles.questions import ASSOCIATED, REQUEST_ASSOCIATE
from os_vif.host.port_profiles.resources import Vsi
from os_vif.host.port_profiles.system import ports
from os_vif.system import netlink
from os_vif.system.netlink import Message, NetlinkError, attribute, nested

PID_FILE = Path("/run/lldpad.pid")

_ANSWER_S = 2.0
"""Seconds lldpad itself may take for an answer; it has one loop for everything."""
_AGREE_S = 3.0
"""Seconds until lldpad and the switch agree to do VDP on a link that has just come up."""

_SETTLING_S = 3.0
"""Seconds until lldpad sends on a link that has come up: it looks once a second."""
_IFF_RUNNING = 0x40

_NOT_YET = frozenset({errno.EPROTONOSUPPORT, errno.ENXIO, errno.ENODEV})
"""What lldpad says before that, the last also of a VSI that ended and was not looked at since."""

_MAC = struct.Struct("=I32s")
_VLAN = struct.Struct("=III")
_VSI_TYPE = struct.Struct("=B3sB3x")

_CODE = 0x0F
_KEPT = 0x20  # the VSI stays as it was before (IEEE 802.1Qbg-2012, 41.2.3)
_REASONS = {
    1: "invalid format",
    2: "insufficient resources",
    3: "no contact to the VSI manager, or (drafts of the standard) an unused VSI type",
    4: "another failure, or (drafts) a violation of the VSI type",
    5: "an invalid VLAN or MAC, or (drafts) a violation of the VSI type's version",
    6: "out of sync (drafts)",
}


class VdpError(ports.PortError):
    """A VSI is not as it was asked to be."""


class NoDaemon(VdpError):
    """No lldpad runs here."""

    number = errno.ECONNREFUSED


class Silent(VdpError):
    """lldpad runs and does not answer."""

    number = errno.EHOSTDOWN


class NoVdp(VdpError):
    """lldpad does no VDP on this interface."""

    number = errno.EPROTONOSUPPORT


class NotStation(VdpError):
    """lldpad plays the switch on this interface."""

    number = errno.EOPNOTSUPP


class Invalid(VdpError):
    """lldpad cannot take such a VSI."""

    number = errno.EINVAL


class Down(VdpError):
    """The link is down, or has no carrier."""

    number = errno.ENETDOWN


class Pending(VdpError):
    """The switch has not answered yet, and lldpad waits on."""

    number = errno.EINPROGRESS


class TimedOut(VdpError):
    """The switch did not answer, and lldpad waits no longer."""

    number = errno.ETIMEDOUT


class Refused(VdpError):
    """The switch refused; the words say why."""

    number = errno.EACCES


def look(interface: str) -> dict[str, int | None]:
    """Return the response to each VSI of an interface by its instance; None while there is none.

    lldpad shows a VSI that ended once more, and forgets it then; so it is asked twice, and what
    only the first answer has is left out.

    :raises VdpError: lldpad cannot tell.
    """
    index = ports.index_of(interface)
    _ask_once(interface, index)
    return _ask_once(interface, index)


def associate(interface: str, vsi: Vsi, timeout: int, *, fresh: bool = False) -> bool:
    """Associate a VSI with the switch, and return when the switch has agreed.

    :param timeout: seconds the switch may take.
    :param fresh: the interface was set up a moment ago.
    :returns: False if it is associated already; nothing is sent then.
    :raises VdpError: it is not associated; the class says why.
    """
    waiting = ports.Waiting(timeout)
    index = ports.index_of(interface)
    with contextlib.suppress(NoVdp):
        response = look(interface).get(vsi.instance)
        if response == ASSOCIATED:
            return False
        if response is not None:
            # Refused and kept: until it is gone, lldpad shows that answer for the next one's.
            disassociate(interface, vsi, timeout)
    _settle(interface, index, waiting, fresh=fresh)
    _begin(interface, index, vsi)
    while True:
        shown = _ask_once(interface, index)
        response = shown.get(vsi.instance)
        if response == ASSOCIATED:
            return True
        if response is not None:
            with contextlib.suppress(OSError):
                # Of what was refused lldpad keeps what the switch would have it keep.
                disassociate(interface, vsi, 1)
            why = reason(response)
            raise Refused(f"the switch on {interface} refused VSI {vsi.instance}: {why}")
        if vsi.instance not in shown:
            raise Refused(
                f"lldpad no longer has VSI {vsi.instance} on {interface}: the switch took it back, "
                "or another program was told why it refused"
            )
        if not waiting.on():
            _begin(interface, index, vsi)  # raises TimedOut of one that lldpad has given up
            raise Pending(
                f"the switch on {interface} has not answered within {timeout} s, and VSI "
                f"{vsi.instance} is pending; does its port do VDP? Should it still agree, plug "
                "again, or unplug the VIF"
            )


def _settle(interface: str, index: int, waiting: ports.Waiting, *, fresh: bool) -> None:
    """Wait until a link is up, and has been so for a while if it was not.

    Of what it is asked on a link that has just come up lldpad may send nothing, and waits for an
    answer all the same; after that it takes no other request for the VSI.
    """
    while not _is_running(index):
        fresh = True
        if not waiting.on():
            raise Down(f"{interface} has no link (carrier), so the switch on it cannot be asked")
    if fresh:
        time.sleep(_SETTLING_S)


def _is_running(index: int) -> bool:
    answer = netlink.ask(Message(netlink.RTM_GETLINK, 0, by_index(index)))
    return bool(IFINFO.unpack_from(answer)[3] & _IFF_RUNNING)


def _begin(interface: str, index: int, vsi: Vsi) -> None:
    """Ask lldpad to associate a VSI, unless that is under way."""
    agreeing = ports.Waiting(_AGREE_S)
    while True:
        try:
            _ask(interface, _change(interface, index, REQUEST_ASSOCIATE, vsi))
            return
        except NetlinkError as error:
            if error.errno == errno.EBUSY:
                return
            if error.errno not in _NOT_YET or not agreeing.on():
                raise _said(interface, vsi.instance, error) from None
        with contextlib.suppress(NoVdp):
            # One that ended with an answer must be seen before it can be asked for again.
            if _ask_once(interface, index).get(vsi.instance, ASSOCIATED) is None:
                raise TimedOut(
                    f"the switch on {interface} did not answer in time: lldpad gave VSI "
                    f"{vsi.instance} up, and takes no other request for it until it is restarted"
                )


def disassociate(interface: str, vsi: Vsi, timeout: int) -> bool:
    """Disassociate a VSI, and return when it is gone.

    Without lldpad, or without VDP, there is none: the switch gives up one it hears nothing of.

    :param timeout: seconds the switch may take.
    :returns: False if there is nothing to disassociate.
    :raises VdpError: it is still there.
    """
    waiting = ports.Waiting(timeout)
    try:
        index = ports.index_of(interface)
        if vsi.instance not in look(interface):
            return False
        while not _end(interface, index, vsi):
            if not waiting.on():
                raise Pending(
                    f"lldpad still waits for the switch on {interface} to answer about VSI "
                    f"{vsi.instance}, and takes no other request for it"
                )
    except (NoDaemon, NoVdp, NotStation):
        return False
    except OSError as error:
        if error.errno == errno.ENODEV:
            return False
        raise
    while vsi.instance in look(interface):
        if not waiting.on():
            raise Pending(
                f"the switch on {interface} has not answered within {timeout} s, and VSI "
                f"{vsi.instance} is still there"
            )
    return True


def _end(interface: str, index: int, vsi: Vsi) -> bool:
    """Ask lldpad to disassociate a VSI; tell whether it takes the request now."""
    try:
        _ask(interface, _change(interface, index, ports.DISASSOCIATE, vsi))
    except NetlinkError as error:
        if error.errno == errno.EINVAL and vsi.instance not in look(interface):
            return True  # somebody else was faster
        if error.errno != errno.EBUSY:
            raise _said(interface, vsi.instance, error) from None
        return False
    return True


def reason(response: int) -> str:
    """Return a response other than success in words."""
    code = response & _CODE
    words = _REASONS.get(code, "a reason the standard does not name")
    kept = "; it stays as it was before" if response & _KEPT else ""
    return f"{words} (VDP error {code}){kept}"


def _said(interface: str, instance: str, error: NetlinkError) -> OSError:
    """Return what lldpad's error number means."""
    match error.errno:
        case errno.EPROTONOSUPPORT | errno.ENODEV | errno.ENXIO:
            return NoVdp(
                f"lldpad does no VDP on {interface}: EVB is off there, or the switch does not "
                "offer it"
            )
        case errno.EOPNOTSUPP:
            return NotStation(
                f"lldpad is not in station role on {interface} (lldptool-evb22(8), evbmode)"
            )
        case errno.EINVAL:
            return Invalid(
                f"lldpad cannot take VSI {instance} on {interface}: it has the VSI with another "
                "MAC or VLAN, or the VLAN is 1"
            )
    return error


def _ask_once(interface: str, index: int) -> dict[str, int | None]:
    name = netlink.attribute_text(IFLA_IFNAME, interface)
    message = Message(netlink.RTM_GETLINK, 0, by_index(index) + name)
    try:
        answer = _ask(interface, message)
    except NetlinkError as error:
        raise _said(interface, "", error) from None
    found: dict[str, int | None] = {}
    for _number, port in ports.listed(answer):
        # One instance may be there twice, with a type each.
        if found.get(port.instance) != ASSOCIATED:
            found[port.instance] = port.response
    return found


def _ask(interface: str, message: Message) -> bytes:
    try:
        # lldpad pads the file with NUL.
        pid = int(PID_FILE.read_bytes().split(b"\0")[0])
        if pid <= 0:
            raise ValueError
    except (FileNotFoundError, ValueError):
        raise NoDaemon(f"lldpad is not running ({PID_FILE}), and VSIs need it") from None
    try:
        return netlink.ask_port(pid, message, _ANSWER_S)
    except NetlinkError as error:
        if error.errno == errno.ECONNREFUSED:
            raise NoDaemon(f"lldpad is not running (process {pid}), and VSIs need it") from None
        if error.errno == errno.ETIMEDOUT:
            raise Silent(f"lldpad (process {pid}) does not answer about {interface}") from None
        raise


def _change(interface: str, index: int, wish: int, vsi: Vsi) -> Message:
    mac = bytes.fromhex(vsi.mac.replace(":", ""))
    kind = vsi.type.to_bytes(3, "little")
    body = (
        by_index(index)
        + netlink.attribute_text(IFLA_IFNAME, interface)
        + nested(
            IFLA_VFINFO_LIST,
            nested(
                IFLA_VF_INFO,
                attribute(IFLA_VF_MAC, _MAC.pack(ports.SELF, mac)),
                attribute(IFLA_VF_VLAN, _VLAN.pack(ports.SELF, vsi.vlan, 0)),
            ),
        )
        + nested(
            ports.IFLA_VF_PORTS,
            nested(
                ports.IFLA_VF_PORT,
                attribute(ports.PORT_VSI_TYPE, _VSI_TYPE.pack(vsi.manager, kind, vsi.version)),
                ports.instance(vsi.instance),
                netlink.attribute_u32(ports.PORT_VF, ports.SELF),
                ports.request(wish),
            ),
        )
    )
    return Message(netlink.RTM_SETLINK, netlink.NLM_F_ACK, body)
