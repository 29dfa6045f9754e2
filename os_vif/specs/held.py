# SPDX-License-Identifier: Apache-2.0
"""From what the host holds of a VIF back to what was said of it: what types have in common."""

from __future__ import annotations

import dataclasses
import string
from typing import TYPE_CHECKING, Any

from os_vif.engine.topology import whole_guest
from os_vif.specs.objects import derived_id
from os_vif.specs.vif_type import Values

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held


class NotTold(Exception):
    """The host does not tell enough of a VIF to say what would plug it again; str() says why."""


@dataclasses.dataclass(slots=True)
class Told:
    """What would plug a VIF again.

    :ivar values: by the fields of its type, as a file has them.
    :ivar doubts: what else the host does not tell, or what was taken for likely: a sentence each,
        without its full stop.
    :ivar options: of the plugin, by name, those that the host shows the value of.  They count for
        a whole call, so VIFs that show different values are not plugged by one file.
    """

    values: Values
    doubts: list[str] = dataclasses.field(default_factory=list)
    options: dict[str, bool] = dataclasses.field(default_factory=dict)

    @property
    def unknown(self) -> list[str]:
        """All that is not told, or not for sure."""
        whole = "subnets" in self.values.get("network", {})
        words = "id and label of the network" if whole else "id, label and subnets of the network"
        if not self.values.get("instance", {}).get("name"):
            words += ", and the name of the guest"
        return [words, *self.doubts]

    def network(self, **fields: Any) -> None:
        """Add what is known of the network; None is left out."""
        found = {key: value for key, value in fields.items() if value is not None}
        if found:
            self.values.setdefault("network", {}).update(found)


def told_of(held: Held, **values: Any) -> Told:
    """Return what every mark tells: the VIF's id and the guest's.

    :param values: what a type knows beside it; None is left out
    """
    said = {key: value for key, value in values.items() if value is not None}
    said["id"] = held.mark.vif_id
    name = whole_guest(held.mark.guest)
    guest = {"uuid": held.mark.instance, "name": name}
    if any(guest.values()):
        said["instance"] = {key: value for key, value in guest.items() if value}
    return Told(said)


def one_device(held: Held, *kinds: str) -> Any:
    """Return the VIF's only device of these kinds.

    :raises NotTold: it has none, or several
    """
    found = [link for link in held["links"] if link.kind in kinds]
    if len(found) != 1:
        raise NotTold(f"it has {len(found) or 'no'} {kinds[0]}s here, and one is what a file makes")
    return found[0]


_MAKERS = {"16:3e": "fa", "54:00": "52"}
"""First bytes of guests' addresses, by the two that follow: OpenStack's, and QEMU's."""


def mac_of_guest(host_side: str, told: Told) -> str:
    """Return the address of the guest whose tap has ``host_side`` on the host.

    That lacks the guest's first byte (:func:`os_vif.host.links.resources.host_side_mac`).  An id
    that follows from the address tells it; else the likely one is taken, and ``told`` says so.
    """
    first, rest = host_side[:2], host_side[2:]
    if first == "fa":
        return f"fe{rest}"
    for number in range(0, 256, 2):
        found = f"{number:02x}{rest}"
        if first == "fe" and derived_id("mac", found) == told.values["id"]:
            return found
    if first != "fe" or not set(rest) <= set(string.hexdigits + ":"):
        raise NotTold(f"its device has the address {host_side}, which no plug gave it")
    guess = f"{_MAKERS.get(rest[1:6], '02')}{rest}"
    told.doubts.append(f"the first byte of mac: the tap on the host has {host_side}")
    return guess


def access_of(link: Any) -> Values:
    """Return who may open a tap, and whether with several queues, as far as that is said."""
    found = link.attributes
    owner, group = found.get("owner"), found.get("owner_group")
    # Nobody's is everybody's; root's is what it is without a word.
    if owner is None and group is None:
        owner = ""
    elif owner == 0 and group is None:
        owner = None
    return {
        "owner": None if owner is None else str(owner),
        "group": None if group is None else str(group),
        "multi_queue": True if found.get("multi_queue") else None,
    }
