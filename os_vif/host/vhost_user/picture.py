# SPDX-License-Identifier: Apache-2.0
"""What a fast path looks like: its devices, processes and sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.drawing.scene import Fault, Scene
from os_vif.engine.picture import Drawn, Picture, State
from os_vif.host.links.resources import Bridge
from os_vif.host.vhost_user.questions import (
    is_made_by_fast_path,
    is_unserved,
    noted_socket,
    process_of,
)
from os_vif.host.vhost_user.resources import TESTPMD_MTU, BackEnd, FastPathDevice, VhostSocket

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource
    from os_vif.host.links.questions import Link

# --- drawn ------------------------------------------------------------------------------------


def _socket(scene: Scene, path: str, below: str | None, *, listens: bool) -> None:
    """Draw where guest and back end meet.

    :param listens: the back end does; else the guest
    """
    part = scene.part(path, "socket", "vhost-user socket")
    part.lines += ["the guest connects" if listens else "the guest listens"]
    part.below = below


def _fast_path_device(scene: Scene, device: FastPathDevice) -> None:
    lines = ("device of 6WIND's fast path", f"MTU {device.mtu}")
    scene.part(device.name, "tap", *lines).below = device.bridge
    if device.bridge is not None:
        scene.part(device.bridge, "bridge")
    if device.path:
        _socket(scene, device.path, device.name, listens=device.listens)


def _back_end(scene: Scene, process: BackEnd) -> None:
    key = process_of(process.name)
    part = scene.part(key, "process", "keeps a processor busy")
    part.title = "dpdk-testpmd"
    part.below = process.name
    _socket(scene, process.path, key, listens=process.listens)


def _foreign_socket(scene: Scene, socket: VhostSocket) -> None:
    key = f"another program at {socket.path}"
    scene.part(key, "process", "makes the rest itself").title = "another program"
    _socket(scene, socket.path, key, listens=socket.listens)


def _its_path(socket: VhostSocket) -> Sequence[str]:
    return [socket.path]


# --- as the host holds it ---------------------------------------------------------------------


def _held(item: Plugged) -> Iterator[Resource]:
    for link in item["links"]:
        yield from _of_link(link)


def _of_link(link: Link) -> list[Resource]:
    found: Any = link.attributes
    master, mtu = found.get("master"), found.get("mtu")
    socket = noted_socket(link.alias)
    path, listens = socket or ("", False)
    if is_made_by_fast_path(link):
        # Whatever kind of device it has made.
        bridge: list[Resource] = [] if master is None else [Bridge(name=master)]
        device = FastPathDevice(
            name=link.name, path=path, listens=listens, mac=found["mac"], mtu=mtu, bridge=master
        )
        return [*bridge, device]
    if link.kind != "tap" or socket is None:
        return []
    process = BackEnd(
        name=link.name, path=path, listens=listens, mac=found["mac"], mtu=min(mtu, TESTPMD_MTU)
    )
    return [process]


# --- listed -----------------------------------------------------------------------------------


def _json(item: Plugged) -> dict[str, list[Any]]:
    told = [(link.name, noted_socket(link.alias)) for link in item["links"]]
    return {
        "devices": [
            {"name": name, "socket": socket[0], "listens": socket[1]}
            for name, socket in told
            if socket is not None
        ]
    }


def unserved(item: Plugged) -> tuple[str, ...]:
    """Return the names of the taps whose process is gone."""
    return tuple(link.name for link in item["links"] if is_unserved(link))


def _faults(item: Plugged) -> dict[str, Fault]:
    return {process_of(name): Fault(missing=True, notes=("missing",)) for name in unserved(item)}


PICTURE = Picture(
    drawn={
        FastPathDevice: Drawn(_fast_path_device, lambda device: [device.name, device.path]),
        BackEnd: Drawn(_back_end, lambda process: [process_of(process.name), process.path]),
        VhostSocket: Drawn(_foreign_socket, _its_path),
    },
    held=_held,
    faults=_faults,
    json=_json,
    states=lambda item: [State("back end gone", 3)] if unserved(item) else [],
)
