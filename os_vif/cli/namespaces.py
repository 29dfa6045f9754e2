# SPDX-License-Identifier: Apache-2.0
"""Linux namespaces (namespaces(7)): enter a named one, or make private ones for the demo.

Python has os.setns() and os.unshare() from 3.12 on only, hence the C library's.
"""

from __future__ import annotations

import ctypes
import errno
import os

from os_vif.cli.suggest import suggest

# linux/sched.h
CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

NAMED = "/run/netns"
"""Where ip-netns(8) keeps network namespaces."""

_libc = ctypes.CDLL(None, use_errno=True)


class NoNamespace(Exception):
    """A namespace cannot be entered or made.

    :ivar mistaken: whether it was asked for wrongly, rather than refused by the system.
    """

    def __init__(self, message: str, *, mistaken: bool = False) -> None:
        super().__init__(message)
        self.mistaken = mistaken


def enter(name: str) -> None:
    """Move this process, which must have a single thread, into the network namespace ``name``.

    :raises NoNamespace: there is none of this name, or CAP_SYS_ADMIN is missing
    """
    if name in ("", ".", "..") or "/" in name or "\0" in name:
        raise NoNamespace(
            f"{name!r} is not the name of a network namespace: expected one word, without '/'",
            mistaken=True,
        )
    path = f"{NAMED}/{name}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NoNamespace(f"there is no {path}; {_others(name)}", mistaken=True) from None
    except OSError as error:
        raise NoNamespace(f"{path}: {error.strerror}") from None
    try:
        if _libc.setns(descriptor, CLONE_NEWNET):
            number = ctypes.get_errno()
            if number == errno.EINVAL:
                raise NoNamespace(f"{path} is not a network namespace", mistaken=True)
            hint = ": it takes CAP_SYS_ADMIN; run as root" if number == errno.EPERM else ""
            raise NoNamespace(f"cannot enter {path}: {os.strerror(number)}{hint}")
    finally:
        os.close(descriptor)


def _others(name: str) -> str:
    try:
        there = sorted(os.listdir(NAMED))
    except OSError:
        there = []
    return suggest(name, there) if there else f"make it with: ip netns add {name}"


def isolate() -> bool:
    """Give this process, which must have a single thread, a network of its own.

    Without the right to do so directly, it becomes root of a user namespace first.

    :returns: whether a user namespace was needed
    :raises NoNamespace: with the reason the kernel has
    """
    if not _libc.unshare(CLONE_NEWNET):
        return False
    if ctypes.get_errno() != errno.EPERM:
        raise NoNamespace(f"no network namespace: {os.strerror(ctypes.get_errno())}")
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(CLONE_NEWUSER | CLONE_NEWNET):
        raise NoNamespace(_why_no_user_namespace(ctypes.get_errno()))
    try:
        # user_namespaces(7): without CAP_SETGID above, setgroups must be given up first.
        for file, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {user} 1"),
            ("gid_map", f"0 {group} 1"),
        ):
            with open(f"/proc/self/{file}", "w") as handle:
                handle.write(text)
    except OSError as error:
        raise NoNamespace(_why_no_user_namespace(error.errno or errno.EPERM)) from None
    return True


# A setting, and the value with which it stands in the way.
_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1"),
    ("user.max_user_namespaces", "0"),
)


def _why_no_user_namespace(number: int) -> str:
    for name, off in _SETTINGS:
        try:
            with open(f"/proc/sys/{name.replace('.', '/')}") as handle:
                if handle.read().strip() == off:
                    return f"this kernel gives no user namespaces ({name} is {off}). Run as root"
        except OSError:
            continue
    reason = os.strerror(number)
    if number == errno.EPERM:
        reason += ", as in most containers"
    return f"this kernel gives no user namespace ({reason}). Run as root"
