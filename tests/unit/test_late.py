# SPDX-License-Identifier: Apache-2.0
"""Modules that are executed when something in them is asked for."""

import importlib
import sys
import threading
import types

import pytest

from os_vif.cli import late
from tests.waiting import PATIENCE_S


@pytest.fixture
def found(tmp_path, monkeypatch):
    """Return a module of this code, found and not executed; ``told`` is what it has executed."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(late, "_LIBRARIES", {"late_one", "late_two"})
    late.install()
    late.install()

    def write(text, name="late_one"):
        (tmp_path / f"{name}.py").write_text(
            f"import builtins\nbuiltins.told.append('{name}')\n{text}"
        )
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    monkeypatch.setattr("builtins.told", [], raising=False)
    yield write
    for name in ("late_one", "late_two"):
        sys.modules.pop(name, None)


def told():
    import builtins

    return builtins.told


def test_it_is_executed_once_when_something_is_asked_for(found):
    module = found("value = 5")
    assert type(module) is late.Late
    import late_one  # a second time

    assert module.__spec__.name == late_one.__name__ == "late_one"
    assert told() == []
    assert late_one.value == 5
    assert module.value == 5
    assert told() == ["late_one"]
    assert type(module) is types.ModuleType
    assert module.__loader__ is module.__spec__.loader
    assert type(module.__loader__).__name__ == "SourceFileLoader"


def test_what_is_set_from_outside_stays(found):
    module = found("value = 5")
    module.value = 6
    assert told() == ["late_one"]
    assert module.value == 6


def test_two_that_import_each_other(found):
    module = found("import late_two\nvalue = 5\ntwice = late_two.value * 2")
    found("import late_one\nvalue = late_one.value", "late_two")
    assert module.twice == 10
    assert told() == ["late_one", "late_two"]


def test_one_that_is_missing_is_told_at_once(found):
    with pytest.raises(ModuleNotFoundError, match="late_two"):
        import late_two  # noqa: F401


def test_one_that_fails_says_so_and_is_tried_again(found):
    module = found("if len(builtins.told) < 2: raise OSError('not yet')\nvalue = 5")
    with pytest.raises(OSError, match="not yet"):
        module.value  # noqa: B018
    assert module.value == 5
    assert told() == ["late_one", "late_one"]


def test_another_thread_waits_until_all_of_it_is_there(found):
    module = found("import threading, time\nbuiltins.begun.set()\ntime.sleep(0.2)\nvalue = 5")
    import builtins

    builtins.begun = threading.Event()
    try:
        first = threading.Thread(target=lambda: module.value)
        first.start()
        assert builtins.begun.wait(PATIENCE_S)
        assert module.value == 5
        first.join()
    finally:
        del builtins.begun
    assert told() == ["late_one"]


def test_of_ours_the_modules_are_late_and_the_packages_are_not(monkeypatch):
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    late.install()
    finder = sys.meta_path[0]
    import os_vif.engine

    module = finder.find_spec("os_vif.engine.planner", os_vif.engine.__path__)
    assert type(module.loader).__name__ == "_Loader"
    package = finder.find_spec("os_vif.engine", os_vif.__path__)
    assert type(package.loader).__name__ == "SourceFileLoader"
    assert finder.find_spec("json") is None
    assert finder.find_spec("os_vif.nothing", os_vif.__path__) is None
