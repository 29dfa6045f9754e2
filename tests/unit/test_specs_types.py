# SPDX-License-Identifier: Apache-2.0
"""Types of VIF that third parties bring: good ones, ones in the way, broken ones."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
import types as modules
from importlib import metadata

import pytest
from click.shell_completion import ShellComplete
from stevedore import extension

import os_vif
from os_vif import specs
from os_vif.cli import main
from os_vif.cli.specs import reader, types

OURS = [
    "bridge",
    "tap",
    "openvswitch",
    "openvswitch-hybrid",
    "openvswitch-vhostuser",
    "openvswitch-hostdev",
    "macvtap",
    "sriov",
    "fastpath-bridge",
    "fastpath-openvswitch",
    "fastpath-tap",
    "vhostuser",
]


def build(values):
    from os_vif.objects.vif import VIFGeneric

    return VIFGeneric(
        **specs.identity_of(values), plugin="island", network=specs.network_of(values)
    )


def check(values, into):
    specs.check_addresses(values, into)
    if values.get("shore") == 13:
        into.problem(into.marks["shore"], "shore", "nobody lands there")


ISLAND = specs.VIFType(
    "island",
    "a tap on a bridge of its own",
    "guests who want to be alone",
    "island",
    "VIFGeneric",
    (
        specs.MAC_ADDRESS,
        specs.NAME,
        specs.ID,
        specs.Field("shore", specs.VLAN, "where to land", known_as=("coast",)),
        specs.Field("network", specs.NETWORK, "the network"),
    ),
    build,
    "type: island\nmac: 52:54:00:12:34:56\n",
    check,
)


def named(name, **changes):
    return dataclasses.replace(ISLAND, name=name, **changes)


@pytest.fixture
def install(monkeypatch):
    """Install packages that bring types beside ours: their module's name, and what it holds."""
    cache = extension.ExtensionManager.ENTRY_POINT_CACHE
    types.all_types()
    ours = list(cache[types.GROUP])

    def install(**packages):
        points = []
        for name, held in packages.items():
            if held is not None:
                module = modules.ModuleType(name)
                module.TYPES = held
                monkeypatch.setitem(sys.modules, name, module)
            points.append(metadata.EntryPoint(name, f"{name}:TYPES", types.GROUP))
        monkeypatch.setitem(cache, types.GROUP, [*points, *ours])
        types._table.cache_clear()
        return types.all_types()

    yield install
    types._table.cache_clear()


def read(text):
    os_vif.initialize()
    batch = reader.Batch()
    reader.read_text("f.yaml", text, batch)
    return batch


def complete(incomplete):
    shell = ShellComplete(main.cli, {}, "os-vif", "_OS_VIF_COMPLETE")
    return [item.value for item in shell.get_completions(["types"], incomplete)]


def run(*words, capsys):
    with pytest.raises(SystemExit) as caught:
        main.main(list(words))
    said = capsys.readouterr()
    return caught.value.code, said.out, said.err


def test_ours_stand_in_the_order_of_a_first_acquaintance():
    assert list(types.all_types()) == OURS


def test_each_of_ours_stands_with_the_plugin_it_is_for():
    for point in types._entry_points():
        assert {row.plugin for row in point.load()} == {point.name}
        assert point.value == f"os_vif.plugins.types.{point.name}:TYPES"


def test_a_third_partys_type_is_like_ours(install, capsys):
    table = install(island=(ISLAND,))
    assert list(table) == [*OURS, "island"]
    assert types.left_out() == []
    [entry] = read("{type: island, mac: '52:54:00:12:34:56', name: t0}").entries
    assert (entry.vif.plugin, entry.vif.vif_name, entry.row) == ("island", "t0", ISLAND)
    assert types.schema_of()["$defs"]["island"]["required"] == ["type", "mac"]
    assert complete("is") == ["island"]
    code, out, err = run("types", "island", capsys=capsys)
    assert (code, err) == (0, "")
    assert "guests who want to be alone" in out
    assert "shore  a VLAN id" in out


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("type: islnd", "type", "did you mean 'island'?"),
        ("{type: island, mac: '52:54:00:12:34:56', coast: 5}", "coast", "did you mean 'shore'?"),
        ("{type: island, mac: '52:54:00:12:34:56', shore: 0}", "shore", "1 to 4094"),
        ("{type: island, mac: '52:54:00:12:34:56', shore: 13}", "shore", "nobody lands there"),
        ("{mac: '52:54:00:12:34:56'}", "type", "vhostuser, island"),
    ],
)
def test_a_mistake_in_a_third_partys_type_is_told_like_one_in_ours(install, text, field, said):
    install(island=(ISLAND,))
    [problem] = read(text).problems
    assert problem.field == field
    assert said in problem.message


