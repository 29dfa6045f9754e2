# SPDX-License-Identifier: Apache-2.0
"""Steps on the fast path's back ends: their rows of the table of kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from os_vif.engine import checks, fields
from os_vif.engine.observed import Host
from os_vif.engine.place import AS_ROOT
from os_vif.engine.step import CALLER, Args, Drift, Kind, Step
from os_vif.host.links.questions import LINKS, Link
from os_vif.host.vhost_user.questions import (
    BACK_ENDS,
    SOCKETS,
    BackEndState,
    SocketState,
    process_of,
)
from os_vif.host.vhost_user.resources import TESTPMD_MTU

_PATH = fields.holds(checks.socket_path)
_PLAIN_PATH = fields.holds(checks.back_end_path)


# --- 6WIND's fast path ----------------------------------------------------------------------------


def _add_device(host: Host, args: Args) -> None:
    host[LINKS][args["name"]] = Link(args["name"], 0, "", "", {"master": None})


def _del_device(host: Host, args: Args) -> None:
    host[LINKS][args["name"]] = None


def _not_made(args: Args, _all: Sequence[Step]) -> list[Drift]:
    return [Drift(args["name"], "fast path has not made it", missing=True)]


# --- testpmd --------------------------------------------------------------------------------------


def stop_back_end(name: str, stale: str = "", *, abandoned: bool = False) -> Step:
    """Return the step that ends the process of a tap.

    :param stale: where one that was killed may have left its socket; '' for nowhere
    :param abandoned: only if the tap is gone, so that nobody needs the process
    """
    return Step("stop_back_end", {"name": name, "stale": stale, "abandoned": abandoned})


def _start(host: Host, args: Args) -> None:
    host[BACK_ENDS][args["name"]] = BackEndState(args["path"], args["listens"])
    link = host[LINKS].get(args["name"])
    if link is not None:
        # The process gives the tap an MTU of its own.
        link.attributes |= {"mtu": TESTPMD_MTU, "queues": 1}


def _unstart(host: Host, args: Args) -> Step | None:
    # One that ran before only has its socket handed over.
    before = host[BACK_ENDS].get(args["name"])
    if before is not None and not before.ended:
        return None
    return stop_back_end(args["name"])


def _stop(host: Host, args: Args) -> None:
    host[BACK_ENDS][args["name"]] = None
    link = host[LINKS].get(args["name"])
    if link is not None:
        link.attributes["queues"] = 0
    if args["stale"]:
        host[SOCKETS][args["stale"]] = SocketState("nothing")


def _start_again(host: Host, args: Args) -> Step | None:
    before = host[BACK_ENDS].get(args["name"])
    link = host[LINKS].get(args["name"])
    if before is None or before.ended or not before.path or link is None:
        return None
    again = {"path": before.path, "listens": before.listens, "mac": link.attributes.get("mac")}
    return Step("start_back_end", {"name": args["name"], **again, "why": ""})


def _not_started(args: Args, _all: Sequence[Step]) -> list[Drift]:
    why = f": {args['why']}" if args["why"] else ""
    words = f"its back end does not run as it should{why}"
    part = process_of(args["name"])
    return [Drift(args["name"], words, attribute="back end", part=part)]


def _not_stopped(_args: Args, _all: Sequence[Step]) -> list[Drift]:
    # Plugging stops only what it starts anew, or what no tap has any more.
    return []


# --- somebody else's socket -----------------------------------------------------------------------


def _expect(host: Host, args: Args) -> None:
    host[SOCKETS][args["path"]] = SocketState("live" if args["listens"] else "nothing")


def _unexpected(args: Args, _all: Sequence[Step]) -> list[Drift]:
    return [Drift(args["path"], args["why"], attribute="socket")]


def _user(value: object) -> str:
    return checks.word(value, "user")


def _role(listens: bool) -> str:
    return "listening at" if listens else "for the guest that listens at"


_NAME: Mapping[str, Callable[[Any], bool]] = {"name": fields.NAME}


def _patience(_args: Args) -> float:
    # What a back end may take (back_end_timeout, 15 s) the daemon's own files say; and there may be
    # one to wait for, and one to be ended.
    return 60.0


KINDS: Mapping[str, Kind] = {
    "add_fp_device": Kind(
        {**_NAME, "path": _PATH, "listens": fields.FLAG},
        _add_device,
        lambda _host, args: Step("del_fp_device", {"name": args["name"]}),
        lambda args: (
            f"have fp-vdev add {args['name']}, {_role(args['listens'])} socket {args['path']}"
        ),
        drift=_not_made,
        daemons=(AS_ROOT,),
        patience=_patience,
    ),
    "del_fp_device": Kind(
        _NAME,
        _del_device,
        lambda _host, _args: None,
        lambda args: f"have fp-vdev delete {args['name']}",
        daemons=(AS_ROOT,),
        patience=_patience,
    ),
    "start_back_end": Kind(
        {
            **_NAME,
            "path": _PLAIN_PATH,
            "listens": fields.FLAG,
            "mac": fields.is_mac,
            "why": lambda value: value == "" or fields.is_words(value),
        },
        _start,
        _unstart,
        lambda args: (
            f"start the back end of {args['name']}, {_role(args['listens'])} socket {args['path']}"
        ),
        drift=_not_started,
        daemons=(AS_ROOT,),
        patience=_patience,
        hidden=True,
    ),
    "stop_back_end": Kind(
        {
            **_NAME,
            "stale": lambda value: value == "" or _PLAIN_PATH(value),
            "abandoned": fields.FLAG,
        },
        _stop,
        _start_again,
        lambda args: f"stop the back end of {args['name']}",
        drift=_not_stopped,
        daemons=(AS_ROOT,),
        patience=_patience,
        hidden=True,
    ),
    "expect_socket": Kind(
        {
            "path": _PATH,
            "listens": fields.FLAG,
            "user": lambda value: value == "" or fields.holds(_user)(value),
            "why": fields.is_words,
        },
        _expect,
        lambda _host, _args: None,
        lambda args: f"find the vhost-user socket {args['path']} usable",
        drift=_unexpected,
        by=CALLER,
    ),
}
"""Every kind of step on the fast path's back ends."""
