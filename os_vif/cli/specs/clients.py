# SPDX-License-Identifier: Apache-2.0
"""What OpenStack's services write down of VIFs, and os-vif did not: Nova's and Kuryr's own forms.

Kuryr-Kubernetes has primitives by the name of the pod's interface: in a KuryrPort's status, and in
a PodState.  Nova's ``network_info`` is a list of mappings of its own (nova/network/model.py), which
nova/network/os_vif_util.py makes VIFs of; here it becomes what a person would write, and is read on
as that, so that each value keeps its place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from os_vif.cli.specs import wire
from os_vif.cli.specs.nodes import Mapping, Node, Scalar, Sequence, what
from os_vif.specs import Reading

# --- Kuryr ----------------------------------------------------------------------------------------


def kuryr(node: Node) -> list[tuple[str, Node]] | None:
    """Return the VIFs of a document of Kuryr's, each with its path; None for any other."""
    if not isinstance(node, Mapping):
        return None
    if _word(node, "kind") in ("List", "KuryrPortList") and _word(node, "apiVersion"):
        items = node.get("items")
        if not isinstance(items, Sequence):
            return []
        found = [(at, kuryr(item)) for at, item in enumerate(items.items)]
        if any(vifs is None for _at, vifs in found):
            return None
        return [(f"items[{at}].{path}", vif) for at, vifs in found for path, vif in vifs or ()]
    if _word(node, "kind") == "KuryrPort":
        status = node.get("status")
        vifs = status.get("vifs") if isinstance(status, Mapping) else None
        return _named(vifs, "status.vifs") or []
    if _word(node, wire.NAME) == "PodState":
        return list(_of_state(node.get(wire.DATA)))
    vifs = node.get("vifs")
    if isinstance(vifs, Mapping) and len(node.items) == 1:
        return _named(vifs, "vifs")
    return _named(node, "")


def _of_state(data: Node | None) -> Iterator[tuple[str, Node]]:
    if isinstance(data, Mapping):
        default, others = data.get("default_vif"), data.get("additional_vifs")
        if default is not None:
            yield f"{wire.DATA}.default_vif", default
        yield from _named(others, f"{wire.DATA}.additional_vifs") or ()


def _named(node: Node | None, path: str) -> list[tuple[str, Node]] | None:
    """Return primitives that stand by the names of interfaces; None if it is something else."""
    if not isinstance(node, Mapping) or not node.items:
        return None
    found = []
    for key, value in node.items:
        inner = f"{path}.{key.text}" if path else key.text
        if wire.is_primitive(value):
            found.append((inner, value))
        elif isinstance(value, Mapping) and {it.text for it, _ in value.items} == {
            "default",
            "vif",
        }:
            vif = value.get("vif")
            if vif is None or not wire.is_primitive(vif):
                return None
            found.append((f"{inner}.vif", vif))
        else:
            return None
    return found


# --- Nova -----------------------------------------------------------------------------------------

_NOVAS_OWN = frozenset(
    {"devname", "ovs_interfaceid", "vnic_type", "qbh_params", "qbg_params", "details"}
    | {"preserve_on_delete", "delegate_create"}
)
_TAKEN = _NOVAS_OWN | {"id", "address", "type", "network", "profile", "active", "meta"}

_NAME_LENGTH = 14


def is_nova(node: Node) -> bool:
    """Tell whether a node is a VIF of Nova's ``network_info``."""
    keys = {key.text for key, _value in node.items} if isinstance(node, Mapping) else set()
    return {"address", "type"} <= keys and "mac" not in keys and not _NOVAS_OWN.isdisjoint(keys)


def from_nova(node: Mapping, into: Reading) -> Mapping | None:
    """Return what a person would write of a VIF of Nova's.

    :returns: None, with problems in ``into``, if it cannot be plugged here
    """
    for key, _value in node.items:
        if key.text not in _TAKEN:
            into.problem(key.mark, key.text, "unknown in a VIF of Nova's network_info")
    vif = _Nova(node, into)
    kind = vif.at("type")
    if not isinstance(kind, Scalar):
        into.problem(node.mark, "type", "missing; a VIF of Nova's says its type, as in 'ovs'")
        return None
    convert = _KINDS.get(kind.text)
    if kind.text in ("binding_failed", "unbound"):
        into.problem(kind.mark, "type", f"{kind.text!r}: Neutron has not bound this port to a host")
    elif convert is None:
        known = ", ".join(_KINDS)
        message = f"nothing here plugs what Nova calls {what(kind)}; of Nova's types: {known}"
        into.problem(kind.mark, "type", message)
    else:
        convert(vif)
    return None if into.problems else Mapping(node.mark, vif.said)


