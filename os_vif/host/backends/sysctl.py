# SPDX-License-Identifier: Apache-2.0
"""Settings that a device has only under /proc/sys/net (Documentation/networking/ip-sysctl.rst).

/proc/sys/net shows the network namespace of whoever looks, so no mount is needed for another.
"""

from __future__ import annotations

import errno
import os

from os_vif.host.resources import interface_name


def write_ipv6(device: str, key: str, value: int) -> None:
    """Set net.ipv6.conf.<device>.<key>; nothing to do on a kernel without IPv6.

    :raises OSError: the kernel refused.
    """
    path = f"/proc/sys/net/ipv6/conf/{interface_name(device)}/{key}"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if not os.path.exists("/proc/sys/net/ipv6"):
            return
        raise OSError(errno.ENODEV, f"{path}: there is no such setting") from None
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    try:
        os.write(descriptor, b"%d\n" % value)
    except OSError as error:
        raise OSError(error.errno, f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
