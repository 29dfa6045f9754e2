# SPDX-License-Identifier: Apache-2.0
"""When an Open vSwitch bridge or port is there, when it is in the way, and what makes it so."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.engine.family import Caution, Phase, Rule
from os_vif.engine.topology import Mark, parse_mark, written_guest
from os_vif.host.functions.questions import need_represented, need_virtual, own_name
from os_vif.host.links.questions import (
    FUNCTIONS,
    LINKS,
    SHARED_MARK,
    USERS,
    correct,
    is_shared,
    need,
)
from os_vif.host.openvswitch.questions import (
    BRIDGES,
    GUEST_KEY,
    HELD,
    IDS,
    MARK_KEY,
    PORTS,
    REPRESENTED,
    SET_KEY,
    BridgeRow,
    PortRow,
)
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.host.openvswitch.rules.binding import warn_of_binding, watch_binding
from os_vif.host.openvswitch.rules.settings import differing, note, of_new_port
from os_vif.host.openvswitch.rules.strays import STRAYS
from os_vif.host.openvswitch.steps import del_br, del_port, rows_of
from os_vif.host.routes.questions import ADDRESSES
from os_vif.host.vhost_user.resources import FastPathDevice

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host
    from os_vif.engine.topology import Topology


__all__ = ["RULES", "STRAYS"]

_DATAPATH = "ovs-system"
"""What the ports of the kernel's datapath are ports of, for the kernel (dpif-netlink)."""


def plug_switch_bridge(draft: Draft, wanted: OvsBridge) -> None:
    """Make the bridge where there is none; one with another datapath is never changed."""
    row = draft.host[BRIDGES].get(wanted.name)
    if row is None:
        draft.add(
            "add_br",
            name=wanted.name,
            datapath_type=wanted.datapath_type,
            mark=str(draft.mark) if wanted.own else SHARED_MARK,
        )
        return
    have = row.datapath_type or "system"
    if wanted.datapath_type and have != wanted.datapath_type:
        raise exception.ResourceConflict(
            resource=f"Open vSwitch bridge {wanted.name}",
            reason=f"it has datapath {have}, and the port profile asks for "
            f"{wanted.datapath_type}; a change would cut off every port it has",
        )
    if wanted.own and not _is_own(draft.mark, row):
        raise exception.ResourceConflict(
            resource=f"Open vSwitch bridge {wanted.name}", reason="it is not this VIF's"
        )


def unplug_switch_bridge(draft: Draft, wanted: OvsBridge) -> None:
    """Take away a bridge of the VIF's own."""
    row = draft.host[BRIDGES].get(wanted.name)
    if row is not None and wanted.own and _is_own(draft.mark, row):
        ports = draft.host[PORTS].values()
        # Whosever they are, its ports go with it, and nothing has their devices open any more.
        for port in ports:
            if port and port.bridge == wanted.name:
                draft.kept.pop(port.name, None)
        draft.take(del_br(row))


def dissolve_switch_bridge(draft: Draft, wanted: OvsBridge) -> None:
    """Take away a bridge that was made for many VIFs and that nobody uses any more."""
    host = draft.host
    row = host[BRIDGES].get(wanted.name)
    if row is None or not is_shared(row.mark) or wanted.name not in host[HELD]:
        return
    held = [item for item in host[HELD][wanted.name] if host[PORTS].get(item, item) is not None]
    users = [user for user in host[USERS].get(wanted.name, ()) if user != _DATAPATH]
    if not (held or users or host[ADDRESSES].get(wanted.name)):
        draft.take(del_br(row))


def _is_own(mark: Mark, row: BridgeRow) -> bool:
    # Such bridges have names of their own kind, and earlier releases left no mark.
    found = parse_mark(row.mark)
    return found is None or found.vif_id == mark.vif_id


def _is_ours(draft: Draft, wanted: OvsPort, row: PortRow) -> bool:
    found = parse_mark(row.external_ids.get(MARK_KEY))
    if found is not None:
        return found.vif_id == draft.mark.vif_id
    held = row.external_ids.get("iface-id")
    if held is not None:
        return held in (wanted.external_ids.get("iface-id"), draft.mark.vif_id)
    return draft.mark.vif_id[:11] in row.name and row.type != "internal"


