# SPDX-License-Identifier: Apache-2.0
"""Files and words of other tools: whose they are, and what is written here instead."""

from __future__ import annotations

from os_vif.cli.specs.nodes import Mapping, Node, Scalar

_OURS = """a file of os-vif begins so (os-vif types tells the rest):
    type: bridge
    bridge: br0
    mac: 52:54:00:12:34:56"""

TYPES = {
    "ovs": "openvswitch",
    "ovs-port": "openvswitch",
    "ovs-bridge": "openvswitch",
    "ovs-interface": "openvswitch",
    "internal": "openvswitch",
    "dpdkvhostuser": "openvswitch-vhostuser",
    "dpdkvhostuserclient": "openvswitch-vhostuser",
    "linuxbridge": "bridge",
    "linux_bridge": "bridge",
    "linux-bridge": "bridge",
    "vhost-user": "vhostuser",
    "direct": "macvtap",
    "macvlan": "macvtap",
    "ethernet": "tap",
    "tun": "tap",
    "tuntap": "tap",
    "hostdev": "sriov",
    "hw_veb": "sriov",
    "vf": "sriov",
}
"""What others call our types: OpenStack, libvirt, nmstate, NetworkManager and Open vSwitch."""

_OUR_KEYS = ("type", "vif", "vif_type", "vifs", "options")

_KEYS = {
    "interfaces": "a state of nmstate",
    "bridge_mappings": "a setting of Neutron's agents",
    "ethernets": "a part of netplan's configuration",
    "bridges": "a part of netplan's configuration",
    "services": "a file of docker compose",
    "apiVersion": "an object of Kubernetes",
}
"""What a document is that has such a key at its top."""


def of_text(text: str) -> str:
    """Return what is wrong with a text that is no YAML, for an error; '' for nothing known."""
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return f"this is XML, as libvirt has it; {_OURS}"
    return ""


def of_document(node: Mapping) -> tuple[Node, str] | None:
    """Return whose document this is, and where that is seen; None for one that may be ours."""
    if node.get("cniVersion") is not None:
        return _seen(node, "cniVersion", "a configuration of CNI")
    if any(node.get(key) is not None for key in _OUR_KEYS):
        return None
    network = node.get("network")
    if isinstance(network, Mapping) and network.get("version") is not None:
        return _seen(node, "network", "a configuration of netplan")
    for key, tool in _KEYS.items():
        if node.get(key) is not None:
            return _seen(node, key, tool)
    # As netplan and compose name things: ours say their names themselves.
    if node.items and all(isinstance(value, Mapping) for _key, value in node.items):
        first = node.items[0][0]
        said = f"{first.text!r} is no field: the name of a device is said beside the rest "
        return first, f"{said}(name: {first.text}); {_OURS}"
    return None


def _seen(node: Mapping, key: str, tool: str) -> tuple[Node, str]:
    [where] = [word for word, _value in node.items if word.text == key]
    return where, f"this looks like {tool}; {_OURS}"


def type_of(word: str) -> str:
    """Return our type for another tool's word; '' for none."""
    return TYPES.get(word.lower(), "")


def type_key(node: Mapping) -> tuple[Scalar, str] | None:
    """Return where a type is said by another name, and what to write; None where it is not."""
    for key, value in node.items:
        if key.text in ("vif_type", "binding:vif_type") and isinstance(value, Scalar):
            ours = type_of(value.text) or value.text
            return key, f"unknown field; did you mean 'type: {ours}'?"
    return None
