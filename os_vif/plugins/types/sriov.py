# SPDX-License-Identifier: Apache-2.0
"""The type of a PCI device that a guest gets whole: a virtual function, or any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from os_vif.plugins.types.unused import switched
from os_vif.specs import (
    ID,
    INSTANCE,
    LABEL,
    MAC,
    NETWORK_ID,
    PCI,
    SUBNETS,
    VLAN,
    Field,
    Group,
    NotTold,
    Reading,
    Told,
    Values,
    VIFType,
    check_addresses,
    derived_id,
    identity_of,
    network_of,
    one_of,
    told_of,
)

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.objects.vif import VIFBase


def _check(values: Values, into: Reading) -> None:
    check_addresses(values, into)
    told = {problem.field for problem in into.problems}
    if values.get("kind") == "generic":
        for field in ("mac", "vlan"):
            if field in values:
                message = "the host sets nothing on a generic device; leave it out"
                into.problem(into.marks[field], field, message)
    elif "mac" not in values and into.path("mac") not in told:
        message = "missing; add mac: the guest's MAC address, which the function is set to"
        into.problem(into.marks[""], "mac", message)


def _device(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFHostDevice

    if "mac" in values:
        identity = identity_of(values)
        del identity["vif_name"]
    else:
        identity = {"id": values.get("id") or derived_id("device", values["device"])}
    return VIFHostDevice(
        **identity,
        plugin="sriov",
        dev_type=values.get("kind", "ethernet"),
        dev_address=values["device"],
        network=network_of(values, vlan=values.get("vlan")),
    )


def _held(held: Held) -> Told:
    functions = held["functions"]
    if len(functions) != 1:
        raise NotTold(f"it has {len(functions) or 'no'} PCI functions here, and one is a file's")
    [given] = functions
    if given.function is None:
        raise NotTold(f"{given.mark.address} is gone from this host")
    if not given.card:
        told = told_of(held, device=given.mark.address, kind="generic")
    else:
        mac, vlan = given.settings.get("mac"), given.settings.get("vlan")
        told = told_of(held, device=given.mark.address, mac=mac, vlan=vlan or None)
        told.doubts.append("which other settings of the function an option has made")
    if given.mark.driver:
        told.doubts.append(f"option bind_driver, by which {given.mark.driver} has the device")
    return told


_EXAMPLE = """\
type: sriov
device: "0000:03:10.2"
mac: 52:54:00:12:34:56
vlan: 5
"""

TYPES = (
    VIFType(
        "sriov",
        "a virtual function (or another PCI device) that the guest gets whole",
        "guests that need a card's full speed, on cards that switch between functions themselves",
        "sriov",
        "VIFHostDevice",
        (
            Field("device", PCI, "its PCI address", required=True, known_as=("dev_address",)),
            Field(
                "kind",
                one_of("ethernet", "generic"),
                "ethernet: a virtual function, which is set to the guest's address; generic: any "
                "device, of which nothing is set",
                default="ethernet",
                known_as=("dev_type",),
            ),
            Field(
                "mac",
                MAC,
                "the guest's MAC address; of a virtual function it must be said",
                known_as=("address", "mac_address"),
            ),
            Field(
                "vlan",
                VLAN,
                "VLAN that the card puts the guest into, 1 to 4094",
                default="none",
                known_as=("network.vlan",),
            ),
            ID,
            INSTANCE,
            switched(
                Field("network", Group("a network", (NETWORK_ID, LABEL, SUBNETS)), "the network")
            ),
        ),
        _device,
        _EXAMPLE,
        _check,
        rank=5,
        held=_held,
    ),
)
