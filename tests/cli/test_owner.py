# SPDX-License-Identifier: Apache-2.0
"""What the files of an owner no longer name: ``owner:``, ``plug --prune``, ``gc --owner``."""

from __future__ import annotations

import pytest

from .conftest import BRIDGE, TAP, OsVif
from .test_in_use import guest  # noqa: F401  (a fixture)
from .test_switch import PORT, switch  # noqa: F401  (a fixture)

pytestmark = pytest.mark.functional

WEB, DB = BRIDGE.replace("tap0", "tap-web"), TAP.replace("tap1", "tap-db")


def vifs(*texts: str, owner: str = "") -> str:
    """Return a file of VIFs."""
    lines = ["vifs:" if texts else "vifs: []"]
    for text in texts:
        first, *rest = text.splitlines()
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join([f"owner: {owner}", *lines] if owner else lines) + "\n"


def owners(osvif: OsVif) -> dict[str, str | None]:
    """Return the owner of each VIF that is plugged, by its device."""
    found = osvif.json("list")["vifs"]
    return {item["devices"][0]["name"]: item["owner"] for item in found}


def alias(osvif: OsVif, device: str) -> str:
    return osvif.host.links()[device]["ifalias"]


def test_an_owner_stands_in_the_mark_and_can_change(osvif):
    file = osvif.file(vifs(WEB, DB))
    osvif("plug", file)
    assert owners(osvif) == {"tap-web": None, "tap-db": None}
    osvif.file(vifs(WEB, DB, owner="rack7"))
    assert "lacks the mark of its owner" in osvif("check", file, code=3).stdout
    osvif("plug", file)
    assert alias(osvif, "tap-web").endswith(" owner=rack7")
    assert owners(osvif) == {"tap-web": "rack7", "tap-db": "rack7"}
    osvif("check", file)
    assert osvif("plug", file).stdout.count("already plugged  ") == 2
    osvif.file(vifs(WEB, DB))
    osvif("plug", file)
    assert owners(osvif) == {"tap-web": None, "tap-db": None}
    osvif("unplug", file)
    assert set(osvif.host.links()) == {"br0"}


@pytest.mark.parametrize("said", ["'two words'", "a=b", "x" * 25, "[a]", "''", "null", "-a"])
def test_what_cannot_be_an_owner(osvif, said):
    file = osvif.file(vifs(WEB, owner=said))
    with osvif.nothing_changed():
        error = osvif("plug", file, code=2).stderr
    assert f"{file}:1:8: owner: " in error
    assert "expected one word of letters, digits, '-', '.' and '_', 24 characters at most" in error


def test_an_alias_that_says_two_owners_is_no_mark(osvif):
    osvif("plug", osvif.file(vifs(DB, owner="rack7")))
    text = alias(osvif, "tap-db")
    for other in (f"{text} owner=other", text.replace("rack7", "a,b"), text.replace("rack7", "")):
        osvif.host.run("ip", "link", "set", "tap-db", "alias", other)
        assert owners(osvif) == {}, other


def test_prune_takes_away_what_is_no_longer_named(osvif):
    file = osvif.file(vifs(WEB, DB, owner="rack7"))
    osvif("plug", file)
    osvif("plug", osvif.file(vifs(TAP.replace("tap1", "tap-x").replace(":57", ":60")), "plain"))
    other = vifs(TAP.replace("tap1", "tap-y").replace(":57", ":61"), owner="rack8")
    osvif("plug", osvif.file(other, "other"))
    osvif.file(vifs(WEB, owner="rack7"))
    with osvif.nothing_changed():
        said = osvif("plan", "--prune", file).stdout
        [gone, kept] = osvif.json("plan", "--prune", file)["vifs"]
    assert "tap-db" in said.splitlines()[0]
    assert said.splitlines()[0].endswith("the files no longer name it")
    assert "  1. delete tap-db" in said
    assert [gone["state"], kept["state"]] == ["to_do", "nothing_to_do"]
    osvif("plug", file)
    assert "tap-db" in osvif.host.links(), "not without --prune"
    said = osvif("plug", "--prune", file).stdout
    assert "unplugged        tap-db" in said
    assert "already plugged  tap-web" in said
    assert owners(osvif) == {"tap-web": "rack7", "tap-x": None, "tap-y": "rack8"}
    osvif.file(vifs(owner="rack7"))
    osvif("plug", "--prune", file)
    assert owners(osvif) == {"tap-x": None, "tap-y": "rack8"}


def test_a_name_can_go_to_another_vif(osvif):
    file = osvif.file(vifs(DB, owner="rack7"))
    osvif("plug", file)
    identity = "id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea\n"
    osvif.file(vifs(DB + identity, owner="rack7"))
    assert "is in the way" in osvif("plug", file, code=1).stderr
    osvif("plug", "--prune", file)
    assert "vif=5f4ab6c1" in alias(osvif, "tap-db")


