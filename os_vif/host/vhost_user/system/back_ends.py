# SPDX-License-Identifier: Apache-2.0
"""Back ends of vhost-user ports, with the options of the process that runs this."""

from __future__ import annotations

import contextlib
import enum
import errno
import shlex
import shutil

from os_vif import exception
from os_vif.host.links.system import devices as links
from os_vif.host.vhost_user import options as fast_path_options
from os_vif.host.vhost_user.questions import BackEndState, SocketState, trouble
from os_vif.host.vhost_user.resources import HYPERVISOR_USER
from os_vif.host.vhost_user.system import (
    rights,
    testpmd,
    testpmd_words,
    unix_diag,
    vhost_sockets,
)
from os_vif.host.vhost_user.system.vhost_sockets import Kind, Place
from os_vif.system import locks

_STOP_S = 10.0
"""Seconds that another's stop of a process takes at most, with room to spare."""


# --- options -------------------------------------------------------------------------------------


def _wrong(option: str, value: object, right: str) -> OSError:
    # Not ENOENT, say, with which another process may be faster: this stays as it is.
    return OSError(
        errno.EINVAL, f"[{fast_path_options.GROUP}] {option} is {value!r}, and has to be {right}"
    )


def settings() -> testpmd_words.Settings:
    """Return how processes are run here.

    :raises OSError: EINVAL: an option cannot be used; ENOSYS: there is no such command.
        ``strerror`` names the option.
    """
    options = fast_path_options.here()
    owner, group, mode = _whose()
    command = _words("testpmd_command", options.testpmd_command, least=1)
    program = shutil.which(command[0])
    if program is None:
        wrong = _wrong("testpmd_command", options.testpmd_command, "a command of this host")
        raise OSError(errno.ENOSYS, f"{wrong.strerror}: there is no command {command[0]}")
    eal = _words("testpmd_eal", options.testpmd_eal)
    if forbidden := testpmd_words.forbidden(eal):
        raise _wrong(
            "testpmd_eal", options.testpmd_eal, f"without {forbidden}, to find the process again"
        )
    return testpmd_words.Settings(
        command=(program, *command[1:]),
        memory=options.testpmd_memory,
        cores=options.testpmd_cores or "",
        queues=options.testpmd_queues,
        eal=eal,
        socket_owner=owner,
        socket_group=group,
        socket_mode=mode,
        seconds=options.back_end_timeout,
    )


def _words(option: str, value: str, least: int = 0) -> tuple[str, ...]:
    with contextlib.suppress(ValueError):
        words = tuple(shlex.split(value))
        if len(words) >= least:
            return words
    raise _wrong(option, value, "words, quoted as in a shell")


