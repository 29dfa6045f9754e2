# SPDX-License-Identifier: Apache-2.0
"""Without the right to change the host: what works, and what is said where it does not."""

from __future__ import annotations

import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest

from tests.command import COMMAND

from .conftest import BRIDGE, TAP

pytestmark = pytest.mark.functional

# Whether or not the host has sudo: here it is not found.
SETPRIV = (str(shutil.which("setpriv")), "--bounding-set=-all", "--inh-caps=-all")
POWERLESS = (str(shutil.which("env")), "PATH=/nowhere", *SETPRIV)


def powerless(osvif, *words, code=0):
    return osvif(*words, code=code, before=POWERLESS)


def test_looking_needs_no_privilege(osvif):
    osvif("plug", osvif.file(TAP))
    assert "tap1" in powerless(osvif, "list").stdout
    powerless(osvif, "check", "vif.yaml")
    assert "tap1" in powerless(osvif, "show", "tap1").stdout
    assert "valid" in powerless(osvif, "validate", osvif.file(BRIDGE)).stdout
    powerless(osvif, "types")
    powerless(osvif, "host-info")
    assert "create tap tap0" in powerless(osvif, "plan", "vif.yaml").stdout


def test_changing_says_what_is_missing(osvif):
    osvif("plug", osvif.file(TAP, "tap.yaml"))
    osvif.file(BRIDGE)
    with osvif.nothing_changed():
        for words in (["plug", "vif.yaml"], ["unplug", "tap.yaml"], ["gc", "--keep-none", "--yes"]):
            said = powerless(osvif, *words, code=1).stderr
            assert "CAP_NET_ADMIN" in said
            assert "there is no program 'sudo'" in said
            assert "Run as root" in said
            assert "helper_command" in said
            assert "oslo" not in said


def test_a_helper_that_fails(osvif):
    setting = "vif_plug_linux_bridge_privileged.helper_command=/bin/false"
    said = powerless(osvif, "plug", "--set", setting, osvif.file(BRIDGE), code=1).stderr
    assert "CAP_NET_ADMIN" in said
    assert "/bin/false" not in osvif.host.links()


def test_entering_a_namespace_says_what_is_missing(osvif, named_namespace):
    said = powerless(osvif, "list", "--netns", named_namespace, code=1).stderr
    assert f"cannot enter /run/netns/{named_namespace}" in said
    assert "CAP_SYS_ADMIN" in said


