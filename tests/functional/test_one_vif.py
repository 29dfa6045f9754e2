# SPDX-License-Identifier: Apache-2.0
"""One VIF, plugged and unplugged by several processes at once: no call has an error of it."""

from __future__ import annotations

import errno
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.engine import patience
from os_vif.host.forwarding.system import iptables
from os_vif.host.openvswitch.system import changes
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.test_concurrency import in_processes

pytestmark = pytest.mark.functional

PROCESSES, ROUNDS = 3, 40


def with_rules() -> Any:
    return vifs.bridge_vif(1, has_traffic_filtering=False)


@pytest.fixture(autouse=True)
def settings() -> Iterator[None]:
    with (
        vifs.configured("linux_bridge", create_tap=True),
        vifs.configured("ovs", ovs_vsctl_timeout=60),
    ):
        yield


def churn(vif: Any) -> None:
    """Let every process plug and unplug at random; one error of one call fails."""

    def act(process: int) -> None:
        chance = random.Random(process)
        for number in range(ROUNDS):
            verb = chance.choice([plug, unplug])
            try:
                verb(vif)
            except Exception as error:
                raise AssertionError(f"round {number}, {verb.__name__}: {error}") from error

    in_processes(PROCESSES, act)


def test_on_a_bridge_with_rules(inside: Any) -> None:
    churn(with_rules())
    plug(with_rules())
    assert steps_left(with_rules()) == []
    assert len(witness.rules()) == len(set(witness.rules()))
    unplug(with_rules())
    assert list(inside.links()) == ["br0"]
    assert witness.rules() == []


@pytest.mark.slow
@pytest.mark.parametrize("make", [vifs_ovs.plain, vifs_ovs.hybrid], ids=["tap", "hybrid"])
def test_on_open_vswitch(switch: Any, inside: Any, make: Callable[[int], Any]) -> None:
    churn(make(1))
    plug(make(1))
    assert steps_left(make(1)) == []
    unplug(make(1))
    assert set(inside.links()) <= {"br-int", "ovs-netdev"}
    assert switch.vsctl("list-ports", "br-int") == ""
    assert os_vif.list_vifs() == []


def test_a_port_that_another_makes_before_each_of_many_tries(
    switch: Any, inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is slow among fast ones is no failure, however often it is overtaken."""
    plug(vifs_ovs.plain(2))  # and with it the bridge
    vif, tries = vifs_ovs.plain(1), []
    commit = changes._commit

    def overtaken(server: Any, todo: Any, deadline: Any) -> Any:
        mine = any(step.kind == "add_port" for step in todo)
        tries.append(mine)
        if not mine or len(tries) > 30:
            return commit(server, todo, deadline)
        switch.vsctl("--no-wait", "add-port", "br-int", vif.vif_name)
        try:
            return commit(server, todo, deadline)
        finally:
            switch.vsctl("--no-wait", "del-port", "br-int", vif.vif_name)

    monkeypatch.setattr(changes, "_commit", overtaken)
    monkeypatch.setattr(patience, "_LONGEST_PAUSE_S", 0.01)
    plug(vif)
    assert len(tries) > 30
    monkeypatch.undo()
    assert steps_left(vif) == []
    assert witness.ask(f"link show {vif.vif_name}")


@pytest.fixture
def overtaken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with a command, which the next iptables-restore runs just before its own."""
    file, folder = tmp_path / "before", tmp_path / "bin"
    folder.mkdir()
    script = folder / "iptables-restore"
    real = shutil.which("iptables-restore") or "/usr/sbin/iptables-restore"
    once = f"if [ -e {file} ]; then mv {file} {file}.done; sh -e {file}.done >&2; fi"
    script.write_text(f'#!/bin/sh\n{once}\nexec {real} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}:/usr/sbin:/sbin")
    return file


def test_rules_that_another_takes_away_meanwhile(inside: Any, overtaken: Path) -> None:
    plug(with_rules())
    overtaken.write_text("iptables -F FORWARD\n")
    unplug(with_rules())
    assert not overtaken.exists()
    assert witness.rules() == []
    assert list(inside.links()) == ["br0"]


def test_a_place_that_is_gone_meanwhile(inside: Any, overtaken: Path) -> None:
    for port in range(1, 6):
        inside.run("iptables", "-A", "FORWARD", "-p", "udp", "--dport", str(port), "-j", "ACCEPT")
    overtaken.write_text("iptables -F FORWARD\n")
    with vifs.configured("linux_bridge", iptables_top_regex="ACCEPT"):
        plug(with_rules())
        assert not overtaken.exists()
        assert steps_left(with_rules()) == []


def test_a_chain_that_another_changes_before_each_of_many_tries(
    inside: Any, overtaken: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = overtaken.parent / "bin" / "iptables-restore"
    left = overtaken.parent / "left"
    left.write_text("x" * 12)
    once_more = (
        f"if [ -s {left} ]; then truncate --size=-1 {left}; iptables -A FORWARD -p udp "
        f"--dport $(stat --format=1%s {left}) -j ACCEPT; echo overtaken >&2; exit 1; fi"
    )
    script.write_text(script.read_text().replace("exec", f"{once_more}\nexec"))
    monkeypatch.setattr(iptables, "_PAUSE_S", 0.0)
    plug(with_rules())
    assert left.read_text() == ""
    assert steps_left(with_rules()) == []


def test_what_never_goes_is_told(inside: Any, overtaken: Path) -> None:
    """And not tried for ever: the words are those of the command."""
    folder = overtaken.parent / "bin"
    tried = overtaken.parent / "tried"
    script = f"#!/bin/sh\necho >>{tried}\necho 'no such luck' >&2\nexit 1\n"
    (folder / "iptables-restore").write_text(script)
    before = witness.snapshot()
    with pytest.raises(os_vif.exception.PlugException, match="iptables-restore: no such luck"):
        plug(with_rules())
    assert len(tried.read_text().splitlines()) == 2
    assert witness.differences(before, witness.snapshot()) == []


@pytest.mark.parametrize("words", ["Device or resource busy", "Invalid argument", "No such device"])
@pytest.mark.parametrize("times", [1, 99])
def test_a_port_whose_device_another_has_made_again(
    switch: Any, inside: Any, words: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    unattached = changes._unattached

    def busy(attaching: Any, *answers: Any) -> Any:
        if len(said) == times:
            return unattached(attaching, *answers)
        said.append(words)
        [step] = attaching
        return [(step, errno.EPROTO, f"could not add network device to ofproto ({words})")]

    monkeypatch.setattr(changes, "_unattached", busy)
    if times == 1:
        plug(vifs_ovs.plain(1))
        assert steps_left(vifs_ovs.plain(1)) == []
        return
    with pytest.raises(os_vif.exception.PlugException, match=words):
        plug(vifs_ovs.plain(1))
    if words != "No such device":  # who says that may be right for long
        assert len(said) == 5
    assert set(inside.links()) <= {"br-int", "ovs-netdev"}
    assert "tap" not in switch.vsctl("show")
