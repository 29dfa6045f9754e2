# SPDX-License-Identifier: Apache-2.0
"""What the command says of a fast path's port on dpdk-testpmd, well and ill."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif.host.vhost_user.system import testpmd
from tests import dpdk, fast_path

from .test_privilege import SETPRIV

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("fast path")]

VIF = """\
type: fastpath-bridge
bridge: br0
mode: client
path: {path}
name: {name}
mac: "52:54:00:12:34:{number}"
"""


@pytest.fixture
def path(osvif: Any) -> Iterator[Path]:
    """Return the path of the socket of the VIF in ``vif.yaml``, which is plugged."""
    with tempfile.TemporaryDirectory(prefix="fp-") as folder, dpdk.turn():
        found = Path(folder) / "vhu"
        osvif.file(VIF.format(path=found, name="vhu0", number="56"))
        options = fast_path.options(dpdk.settings())
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        osvif.file(f"[os_vif_vhostuser_fp]\n{lines}", "os-vif.conf")
        try:
            osvif("plug", *CONFIGURED, "vif.yaml")
            yield found
        finally:
            with osvif.host.enter():
                for device in testpmd.devices():
                    testpmd.stop(device)


CONFIGURED = ("--config-file", "os-vif.conf")


def drifts(osvif: Any) -> list[str]:
    [vif] = osvif.json("check", *CONFIGURED, "vif.yaml", code=3)["vifs"]
    return [drift["words"] for drift in vif["drifts"]]


def test_killed_and_seen_by_all_who_look(osvif: Any, path: Path) -> None:
    [vif] = osvif.json("list")["vifs"]
    assert vif["state"] == "up"
    [device] = vif["devices"]
    assert (device["socket"], device["listens"]) == (str(path), True)
    assert "!" not in osvif("show").stdout
    with osvif.host.enter():
        fast_path.kill_process_of("vhu0")
    assert [vif["state"] for vif in osvif.json("list")["vifs"]] == ["back_end_gone"]
    assert "! missing" in osvif("show").stdout
    assert drifts(osvif) == ["its back end does not run as it should: it was killed"]
    osvif("plug", *CONFIGURED, "vif.yaml")
    path.unlink()
    words = "its back end does not run as it should: it hangs, or its socket is gone"
    assert drifts(osvif) == [words]


def test_one_that_lost_its_tap_goes_with_gc(osvif: Any, path: Path) -> None:
    osvif.host.run("ip", "link", "delete", "vhu0")
    with osvif.nothing_changed():
        said = osvif("gc", "--keep-none", "--dry-run").stdout
        assert "would end  the back end of vhu0  its tap is gone" in said
        assert osvif.json("gc", "--keep-none", "--dry-run")["would_end"] == ["vhu0"]
        assert "1 back end would be removed: say" in osvif("gc", "--keep-none", code=2).stderr
    assert osvif.json("gc", "--keep-none", "--yes")["ended"] == ["vhu0"]
    assert not path.exists()
    assert "nothing to remove" in osvif("gc", "--keep-none", "--yes").stdout


def test_what_cannot_be_looked_at_is_drawn_and_said(osvif: Any, path: Path) -> None:
    done = osvif("show", *CONFIGURED, "vif.yaml", before=SETPRIV)
    assert "back-end processes could not be seen (needs root: " in done.stderr
    assert "vhu0" in done.stdout


def test_a_place_that_another_process_took(osvif: Any, path: Path) -> None:
    """Its socket is left as it is, by plug and by unplug."""
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.bind(os.fspath(path))
        stranger.listen()
        path.chmod(0o600)
        there = path.stat()
        for verb in ("check", "plug"):
            said = osvif(verb, *CONFIGURED, "vif.yaml", code=1).stderr
            words = " ".join(said.split())
            assert f"socket {path} is in the way: another process holds it" in words
        assert the_process(osvif) is not None, "a guest may be connected still"
        osvif("unplug", *CONFIGURED, "vif.yaml")
        assert the_process(osvif) is None
        assert path.stat() == there


def the_process(osvif: Any) -> Any:
    with osvif.host.enter():
        return testpmd.look("vhu0")


def test_two_vifs_cannot_have_one_socket(osvif: Any, path: Path) -> None:
    """Not at once; who has plugged both, some day, can unplug them."""
    one, two = (VIF.format(path=path, name=f"vhu{n}", number=f"5{n}") for n in (1, 2))
    osvif.file(f"{one}---\n{two}", "two.yaml")
    said = osvif("plan", *CONFIGURED, "two.yaml", code=2).stderr
    assert f"socket '{path}' is taken by the VIF at two.yaml:" in " ".join(said.split())
    osvif("unplug", *CONFIGURED, "two.yaml")


def test_exported_and_plugged_again(osvif: Any, path: Path) -> None:
    [before] = osvif.json("list")["vifs"]
    written = osvif.file(osvif("export", *CONFIGURED).stdout, "all.yaml")
    [vif] = osvif.json("export", *CONFIGURED)["vifs"]
    assert (vif["type"], vif["mode"], vif["path"]) == ("fastpath-bridge", "client", str(path))
    assert osvif("check", *CONFIGURED, written).stdout.startswith("healthy")
    osvif("gc", *CONFIGURED, "--keep-none", "--bridges", "--yes")
    assert osvif.json("list")["vifs"] == []
    osvif("plug", *CONFIGURED, written)
    assert osvif.json("list")["vifs"] == [before]
    assert osvif("check", *CONFIGURED, "vif.yaml").stdout.startswith("healthy")
