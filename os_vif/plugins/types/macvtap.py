# SPDX-License-Identifier: Apache-2.0
"""The type that shares a network card among guests, or gives one to a guest: a macvtap."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import TYPE_CHECKING

from os_vif import exception
from os_vif.engine import checks
from os_vif.engine.topology import GUEST_WORD
from os_vif.host.links import resources as links
from os_vif.host.port_profiles import resources as profiles
from os_vif.plugins.types.access import GROUP, OWNER, options_of
from os_vif.plugins.types.anti_spoofing import (
    ADDRESSES,
    options_of_addresses,
    tell_addresses,
)
from os_vif.plugins.types.limits import LIMITS, limit_options, told_of_limits
from os_vif.plugins.types.unused import switched
from os_vif.specs import (
    DEVICE,
    ID,
    INSTANCE,
    INTERFACE,
    LABEL,
    MAC_ADDRESS,
    MTU,
    NETWORK_ID,
    PCI,
    SUBNETS,
    UUID,
    VLAN,
    Field,
    Group,
    Kind,
    NotTold,
    Reading,
    Told,
    Values,
    VIFType,
    check_addresses,
    identity_of,
    network_of,
    number,
    one_device,
    one_of,
    told_of,
)

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.objects.vif import VIFBase, VIFPortProfileBase

_NETWORK = Group(
    "a network",
    (
        NETWORK_ID,
        LABEL,
        Field(
            "mtu",
            MTU,
            "MTU in bytes of the macvtap, at most that of the device below it",
            default="that of the device below it",
            known_as=("network.mtu", "mtu"),
        ),
        Field(
            "uplink",
            DEVICE,
            "the host's device to share, by any of its names: for one without a PCI address",
            default="the one behind device",
            known_as=("network.bridge_interface", "bridge_interface", "vlan_interface"),
        ),
        Field(
            "vlan",
            VLAN,
            "VLAN id on that device, 1 to 4094",
            default="untagged",
            known_as=("network.vlan", "vlan"),
        ),
        SUBNETS,
    ),
)


_PROFILE = Kind(
    "the name of a profile",
    profiles.profile_name,
    {"type": "string", "minLength": 1, "maxLength": profiles.PROFILE_BYTES},
)


def _pci_address(text: str) -> str:
    try:
        return checks.pci_address(text)
    except exception.InvalidField as error:
        with contextlib.suppress(exception.InvalidField):
            name = checks.any_interface_name(text)
            hint = f"for a device by its name, write network: {{uplink: {name}}}"
            raise ValueError(f"{error.kwargs['expected']}; {hint}") from None
        raise


_DEVICE = dataclasses.replace(PCI, convert=_pci_address)


def _vsi_number(name: str, help_: str) -> Field:
    largest = profiles.VSI_NUMBERS[name]
    known_as = {"manager": "manager_id", "type": "type_id", "version": "type_id_version"}[name]
    return Field(
        name,
        number(lambda value: profiles.vsi_number(value, name, largest), 0, largest),
        f"{help_}, 0 to {largest}",
        required=True,
        known_as=(f"VIFPortProfile8021Qbg.{known_as}", known_as),
    )


_VSI = Group(
    "a VSI",
    (
        _vsi_number("manager", "the VSI manager that knows the type"),
        _vsi_number("type", "the VSI's type: what the switch is to do for it"),
        _vsi_number("version", "version of the type"),
        Field(
            "instance",
            UUID,
            "the VSI's own UUID",
            default="the VIF's id",
            known_as=("VIFPortProfile8021Qbg.instance_id", "instance_id"),
        ),
    ),
)


def _check(values: Values, into: Reading) -> None:
    check_addresses(values, into)
    # What was written counts, even if it cannot be used: that has been said.
    written = into.marks.keys()
    if {"device", "network.uplink"} <= written:
        message = "the device is named twice; leave out this field, or device"
        into.problem(into.marks["network.uplink"], "network.uplink", message)
    if not {"device", "network.uplink"} & written:
        message = "missing; say which device to share, by its PCI address or as network.uplink"
        into.problem(into.marks[""], "device", message)
    if "vlan_name" in written and "network.vlan" not in written:
        message = "without a VLAN id (network.vlan) there is no device to name"
        into.problem(into.marks["vlan_name"], "vlan_name", message)
    if "vlan_name" in values and values["vlan_name"] == values.get("name"):
        message = "the macvtap has this name; give the VLAN device another"
        into.problem(into.marks["vlan_name"], "vlan_name", message)
    if {"vsi", "profile"} <= written:
        message = "a port has one profile: 802.1Qbg's (vsi) or 802.1Qbh's (this field)"
        into.problem(into.marks["profile"], "profile", message)


def _macvtap(values: Values) -> VIFBase:
    from os_vif.objects.vif import VIFDirect

    said = values.get("network", {})
    more: Values = {}
    if "device" in values:
        more["dev_address"] = values["device"]
    if "vlan_name" in values:
        more["vlan_name"] = values["vlan_name"]
    elif "vlan" in said and not ("device" in values and values.get("mode") == "passthrough"):
        more["vlan_name"] = f"vlan{said['vlan']}"
    identity = identity_of(values)
    profile = _port_profile(values, identity["id"])
    if profile is not None:
        more["port_profile"] = profile
    network = network_of(values, bridge_interface=said.get("uplink"), vlan=said.get("vlan"))
    return VIFDirect(
        **identity,
        plugin="macvtap",
        mode=values.get("mode", "bridge"),
        network=network,
        **more,
    )


def _port_profile(values: Values, vif_id: str) -> VIFPortProfileBase | None:
    from os_vif.objects.vif import VIFPortProfile8021Qbg, VIFPortProfile8021Qbh

    if "vsi" in values:
        vsi = values["vsi"]
        return VIFPortProfile8021Qbg(
            manager_id=vsi["manager"],
            type_id=vsi["type"],
            type_id_version=vsi["version"],
            instance_id=vsi.get("instance", vif_id),
        )
    if "profile" in values:
        return VIFPortProfile8021Qbh(profile_id=values["profile"])
    return None


_VSI_NOTE, _PROFILE_NOTE = "vsi=", "port-profile="
_TOLD = ("lower", "limits", "antispoof", "vsi", "port-profile", GUEST_WORD)
"""Words behind the mark that are told whole, or are of the moment."""


def _vsi_of(word: str) -> Values:
    """Return a VSI by the word for it: device, the numbers, VLAN, MAC address and instance.

    :raises NotTold: the word tells of none
    """
    parts = word.removeprefix(_VSI_NOTE).split(",")
    if len(parts) != 7 or not all(part.isdecimal() and part.isascii() for part in parts[1:5]):
        raise NotTold(f"which VSI it is, {word!a} does not say")
    manager, kind, version = map(int, parts[1:4])
    return {"manager": manager, "type": kind, "version": version, "instance": parts[6]}


def _held(held: Held) -> Told:
    device = one_device(held, "macvtap")
    found = device.attributes
    words = device.alias.removeprefix(str(held.mark)).split()
    odd = [word for word in words if word.partition("=")[0] not in _TOLD]
    if odd:
        raise NotTold(
            f"beside {device.name} it has what only its mark notes in part ({odd[0]}): the VLAN "
            "of a function"
        )
    lower, mode = found.get("link"), found["mode"]
    if not isinstance(lower, str):
        raise NotTold(f"the device below {device.name} is in another network namespace")
    mode = "passthrough" if mode == "passthru" else mode
    told = told_of(held, name=device.name, mac=found["mac"], mode=mode)
    told.values |= told_of_limits(device, guest_inside=True)
    tell_addresses(held, told)
    for word in words:
        if word.startswith(_VSI_NOTE):
            told.values["vsi"] = _vsi_of(word)
        if word.startswith(_PROFILE_NOTE):
            if not held["profiles"]:
                raise NotTold(f"{word.removeprefix(_PROFILE_NOTE)} does not tell its port profile")
            told.values["profile"] = held["profiles"][0]
    vlans = [it for it in held.shared.get(lower, ()) if isinstance(it, links.Vlan)]
    if vlans:
        told.network(uplink=vlans[0].link, vlan=vlans[0].vlan_id)
        told.values["vlan_name"] = lower
    else:
        told.network(uplink=lower)
    told.network(mtu=found.get("mtu"))
    told.doubts.append("owner and group of the character device, which a file may leave to udev")
    return told


_EXAMPLE = """\
type: macvtap
device: "0000:3b:00.0"
name: macvtap-web
mac: 52:54:00:12:34:56
"""

TYPES = (
    VIFType(
        "macvtap",
        "a share of a network card, with a MAC of its own, and no bridge",
        "guests that talk to the network rather than to the host",
        "macvtap",
        "VIFDirect",
        (
            Field(
                "device",
                _DEVICE,
                "PCI address of the network card, or of a virtual function of it",
                default="the device is named by network.uplink",
                known_as=("dev_address",),
            ),
            Field(
                "mode",
                one_of("bridge", "vepa", "passthrough"),
                "who connects guests on one card: the host (bridge) or the switch (vepa; it needs "
                "a hairpin port); or a single guest has the card, and the card its MAC "
                "(passthrough)",
                default="bridge",
                known_as=("mode",),
            ),
            MAC_ADDRESS,
            Field(
                "name",
                INTERFACE,
                "name of the macvtap, 15 characters at most",
                default="tap and the first 11 characters of the id",
                known_as=("vif_name",),
            ),
            ID,
            INSTANCE,
            OWNER,
            GROUP,
            *LIMITS,
            *ADDRESSES,
            switched(Field("network", _NETWORK, "the network behind the card")),
            Field(
                "vlan_name",
                INTERFACE,
                "name of the VLAN device, which is made if it is missing and goes with its last "
                "guest",
                default="vlan and the VLAN id; in passthrough with device none: the card puts the "
                "virtual function into the VLAN",
                known_as=("vlan_name",),
            ),
            Field(
                "vsi",
                _VSI,
                "the virtual station interface that lldpad associates with the switch (802.1Qbg)",
            ),
            Field(
                "profile",
                _PROFILE,
                "name of the port profile that the card asks the switch for (802.1Qbh)",
                known_as=("VIFPortProfile8021Qbh.profile_id", "profile_id"),
            ),
        ),
        _macvtap,
        _EXAMPLE,
        _check,
        rank=4,
        options=lambda values: {
            **options_of(values),
            **limit_options(values),
            **options_of_addresses(values),
        },
        held=_held,
    ),
)
