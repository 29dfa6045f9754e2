# SPDX-License-Identifier: Apache-2.0
"""oslo.versionedobjects, imported without all of oslo.messaging.

``oslo_versionedobjects.base`` derives one class from ``oslo_messaging.NoOpSerializer``, and for
this name imports the whole package: oslo.service, eventlet and 320 modules more, longer than all
else that :func:`os_vif.initialize` does.  The class is in ``oslo_messaging.serializer``, which
needs nothing of its package.  So where nobody has imported oslo.messaging yet, that module alone
is loaded, and ``import oslo_messaging`` in ``oslo_versionedobjects.base``, there and nowhere else,
finds it.  Whoever imports oslo.messaging, then or later, in whatever thread, gets the real
package, with this very module in it: ``sys.modules`` never holds anything else under its names.

Where something is not as expected (another release, another importer) all is imported as ever.
Should oslo.versionedobjects come to import the class alone, this module can go.
"""

from __future__ import annotations

import builtins
import contextlib
import importlib
import sys
from collections.abc import Callable
from importlib import abc, machinery, util
from types import CodeType, ModuleType
from typing import Any

_PACKAGE = "oslo_messaging"
_SERIALIZER = f"{_PACKAGE}.serializer"
_BASE = "oslo_versionedobjects.base"


class _NeedsMore(ImportError):
    """The serializers need more of oslo.messaging than themselves."""


def _execute(module: ModuleType, code: CodeType, importing: Callable[..., Any]) -> None:
    """Run a module's code, in which ``import`` statements call ``importing``."""
    names = vars(module)

    def import_(name: str, *rest: Any, **more: Any) -> Any:
        # Only the statements of the module itself: what is defined from here on has the builtins
        # that all have.
        names["__builtins__"] = vars(builtins)
        return importing(name, *rest, **more)

    names["__builtins__"] = {**vars(builtins), "__import__": import_}
    try:
        exec(code, names)  # noqa: S102  (how an importer runs a module)
    finally:
        names["__builtins__"] = vars(builtins)


class _Messaging(ModuleType):
    """What ``oslo_versionedobjects.base`` has for oslo.messaging until somebody imports that."""

    def __init__(self, serializer: ModuleType) -> None:
        super().__init__(_PACKAGE)
        self.NoOpSerializer = serializer.NoOpSerializer

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(_PACKAGE), name)


class _Ahead(abc.MetaPathFinder, abc.Loader):
    """The module of the serializers, loaded ahead; handed out when its package is imported.

    :raises _NeedsMore: it cannot be had alone
    """

    def __init__(self) -> None:
        package = util.find_spec(_PACKAGE)
        path = None if package is None else package.submodule_search_locations
        spec = machinery.PathFinder.find_spec(_SERIALIZER, path) if path else None
        if spec is None or (code := _code_of(spec)) is None:
            raise _NeedsMore(_SERIALIZER)
        self._spec = spec
        self._module = util.module_from_spec(spec)
        _execute(self._module, code, _import_others)
        self.messaging = _Messaging(self._module)

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        """Find the one module that is here."""
        del path, target
        return machinery.ModuleSpec(name, self) if name == _SERIALIZER else None

    def create_module(self, spec: machinery.ModuleSpec) -> ModuleType:
        """Return it, as it was loaded."""
        del spec
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Go: from here on all is as if the package had been imported at first."""
        module.__spec__ = self._spec
        self.leave()
        base = sys.modules.get(_BASE)
        if base is not None and vars(base).get("messaging") is self.messaging:
            vars(base)["messaging"] = sys.modules[_PACKAGE]

    def leave(self) -> None:
        """Hand out nothing more."""
        with contextlib.suppress(ValueError):  # two threads may come to this
            sys.meta_path.remove(self)


class _Base(abc.MetaPathFinder, abc.Loader):
    """Loads ``oslo_versionedobjects.base``, whose oslo.messaging is the stand-in."""

    def __init__(self, spec: machinery.ModuleSpec, code: CodeType, messaging: ModuleType) -> None:
        self._spec = spec
        self._code = code
        self._messaging = messaging

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> machinery.ModuleSpec | None:
        """Find the one module that this loads."""
        del path, target
        if name != _BASE:
            return None
        return util.spec_from_file_location(name, self._spec.origin, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module as its own loader would."""
        module.__spec__, module.__loader__ = self._spec, self._spec.loader
        _execute(module, self._code, self._import)

    def _import(self, name: str, *rest: Any, **more: Any) -> Any:
        if name == _PACKAGE:
            return self._messaging
        return builtins.__import__(name, *rest, **more)


def _code_of(spec: machinery.ModuleSpec) -> CodeType | None:
    loader = spec.loader
    return loader.get_code(spec.name) if isinstance(loader, abc.InspectLoader) else None


def _import_others(name: str, *rest: Any, **more: Any) -> Any:
    level = more.get("level", rest[3] if len(rest) > 3 else 0)
    if level or name.partition(".")[0] == _PACKAGE:
        raise _NeedsMore(name)
    return builtins.__import__(name, *rest, **more)


def _import_base() -> None:
    """Import ``oslo_versionedobjects.base``, with as little as it needs where that can be."""
    if _PACKAGE in sys.modules or _BASE in sys.modules:
        return
    spec = util.find_spec(_BASE)
    code = spec and _code_of(spec)
    if not spec or not code:
        return
    try:
        ahead = _Ahead()
    except Exception:  # whatever it is: importing all of it succeeds, or tells
        return
    sys.meta_path.insert(0, ahead)
    if _PACKAGE in sys.modules:  # another thread was the first
        ahead.leave()
        return
    finder = _Base(spec, code, ahead.messaging)
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module(_BASE)
    finally:
        sys.meta_path.remove(finder)


_import_base()

from oslo_versionedobjects import base, fields  # noqa: E402

__all__ = ["base", "fields"]
