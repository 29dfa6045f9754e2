# SPDX-License-Identifier: Apache-2.0
"""Import libraries that look for eventlet without bringing it into a program that has not.

What first imports eventlet in a thread runs the standard library's ``threading`` once more there,
and that takes the thread for the main one: who joins it waits for ever.  It also takes longer than
all else that plugging imports.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import sys
import threading
from collections.abc import Iterator

NAME = "eventlet"


class _Nowhere(importlib.abc.MetaPathFinder):
    """Tells one thread, and no other, that there is no eventlet."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        del path, target
        if fullname == NAME and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"No module named {NAME!r}", name=NAME)


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Let what this block imports find no eventlet, unless the program has imported it."""
    if NAME in sys.modules:
        yield
        return
    finder = _Nowhere()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
