# SPDX-License-Identifier: Apache-2.0
"""The demo, as root and as nobody: it plays, it says so, and it leaves nothing."""

from __future__ import annotations

import os

import pexpect
import pytest

from .conftest import COMMAND

pytestmark = pytest.mark.functional

ACTS = 6


def test_it_plays_and_leaves_nothing(osvif):
    with osvif.nothing_changed():
        said = osvif("demo").stdout
    for number in range(1, ACTS + 1):
        assert f"\n{number}. " in said
    assert said.count("100 of 100 answered") == 2
    assert "no answer" in said
    assert "drift  tap-anna  MTU should be 1500" in said
    assert "drift  tap-ben  should be a port of br-demo" in said
    assert "the private network is gone" in said
    assert "all done in " in said
    assert max(len(line) for line in said.splitlines()) <= 80


def test_in_json(osvif):
    found = osvif.json("demo")
    assert len(found["acts"]) == ACTS
    assert all(act["seconds"] > 0 for act in found["acts"])
    assert found["acts"][1]["answered"] == 100
    assert found["acts"][2]["answered"] == 0
    assert len(found["acts"][3]["drifts"]) == 2
    assert found["user_namespace"] is False


def test_without_root(osvif):
    # /dev/net/tun as most distributions have it, whatever this machine has.
    script = (
        "mknod tun c 10 200 && chmod 0666 tun && mount --bind tun /dev/net/tun && "
        f"exec setpriv --bounding-set=-all,+setfcap --inh-caps=-all {COMMAND} demo --json"
    )
    done = osvif.host.run(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", script, cwd=osvif.folder
    )
    assert '"user_namespace": true' in done.stdout
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
