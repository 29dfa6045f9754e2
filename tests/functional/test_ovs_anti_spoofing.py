# SPDX-License-Identifier: Apache-2.0
"""Guests on Open vSwitch are kept to their addresses where the kernel switches; else that is said.

What gets through the kernel's datapath then, tests/lab/devices shows.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests import vifs, vifs_ovs
from tests.functional.calls import plug, steps_left
from tests.openvswitch import Switch
from tests.switch_witness import make_bridge, refused

pytestmark = pytest.mark.functional


def kept() -> Any:
    return vifs.configured("ovs", anti_spoofings={vifs.vif_id(1): "mac"})


def test_where_the_kernel_switches(switch: Switch) -> None:
    """Only planned: here the kernel has no datapath for Open vSwitch."""
    switch.vsctl("add-br", vifs_ovs.BRIDGE)
    for datapath in ("system", None):
        with kept():
            planned = [it.kind for it in steps_left(vifs_ovs.plain(datapath=datapath))]
        assert "set_guest_filter" in planned


@pytest.mark.parametrize("named", ["netdev", None])
def test_not_where_the_switch_is_first(switch: Switch, named: str | None) -> None:
    make_bridge(switch)
    with kept(), refused(switch, "reads what a tap's guest sends before the kernel"):
        plug(vifs_ovs.plain(datapath=named))


@pytest.mark.parametrize(
    "vif",
    [
        vifs_ovs.hybrid,
        lambda: vifs_ovs.vhost_user(mode="client"),
        lambda: vifs_ovs.plain(tap=False),
    ],
)
def test_not_where_the_tap_is_anothers(switch: Switch, vif: Any) -> None:
    with kept(), refused(switch, "but for a tap that is made here"):
        plug(vif())
