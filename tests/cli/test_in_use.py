# SPDX-License-Identifier: Apache-2.0
"""unplug and gc of a VIF whose guest runs: a program has its tap or macvtap open."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.command import COMMAND
from tests.waiting import until

from .conftest import BRIDGE, ENVIRONMENT, TAP
from .test_exec import MACVTAP

pytestmark = pytest.mark.functional

MULTI = TAP + "multi_queue: true\n"
VIFS = {"tap1": TAP, "mv0": MACVTAP, "tap0": BRIDGE}


@pytest.fixture
def guest(osvif):
    """Return what starts a guest on a VIF: a program of which only the descriptors count."""
    osvif.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "far1")
    started = []

    def start(file, *options, device):
        argv = osvif.host.argv(COMMAND, "exec", *options, file, "--", "sleep", "300")
        child = subprocess.Popen(argv, env=ENVIRONMENT, cwd=osvif.folder)
        started.append(child)
        name = Path(f"/proc/{child.pid}/comm")
        until(lambda: child.poll() is not None or name.read_text() == "sleep\n")
        assert child.poll() is None
        return f"{device} is this VIF's, and cannot go: sleep (pid {child.pid}) has it open"

    yield start
    for child in started:
        child.kill()
        child.wait()


@pytest.mark.parametrize("device", VIFS)
@pytest.mark.parametrize("named", [False, True])
def test_unplug_spares_what_is_open(osvif, guest, device, named):
    file = osvif.file(VIFS[device])
    osvif("plug", file)
    target = device if named else file
    why = guest(file, device=device)
    with osvif.nothing_changed():
        done = osvif("unplug", target, code=1)
        assert why in done.stderr
        assert "stop the guest first, or take it away all the same with --force" in done.stderr
        [vif] = osvif.json("unplug", target, code=1)["vifs"]
        assert (vif["state"], vif["steps"]) == ("failed", [])
    assert osvif("unplug", "--force", target).stdout.startswith("unplugged")
    assert device not in osvif.host.links()


def test_two_queues_of_one_guest_are_told_once(osvif, guest):
    file = osvif.file(MULTI)
    osvif("plug", file)
    why = guest(file, "--queues", "2", device="tap1")
    assert osvif("unplug", file, code=1).stderr.count(why.partition(": ")[2]) == 1


def test_the_others_are_unplugged(osvif, guest):
    file = osvif.file(f"{TAP}---\n{BRIDGE}")
    osvif("plug", file)
    why = guest(file, "--only", "tap1", device="tap1")
    said = osvif("unplug", file, code=1)
    assert why in said.stderr
    assert "unplugged  tap0" in said.stdout
    assert {"tap1", "br0"} <= set(osvif.host.links())
    assert "tap0" not in osvif.host.links()


def test_a_tap_of_the_same_name_elsewhere_is_another(osvif, guest, named_namespace):
    file = osvif.file(TAP)
    osvif("plug", file)
    osvif("plug", "--netns", named_namespace, file)
    guest(file, device="tap1")
    assert osvif("unplug", "--netns", named_namespace, file).stdout.startswith("unplugged")
    osvif("unplug", file, code=1)


def test_who_may_not_look_is_told_that_somebody_has_it(osvif, guest):
    """Without privilege the kernel still shows that a tap is open, by its carrier."""
    file = osvif.file(TAP)
    osvif("plug", file)
    guest(file, device="tap1")
    before = ("setpriv", "--reuid", "65534", "--clear-groups", "--inh-caps=-all")
    said = osvif("plan", "--unplug", "-", before=before, input=TAP).stdout
    assert "tap1  a program that cannot be seen from here has it open" in said


def test_plan_warns(osvif, guest):
    file = osvif.file(TAP)
    osvif("plug", file)
    assert "warning" not in osvif("plan", "--unplug", file).stdout
    guest(file, device="tap1")
    said = osvif("plan", "--unplug", file).stdout
    assert "tap1  sleep (pid " in said
    assert "has it open; it is taken away only with --force" in said


def test_gc_spares_what_is_open(osvif, guest):
    file = osvif.file(f"{TAP}---\n{BRIDGE}")
    osvif("plug", file)
    why = guest(file, "--only", "tap1", device="tap1")
    with osvif.nothing_changed():
        assert why in osvif("gc", "--keep-none", "--dry-run", code=1).stderr
        found = osvif.json("gc", "--keep-none", "--dry-run", code=1)
    [vif] = found["in_use"]
    assert vif in found["errors"][0]["message"]
    assert [item["devices"][0]["name"] for item in found["would_remove"]] == ["tap0"]
    said = osvif("gc", "--keep-none", "--yes", code=1)
    assert why in said.stderr
    assert "removed  1 VIF" in said.stdout
    assert "tap1" in osvif.host.links()
    assert "tap0" not in osvif.host.links()
    assert osvif.json("gc", "--keep-none", "--yes", "--force")["in_use"] == []
    assert "tap1" not in osvif.host.links()
