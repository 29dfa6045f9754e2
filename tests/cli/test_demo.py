# SPDX-License-Identifier: Apache-2.0
"""The demo, as root and as nobody: it plays, it says so, and it leaves nothing."""

from __future__ import annotations

import os
import shlex

import pexpect
import pytest

from tests import demo, dnsmasq

from .conftest import COMMAND

pytestmark = pytest.mark.functional

ACTS = 7
WITHOUT = ("--set", "dnsmasq.command=/nowhere/dnsmasq")


@pytest.fixture
def osvif(osvif):
    """Return the command where dnsmasq is, whether this machine has it or not."""
    osvif.with_dnsmasq = ("--set", f"dnsmasq.command={dnsmasq.command()}")
    return osvif


def test_it_plays_and_leaves_nothing(osvif):
    with osvif.nothing_changed():
        said = osvif("demo", *osvif.with_dnsmasq).stdout
    for number in range(1, ACTS + 1):
        assert f"\n{number}. " in said
    assert said.count("100 of 100 answered") == 2
    assert "no answer" in said
    assert "drift  tap-anna  MTU is 900, should be 1500" in said
    assert "drift  tap-ben  should be a port of br-demo" in said
    assert "cleo is told: 10.42.7.10/24, router 10.42.7.1" in said
    assert "10 of 10 answered, seen there as 203.0.113.1" in said
    assert "left out" not in said
    assert "the private network is gone" in said
    assert "all done in " in said
    assert max(len(line) for line in said.splitlines()) <= 80


def test_in_json(osvif):
    found = osvif.json("demo", *osvif.with_dnsmasq)
    assert found["left_out"] is None
    assert len(found["acts"]) == ACTS
    assert all(act["seconds"] > 0 for act in found["acts"])
    assert found["acts"][1]["answered"] == 100
    assert found["acts"][2]["answered"] == 0
    assert len(found["acts"][3]["drifts"]) == 2
    assert found["user_namespace"] is False
    assert found["acts"][6]["seen_as"] == ["203.0.113.1"]


def test_without_dnsmasq(osvif):
    said = osvif("demo", *WITHOUT).stdout
    assert f"\n{ACTS - 1}. " in said
    assert f"\n{ACTS}. " not in said
    [line] = [it for it in said.splitlines() if it.startswith("left out: ")]
    assert "there is no command /nowhere/dnsmasq on this host; install the package" in line
    assert "all done in " in said
    assert "there is no command" in osvif.json("demo", *WITHOUT)["left_out"]


def test_make_demo_has_dnsmasq_where_the_machine_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(demo, "PLACES", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert demo.settings() == ["--set", f"dnsmasq.command={dnsmasq.command()}"]
    (tmp_path / "dnsmasq").write_text("#!/bin/sh\n")
    (tmp_path / "dnsmasq").chmod(0o755)
    assert demo.settings() == []


def test_without_root(osvif):
    # /dev/net/tun as most distributions have it, whatever this machine has.
    script = (
        "mknod tun c 10 200 && chmod 0666 tun && mount --bind tun /dev/net/tun && "
        "exec setpriv --bounding-set=-all,+setfcap --inh-caps=-all "
        f"{COMMAND} demo --json {shlex.join(osvif.with_dnsmasq)}"
    )
    done = osvif.host.run(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", script, cwd=osvif.folder
    )
    assert '"user_namespace": true' in done.stdout
    assert '"left_out": null' in done.stdout
    assert '"exit_code": 0' in done.stdout


def test_without_the_tun_device(osvif):
    script = f"mount --bind /dev/null /dev/net/tun && exec {COMMAND} demo"
    done = osvif.host.run(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", script, check=False
    )
    assert done.returncode == 1
    assert "error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c(osvif):
    with osvif.nothing_changed():
        child = osvif.terminal("demo")
        child.expect_exact("1. Plug two guests")
        child.sendintr()
        child.expect(pexpect.EOF)
        child.wait()
    assert child.exitstatus == 130
    assert "interrupted; the private network is gone" in child.before
    assert "Traceback" not in child.before
    assert not [pid for pid in os.listdir("/proc") if _is_demo_in(pid, str(osvif.folder))]


def _is_demo_in(pid, folder):
    try:
        return os.readlink(f"/proc/{pid}/cwd") == folder
    except OSError:
        return False
