# SPDX-License-Identifier: Apache-2.0
"""What lends the representor of a virtual function to a VIF, and gives it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.engine.step import Step
from os_vif.engine.topology import parse_mark
from os_vif.host.functions.questions import lent_mark, need_represented, own_name
from os_vif.host.links.questions import FUNCTIONS, LINKS, correct, in_the_way, need

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked
    from os_vif.engine.topology import Mark
    from os_vif.host.functions.resources import Representor
    from os_vif.host.links.questions import Link


def asks_representor(wanted: Representor, _mark: Mark) -> list[Asked]:
    """Return what must be looked up for a representor."""
    named = [LINKS(wanted.name)] if wanted.name else []
    return [FUNCTIONS(wanted.address), *named]


def plug_representor(draft: Draft, wanted: Representor) -> None:
    """Lend the representor to the VIF: mark it, name it, set it up."""
    found = need_represented(draft.host, wanted.address)
    link = need(draft.host, found.representor)
    owner = parse_mark(link.alias)
    if owner is not None and owner.vif_id != draft.mark.vif_id:
        raise in_the_way(link, f"VIF {draft.mark.vif_id} needs it")
    own = own_name(link)
    name = wanted.name or own
    mark = str(draft.mark) if name == own else lent_mark(draft.mark, own)
    if link.name != name:
        other = draft.host[LINKS].get(name)  # nobody asked about its own name; the kernel knows
        if other is not None:
            raise in_the_way(other, f"the representor {link.name} is to get this name")
        draft.add("rename_link", name=link.name, to=name, alias=mark, up=True)
        link = need(draft.host, name)
    attributes = {"up": True} if wanted.mtu is None else {"mtu": wanted.mtu, "up": True}
    correct(draft, link, attributes, mark)


def unplug_representor(draft: Draft, wanted: Representor) -> None:
    """Give the representor back: down, without mark, and with its own name."""
    found = draft.host[FUNCTIONS].get(wanted.address)
    link = draft.host[LINKS].get(found.representor) if found else None
    if link is None:
        return
    owner = parse_mark(link.alias)
    if owner is not None and owner.vif_id == draft.mark.vif_id:
        draft.take(giving_back(link))


def giving_back(link: Link) -> Step:
    """Return the step that gives back a device that is only lent: down and without mark."""
    own = own_name(link)
    if own != link.name:
        return Step("rename_link", {"name": link.name, "to": own, "alias": "", "up": False})
    return Step("set_link", {"name": link.name, "attributes": {"up": False, "alias": ""}})