def _resolved(draft: Draft, wanted: OvsPort) -> OvsPort:
    """Return the port with what only the host knows of its representor.

    :raises UnusableDevice: there is none.
    """
    if not wanted.behind:
        return wanted
    if wanted.type == "dpdk":
        found = need_virtual(draft.host, wanted.behind)
        devargs = f"{found.physical},representor=[{found.number}]"
        return dataclasses.replace(wanted, options={"dpdk-devargs": devargs})
    found = need_represented(draft.host, wanted.behind)
    name = wanted.name or own_name(need(draft.host, found.representor))
    return dataclasses.replace(wanted, name=name)


def _former_ports(draft: Draft, wanted: OvsPort) -> list[PortRow]:
    """Return the VIF's ports of other names: its representor had another, or another function."""
    names = draft.host[IDS].get(wanted.external_ids["iface-id"], ()) if wanted.behind else ()
    rows = [draft.host[PORTS].get(name) for name in names if name != wanted.name]
    return [row for row in rows if row is not None and _is_ours(draft, wanted, row)]


def detach_port(draft: Draft, wanted: OvsPort) -> None:
    """Take out a port that must be attached anew, or whose device is yet to be made.

    This comes first.  Open vSwitch goes on with a former device, and traffic then passes in one
    direction only; and of a new device under a port that waits for it, it reads the flags and
    writes them back, so that "up" may be lost in between.
    """
    wanted = _resolved(draft, wanted)
    for former in _former_ports(draft, wanted):
        draft.take(del_port(former))
    row = draft.host[PORTS].get(wanted.name)
    if row is not None and _is_ours(draft, wanted, row) and (why := _why_anew(draft, wanted, row)):
        draft.take(del_port(row, why))
        draft.remember(_detached(row.name), row)


def plug_port(draft: Draft, wanted: OvsPort) -> None:
    """Make the port, or correct it."""
    wanted = _resolved(draft, wanted)
    device = draft.host[LINKS][wanted.name] if not wanted.type else None
    if device is not None:
        # Whoever made the device, it is there to be attached.
        wanted = dataclasses.replace(wanted, attached=True)
        if wanted.device_mtu is not None:
            correct(draft, device, {"mtu": wanted.device_mtu})
        _leave_bridge(draft, device.name)
    if "ingress_policing_rate" in wanted.settings and not (
        wanted.type or _in_kernel(draft, wanted)
    ):
        raise exception.InvalidField(
            field="rate_from_guest",
            value=wanted.settings["ingress_policing_rate"] * 1000,
            expected="none on the datapath netdev, which reads what a tap's guest sends before the "
            "kernel can limit it (rate_to_guest works)",
        )
    row = draft.host[PORTS].get(wanted.name)
    if row is not None:
        if not _is_ours(draft, wanted, row):
            raise exception.ResourceConflict(
                resource=f"Open vSwitch port {wanted.name}", reason=f"it is {_whose(row)}"
            )
        _correct(draft, wanted, row)
        return
    before = draft.remembered(_detached(wanted.name)) or PortRow("", "")
    settings = of_new_port(wanted, before)
    draft.add(
        "add_port",
        name=wanted.name,
        bridge=wanted.bridge,
        type=wanted.type,
        options=dict(wanted.options),
        external_ids=_ids(draft, wanted) | ({SET_KEY: noted} if (noted := note(wanted)) else {}),
        mtu_request=wanted.mtu_request,
        settings=settings,
        qos_type=before.qos or (wanted.qos_type if _in_kernel(draft, wanted) else None),
        qos_row=before.qos_uuid,
        attached=wanted.attached,
        bound=wanted.bound and wanted.attached,
    )


def _in_kernel(draft: Draft, wanted: OvsPort) -> bool:
    bridge = draft.host[BRIDGES].get(wanted.bridge)
    return bridge is None or bridge.datapath_type != "netdev"  # nothing else has queues


