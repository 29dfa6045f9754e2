# SPDX-License-Identifier: Apache-2.0
"""Steps on network devices."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.host.links.questions import (
    CREATED_KINDS,
    LINKS,
    UPLINK_WORD,
    USERS,
    Link,
    existing,
    is_mark,
    is_unfinished,
    words_behind,
)
from os_vif.host.links.questions.mtu_notes import is_mtu_note
from os_vif.host.links.resources import MACVTAP_MODES, Value
from os_vif.host.links.steps import nodes
from os_vif.host.links.steps.words import said_mode, values_of, wrong
from os_vif.host.routes.questions import ipv6_gone

# --- what the fields may hold ---------------------------------------------------------------------


def is_alias(value: Any) -> bool:
    """Tell whether the kernel takes this as an alias."""
    # Undo gives back an alias that somebody else chose: any text the kernel takes (IFALIASZ).
    return fields.is_text(value, 255)


def _is_account(value: Any) -> bool:
    return value is None or nodes.IS_ACCOUNT(value)


ATTRIBUTES: Mapping[str, Callable[[Any], bool]] = {
    "mac": fields.is_mac,
    "mtu": fields.holds(checks.mtu_bytes),
    "up": fields.FLAG,
    "alias": is_alias,
    "group": fields.U32,
    "master": lambda value: value is None or fields.NAME(value),
    "link": fields.NAME,
    "peer": fields.NAME,
    "vlan_id": fields.holds(checks.vlan_tag),
    "multi_queue": fields.FLAG,
    "allmulticast": fields.FLAG,
    "owner": _is_account,
    "owner_group": _is_account,
    # The others are only given back.
    "mode": fields.one_of(*MACVTAP_MODES, "private", "source"),
    "stp_state": fields.one_of(0, 1, 2),
    "forward_delay": fields.number(0, 3000),
    "ageing_time": fields.U32,
    "mcast_snooping": fields.one_of(0, 1),
    "arp_ignore": fields.number(0, 8),
    "arp_announce": fields.number(0, 2),
    "proxy_arp": fields.one_of(0, 1),
    "forwarding": fields.one_of(0, 1),
    "rp_filter": fields.number(0, 2),
    "disable_ipv6": fields.FLAG,
    "forwarding6": fields.one_of(0, 1),
    "proxy_ndp": fields.one_of(0, 1),
    "proxy_delay": fields.U32,
    "proxy_delay6": fields.U32,
    "accept_ra": fields.number(0, 2),
}
"""Attributes of a link a step may set, with the kernel's names and ranges (linux/if_link.h,
Documentation/networking/ip-sysctl.rst); ``forwarding6`` is net.ipv6.conf.*.forwarding."""


def is_attributes(value: Any) -> bool:
    """Tell whether these are attributes of a link, by name."""
    return isinstance(value, dict) and all(
        key in ATTRIBUTES and ATTRIBUTES[key](item) for key, item in value.items()
    )


def is_new_attributes(value: Any) -> bool:
    """Tell whether a link may be made with these attributes: it must be marked."""
    return is_attributes(value) and is_mark(value.get("alias"))


def _is_anybodys_name(value: Any) -> bool:
    # dev_valid_name() of the kernel; a byte that is no text is read as three.
    return fields.is_text(value, 3 * checks.IFNAMSIZ) and not re.search(r"[\s/:]", value)


def is_doomed(value: Any) -> bool:
    """Tell whether these are links to delete: name and index of each, index 0 for any."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(item, list)
            and len(item) == 2
            and fields.U32(item[1])
            # By its index, whatever somebody else has called it.
            and (fields.NAME(item[0]) or (item[1] and _is_anybodys_name(item[0])))
            for item in value
        )
    )


# --- what they do, and what takes them back ------------------------------------------------------


def _create_link(host: Host, args: Args) -> None:
    attributes = dict(args["attributes"])
    alias = attributes.pop("alias")
    peer = attributes.pop("peer", None)
    if peer is not None:
        far = {**attributes, "master": None, "link": args["name"]}
        host[LINKS][peer] = Link(peer, 0, args["kind"], alias, far)
        attributes["link"] = peer
    host[LINKS][args["name"]] = made = Link(
        args["name"], 0, args["kind"], alias, {"master": None, **attributes}
    )
    lower = _lower(made)
    below = host[LINKS].get(str(attributes.get("link"))) if args["kind"] in _AS_BELOW else None
    if below is not None and "mtu" in below.attributes:
        made.attributes.setdefault("mtu", below.attributes["mtu"])
    users = host[USERS]
    if isinstance(lower, str) and lower in users:
        users[lower] = (*users[lower], made.name)
    _lend_mac(host, made)


def _lend_mac(host: Host, link: Link) -> None:
    """Write on the model what a macvtap in passthrough does to the device below it."""
    lower = host[LINKS].get(str(link.attributes.get("link")))
    if lower is not None and link.attributes.get("mode") == "passthru":
        lower.attributes["mac"] = link.attributes["mac"]


