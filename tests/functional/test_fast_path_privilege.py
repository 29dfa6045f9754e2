# SPDX-License-Identifier: Apache-2.0
"""A fast path's port for a caller without privilege: what runs is the daemon's business alone."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import steps
from os_vif.host.vhost_user.system.testpmd_words import Settings
from os_vif.system import processes, trust
from tests import fast_path, openvswitch, vifs, vifs_ovs, witness
from tests.fast_path import assert_nothing_left, guest_of, kill, pid_of
from tests.functional.test_privilege import (
    BRIDGES,
    FAST_PATH,
    NOBODY,
    OTHERS,
    SWITCH,
    as_nobody,
    counted,
    served_helper,
)

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("fast path")]


@pytest.fixture
def of_root() -> Iterator[Path]:
    """Return a folder that root alone may change, and nobody on the way to it."""
    with tempfile.TemporaryDirectory(prefix="os-vif-test-", dir="/run") as folder:
        yield Path(folder)


def configured_helper(file: Path, **options: Any) -> str:
    """Return the helper command of a daemon that has these options from its own file."""
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    file.write_text(f"[os_vif_vhostuser_fp]\n{lines}")
    return f"{served_helper()} --config-file {file}"


@pytest.fixture
def helper(testpmd_settings: Settings, of_root: Path) -> str:
    """Return the helper command of a daemon that has the back end's options from its own file."""
    options = {**fast_path.options(testpmd_settings), "socket_owner": "nobody"}
    return configured_helper(of_root / "os-vif.conf", **options)


def test_in_one_round_trip(inside: Any, helper: str, sockets: str) -> None:
    """The caller's own idea of the command counts for nothing, nor its idea of the owner."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    os.chmod(sockets, 0o755)  # noqa: S103 - it may look at the socket here, elsewhere not

    def act() -> None:
        calls = counted()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1, calls
        calls.clear()
        assert os_vif.check(vif, vifs.instance()) == []
        assert len(calls) == 1, "the process can only be seen with privilege"
        calls.clear()
        os_vif.plug(vif, vifs.instance())
        assert len(calls) == 1

    with vifs.configured(
        "vhostuser_fp", back_end="testpmd", testpmd_command="touch /tmp/pwned", socket_owner="root"
    ):
        as_nobody(act, section=FAST_PATH, helper=helper)
        found = os.stat(vif.path)
        assert (found.st_uid, found.st_mode & 0o777) == (NOBODY, 0o660)
        witness.ip("addr add 192.0.2.1/24 dev br0")
        with guest_of(vif) as one:
            one.start()
            assert one.arp_for("192.0.2.9", "192.0.2.1")
        pid = pid_of(vif)
        kill(vif)

        def again() -> None:
            assert "start_back_end" in [step.kind for step in os_vif.check(vif, vifs.instance())]
            calls = counted()
            os_vif.plug(vif, vifs.instance())
            assert len(calls) <= 2
            calls.clear()
            os_vif.unplug(vif, vifs.instance())
            assert len(calls) == 1
            os_vif.unplug(vif, vifs.instance())

        as_nobody(again, section=FAST_PATH, helper=helper)
    assert not processes.started(pid)
    assert_nothing_left(vif)
    assert set(inside.links()) == {"br0"}


def test_a_killed_one_is_cleaned_up(inside: Any, helper: str, sockets: str) -> None:
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    with vifs.configured("vhostuser_fp", back_end="testpmd"):
        as_nobody(lambda: os_vif.plug(vif, vifs.instance()), section=FAST_PATH, helper=helper)
        kill(vif)
        as_nobody(lambda: os_vif.unplug(vif, vifs.instance()), section=FAST_PATH, helper=helper)
    assert_nothing_left(vif)


def test_removed_without_its_vif(inside: Any, helper: str, sockets: str) -> None:
    """The process by its plugin's daemon, which alone may; the tap by that of all the rest."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    with vifs.configured("vhostuser_fp", back_end="testpmd"):
        as_nobody(lambda: os_vif.plug(vif, vifs.instance()), section=FAST_PATH, helper=helper)
        kill(vif)
        assert os.path.lexists(vif.path)
        os.chmod(sockets, 0)

        def act() -> None:
            [gone] = os_vif.gc([])
            assert gone.mark.vif_id == vif.id

        as_nobody(act, section=(FAST_PATH, OTHERS), helper=helper)
    assert_nothing_left(vif)


@pytest.mark.parametrize("hybrid", [False, True])
def test_on_a_switch(inside: Any, helper: str, sockets: str, hybrid: bool) -> None:
    vif = fast_path.on_switch(1, f"{sockets}/vhu", hybrid=hybrid, mtu=vifs_ovs.MTU)
    with contextlib.closing(openvswitch.Switch(inside, tcp=True)) as switch:

        def act() -> None:
            os_vif.plug(vif, vifs.instance())
            assert os_vif.check(vif, vifs.instance()) == []
            os_vif.plug(vif, vifs.instance())
            os_vif.unplug(vif, vifs.instance())

        with (
            vifs.configured("ovs", ovsdb_connection=switch.tcp, ovs_vsctl_timeout=30),
            vifs.configured("vhostuser_fp", back_end="testpmd"),
        ):
            as_nobody(act, section=FAST_PATH, helper=helper)
            assert_nothing_left(vif)
        assert switch.vsctl("list-ports", "br-int") == ""
        assert set(inside.links()) == {"br-int", "ovs-netdev"}


