# SPDX-License-Identifier: Apache-2.0
"""The guest's end of a tap or macvtap: file descriptors, one per queue, for a hypervisor.

A macvtap's character device is opened by its numbers and never by the name /dev/tapN alone: the
kernel makes that node for the devices of every network namespace, and two of one index collide.

Sources: Documentation/networking/tuntap.rst, drivers/net/macvtap.c and tap.c, linux/if_tun.h,
mount(2) and fsopen(2) for a /sys of this network namespace.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import stat
import struct
import tempfile
from collections.abc import Iterator

from os_vif.host.links.questions import Link
from os_vif.host.links.system import stacking

# linux/if_tun.h
_TUNSETIFF = 0x400454CA
_TUNGETIFF = 0x800454D2
_IFF_TAP = 0x0002
_IFF_MULTI_QUEUE = 0x0100
_IFF_PERSIST = 0x0800
_IFF_NO_PI = 0x1000
_IFF_VNET_HDR = 0x4000

# The same on every architecture (asm-generic/unistd.h).
_SYS_FSOPEN, _SYS_FSCONFIG, _SYS_FSMOUNT = 430, 431, 432
_FSOPEN_CLOEXEC, _FSMOUNT_CLOEXEC, _FSCONFIG_CMD_CREATE = 1, 1, 6

_libc = ctypes.CDLL(None, use_errno=True)


def open_queues(link: Link, queues: int) -> list[int]:
    """Open a tap or macvtap once for each queue, with a virtio header before each frame.

    The descriptors are closed on exec; what is passed on must be made inheritable.

    :raises OSError: the kernel refused, or it is not this device that was opened.
    """
    several = queues > 1 or bool(link.attributes.get("multi_queue"))
    flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR | (_IFF_MULTI_QUEUE if several else 0)
    opened: list[int] = []
    try:
        with _node(link) as path:
            for _number in range(queues):
                opened.append(os.open(path, os.O_RDWR | os.O_CLOEXEC))
                request = struct.pack("=16sH22x", link.name.encode(), flags)
                fcntl.ioctl(opened[-1], _TUNSETIFF, request)
                _need_same(opened[-1], link)
    except BaseException:
        for descriptor in opened:
            os.close(descriptor)
        raise
    return opened


def _need_same(descriptor: int, link: Link) -> None:
    """See that a descriptor is this device's: it may have been made anew meanwhile."""
    answer = fcntl.ioctl(descriptor, _TUNGETIFF, bytes(40))
    name = answer[:16].rstrip(b"\0").decode(errors="replace")
    (flags,) = struct.unpack_from("=H", answer, 16)
    # A tap that is gone is made anew by opening it, and that one goes again with us.
    if name != link.name or (link.kind == "tap" and not flags & _IFF_PERSIST):
        raise OSError(errno.ENODEV, f"{link.name} went away, and another was opened in its place")


@contextlib.contextmanager
def _node(link: Link) -> Iterator[str]:
    """Provide the path of the character device to open for a device."""
    if link.kind == "tap":
        yield "/dev/net/tun"
        return
    number = number_of(link)
    held = _hold(f"/dev/tap{link.index}", number)
    if held is not None:
        try:
            # By the descriptor: the name may mean another device in the next moment.
            yield f"/proc/self/fd/{held}"
        finally:
            os.close(held)
        return
    # In /dev, because other file systems are mounted without device nodes.
    folder = tempfile.mkdtemp(prefix=".os-vif-", dir="/dev")
    path = os.path.join(folder, "tap")
    try:
        os.mknod(path, stat.S_IFCHR | 0o600, number)
        held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    finally:
        # Before anything that may take long: who is killed then leaves nothing in /dev.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        os.rmdir(folder)
    try:
        yield f"/proc/self/fd/{held}"
    finally:
        os.close(held)


def whose(link: Link) -> tuple[int, int, int] | None:
    """Return user, group and mode of a macvtap's character device; None where there is none.

    :raises OSError: the kernel refused.
    """
    held = _hold(f"/dev/tap{link.index}", number_of(link))
    if held is None:
        return None
    try:
        found = os.fstat(held)
    finally:
        os.close(held)
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def give(link: Link, user: int, group: int, mode: int) -> None:
    """Give a macvtap's character device to a user and a group.

    :raises OSError: the system refused, or the device has no node in this /dev.
    """
    path = f"/dev/tap{link.index}"
    held = _hold(path, number_of(link))
    if held is None:
        raise OSError(errno.EOPNOTSUPP, f"there is no {path} that is {link.name}'s")
    try:
        # By the descriptor: the name may mean another device in the next moment.  Ours in between,
        # so that it takes no more than CAP_CHOWN.
        node = f"/proc/self/fd/{held}"
        os.chown(node, os.geteuid(), 0)
        os.chmod(node, mode)
        os.chown(node, user, group)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    finally:
        os.close(held)


def _hold(path: str, number: int) -> int | None:
    """Return a descriptor that only holds a device node; None if it is not of this number."""
    try:
        held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    found = os.fstat(held)
    if stat.S_ISCHR(found.st_mode) and found.st_rdev == number:
        return held
    os.close(held)
    return None


def number_of(link: Link) -> int:
    """Return the numbers of a macvtap's character device, as makedev(3) packs them."""
    folder = f"{stacking.ROOT}/{link.name}"
    if stacking.is_shown(folder, link):
        return _number_in(folder, link)
    # /sys shows another network namespace than this thread's.
    mount = _mount_sysfs()
    try:
        return _number_in(f"/proc/self/fd/{mount}/class/net/{link.name}", link)
    finally:
        os.close(mount)


def _number_in(folder: str, link: Link) -> int:
    with open(f"{folder}/macvtap/tap{link.index}/dev") as file:
        major, minor = file.read().split(":")
    return os.makedev(int(major), int(minor))


def _mount_sysfs() -> int:
    """Return a descriptor of a /sys of this thread's network namespace, mounted nowhere."""
    context = _call(_SYS_FSOPEN, b"sysfs", _FSOPEN_CLOEXEC)
    try:
        _call(_SYS_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        return _call(_SYS_FSMOUNT, context, _FSMOUNT_CLOEXEC, 0)
    finally:
        os.close(context)


def _call(number: int, *arguments: int | bytes | None) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"mounting a /sys of this network namespace: {os.strerror(code)}")
    return result