class _Nova:
    """A VIF of Nova's, and what is said of it here.

    :ivar said: fields, as a person would have written them.
    """

    def __init__(self, node: Mapping, into: Reading) -> None:
        self.node = node
        self.into = into
        self.said: list[tuple[Scalar, Node]] = []

    def at(self, *path: str, of: Node | None = None) -> Node | None:
        """Return the node at a path; None for none, or for nothing."""
        node: Node | None = of or self.node
        for key in path:
            node = node.get(key) if isinstance(node, Mapping) else None
        return None if isinstance(node, Scalar) and node.is_null else node

    def text(self, *path: str, default: str = "") -> str:
        """Return the text at a path."""
        node = self.at(*path)
        return node.text if isinstance(node, Scalar) else default

    def is_on(self, *path: str) -> bool:
        """Tell whether there is a truth at a path."""
        return self.text(*path).lower() == "true"

    def say(self, name: str, value: Node | str | None, near: Node | None = None) -> None:
        """Say a field; text stands where ``near`` does."""
        if value is None:
            return
        mark = (near or self.node).mark
        node = Scalar(mark, value, plain=False) if isinstance(value, str) else value
        self.said.append((Scalar(node.mark, name, plain=True), node))

    def need(self, name: str, *path: str) -> None:
        """Say a field by the value at a path, which must be there."""
        found = self.at(*path)
        if found is None:
            field = ".".join(path)
            self.into.problem(self.node.mark, field, f"missing; Nova has the {name} there")
        self.say(name, found)

    def refuse(self, message: str, *path: str) -> None:
        """Note a problem with what stands at a path."""
        self.into.problem((self.at(*path) or self.node).mark, ".".join(path), message)

    def begin(self, kind: str, name: str = "nic", **network: Node | None) -> None:
        """Say what all types have: who it is, and its network.

        :param name: what a device's name is derived with where Nova tells none; '' for no name
        :param network: more fields of the network
        """
        self.say("type", kind, self.at("type"))
        self.say("id", self.at("id"))
        self.say("mac", self.at("address"))
        if name:
            derived = f"{name}{self.text('id')}"[:_NAME_LENGTH] if self.at("id") else None
            self.say("name", self.at("devname") or derived, self.at("id"))
        here = self.at("network")
        if here is None:
            return
        inner = _Nova(self.node, self.into)
        inner.say("id", self.at("network", "id"))
        inner.say("label", self.at("network", "label"))
        if kind != "sriov":
            inner.say("mtu", self.at("network", "meta", "mtu"))
        for key, value in network.items():
            inner.say(key, value)
        subnets = self.at("network", "subnets")
        if isinstance(subnets, Sequence):
            items: list[Node] = [self._subnet(item) for item in subnets.items]
            inner.say("subnets", Sequence(subnets.mark, items))
        self.say("network", Mapping(here.mark, inner.said))

    def _subnet(self, node: Node) -> Mapping:
        inner = _Nova(self.node, self.into)
        inner.say("cidr", self.at("cidr", of=node))
        inner.say("gateway", self.at("gateway", "address", of=node))
        inner.say("dhcp_server", self.at("meta", "dhcp_server", of=node))
        for name, key in (("dns", "dns"), ("addresses", "ips")):
            found = self._each(node, key, "address")
            if found:
                inner.say(name, Sequence(node.mark, found))
        routes: list[Node] = []
        listed = self.at("routes", of=node)
        for item in listed.items if isinstance(listed, Sequence) else ():
            route = _Nova(self.node, self.into)
            route.say("to", self.at("cidr", of=item))
            route.say("via", self.at("gateway", "address", of=item))
            routes.append(Mapping(item.mark, route.said))
        if routes:
            inner.say("routes", Sequence(node.mark, routes))
        return Mapping(node.mark, inner.said)

    def _each(self, node: Node, key: str, inner: str) -> list[Node]:
        listed = self.at(key, of=node)
        items = listed.items if isinstance(listed, Sequence) else []
        found = [self.at(inner, of=item) for item in items]
        return [item for item in found if item is not None]

    def on_switch(self) -> None:
        """Say what types on Open vSwitch have."""
        self.need("bridge", "network", "bridge")
        if self.text("ovs_interfaceid") not in ("", self.text("id")):
            self.say("interface_id", self.at("ovs_interfaceid"))
        self.say("datapath", self.at("details", "ovs_datapath_type"))

    def socket(self) -> None:
        """Say what types of vhost-user sockets have."""
        self.say("mode", self.at("details", "vhostuser_mode") or "server", self.at("details"))
        self.need("path", "details", "vhostuser_socket")


