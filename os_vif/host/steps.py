# SPDX-License-Identifier: Apache-2.0
"""The steps a plan is made of: plain data, and the table of their kinds.

What may live here: for each kind of step its fields (what they may hold is in fields.py), what
it does to the host (on the planner's model), the step that takes it back, and the words for it.
A step crosses a socket to a privileged process, which checks it against this table before it
runs it; so nothing here may do I/O, and nothing outside this file may invent a kind.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from os_vif import exception
from os_vif.host import fields
from os_vif.host.fast_path_steps import FAST_PATH_KINDS
from os_vif.host.function_steps import FUNCTION_KINDS
from os_vif.host.observed import Address, Host, Link, Route
from os_vif.host.profile_steps import PROFILE_KINDS
from os_vif.host.resources import Value
from os_vif.host.step import KERNEL, Args, Kind, Step
from os_vif.host.switch_steps import SWITCH_KINDS
from os_vif.host.topology import UNFINISHED_GROUP

# --- links --------------------------------------------------------------------------------------


def _existing(host: Host, name: str) -> Link:
    link = host.links.get(name)
    if link is None:
        raise LookupError(f"a step for {name}, which is not there")
    return link


def _create_link(host: Host, args: Args) -> None:
    attributes = dict(args["attributes"])
    alias = attributes.pop("alias")
    peer = attributes.pop("peer", None)
    if peer is not None:
        far = {**attributes, "master": None, "link": args["name"]}
        host.links[peer] = Link(peer, 0, args["kind"], alias, far)
        attributes["link"] = peer
    host.links[args["name"]] = made = Link(
        args["name"], 0, args["kind"], alias, {"master": None, **attributes}
    )
    lower = _lower(made)
    if isinstance(lower, str) and lower in host.users:
        host.users[lower] = (*host.users[lower], made.name)
    _lend_mac(host, made)


def _lend_mac(host: Host, link: Link) -> None:
    """Write on the model what a macvtap in passthrough does to the device below it."""
    lower = host.links.get(str(link.attributes.get("link")))
    if lower is not None and link.attributes.get("mode") == "passthru":
        lower.attributes["mac"] = link.attributes["mac"]


def _give_mac_back(host: Host, link: Link | None) -> None:
    # The kernel alone knows what it was.
    if link is not None and link.attributes.get("mode") == "passthru":
        lower = host.links.get(str(link.attributes.get("link")))
        if lower is not None:
            lower.attributes.pop("mac", None)


_REPLACED = frozenset({"tap", "macvtap"})
"""Kinds of which one is made anew where the kernel cannot change it."""


def _delete(name: str, index: int) -> Step:
    return Step("delete_links", {"links": [[name, index]]})


def _uncreate(_host: Host, args: Args) -> Step:
    # It may have found other users since it was made: other VIFs, or others who plug the same one.
    if args["kind"] in ("bridge", "vlan"):
        return Step("delete_unused", {"name": args["name"]})
    return _delete(args["name"], 0)


def _set_link(host: Host, args: Args) -> None:
    link = _existing(host, args["name"])
    attributes = {**link.attributes, **args["attributes"]}
    alias = str(attributes.pop("alias", link.alias))
    changed = dataclasses.replace(link, alias=alias, attributes=attributes)
    host.links[link.name] = changed
    _lend_mac(host, changed)


def _unset_link(host: Host, args: Args) -> Step | None:
    link = _existing(host, args["name"])
    if is_unfinished(link):
        # Whoever began it may have finished it too, and somebody else may use it by now.
        return None
    # A link that is only planned has no value for what the kernel would choose.
    before = {
        key: link.alias if key == "alias" else link.attributes[key]
        for key in args["attributes"]
        if key == "alias" or key in link.attributes
    }
    return Step("set_link", {"name": link.name, "attributes": before})


def _delete_links(host: Host, args: Args) -> None:
    for name, _index in args["links"]:
        gone = host.links.get(name)
        peer = gone.attributes.get("link") if gone and gone.kind == "veth" else None
        if isinstance(peer, str) and peer in host.links:
            host.links[peer] = None
        _give_mac_back(host, gone)
        host.links[name] = None
        host.addresses.pop(name, None)
        host.routes.pop(name, None)
        host.proxies.pop(name, None)
        host.users = {
            lower: tuple(user for user in users if user != name)
            for lower, users in host.users.items()
        }
        for destination, found in host.routes_to.items():
            if found and found[0] == name:
                host.routes_to[destination] = None
        for link in host.links.values():
            if link and link.attributes.get("master") == name:
                link.attributes["master"] = None


def _lower(link: Link) -> Value:
    return link.attributes.get("link") if link.kind != "veth" else None


def _delete_unused(host: Host, args: Args) -> None:
    # The two ends of a veth each say that they are on the other.
    if not any(
        link and args["name"] in (link.attributes.get("master"), _lower(link))
        for link in host.links.values()
    ):
        _delete_links(host, _delete(args["name"], 0).args)


def _recreate(host: Host, args: Args) -> Step | None:
    # Only the replacement of one by another deletes and then goes on; unplug is not undone.
    [[name, _index], *rest] = args["links"]
    link = host.links.get(name)
    if rest or link is None or link.kind not in _REPLACED or not fields.is_mark(link.alias):
        return None
    kept = {key: value for key, value in link.attributes.items() if key in fields.ATTRIBUTES}
    attributes = {**kept, "alias": link.alias}
    return Step("create_link", {"kind": link.kind, "name": name, "attributes": attributes})


def _rename_link(host: Host, args: Args) -> None:
    link = _existing(host, args["name"])
    attributes = {**link.attributes, "up": args["up"]}
    host.links[args["name"]] = None
    host.links[args["to"]] = dataclasses.replace(
        link, name=args["to"], alias=args["alias"], attributes=attributes
    )
    for address, function in host.functions.items():
        if function and function.representor == args["name"]:
            host.functions[address] = dataclasses.replace(function, representor=args["to"])


def _name_back(host: Host, args: Args) -> Step:
    link = _existing(host, args["name"])
    up = link.attributes["up"]
    back = {"name": args["to"], "to": link.name, "alias": link.alias, "up": up}
    return Step("rename_link", back)


_WORDS: Mapping[str, Callable[[Any], str]] = {
    "mtu": lambda value: f"MTU {value}",
    "mac": lambda value: f"MAC {value}",
    "up": lambda value: "up" if value else "down",
    "master": lambda value: f"port of {value or 'no bridge'}",
    "link": lambda value: f"on {value}",
    "vlan_id": lambda value: f"VLAN {value}",
    "mode": lambda value: f"{fields.said_mode(value)} mode",
    "multi_queue": lambda value: "multi-queue" if value else "",
    "disable_ipv6": lambda value: "IPv6 off" if value else "IPv6 on",
    "alias": lambda value: "the VIF's mark" if fields.is_mark(value) else f'alias "{value}"',
    "group": lambda value: f"group {value}" if value else "",
}
"""How people say an attribute; those not here are said as ip-link(8) and sysctl name them."""


def _values(attributes: Mapping[str, Any]) -> str:
    said = (
        _WORDS[key](value) if key in _WORDS else f"{key} {value}"
        for key, value in attributes.items()
    )
    return ", ".join(words for words in said if words)


def _new(args: Args) -> str:
    # That a new device gets its mark goes without saying.
    rest = {key: value for key, value in args["attributes"].items() if key != "alias"}
    return f"create {args['kind']} {args['name']}: {_values(rest)}"


# --- addresses, routes, neighbours, forwarding --------------------------------------------------


def _add_address(host: Host, args: Args) -> None:
    there = host.addresses.get(args["device"], ())
    host.addresses[args["device"]] = (*there, Address(**args["address"]))


def _delete_address(host: Host, args: Args) -> None:
    there = host.addresses.get(args["device"], ())
    gone = Address(**args["address"]).key
    host.addresses[args["device"]] = tuple(item for item in there if item.key != gone)


def _add_route(host: Host, args: Args) -> None:
    route = Route(**args["route"])
    host.routes[args["device"]] = (*host.routes.get(args["device"], ()), route)
    if route.destination in host.routes_to:
        host.routes_to[route.destination] = (args["device"], route.gateway)


def _delete_route(host: Host, args: Args) -> None:
    gone = Route(**args["route"])
    there = host.routes.get(args["device"], ())
    host.routes[args["device"]] = tuple(item for item in there if item != gone)
    if host.routes_to.get(gone.destination) == (args["device"], gone.gateway):
        host.routes_to[gone.destination] = None


def _add_proxy(host: Host, args: Args) -> None:
    there = host.proxies.get(args["device"], frozenset())
    host.proxies[args["device"]] = there | {args["address"]}


def _delete_proxy(host: Host, args: Args) -> None:
    there = host.proxies.get(args["device"], frozenset())
    host.proxies[args["device"]] = there - {args["address"]}


def _set_forwarding(host: Host, args: Args) -> None:
    host.forwarding[args["comment"], args["ipv6"]] = tuple(tuple(rule) for rule in args["rules"])


def _unset_forwarding(host: Host, args: Args) -> Step:
    # Where nobody could look beforehand, the backend reports what it found in its place.
    before = host.forwarding.get((args["comment"], args["ipv6"])) or ()
    return Step("set_forwarding", {**args, "rules": [list(rule) for rule in before]})


def _swap(kind: str) -> Callable[[Host, Args], Step]:
    return lambda _host, args: Step(kind, args)


def _by(args: Args) -> str:
    route = args["route"]
    gateway = f" via {route['gateway']}" if route["gateway"] else ""
    return f"{route['destination']}{gateway} dev {args['device']}"


KINDS: Mapping[str, Kind] = {
    **SWITCH_KINDS,
    **FUNCTION_KINDS,
    **PROFILE_KINDS,
    **FAST_PATH_KINDS,
    "create_link": Kind(
        {
            "kind": fields.one_of(*fields.CREATED_KINDS),
            "name": fields.NAME,
            "attributes": fields.is_new_attributes,
        },
        _create_link,
        _uncreate,
        _new,
        whole=lambda args: fields.CREATED_KINDS[args["kind"]] <= args["attributes"].keys(),
    ),
    "set_link": Kind(
        {"name": fields.NAME, "attributes": fields.is_attributes},
        _set_link,
        _unset_link,
        lambda args: f"set {args['name']}: {_values(args['attributes']) or 'group 0'}",
        partial=True,
    ),
    "rename_link": Kind(
        {"name": fields.NAME, "to": fields.NAME, "alias": fields.is_alias, "up": fields.FLAG},
        _rename_link,
        _name_back,
        lambda args: f"call {args['name']} {args['to']}, and set it {_WORDS['up'](args['up'])}",
    ),
    "delete_links": Kind(
        {"links": fields.is_doomed},
        _delete_links,
        _recreate,
        lambda args: f"delete {', '.join(name for name, _index in args['links'])}",
    ),
    "delete_unused": Kind(
        {"name": fields.NAME},
        _delete_unused,
        lambda _host, _args: None,
        lambda args: f"delete {args['name']}, which nobody uses",
    ),
    "add_address": Kind(
        {"device": fields.NAME, "address": fields.is_record(fields.ADDRESS)},
        _add_address,
        _swap("delete_address"),
        lambda args: f"add address {args['address']['local']} to {args['device']}",
    ),
    "delete_address": Kind(
        {"device": fields.NAME, "address": fields.is_record(fields.ADDRESS)},
        _delete_address,
        _swap("add_address"),
        lambda args: f"delete address {args['address']['local']} from {args['device']}",
    ),
    "add_route": Kind(
        {"device": fields.NAME, "route": fields.is_record(fields.ROUTE)},
        _add_route,
        _swap("delete_route"),
        lambda args: f"add route {_by(args)}",
    ),
    "delete_route": Kind(
        {"device": fields.NAME, "route": fields.is_record(fields.ROUTE)},
        _delete_route,
        _swap("add_route"),
        lambda args: f"delete route {_by(args)}",
    ),
    "add_proxy": Kind(
        {"device": fields.NAME, "address": fields.IP},
        _add_proxy,
        _swap("delete_proxy"),
        lambda args: f"answer neighbour solicitations for {args['address']} on {args['device']}",
    ),
    "delete_proxy": Kind(
        {"device": fields.NAME, "address": fields.IP},
        _delete_proxy,
        _swap("add_proxy"),
        lambda args: f"stop answering for {args['address']} on {args['device']}",
    ),
    "set_forwarding": Kind(
        {
            "comment": fields.is_comment,
            "ipv6": fields.FLAG,
            "rules": fields.is_rules,
            "top_regex": fields.is_pattern,
            "bottom_regex": fields.is_pattern,
        },
        _set_forwarding,
        _unset_forwarding,
        lambda args: (
            f"set {'ip6tables' if args['ipv6'] else 'iptables'} FORWARD rules "
            f'"{args["comment"]}": '
            + ("; ".join(" ".join(rule) for rule in args["rules"]) or "none")
        ),
    ),
}
"""Every kind of step there is."""


def apply(host: Host, step: Step) -> None:
    """Write on the model ``host`` what ``step`` does to the real one."""
    KINDS[step.kind].effect(host, step.args)


def inverse(host: Host, step: Step) -> Step | None:
    """Return the step that takes ``step`` back, given the model as it was before it."""
    return KINDS[step.kind].inverse(host, step.args)


def describe(step: Step) -> str:
    """Return a step in words."""
    return KINDS[step.kind].words(step.args)


def _as_lists(value: Any) -> Any:
    # The channel to the daemon makes tuples of lists.
    if isinstance(value, list | tuple):
        return [_as_lists(item) for item in value]
    if isinstance(value, dict):
        return {key: _as_lists(item) for key, item in value.items()}
    return value


def checked(kind: object, args: object, section: str = "") -> Step:
    """Return a step from plain data that came from elsewhere.

    :param section: the configuration section of the daemon that is to run it; '' for any
    :raises InvalidField: the kind is unknown or not for this daemon, a field is missing or unknown,
        or holds what it may not.
    """
    args = _as_lists(args)
    row = KINDS.get(kind) if isinstance(kind, str) else None
    if row is None or not _is_for(row, section):
        known = ", ".join(name for name, other in KINDS.items() if _is_for(other, section))
        raise exception.InvalidField(field="step", value=kind, expected=known)
    if not isinstance(args, dict) or args.keys() != row.fields.keys():
        raise exception.InvalidField(field=f"{kind}", value=args, expected=", ".join(row.fields))
    for name, ok in row.fields.items():
        if not ok(args[name]):
            raise exception.InvalidField(
                field=f"{kind}.{name}", value=args[name], expected="a value the step can take"
            )
    if not row.whole(args):
        raise exception.InvalidField(
            field=f"{kind}", value=args, expected="all that such a step needs"
        )
    return Step(str(kind), args)


def _is_for(row: Kind, section: str) -> bool:
    return row.by == KERNEL and row.daemon in ("", section)


def is_unfinished(link: Link) -> bool:
    """Tell whether a device of ours was left by a process killed while it made it."""
    return link.attributes.get("group") == UNFINISHED_GROUP and not link.alias
