# SPDX-License-Identifier: Apache-2.0
"""Which driver a PCI function has, changed through sysfs.

Sources: Documentation/ABI/testing/sysfs-bus-pci (driver_override, drivers_probe, unbind),
Documentation/driver-api/vfio.rst (the group's character device).
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from os_vif.host.links.system import sysfs

DEV = Path("/dev")


def bind(address: str, driver: str | None, override: str) -> None:
    """Give a PCI function to a driver, and leave the override as told.

    Each part of it may have been done before.  The kernel waits in the unbinding of vfio for the
    guest to let go, for ever and with nobody able to end it; so this does not begin it.

    :param driver: '' for none, None for the kernel's choice
    :param override: ``driver_override`` afterwards; '' for none
    :raises OSError: the function is gone, a program holds it (EBUSY), or the driver does not
        take it.
    """
    folder = sysfs.folder_of(address)
    if not folder.exists():
        raise OSError(errno.ENODEV, f"there is no PCI device {address}")
    now = sysfs.driver_of(folder)
    if now != driver:
        if now:
            _refuse_held(folder, now)
        if driver != "":
            # Before anything is let go of: where this is killed, it shows what was under way.
            _write(folder / "driver_override", driver or "\n")
        if now:
            _write(folder / "driver/unbind", address)
        if driver != "":
            _probe(folder, driver)
    if sysfs.override_of(folder) != override:
        _write(folder / "driver_override", override or "\n")


def _probe(folder: Path, driver: str | None) -> None:
    refused = None
    try:
        _write(sysfs.ROOT / "bus/pci/drivers_probe", folder.name)
    except OSError as error:
        if driver is None:
            raise
        refused = error
    if driver is not None and sysfs.driver_of(folder) != driver:
        code = refused.errno if refused and refused.errno else errno.ENOTSUP
        said = f": {os.strerror(code)}" if refused else "; the kernel's log may say why"
        raise OSError(code, f"the driver {driver} does not take {folder.name}{said}")


def _refuse_held(folder: Path, driver: str) -> None:
    if "vfio" not in driver:
        return
    group = DEV / "vfio" / (folder / "iommu_group").resolve().name
    try:
        # The kernel opens a group once at a time.
        os.close(os.open(group, os.O_RDWR | os.O_CLOEXEC))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise OSError(errno.EBUSY, f"a program has {group} open; stop the guest first") from (
                error
            )
        raise


def _write(path: Path, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
