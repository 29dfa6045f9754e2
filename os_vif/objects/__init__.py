# SPDX-License-Identifier: Apache-2.0
"""The versioned objects: what callers hand us, and what crosses the wire between hosts.

Importing this package imports no versioned object, because oslo.versionedobjects settles how
the process does concurrency as soon as it is imported, and that choice is the caller's.
:func:`register_all`, which :func:`os_vif.initialize` calls, makes the modules and every class
reachable as attributes.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_vif.objects import (
        base,
        fields,
        fixed_ip,
        host_info,
        instance_info,
        network,
        route,
        subnet,
        vif,
    )

    __all__ = [
        "base",
        "fields",
        "fixed_ip",
        "host_info",
        "instance_info",
        "network",
        "register_all",
        "route",
        "subnet",
        "vif",
    ]

_MODULES_WITH_OBJECTS = (
    "fixed_ip",
    "host_info",
    "instance_info",
    "network",
    "route",
    "subnet",
    "vif",
)


def register_all() -> None:
    """Register every object with oslo.versionedobjects. Calling it again changes nothing."""
    for module_name in _MODULES_WITH_OBJECTS:
        module = importlib.import_module(f"{__name__}.{module_name}")
        for name, value in vars(module).items():
            if getattr(value, "__module__", None) == module.__name__ and hasattr(value, "fields"):
                globals()[name] = value
