# SPDX-License-Identifier: Apache-2.0
"""The guest itself: Debian's kernel, with the links that our plugins build on.

Only tun is loaded beforehand; that the other modules are there afterwards shows that the kernel
finds its own modprobe, as on a host.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.lab

Ip = Callable[..., Any]


@pytest.fixture
def ip() -> Iterator[Ip]:
    """``ip`` in a network namespace of the test's own; returns what its JSON says."""
    name = "smoke"

    def run(words: str) -> Any:
        argv = ["ip", "-json", "-details", "-netns", name, *words.split()]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"ip {words}: {done.stderr}"
        return json.loads(done.stdout or "null")

    subprocess.run(["ip", "netns", "add", name], check=True)
    yield run
    subprocess.run(["ip", "netns", "delete", name], check=True)


def test_kernel_is_debians_and_has_its_modules() -> None:
    release = os.uname().release
    assert release.endswith("-amd64")
    assert (Path("/lib/modules") / release / "modules.dep").exists()


@pytest.mark.parametrize(
    ("kind", "module", "made_by"),
    [
        ("bridge", "bridge", "link add smoke0 type bridge"),
        ("dummy", "dummy", "link add smoke0 type dummy"),
        ("tun", "tun", "tuntap add dev smoke0 mode tap"),
        ("veth", "veth", "link add smoke0 type veth peer name smoke1"),
    ],
)
def test_link_of_kind(ip: Ip, kind: str, module: str, made_by: str) -> None:
    ip(made_by)
    ip("link set smoke0 up")
    (link,) = ip("link show dev smoke0")
    assert link["linkinfo"]["info_kind"] == kind
    assert "UP" in link["flags"]
    assert Path("/sys/module", module).exists()


@pytest.mark.parametrize("uplink", ["type dummy", "type veth peer name far"])
def test_vlan_on_an_uplink_joins_a_bridge(ip: Ip, uplink: str) -> None:
    ip(f"link add uplink0 {uplink}")
    ip("link add br0 type bridge")
    ip("link add link uplink0 name vlan42 type vlan id 42")
    ip("link set uplink0 up")  # else the VLAN cannot be: ENETDOWN
    ip("link set vlan42 master br0 up")
    (link,) = ip("link show dev vlan42")
    assert link["linkinfo"]["info_kind"] == "vlan"
    assert (link["link"], link["master"]) == ("uplink0", "br0")
    assert link["linkinfo"]["info_data"]["id"] == 42
    assert link["linkinfo"]["info_data"]["protocol"] == "802.1Q"
    assert Path("/sys/module/8021q").exists()
