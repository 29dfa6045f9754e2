# SPDX-License-Identifier: Apache-2.0
"""Look at what guests may send, and change it."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import Phase, Search, System
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.topology import parse_mark
from os_vif.host.anti_spoofing.questions import FILTERS, Filter, noted, owner_of, table_of
from os_vif.host.anti_spoofing.questions.chains import is_rule, told_by
from os_vif.host.anti_spoofing.steps import filter_of, removing, setting
from os_vif.host.anti_spoofing.system import tables
from os_vif.host.links.system import devices
from os_vif.system import netlink, nf_tables

if TYPE_CHECKING:
    from os_vif.engine.step import Args, Step

_ATTEMPTS = 5
"""At a table that others make and take away meanwhile."""


# --- looking --------------------------------------------------------------------------------------


def _reveal(vifs: list[Any]) -> list[list[Any]]:
    found = ((vif, tables.filter_of(vif)) for vif in vifs)
    return [[vif, it and [it.mark, it.hook, dict(it.chains)]] for vif, it in found]


def _find(search: Search) -> Iterator[Part]:
    if not search.privileged:
        return
    for name, comment in nf_tables.tables(nf_tables.NETDEV).items():
        mark = parse_mark(comment)
        if mark is not None and owner_of(name) == mark.vif_id:
            yield Part(mark.vif_id, "filters", name, mark)


def _tell(item: Plugged) -> Iterator[Part]:
    for _name in item["filters"]:
        found = tables.filter_of(item.mark.vif_id)
        way, _, device = found.hook.partition(" ") if found else ("", "", "")
        try:
            told = found and told_by(found.chains, device, guest_inside=way == "egress")
        except (LookupError, ValueError):
            continue  # somebody has changed it
        if told:
            yield Part(item.mark.vif_id, "anti_spoofing", told, item.mark)


def _remove(plugged: Plugged, phase: Phase) -> list[Step]:
    # Who has no privilege sees no tables, and the device tells of one.
    names = [link.name for link in plugged["links"] if noted(link.alias)]
    if phase is not Phase.LAST or not (names or plugged["filters"]):
        return []
    return [removing(plugged.mark.vif_id, "".join(names[:1]))]


# --- doing ----------------------------------------------------------------------------------------


def _own(vif: str) -> Filter | None:
    """Return the filter that a VIF has.

    :raises OSError: its table is not ours.
    """
    found = tables.filter_of(vif)
    mark = parse_mark(found.mark) if found is not None else None
    if found is not None and (mark is None or mark.vif_id != vif):
        words = f"somebody else has made nftables' table netdev {table_of(vif)}"
        raise OSError(errno.EEXIST, words)
    return found


def _replace(wanted: Mapping[str, Filter | None]) -> dict[str, Filter | None]:
    """Make these the filters of VIFs, all at once; return what they had."""
    for attempt in range(_ATTEMPTS):
        former = {vif: _own(vif) for vif in wanted}
        todo = {vif: it for vif, it in wanted.items() if it != former[vif]}
        there = [vif for vif in todo if former[vif] is not None]
        try:
            tables.replace(there, {vif: it for vif, it in todo.items() if it is not None})
        except netlink.NetlinkError as error:
            # Somebody else made it, or took it away, since.
            if error.errno not in (errno.EEXIST, errno.ENOENT):
                raise
            if attempt == _ATTEMPTS - 1:
                if error.errno == errno.ENOENT:  # a kernel says so, too, of what it does not know
                    raise
                words = f"somebody else keeps making it: {error.strerror}"
                raise OSError(errno.ESTALE, words) from error
        else:
            break
    return former


def _restoring(vif: str, former: Filter | None) -> Args:
    """Return the fields of the step that brings back a filter, as far as it was one of ours."""
    if former is None or " " not in former.hook:
        return setting(vif, None).args
    kept = {name: [it for it in rules if is_rule(it)] for name, rules in former.chains.items()}
    way, device, *_more = former.hook.split(" ")
    return setting(vif, Filter(former.mark, f"{way} {device}", kept)).args


def _set(args: Args) -> Args:
    wanted = filter_of(args)
    if wanted is not None:
        netlink.index_of(args["device"])  # the kernel would take what is not there, too
    former = _replace({args["vif"]: wanted})[args["vif"]]
    return args if former == wanted else _restoring(args["vif"], former)


def _unset(args: Args) -> Args:
    former = _replace({vif: None for vif, _device in args["filters"]})
    there = {vif: it for vif, it in former.items() if it is not None}
    if not there:
        return args
    # Only one by itself is ever taken back.
    return next(_restoring(vif, it) for vif, it in there.items())


def _refuses(args: Args, _section: str) -> str:
    """Say why a guest is not filtered for another process: the device is not its VIF's."""
    if not args["chains"]:
        return ""
    link = devices.look_up([args["device"]])[args["device"]]
    mark = parse_mark(link.alias) if link is not None else None
    is_its = link is None or (mark is not None and mark.vif_id == args["vif"])
    return "" if is_its else f"{args['device']} is not VIF {args['vif']}'s"


REFUSES: Mapping[str, Callable[[Args, str], str]] = {"set_guest_filter": _refuses}
"""Why a kind of step is not run for another process."""

SYSTEM = System(
    reveal={FILTERS.name: _reveal},
    run={"set_guest_filter": _set, "remove_guest_filters": _unset},
    refuses=REFUSES,
    find=_find,
    tell=_tell,
    remove=_remove,
)
