# SPDX-License-Identifier: Apache-2.0
"""A VIF's devices that its description does not name: of an earlier one, or renamed by somebody."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.families import rule_of
from os_vif.engine.family import Strays
from os_vif.engine.plugged import Part
from os_vif.engine.topology import GUEST_WORD, PREFIX, parse_mark
from os_vif.host.links.questions import FUNCTIONS, LINKS, TAGGED
from os_vif.host.links.questions.tags import is_tagged

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Mark, Topology


def _asks(topology: Topology, _marks: Collection[Mark]) -> list[Asked]:
    return [TAGGED(topology.mark.vif_id)]


def _find(topology: Topology, host: Host) -> Iterable[Part]:
    names = host[TAGGED].get(topology.mark.vif_id)
    if not names:
        return
    described = _described(topology, host)
    for name in names:
        link = host[LINKS].get(name) if name not in described else None
        mark = parse_mark(link.alias) if link is not None else None
        # One that was given away since has another's mark, though it may be found by this one's id.
        if mark is not None and mark.vif_id == topology.mark.vif_id:
            yield Part(mark.vif_id, "links", link, mark)


def _described(topology: Topology, host: Host) -> set[str]:
    """Return the names of all devices that a topology speaks of."""
    names = set(topology.awaited)
    for resource in topology.resources:
        for question, about in rule_of(type(resource)).asks(resource, topology.mark):
            if question is LINKS:
                names.add(about)
            elif question is FUNCTIONS and (function := host[FUNCTIONS].get(about)) is not None:
                names.update((*function.netdevs, function.representor))
    return names


def _marks(topology: Topology, host: Host) -> Iterable[Mark]:
    text, start = str(topology.mark), _start_of_marks(topology.mark)
    for link in host[LINKS].values():
        # Of many that are served together nearly all are others', and mostly the one that is not
        # has the topology's own, which needs no reading.
        if link is None or not link.alias.startswith(start):
            continue
        if link.alias != text and not link.alias.startswith(f"{text} {GUEST_WORD}="):
            mark = parse_mark(link.alias)
            if mark is not None and mark.vif_id == topology.mark.vif_id:
                yield mark


def _start_of_marks(mark: Mark) -> str:
    """Return what all marks of one VIF begin with, and no other's."""
    return f"{PREFIX}{mark.vif_id} "


def _need_free(draft: Draft, strays: Plugged) -> None:
    """See that no guest runs on a device that is to go.

    :raises ResourceConflict: one does.
    """
    for found in strays["links"]:
        link = draft.host[LINKS].get(found.name)
        if link is not None and link.attributes.get("queues"):
            raise exception.ResourceConflict(
                resource=f"{link.kind} {link.name}",
                reason="it is this VIF's under another name than the description's, and a program "
                f"has it open; stop the guest first, or give it back its name (ip link set "
                f"{link.name} name ...)",
            )


def _tag(draft: Draft) -> None:
    """Have those of the VIF's devices be found by its id that were plugged by earlier releases."""
    if draft.mark.vif_id not in draft.host[TAGGED]:
        return  # nobody asked, or the kernel has no alternative names
    vif_id, start = draft.mark.vif_id, _start_of_marks(draft.mark)
    untagged = [
        link
        for link in draft.host[LINKS].values()
        # What is only planned has no index yet.
        if link is not None
        and link.index
        and link.alias.startswith(start)
        and not is_tagged(link, vif_id)
    ]
    for link in untagged:
        mark = parse_mark(link.alias)
        if mark is not None and mark.vif_id == vif_id and not _is_marked(draft, link.name):
            draft.add("tag_link", name=link.name)


def _is_marked(draft: Draft, name: str) -> bool:
    """Tell whether a step gives a device its mark, which has it found from then on."""
    return any(
        step.kind == "set_link" and step.args["name"] == name and "alias" in step.args["attributes"]
        for step in draft.plan.steps
    )


STRAYS = Strays(asks=_asks, find=_find, marks=_marks, need_free=_need_free, settle=_tag)
"""How a VIF's devices are found by its id."""
