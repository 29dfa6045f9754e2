# SPDX-License-Identifier: Apache-2.0
"""Another program's vhost-user socket, as the command shows it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.functional

LOOK = ("--set", "noop.verify_sockets=true")


@pytest.fixture
def path(osvif: Any) -> Path:
    # The command runs in this folder, but a socket's path is absolute and short.
    found = Path(osvif.folder) / "s"
    osvif.file(f"type: vhostuser\nmode: client\npath: {found}\nmac: 52:54:00:12:34:56\n")
    return found


def test_unless_asked_it_is_not_looked_at(osvif: Any, path: Path) -> None:
    assert "healthy" in osvif("check", "vif.yaml").stdout
    osvif("plug", "vif.yaml")
    osvif("unplug", "vif.yaml")


def test_what_is_wrong_with_it(osvif: Any, path: Path) -> None:
    done = osvif("check", "vif.yaml", *LOOK, code=3)
    assert "it is not there: the program behind it has not made it" in " ".join(done.stdout.split())
    [vif] = osvif.json("check", "vif.yaml", *LOOK, code=3)["vifs"]
    [drift] = vif["drifts"]
    assert (drift["device"], drift["attribute"]) == (str(path), "socket")
    said = osvif("plug", "vif.yaml", *LOOK, code=1)
    assert "it is not there" in " ".join(said.stderr.split())
    words = (
        "[os_vif_noop] hypervisor_user: 'no-such-user' cannot be used: "
        "expected the name or number of a user of this host"
    )
    no_user = (*LOOK, "--set", "noop.hypervisor_user=no-such-user")
    [vif] = osvif.json("check", "vif.yaml", *no_user, code=3)["vifs"]
    assert [drift["words"] for drift in vif["drifts"]] == [words]
    said = osvif("plug", "vif.yaml", *no_user, code=1)
    assert words in " ".join(said.stderr.split())
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))
        made.listen()
        assert "healthy" in osvif("check", "vif.yaml", *LOOK).stdout
        osvif("plug", "vif.yaml", *LOOK)
    assert "no process holds it any more" in " ".join(
        osvif("check", "vif.yaml", *LOOK, code=3).stdout.split()
    )
