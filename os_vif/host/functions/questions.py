# SPDX-License-Identifier: Apache-2.0
"""What can be asked about PCI functions that guests get, and what the answers mean.

Which functions there are, and their netdevs, the links' questions tell.

The mark of a function is an alternative name of a network device that stays.  A function's own
device goes with its driver.  So the mark of a virtual function whose settings are the VIF's is on
the device they are made through, its physical function's; that of a function which is given away as
it is, is on the loopback device, which every host has.  ``ip link`` shows both.
"""

from __future__ import annotations

import dataclasses
import re

from os_vif import exception
from os_vif.engine import checks
from os_vif.engine.observed import CARDS, DEVICES, Host, Question
from os_vif.engine.topology import Mark, parse_mark
from os_vif.host.links.questions import FUNCTIONS, Function, Link, unusable

VfSettings = dict[str, str | int | bool]
"""What the driver of a physical function says of a virtual one (linux/if_link.h, IFLA_VF_*):
``mac``; ``vlan`` (0 for none), ``qos`` and ``vlan_proto`` (ETH_P_*); ``min_tx_rate`` and
``max_tx_rate`` (Mbit/s, 0 for no limit); ``link_state`` (``auto``, ``enable``, ``disable``);
``spoofchk`` and ``trust`` where the driver has them."""

_FORMER = "own-name"

LOOPBACK = "lo"

_LONGEST = 127
"""Bytes of an alternative name (ALTIFNAMSIZ without the closing NUL, linux/if.h).  It may hold
commas, but no blank and no colon."""

_FORM = re.compile(
    r"os-vif,pci=(?P<pci>[0-9a-f]{4}-[0-9a-f]{2}-[0-9a-f]{2}\.[0-7]),vif=(?P<vif>[^,=]+)"
    r"(,driver=(?P<driver>[^,=]+))?(,instance=(?P<instance>[^,=]+))?(,owner=(?P<owner>[^,=]+))?\Z"
)


@dataclasses.dataclass(frozen=True, slots=True)
class FunctionMark:
    """Whose a PCI function is.

    :ivar address: of the function.
    :ivar vif_id: the VIF's id.
    :ivar driver: the one it was given to for the VIF, and is taken from after it; '' for none.
    :ivar instance: the guest's UUID; '' when the caller gave none, or it has no room.
    :ivar owner: as :class:`Mark` has it.
    """

    address: str
    vif_id: str
    driver: str = ""
    instance: str = ""
    owner: str = ""

    def __post_init__(self) -> None:
        checks.pci_address(self.address)
        checks.vif_id(self.vif_id)
        if self.driver:
            checks.pci_driver(self.driver)
        if self.instance:
            checks.word(self.instance, "instance uuid")
        if self.owner:
            checks.owner(self.owner)
        if len(str(self)) > _LONGEST:
            raise exception.InvalidField(
                field="id",
                value=self.vif_id,
                expected=f"an id that leaves room in a mark of {_LONGEST} bytes, beside the "
                f"driver {self.driver!r} and the owner {self.owner!r}",
            )

    @classmethod
    def of(cls, address: str, mark: Mark, driver: str) -> FunctionMark:
        """Return the mark of a VIF's function, without the instance where that has no room.

        :raises InvalidField: the rest alone is too long.
        """
        try:
            return cls(address, mark.vif_id, driver, mark.instance, mark.owner)
        except exception.InvalidField:
            return cls(address, mark.vif_id, driver, owner=mark.owner)

    def __str__(self) -> str:
        text = f"os-vif,pci={self.address.replace(':', '-')},vif={self.vif_id}"
        text += f",driver={self.driver}" if self.driver else ""
        text += f",instance={self.instance}" if self.instance else ""
        return f"{text},owner={self.owner}" if self.owner else text


def parse_function_mark(name: str) -> FunctionMark | None:
    """Return whose function this alternative name marks; None if it is no mark of ours."""
    found = _FORM.match(name)
    if found is None:
        return None
    address = found["pci"].replace("-", ":")
    try:
        return FunctionMark(
            address, found["vif"], *(found[key] or "" for key in ("driver", "instance", "owner"))
        )
    except exception.InvalidField:  # a name that only looks like ours is a stranger's
        return None