def _leave_bridge(draft: Draft, name: str) -> None:
    """Take a device of the VIF's out of a Linux bridge: a port of two switches joins them."""
    link = need(draft.host, name)
    mark = parse_mark(link.alias)
    if mark is not None and mark.vif_id == draft.mark.vif_id:
        master = link.attributes.get("master")
        if master not in (None, _DATAPATH):
            correct(draft, link, {"master": None})


def _detached(port: str) -> str:
    # Ports that were taken out, to be added again when their device is there.
    return f"detached port {port}"


def _why_anew(draft: Draft, wanted: OvsPort, row: PortRow) -> str:
    """Return why a port must be deleted and added again, in words; '' if it need not."""
    if row.bridge != wanted.bridge:
        return f"it belongs on {wanted.bridge}"
    if row.type != wanted.type:
        return f"its type is {row.type or 'that of a device'}"
    if wanted.type and wanted.type != "patch" and _options_differ(wanted, row):
        return "Open vSwitch looks at its options only when it is added"
    if wanted.type:
        return ""
    if draft.will_make(wanted.name):
        return "its device is yet to be made"
    link = draft.host[LINKS].get(wanted.name)
    if link is None:
        return "Open vSwitch holds a device that is gone" if (row.ofport or 0) > 0 else ""
    if row.ofport is not None and row.ofport < 0:
        return f"Open vSwitch could not attach it ({row.error})"
    if row.ofport is not None and not link.attributes.get("promiscuity"):
        # What a switch has open it has made promiscuous, in userspace and in the kernel.
        return "Open vSwitch holds a device that is gone"
    return ""


def _options_differ(wanted: OvsPort, row: PortRow) -> bool:
    return any(row.options.get(key) != value for key, value in wanted.options.items())


def _ids(draft: Draft, wanted: OvsPort) -> dict[str, str]:
    ids = {**wanted.external_ids, MARK_KEY: str(draft.mark)}
    return ids | {GUEST_KEY: written_guest(draft.mark.guest)} if draft.mark.guest else ids


def _correct(draft: Draft, wanted: OvsPort, row: PortRow) -> None:
    columns: dict[str, Any] = {}
    missing = {
        key: value
        for key, value in _ids(draft, wanted).items()
        if row.external_ids.get(key) != value
    }
    if missing:
        columns["external_ids"] = missing
    qos_type = wanted.qos_type if _in_kernel(draft, wanted) else None
    if set_otherwise := differing(wanted, row, qos_type):
        columns |= {**set_otherwise, "external_ids": missing | set_otherwise["external_ids"]}
    if _options_differ(wanted, row):
        columns["options"] = dict(wanted.options)
    if wanted.mtu_request is not None and row.mtu_request != wanted.mtu_request:
        columns["mtu_request"] = wanted.mtu_request
    if not wanted.type and row.mtu_request is not None and wanted.mtu_request is None:
        columns["mtu_request"] = None  # or Open vSwitch gives the device its MTU again and again
    unattached = wanted.attached and (row.ofport is None or row.ofport < 0)
    # Bound under another name, it is to be bound under this one.
    known = row.bound and "iface-id" not in missing
    bound = wanted.bound and wanted.attached and not known
    if columns or unattached or bound:
        why = row.error if unattached else ""
        draft.add(
            "set_port",
            name=row.name,
            type=row.type,
            rows=rows_of(row),
            columns=columns,
            attached=wanted.attached,
            bound=bound,
            why=why,
        )
        row.ofport = 1 if unattached else row.ofport


def unplug_port(draft: Draft, wanted: OvsPort) -> None:
    """Take the port away, from whichever bridge it is on.

    :raises HeldByAnother: it is the VIF's, and nobody's by its ids.
    """
    for former in _former_ports(draft, wanted):
        draft.take(del_port(former))
    row = draft.host[PORTS].get(wanted.name)
    if row is None:
        return
    if _is_ours(draft, wanted, row):
        draft.take(del_port(row))
        if not row.type and row.external_ids.keys() & {MARK_KEY, "iface-id"}:
            draft.shown.add(row.name)
    elif _is_disowned(wanted, row):
        raise exception.HeldByAnother(
            resource=f"Open vSwitch port {row.name}",
            reason=f"its external_ids tell of nobody, on bridge {row.bridge}; delete it (ovs-vsctl "
            f"del-port {row.bridge} {row.name}), or give it the iface-id of the VIF",
        )
    else:
        # What another's port stands on is that port's, whatever it is called.
        draft.kept[row.name] = (
            f"the Open vSwitch port {row.name} on it is {_whose(row)}; delete that first "
            f"(ovs-vsctl del-port {row.bridge} {row.name}), or give it the iface-id of the VIF"
        )


