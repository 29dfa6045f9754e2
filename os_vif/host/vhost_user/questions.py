# SPDX-License-Identifier: Apache-2.0
"""What can be asked about vhost-user sockets and what serves them, and what the answers mean."""

from __future__ import annotations

import dataclasses
from typing import Any

from os_vif import exception
from os_vif.engine import checks
from os_vif.engine.observed import AROUND, HOLDERS, Question
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import Link, made_by
from os_vif.host.vhost_user.resources import FAST_PATH

MADE_BY_FAST_PATH = made_by("fp-vdev")
"""Word in the alias of a device that only the fast path can delete."""

_LISTENS, _CONNECTS = "listens", "connects"


@dataclasses.dataclass(frozen=True, slots=True)
class BackEndState:
    """A process between a tap and a socket.

    :ivar path: the socket it was started with.
    :ivar listens: whether it listens at it.
    :ivar forwards: whether it has both sides and moves packets; else it hangs, or is halted.
    :ivar handed: whether the socket belongs to whom it should.
    :ivar guest: whether a guest is connected.
    :ivar taken: another process has the place of its socket.
    :ivar ended: it was killed, and only what it left is there; nothing tells its socket then.
    """

    path: str
    listens: bool
    forwards: bool = True
    handed: bool = True
    guest: bool = False
    taken: bool = False
    ended: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class SocketState:
    """What is at the path of a vhost-user socket.

    :ivar kind: ``no folder``, ``nothing``, ``live`` (a process holds it), ``stale``, ``other`` (no
        socket), ``unknown``, or ``error``: it could not be looked at.
    :ivar what: of ``other``, what it is; of ``error``, a sentence why not.
    :ivar unsafe: why nobody should listen there, in words; '' for nothing against it.
    :ivar unusable: why the hypervisor's user cannot use it; '' where it can, or nobody asked.
    """

    kind: str
    what: str = ""
    unsafe: str = ""
    unusable: str = ""


# --- the questions --------------------------------------------------------------------------------


def _take(answers: dict[str, BackEndState | None], rows: list[Any]) -> None:
    for device, state in rows:
        answers[device] = None if state is None else BackEndState(**state)


# Before the devices: a process that forwards has its tap open by then.
BACK_ENDS: Question[str, BackEndState | None] = Question(
    "back_ends", HOLDERS, privileged=True, take=_take, sees="back-end processes"
)
"""Of a tap, by name: the process between it and a vhost-user socket; None where there is none."""

SOCKETS: Question[str, SocketState] = Question("sockets", AROUND)
"""Asked of a vhost-user socket's path, the hypervisor's user ('' for none) and whether the guest
listens there; by path, what is there.  No answer where nobody could look."""


# --- what the answers mean ------------------------------------------------------------------------


def trouble(place: SocketState, *, listens: bool) -> str:
    """Return what is wrong with another program's socket, in words; '' for nothing."""
    if place.kind == "no folder":
        return "its folder does not exist"
    if place.kind == "other":
        return f"{place.what} is there"
    if place.kind == "error":
        return place.what
    if listens and place.kind == "nothing":
        return "it is not there: the program behind it has not made it"
    if listens and place.kind == "stale":
        return "no process holds it any more"
    return place.unusable


def is_made_by_fast_path(link: Link) -> bool:
    """Tell whether this is a marked device which only the fast path can delete."""
    return parse_mark(link.alias) is not None and MADE_BY_FAST_PATH in link.alias.split(" ")


def is_served_tap(link: Link) -> bool:
    """Tell whether this is a marked tap of the kind that has a process."""
    mark = parse_mark(link.alias)
    return (
        link.kind == "tap"
        and mark is not None
        and mark.plugin == FAST_PATH
        and not is_made_by_fast_path(link)
    )


def is_unserved(link: Link) -> bool:
    """Tell whether this is a tap whose process is gone."""
    return (
        link.kind == "tap"
        and noted_socket(link.alias) is not None
        and not link.attributes.get("queues")
    )


# --- words ----------------------------------------------------------------------------------------


def socket_note(path: str, *, listens: bool) -> str:
    """Return the word by which the alias of a tap tells what socket its process has."""
    return f"{_LISTENS if listens else _CONNECTS}={path}"


def noted_socket(alias: str) -> tuple[str, bool] | None:
    """Return the socket of the process of a tap with this alias, and whether it listens there."""
    for word in alias.split(" "):
        role, _, path = word.partition("=")
        if role in (_LISTENS, _CONNECTS):
            try:
                return checks.back_end_path(path), role == _LISTENS
            except exception.InvalidField:
                return None
    return None


def socket_in_words(alias: str) -> str:
    """Return what an alias tells of a socket, in words; '' for nothing."""
    socket = noted_socket(alias)
    return f"with its socket {socket[0]}" if socket else ""


def process_of(device: str) -> str:
    """Return the key of the process behind a device, in a picture."""
    return f"back end of {device}"


QUESTIONS = (BACK_ENDS, SOCKETS)
"""All that can be asked."""

TOLD = socket_in_words
"""What the alias of a device tells of sockets, in words."""