def _bridge(vif: _Nova) -> None:
    meta = ("network", "meta")
    made = vif.is_on(*meta, "should_create_bridge") and not vif.is_on(*meta, "multi_host")
    uplink = vif.at(*meta, "bridge_interface") if made else None
    in_vlan = made and vif.is_on(*meta, "should_create_vlan")
    vif.begin("bridge", uplink=uplink, vlan=vif.at(*meta, "vlan") if in_vlan else None)
    vif.need("bridge", "network", "bridge")
    if not made:
        vif.say("create_bridge", "false")
    if vif.is_on("details", "port_filter"):
        vif.say("filtered", "true", vif.at("details"))


def _ovs(vif: _Nova) -> None:
    vnic = vif.text("vnic_type", default="normal")
    if vnic in ("direct", "vdpa"):
        vif.begin("openvswitch-hostdev")
        vif.need("device", "profile", "pci_slot")
    elif vnic != "normal":
        vif.refuse(f"{vnic!r}: of Nova's type ovs, normal, direct and vdpa are taken", "vnic_type")
    elif vif.is_on("details", "ovs_hybrid_plug"):
        vif.begin("openvswitch-hybrid")
    else:
        vif.begin("openvswitch")
        # The hypervisor makes the tap, and the port unless Neutron asks for it.
        vif.say("create_port", "true" if vif.is_on("delegate_create") else "false")
        vif.say("create_tap", "false")
    vif.on_switch()


def _vhost_user(vif: _Nova) -> None:
    on_switch = vif.is_on("details", "vhostuser_ovs_plug")
    if vif.is_on("details", "vhostuser_fp_plug"):
        vif.begin("fastpath-openvswitch" if on_switch else "fastpath-bridge")
        if not on_switch:
            vif.need("bridge", "network", "bridge")
        elif vif.is_on("details", "ovs_hybrid_plug"):
            vif.say("hybrid", "true", vif.at("details"))
    elif vif.is_on("details", "vhostuser_vrouter_plug"):
        vif.refuse("ports of a vRouter are not plugged here", "details", "vhostuser_vrouter_plug")
    elif on_switch:
        # Whatever Nova calls the device, the port is called so.
        vif.begin("openvswitch-vhostuser", "")
    else:
        vif.begin("vhostuser", "")
    if on_switch:
        vif.on_switch()
    vif.socket()


def _function(vif: _Nova) -> None:
    vnic, vlan = vif.text("vnic_type", default="direct"), vif.at("details", "vlan")
    if isinstance(vlan, Scalar) and vlan.text == "0":
        vlan = None
    if vnic == "macvtap":
        vif.begin("macvtap", vlan=vlan)
        vif.say("mode", "passthrough", vif.at("vnic_type"))
    elif vnic == "direct":
        vif.begin("sriov", "")
        vif.say("vlan", vlan)
    else:
        vif.refuse(f"{vnic!r}: of Nova's type hw_veb, direct and macvtap are taken", "vnic_type")
    vif.need("device", "profile", "pci_slot")


def _profile(vif: _Nova) -> None:
    if vif.text("vnic_type") != "macvtap":
        vif.refuse("of Nova's type 802.1qbh only macvtap is taken", "vnic_type")
    vif.begin("macvtap")
    vif.say("mode", "passthrough", vif.at("vnic_type"))
    vif.need("device", "profile", "pci_slot")
    in_details = vif.at("details", "profileid") is not None
    vif.need("profile", *(("details",) if in_details else ("qbh_params",)), "profileid")


def _tap(vif: _Nova) -> None:
    vif.begin("tap")


def _macvtap(vif: _Nova) -> None:
    vif.begin("macvtap", uplink=vif.at("details", "macvtap_source"))
    vif.need("mode", "details", "macvtap_mode")


_KINDS = {
    "ovs": _ovs,
    "bridge": _bridge,
    "vhostuser": _vhost_user,
    "hw_veb": _function,
    "802.1qbh": _profile,
    "tap": _tap,
    "macvtap": _macvtap,
}
"""What Nova calls a type (nova/network/model.py), and what becomes of it."""


def _word(node: Mapping, key: str) -> str:
    found = node.get(key)
    return found.text if isinstance(found, Scalar) else ""
