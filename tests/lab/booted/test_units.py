# SPDX-License-Identifier: Apache-2.0
"""The units of ``os-vif install`` where systemd is process 1, as the script ``first`` has it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.guest import ETH_ARP, guests

pytestmark = pytest.mark.lab

PLUG, CHECK, TIMER = "os-vif.service", "os-vif-check.service", "os-vif-check.timer"
MAC = "52:54:00:12:34:56"


def told(unit: str, *properties: str) -> dict[str, str]:
    """Return what systemd says of a unit."""
    asked = subprocess.run(
        ["systemctl", "show", "--property", ",".join(properties), unit],
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in asked.stdout.splitlines())


def systemctl(*words: str) -> int:
    return subprocess.run(["systemctl", *words], check=False).returncode


def links(text: str | None = None) -> dict[str, Any]:
    if text is None:
        text = subprocess.check_output(["ip", "-json", "-details", "link"], text=True)
    return {link["ifname"]: link for link in json.loads(text)}


def until(unit: str, key: str, *values: str) -> str:
    for _attempt in range(600):
        found = told(unit, key)[key]
        if found in values:
            return found
        time.sleep(0.2)
    raise TimeoutError(f"{unit}: {key} is {found}")


def test_systemd_is_process_one() -> None:
    assert Path("/proc/1/comm").read_text().strip() == "systemd"


def test_vifs_are_plugged_before_guests_start() -> None:
    assert told(PLUG, "ActiveState", "Result") == {"ActiveState": "active", "Result": "success"}
    seen = links(Path("/run/seen-by-libvirtd").read_text())
    assert seen["tap-web"]["master"] == "br0"
    assert "UP" in seen["tap-web"]["flags"]
    assert seen["tap-web"]["ifalias"].endswith(" guest=web")
    plugged = told(PLUG, "ExecMainExitTimestampMonotonic")["ExecMainExitTimestampMonotonic"]
    started = told("libvirtd.service", "ExecMainStartTimestampMonotonic")
    assert int(plugged) <= int(started["ExecMainStartTimestampMonotonic"])
    with guests(("tap-web", MAC)) as [guest]:
        # The tap has a carrier, and what a guest sends comes to the bridge.
        guest.send(bytes.fromhex("ff" * 6 + MAC.replace(":", "")) + ETH_ARP.to_bytes(2) + bytes(46))
        assert "LOWER_UP" in links()["br0"]["flags"]


def test_the_timer_checks_and_says_what_has_drifted() -> None:
    # It was not to begin before what it checks.
    until(CHECK, "ExecMainStatus", "0")
    until(CHECK, "ActiveState", "inactive")
    first = told(CHECK, "Result", "ExecMainStartTimestampMonotonic", "TriggeredBy")
    assert (first["Result"], first["TriggeredBy"]) == ("success", TIMER)
    assert int(first["ExecMainStartTimestampMonotonic"]) > 0
    assert told(TIMER, "ActiveState", "Unit") == {"ActiveState": "active", "Unit": CHECK}
    subprocess.run(["ip", "link", "set", "tap-web", "down"], check=True)
    assert systemctl("start", CHECK) != 0
    assert told(CHECK, "ActiveState", "ExecMainStatus") == {
        "ActiveState": "failed",
        "ExecMainStatus": "3",
    }
    said = subprocess.check_output(["journalctl", "-u", CHECK, "-o", "cat"], text=True)
    assert "tap-web  is down" in said or "drift" in said
    assert systemctl("reload", PLUG) == 0
    assert "UP" in links()["tap-web"]["flags"]
    assert systemctl("start", CHECK) == 0


def test_it_stops_and_guests_keep_their_network() -> None:
    before = links()["tap-web"]["ifindex"]
    assert systemctl("stop", PLUG) == 0
    assert told(PLUG, "ActiveState", "Result") == {"ActiveState": "inactive", "Result": "success"}
    assert links()["tap-web"]["ifindex"] == before
    assert systemctl("start", PLUG) == 0
    assert links()["tap-web"]["ifindex"] == before
