# SPDX-License-Identifier: Apache-2.0
"""Network devices on the real host."""

from __future__ import annotations

import errno
import grp
import pwd
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from os_vif import exception
from os_vif.engine.family import Abandoned, Phase, Search, Seen, Shared, System, Use
from os_vif.engine.fields import NAME
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.place import DEFAULT, Place
from os_vif.engine.plugged import Part, Plugged
from os_vif.engine.step import Args, Step
from os_vif.engine.topology import Mark, parse_mark
from os_vif.host.links.questions import (
    ACCOUNTS,
    BRIDGE_PORTS,
    BRIDGED,
    CREATED_KINDS,
    DELAYS,
    FUNCTIONS,
    HOST_ID,
    JOINED,
    LINKS,
    MOVED,
    MOVES,
    NODES,
    RETURNED,
    STANDING,
    TAGGED,
    UPLINK_WORD,
    USERS,
    Link,
    is_deleted_by_us,
    is_shared,
    is_unfinished,
    words_behind,
)
from os_vif.host.links.questions.names import NAMED
from os_vif.host.links.questions.uplinks import MANAGERS, WIRELESS
from os_vif.host.links.resources import Bridge, Macvtap, Tap, Uplink, Vlan
from os_vif.host.links.rules.devices import is_ours
from os_vif.host.links.rules.ipv6 import still_speaks
from os_vif.host.links.rules.macvtap import lowering
from os_vif.host.links.system import (
    altnames,
    chardev,
    deleting,
    devices,
    managers,
    openers,
    ownership,
    stacking,
    sysfs,
    taps,
)
from os_vif.host.routes.questions import ADDRESSES, ANEW, HOW_IPV6, ROUTES, speaks_ipv6
from os_vif.system import identity, sysctl

_MAKING_S = 0.1
"""Seconds after which a device that is being made has long been made."""


# --- looking --------------------------------------------------------------------------------------


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    found = [
        more
        for question, keys in asked.items()
        if question in _LOOKS
        for more in _LOOKS[question](keys, host)
    ]
    if LINKS in asked or TAGGED in asked:
        found += _links(asked.get(LINKS, ()), asked.get(TAGGED, ()), host)
    return found


def _functions(addresses: set[str], host: Host) -> Iterator[Asked]:
    for address in addresses:
        host[FUNCTIONS][address] = found = sysfs.function(address)
        if found is not None:
            yield from (LINKS(name) for name in {*found.netdevs, found.representor} - {""})


def _named(names: set[str], host: Host) -> Iterator[Asked]:
    found = zip(names, devices.look_up_each([(name, 0) for name in names]), strict=True)
    own = {name: link.name for name, link in found if link is not None}
    host[NAMED].update({name: its for name, its in own.items() if NAME(its)})
    return iter(())


def _accounts(asked: set[tuple[str, str]], host: Host) -> Iterator[Asked]:
    for kind, name in asked:
        try:
            number = pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
        except KeyError:
            host[ACCOUNTS][kind, name] = None
        else:
            host[ACCOUNTS][kind, name] = number
    return iter(())


def _nodes(names: set[str], host: Host) -> Iterator[Asked]:
    for name in names:
        link = host[LINKS][name]
        is_macvtap = link is not None and link.kind == "macvtap"
        host[NODES][name] = chardev.whose(link) if link is not None and is_macvtap else None
    return iter(())


def _links(names: Collection[str], vif_ids: Collection[str], host: Host) -> Iterator[Asked]:
    """Look at devices by their names, and by the ids of VIFs, in one exchange with the kernel."""
    found, tagged = devices.look_up_with_tagged(names, vif_ids)
    host[LINKS].update(found)
    host[TAGGED].update(tagged)
    for name in {name for names in tagged.values() for name in names}:
        link = host[LINKS][name]
        lower = link.attributes.get("link") if link is not None else None
        # Taking it away may change what it stands on.
        if isinstance(lower, str) and NAME(lower):
            yield LINKS(lower)


def _users(places: set[str], host: Host) -> Iterator[Asked]:
    functions = host[FUNCTIONS]
    for place in places:
        function = functions.get(place)
        if function is None and place in functions:
            continue  # the rules say that there is no such card
        for device in function.netdevs if function else [place]:
            link = host[LINKS][device]
            if link is not None:
                host[USERS][device] = stacking.users_of(link)
                yield ADDRESSES(device)


def _bridged(bridges: set[tuple[str, bool]], host: Host) -> Iterator[Asked]:
    for bridge, own in bridges:
        link = host[LINKS][bridge]
        if link is None or is_unfinished(link):
            yield HOST_ID(None)
        if link is None or link.attributes.get("disable_ipv6") is not False:
            continue
        if own or is_shared(link.alias) or is_unfinished(link):  # a stranger's goes on as it is
            yield ADDRESSES(bridge)


def _host_id(_keys: set[None], host: Host) -> Iterator[Asked]:
    host[HOST_ID][None] = identity.of_host()
    return iter(())


