# SPDX-License-Identifier: Apache-2.0
"""VIFs on a fast path, their guests, and the back ends' options as a test has them."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import os_vif
from os_vif.host.vhost_user.system import testpmd
from os_vif.host.vhost_user.system.testpmd_words import Settings
from tests import dpdk, vifs, witness
from tests.vhost_user import FrontEnd


def vhost_user_vif(number: int, path: str, profile: Any, **fields: Any) -> Any:
    """Return a VIFVHostUser; ``mtu``, ``bridge`` and ``subnets`` are its network's."""
    from os_vif.objects.vif import VIFVHostUser

    said = {key: fields.pop(key) for key in ("mtu", "subnets") if key in fields}
    fields.setdefault("network", vifs.network(fields.pop("bridge", ""), **said))
    fields.setdefault("vif_name", f"vhu{vifs.vif_id(number)[:11]}")
    fields.setdefault("address", vifs.guest_mac(number))
    fields.setdefault("mode", "server")
    return VIFVHostUser(
        id=vifs.vif_id(number), plugin="vhostuser_fp", path=path, port_profile=profile, **fields
    )


def on_bridge(number: int, path: str, bridge: str = "br0", **fields: Any) -> Any:
    from os_vif.objects.vif import VIFPortProfileFPBridge

    return vhost_user_vif(number, path, VIFPortProfileFPBridge(bridge_name=bridge), **fields)


def on_switch(
    number: int, path: str, bridge: str = "br-int", *, hybrid: bool = False, **fields: Any
) -> Any:
    from os_vif.objects.vif import VIFPortProfileFPOpenVSwitch

    profile = VIFPortProfileFPOpenVSwitch(
        interface_id=vifs.vif_id(number),
        datapath_type="netdev",
        hybrid_plug=hybrid,
        bridge_name=f"qbr{vifs.vif_id(number)[:11]}" if hybrid else bridge,
    )
    return vhost_user_vif(number, path, profile, bridge=bridge, **fields)


def by_itself(number: int, path: str, mac: str | None = None, **fields: Any) -> Any:
    from os_vif.objects.vif import VIFPortProfileFPTap

    profile = VIFPortProfileFPTap() if mac is None else VIFPortProfileFPTap(mac_address=mac)
    return vhost_user_vif(number, path, profile, **fields)


def options(settings: Settings) -> dict[str, str]:
    """Return the plugin's options for dpdk-testpmd run as in ``settings``."""
    return {
        "back_end": "testpmd",
        "testpmd_command": shlex.join(settings.command),
        "testpmd_eal": shlex.join(settings.eal),
    }


@contextlib.contextmanager
def on_testpmd(settings: Settings, **more: Any) -> Iterator[None]:
    """Have the fast path be dpdk-testpmd, run as in ``settings``."""
    with vifs.configured("vhostuser_fp", **options(settings), **more):
        yield


@contextlib.contextmanager
def guest_of(vif: Any) -> Iterator[FrontEnd]:
    """Run the guest, which is not connected yet; its socket, if it makes one, goes with it."""
    made = FrontEnd(vif.path, vif.address, server=vif.mode == "server")
    with contextlib.closing(made):
        yield made


def pid_of(vif: Any) -> int:
    """Return the process id of a VIF's dpdk-testpmd, which must run."""
    return _pid(vif.vif_name)


def _pid(device: str) -> int:
    found = testpmd.look(device)
    assert found is not None, f"{device} has no process"
    return found.pid


def kill(vif: Any) -> None:
    """End a VIF's dpdk-testpmd with SIGKILL."""
    kill_process_of(vif.vif_name)


def kill_process_of(device: str) -> None:
    """End the dpdk-testpmd of a device with SIGKILL."""
    dpdk.kill(_pid(device))


def assert_nothing_left(vif: Any) -> None:
    """Fail unless process, its folder, socket, device and marks of a VIF are gone."""
    assert testpmd.look(vif.vif_name) is None
    assert vif.vif_name not in testpmd.devices()
    assert not os.path.lexists(vif.path)
    assert list(Path(vif.path).parent.glob(".os-vif-*")) == [], "a stale socket moved aside"
    assert witness.link(vif.vif_name) is None
    assert os_vif.list_vifs(vif.id) == []
