# SPDX-License-Identifier: Apache-2.0
"""Tests that act inside a private network namespace themselves, and their Open vSwitch."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif.host.links import resources
from os_vif.host.links.system import taps
from os_vif.host.vhost_user.system import testpmd
from os_vif.host.vhost_user.system.testpmd_words import Settings
from os_vif.system import notices
from tests import debian, dpdk, fast_path, libvirt_guests, openvswitch, ovn, vifs, witness
from tests.conftest import PrivateHost
from tests.debian import CACHE, locked
from tests.lab.packages import Parts
from tests.vm.machine import QEMUS
from tests.waiting import until

UPLINK = """
    link add eth0 type veth peer name wire0
    link set wire0 address 52:00:00:00:0e:01 up
    link set eth0 address 52:00:00:00:0e:00 up
    addr add 192.0.2.10/24 broadcast 192.0.2.255 dev eth0
    addr add 192.0.2.11/24 dev eth0 label eth0:1
    addr add 192.0.2.12/24 dev eth0 valid_lft 3000 preferred_lft 2000
    addr add 198.51.100.7/32 peer 198.51.100.8/32 dev eth0
    addr add 2001:db8::a/64 dev eth0 nodad
    addr add 2001:db8::b/64 dev eth0 valid_lft 3000 preferred_lft 2000 nodad
    route add default via 192.0.2.1 dev eth0
    route add 203.0.113.0/24 via 192.0.2.2 dev eth0 src 192.0.2.11 metric 50
    route add 10.7.0.0/16 via 192.0.2.3 dev eth0 table 100
    route add 10.8.0.0/16 dev eth0 scope link
    route add 10.9.0.0/16 via 10.8.0.1 dev eth0 onlink
    route add default via 2001:db8::1 dev eth0
    route add 2001:db8:9::/48 via 2001:db8::2 dev eth0 metric 7
"""
"""A host's uplink as one may meet it: ``eth0``, whose other end is ``wire0``."""


@pytest.fixture
def inside(host: Any) -> Iterator[Any]:
    """Return a private host that the test itself, the library in it and its children are on."""
    os_vif.initialize()
    with host.enter():
        yield host


@pytest.fixture
def settled() -> None:
    """See that the kernel is through with what earlier tests asked for, and its sockets closed."""
    until(lambda: not notices._sending)


@pytest.fixture
def kernel_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the MTU 65535 of a tap pass, so that it is the kernel that refuses it."""
    monkeypatch.setattr(resources, "TAP_MTU_MAX", 65535)


@pytest.fixture
def other_host() -> Iterator[PrivateHost]:
    """Return a second private host."""
    private = PrivateHost()
    try:
        yield private
    finally:
        private.close()


@pytest.fixture
def uplink(inside: Any) -> Any:
    """Return a private host with the uplink ``eth0``."""
    witness.ip(UPLINK)
    # The kernel's own route to an IPv6 address comes a moment after the address.
    until(lambda: len(witness.ask("-6 route show table local root 2001:db8::/64")) >= 2)
    return inside


# --- Open vSwitch -------------------------------------------------------------------------------


@contextlib.contextmanager
def _running(host: Any, **options: Any) -> Iterator[openvswitch.Switch]:
    made = openvswitch.Switch(host, **options)
    try:
        with vifs.configured("ovs", ovsdb_connection=made.remote, ovs_vsctl_timeout=30):
            yield made
    finally:
        made.close()


@pytest.fixture
def switch(inside: Any) -> Iterator[openvswitch.Switch]:
    """Return a switch without bridges on a private host, which the plugin ``ovs`` talks to."""
    with _running(inside) as made:
        yield made


@pytest.fixture
def dpdk_switch(inside: Any) -> Iterator[openvswitch.Switch]:
    """Return the same with DPDK; one at a time, as it takes 0.6 GB and, at times, a processor."""
    with locked(CACHE / "dpdk-switch.lock"), _running(inside, dpdk=True) as made:
        yield made


@pytest.fixture
def testpmd_settings(inside: Any) -> Iterator[Settings]:
    """Return how dpdk-testpmd runs on a private host; what the test leaves running is ended.

    Two tests at a time, as each process takes a whole processor.
    """
    with dpdk.turn():
        yield dpdk.settings()
        for device in testpmd.devices():
            testpmd.stop(device)


@pytest.fixture
def port(testpmd_settings: Settings, sockets: str) -> dpdk.Port:
    """Return a tap, and a place for the socket that is to be behind it."""
    taps.create(dpdk.DEVICE, {"multi_queue": True, "mac": dpdk.MAC, "up": True})
    return dpdk.Port(testpmd_settings, f"{sockets}/vhost")


@pytest.fixture
def fast_path_settings(testpmd_settings: Settings) -> Iterator[Settings]:
    """Return how the plugin ``vhostuser_fp`` runs dpdk-testpmd on a private host."""
    with fast_path.on_testpmd(testpmd_settings):
        yield testpmd_settings


@pytest.fixture
def sockets() -> Iterator[str]:
    """Return a folder for sockets, whose path is short: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="fp-") as folder:
        yield folder


# --- OVN ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def only_server() -> Iterator[ovn.Server]:
    """Return a Northbound database that the tests of a module share."""
    with contextlib.closing(ovn.Server()) as made:
        made.nbctl("init")
        yield made


@pytest.fixture
def centre() -> Iterator[ovn.Centre]:
    """Return the databases of an OVN, and its ovn-northd."""
    with contextlib.closing(ovn.Centre()) as made:
        yield made


# --- libvirt ------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=("libvirt9", "libvirt11"))
def place(request: pytest.FixtureRequest) -> Iterator[libvirt_guests.Place]:
    """Return a host with libvirt that the tests of a module share; each leaves it as it was."""
    tree = debian.tree(request.param)
    private = PrivateHost()
    os_vif.initialize()
    try:
        with (
            private.enter(),
            dpdk.turn(),
            libvirt_guests.on_host(private, tree) as made,
        ):
            yield made
    finally:
        private.close()


# --- guests in QEMU -----------------------------------------------------------------------------


@pytest.fixture(scope="session", params=QEMUS)  # so it is fetched before a test is on its host
def parts(request: pytest.FixtureRequest) -> Parts:
    """Return what guests are made of, with each QEMU."""
    return QEMUS[request.param]()
