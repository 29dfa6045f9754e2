# SPDX-License-Identifier: Apache-2.0
"""What devices look like: in ``show``, in ``list`` and in JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.drawing.scene import Scene
from os_vif.engine.checks import IFNAMSIZ
from os_vif.engine.fields import NAME
from os_vif.engine.picture import Drawn, Picture
from os_vif.host.links.questions import is_deleted_by_us
from os_vif.host.links.resources import MACVTAP_MODES, Bridge, Macvtap, Tap, Uplink, Veth, Vlan

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource
    from os_vif.host.links.questions import Link

# --- drawn ------------------------------------------------------------------------------------


def _tap(scene: Scene, tap: Tap) -> None:
    lines = ["tap, multi-queue" if tap.multi_queue else "tap"]
    if tap.mtu is not None:
        lines.append(f"MTU {tap.mtu}")
    part = scene.part(tap.name, "tap", *lines)
    part.below = tap.bridge
    if tap.bridge is not None:
        scene.part(tap.bridge, "bridge")


def _bridge(scene: Scene, bridge: Bridge) -> None:
    scene.part(bridge.name, "bridge", "bridge" if bridge.create else "bridge of the host")


def _joining(bridge: Bridge) -> Sequence[str]:
    return ["the hypervisor's tap joins it"] if bridge.own else []


def _vlan(scene: Scene, vlan: Vlan) -> None:
    part = scene.part(vlan.name, "vlan", f"VLAN {vlan.vlan_id}")
    part.below = scene.nic(vlan.link, vlan.behind).key


def _macvtap(scene: Scene, macvtap: Macvtap) -> None:
    mode = "passthrough" if macvtap.mode == "passthru" else macvtap.mode
    lines = [f"macvtap, mode {mode}"]
    if macvtap.mtu is not None:
        lines.append(f"MTU {macvtap.mtu}")
    part = scene.part(macvtap.name, "tap", *lines)
    if macvtap.link or macvtap.behind:
        part.below = scene.nic(macvtap.link, macvtap.behind).key


def _uplink(scene: Scene, uplink: Uplink) -> None:
    scene.nic(uplink.name)
    lines = [] if uplink.mtu is None else [f"MTU {uplink.mtu}"]
    scene.part(uplink.name, "nic", *lines).carries = True
    scene.part(uplink.bridge, "bridge").below = uplink.name


def _veth(scene: Scene, veth: Veth) -> None:
    near = scene.part(veth.name, "veth", "veth", f"MTU {veth.mtu}")
    near.carries = True
    near.below = veth.peer
    scene.part(veth.peer, "veth", "veth", f"MTU {veth.mtu}")
    scene.part(veth.bridge, "bridge").below = veth.name


def _its_name(device: Any) -> Sequence[str]:
    return [device.name]


# --- as the host holds it ---------------------------------------------------------------------


def _held(item: Plugged) -> Iterator[Resource]:
    for link in item["links"]:
        # One that another has made is for that one's family to draw.
        if is_deleted_by_us(link):
            yield from _of_link(link)


def _ours(name: str, index: int | None = None) -> str:
    """Return a name that ours may have, for whatever the kernel lets others call a device.

    :param index: of the device, to tell two such from each other
    """
    if NAME(name):
        return name
    end = "" if index is None else f".{index}"
    return f"_{re.sub('[^A-Za-z0-9_.-]', '_', name)}"[: IFNAMSIZ - 1 - len(end)] + end


def _of_link(link: Link) -> list[Resource]:
    found: Any = link.attributes
    name, mtu = _ours(link.name, link.index), found.get("mtu")
    master = found.get("master") and _ours(found["master"])
    bridge: list[Resource] = [] if master is None else [Bridge(name=master)]
    if link.kind == "bridge":
        return [Bridge(name=name, own=True)]
    if link.kind == "veth":
        # The other end is a link too, and is drawn with this one.
        return (
            [Veth(name=name, peer=_ours(found["link"]), mtu=mtu, bridge=master)] if master else []
        )
    if link.kind == "macvtap" and found["mode"] in MACVTAP_MODES:
        lower = str(found.get("link"))
        if not NAME(lower):
            lower = "elsewhere"  # in another network namespace, which shows no more than a number
        return [Macvtap(name=name, mac=found["mac"], mode=found["mode"], mtu=mtu, link=lower)]
    if link.kind != "tap":
        return bridge  # a representor, which is drawn as the port it is
    multi_queue = bool(found.get("multi_queue"))
    return [*bridge, Tap(name=name, mtu=mtu, bridge=master, multi_queue=multi_queue)]


# --- listed -----------------------------------------------------------------------------------


def _json(item: Plugged) -> dict[str, list[Any]]:
    return {
        "devices": [
            {
                "name": link.name,
                "kind": link.kind,
                "up": _is_up(link),
                "open": _is_open(link),
                "carrier": link.attributes.get("carrier"),
                "mac": link.attributes.get("mac"),
                "mtu": link.attributes.get("mtu"),
                "master": link.attributes.get("master"),
                **_of_macvtap(link),
            }
            for link in item["links"]
        ]
    }


def _of_macvtap(link: Link) -> dict[str, Any]:
    keys = ("link", "mode") if link.kind == "macvtap" else ()
    return {key: link.attributes.get(key) for key in keys}


def _is_up(link: Link) -> bool:
    return bool(link.attributes.get("up"))


def _is_open(link: Link) -> bool | None:
    # Of a macvtap the kernel does not show it.
    return bool(link.attributes.get("queues")) if link.kind == "tap" else None


def _carriers(item: Plugged) -> list[bool]:
    found = [link.attributes.get("carrier") for link in item["links"]]
    return [bool(it) for it in found if it is not None]


def _place(link: Link) -> Any:
    return link.attributes.get("link" if link.kind == "macvtap" else "master")


PICTURE = Picture(
    drawn={
        Tap: Drawn(_tap, _its_name),
        Bridge: Drawn(_bridge, _its_name, _joining),
        Vlan: Drawn(_vlan, _its_name),
        Macvtap: Drawn(_macvtap, _its_name),
        Uplink: Drawn(_uplink, _its_name),
        Veth: Drawn(_veth, _its_name),
    },
    held=_held,
    json=_json,
    names=lambda item: [(link.name, _place(link)) for link in item["links"]],
    beside=lambda item: [str(_place(link) or "") for link in item["links"]],
    up=lambda item: [_is_up(link) for link in item["links"]],
    opened=lambda item: [it for it in map(_is_open, item["links"]) if it is not None],
    carriers=_carriers,
)