def _wireless(names: set[str], host: Host) -> Iterator[Asked]:
    for device in names:
        link = host[LINKS].get(device)
        if link is not None and link.attributes.get("master") is None:
            host[WIRELESS][device] = sysfs.is_wireless(link.name, link.index)
    return iter(())


def _managers(names: set[str], host: Host) -> Iterator[Asked]:
    found = devices.look_up(names)
    host[MANAGERS].update(
        managers.of({name: link.index for name, link in found.items() if link is not None})
    )
    return iter(())


def _delays(names: set[str], host: Host) -> Iterator[Asked]:
    for device in names:
        link = host[LINKS][device]
        for setting in ("proxy_delay", "proxy_delay6") if link is not None else ():
            delay = sysctl.read(device, setting)
            if link is not None and delay is not None:
                link.attributes[setting] = delay
    return iter(())


def _moves(moves: set[tuple[str, str]], host: Host) -> Iterator[Asked]:
    for uplink, bridge in moves:
        if host[LINKS][uplink] is not None:
            yield ADDRESSES(uplink)
            yield MOVED((uplink, bridge))
            if host[LINKS][bridge] is not None:
                yield ADDRESSES(bridge)


def _moved(moves: set[tuple[str, str]], host: Host) -> Iterator[Asked]:
    for uplink, bridge in moves:
        link = host[LINKS][uplink]
        # Once it has joined and lost its addresses it has no routes either, and needs no search,
        # unless the last step of a move is missing.
        if link is not None and (
            host[ADDRESSES].get(uplink)
            or link.attributes["master"] is None
            or still_speaks(host, link)
        ):
            yield ROUTES(uplink)
            yield JOINED((uplink, bridge))


def _joined(moves: set[tuple[str, str]], host: Host) -> Iterator[Asked]:
    for uplink, bridge in moves:
        if host[ROUTES].get(uplink) and host[LINKS][bridge] is not None:
            yield ROUTES(bridge)
        link = host[LINKS][uplink]
        if link is not None and (speaks_ipv6(host, uplink) or still_speaks(host, link)):
            yield from (HOW_IPV6(device) for device in (uplink, bridge, ANEW))


def _bridge_ports(bridges: set[str], host: Host) -> Iterator[Asked]:
    for bridge in bridges:
        link = host[LINKS][bridge]
        if link is not None and link.kind == "bridge" and is_shared(link.alias):
            ports = devices.ports_of(link.index)
            host[BRIDGE_PORTS][bridge] = tuple(port.name for port in ports)
            host[LINKS].update({port.name: port for port in ports})
            uplinks = words_behind(link.alias, UPLINK_WORD)
            for name in dict.fromkeys([bridge, *filter(NAME, uplinks)]):
                yield from (LINKS(name), RETURNED(name))


def _returned(names: set[str], host: Host) -> Iterator[Asked]:
    for name in names:
        link = host[LINKS].get(name)
        if link is None:
            continue
        yield from (USERS(name), STANDING(name), ROUTES(name))
        lower = link.attributes.get("link")
        if link.kind == "vlan" and NAME(lower):
            yield from (LINKS(lower), USERS(lower), STANDING(lower))


def _standing(names: set[str], host: Host) -> Iterator[Asked]:
    return (LINKS(user) for name in names for user in host[USERS].get(name, ()))


_LOOKS: Mapping[Question[Any, Any], Any] = {
    FUNCTIONS: _functions,
    NAMED: _named,
    ACCOUNTS: _accounts,
    NODES: _nodes,
    USERS: _users,
    BRIDGED: _bridged,
    HOST_ID: _host_id,
    WIRELESS: _wireless,
    MANAGERS: _managers,
    DELAYS: _delays,
    MOVES: _moves,
    MOVED: _moved,
    JOINED: _joined,
    BRIDGE_PORTS: _bridge_ports,
    RETURNED: _returned,
    STANDING: _standing,
}


# --- doing ----------------------------------------------------------------------------------------


def _create(args: Args) -> Seen:
    if args["kind"] == "tap":
        link = taps.create(args["name"], args["attributes"])
    elif args["kind"] == "macvtap":
        link = stacking.create_macvtap(args["name"], args["attributes"])
    else:
        link = devices.create(args["name"], args["kind"], args["attributes"])
    return _shown(link, args)


def _change(args: Args) -> Seen:
    attributes = args["attributes"]
    change = devices.change
    if "allmulticast" in attributes:
        change = stacking.change_macvtap
    elif "owner" in attributes or "owner_group" in attributes:
        change = taps.change
    return _shown(change(args["name"], attributes), args)


def _note_guest(args: Args) -> None:
    devices.change(args["name"], {"alias": args["alias"]})


def _note_mtu(args: Args) -> Args | None:
    use = "by which the MTU it had is noted"
    return None if altnames.add(args["device"], args["note"], use) else args


def _forget_mtu(args: Args) -> Args | None:
    return None if altnames.remove(args["device"], args["note"]) else args


