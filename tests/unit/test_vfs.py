# SPDX-License-Identifier: Apache-2.0
"""Settings of virtual functions over the wire, and what is said when a driver refuses some."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from os_vif.host.functions.system import vfs
from os_vif.system import netlink
from tests.network_card import NO_MAC, UNSET

MAC = "52:54:00:00:00:01"


def test_all_there_is_to_a_function_survives_the_wire() -> None:
    settings = {
        **UNSET,
        "mac": MAC,
        "vlan": 7,
        "qos": 2,
        "vlan_proto": 0x88A8,
        "min_tx_rate": 10,
        "max_tx_rate": 100,
        "link_state": "disable",
        "trust": True,
    }
    parts = b"".join(part for _names, part in vfs._parts(3, settings))
    # The kernel shows the old attribute beside the list.
    parts += netlink.attribute(2, struct.pack("=III", 3, 7, 2))
    info = netlink.nested(1, parts)
    assert vfs.decode(bytes(16) + netlink.nested(22, info)) == {3: settings}


def test_what_a_driver_does_not_have_is_not_there() -> None:
    unknown = struct.pack("=II", 0, 0xFFFFFFFF)
    parts = [netlink.attribute(1, struct.pack("=I6s26x", 0, bytes(6)))]
    parts += [netlink.attribute(tag, unknown) for tag in (4, 9)]
    body = bytes(16) + netlink.nested(22, netlink.nested(1, *parts))
    assert vfs.decode(body) == {0: {"mac": NO_MAC}}


def test_a_device_without_functions() -> None:
    assert vfs.decode(bytes(16)) == {}


class Driver:
    """A kernel whose driver cannot set some things."""

    def __init__(self, there: dict[str, Any], refuses: dict[str, int]) -> None:
        self.there = there
        self.refuses = refuses
        self.sent = 0

    def send(self, _device: str, parts: bytes) -> None:
        self.sent += 1
        info = netlink.nested(1, parts)
        tags = dict(netlink.attributes(parts))
        if 1 not in tags:
            info = netlink.nested(1, parts + netlink.attribute(1, struct.pack("=I6s26x", 0, b"")))
        [wanted] = vfs.decode(bytes(16) + netlink.nested(22, info)).values()
        if 1 not in tags:
            del wanted["mac"]
        for name, value in wanted.items():
            if name in self.refuses:
                raise netlink.NetlinkError(self.refuses[name], "refused")
            self.there[name] = value


def test_one_message_where_all_goes_well(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver(dict(UNSET), {})
    monkeypatch.setattr(vfs, "_send", driver.send)
    vfs.change("eth0", 0, {"mac": MAC, "trust": True, "spoofchk": False})
    assert driver.sent == 1
    assert driver.there == {**UNSET, "mac": MAC, "trust": True, "spoofchk": False}


def test_a_refusal_names_what_was_refused_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = Driver(dict(UNSET), {"link_state": 95})
    monkeypatch.setattr(vfs, "_send", driver.send)
    monkeypatch.setattr(vfs, "look_up", lambda _devices: {("eth0", 0): dict(driver.there)})
    wanted = {"mac": MAC, "link_state": "enable", "trust": True}
    with pytest.raises(OSError, match=r"^.Errno 95. link_state enable: refused, the driver cannot"):
        vfs.change("eth0", 0, wanted)
    assert (driver.there["mac"], driver.there["trust"]) == (MAC, True)
    # Taken back: what the driver never had is as it was, and no error.
    vfs.change("eth0", 0, {"mac": NO_MAC, "link_state": "auto", "trust": False})
    assert driver.there == UNSET
