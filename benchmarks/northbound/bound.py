# SPDX-License-Identifier: Apache-2.0
"""From plugging to the first packet: two hosts with OVN between them, a guest that comes and goes.

Who watches the switch's database for ``ovn-installed`` is a process of its own; clocks of processes
agree (clock_gettime(2), CLOCK_MONOTONIC).
"""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import os_vif
from tests import guest, vifs
from tests.ovn_hosts import Host, Hosts
from tests.ovn_networks import File

PLUG, RETURNED, INSTALLED, AFTER, PING = "plug", "returned", "installed", "after", "ping"
"""Seconds from the start: attached; with ``wait_for = ovn`` returned; ``ovn-installed`` written;
from that to the return; a ping to a guest on another host answered."""

_WATCH = """
import json, socket, sys, time
client = socket.socket(socket.AF_UNIX); client.connect(sys.argv[1])
watched = {"Interface": {"columns": ["name", "external_ids"]}}
request = {"id": 1, "method": "monitor", "params": ["Open_vSwitch", None, watched]}
client.sendall(json.dumps(request).encode())
decode, text = json.JSONDecoder().raw_decode, ""
while True:
    more = client.recv(1 << 20)
    now = time.monotonic()
    if not more:
        break
    text += more.decode()
    while text:
        try:
            message, end = decode(text)
        except ValueError:
            break
        text = text[end:].lstrip()
        if message.get("method") == "echo":
            said = {"id": message["id"], "result": message["params"], "error": None}
            client.sendall(json.dumps(said).encode())
        if message.get("method") == "update":
            for row in message["params"][1].get("Interface", {}).values():
                new = row.get("new", {})
                ids = dict(new.get("external_ids", ["map", []])[1])
                if ids.get("ovn-installed") == "true":
                    print(new["name"], now, flush=True)
        elif "result" in message:
            print("ready", 0, flush=True)
"""

_FILE = """\
owner: bench
networks: [{label: blue, subnets: [{cidr: 10.5.0.0/24, gateway: 10.5.0.1}]}]
vifs:
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-anna, mac: "52:54:00:00:00:01",
     network: {label: blue, addresses: [10.5.0.11]}}
  - {type: openvswitch, bridge: br-int, datapath: netdev, name: tap-ben, mac: "52:54:00:00:00:02",
     network: {label: blue, addresses: [10.5.0.12]}}
"""


class _Watch:
    """The process that watches."""

    def __init__(self, remote: str) -> None:
        path = remote.removeprefix("unix:")
        self._process = subprocess.Popen(
            [sys.executable, "-IS", "-c", _WATCH, path], stdout=subprocess.PIPE, text=True
        )
        self.next("ready")

    def next(self, name: str) -> float:
        """Return when the next port of this name was installed."""
        if self._process.stdout is None:
            raise RuntimeError("there is nothing to read")
        for line in self._process.stdout:
            word, _blank, when = line.partition(" ")
            if word == name:
                return float(when)
        raise RuntimeError("the watching process ended")

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def measure(rounds: int, add: Callable[[str, float], None]) -> None:
    """Plug and unplug a guest some times.

    :param add: takes what was measured, and seconds
    """
    os_vif.initialize()
    with contextlib.closing(Hosts(2)) as hosts, contextlib.ExitStack() as stack:
        file = File(hosts, Path(hosts.centre.folder), _FILE)
        file.apply()
        stack.enter_context(file.running([("tap-anna", "h1")]))
        host = hosts["h2"]
        watch = stack.enter_context(contextlib.closing(_Watch(host.switch.remote)))
        vif, instance = file.vif("tap-ben"), vifs.instance()
        for turn in range(-2, rounds):
            for wait_for in ("ovn", "attached"):
                took = _once(host, watch, vif, instance, wait_for)
                for operation, seconds in took.items() if turn >= 0 else ():
                    add(operation, seconds)


def _once(host: Host, watch: _Watch, vif: Any, instance: Any, wait_for: str) -> dict[str, float]:
    with host.enter(wait_for=wait_for):
        begun = time.monotonic()
        os_vif.plug(vif, instance)
        returned = time.monotonic()
    try:
        descriptor = host.open(vif)
        answered = _ping(descriptor)
        os.close(descriptor)
        installed = watch.next("tap-ben")
    finally:
        with host.enter():
            os_vif.unplug(vif, instance)
    if wait_for == "attached":
        return {PLUG: returned - begun}
    return {
        RETURNED: returned - begun,
        INSTALLED: installed - begun,
        AFTER: returned - installed,
        PING: answered - begun,
    }


def _ping(descriptor: int) -> float:
    """Return when the other guest has answered; one request each millisecond."""
    os.set_blocking(descriptor, False)
    deadline = time.monotonic() + 30
    number = 0
    while time.monotonic() < deadline:
        number += 1
        os.write(descriptor, bytes(10) + _echo(number))
        while select.select([descriptor], [], [], 0.001)[0]:
            frame = os.read(descriptor, 2000)[10:]
            if frame[12:14] == b"\x08\x00" and frame[23] == 1 and frame[34] == 0:
                return time.monotonic()
    raise RuntimeError("nobody answers")


def _echo(number: int) -> bytes:
    """An echo request from ben to anna (RFC 792)."""
    icmp = struct.pack("!BBHHH", 8, 0, 0, 1, number & 0xFFFF)
    icmp = icmp[:2] + struct.pack("!H", guest.checksum(icmp)) + icmp[4:]
    packet = guest.ipv4("10.5.0.12", "10.5.0.11", icmp, 1)
    return guest.ethernet("52:54:00:00:00:01", "52:54:00:00:00:02", guest.ETH_IPV4, packet)