def _give_node(args: Args) -> None:
    link = devices.look_up([args["name"]])[args["name"]]
    if link is None or link.kind != "macvtap" or parse_mark(link.alias) is None:
        raise OSError(errno.ENODEV, f"there is no macvtap {args['name']} of a VIF")
    chardev.give(link, args["user"], args["group"], args["mode"])


def _shown(link: Link, args: Args) -> Seen:
    """Return how the kernel showed what a step was to set."""
    shown = {"alias": link.alias, "peer": link.attributes.get("link"), **link.attributes}
    return Seen(link.name, {key: shown[key] for key in args["attributes"] if key in shown})


# --- what is there of VIFs ------------------------------------------------------------------------


def _find(search: Search) -> Iterable[Part]:
    for link in search.once("links", devices.all_links):
        if mark := parse_mark(link.alias):
            yield Part(mark.vif_id, "links", link, mark)


def _shared(search: Search) -> Iterable[Shared]:
    links = [it for it in search.once("links", devices.all_links) if is_shared(it.alias)]
    vlans = {it.name: it for it in links if it.kind == "vlan" and NAME(it.attributes.get("link"))}
    for link in links:
        if link.kind != "bridge":
            continue
        ports = [it for it in vlans.values() if it.attributes.get("master") == link.name]
        names = list(filter(NAME, words_behind(link.alias, UPLINK_WORD)))
        uplinks = [Uplink(name=name, bridge=link.name) for name in names]
        yield Shared(
            link.name, (*map(_vlan, ports), Bridge(name=link.name), *uplinks), tuple(names)
        )
        for port in ports:
            del vlans[port.name]
    for vlan in vlans.values():
        yield Shared(vlan.name, (_vlan(vlan),))


def _vlan(link: Link) -> Vlan:
    found: Any = link.attributes
    return Vlan(name=link.name, link=found["link"], vlan_id=found["vlan_id"])


def _remove(item: Plugged, phase: Phase) -> list[Step]:
    if phase is Phase.AHEAD:
        return [step for link in item["links"] for step in lowering(link)]
    if phase is Phase.DELETE:
        # A device of the host's own is only lent to a VIF, and the kernel would not delete it.
        return [
            Step("delete_links", {"links": [[link.name, link.index]]})
            for link in item["links"]
            if link.kind in CREATED_KINDS and is_deleted_by_us(link)
        ]
    return []


def _abandoned() -> list[Abandoned]:
    """Return devices that a process was killed over before it could mark them.

    Making one takes less than a millisecond, so one that is still the same after a while is
    nobody's.
    """
    begun = {link.index: link for link in devices.all_links() if is_unfinished(link)}
    if not begun:
        return []
    time.sleep(_MAKING_S)
    return [
        Abandoned(link.name, (Step("delete_links", {"links": [[link.name, link.index]]}),), DEFAULT)
        for link in devices.all_links()
        if is_unfinished(link) and link.index in begun
    ]


def _uses(items: Sequence[Plugged]) -> Iterable[Use]:
    whose = {link.name: item.mark.vif_id for item in items for link in item["links"]}
    links = [link for item in items for link in item["links"]]
    return [Use(whose[name], name, process) for name, process in openers.open_of(links)]


def _open_guest_end(mark: Mark, wanted: Tap | Macvtap, queues: int) -> list[int]:
    link = devices.look_up([wanted.name])[wanted.name]
    if link is None or not is_ours(mark, wanted, link):
        raise exception.UnusableDevice(
            device=f"device {wanted.name}",
            reason=f"VIF {mark.vif_id} is not plugged: "
            + ("there is no such device" if link is None else "this device is not the VIF's")
            + "; plug it first",
        )
    if queues > 1 and link.kind == "tap" and not link.attributes.get("multi_queue"):
        raise exception.UnusableDevice(
            device=f"tap {wanted.name}",
            reason=f"it has a single queue, not {queues}; plug it with several (multi_queue)",
        )
    try:
        return chardev.open_queues(link, queues)
    except OSError as error:
        raise exception.StepFailed(
            step=f"open {link.kind} {link.name}",
            reason=error.strerror or str(error),
            errno=error.errno or 0,
            left="",
        ) from error


SYSTEM = System(
    look=_look,
    run={
        "create_link": _create,
        "set_link": _change,
        "tag_link": lambda args: devices.retag(args["name"]),
        "note_guest": _note_guest,
        "give_node": _give_node,
        "delete_links": lambda args: deleting.delete([(name, at) for name, at in args["links"]]),
        "delete_idle": lambda args: stacking.delete_idle(args["name"]),
        "hold_mtu": lambda args: devices.hold_mtu(args["name"]),
        "note_mtu": _note_mtu,
        "forget_mtu": _forget_mtu,
        "delete_unused": lambda args: stacking.delete_unused(args["name"]),
    },
    refuses=ownership.REFUSES,
    find=_find,
    shared=_shared,
    remove=_remove,
    abandoned=_abandoned,
    open_guest_end=_open_guest_end,
    uses=_uses,
)
