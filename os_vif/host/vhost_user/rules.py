# SPDX-License-Identifier: Apache-2.0
"""When a fast path's device and back end are as they should be, and what makes them so."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine.family import Phase, Rule
from os_vif.engine.step import Step
from os_vif.engine.topology import parse_mark
from os_vif.host.links.questions import (
    DELAYS,
    LINKS,
    LONGEST_ALIAS,
    correct,
    in_the_way,
    keep_bridges,
    mark_on,
    naming_guest,
    need,
)
from os_vif.host.vhost_user.questions import (
    BACK_ENDS,
    MADE_BY_FAST_PATH,
    SOCKETS,
    BackEndState,
    is_made_by_fast_path,
    is_served_tap,
    noted_socket,
    socket_note,
    trouble,
)
from os_vif.host.vhost_user.resources import (
    SIX_WIND,
    TESTPMD,
    BackEnd,
    FastPathDevice,
    VhostSocket,
)
from os_vif.host.vhost_user.steps import stop_back_end

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked
    from os_vif.engine.topology import Mark
    from os_vif.host.links.questions import Link


# --- a device of the fast path's ------------------------------------------------------------------


def _is_ours(mark: Mark, link: Link) -> bool:
    found = parse_mark(link.alias)
    if found is not None:
        return found.vif_id == mark.vif_id
    # Killed before it was marked, or plugged by an earlier release, which left no mark.
    return len(mark.vif_id) >= 11 and mark.vif_id[:11] in link.name


def plug_fp_device(draft: Draft, wanted: FastPathDevice) -> None:
    """Have the fast path make the device, and set what it leaves open.

    :raises ResourceConflict: a stranger's device is there, or the VIF's own with another back end.
    """
    link = draft.host[LINKS][wanted.name]
    if link is not None and _is_ours(draft.mark, link) and is_served_tap(link):
        raise _other_back_end(link, "dpdk-testpmd serves it", SIX_WIND)
    running = draft.host[BACK_ENDS].get(wanted.name)
    if running is not None:
        draft.take(stop_back_end(wanted.name))  # its tap went
    if link is not None and is_for_another_socket(draft.mark, link, wanted):
        draft.add("del_fp_device", name=wanted.name)
        link = None
    if link is None:
        if running is None or running.path != wanted.path:
            _need_place(draft, wanted)
        draft.add("add_fp_device", name=wanted.name, path=wanted.path, listens=wanted.listens)
        alias = naming_guest(draft, _alias(str(draft.mark), wanted))
        made = {**wanted.attributes(), "alias": alias}
        draft.add("set_link", name=wanted.name, attributes=made)
        return
    if not _is_ours(draft.mark, link):
        wish = f"VIF {draft.mark.vif_id} needs a fast-path device of this name"
        left = (
            ""
            if link.alias
            else f" (is it left of a plug that was killed? fp-vdev del {link.name})"
        )
        raise in_the_way(link, f"{wish}{left}")
    mark = mark_on(draft.mark, link)
    # Of one that does not tell its socket nobody knows it.
    told = noted_socket(link.alias) is not None
    attributes = wanted.attributes()
    keep_bridges(draft, link, attributes)
    alias = _alias(mark, wanted) if told else f"{mark} {MADE_BY_FAST_PATH}"
    correct(draft, link, attributes, naming_guest(draft, alias, link))


def is_for_another_socket(mark: Mark, link: Link, wanted: FastPathDevice) -> bool:
    """Tell whether a VIF's device says that its socket, or who listens there, is another."""
    told = noted_socket(link.alias)
    ours = _is_ours(mark, link) and is_made_by_fast_path(link)
    return ours and told is not None and told != (wanted.path, wanted.listens)


def _alias(mark: str, wanted: FastPathDevice) -> str:
    alias = f"{mark} {MADE_BY_FAST_PATH} {socket_note(wanted.path, listens=wanted.listens)}"
    told = noted_socket(alias) == (wanted.path, wanted.listens)
    return alias if told and len(alias) <= LONGEST_ALIAS else f"{mark} {MADE_BY_FAST_PATH}"


