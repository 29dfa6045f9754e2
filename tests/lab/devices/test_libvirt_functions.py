# SPDX-License-Identifier: Apache-2.0
"""libvirt gives a guest a virtual function of ours, by VFIO, and takes it back.

The guest never runs: what counts is what its QEMU holds, and what is left when it has gone.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.guest import GuestOptions, compared, libvirt
from tests import debian, libvirt_guests, vifs, vifs_sriov
from tests.lab.devices.functions import assert_no_guest, driver, seen
from tests.lab.devices.nics import PCI, GuestItself, Nic
from tests.libvirtd import Libvirt

pytestmark = pytest.mark.lab

PATIENCE = 240.0
"""Seconds for a start, of the daemon or a guest: the processor is emulated."""
QEMU = GuestOptions(domain_type="qemu")


@pytest.fixture(scope="module")
def daemon() -> Iterator[Libvirt]:
    """Return libvirt 9; the modules that it would load itself are not in its tree."""
    for module in ("vfio-pci", "vfio_iommu_type1"):
        subprocess.run(["modprobe", module], check=True)
    with contextlib.closing(Libvirt(debian.tree("libvirt9"), patience=PATIENCE)) as made:
        yield made


@contextlib.contextmanager
def guest_with(daemon: Libvirt, vif: Any) -> Iterator[None]:
    """Have a guest with the card of a VIF, as libvirt is told of it."""
    text = libvirt_guests.domain(libvirt.interface(os_vif.guest_card(vif), QEMU))
    assert daemon.is_valid(text)
    daemon.begin_start(text)
    daemon.end(PATIENCE)
    try:
        yield
    finally:
        daemon.virsh("destroy guest", PATIENCE)


def held(daemon: Libvirt) -> set[str]:
    """Return the numbers of the VFIO groups that the guest's QEMU has open."""
    links = [each.readlink() for each in (daemon.process() / "fd").iterdir()]
    return {it.name for it in links if it.parent.name == "vfio"} - {"vfio"}


def told(daemon: Libvirt) -> list[str]:
    """Return the PCI addresses of the functions that the guest's QEMU was told of."""
    devices = [json.loads(it) for it in daemon.arguments() if it.startswith('{"driver":"vfio-pci"')]
    return [it["host"] for it in devices]


def assert_has_it(daemon: Libvirt, vif: Any) -> None:
    assert told(daemon) == [vif.dev_address]
    assert held(daemon) == {(PCI / vif.dev_address / "iommu_group").resolve().name}
    domain = compared.domain_of(daemon.shown())
    assert compared.differences(os_vif.guest_card(vif), QEMU, domain) == ()


def test_one_that_is_bound_already(
    card: Nic, here: GuestItself, vfio: None, daemon: Libvirt
) -> None:
    address = card.vfs[3]
    vif, instance = vifs_sriov.device(1, address, vlan=7), vifs.instance()
    os_vif.plug(vif, instance)
    plugged = seen(here, card.netdev, 3)
    with guest_with(daemon, vif):
        assert_has_it(daemon, vif)
        assert driver(address) == "vfio-pci"
        assert seen(here, card.netdev, 3) == plugged
        assert os_vif.check(vif, instance) == []
        with pytest.raises(exception.UnplugException, match="open; stop the guest first"):
            os_vif.unplug(vif, instance)
    os_vif.plug(vif, instance)
    assert driver(address) == "vfio-pci"
    os_vif.unplug(vif, instance)
    assert driver(address) == "igbvf"
    assert_no_guest(here, card, 3)


def test_one_that_libvirt_binds_and_gives_back(
    card: Nic, here: GuestItself, daemon: Libvirt
) -> None:
    address = card.vfs[4]
    vif, instance = vifs_sriov.device(1, address, vlan=9), vifs.instance()
    os_vif.plug(vif, instance)
    plugged = seen(here, card.netdev, 4)
    with guest_with(daemon, vif):
        assert_has_it(daemon, vif)
        assert driver(address) == "vfio-pci"
        assert seen(here, card.netdev, 4)["address"] == vif.address
        assert seen(here, card.netdev, 4)["vlan_list"] == plugged["vlan_list"]
        assert os_vif.check(vif, instance) == []
    assert driver(address) == "igbvf"
    os_vif.unplug(vif, instance)
    assert driver(address) == "igbvf"
    assert_no_guest(here, card, 4)


def test_any_device(card: Nic, vfio: None, daemon: Libvirt) -> None:
    vif = vifs_sriov.device(1, card.vfs[5], kind="generic")
    os_vif.plug(vif, None)
    with guest_with(daemon, vif):
        assert_has_it(daemon, vif)
    os_vif.unplug(vif, None)
    assert driver(card.vfs[5]) == "igbvf"
