# SPDX-License-Identifier: Apache-2.0
"""Killed at any moment, and run again: converged, or clean.

A child does the work and kills itself (SIGKILL) just before its n-th change of the host, for n
from the first to beyond the last (see killing.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import os_vif
from tests import vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, unplug
from tests.functional.conftest import UPLINK
from tests.functional.killing import killed
from tests.waiting import PATIENCE_S, until

pytestmark = [pytest.mark.functional, pytest.mark.slow]


@dataclasses.dataclass(frozen=True)
class Mode:
    """One way to plug.

    :ivar vif: makes the VIF.
    :ivar setup: the host beforehand, for ``ip -batch``.
    :ivar plugin, options: the configuration.
    :ivar moves: whether the host's own addresses and routes move.
    """

    vif: Callable[[], Any]
    setup: str = ""
    plugin: str = "linux_bridge"
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    moves: bool = False


def routed() -> Any:
    subnets = [
        vifs.subnet("10.65.0.0/16", ["10.65.0.1"], routes=[("10.71.0.0/16", "10.65.0.1")]),
        vifs.subnet("2001:db8:7::/64", ["2001:db8:7::1"], gateway="2001:db8:7::ff"),
    ]
    return vifs.tap_vif(network=vifs.network(subnets=subnets))


def uplinked(**fields: Any) -> Any:
    return vifs.bridge_vif(network=vifs.network(bridge_interface="eth0"), **fields)


CREATE = {"create_tap": True}
CARD = """
    link add eth0 type veth peer name wire0
    link set wire0 address 52:00:00:00:0e:01 up
    link set eth0 address 52:00:00:00:0e:00 up
    link set eth0 down
"""
LARGE = """
    link add br0 type bridge
    link set eth0 mtu 9000 master br0
"""
ELSEWHERE = f"""
    tuntap add tap-old mode tap
    link set tap-old alias "os-vif vif={vifs.vif_id(1)} plugin=tap instance={vifs.instance().uuid}"
    link property add dev tap-old altname os-vif,vif={vifs.vif_id(1)},device=1
"""
LEARNS = "token set ::53 dev eth0"
LINK_LOCAL = """
    link set eth0 up
    token set ::53 dev eth0
    route add default via fe80::1 dev eth0
    route add 2001:db8:9::/48 via fe80::2 dev eth0