def refused_by_the_daemon(vif: Any, helper: str, words: str) -> None:
    before = witness.snapshot()

    def act() -> None:
        with pytest.raises(exception.PlugException, match=words):
            os_vif.plug(vif, vifs.instance())

    with vifs.configured("vhostuser_fp", back_end="testpmd", testpmd_command="true"):
        as_nobody(act, section=FAST_PATH, helper=helper)
    assert witness.differences(before, witness.snapshot()) == []


def test_a_failure_comes_back_in_its_own_words(inside: Any, sockets: str, of_root: Path) -> None:
    helper = configured_helper(of_root / "os-vif.conf", testpmd_command="no-such-command")
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    refused_by_the_daemon(vif, helper, "no command no-such-command|cannot run no-such-command")


def test_what_another_than_root_has_set_is_not_run(
    inside: Any, sockets: str, of_root: Path, tmp_path: Path
) -> None:
    """Who starts the daemon may name its files, as he may with many a rule of rootwrap's."""
    vif = fast_path.on_bridge(1, f"{sockets}/vhu", mode="client")
    ran = tmp_path / "ran"
    command = {"testpmd_command": f"touch {ran}"}
    own, theirs = of_root / "root.conf", of_root / "theirs.conf"
    theirs_too = configured_helper(theirs, **command)
    os.chown(theirs, NOBODY, NOBODY)
    refused_by_the_daemon(vif, theirs_too, f"testpmd_command: .*{theirs} belongs to user {NOBODY}")
    public = of_root / "public"
    public.mkdir()
    public.chmod(0o1777)
    helper = configured_helper(public / "x.conf", **command)
    refused_by_the_daemon(vif, helper, f"others may change {public} ")
    away = configured_helper(of_root / "public" / ".." / "public" / "x.conf", **command)
    refused_by_the_daemon(vif, away, f"others may change {public} ")
    helper = configured_helper(own, socket_mode="0660")
    environment = "env OS_OS_VIF_VHOSTUSER_FP__TESTPMD_COMMAND=touch"
    refused_by_the_daemon(vif, f"{environment} {helper}", "environment variables are its starter's")
    assert not ran.exists()


def test_a_file_behind_a_link_of_anothers(of_root: Path) -> None:
    """Each link on the way counts, and where it is: what it leads to may be root's alone."""
    (of_root / "root.conf").touch()
    theirs = of_root / "theirs"
    theirs.mkdir()
    (theirs / "link").symlink_to(of_root / "root.conf")
    (of_root / "conf").symlink_to(theirs / "link")
    assert trust.untrusted_file(str(of_root / "conf")) == ""
    os.chown(theirs, NOBODY, NOBODY)
    said = trust.untrusted_file(str(of_root / "conf"))
    assert said == f"{theirs} belongs to user {NOBODY}"
    assert "No such file" in trust.untrusted_file(str(of_root / "none"))


MAC = "52:54:00:00:00:01"
START = {"name": "fp0", "path": "/run/a", "listens": True, "mac": MAC, "why": ""}
STOP = {"name": "fp0", "stale": "", "abandoned": False}
BAD: list[list[Any]] = [
    ["start_back_end", {**START, "path": "/run/a,client=1"}],
    ["start_back_end", {**START, "name": "../fp0"}],
    ["stop_back_end", {**STOP, "stale": "run/a"}],
    ["stop_back_end", {**STOP, "name": "*"}],
    ["stop_back_end", {**STOP, "command": "reboot"}],
]


def test_the_daemon_refuses_what_is_no_step(inside: Any, helper: str) -> None:
    def act() -> None:
        from os_vif.engine import privilege

        for kind, args in BAD:
            with pytest.raises(exception.InvalidField):
                privilege.run(FAST_PATH, [[[kind, args, None, None]]], together=False)

    for kind, args in (("start_back_end", START), ("stop_back_end", STOP)):
        assert steps.checked(kind, args, FAST_PATH), "it is refused for its one fault alone"
    as_nobody(act, section=FAST_PATH, helper=helper)


@pytest.mark.parametrize("section", [BRIDGES, SWITCH, OTHERS])
def test_no_other_daemon_runs_programs(
    inside: Any, of_root: Path, tmp_path: Path, section: str
) -> None:
    ran = tmp_path / "ran"
    command = of_root / "command"
    command.write_text(f"#!/bin/sh\ntouch {ran}\n")
    command.chmod(0o755)
    options = {"testpmd_command": command, "fp_vdev_command": command}
    helper = configured_helper(of_root / "os-vif.conf", **options)
    add = {"name": "fp0", "path": "/run/a", "listens": False}

    def act() -> None:
        from os_vif.engine import privilege

        for kind, args in (("start_back_end", START), ("add_fp_device", add)):
            with pytest.raises(exception.InvalidField, match=kind):
                privilege.run(section, [[[kind, args, None, None]]], together=False)

    as_nobody(act, section=section, helper=helper)
    assert not ran.exists()
