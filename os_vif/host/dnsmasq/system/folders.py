# SPDX-License-Identifier: Apache-2.0
"""A server's own folder, one a bridge and network namespace: all that is known of it.

The folders are root's alone to change, so what stands there is as true as a mark on a device.  The
program, which becomes another user, may pass through them, and read what is reserved.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from os_vif.engine.fields import NAME
from os_vif.host.dnsmasq.questions import Reserved
from os_vif.host.dnsmasq.system import written
from os_vif.system import locks, run_folders

TOP = "os-vif-dnsmasq"
"""Name of the folder of all (:mod:`os_vif.system.run_folders`)."""

_CONFIGURATION, _RECORD = "dnsmasq.conf", "process"
_PASSED_THROUGH, _READ = 0o711, 0o750
_SO_NETNS_COOKIE = 71  # asm-generic/socket.h, since Linux 5.14
_MOST = 1 << 22
"""Bytes that are read of a file."""


def _namespace() -> str:
    """Return what the network namespace is called, if possible by no other one after it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_one:
        try:
            cookie = any_one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:
            return f"inode-{locks.namespace()}"
    return str(int.from_bytes(cookie, "little"))


def path(bridge: str) -> str:
    """Return the path of a server's folder."""
    return str(run_folders.path(TOP) / _namespace() / bridge)


def made(bridge: str) -> AbstractContextManager[int]:
    """Provide a descriptor of a server's folder, made where it is missing; raises OSError."""
    return run_folders.made(TOP, _namespace(), bridge, mode=_PASSED_THROUGH)


def found(bridge: str) -> AbstractContextManager[int | None]:
    """Provide the same of one that is there; None for none."""
    return run_folders.found(TOP, _namespace(), bridge)


def bridges() -> list[str]:
    """Return the names of the bridges of this network namespace that have a folder."""
    if not run_folders.path(TOP).exists():
        return []
    with run_folders.found(TOP, _namespace()) as folder:
        return [] if folder is None else sorted(filter(NAME, os.listdir(folder)))


def remove(bridge: str) -> None:
    """Remove a server's folder, and those above that hold no other."""
    with found(bridge) as folder:
        if folder is not None:
            with contextlib.suppress(FileNotFoundError):
                hosts = run_folders.within(folder, written.HOSTS)
                _empty(hosts)
                os.close(hosts)
                os.rmdir(written.HOSTS, dir_fd=folder)
            _empty(folder)
    for names, last in (((TOP, _namespace()), bridge), ((TOP,), _namespace())):
        with run_folders.found(*names) as above, contextlib.suppress(OSError):
            if above is not None:
                os.rmdir(last, dir_fd=above)
    with contextlib.suppress(OSError):
        os.rmdir(run_folders.path(TOP))


def _empty(folder: int) -> None:
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)


# --- files ----------------------------------------------------------------------------------------


def read(folder: int, name: str) -> str:
    """Return a file's text; '' for none."""
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return ""
    with open(file, encoding="utf-8", errors="replace") as text:
        return text.read(_MOST)


def write(
    folder: int, name: str, text: str, *, into: int | None = None, group: int | None = None
) -> None:
    """Make a file all at once.

    :param into: a descriptor of the folder that it gets into, if it is another one
    :param group: number of the group that may read it; None for its user alone
    """
    aside = f".{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(aside, flags, 0o600, dir_fd=folder)
    try:
        with open(file, "w", encoding="utf-8") as made:
            made.write(text)
            if group is not None:
                os.fchown(made.fileno(), -1, group)
                os.fchmod(made.fileno(), 0o640)
        os.rename(aside, name, src_dir_fd=folder, dst_dir_fd=folder if into is None else into)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=folder)
        raise


def configure(folder: int, text: str) -> None:
    """Write the server's configuration."""
    write(folder, _CONFIGURATION, text)


def configuration(bridge: str) -> str:
    """Return the path of the server's configuration."""
    return f"{path(bridge)}/{_CONFIGURATION}"


def record(folder: int) -> dict[str, Any]:
    """Return what was noted of the server's process when it was started; nothing for none."""
    try:
        told = json.loads(read(folder, _RECORD) or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def note(folder: int, told: dict[str, Any]) -> None:
    """Note what is to be known of the server's process."""
    write(folder, _RECORD, json.dumps(told))


# --- what is reserved -----------------------------------------------------------------------------


@contextlib.contextmanager
def hosts(folder: int, group: int) -> Iterator[int]:
    """Provide a descriptor of the folder of reservations, made where it is missing.

    :param group: number of the server's
    """
    made = run_folders.within(folder, written.HOSTS, _READ)
    try:
        os.fchown(made, -1, group)
        yield made
    finally:
        os.close(made)


def reserved(folder: int, only: str = "") -> dict[str, Reserved]:
    """Return what is reserved, by the ids of VIFs.

    :param only: the id of the one that is asked for; '' for all
    """
    try:
        within = run_folders.within(folder, written.HOSTS)
    except FileNotFoundError:
        return {}
    try:
        vifs = [only] if only else sorted(os.listdir(within))
        read_all = ((vif, written.reserved(vif, read(within, vif))) for vif in vifs)
        return {vif: told for vif, told in read_all if told is not None}
    finally:
        os.close(within)