"""
LONG = "raised uplink that learns otherwise, and rules"
"""Has all the steps of "uplink" and of "rules", and more of the same kinds."""
MODES = {
    "bridge": Mode(lambda: vifs.bridge_vif(network=vifs.network())),
    "bridge and tap": Mode(vifs.bridge_vif, options=CREATE),
    "strangers' bridge": Mode(vifs.bridge_vif, setup="link add br0 type bridge", options=CREATE),
    "a port with settings": Mode(
        vifs.bridge_vif,
        options={**CREATE, "port_settings": {"isolated": True, "learning": False}},
    ),
    "stranger's bridge and a port that lacks its settings": Mode(
        vifs.bridge_vif,
        setup=f"""
            link add br0 type bridge
            tuntap add {vifs.tap_name(1)} mode tap
            link set {vifs.tap_name(1)} address {vifs.guest_mac(1)} master br0
        """,
        options={**CREATE, "port_settings": {"isolated": True, "learning": True}},
    ),
    "rules": Mode(
        lambda: vifs.bridge_vif(has_traffic_filtering=False),
        options={**CREATE, "use_ipv6": True},
    ),
    "uplink": Mode(uplinked, setup=UPLINK, options=CREATE, moves=True),
    LONG: Mode(
        lambda: uplinked(has_traffic_filtering=False),
        setup=f"{UPLINK}\n{LEARNS}",
        options={**CREATE, "uplink_mtu": {"eth0": 9000}},
        moves=True,
    ),
    "larger bridge of a stranger's": Mode(
        vifs.bridge_vif, setup=f"{CARD}\n{LARGE}", options=CREATE
    ),
    "uplink by a link-local gateway": Mode(uplinked, setup=f"{CARD}\n{LINK_LOCAL}"),
    "tap": Mode(vifs.tap_vif, plugin="tap"),
    "adopted tap": Mode(
        vifs.tap_vif,
        setup=f"tuntap add {vifs.tap_name(1)} mode tap\nlink set {vifs.tap_name(1)} mtu 1400",
        plugin="tap",
    ),
    "replaced tap": Mode(
        vifs.tap_vif,
        setup=f"tuntap add {vifs.tap_name(1)} mode tap",
        plugin="tap",
        options={"multi_queue": True},
    ),
    "a tap of another name before": Mode(vifs.tap_vif, setup=ELSEWHERE, plugin="tap"),
    "macvtap": Mode(vifs.direct_vif, setup=CARD, plugin="macvtap"),
    "whole card": Mode(
        lambda: vifs.direct_vif(mode="passthrough", vif_name="macvtap0"),
        setup=CARD,
        plugin="macvtap",
    ),
    "adopted macvtap of a whole card": Mode(
        lambda: vifs.direct_vif(mode="passthrough"),
        setup=f"""{CARD}
            link add link eth0 name {vifs.tap_name(1)} type macvtap mode passthru
            link set {vifs.tap_name(1)} address {vifs.guest_mac(1)} up
        """,
        plugin="macvtap",
    ),
    "replaced macvtap": Mode(
        lambda: vifs.direct_vif(mode="passthrough"),
        setup=f"{CARD}\nlink add link eth0 name {vifs.tap_name(1)} type macvtap mode vepa",
        plugin="macvtap",
    ),
    "routed tap": Mode(routed, plugin="tap", options={"routed": True}),
}

EACH = [pytest.param(name, marks=[pytest.mark.long] * (name == LONG)) for name in MODES]


@contextlib.contextmanager
def machine(mode: Mode) -> Iterator[PrivateHost]:
    """A host of its own, on which the caller is."""
    os_vif.initialize()
    private = PrivateHost()
    try:
        with private.enter(), vifs.configured(mode.plugin, **mode.options):
            if mode.setup:
                witness.ip(mode.setup)
            yield private
    finally:
        private.close()


def undisturbed(mode: Mode) -> dict[str, Any]:
    with machine(mode):
        plug(mode.vif())
        return witness.snapshot()


def same(expected: dict[str, Any], got: dict[str, Any], mode: Mode) -> list[str]:
    return [
        line
        for line in witness.differences(expected, got)
        # That of a bridge without an uplink is another one on each host.
        if mode.moves or not line.startswith("/links/br0/address:")
    ]


def differing(expected: dict[str, Any], mode: Mode) -> list[str]:
    """Return what differs in the end: the kernel's own IPv6 routes come after the addresses."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := same(expected, witness.snapshot(), mode)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def host_is_reachable() -> bool:
    here = Path("/proc/thread-self/net/fib_trie").read_text()
    return (
        all(f"-- 192.0.2.{last}\n" in here for last in (10, 11, 12))
        and "\t00000000\t010200C0\t" in Path("/proc/thread-self/net/route").read_text()
        and bool(witness.ask("-6 route show default"))
    )


def bridges_keep_their_macs() -> bool:
    """Tell whether they stay the same as a port comes whose MAC is lower."""
    found = _macs_of_bridges()
    for number, name in enumerate(found):
        witness.ip(
            f"""
            link add low{number} address 00:00:00:00:0{number}:01 type veth peer name far{number}
            link set low{number} master {name}
            """
        )
    return found == _macs_of_bridges()


def _macs_of_bridges() -> dict[str, str]:
    return {link["ifname"]: link["address"] for link in witness.ask("link show type bridge")}


def nothing_of_ours() -> bool:
    left = [
        link["ifname"]
        for link in witness.ask("link show")
        if link["ifname"] not in ("lo", "br0", "eth0", "wire0") or "vif=" in link.get("ifalias", "")
    ]
    rules = [rule for tool in ("iptables", "ip6tables") for rule in witness.rules(tool)]
    return (left, rules, os_vif.list_vifs()) == ([], [], [])


