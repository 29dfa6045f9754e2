# SPDX-License-Identifier: Apache-2.0
"""What PCI functions and representors look like: in ``show``, in ``list`` and in JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.drawing.scene import Fault, Scene
from os_vif.engine.picture import Drawn, Picture, State
from os_vif.host.functions.resources import (
    NO_MAC,
    FunctionVlan,
    PciDevice,
    Representor,
    VirtualFunction,
)

if TYPE_CHECKING:
    from os_vif.engine.plugged import Plugged
    from os_vif.engine.topology import Resource
    from os_vif.host.functions.questions import Given

# --- drawn ------------------------------------------------------------------------------------


def _representor(scene: Scene, representor: Representor) -> None:
    lines = [f"representor of {representor.address}"] if representor.name else []
    if representor.mtu is not None:
        lines.append(f"MTU {representor.mtu}")
    [key] = _key_of_representor(representor)
    scene.part(key, "port", *lines)


def _key_of_representor(representor: Representor) -> Sequence[str]:
    # What it is called is seen on the host, unless it gets a name.
    return [representor.name or f"representor of {representor.address}"]


def _device(scene: Scene, device: PciDevice) -> None:
    lines = [f"given to {device.driver}"] if device.driver else []
    scene.part(device.address, "nic", *(lines or ["given to the guest whole"]))


_VF_LINES: Mapping[str, Callable[[VirtualFunction], str]] = {
    "mac": lambda vf: f"MAC {vf.mac}",
    "vlan": lambda vf: f"VLAN {vf.vlan}",
    "trust": lambda _vf: "trusted",
    "spoofchk": lambda _vf: "spoof check",
    "max_tx_rate": lambda vf: f"at most {vf.max_tx_rate} Mbit/s",
    "min_tx_rate": lambda vf: f"at least {vf.min_tx_rate} Mbit/s",
}


def _virtual_function(scene: Scene, vf: VirtualFunction) -> None:
    lines = [words(vf) for name, words in _VF_LINES.items() if getattr(vf, name)]
    lines += [f"link {vf.link_state}"] if vf.link_state else []
    part = scene.part(vf.address, "nic", "virtual function", *lines)
    part.below = f"the card of {vf.address}"
    scene.part(part.below, "nic", "its physical function", "switches by MAC and VLAN")


def _function_vlan(scene: Scene, vlan: FunctionVlan) -> None:
    scene.nic("", vlan.address)
    scene.part(vlan.address, "nic", f"virtual function in VLAN {vlan.vlan}")


def _its_address(device: PciDevice | VirtualFunction) -> Sequence[str]:
    return [device.address]


# --- as the host holds it ---------------------------------------------------------------------


def _held(item: Plugged) -> Iterator[Resource]:
    for given in item["functions"]:
        yield from _of_function(given)


def _of_function(given: Given) -> list[Resource]:
    address, found = given.mark.address, given.settings
    driver = given.function.driver if given.function and given.mark.driver else ""
    device = PciDevice(address=address, driver=driver)
    if not given.card:
        return [device]
    shown: Any = {key: found[key] for key in ("vlan", "spoofchk", "trust") if key in found}
    shown["mac"] = "" if found.get("mac") == NO_MAC else found.get("mac", "")
    return [device, VirtualFunction(address=address, **shown)]


# --- listed -----------------------------------------------------------------------------------


def _json(item: Plugged) -> dict[str, list[Any]]:
    return {"functions": [_as_json(given) for given in item["functions"]]}


def _as_json(given: Given) -> dict[str, Any]:
    return {
        "address": given.mark.address,
        "card": given.card or None,
        "vf": given.function.number if given.function else None,
        "driver": (given.function.driver or None) if given.function else None,
        "mac": given.settings.get("mac"),
        "vlan": given.settings.get("vlan") or None,
    }


def _gone(item: Plugged) -> list[str]:
    return [given.mark.address for given in item["functions"] if given.function is None]


def _faults(item: Plugged) -> dict[str, Fault]:
    return {address: Fault(missing=True, notes=("missing",)) for address in _gone(item)}


PICTURE = Picture(
    drawn={
        Representor: Drawn(_representor, _key_of_representor),
        PciDevice: Drawn(_device, _its_address),
        VirtualFunction: Drawn(_virtual_function, _its_address),
        FunctionVlan: Drawn(_function_vlan),
    },
    held=_held,
    faults=_faults,
    json=_json,
    names=lambda item: [(given.mark.address, given.card) for given in item["functions"]],
    states=lambda item: [State("device gone", 2)] if _gone(item) else [],
    # A device that is given away whole has its link in the guest.
    up=lambda item: [given.up for given in item["functions"] if given.card],
)