def need_tap(draft: Draft, wanted: BackEnd) -> None:
    """See that what is in the place of a tap was not made by the other back end.

    :raises ResourceConflict: it was. Nothing is deleted for that: were the new back end not to
        start, a guest would be cut off that has a network.
    """
    link = draft.host[LINKS][wanted.name]
    if link is not None and _is_ours(draft.mark, link) and is_made_by_fast_path(link):
        raise _other_back_end(link, "6WIND's fast path made it", TESTPMD)


def _other_back_end(link: Link, what: str, chosen: str) -> exception.ResourceConflict:
    return exception.ResourceConflict(
        resource=f"device {link.name}",
        reason=f"{what}, and back_end is {chosen} now; unplug the VIF first",
    )


def unplug_fp_device(draft: Draft, wanted: FastPathDevice) -> None:
    """Have the fast path delete the device, which the kernel may not be able to."""
    link = draft.host[LINKS][wanted.name]
    if link is None or not _is_ours(draft.mark, link):
        return
    # An unmarked tap is one that was made for a process, by a kill left without its mark.
    if is_made_by_fast_path(link) or link.kind != "tap":
        draft.add("del_fp_device", name=wanted.name)


def deleting(link: Link) -> list[Step]:
    """Return the step that deletes a marked device which only the fast path can delete."""
    return [Step("del_fp_device", {"name": link.name})] if is_made_by_fast_path(link) else []


# --- a process between socket and tap -------------------------------------------------------------


def plug_back_end(draft: Draft, wanted: BackEnd) -> None:
    """Start the process unless it runs well; one with another socket is started anew."""
    host = draft.host
    link = need(host, wanted.name)
    # A process whose tap went holds the old one for ever.
    holds = bool(link.attributes.get("queues"))
    if wanted.name not in host[BACK_ENDS]:
        # Nobody could look: the privileged side finds out. One that runs leaves the tap as it is.
        _need_place(draft, wanted, seen=False)
        mtu = link.attributes.get("mtu") if holds else None
        _start(draft, wanted, "")
        if mtu != wanted.mtu:
            correct(draft, need(host, wanted.name), {"mtu": wanted.mtu})
        return
    running = host[BACK_ENDS][wanted.name]
    if running is not None and running.taken and running.path == wanted.path:
        raise _held_by_another(wanted.path)
    why = _fault(running, wanted, holds=holds)
    if not why:
        return
    if running is not None and not running.ended:
        if why == _NOT_HANDED:
            _start(draft, wanted, why)
            return
        draft.take(stop_back_end(wanted.name))
    if running is None or running.path != wanted.path:
        _need_place(draft, wanted)
    _start(draft, wanted, why)
    # The process has given the tap an MTU of its own.
    correct(draft, need(host, wanted.name), {"mtu": wanted.mtu})


_NOT_HANDED = "its socket is not its user's"


def _fault(running: BackEndState | None, wanted: BackEnd, *, holds: bool) -> str:
    """Return what is wrong with a process, in words; '' for nothing."""
    if running is None:
        return "it does not run"
    if running.ended:
        return "it was killed"
    if (running.path, running.listens) != (wanted.path, wanted.listens):
        role = "listens at" if running.listens else "connects to"
        return f"it {role} {running.path}" if running.path else "it hangs"
    if not holds:
        return "it has lost its tap"
    if not running.forwards:
        return "it hangs, or its socket is gone"
    return "" if running.handed else _NOT_HANDED


def _start(draft: Draft, wanted: BackEnd, why: str) -> None:
    kept = {name: getattr(wanted, name) for name in ("name", "path", "listens", "mac")}
    draft.add("start_back_end", **kept, why=why)


def unplug_back_end(draft: Draft, wanted: BackEnd) -> None:
    """Stop the process, before its tap goes, and remove what is left of one that was killed."""
    link = draft.host[LINKS].get(wanted.name)
    owner = parse_mark(link.alias) if link is not None else None
    if owner is not None and owner.vif_id != draft.mark.vif_id:
        return
    place = draft.host[SOCKETS].get(wanted.path)
    stale = wanted.listens and (place is None or place.kind in ("stale", "unknown"))
    # Where nobody could look, the privileged side finds out.
    running = draft.host[BACK_ENDS].get(wanted.name, BackEndState("", False))
    if running is not None or (stale and place is not None):
        draft.take(stop_back_end(wanted.name, wanted.path if stale else ""))


