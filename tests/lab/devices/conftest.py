# SPDX-License-Identifier: Apache-2.0
"""The guest's devices, as fixtures.

``nic`` is a NIC with virtual functions (VFs), ``representors`` puts the layout of switchdev mode
onto it, ``netdevsim`` is a switchdev NIC that exists in software only, and ``switch`` is an Open
vSwitch with the kernel's datapath. Whatever a test changes on the last three is gone with it.

All of it is in the guest's first network namespace: ``/sys/class/net``, and a PCI device's ``net``
folder, show the namespace that sysfs was mounted in, so that the plugins find no representor from
within another.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from os_vif.host.functions.system import pci_drivers
from tests import openvswitch, vifs
from tests.conftest import PrivateHost
from tests.lab.devices.functions import NO_MAC, driver, marks, start_anew
from tests.lab.devices.nics import (
    NET,
    VFS,
    GuestItself,
    Nic,
    Representor,
    Simulated,
    only_netdev,
)
from tests.lab.runner import GUEST_MARK, MODULES_MARK

OVSDB_PATIENCE = 60
"""Seconds for the plugin to wait for Open vSwitch, on an emulated processor."""


@pytest.fixture(scope="session", autouse=True)
def in_the_guest() -> None:
    """These tests load modules and change devices at will: never on a host."""
    if os.environ.get(GUEST_MARK) != "devices":
        pytest.fail("runs in the lab's guest only: python -m tests.lab.runner", pytrace=False)


@pytest.fixture(scope="session")
def here() -> GuestItself:
    """Return the guest itself as a host."""
    return GuestItself()


def _modprobe(*names: str) -> None:
    for name in names:
        subprocess.run(["modprobe", name], check=True)


def _insmod(name: str, *parameters: str) -> None:
    path = Path(os.environ[MODULES_MARK], f"{name}.ko")
    subprocess.run(["insmod", str(path), *parameters], check=True)


# --- the NIC with virtual functions -----------------------------------------------------------


@pytest.fixture(scope="session")
def nic() -> Nic:
    """Return the igb and its VFs, made on first use."""
    (pf,) = Path("/sys/bus/pci/drivers/igb").glob("0000:*")
    (far,) = Path("/sys/bus/virtio/drivers/virtio_net").glob("virtio*")
    netdev = only_netdev(pf)
    (pf / "sriov_numvfs").write_text(str(VFS))
    vfs = tuple((pf / f"virtfn{number}").resolve().name for number in range(VFS))
    return Nic(pf.name, netdev, vfs, only_netdev(far))


@pytest.fixture
def card(nic: Nic, here: GuestItself) -> Iterator[Nic]:
    """Return the card with functions that nobody has set, and leave it so."""

    def clean() -> None:
        for device in (nic.netdev, "lo"):
            for mark in marks(here, device):
                here.run("ip", "link", "property", "del", "dev", device, "altname", mark)
        here.run("ip", "link", "set", nic.netdev, "up")
        for number, address in enumerate(nic.vfs):
            words = f"mac {NO_MAC} vlan 0 spoofchk on trust off"
            here.run(*f"ip link set {nic.netdev} vf {number} {words}".split())
            if driver(address) != "igbvf":
                pci_drivers.bind(address, None, "")
            elif "52:54:" in here.run("ip", "link", "show", nic.vf_netdev(number)).stdout:
                start_anew(address)

    clean()
    yield nic
    clean()


@pytest.fixture
def vfio() -> Iterator[None]:
    _modprobe("vfio-pci")
    with vifs.configured("sriov", bind_driver="vfio-pci"):
        yield


# --- representors -----------------------------------------------------------------------------


@pytest.fixture
def representors(nic: Nic) -> Iterator[tuple[Representor, ...]]:
    """Return a representor for each VF, new for each test."""
    _insmod("representor", f"pf={nic.pf}", f"vfs={VFS}")
    try:
        yield tuple(
            Representor(f"pf0vf{number}", f"pf0vf{number}-far", nic.vfs[number])
            for number in range(VFS)
        )
    finally:
        subprocess.run(["rmmod", "representor"], check=True)


# --- netdevsim --------------------------------------------------------------------------------


@pytest.fixture
def netdevsim() -> Iterator[Simulated]:
    """Return a simulated NIC, new for each test."""
    bus = Path("/sys/bus/netdevsim")
    if not bus.exists():
        _modprobe("psample")
        _insmod("netdevsim")
    (bus / "new_device").write_text("1 2")
    try:
        device = bus / "devices/netdevsim1"
        (device / "sriov_numvfs").write_text("2")
        mode = ["eswitch", "set", "netdevsim/netdevsim1", "mode", "switchdev"]
        subprocess.run(["devlink", "dev", *mode], check=True)
        netdevs = [path.name for path in (device / "net").iterdir()]
        names = {(NET / name / "phys_port_name").read_text().strip(): name for name in netdevs}
        yield Simulated("netdevsim1", names)
    finally:
        (bus / "del_device").write_text("1")


# --- Open vSwitch -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def kernel_switch(here: GuestItself) -> Iterator[openvswitch.Switch]:
    """Start Open vSwitch once: it takes its time here. Tests use ``switch``."""
    _modprobe("openvswitch")
    running = openvswitch.Switch(here)
    yield running
    running.close()


@pytest.fixture
def switch(kernel_switch: openvswitch.Switch) -> Iterator[openvswitch.Switch]:
    """Return a switch without bridges, which the plugin ``ovs`` talks to."""
    options = {"ovsdb_connection": kernel_switch.remote, "ovs_vsctl_timeout": OVSDB_PATIENCE}
    with vifs.configured("ovs", **options):
        try:
            yield kernel_switch
        finally:
            # Two transactions: in one, the ports on their way out would still hold their QoS.
            for words in ("clear Open_vSwitch . bridges", "--all destroy QoS"):
                kernel_switch.vsctl("--", *words.split(), timeout=OVSDB_PATIENCE)


# --- who talks --------------------------------------------------------------------------------


@pytest.fixture
def end_in(here: GuestItself) -> Iterator[Callable[[str, str], PrivateHost]]:
    """Return a function that puts a device into a namespace of its own, with an address, and up.

    ``end_in("pf0vf0-far", "10.0.0.1/24")`` returns that namespace as a host; the device comes back
    when the test ends.
    """
    hosts: list[tuple[PrivateHost, str]] = []

    def put(device: str, address: str) -> PrivateHost:
        host = PrivateHost()
        hosts.append((host, device))
        here.run("ip", "link", "set", device, "netns", str(host.pid))
        host.run("ip", "address", "add", address, "dev", device)
        host.run("ip", "link", "set", device, "up")
        return host

    yield put
    for host, device in hosts:
        host.run("ip", "link", "set", device, "netns", str(here.pid))
        host.close()