def _whose() -> tuple[str, str, int]:
    """Return user, group and mode of the sockets that processes listen at.

    :raises OSError: EINVAL: an option cannot be used.
    """
    options = fast_path_options.here()
    owner, group = options.socket_owner or "", options.socket_group or ""
    try:
        mode = int(options.socket_mode, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        raise _wrong("socket_mode", options.socket_mode, "octal, from 0000 to 0777")
    try:
        rights.user_id(owner)
    except OSError:
        raise _wrong("socket_owner", owner, "name or number of a user of this host") from None
    try:
        rights.group_id(group)
    except OSError:
        raise _wrong("socket_group", group, "name or number of a group of this host") from None
    return owner, group, mode


def _trusted() -> str:
    """Return the user who may own the folders of sockets, besides root; '' for none."""
    try:
        return _whose()[0]
    except OSError:
        return ""


# --- processes -----------------------------------------------------------------------------------


def look(device: str) -> BackEndState | None:
    """Return the process between a tap and its socket, or what it left; None for neither.

    How it would be started now is of no matter: one that runs can be seen, and stopped, whatever
    the options are by now.

    :raises OSError: not allowed to look.
    """
    return _look(device, start_s=fast_path_options.here().back_end_timeout)


def _look(device: str, *, start_s: float) -> BackEndState | None:
    found = testpmd.look(device, start_s=start_s)
    if found is None:
        left = device in testpmd.devices()
        return BackEndState("", False, forwards=False, ended=True) if left else None
    place = _place(found.path) if found.listens else None
    is_live = place is not None and place.kind is Kind.LIVE
    return BackEndState(
        found.path,
        found.listens,
        # Nobody reaches it when its socket is gone.
        forwards=found.forwards and (place is None or place.kind in (Kind.LIVE, Kind.UNKNOWN)),
        handed=place is None or _is_handed(place),
        guest=found.guest,
        taken=is_live and _is_taken(found),
    )


def _place(path: str) -> Place:
    try:
        return vhost_sockets.look(path)
    except PermissionError:
        return Place(Kind.UNKNOWN)
    except OSError:  # a folder on the way is none any more
        return Place(Kind.NO_FOLDER)


def _is_taken(found: testpmd.Testpmd) -> bool:
    try:
        return unix_diag.is_taken(found.path, found.bound)
    except OSError:  # this kernel cannot tell
        return False


def _is_handed(place: Place) -> bool:
    try:
        return vhost_sockets.is_handed_over(place, *_whose())
    except OSError:
        return False


def _is_held(device: str) -> bool:
    """Tell whether somebody has the tap open: a process whose tap went holds the former one."""
    link = links.look_up([device])[device]
    return link is not None and bool(link.attributes.get("queues"))


class Done(enum.Enum):
    """What was done for a process to be as it should."""

    NOTHING = "nothing"
    HANDED_OVER = "its socket was given to its user"
    STARTED = "it was started"


def start(name: str, path: str, *, listens: bool, mac: str) -> Done:
    """Have a process join a tap and a socket; tell what that took.

    :raises OSError: it does not come up, in its own words. Nothing of it is left then, and one
        that served the tap with another socket does so again.
    """
    own = settings()
    with locks.held(name, own.seconds + _STOP_S):
        found = _look(name, start_s=0)  # nobody else is starting one
        if found is not None and found.taken and found.path == path:
            _need_place(path)
        former = found if found is not None and found.forwards and _is_held(name) else None
        if former is not None and (former.path, former.listens) == (path, listens):
            if former.handed:
                return Done.NOTHING
            _hand_over(name, path, own)
            return Done.HANDED_OVER
        if listens:
            _need_trust(path, own)
            if found is None or (found.path, found.listens) != (path, True):
                _need_place(path)
        if found is not None:
            testpmd.stop(name, own.socket_owner)
        try:
            testpmd.start(name, path, listen=listens, mac=mac, settings=own)
        except BaseException:
            if former is not None:
                with contextlib.suppress(OSError):
                    testpmd.start(name, former.path, listen=former.listens, mac=mac, settings=own)
            raise
    return Done.STARTED


def _hand_over(name: str, path: str, own: testpmd_words.Settings) -> None:
    """Give the socket of a process to its user, whoever had it: that file, and no other one."""
    with rights.trusted_folder(path, own.socket_owner) as folder:
        found = testpmd.look(name)
        vhost_sockets.hand_over(
            path,
            own.socket_owner,
            own.socket_group,
            own.socket_mode,
            folder=folder,
            inodes=unix_diag.listening_at(found.bound) if found is not None else (),
        )


def _need_trust(path: str, own: testpmd_words.Settings) -> None:
    if why := rights.untrusted(path, own.socket_owner):
        raise OSError(errno.EPERM, f"{path}: {why}")


def _need_place(path: str) -> None:
    place = vhost_sockets.look(path)
    if place.kind is Kind.LIVE:
        raise OSError(errno.EADDRINUSE, f"a process holds {path}")
    if place.kind is Kind.OTHER:
        raise OSError(errno.EEXIST, f"{path} is {place.what}, not a socket")


def stop(name: str, stale: str, *, abandoned: bool) -> bool:
    """End the process of a tap, and remove what it leaves; tell whether there was any.

    :param stale: where one that was killed may have left its socket; '' for nowhere
    :param abandoned: leave it if there is a tap of this name: somebody has just made that for it
    :raises OSError: it does not end.
    """
    with locks.held(name, fast_path_options.here().back_end_timeout + _STOP_S):
        if abandoned and links.look_up([name])[name] is not None:
            return False
        there = name in testpmd.devices()
        testpmd.stop(name, _trusted())
        if stale and testpmd.remove_stale(stale, _trusted()):
            there = True
    return there


# --- sockets -------------------------------------------------------------------------------------


def look_at_socket(path: str, user: str, *, guest_listens: bool) -> SocketState | None:
    """Return what is at a path; None where this process may not look.

    :param user: the hypervisor's, who must be able to use it; '' asks for nothing
    """
    try:
        unusable = rights.usable_by(path, user, listening=guest_listens) if user else None
    except OSError:
        nobody = exception.InvalidField(
            field=HYPERVISOR_USER, value=user, expected="the name or number of a user of this host"
        )
        return SocketState("error", what=str(nobody))
    try:
        found = vhost_sockets.look(path)
        unsafe = None if guest_listens else rights.unsafe_folder(path)
    except PermissionError:
        return None
    except OSError as error:
        return SocketState("error", what=f"it cannot be looked at: {error.strerror or error}")
    return SocketState(
        found.kind.name.lower().replace("_", " "), found.what, unsafe or "", unusable or ""
    )


def expect(path: str, user: str, *, listens: bool) -> None:
    """See that another program's socket is there, and that the hypervisor's user can use it.

    :raises OSError: it is not as it should be, in words.
    """
    found = look_at_socket(path, user, guest_listens=not listens)
    words = trouble(found, listens=listens) if found else ""
    if words:
        raise OSError(errno.ECONNREFUSED, words)
