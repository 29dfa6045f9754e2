# SPDX-License-Identifier: Apache-2.0
"""Sockets of this thread's network namespace, asked of the kernel.

Sources: sock_diag(7).
"""

from __future__ import annotations

from os_vif.system import netlink

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20


def dump(asked: bytes) -> list[bytes]:
    """Return what the kernel says of each socket of a kind.

    :param asked: which, in the kind's own message
    :raises OSError: the kernel cannot tell (ENOENT: it lacks the module).
    """
    return netlink.dump(_SOCK_DIAG_BY_FAMILY, asked, _NETLINK_SOCK_DIAG)