def warn_of_checksums(topology: Topology, host: Host, wanted: OvsPort) -> Iterator[Caution]:
    """Warn of a tap in user space: frames come from the guest with half a checksum.

    The kernel's datapath knows which; ovs-vswitchd reads and writes the bytes alone, and the other
    end drops them.  Nothing on the host finishes them: the guest must.
    """
    of_process = any(isinstance(it, FastPathDevice) for it in topology.resources)
    if wanted.type or wanted.behind or of_process:
        return
    row = host[BRIDGES].get(wanted.bridge)
    described = [
        it.datapath_type
        for it in topology.resources
        if isinstance(it, OvsBridge) and it.name == wanted.bridge
    ]
    if (row.datapath_type if row else "".join(described[:1])) == "netdev":
        yield Caution(
            wanted.name,
            "on the datapath netdev TCP and UDP fail while the guest leaves checksums to its card: "
            "switch that off in the guest (ethtool -K eth0 tx off) or for it (libvirt: <driver>"
            "<host csum='off'/></driver>; QEMU: csum=off)",
        )


def _warn(topology: Topology, host: Host, wanted: OvsPort) -> Iterator[Caution]:
    yield from warn_of_checksums(topology, host, wanted)
    yield from warn_of_binding(topology, host, wanted)


def _is_disowned(wanted: OvsPort, row: PortRow) -> bool:
    """Tell whether a port is the VIF's by its socket alone: somebody took its ids away."""
    owned = row.external_ids.keys() & {MARK_KEY, "iface-id"}
    return bool(wanted.options and not owned) and not _options_differ(wanted, row)


def _whose(row: PortRow) -> str:
    found = parse_mark(row.external_ids.get(MARK_KEY))
    held = row.external_ids.get("iface-id")
    owner = f"VIF {found.vif_id}'s" if found else f"of iface-id {held}" if held else "a stranger's"
    return f"{owner}, on bridge {row.bridge}"


def _asks_port(port: OvsPort, _mark: Mark) -> list[Asked]:
    asked: list[Asked] = []
    if port.behind:
        # Its name may have changed since, and with it the port's.
        asked += [FUNCTIONS(port.behind), REPRESENTED(port.behind)]
        asked.append(IDS(port.external_ids["iface-id"]))
    if port.name:
        asked.append(PORTS(port.name))
        if not port.type:
            asked.append(LINKS(port.name))
    return asked


def _own_port(port: OvsPort) -> list[tuple[str, str]]:
    return [("add_port", port.name)] if port.type != "patch" and port.name else []


def _claims(port: OvsPort) -> list[tuple[str, str]]:
    ids = port.external_ids
    claims = [("interface_id", ids["iface-id"])] if "iface-id" in ids else []
    if "attached-mac" in ids:
        claims.append(("mac", f"{ids['attached-mac']} on {port.bridge}"))
    return claims


RULES: Mapping[type, Rule] = {
    OvsBridge: Rule(
        asks=lambda bridge, _mark: [BRIDGES(bridge.name)],
        plug=plug_switch_bridge,
        unplug={Phase.CLOSE: unplug_switch_bridge},
        dissolve_asks=lambda bridge, _mark: [
            question(bridge.name) for question in (BRIDGES, HELD, LINKS, USERS)
        ],
        dissolve=dissolve_switch_bridge,
    ),
    OvsPort: Rule(
        asks=_asks_port,
        first=detach_port,
        plug=plug_port,
        # The switch lets go of a device before it is deleted.
        unplug={Phase.LET_GO: unplug_port},
        own=_own_port,
        claims=_claims,
        watches=watch_binding,
        warns=_warn,
    ),
}
"""When bridges and ports of Open vSwitch are there."""