def stopping(link: Link) -> list[Step]:
    """Return the step that stops the process of a marked tap, if it is of the kind that has one."""
    if not is_served_tap(link):
        return []
    path, listens = noted_socket(link.alias) or ("", False)
    return [stop_back_end(link.name, path if listens else "")]


# --- sockets --------------------------------------------------------------------------------------


def _need_place(draft: Draft, wanted: FastPathDevice | BackEnd, *, seen: bool = True) -> None:
    """See that a socket can be at the path, as far as somebody could look.

    :param seen: it is known whether the VIF has a process, which may hold the socket
    :raises UnusableDevice: its folder is missing, cannot be looked at, or is open to everybody.
    :raises ResourceConflict: something is there.
    """
    place = draft.host[SOCKETS].get(wanted.path)
    if place is None:
        return
    socket = f"socket {wanted.path}"
    if place.kind == "no folder":
        raise exception.UnusableDevice(device=socket, reason="its folder does not exist")
    if place.kind == "error":
        raise exception.UnusableDevice(device=socket, reason=place.what)
    if place.kind == "other":
        raise exception.ResourceConflict(resource=socket, reason=f"{place.what} is there")
    if seen and wanted.listens and place.kind == "live":
        raise _held_by_another(wanted.path)
    if wanted.listens and place.unsafe:
        raise exception.UnusableDevice(device=socket, reason=place.unsafe)


def _held_by_another(path: str) -> exception.ResourceConflict:
    return exception.ResourceConflict(
        resource=f"socket {path}", reason="another process holds it, and would lose its guest"
    )


def plug_socket(draft: Draft, wanted: VhostSocket) -> None:
    """Say what is wrong with the socket: nobody here can mend it."""
    place = draft.host[SOCKETS].get(wanted.path)
    why = trouble(place, listens=wanted.listens) if place is not None else ""
    if why:
        draft.add(
            "expect_socket", path=wanted.path, listens=wanted.listens, user=wanted.user, why=why
        )


# --- what is asked, and the table -----------------------------------------------------------------


def _asks_device(wanted: FastPathDevice, _mark: Mark) -> list[Asked]:
    delay = [DELAYS(wanted.name)] if "proxy_delay" in wanted.conf else []
    return [LINKS(wanted.name), *delay, BACK_ENDS(wanted.name), _asks_place(wanted)]


def _asks_back_end(wanted: BackEnd, _mark: Mark) -> list[Asked]:
    return [LINKS(wanted.name), BACK_ENDS(wanted.name), _asks_place(wanted)]


def _asks_place(wanted: FastPathDevice | BackEnd) -> Asked:
    return SOCKETS((wanted.path, "", not wanted.listens))


def _asks_socket(wanted: VhostSocket, _mark: Mark) -> Iterable[Asked]:
    return [SOCKETS((wanted.path, wanted.user, not wanted.listens))]


def _makes(draft: Draft, wanted: FastPathDevice) -> Collection[str]:
    link = draft.host[LINKS].get(wanted.name)
    anew = link is None or is_for_another_socket(draft.mark, link, wanted)
    return [wanted.name] if anew else []


RULES: Mapping[type, Rule] = {
    FastPathDevice: Rule(
        asks=_asks_device,
        plug=plug_fp_device,
        unplug={Phase.AHEAD: unplug_fp_device},
        makes=_makes,
        waits=True,
        own=lambda device: [("add_fp_device", device.name)],
        claims=lambda device: [("name", device.name), ("path", device.path)],
    ),
    BackEnd: Rule(
        asks=_asks_back_end,
        plug=plug_back_end,
        first=need_tap,
        unplug={Phase.AHEAD: unplug_back_end},
        waits=True,
        claims=lambda process: [("path", process.path)],
    ),
    VhostSocket: Rule(
        asks=_asks_socket,
        plug=plug_socket,
        claims=lambda socket: [("path", socket.path)],
    ),
}
"""The rule for each kind of resource of this family."""