def _give_mac_back(host: Host, link: Link | None) -> None:
    # The kernel alone knows what it was.
    if link is not None and link.attributes.get("mode") == "passthru":
        lower = host[LINKS].get(str(link.attributes.get("link")))
        if lower is not None:
            lower.attributes.pop("mac", None)


_AS_BELOW = frozenset({"vlan", "macvtap"})
"""Kinds that are made with the MTU of the device below them."""

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
    link = existing(host, args["name"])
    attributes = {**link.attributes, **args["attributes"]}
    alias = str(attributes.pop("alias", link.alias))
    if attributes.get("disable_ipv6") is True:
        ipv6_gone(host, link.name)
    host[LINKS][link.name] = changed = dataclasses.replace(link, alias=alias, attributes=attributes)
    _lend_mac(host, changed)


def _unset_link(host: Host, args: Args) -> Step | None:
    link = existing(host, args["name"])
    if is_unfinished(link):
        # Whoever began it may have finished it too, and somebody else may use it by now.
        return None
    # A link that is only planned has no value for what the kernel would choose.
    before = {
        key: link.alias if key == "alias" else link.attributes[key]
        for key in args["attributes"]
        if key == "alias" or key in link.attributes
    }
    # The kernel takes no owner away again, and a tap that has one harms nobody.
    kept = {
        key: value
        for key, value in before.items()
        if value is not None or key not in ("owner", "owner_group")
    }
    return Step("set_link", {"name": link.name, "attributes": kept}) if kept else None


def _delete_links(host: Host, args: Args) -> None:
    for name, _index in args["links"]:
        gone = host[LINKS].get(name)
        peer = gone.attributes.get("link") if gone and gone.kind == "veth" else None
        if isinstance(peer, str) and peer in host[LINKS]:
            host[LINKS][peer] = None
        _give_mac_back(host, gone)
        host.device_gone(name)
        for link in host[LINKS].values():
            if link and link.attributes.get("master") == name:
                link.attributes["master"] = None


def _lower(link: Link) -> Value:
    return link.attributes.get("link") if link.kind != "veth" else None


def _delete_unused(host: Host, args: Args) -> None:
    # The two ends of a veth each say that they are on the other.
    if not any(
        link and args["name"] in (link.attributes.get("master"), _lower(link))
        for link in host[LINKS].values()
    ):
        _delete_links(host, _delete(args["name"], 0).args)


def _recreate(host: Host, args: Args) -> Step | None:
    # Only the replacement of one by another deletes and then goes on; unplug is not undone.
    [[name, _index], *rest] = args["links"]
    link = host[LINKS].get(name)
    if rest or link is None or link.kind not in _REPLACED or not is_mark(link.alias):
        return None
    kept = {key: value for key, value in link.attributes.items() if key in ATTRIBUTES}
    attributes = {**kept, "alias": link.alias}
    return Step("create_link", {"kind": link.kind, "name": name, "attributes": attributes})


def _shows(host: Host, args: Args) -> Mapping[str, Any]:
    link = existing(host, args["name"])
    if not link.index:
        return {}  # it is only planned
    shown = {"alias": link.alias, **link.attributes}
    return {key: shown[key] for key in args["attributes"] if key in shown}


def _set(args: Args) -> str:
    values = values_of(args["attributes"], args.get("before", {}))
    return f"set {args['name']}: {values or 'group 0'}"


def _new(args: Args) -> str:
    # That a new device gets its mark, and is root's, goes without saying.
    rest = {
        key: value
        for key, value in args["attributes"].items()
        if key != "alias" and (key, value) != ("owner", 0)
    }
    return f"create {args['kind']} {args['name']}: {values_of(rest, {})}"


# --- what is wrong where one is left --------------------------------------------------------------


def _changed(args: Args, _steps: Sequence[Step]) -> list[Drift]:
    before = args.get("before", {})
    return [
        Drift(
            args["name"],
            wrong(key, value, before.get(key)),
            False,
            key,
            value,
            detached=key == "master",
            before=before.get(key),
        )
        for key, value in args["attributes"].items()
        # What an uplink is noted for is to come: nothing is wrong until it has its way back.
        if key != "alias" or not words_behind(value, UPLINK_WORD)
    ]


def _created(args: Args, todo: Sequence[Step]) -> list[Drift]:
    # Plugging deletes only what it makes anew, because the kernel cannot change it.
    if args["name"] in _deleted(todo):
        return [Drift(args["name"], _made_anew(args))]
    ends = [args["name"], *([args["attributes"]["peer"]] if args["kind"] == "veth" else [])]
    return [Drift(name, f"{args['kind']} is missing", missing=True) for name in ends]


def _deleted(todo: Sequence[Step]) -> set[str]:
    gone = [step.args["links"] for step in todo if step.kind == "delete_links"]
    return {name for links in gone for name, _index in links}


def _astray(args: Args, todo: Sequence[Step]) -> list[Drift]:
    made = [step.args for step in todo if step.kind == "create_link"]
    again = {name for it in made for name in (it["name"], it["attributes"].get("peer"))}
    words = "still there, of an earlier description or renamed"
    return [Drift(name, words, astray=True) for name, _ in args["links"] if name not in again]