@dataclasses.dataclass(frozen=True, slots=True)
class Given:
    """A PCI function that a VIF has.

    :ivar mark: whose it is.
    :ivar device: the one that carries the mark: ``lo``, or the physical function's, through which
        the function is set for the VIF.
    :ivar up: whether that is up.
    :ivar function: as it is now; None if the host has it no more.
    :ivar settings: as the physical function's driver tells them; empty where nothing is set.
    """

    mark: FunctionMark
    device: str
    up: bool
    function: Function | None
    settings: VfSettings

    @property
    def card(self) -> str:
        """The netdev through which the function is set for the VIF; '' for one given as it is."""
        return "" if self.device == LOOPBACK else self.device


# --- the questions --------------------------------------------------------------------------------

VFS: Question[tuple[str, int], VfSettings] = Question("vfs", CARDS + 1)
"""Asked of a virtual function, by PCI address; by the netdev of the physical one and number, the
settings of all virtual functions there.  That netdev is asked about as :data:`.LINKS`."""

VFS_OF: Question[str, None] = Question("vfs_of", DEVICES + 1)
"""The second half of :data:`VFS`: of the physical function's netdev, once that was looked at."""

HANDED: Question[str, None] = Question("handed", CARDS + 1)
"""Of a PCI function to be given away, by address: asks about the addresses of its netdevs, and
about the default routes."""

PCI_DRIVERS: Question[str, bool] = Question("pci_drivers")
"""Of a driver of the PCI bus, by name: whether the kernel has it, now."""


# --- what the answers mean ------------------------------------------------------------------------


def need_virtual(host: Host, address: str, so: str = "") -> Function:
    """Return a virtual function that must be there.

    :param so: what follows where it is none
    :raises UnusableDevice: there is none of this address, or it is not a virtual one.
    """
    found = host[FUNCTIONS].get(address)
    if found is None:
        raise unusable(address, "this host has no such PCI device")
    if found.number is None:
        reason = "it is not a virtual function (it has no physfn)"
        raise unusable(address, f"{reason}, {so}" if so else reason)
    return found


def need_represented(host: Host, address: str) -> Function:
    """Return a virtual function that has a representor.

    :raises UnusableDevice: it has none; the reason says what is missing on the way to one.
    """
    found = need_virtual(host, address)
    if not found.switch_id:
        raise unusable(
            address,
            f"no network device of its physical function {found.physical} is a switch's uplink "
            "(phys_switch_id); is there a driver, and is it in switchdev mode (devlink dev eswitch "
            f"show pci/{found.physical})?",
        )
    if not found.representor:
        raise unusable(
            address,
            f"switch {found.switch_id} of {found.uplink} has no representor of virtual function "
            f"{found.number}",
        )
    return found


# --- the marks ------------------------------------------------------------------------------------


def marks_on(link: Link) -> tuple[FunctionMark, ...]:
    """Return the marks of PCI functions that a device carries."""
    return tuple(mark for name in link.altnames if (mark := parse_function_mark(name)))


def lent_mark(mark: Mark, former: str) -> str:
    """Return the alias of a device that is only lent to a VIF, under another name than its own."""
    return f"{mark} {_FORMER}={former}"


def former_name(alias: str) -> str:
    """Return the own name of a device lent under another; '' where it goes by its own."""
    words = dict(part.partition("=")[::2] for part in alias.split(" "))
    try:
        return checks.interface_name(words.get(_FORMER))
    except exception.InvalidField:
        return ""


def own_name(link: Link) -> str:
    """Return what a device is called when it is not lent to a VIF under another name."""
    return (former_name(link.alias) if parse_mark(link.alias) else "") or link.name


QUESTIONS = (VFS, VFS_OF, HANDED, PCI_DRIVERS)
"""All that can be asked."""
