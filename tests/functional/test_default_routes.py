# SPDX-License-Identifier: Apache-2.0
"""The default route, which a look-up of its own destination does not find."""

from __future__ import annotations

from typing import Any

import pytest

from os_vif.host.routes.system import addresses
from tests import witness

pytestmark = pytest.mark.functional


def test_default_routes_are_found(uplink: Any) -> None:
    assert addresses.route_to("0.0.0.0/0") == ("eth0", "192.0.2.1")
    assert addresses.route_to("::/0") == ("eth0", "2001:db8::1")
    witness.ip("""
        route del default via 192.0.2.1 dev eth0
        route del default via 2001:db8::1 dev eth0
    """)
    assert addresses.route_to("0.0.0.0/0") is None
    assert addresses.route_to("::/0") is None


def test_one_without_a_gateway(uplink: Any) -> None:
    witness.ip("route replace default dev eth0")
    assert addresses.route_to("0.0.0.0/0") == ("eth0", "")
