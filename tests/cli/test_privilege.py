# SPDX-License-Identifier: Apache-2.0
"""Without the right to change the host: what works, and what is said where it does not."""

from __future__ import annotations

import shutil
import sys

import pytest

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
