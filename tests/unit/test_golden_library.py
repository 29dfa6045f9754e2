# SPDX-License-Identifier: Apache-2.0
"""Public names, exceptions, imports and client facts against what os-vif 5.3.0 does."""

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from os_vif import exception, objects

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "golden.json").read_text())
PUBLIC = [
    (module, name)
    for module, names in GOLDEN["api"].items()
    for name, recorded in names.items()
    if recorded["kind"] in ("class", "function", "value") and name != "TYPE_CHECKING"
]


@pytest.fixture(autouse=True, scope="module")
def registered():
    objects.register_all()


def signature(function):
    """A function's parameters as golden.json writes them."""
    return [
        [parameter.name, parameter.kind.name]
        + ([] if parameter.default is inspect.Parameter.empty else [parameter.default])
        for parameter in inspect.signature(function).parameters.values()
    ]


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_public_name(module, name):
    recorded = GOLDEN["api"][module][name]
    ours = getattr(importlib.import_module(module), name)
    if recorded["kind"] == "function":
        assert signature(ours) == recorded["signature"]
    elif recorded["kind"] == "class":
        ancestors = {cls.__name__ for cls in ours.__mro__}
        assert set(recorded["bases"]) <= ancestors
        assert sorted(getattr(ours, "__abstractmethods__", ())) == recorded["abstract"]
        for attribute, value in recorded.get("constants", {}).items():
            held = getattr(ours, attribute)
            assert (list(held) if isinstance(held, tuple) else held) == value
        for member, expected in recorded["members"].items():
            raw = inspect.getattr_static(ours, member)
            if expected["kind"] == "classmethod":
                raw = raw.__func__
            assert signature(raw) == expected["signature"], member
    elif name != "_EXT_MANAGER":
        assert type(ours).__name__ == recorded["type"]


@pytest.mark.parametrize("name", GOLDEN["exceptions"])
def test_exception(name):
    recorded, ours = GOLDEN["exceptions"][name], getattr(exception, name)
    assert [cls.__name__ for cls in ours.__mro__[1:-1]] == recorded["bases"]
    assert sorted(re.findall(r"%\((\w+)\)s", ours.msg_fmt)) == recorded["placeholders"]

    values = {key: f"<{key}>" for key in recorded["placeholders"]}
    filled = ours(**values)
    assert all(value in str(filled) for value in values.values()) is recorded["fills"]
    assert filled.kwargs == values
    assert (str(ours()) == ours.msg_fmt) is recorded["unfilled is msg_fmt"]

    given = ours("a message", detail=1)
    assert [
        str(given),
        given.message,
        given.format_message(),
        given.kwargs,
        list(given.args),
    ] == recorded["message"]


def run_python(*lines):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(lines)],
        capture_output=True,
        check=True,
        text=True,
    ).stdout.split()


def test_importing_the_library_imports_no_versioned_object():
    heavy = GOLDEN["imports"]["register_all"]
    loaded = run_python(
        "import sys, os_vif, os_vif.objects, os_vif.plugin, os_vif.opts, os_vif.negotiation",
        "import vif_plug_ovs.constants, vif_plug_ovs.ovs",
        f"print(*sorted(set({heavy!r}) & set(sys.modules)))",
        f"print(*(name for name in {GOLDEN['imports']['submodules']!r}",
        "         if hasattr(os_vif.objects, name)))",
    )
    assert loaded == GOLDEN["imports"]["import os_vif"]


def test_registering_makes_the_submodules_attributes():
    found = run_python(
        "import os_vif.objects",
        "os_vif.objects.register_all()",
        f"print(*(name for name in {GOLDEN['imports']['submodules']!r}",
        "         if hasattr(os_vif.objects, name)))",
    )
    assert found == GOLDEN["imports"]["submodules"]


def test_names_kuryr_imports():
    from vif_plug_ovs import constants, ovs

    facts = GOLDEN["client_facts"]
    prefix = constants.OVS_VHOSTUSER_PREFIX
    assert prefix == facts["vif_plug_ovs.constants.OVS_VHOSTUSER_PREFIX"]
    vif_id = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
    expected = facts["vif_plug_ovs.ovs.OvsPlugin.gen_port_name"]
    assert ovs.OvsPlugin.gen_port_name(prefix, vif_id) == expected
