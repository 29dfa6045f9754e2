# SPDX-License-Identifier: Apache-2.0
"""Gateways with Debian's kernel, which forwards IPv6 for the whole host or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

import os_vif
from tests import guest, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, steps_left, unplug
from tests.gateways import BR0, advertise, changed, gateways, outside, ruleset, whole
from tests.kernel_guest import kernel_guest

pytestmark = pytest.mark.lab


@pytest.fixture
def beyond(host: PrivateHost) -> Iterator[PrivateHost]:
    os_vif.initialize()
    with (
        host.enter(),
        vifs.configured("linux_bridge", create_tap=True),
        outside(host) as other,
        gateways(BR0),
    ):
        yield other


def test_a_guest_reaches_the_outside(beyond: PrivateHost) -> None:
    """As it was before in the end, and what the host has learned from a router it keeps."""
    witness.ip("route del default via 2001:db8::1")
    advertise(beyond)
    before = whole()
    assert "ra" in {it["protocol"] for it in witness.ask("-6 route show default")}
    vif = vifs.bridge_vif()
    plug(vif)
    assert steps_left(vif) == []
    assert witness.sysctl("ipv6/conf/all/forwarding") == "1"
    assert witness.sysctl("ipv6/conf/eth0/accept_ra") == "2"
    assert "ra" in {it["protocol"] for it in witness.ask("-6 route show default")}
    own = ("10.7.0.2/24", "fd00:7::2/64")
    end = guest.Guest(vif.vif_name, vif.address).descriptor
    with kernel_guest(end, vif.address, *own) as made:
        made.host.run("ip", "route", "add", "default", "via", "10.7.0.1")
        made.host.run("ip", "route", "add", "default", "via", "fd00:7::1")
        for address in ("192.0.2.1", "2001:db8::1"):
            assert made.reaches(address, 60)
    assert re.findall(r"counter packets (\d+) bytes \d+ masquerade", ruleset()) == ["1", "1"]
    unplug(vif)
    witness.ip("link delete br0")
    assert changed(before) == []
