# SPDX-License-Identifier: Apache-2.0
"""Modules that one run of the command may not need: executed when something in them is asked for.

Nearly all the time of a run goes into imports, and much of what is imported is not used: the
regular expressions of a parser of URIs, what only another subcommand calls.  In the command's own
process, these are found as ever (one that is missing is told at once) and executed late.

This is :class:`importlib.util.LazyLoader`, but that a second ``import`` executes nothing either.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib import machinery
from types import ModuleType
from typing import Any

_LIBRARIES = frozenset(
    {
        "base64",
        "bz2",
        "csv",
        "importlib.metadata._adapters",
        "lzma",
        "netaddr",
        "oslo_serialization.jsonutils",
        "oslo_utils.excutils",
        "oslo_utils.strutils",
        "oslo_utils.timeutils",
        "pickle",
        "random",
        "rfc3986",
        "selectors",
        "ssl",
        "subprocess",
        "tempfile",
        "traceback",
        "xmlrpc.client",
        "zipfile",
    }
)
"""What libraries import for a part of them that the command seldom reaches."""

_OURS = "os_vif."

_FOUND = frozenset({"__spec__", "__loader__", "__name__", "__package__", "__path__", "__file__"})
"""What is known of a module before it is executed."""


class Late(ModuleType):
    """A module that was found, and not executed yet."""

    def __getattribute__(self, name: str) -> Any:
        """Return what it has; execute it first, unless that is known already."""
        if name not in _FOUND:
            _execute(self)
        return ModuleType.__getattribute__(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what its own code would else set once more."""
        _execute(self)
        ModuleType.__setattr__(self, name, value)


class _Loader:
    """Leaves the execution of a module to its first use."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._lock = threading.RLock()
        self._begun = False

    def create_module(self, spec: machinery.ModuleSpec) -> ModuleType | None:
        """Make the module as ever."""
        created: ModuleType | None = self._loader.create_module(spec)
        return created

    def exec_module(self, module: ModuleType) -> None:
        """Go on: it will be executed."""
        module.__class__ = Late

    def execute(self, module: Late) -> None:
        """Execute the module, once; another thread waits for that."""
        with self._lock:
            if self._begun:
                return  # its own code asks, or those that it imports
            self._begun = True
            try:
                self._loader.exec_module(module)
            except BaseException:
                self._begun = False
                raise
            if module.__spec__ is not None:
                module.__spec__.loader = self._loader
            module.__loader__ = self._loader
            object.__setattr__(module, "__class__", ModuleType)


def _execute(module: Late) -> None:
    loader = module.__loader__
    if isinstance(loader, _Loader):
        loader.execute(module)


class _Finder:
    """Finds modules where all others do, and has them executed late."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        """Find a module of those that may be late."""
        ours = name.startswith(_OURS)
        if not ours and name not in _LIBRARIES:
            return None
        spec = machinery.PathFinder.find_spec(name, path, target)
        # Of ours, the packages are small, and what they have beside their modules is used.
        if spec is not None and not (ours and spec.submodule_search_locations is not None):
            spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
        return spec


def install() -> None:
    """Have what is imported from now on executed when it is used."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
