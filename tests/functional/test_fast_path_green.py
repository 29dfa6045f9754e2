# SPDX-License-Identifier: Apache-2.0
"""The fast path's back ends in a service that runs on eventlet, as nova-compute may."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from os_vif.host.vhost_user.system.testpmd_words import Settings
from tests import dpdk, fast_path, fp_vdev

# So that workers do not wait for each other.
pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("fast path")]

_GREEN = """\
import eventlet
eventlet.monkey_patch()

import json
import os
import signal
import sys
import time

from oslo_config import cfg

device, path, config = sys.argv[1:]
cfg.CONF([], project="os-vif-tests", default_config_files=[config])

from os_vif.host.vhost_user.system import back_ends as fast_path
from os_vif.host.vhost_user.system import fp_vdev
from os_vif.host.links.system import devices as links
from os_vif.host.links.system import taps

ticks = 0


def tick():
    global ticks
    while True:
        eventlet.sleep(0.01)
        ticks += 1


def beside(act):
    # What others of this thread come to meanwhile counts: waiting must not keep them.
    before = ticks
    outcome = act()
    return outcome, ticks > before


def start(path, listens):
    return fast_path.start(device, path, listens=listens, mac="52:54:00:00:00:01").name


def stop():
    return fast_path.stop(device, "", abandoned=False)


def look():
    found = fast_path.look(device)
    return found and [found.path, found.listens, found.forwards, found.handed]


def wrong(option, value, act):
    cfg.CONF.set_override(option, value, "os_vif_vhostuser_fp")
    try:
        act()
    except OSError as error:
        return error.strerror
    finally:
        cfg.CONF.clear_override(option, "os_vif_vhostuser_fp")


def said(name):
    print(json.dumps([name, globals()[name]()]), flush=True)


def testpmd_starts():
    taps.create(device, {"multi_queue": True, "up": True})
    return beside(lambda: start(path, True)) + (look(), start(path, True))


def testpmd_changes():
    return beside(lambda: start(path, False)) + (look(), os.path.exists(path))


def testpmd_stops():
    return beside(stop) + (look(), stop())


def testpmd_fails():
    eal = cfg.CONF.os_vif_vhostuser_fp.testpmd_eal
    return wrong("testpmd_eal", eal + " -n many", lambda: start(path, True))


def testpmd_hangs():
    cfg.CONF.set_override("back_end_timeout", 5, "os_vif_vhostuser_fp")
    return wrong("testpmd_command", "sh -c 'echo Oh; sleep 60'", lambda: start(path, True))


def device_is_made():
    link = lambda: links.look_up(["vhu0"])["vhu0"] is not None
    fp_vdev.add("vhu0", "/run/vhu0", listens=False)
    made = link()
    fp_vdev.delete("vhu0")
    return made, link()


def device_is_not_made():
    try:
        fp_vdev.add("hang", "/run/vhu0", listens=False)
    except OSError as error:
        return error.strerror


def two_at_once():
    def add(which):
        try:
            return fp_vdev.add("vhu0", "/run/vhu0", listens=False)
        except OSError as error:
            return error.strerror

    return sorted(eventlet.GreenPool().imap(add, range(2)), key=str)


eventlet.spawn(tick)
for name in (
    "testpmd_starts",
    "testpmd_changes",
    "testpmd_stops",
    "testpmd_fails",
    "testpmd_hangs",
    "device_is_made",
    "device_is_not_made",
    "two_at_once",
):
    said(name)
"""


def test_all_that_is_done_there(
    inside: Any, testpmd_settings: Settings, sockets: str, tmp_path: Path
) -> None:
    command = fp_vdev.FpVdev(tmp_path)
    script = Path(command.command).read_text()
    Path(command.command).write_text(
        script.replace("add)\n", 'add)\n    if [ "$2" = hang ]; then sleep 60; fi\n', 1)
    )
    options = {**fast_path.options(testpmd_settings), "fp_vdev_command": command.command}
    config = tmp_path / "os-vif.conf"
    lines = "".join(f"{name} = {value}\n" for name, value in options.items())
    config.write_text(f"[os_vif_vhostuser_fp]\n{lines}")
    path = f"{sockets}/vhost"
    done = inside.run(
        sys.executable,
        "-Wignore",
        "-c",
        _GREEN,
        dpdk.DEVICE,
        path,
        str(config),
        cwd=Path(__file__).parents[2],
    )
    said = dict(json.loads(line) for line in done.stdout.splitlines())
    assert said.pop("testpmd_starts") == ["STARTED", True, [path, True, True, True], "NOTHING"]
    assert said.pop("testpmd_changes") == ["STARTED", True, [path, False, True, True], False]
    assert said.pop("testpmd_stops") == [True, True, None, False]
    assert "EAL: invalid channel number" in said.pop("testpmd_fails")
    assert said.pop("testpmd_hangs") == "dpdk-testpmd does not forward after 5 s: Oh"
    assert said.pop("device_is_made") == [True, False]
    assert "did not end within 5 s" in said.pop("device_is_not_made")
    assert said.pop("two_at_once") == [None, "there is a device vhu0"]
    assert said == {}
    dpdk.assert_no_process()
