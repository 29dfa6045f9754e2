# SPDX-License-Identifier: Apache-2.0
"""A network of a file on two hosts: applied, plugged, talked over, and gone again.

The short form of ``test_ovn_lab_networks.py``, where guests do more.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from tests import dhcp, strangers
from tests.ovn_hosts import MTU, PATIENCE, Hosts
from tests.ovn_networks import PLACES, File

pytestmark = pytest.mark.functional


def test_a_network_over_two_hosts(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        hosts = Hosts(2)
        stack.callback(hosts.close)
        strangers.write(hosts.centre)
        theirs = strangers.theirs(hosts.centre)
        file = File(hosts, tmp_path)
        file.apply()
        with file.running(PLACES[:2]) as guests:
            anna = guests["tap-anna"]
            with anna.host.enter(), dhcp.client() as client:
                lease = client.lease(PATIENCE)
            assert (lease.address, lease.mtu) == ("10.5.0.11", MTU)
            for address in ("10.5.0.12", "fd00:5::5054:ff:fe00:2"):
                assert anna.reaches(address)
            for name, host in PLACES[:2]:
                assert hosts.binding(file.vif(name).id)["chassis"] == [host]
        file.delete()
        assert strangers.ours(hosts.centre) == {}
        assert strangers.theirs(hosts.centre) == theirs
