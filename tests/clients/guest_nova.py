# SPDX-License-Identifier: Apache-2.0
"""What Nova tells libvirt of each VIF that it makes, and what we do; prints both."""

import json
import sys
from unittest import mock

import nova.conf
from nova import objects
from nova.network import model, os_vif_util
from nova.virt.libvirt import vif as nova_vif

import os_vif
from os_vif.guest import GuestOptions, card_of, libvirt
from os_vif.objects import network as os_vif_network
from os_vif.objects import vif as os_vif_vif
from os_vif.plugins.noop import NoOpPlugin

os_vif.initialize()
objects.register_all()
nova.conf.CONF([], project="nova")

PORT = "b679325f-ca89-4ee0-a8be-6db1409b69ea"
NETWORK = "437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7"
MAC = "fa:16:3e:12:34:56"
MTU = 1442
PCI = "0000:03:00.1"
SOCKET = {
    model.VIF_DETAILS_VHOSTUSER_MODE: "server",
    model.VIF_DETAILS_VHOSTUSER_SOCKET: "/run/vhu",
}
FAST_PATH = {**SOCKET, model.VIF_DETAILS_VHOSTUSER_FP_PLUG: True}
ON_SWITCH = {model.VIF_DETAILS_VHOSTUSER_OVS_PLUG: True}
HYBRID = {model.VIF_DETAILS_OVS_HYBRID_PLUG: True}
TAP = {model.VIF_DETAILS_OVS_CREATE_TAP: True}
CLIENT = {model.VIF_DETAILS_VHOSTUSER_MODE: "client"}
FUNCTION = {"vnic_type": model.VNIC_TYPE_DIRECT, "profile": {"pci_slot": PCI}}
QBG = {"managerid": "1", "typeid": "2", "typeidversion": "3", "instanceid": PORT}


def of(kind, details=(), **fields):
    """Return a VIF of Nova's."""
    network = model.Network(
        id=NETWORK,
        bridge="br-int",
        label="private",
        subnets=[],
        mtu=MTU,
        interface="eth0",
    )
    return model.VIF(
        **{
            "id": PORT,
            "type": kind,
            "address": MAC,
            "network": network,
            "devname": "tapb679325f-ca",
            "details": dict(details),
            **fields,
        }
    )


OVS, USER = model.VIF_TYPE_OVS, model.VIF_TYPE_VHOSTUSER
VIFS = {
    "ovs": of(OVS),
    "ovs, port": of(OVS, delegate_create=True),
    "ovs, tap": of(OVS, TAP, delegate_create=True),
    "ovs, tap alone": of(OVS, TAP),
    "ovs, hybrid": of(OVS, HYBRID),
    "ovs, direct": of(OVS, **FUNCTION),
    "ovs, remote-managed": of(OVS, **{**FUNCTION, "vnic_type": model.VNIC_TYPE_REMOTE_MANAGED}),
    "vhostuser, ovs": of(USER, {**SOCKET, **ON_SWITCH}),
    "vhostuser, ovs, client": of(USER, {**SOCKET, **ON_SWITCH, **CLIENT}),
    "vhostuser, fast path": of(USER, FAST_PATH),
    "vhostuser, fast path, ovs": of(USER, {**FAST_PATH, **ON_SWITCH}),
    "vhostuser, fast path, hybrid": of(USER, {**FAST_PATH, **ON_SWITCH, **HYBRID}),
    "vhostuser": of(USER, SOCKET),
    "vhostuser, client": of(USER, {**SOCKET, **CLIENT}),
    "tap": of(model.VIF_TYPE_TAP),
    "macvtap": of(
        model.VIF_TYPE_MACVTAP,
        {
            model.VIF_DETAILS_MACVTAP_SOURCE: "eth0",
            model.VIF_DETAILS_MACVTAP_MODE: "bridge",
            model.VIF_DETAILS_PHYS_INTERFACE: "eth0",
        },
    ),
    "802.1qbg": of(model.VIF_TYPE_802_QBG, qbg_params=QBG),
    "802.1qbh": of(model.VIF_TYPE_802_QBH, {model.VIF_DETAILS_PROFILEID: "web"}, **FUNCTION),
    "hw_veb": of(model.VIF_TYPE_HW_VEB, {model.VIF_DETAILS_VLAN: "7"}, **FUNCTION),
    "hw_veb, macvtap": of(
        model.VIF_TYPE_HW_VEB,
        {model.VIF_DETAILS_VLAN: "7"},
        vnic_type=model.VNIC_TYPE_MACVTAP,
        profile={"pci_slot": PCI},
    ),
    "hostdev": of(model.VIF_TYPE_HOSTDEV, **FUNCTION),
    "ib_hostdev": of(model.VIF_TYPE_IB_HOSTDEV, **FUNCTION),
}


