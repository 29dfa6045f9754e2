# SPDX-License-Identifier: Apache-2.0
"""QEMU migrates a running guest from host to host, and its own RARP opens the port there."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import os_vif
from tests import vifs
from tests.kernel_guest import reaches
from tests.ovn_hosts import Hosts
from tests.ovn_networks import File
from tests.pings import Ping
from tests.vm.machine import PATIENCE, Machine
from tests.vm.qmp import Monitor
from tests.vm.told import Told, guest_with

pytestmark = [
    pytest.mark.functional,
    pytest.mark.hosts,
    pytest.mark.qemu,
    pytest.mark.timeout(600),  # the guest's kernel may have to be fetched
]

# What the guest gives itself, by the last byte of its MAC address: see tests/vm/init.
TEXT = """\
owner: lab
networks:
  - label: blue
    subnets:
      - {cidr: 10.0.2.0/24, gateway: 10.0.2.254}
      - {cidr: "2001:db8:0:2::/64", gateway: "2001:db8:0:2::fe", dhcp: false}
vifs:
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-anna, mac: "52:54:00:00:00:01",
     network: {label: blue, addresses: [10.0.2.1, "2001:db8:0:2::1"]}}
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-ben, mac: "52:54:00:00:00:02",
     network: {label: blue, addresses: [10.0.2.2, "2001:db8:0:2::2"]}}
"""
TAP, BEN, BEN6 = "tap-ben", "10.0.2.2", "2001:db8:0:2::2"


@contextlib.contextmanager
def booted(hosts: Hosts, file: File, host: str, words: Sequence[str] = ()) -> Iterator[Machine]:
    """Plug ben's VIF on a host, and run QEMU with it there."""
    with contextlib.ExitStack() as stack:
        with hosts[host].enter():
            os_vif.plug(file.vif(TAP), vifs.instance())
            stack.callback(file.unplug, TAP, host)
            made = stack.enter_context(guest_with(Told.of(file.vif(TAP)), words=words))
        yield made


def migrate(monitor: Monitor, to: str) -> None:
    """Have QEMU migrate its guest, and wait until it has."""
    monitor.execute("migrate", {"uri": to})
    deadline = time.monotonic() + PATIENCE
    while (found := monitor.execute("query-migrate"))["status"] != "completed":
        assert found["status"] not in ("failed", "cancelled"), found
        assert time.monotonic() < deadline, found
        time.sleep(0.02)


def test_a_guest_migrates(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = Hosts(3)
        stack.callback(hosts.close)
        file = File(hosts, tmp_path, TEXT)
        file.apply()
        vif = file.vif(TAP)
        anna = stack.enter_context(file.running([("tap-anna", "h1")]))["tap-anna"]
        sockets = stack.enter_context(tempfile.TemporaryDirectory(prefix="migrate-"))
        with contextlib.ExitStack() as source:
            guest = source.enter_context(booted(hosts, file, "h2"))
            guest.card(vif.address)
            assert reaches(anna.host, BEN, 120)
            ping = Ping(anna.host, BEN, tmp_path, 0.005)
            stack.callback(ping.close)
            ping.more(100)
            file.place(TAP, "h2", "h3", activation="rarp")
            to = f"unix:{sockets}/in"
            there = stack.enter_context(booted(hosts, file, "h3", ("-incoming", to)))
            hosts.until(vif.id, chassis=["h2"], additional=["h3"])
            ping.more(100)
            with guest.monitor() as monitor:
                migrate(monitor, to)
            there.assert_running()
            activated = {**hosts.binding(vif.id)["options"], "additional-chassis-activated": "h3"}
            hosts.until(vif.id, options=activated)
            ping.more(100)
            file.place(TAP, "h3")
            hosts.until(vif.id, chassis=["h3"], additional=[])
        # QEMU has ended on the first host, and the VIF is gone there.
        ping.more(100)
        lost = ping.lost()
        # 3 to 9 are usual; QEMU may stop the guest for 0.3 s.
        assert len(lost) < 200, lost
        assert anna.reaches(BEN6)