def test_what_cannot_be_pruned(osvif):
    file = osvif.file(vifs(WEB))
    one = osvif.file(DB, "one.yaml")
    owned = osvif.file(vifs(TAP, owner="rack7"), "owned.yaml")
    with osvif.nothing_changed():
        for words in ((file,), (one,), (owned, one)):
            for command in ("plug", "plan"):
                said = osvif(command, "--prune", *words, code=2).stderr
                assert "nothing says whose this VIF is; say 'owner: NAME' beside 'vifs:'" in said
        (osvif.folder / "empty").mkdir()
        said = osvif("plug", "--prune", "empty", code=2).stderr
        assert "nothing says who that is; say 'owner: NAME' beside 'vifs:'" in said
        for words in (
            ("plug", "--prune", "--only", "tap1"),
            ("plug", "--prune", "--all-or-nothing"),
            ("plug", "--force"),
            ("plan", "--prune", "--unplug"),
        ):
            assert "--" in osvif(*words, owned, code=2).stderr


def test_prune_spares_what_is_open(osvif, guest):  # noqa: F811
    file = osvif.file(vifs(WEB, DB, owner="rack7"))
    osvif("plug", file)
    why = guest(file, "--only", "tap-db", device="tap-db")
    osvif.file(vifs(WEB, owner="rack7"))
    assert "sleep (pid " in osvif("plan", "--prune", file).stdout
    assert why in osvif("plug", "--prune", file, code=1).stderr
    assert "tap-db" in osvif.host.links()
    osvif("plug", "--prune", "--force", file)
    assert "tap-db" not in osvif.host.links()


def test_gc_leaves_what_has_an_owner_to_that_one(osvif):
    osvif("plug", osvif.file(vifs(WEB, owner="rack7"), "a"))
    osvif("plug", osvif.file(vifs(DB, owner="rack8"), "b"))
    osvif("plug", osvif.file(TAP, "c"))
    said = osvif("gc", "--keep-none", "--yes").stdout
    assert "left 1 VIF that has the owner rack7; see --owner rack7" in said
    assert owners(osvif) == {"tap-web": "rack7", "tap-db": "rack8"}
    assert osvif.json("gc", "--keep-none", "--yes")["owned"] == {"rack7": 1, "rack8": 1}
    with osvif.nothing_changed():
        osvif("gc", "--owner", "rack9", "--keep-none", "--yes")
        osvif("gc", "--owner", "rack7", "--keep", "a", "--yes")
        assert "24 characters" in osvif("gc", "--owner", "a b", "--keep-none", code=2).stderr
    osvif("gc", "--owner", "rack7", "--keep-none", "--yes")
    assert owners(osvif) == {"tap-db": "rack8"}


@pytest.mark.parametrize("text", [TAP, BRIDGE])
def test_a_device_that_is_renamed_in_the_file_leaves_no_other(osvif, text):
    identity = "id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea\n"
    name = next(line for line in text.splitlines() if line.startswith("name: "))
    file = osvif.file(vifs(text + identity, owner="rack7"))
    osvif("plug", file)
    before = set(osvif.host.links())
    osvif.file(vifs(text.replace(name, "name: tap-new") + identity, owner="rack8"))
    osvif("plug", file)
    assert set(osvif.host.links()) == before - {name.removeprefix("name: ")} | {"tap-new"}
    osvif("check", file)
    assert owners(osvif) == {"tap-new": "rack8"}
    osvif("unplug", file)
    assert set(osvif.host.links()) == before - {name.removeprefix("name: ")} - {"tap-new"}


def test_a_port_of_open_vswitch_that_is_renamed_leaves_no_other(osvif, switch):  # noqa: F811
    file = osvif.file(vifs(PORT, owner="rack7"))
    osvif("plug", file)
    assert "owner=rack7" in switch.get("Interface", "tap0", "external_ids:os-vif")
    osvif.file(vifs(PORT.replace("tap0", "tap-new"), owner="rack8"))
    osvif("plug", file)
    assert switch.vsctl("list-ports", "br-int").split() == ["tap-new"]
    assert "tap0" not in osvif.host.links()
    osvif("check", file)
    osvif("gc", "--keep-none", "--yes")
    osvif("gc", "--owner", "rack7", "--keep-none", "--yes")
    assert owners(osvif) == {"tap-new": "rack8"}
    osvif.file(vifs(owner="rack8"))
    osvif("plug", "--prune", file)
    assert switch.vsctl("list-ports", "br-int") == ""
    assert "tap-new" not in osvif.host.links()