def ours(name, given):
    """Return the same as a VIF of ours, for what Nova does without os-vif."""
    made = {
        "id": PORT,
        "address": MAC,
        "vif_name": given["devname"],
        "network": os_vif_network.Network(id=NETWORK, mtu=MTU, bridge_interface="eth0"),
    }
    function = {"plugin": "sriov", "dev_address": PCI, "dev_type": "ethernet"}
    direct = {"plugin": "macvtap", "mode": "bridge"}
    match name:
        case "tap":
            return os_vif_vif.VIFGeneric(**made, plugin="tap")
        case "macvtap":
            return os_vif_vif.VIFDirect(**made, **direct)
        case "802.1qbg":
            profile = os_vif_vif.VIFPortProfile8021Qbg(
                manager_id=1, type_id=2, type_id_version=3, instance_id=PORT
            )
            return os_vif_vif.VIFDirect(**made, **{**direct, "mode": "vepa"}, port_profile=profile)
        case "hw_veb, macvtap":
            return os_vif_vif.VIFDirect(**made, **{**direct, "mode": "passthrough"})
        case "802.1qbh":
            profile = os_vif_vif.VIFPortProfile8021Qbh(profile_id="web")
            del made["vif_name"]
            return os_vif_vif.VIFHostDevice(**made, **function, port_profile=profile)
        case "hw_veb":
            del made["vif_name"]
            made["network"].vlan = 7
            return os_vif_vif.VIFHostDevice(**made, **function)
        case "hostdev" | "ib_hostdev":
            del made["vif_name"]
            return os_vif_vif.VIFHostDevice(**made, **{**function, "dev_type": "generic"})
    raise AssertionError(name)


def told_by_nova(vif, virt_type, queues):
    """Return the XML of Nova's driver."""
    flavor = objects.Flavor(vcpus=queues, memory_mb=64, root_gb=0, extra_specs={})
    properties = {"hw_vif_multiqueue_enabled": queues > 1}
    image = objects.ImageMeta.from_dict({"properties": properties})
    instance = objects.Instance(id=1, uuid=PORT, project_id="p")
    nova.conf.CONF.set_override("virt_type", virt_type, group="libvirt")
    driver = nova_vif.LibvirtGenericVIFDriver()
    with mock.patch("nova.pci.utils.get_ifname_by_pci_address", return_value="eth0"):
        return driver.get_config(instance, vif, image, flavor, virt_type).to_xml()


def told_by_us(name, given, virt_type, queues):
    """Return our XML."""
    vif = os_vif_util.nova_to_osvif_vif(given) or ours(name, given)
    if queues > 1 and "port_profile" in vif and "multiqueue" in vif.port_profile.fields:
        vif.port_profile.multiqueue = True  # as Nova does before it plugs
    if vif.obj_name() == "VIFHostDevice":
        queues = 1  # it has its own; Nova says nothing of them either
    nova.conf.CONF.set_override("multi_queue", queues > 1, group="os_vif_tap")
    options = GuestOptions(
        domain_type=virt_type,
        queues=queues,
        vhost="on" if queues > 1 else "auto",  # as Nova asks for it
        libvirt_makes_it=vif.obj_name() == "VIFDirect",
    )
    if vif.plugin == "noop":  # Kuryr, which is in this environment too, has one of this name
        card = card_of(vif, NoOpPlugin.load("noop").describe_guest_end(vif, None))
    else:
        card = os_vif.guest_card(vif)
    return libvirt.interface(card, options).xml


def told(name, given, virt_type, queues):
    try:
        us = told_by_us(name, given, virt_type, queues)
    except os_vif.exception.ExceptionBase as error:
        us = str(error)
    return {"nova": told_by_nova(given, virt_type, queues), "ours": us}


CASES = {"kvm": ("kvm", 1), "qemu": ("qemu", 1), "two queues": ("kvm", 2)}
result = {
    case: {name: told(name, vif, *given) for name, vif in VIFS.items()}
    for case, given in CASES.items()
}
json.dump(result, sys.stdout)
