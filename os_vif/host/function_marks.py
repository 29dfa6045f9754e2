# SPDX-License-Identifier: Apache-2.0
"""The mark of a PCI function: whose it is, as an alternative name of a network device that stays.

A function's own device goes with its driver.  So the mark of a virtual function whose settings are
the VIF's is on the device they are made through, its physical function's; that of a function which
is given away as it is, is on the loopback device, which every host has.  ``ip link`` shows both.
"""

from __future__ import annotations

import dataclasses
import re
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.host import checks

if TYPE_CHECKING:
    from os_vif.host.topology import Mark

LOOPBACK = "lo"

_LONGEST = 127
"""Bytes of an alternative name (ALTIFNAMSIZ without the closing NUL, linux/if.h).  It may hold
commas, but no blank and no colon."""

_FORM = re.compile(
    r"os-vif,pci=(?P<pci>[0-9a-f]{4}-[0-9a-f]{2}-[0-9a-f]{2}\.[0-7]),vif=(?P<vif>[^,=]+)"
    r"(,driver=(?P<driver>[^,=]+))?(,instance=(?P<instance>[^,=]+))?\Z"
)


@dataclasses.dataclass(frozen=True, slots=True)
class FunctionMark:
    """Whose a PCI function is.

    :ivar address: of the function.
    :ivar vif_id: the VIF's id.
    :ivar driver: the one it was given to for the VIF, and is taken from after it; '' for none.
    :ivar instance: the guest's UUID; '' when the caller gave none, or it has no room.
    """

    address: str
    vif_id: str
    driver: str = ""
    instance: str = ""

    def __post_init__(self) -> None:
        checks.pci_address(self.address)
        checks.vif_id(self.vif_id)
        if self.driver:
            checks.pci_driver(self.driver)
        if self.instance:
            checks.word(self.instance, "instance uuid")
        if len(str(self)) > _LONGEST:
            raise exception.InvalidField(
                field="id",
                value=self.vif_id,
                expected=f"an id that leaves room in a mark of {_LONGEST} bytes, beside the "
                f"driver {self.driver!r}",
            )

    @classmethod
    def of(cls, address: str, mark: Mark, driver: str) -> FunctionMark:
        """Return the mark of a VIF's function, without the instance where that has no room.

        :raises InvalidField: id and driver alone are too long.
        """
        try:
            return cls(address, mark.vif_id, driver, mark.instance)
        except exception.InvalidField:
            return cls(address, mark.vif_id, driver)

    def __str__(self) -> str:
        text = f"os-vif,pci={self.address.replace(':', '-')},vif={self.vif_id}"
        text += f",driver={self.driver}" if self.driver else ""
        return f"{text},instance={self.instance}" if self.instance else text


def parse_function_mark(name: str) -> FunctionMark | None:
    """Return whose function this alternative name marks; None if it is no mark of ours."""
    found = _FORM.match(name)
    if found is None:
        return None
    address = found["pci"].replace("-", ":")
    try:
        return FunctionMark(address, found["vif"], found["driver"] or "", found["instance"] or "")
    except exception.InvalidField:  # a name that only looks like ours is a stranger's
        return None