def test_nobody_takes_the_name_of_ours(install, capsys):
    before = types.all_types()["bridge"]
    table = install(aaa=(named("bridge"), ISLAND))
    assert table["bridge"] is before
    assert "island" in table
    told = (
        "the type 'bridge' of aaa:TYPES is left out: "
        "os_vif.plugins.types.linux_bridge:TYPES has one of this name"
    )
    assert types.left_out() == [told]
    code, out, err = run("types", "bridge", capsys=capsys)
    assert (code, err) == (0, f"warning: {told}\n")
    assert out.startswith("bridge  a tap on a Linux bridge")


def test_of_two_third_parties_the_first_by_module_has_the_name(install):
    first, second = named("island"), named("island", summary="another")
    for packages in ({"bbb": (first,), "ccc": (second,)}, {"ccc": (second,), "bbb": (first,)}):
        table = install(**packages)
        assert table["island"] is first
        assert types.left_out() == [
            "the type 'island' of ccc:TYPES is left out: bbb:TYPES has one of this name"
        ]


def test_a_rank_counts_only_among_third_parties(install):
    table = install(bbb=(ISLAND,), ccc=(named("reef", rank=0), named("atoll")))
    assert list(table) == [*OURS, "reef", "island", "atoll"]


@pytest.mark.parametrize(
    ("held", "why"),
    [
        (None, "ModuleNotFoundError(\"No module named 'broken'\")"),
        (5, "it is no tuple of VIFType"),
        ((ISLAND, "reef"), "it holds 'reef', which is no VIFType"),
        ((named("two words"),), "one word of letters"),
        ((named(5),), "one word of letters"),
        ((named("reef", fields=("mac",)),), "AttributeError"),
        (
            (
                named(
                    "reef",
                    fields=(specs.Field("x", specs.Kind("x", str, {"enum": {1}}), "no JSON"),),
                ),
            ),
            "TypeError",
        ),
    ],
)
def test_what_cannot_be_used_is_left_out_and_told_once(install, capsys, held, why):
    table = install(broken=held, good=(named("reef"),))
    assert list(table) == [*OURS, "reef"]
    [told] = types.left_out()
    assert told.startswith("the types of broken:TYPES are left out: ")
    assert why in told
    for words in (["types"], ["schema", "tap"], ["types", "--json"]):
        code, out, err = run(*words, capsys=capsys)
        assert (code, err) == (0, f"warning: {told}\n")
        assert out
    code, _out, err = run("types", "-q", capsys=capsys)
    assert (code, err) == (0, "")
    code, _out, err = run("types", "island", capsys=capsys)
    assert code == 2
    assert err.count(told) == 1
    # A shell that completes would show it in the middle of a line.
    assert complete("re") == ["reef"]
    assert capsys.readouterr().err == ""


def test_who_needs_no_types_hears_nothing_of_them(install, monkeypatch, capsys):
    install(broken=None)
    types._table.cache_clear()
    monkeypatch.setattr(types, "_entry_points", lambda: pytest.fail("nobody asked for types"))
    code, out, err = run("completion", "bash", capsys=capsys)
    assert (code, err) == (0, "")
    assert out
    assert complete("--js") == ["--json"]


def test_installed_types_are_found_and_no_service_loads_any(tmp_path):
    """The whole road: distributions on disk, one in good order and one that is not."""
    (tmp_path / "reefs.py").write_text(
        textwrap.dedent(
            """
            from os_vif.specs import MAC_ADDRESS, VIFType, identity_of

            def build(values):
                from os_vif.objects.vif import VIFGeneric

                return VIFGeneric(**identity_of(values), plugin="tap")

            TYPES = (
                VIFType(
                    "reef", "a tap", "fish", "tap", "VIFGeneric", (MAC_ADDRESS,), build, "reef"
                ),
            )
            """
        )
    )
    dist = tmp_path / "reefs-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: reefs\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(
        "[os_vif.types]\nreef = reefs:TYPES\nsunk = no_such_module:TYPES\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"}

    def python(code, *words, **options):
        return subprocess.run(
            [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *words],
            capture_output=True,
            check=True,
            text=True,
            env=environment,
            **options,
        )

    command = "import sys; from os_vif.cli.main import main; main(sys.argv[1:])"
    text = "{type: reef, mac: '52:54:00:12:34:56'}"
    done = python(command, "validate", "--json", "-", input=text)
    [vif] = json.loads(done.stdout)["vifs"]
    assert (vif["type"], vif["plugin"]) == ("reef", "tap")
    assert done.stderr.count("the types of no_such_module:TYPES are left out") == 1
    service = """
        import sys
        import os_vif
        os_vif.initialize()
        os_vif.host_info()
        print([name for name in sys.modules if name.startswith(("os_vif.specs", "os_vif.cli"))])
        print([name for name in sys.modules if "types" in name and "os_vif" in name])
    """
    assert python(service).stdout == "[]\n[]\n"


def test_all_words_for_types_are_there():
    for name in specs.__all__:
        assert getattr(specs, name) is not None
