# SPDX-License-Identifier: Apache-2.0
"""A host that learns IPv6 from a router (radvd) goes on learning when its uplink joins a bridge."""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif.engine import runner
from tests import radvd, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed

pytestmark = pytest.mark.functional

PATIENCE_S = 60.0
PING_S = 0.05
LONG_S = 2.5
"""Seconds: a neighbour is asked for again after one (RFC 4861, RETRANS_TIMER)."""


def vif(number: int = 1, **fields: Any) -> Any:
    network = vifs.network(**{"bridge_interface": "eth0", **fields})
    return vifs.bridge_vif(number, network=network)


@contextlib.contextmanager
def learning(
    host: PrivateHost, lives: Mapping[str, int] | None = None, **settings: Any
) -> Iterator[radvd.Router]:
    """Give a host an uplink with these settings, and a router there that it has heard.

    :param lives: what the router promises
    """

    def before() -> None:
        for name, value in settings.items():
            set_on("eth0", name, value)

    router = radvd.Router(host, before=before, **(lives or {}))
    try:
        until(lambda: has_learned("eth0"))
        yield router
    finally:
        router.close()


@pytest.fixture
def router(inside: Any) -> Iterator[radvd.Router]:
    with learning(inside) as router:
        yield router


def set_on(device: str, name: str, value: Any) -> None:
    Path(f"/proc/sys/net/ipv6/conf/{device}/{name}").write_text(f"{value}\n")


