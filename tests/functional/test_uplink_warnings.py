# SPDX-License-Identifier: Apache-2.0
"""What plan says before an uplink joins a bridge: what moves, and who would move it back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.host.links.system import managers, sysfs
from tests import vifs, witness
from tests.fake_sysfs import FakeSysfs
from tests.functional.calls import plug, refused

pytestmark = pytest.mark.functional


def uplinked(**fields: Any) -> Any:
    return vifs.bridge_vif(network=vifs.network(bridge_interface="eth0", **fields))


def warnings(vif: Any) -> list[str]:
    [found] = os_vif.examine([(vif, vifs.instance())])
    assert found.error is None
    return [f"{it.device} {it.words}" for it in found.warnings]


def test_the_default_route_moves(uplink: Any) -> None:
    routes = witness.ask("route show default") + witness.ask("-6 route show default")
    gateways = {route["gateway"] for route in routes if route["dev"] == "eth0"}
    assert gateways
    told = [words for words in warnings(uplinked()) if "moves to br0" in words]
    assert len(told) == len(gateways)
    assert all(any(f"by {gateway} moves" in words for words in told) for gateway in gateways)
    plug(uplinked())
    assert warnings(uplinked()) == []


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Any]:
    """Return what starts a process that is called like a DHCP client."""
    started = []

    def start(name: str, *words: str) -> subprocess.Popen[str]:
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho ready\nread forever\n")
        script.chmod(0o755)
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([str(script), *words], text=True, **pipes)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.communicate()


@pytest.mark.parametrize(
    ("name", "words", "is_ours"),
    [
        ("dhclient", ("-4", "-pf", "/run/x.pid", "eth0"), True),
        ("dhclient", ("-4", "eth1"), False),
        ("dhcpcd", ("-q", "-ieth0"), True),
        ("dhcpcd", ("[master]",), True),
        ("udhcpc", ("-i", "eth0", "-f"), True),
        ("sleeper", ("eth0",), False),
    ],
)
def test_a_dhcp_client(
    uplink: Any, client: Any, name: str, words: tuple[str, ...], is_ours: bool
) -> None:
    before = warnings(uplinked())
    process = client(name, *words)
    told = [words for words in warnings(uplinked()) if words not in before]
    said = f"eth0 {name} renews an address that is br0's once it is plugged: let it run on br0"
    assert told == ([f"{said} instead"] if is_ours else [])
    process.communicate()
    assert warnings(uplinked()) == before


def test_a_dhcp_client_of_another_network_namespace(
    uplink: Any, other_host: Any, client: Any
) -> None:
    before = warnings(uplinked())
    with other_host.enter():
        client("dhclient", "eth0")
    assert warnings(uplinked()) == before


NETWORKD = "# This is private data. Do not parse.\nADMIN_STATE={}\nNETWORK_FILE={}\n"


@pytest.mark.parametrize(
    "case",
    [
        (
            "NetworkManager/devices/{}",
            "[device]\nmanaged=true\n",
            "nmcli device set eth0 managed no",
        ),
        ("NetworkManager/devices/{}", "[device]\nmanaged=false\n", ""),
        ("systemd/netif/links/{}", NETWORKD.format("configured", "none"), "Unmanaged=yes"),
        ("systemd/netif/links/{}", NETWORKD.format("unmanaged", "none"), ""),
        ("systemd/netif/links/{}", NETWORKD.format("configured", "{folder}/of-bridge"), ""),
    ],
)
def test_a_network_manager(
    uplink: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: tuple[str, str, str]
) -> None:
    """Its files are as it writes them; they count where it runs, in this network namespace."""
    path, text, said = case
    before = warnings(uplinked())
    (tmp_path / "of-bridge").write_text("[Match]\nName=eth0\n[Network]\nBridge=br0\n")
    index = witness.ask("link show dev eth0")[0]["ifindex"]
    file = tmp_path / path.format(index)
    file.parent.mkdir(parents=True)
    file.write_text(text.format(folder=tmp_path))
    monkeypatch.setattr(managers, "RUN", tmp_path)
    assert warnings(uplinked()) == before, "the managers run in another network namespace"
    number_of = managers._namespace
    here = number_of(managers.PROC / "thread-self")
    monkeypatch.setattr(
        managers,
        "_namespace",
        lambda folder: here if folder == managers.PROC / "1" else number_of(folder),
    )
    told = [words for words in warnings(uplinked()) if words not in before]
    assert len(told) == bool(said)
    assert all(said in words for words in told)


@pytest.mark.parametrize("vlan", [None, 7])
def test_a_wireless_card_is_refused_before_anything_is_touched(
    uplink: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, vlan: int | None
) -> None:
    fake = FakeSysfs(tmp_path)
    card = fake.netdev(None, "eth0")
    (card / "phy80211").mkdir()
    index = witness.ask("link show dev eth0")[0]["ifindex"]
    monkeypatch.setattr(sysfs, "ROOT", tmp_path)
    fields = {"should_provide_vlan": True, "vlan": vlan} if vlan else {}
    (card / "ifindex").write_text(f"{index + 1}\n")
    assert os_vif.plan(uplinked(**fields)) != [], "another namespace's"
    (card / "ifindex").write_text(f"{index}\n")
    with refused("uplink eth0 cannot be used: it is a wireless card"):
        plug(uplinked(**fields))
    with pytest.raises(exception.UnusableDevice, match="route to its guests"):
        os_vif.plan(uplinked(**fields))
