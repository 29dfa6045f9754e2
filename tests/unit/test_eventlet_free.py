# SPDX-License-Identifier: Apache-2.0
"""Libraries that look for eventlet do not bring it into a program that has none."""

from __future__ import annotations

import subprocess
import sys

import pytest

_FIRST_IN_A_THREAD = """
import importlib, sys, threading
imported = threading.Thread(target=importlib.import_module, args=[sys.argv[1]], daemon=True)
imported.start()
imported.join(120)
assert not imported.is_alive(), "who joins the thread waits for ever"
assert "eventlet" not in sys.modules
import eventlet
"""

_BESIDE = """
import sys, threading
from os_vif.system import eventlet_free
found = []
def another():
    import eventlet
    found.append(eventlet)
with eventlet_free.imports():
    try:
        import eventlet
    except ImportError:
        pass
    else:
        sys.exit("it was found")
    thread = threading.Thread(target=another, daemon=True)
    thread.start()
    while not found and thread.is_alive():
        pass
assert found, "another thread did not find it"
with eventlet_free.imports():
    import eventlet
"""


@pytest.mark.parametrize("module", ["os_vif.system.ovsdb", "os_vif.engine.daemon"])
def test_imported_first_in_a_thread(module: str) -> None:
    subprocess.run([sys.executable, "-c", _FIRST_IN_A_THREAD, module], check=True, timeout=60)


def test_others_find_it() -> None:
    """Another thread meanwhile, and everybody once it is loaded."""
    subprocess.run([sys.executable, "-c", _BESIDE], check=True, timeout=60)