def _made_anew(args: Args) -> str:
    differs = "multi_queue or owner differs"
    if args["kind"] == "macvtap":
        wanted = args["attributes"]
        differs = f"it should be on {wanted['link']} in mode {said_mode(wanted['mode'])}"
    return f"must be made anew ({differs})"


def _no_drift(_args: Args, _steps: Sequence[Step]) -> list[Drift]:
    return []


# --- the kinds ------------------------------------------------------------------------------------


def _as_it_was(host: Host, args: Args) -> Callable[[], None]:
    return functools.partial(host[LINKS].__setitem__, args["name"], host[LINKS].get(args["name"]))


def _note_mtu(host: Host, args: Args) -> None:
    link = existing(host, args["device"])
    host[LINKS][link.name] = dataclasses.replace(link, altnames=(*link.altnames, args["note"]))


def _forget_mtu(host: Host, args: Args) -> None:
    link = existing(host, args["device"])
    left = tuple(name for name in link.altnames if name != args["note"])
    host[LINKS][link.name] = dataclasses.replace(link, altnames=left)


def _delete_idle(host: Host, args: Args) -> None:
    _delete_links(host, _delete(args["name"], 0).args)


def _remake(host: Host, args: Args) -> Step:
    link = existing(host, args["name"])
    kept = {key: value for key, value in link.attributes.items() if key in ATTRIBUTES}
    attributes = {**kept, "alias": link.alias}
    return Step("create_link", {"kind": link.kind, "name": link.name, "attributes": attributes})


def _note_guest(host: Host, args: Args) -> None:
    link = existing(host, args["name"])
    host[LINKS][link.name] = dataclasses.replace(link, alias=args["alias"])


def _former_guest(host: Host, args: Args) -> Step:
    return Step("note_guest", {**args, "alias": existing(host, args["name"]).alias})


def _former(args: Args) -> str:
    return str(args["note"]).partition("=")[2].partition(",")[0]


_ON_MTU = {"device": fields.NAME, "note": is_mtu_note}

KINDS: Mapping[str, Kind] = {
    "create_link": Kind(
        {
            "kind": fields.one_of(*CREATED_KINDS),
            "name": fields.NAME,
            "attributes": is_new_attributes,
        },
        _create_link,
        _uncreate,
        _new,
        drift=_created,
        whole=lambda args: CREATED_KINDS[args["kind"]] <= args["attributes"].keys(),
        proven=lambda args, seen: seen.get(args["name"]) == args["attributes"],
        # Each plan chooses a MAC of its own for a bridge that is missing.
        identity=lambda args: str(args["name"]),
    ),
    "set_link": Kind(
        {"name": fields.NAME, "attributes": is_attributes},
        _set_link,
        _unset_link,
        _set,
        shows=_shows,
        forget=_as_it_was,
        drift=_changed,
        partial=True,
        adopts=lambda args: "alias" in args["attributes"],
    ),
    "tag_link": Kind(
        {"name": fields.NAME},
        lambda _host, _args: None,
        lambda _host, _args: None,
        lambda args: f"have {args['name']} found by the VIF's id, whatever its name",
        drift=_no_drift,
    ),
    "note_guest": Kind(
        {"name": fields.NAME, "alias": lambda value: is_alias(value) and is_mark(value)},
        _note_guest,
        _former_guest,
        lambda args: f"note on {args['name']} what the guest is called",
        drift=_no_drift,
    ),
    "delete_links": Kind(
        {"links": is_doomed},
        _delete_links,
        _recreate,
        lambda args: f"delete {', '.join(name for name, _index in args['links'])}",
        drift=_astray,
        merge=lambda one, two: {"links": one["links"] + two["links"]},
        final=True,
    ),
    "delete_idle": Kind(
        {"name": fields.NAME},
        _delete_idle,
        _remake,
        lambda args: f"delete {args['name']}, which nobody uses any more",
    ),
    "hold_mtu": Kind(
        {"name": fields.NAME},
        lambda _host, _args: None,
        lambda _host, _args: None,
        lambda args: f"keep the MTU of {args['name']}, whatever joins it",
        drift=_no_drift,
    ),
    "note_mtu": Kind(
        _ON_MTU,
        _note_mtu,
        lambda _host, args: Step("forget_mtu", args),
        lambda args: f"note on {args['device']} that its MTU was {_former(args)}",
        drift=_no_drift,
    ),
    "forget_mtu": Kind(
        _ON_MTU,
        _forget_mtu,
        lambda _host, args: Step("note_mtu", args),
        lambda args: f"take off {args['device']} the note that its MTU was {_former(args)}",
        drift=_no_drift,
    ),
    "delete_unused": Kind(
        {"name": fields.NAME},
        _delete_unused,
        lambda _host, _args: None,
        lambda args: f"delete {args['name']}, which nobody uses",
    ),
    **nodes.KINDS,
}
"""Every kind of step on network devices."""