def until(met: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not met():
        assert time.monotonic() < deadline, witness.run("ip", "-6", "addr") + witness.run(
            "ip", "-6", "route"
        )
        time.sleep(0.05)


def dynamic(device: str) -> list[dict[str, Any]]:
    """Return a device's IPv6 addresses that go when nobody renews them."""
    if witness.link(device) is None:
        return []
    return [
        item
        for shown in witness.ask(f"-6 addr show dev {device}")
        for item in shown.get("addr_info", ())
        if item["scope"] == "global" and "dynamic" in item
    ]


def default_routes(device: str) -> list[dict[str, Any]]:
    return witness.ask(f"-6 route show default dev {device}")


def has_learned(device: str) -> bool:
    """Tell whether the kernel itself has a default route and an address from a router."""
    return bool(dynamic(device)) and any(
        (route["protocol"], route["metric"]) == ("ra", 1024) for route in default_routes(device)
    )


@contextlib.contextmanager
def pinging(host: PrivateHost, target: str) -> Iterator[list[float]]:
    """Ping meanwhile; the list holds, in the end, the seconds between two answers.

    The longest time for which the machine kept this process from running is taken off each.
    """
    gaps: list[float] = []
    ended = threading.Event()
    stalls = [0.0]

    def watch() -> None:
        before = time.monotonic()
        while not ended.wait(PING_S):
            before, last = time.monotonic(), before
            stalls.append(before - last - PING_S)

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    command = host.argv("ping", "-6", "-D", "-n", "-i", str(PING_S), target)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            process.stdout.readline()
            yield gaps
            time.sleep(0.5)
        finally:
            ended.set()
            watching.join()
            process.terminate()
        answers = [line for line in process.stdout if "bytes from" in line]
    times = [float(line[1 : line.index("]")]) for line in answers]
    gaps += [after - before - max(stalls) for before, after in itertools.pairwise(times)]


# --- learning goes on -----------------------------------------------------------------------------


@pytest.mark.long
def test_the_bridge_learns_what_the_uplink_had_learned(inside: Any) -> None:
    with learning(inside, {"route": 12, "valid": 24, "preferred": 18}):
        _learns_what_the_uplink_had_learned(inside)


def _learns_what_the_uplink_had_learned(inside: Any) -> None:
    before = {item["local"] for item in dynamic("eth0")}
    with pinging(inside, radvd.BEYOND) as gaps:
        plug(vif())
        assert steps_left(vif()) == []
        assert {item["local"] for item in dynamic("br0")} == before, "usable all the while"
        assert default_routes("br0")
        assert all(route.get("expires") for route in default_routes("br0")), "or it stays for ever"
        assert witness.addresses("eth0", "-6") == []
        assert not witness.ask("-6 route show dev eth0")
        until(lambda: has_learned("br0"))
    assert max(gaps) < LONG_S, "the host was cut off for a while"
    # What the uplink was promised has run out by now, what stood in for it too.
    for _ in range(5):
        time.sleep(6)
        assert steps_left(vif()) == []
        plug(vif())
    assert {item["local"] for item in dynamic("br0")} == before
    # Said anew: no more than ten seconds ago.
    until(lambda: all(item["valid_life_time"] > 14 for item in dynamic("br0")))
    # One that has run out stands there until it is collected (net.ipv6.route.gc_interval, 30 s).
    [route] = [it for it in default_routes("br0") if it["expires"] > 0]
    assert (route["protocol"], route["metric"]) == ("ra", 1024)
    assert route["expires"] <= 12
    inside.run("ping", "-6", "-c", "1", "-w", "5", radvd.BEYOND)
    [shown] = [it for it in witness.ask("-6 route show dev br0") if it["dst"] == radvd.PREFIX]
    assert shown["protocol"] == "kernel"


def test_how_it_learns_is_taken_over(inside: Any) -> None:
    settings = {
        "forwarding": 1,
        "accept_ra": 2,
        "accept_ra_rt_info_max_plen": 64,
        "use_tempaddr": 2,
    }
    with learning(inside, **settings):
        until(lambda: any(route["dst"] == radvd.BEHIND for route in witness.ask("-6 route")))
        plug(vif())
        assert steps_left(vif()) == []
        until(lambda: has_learned("br0"))
        for name, value in settings.items():
            assert witness.sysctl(f"ipv6/conf/br0/{name}") == str(value)
        until(lambda: any("temporary" in item for item in dynamic("br0")))
        until(
            lambda: any(
                (route["dst"], route["metric"]) == (radvd.BEHIND, 1024)
                for route in witness.ask("-6 route show dev br0")
            )
        )
        assert witness.sysctl("ipv6/conf/eth0/accept_ra") == "2", "its own are left to the uplink"


def test_a_token_is_taken_over(inside: Any) -> None:
    with learning(inside):
        witness.ip("token set ::53 dev eth0")
        wanted = radvd.PREFIX.replace("::/64", "::53")
        until(lambda: wanted in {item["local"] for item in dynamic("eth0")})
        plug(vif())
        assert witness.run("ip", "token", "get", "dev", "br0").split()[1] == "::53"
        until(lambda: has_learned("br0"))
        assert wanted in {item["local"] for item in dynamic("br0")}
        assert steps_left(vif()) == []


def test_a_secret_is_taken_over_and_told_to_nobody(inside: Any) -> None:
    secret = "2001:db8::1"
    with learning(inside, stable_secret=secret):
        before = {item["local"] for item in dynamic("eth0")}
        assert f"'{secret}'" not in str(steps_left(vif()))
        plug(vif())
        assert witness.sysctl("ipv6/conf/br0/addr_gen_mode") == "2"
        assert witness.sysctl("ipv6/conf/br0/stable_secret").endswith("0001")
        until(lambda: has_learned("br0"))
        assert before <= {item["local"] for item in dynamic("br0")}
        assert steps_left(vif()) == []


def test_a_bridge_that_was_there_learns_too(inside: Any, router: radvd.Router) -> None:
    plug(vifs.bridge_vif(2))
    assert witness.sysctl("ipv6/conf/br0/disable_ipv6") == "1"
    plug(vif())
    assert steps_left(vif()) == []
    until(lambda: has_learned("br0"))


def test_a_strangers_bridge_learns_too(inside: Any, router: radvd.Router) -> None:
    witness.ip("link add br0 type bridge")
    set_on("br0", "disable_ipv6", 1)
    plug(vif())
    assert steps_left(vif()) == []
    until(lambda: has_learned("br0"))


def test_no_router_for_a_while(inside: Any, router: radvd.Router) -> None:
    """A guest that comes then, and does not name the uplink, must not turn IPv6 off."""
    plug(vif())
    router.stop()
    witness.run("ip", "-6", "addr", "flush", "dev", "br0", "scope", "global")
    witness.run("ip", "-6", "route", "flush", "dev", "br0", "proto", "ra")
    for other in (vif(2), vifs.bridge_vif(3)):
        assert all(step.args.get("name") != "br0" for step in steps_left(other))
        plug(other)
        assert steps_left(other) == []
    assert witness.sysctl("ipv6/conf/br0/disable_ipv6") == "0"
    router.start()
    until(lambda: has_learned("br0"))


# --- and back -------------------------------------------------------------------------------------


def test_undone_at_every_step_the_uplink_goes_on_learning(
    inside: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler_of = runner.handler_of
    with learning(inside, accept_ra=2):
        position, left, ran_out = 0, 0, False

        def failing(kind: str) -> Any:
            def run(args: Any) -> Any:
                nonlocal left
                left -= 1
                if left == -1:
                    raise OSError(28, "the disk of the network is full")
                return handler_of(kind)(args)

            return run

        while not ran_out:
            left = position
            before = settings_of("eth0")
            with monkeypatch.context() as patch:
                patch.setattr(runner, "handler_of", failing)
                [outcome] = os_vif.plug_many([(vif(), vifs.instance())])
            ran_out = outcome.error is None
            if not ran_out:
                assert str(outcome.error).endswith("the disk of the network is full")
                assert witness.link("br0") is None
                assert settings_of("eth0") == before, outcome.error
                assert dynamic("eth0")
                assert default_routes("eth0")
            position += 1
        assert position > 8, "there are that many steps"
        until(lambda: has_learned("br0"))


def test_an_uplink_that_was_given_back_by_a_failure_learns_anew(
    inside: Any, router: radvd.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler_of = runner.handler_of

    def failing(kind: str) -> Any:
        def run(args: Any) -> Any:
            if (kind, args.get("attributes")) == ("set_link", {"disable_ipv6": True}):
                handler_of(kind)(args)
                raise OSError(28, "the disk of the network is full")
            return handler_of(kind)(args)

        return run

    with pinging(inside, radvd.BEYOND) as gaps, monkeypatch.context() as patch:
        patch.setattr(runner, "handler_of", failing)
        [outcome] = os_vif.plug_many([(vif(), vifs.instance())])
        assert outcome.error is not None
        until(lambda: has_learned("eth0"))
    assert max(gaps) < LONG_S, "the host was cut off for a while"
    assert witness.link("br0") is None


def given_back(one: Any) -> None:
    [outcome] = os_vif.unplug_many([(one, vifs.instance())], with_bridge=True)
    assert outcome.error is None


@pytest.mark.long
def test_the_way_back(inside: Any) -> None:
    # Seconds between two looks of the kernel's for routes that have run out: 30.
    Path("/proc/sys/net/ipv6/route/gc_interval").write_text("1")
    with learning(inside, {"route": 12}, use_tempaddr=2, accept_ra=2):
        before, settings = {it["local"] for it in dynamic("eth0")}, settings_of("eth0")
        with pinging(inside, radvd.BEYOND) as gaps:
            plug(vif())
            until(lambda: has_learned("br0"))
            given_back(vif())
            assert witness.link("br0") is None
            assert settings_of("eth0") == settings
            assert before <= {it["local"] for it in dynamic("eth0")}
            assert all(route.get("expires") for route in default_routes("eth0"))
            until(lambda: has_learned("eth0"))
        assert max(gaps) < LONG_S, "the host was cut off for a while"
        # What stands in for what the uplink learns anew runs out; the kernel takes its time.
        until(lambda: [it["metric"] for it in default_routes("eth0")] == [1024])


@pytest.mark.slow
def test_killed_on_the_way_back() -> None:
    os_vif.initialize()
    number, was_killed = 0, True
    while was_killed:
        host = PrivateHost()
        try:
            with host.enter(), learning(host) as router:
                before = {item["local"] for item in dynamic("eth0")}
                plug(vif())
                was_killed = killed(lambda: given_back(vif()), number)
                everywhere = {item["local"] for it in ("eth0", "br0") for item in dynamic(it)}
                assert before <= everywhere, number
                assert witness.ask("-6 route show default"), number
                given_back(vif())
                assert witness.link("br0") is None
                assert before <= {item["local"] for item in dynamic("eth0")}, number
                assert witness.sysctl("ipv6/conf/eth0/disable_ipv6") == "0", number
                router.advertise()
                until(lambda: has_learned("eth0"))
        finally:
            host.close()
        number += 1
    assert number > 8, "that few changes?"


def settings_of(device: str) -> dict[str, str]:
    found = {}
    for path in sorted(Path(f"/proc/sys/net/ipv6/conf/{device}").iterdir()):
        with contextlib.suppress(OSError):  # a secret that there is not
            found[path.name] = path.read_text()
    return found


@pytest.mark.slow
def test_killed_at_every_change_and_plugged_again() -> None:
    os_vif.initialize()
    number, was_killed = 0, True
    while was_killed:
        host = PrivateHost()
        try:
            with host.enter(), learning(host, use_tempaddr=2) as router:
                before = {item["local"] for item in dynamic("eth0") if "temporary" not in item}
                was_killed = killed(lambda: plug(vif()), number)
                everywhere = {item["local"] for it in ("eth0", "br0") for item in dynamic(it)}
                assert before <= everywhere, number
                assert witness.ask("-6 route show default"), number
                plug(vif())
                assert steps_left(vif()) == [], number
                assert witness.addresses("eth0", "-6") == [], number
                assert not witness.ask("-6 route show dev eth0"), number
                assert witness.sysctl("ipv6/conf/br0/use_tempaddr") == "2", number
                router.advertise()
                until(lambda: has_learned("br0"))
                assert before <= {item["local"] for item in dynamic("br0")}, number
        finally:
            host.close()
        number += 1
    assert number > 8, "that few changes?"


# --- a router that was set by hand ----------------------------------------------------------------


def test_a_default_route_and_no_address(inside: Any) -> None:
    witness.ip(
        """
        link add eth0 type veth peer name wire0
        link set eth0 up
        link set wire0 up
        addr add 192.0.2.7/24 dev eth0
        route add default via fe80::1 dev eth0
        """
    )
    plug(vif())
    assert steps_left(vif()) == []
    [route] = default_routes("br0")
    assert route["gateway"] == "fe80::1"
    assert not witness.ask("-6 route show dev eth0")
    assert witness.addresses("br0") == ["192.0.2.7/24"]
    unplug(vif())
    plug(vifs.bridge_vif(2))
    assert default_routes("br0"), "IPv6 stays on for who names no uplink"