def test_the_demo_says_what_is_missing(osvif):
    # A user namespace with no more namespaces in it stands for a kernel that gives none.
    inside = (
        "import os,sys; open('/proc/sys/user/max_user_namespaces','w').write('0');"
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    before = ("unshare", "--user", "--map-root-user", sys.executable, "-c", inside)
    said = osvif("demo", before=(*before, *SETPRIV), code=1).stderr
    assert "the demo needs a private network" in said
    assert "user.max_user_namespaces is 0" in said


UNSEEN = [{"what": "FORWARD rules", "needs": "CAP_NET_ADMIN"}]
FORWARDED = BRIDGE.replace("filtered: true\n", "")


@pytest.fixture
def refusing(tmp_path):
    """Return what takes all privilege, with a sudo that refuses and notes what it was asked."""
    sudo = tmp_path / "bin" / "sudo"
    sudo.parent.mkdir()
    sudo.write_text('#!/bin/sh\necho "$*" >> "$0.log"\nexit 1\n')
    sudo.chmod(0o755)
    return (POWERLESS[0], f"PATH={sudo.parent}:/usr/sbin:/usr/bin:/sbin:/bin", *SETPRIV)


def test_a_bridge_is_planned_without_privilege(osvif, refusing):
    name = osvif.file(FORWARDED)
    done = osvif("plan", name, before=refusing)
    assert "create tap tap0" in done.stdout
    [rules] = [line for line in done.stdout.splitlines() if "set iptables" in line]
    assert rules.endswith("(unless it is so already)")
    assert "FORWARD rules could not be seen (needs CAP_NET_ADMIN: sudo " in done.stderr
    assert "planned as if they were missing" in done.stderr
    assert f"sudo {COMMAND} ..." in done.stderr
    [vif] = osvif.json("plan", name, before=refusing)["vifs"]
    assert (vif["state"], vif["unseen"]) == ("to_do", UNSEEN)
    assumed = {step["kind"] for step in vif["steps"] if step["assumed"]}
    assert "set_forwarding" in assumed
    assert all(kind.startswith("set_forwarding") for kind in assumed)
    [seen] = osvif.json("plan", name)["vifs"]
    assert seen["unseen"] == []
    assert not any(step["assumed"] for step in seen["steps"])


def test_a_bridge_is_checked_without_privilege(osvif, refusing):
    name = osvif.file(FORWARDED)
    osvif("plug", name)
    done = osvif("check", "--strict", name, before=refusing)
    assert "healthy" in done.stdout
    assert "FORWARD rules could not be seen (needs CAP_NET_ADMIN" in done.stderr
    assert "not checked" in done.stderr
    [vif] = osvif.json("check", name, before=refusing)["vifs"]
    assert (vif["state"], vif["steps"], vif["unseen"]) == ("healthy", [], UNSEEN)
    assert "not checked" in osvif("show", name, before=refusing).stderr

    osvif.host.run("iptables", "-F", "FORWARD")
    assert "FORWARD rules" in osvif("check", name, code=3).stdout
    assert "drift" not in osvif("check", name, before=refusing).stdout
    osvif.host.run("ip", "link", "set", "tap0", "down")
    [line] = osvif("check", name, before=refusing, code=3).stdout.splitlines()
    assert line.split() == ["drift", "tap0", "is", "down"]


def test_unplugging_is_planned_without_privilege(osvif, refusing):
    osvif("plug", osvif.file(FORWARDED))
    done = osvif("plan", "--unplug", "--with-bridge", "vif.yaml", before=refusing)
    assert "delete tap0" in done.stdout
    assert "FORWARD rules could not be seen" in done.stderr


def test_nobody_is_asked_for_a_password_to_look(osvif, refusing, tmp_path):
    osvif.file(FORWARDED.replace("tap0", "tap1").replace(":56", ":57"), "other.yaml")
    osvif("check", osvif.file(FORWARDED), "other.yaml", before=refusing, code=3)
    osvif("plug", "vif.yaml", before=refusing, code=1)
    [once, plugging] = (tmp_path / "bin" / "sudo.log").read_text().splitlines()
    assert once.startswith("-n privsep-helper ")
    assert plugging.startswith("privsep-helper ")


def test_a_configured_helper_that_fails_is_an_error_to_who_looks(osvif, refusing):
    setting = "vif_plug_linux_bridge_privileged.helper_command=/bin/false"
    name = osvif.file(FORWARDED)
    said = osvif("plan", "--set", setting, name, before=refusing, code=1).stderr
    assert "CAP_NET_ADMIN" in said


def test_a_database_of_somebody_elses(osvif, tmp_path):
    nobody = (*SETPRIV[:1], "--reuid=65534", "--regid=65534", "--clear-groups", *SETPRIV[1:])
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        Path(folder).chmod(0o711)
        path = f"{folder}/db.sock"
        server.bind(path)
        server.listen()
        os.chmod(path, 0o600)
        vif = "type: openvswitch\nbridge: br-int\nname: tap0\nmac: 52:54:00:12:34:56\n"
        words = ("check", "--ovsdb", f"unix:{path}", "--set", "ovs.ovs_vsctl_timeout=1", "-")
        said = osvif(*words, before=nobody, code=1, input=vif).stderr
    assert f"unix:{path}: Permission denied (its socket is not yours to open" in said
    assert f"sudo {COMMAND} ..." in said
