# SPDX-License-Identifier: Apache-2.0
"""How the plugin ``ovs`` reaches its database, and what it says when it cannot."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif import exception
from tests import certificates, debian, openvswitch, vifs, vifs_ovs
from tests.functional.calls import plug, steps_left, unplug

pytestmark = pytest.mark.functional


@pytest.fixture
def reachable(inside: Any) -> Iterator[openvswitch.Switch]:
    """Return a switch that listens everywhere."""
    with contextlib.closing(openvswitch.Switch(inside, tcp=True, ssl=True)) as made:
        yield made


@contextlib.contextmanager
def asking(remote: str, **options: Any) -> Iterator[None]:
    options.setdefault("ovs_vsctl_timeout", 3)
    with vifs.configured("ovs", ovsdb_connection=remote, **options):
        yield


def files(switch: openvswitch.Switch, who: str = "client", ca: str = "ca") -> dict[str, str]:
    return certificates.options(switch.certificates, who, ca)


@pytest.mark.parametrize("how", ["unix", "tcp", "ssl", "several"])
def test_reached(reachable: openvswitch.Switch, how: str) -> None:
    remotes = {
        "unix": reachable.remote,
        "tcp": reachable.tcp,
        "ssl": reachable.ssl,
        "several": f"tcp:127.0.0.1:6699,unix:/nowhere/db.sock,{reachable.tcp}",
    }
    with asking(remotes[how], **(files(reachable) if how == "ssl" else {})):
        plug(vifs_ovs.plain())
        assert steps_left(vifs_ovs.plain()) == []
        unplug(vifs_ovs.plain())


@pytest.mark.parametrize(
    ("who", "ca"), [("stranger", "ca"), ("client", "stranger")], ids=["ours", "the server's"]
)
def test_a_certificate_that_is_not_trusted(
    reachable: openvswitch.Switch, inside: Any, who: str, ca: str
) -> None:
    # It will not get better: without a time limit, whoever tried again would do so for ever.
    with (
        asking(reachable.ssl, ovs_vsctl_timeout=0, **files(reachable, who, ca)),
        pytest.raises(exception.PlugException, match=r"ssl:127\.0\.0\.1:6641: .*certificate"),
    ):
        plug(vifs_ovs.plain())
    assert vifs.tap_name(1) not in inside.links()


@pytest.mark.parametrize(
    ("remote", "options", "words"),
    [
        ("ssl:127.0.0.1:6641", {}, "ssl_key_file, ssl_cert_file and ssl_ca_cert_file"),
        ("http://127.0.0.1", {}, "ovsdb_connection: .*expected unix:FILE"),
        ("", {}, "ovsdb_connection: ''"),
        ("unix:", {}, "ovsdb_connection"),
        ("unix:/x", {"ovs_vsctl_timeout": -1}, "ovs_vsctl_timeout: -1"),
    ],
)
def test_a_setting_that_cannot_be(
    inside: Any, remote: str, options: dict[str, Any], words: str
) -> None:
    with asking(remote, **options), pytest.raises(exception.PlugException, match=words):
        plug(vifs_ovs.plain())
    assert inside.links() == {}


@pytest.mark.parametrize("remote", ["tcp:127.0.0.1:6640", "tcp:[::1]:6640"])
def test_where_lo_is_down_nobody_listens(inside: Any, remote: str) -> None:
    os_vif.plug(vifs.tap_vif(1), vifs.instance())
    inside.run("ip", "link", "set", "lo", "down")
    with asking(remote):
        assert [item.mark.vif_id for item in os_vif.list_vifs()] == [vifs.vif_id(1)]
        assert len(os_vif.gc([])) == 1
    assert inside.links() == {}
    # A server elsewhere may hold something of ours, and that is not known.
    with asking("tcp:203.0.113.1:6640"), pytest.raises(OSError, match=r"203\.0\.113\.1:6640"):
        os_vif.list_vifs()


def test_files_that_are_not_there(reachable: openvswitch.Switch, tmp_path: Path) -> None:
    chosen = files(reachable)
    with (
        asking(reachable.ssl, **{**chosen, "ssl_key_file": str(tmp_path / "none.key")}),
        pytest.raises(exception.PlugException, match=r"none\.key"),
    ):
        plug(vifs_ovs.plain())


def test_a_server_of_another_kind(inside: Any, tmp_path: Path) -> None:
    """Something listens there, and it is no database."""
    server = subprocess.Popen(
        inside.argv(sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "6640"),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 30
        with socket.socket() as client:
            while client.connect_ex(("127.0.0.1", 6640)):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        with (
            asking("tcp:127.0.0.1:6640"),
            pytest.raises(exception.PlugException, match=r"connection was lost|no answer|protocol"),
        ):
            plug(vifs_ovs.plain())
    finally:
        server.kill()
        server.wait()
    assert inside.links() == {}


def test_a_database_without_the_columns_we_need(inside: Any, tmp_path: Path) -> None:
    tree = debian.tree("openvswitch")
    schema = json.loads((tree / "usr/share/openvswitch/vswitch.ovsschema").read_text())
    del schema["tables"]["Interface"]["columns"]["mtu_request"]
    (tmp_path / "schema").write_text(json.dumps(schema))

    def tool(program: str, *words: str) -> list[str]:
        return inside.argv(*debian.command(tree, program), *words)

    made = tool("usr/bin/ovsdb-tool", "create", f"{tmp_path}/conf.db", f"{tmp_path}/schema")
    subprocess.run(made, check=True)
    remote = f"--remote=punix:{tmp_path}/db.sock"
    control = f"--unixctl={tmp_path}/ctl"
    server = subprocess.Popen(
        tool("usr/sbin/ovsdb-server", "--no-chdir", control, remote, f"{tmp_path}/conf.db"),
        stderr=subprocess.DEVNULL,
    )
    try:
        with (
            asking(f"unix:{tmp_path}/db.sock"),
            pytest.raises(exception.PlugException, match=r"mtu_request.*Open vSwitch 2.6"),
        ):
            plug(vifs_ovs.plain())
    finally:
        server.kill()
        server.wait()
    assert inside.links() == {}


def test_vsctl_is_taken_and_said_to_be_old(
    reachable: openvswitch.Switch, tmp_path: Path, caplog: Any
) -> None:
    file = tmp_path / "nova.conf"
    file.write_text(
        f"[os_vif_ovs]\novsdb_interface = vsctl\novsdb_connection = {reachable.remote}\n"
    )
    os_vif.initialize()
    with caplog.at_level(logging.WARNING):
        cfg.CONF(["--config-file", str(file)], project="os-vif-tests")
        try:
            plug(vifs_ovs.plain())
            assert steps_left(vifs_ovs.plain()) == []
            assert cfg.CONF.os_vif_ovs.ovsdb_interface == "vsctl"
        finally:
            cfg.CONF.reset()
    assert 'Option "ovsdb_interface" from group "os_vif_ovs" is deprecated' in caplog.text