@pytest.mark.parametrize("name", EACH)
def test_plug_killed_and_plugged_again(name: str) -> None:
    mode = MODES[name]
    healthy = undisturbed(mode)
    for number in range(200):
        with machine(mode):
            vif = mode.vif()
            was_killed = killed(lambda vif=vif: plug(vif), number)  # type: ignore[misc]
            assert not mode.moves or host_is_reachable(), number
            plug(vif)
            assert os_vif.check(vif, vifs.instance()) == [], number
            assert differing(healthy, mode) == [], number
            assert "stranger" in name or bridges_keep_their_macs(), number
        if not was_killed:
            break
    assert number >= 2, "that few changes?"


@pytest.mark.parametrize("name", EACH)
def test_plug_killed_and_unplugged(name: str) -> None:
    mode = MODES[name]
    was_killed = True
    number = 0
    while was_killed:
        with machine(mode):
            vif = mode.vif()
            was_killed = killed(lambda vif=vif: plug(vif), number)  # type: ignore[misc]
            unplug(vif)
            assert nothing_of_ours(), number
            assert not mode.moves or host_is_reachable(), number
            unplug(vif)
        number += 1


@pytest.mark.parametrize("name", EACH)
def test_unplug_killed_and_unplugged_again(name: str) -> None:
    mode = MODES[name]
    number = 0
    was_killed = True
    with machine(mode):
        vif = mode.vif()
        while was_killed:
            plug(vif)
            was_killed = killed(lambda: unplug(vif), number)
            unplug(vif)
            assert nothing_of_ours(), number
            assert not mode.moves or host_is_reachable(), number
            number += 1


def with_bridge(vif: Any) -> None:
    [outcome] = os_vif.unplug_many([(vif, vifs.instance())], with_bridge=True)
    if outcome.error is not None:
        raise outcome.error


@pytest.mark.parametrize(
    ("name", "then"),
    [
        *(("rules", then) for then in ("unplug", "plug", "gc")),
        pytest.param("uplink", "plug", marks=pytest.mark.long),
        *(pytest.param(LONG, then, marks=pytest.mark.long) for then in ("unplug", "plug", "gc")),
    ],
)
def test_unplug_with_the_bridge_killed(name: str, then: str) -> None:
    mode = MODES[name]
    healthy = undisturbed(mode)
    with machine(mode):
        before = witness.snapshot()
    number = 0
    was_killed = True
    while was_killed:
        with machine(mode):
            vif = mode.vif()
            plug(vif)
            was_killed = killed(lambda vif=vif: with_bridge(vif), number)  # type: ignore[misc]
            assert not mode.moves or host_is_reachable(), number
            if then == "plug":
                plug(vif)
                assert os_vif.check(vif, vifs.instance()) == [], number
                assert differing(healthy, mode) == [], number
            if then == "gc":
                os_vif.gc([], bridges=True)
            else:
                with_bridge(vif)
            # The kernel's own route to an IPv6 address comes a moment after the address.
            until(
                lambda: not witness.differences(before, witness.snapshot()),
                instead=lambda: (number, witness.differences(before, witness.snapshot())),  # noqa: B023
            )
        number += 1
    assert number > 2


@pytest.mark.parametrize("name", ["bridge and tap", "rules", "routed tap"])
def test_unplug_killed_and_plugged_again(name: str) -> None:
    mode = MODES[name]
    healthy = undisturbed(mode)
    number = 0
    was_killed = True
    while was_killed:
        with machine(mode):
            vif = mode.vif()
            plug(vif)
            was_killed = killed(lambda vif=vif: unplug(vif), number)  # type: ignore[misc]
            plug(vif)
            assert differing(healthy, mode) == [], number
        number += 1


def test_bulk_unplug_killed_and_unplugged_again() -> None:
    """Several go in one request by their group, which is set first."""
    mode = MODES["tap"]
    pairs = [(vifs.tap_vif(number), vifs.instance()) for number in range(1, 6)]
    number = 0
    was_killed = True
    with machine(mode):
        while was_killed:
            os_vif.plug_many(pairs)
            was_killed = killed(lambda: next(None for _ in os_vif.unplug_many(pairs)), number)
            if number % 2:
                assert all(not outcome.error for outcome in os_vif.plug_many(pairs))
                for vif, instance in pairs:
                    assert os_vif.check(vif, instance) == []
            assert all(not outcome.error for outcome in os_vif.unplug_many(pairs))
            assert nothing_of_ours(), number
            number += 1
    assert number > 2
