# SPDX-License-Identifier: Apache-2.0
"""Bridges and ports of Open vSwitch, and how to reach its database.

Plain data in the words of ovs-vswitchd.conf.db(5), checking its fields when it is made.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from os_vif import exception
from os_vif.engine.checks import VLAN_MAX, interface_name, mtu_bytes, pci_address, vlan_tag

DEAD_VLAN = 4095
"""Reserved by IEEE 802.1Q, table 9-2: nobody is in it."""

DATAPATHS = ("system", "netdev")
"""What a bridge's datapath can be: the kernel's, or the one in user space."""

VLAN_SETTINGS = ("tag", "trunks", "vlan_mode")

SETTINGS = (
    *VLAN_SETTINGS,
    *("ingress_policing_rate", "ingress_policing_burst"),
    "max_rate",
)
"""What can be described of a port that agents set too: columns of Port, columns of Interface (in
kbit/s and kbit), and ``max-rate`` of a QoS row of type linux-htb (in bit/s)."""

VLAN_MODES = ("access", "trunk", "native-tagged", "native-untagged", "dot1q-tunnel")
"""What ``Port.vlan_mode`` can be."""

ISOLATED: Mapping[str, Any] = {"tag": DEAD_VLAN, "trunks": [DEAD_VLAN], "vlan_mode": "trunk"}
"""Columns of a Port that passes no traffic."""

# A patch port is no device of the kernel's, so IFNAMSIZ does not bind its name.
_ROW_NAME = re.compile(r"[A-Za-z0-9_.][A-Za-z0-9_.-]{0,63}\Z")

_REMOTE = re.compile(r"(unix:.+|(tcp|ssl):(\[[0-9a-fA-F:.]+\]|[^:\s]+)(:[0-9]{1,5})?)\Z")


@dataclasses.dataclass(frozen=True, slots=True)
class Database:
    """How to reach an OVSDB server (ovsdb(7), "Connection Methods").

    :ivar remote: ``unix:FILE``, ``tcp:IP:PORT`` or ``ssl:IP:PORT``; several with commas between.
    :ivar timeout: seconds until a call gives up; 0 waits for ever.
    :ivar private_key: file, for ssl.
    :ivar certificate: file, for ssl.
    :ivar ca_cert: file, for ssl.
    :ivar name: of the database that the server has, as its schema says.
    """

    remote: str
    timeout: int = 120
    private_key: str = ""
    certificate: str = ""
    ca_cert: str = ""
    name: str = "Open_vSwitch"
    option: ClassVar[str] = "ovsdb_connection"
    time_limit: ClassVar[str] = "ovs_vsctl_timeout"
    least: ClassVar[str] = "Open vSwitch 2.6"

    def __post_init__(self) -> None:
        for part in self.remotes:
            if not _REMOTE.match(part):
                raise exception.InvalidField(
                    field=self.option,
                    value=self.remote,
                    expected="unix:FILE, tcp:IP:PORT or ssl:IP:PORT",
                )
            if part.startswith("ssl:") and not (
                self.private_key and self.certificate and self.ca_cert
            ):
                raise exception.InvalidField(
                    field=self.option,
                    value=part,
                    expected="ssl_key_file, ssl_cert_file and ssl_ca_cert_file to be set for ssl:",
                )
        if self.timeout < 0:
            raise exception.InvalidField(
                field=self.time_limit, value=self.timeout, expected="seconds, or 0 for no limit"
            )

    @property
    def remotes(self) -> list[str]:
        """Return the single remotes."""
        return [part.strip() for part in self.remote.split(",")]


def row_name(value: object, field: str = "name") -> str:
    """Return ``value`` if it can name a patch port: 64 characters at most.

    :raises InvalidField: anything else.
    """
    if not isinstance(value, str) or not _ROW_NAME.match(value):
        raise exception.InvalidField(
            field=field,
            value=value,
            expected="1 to 64 letters, digits, '_', '.' and '-', not starting with '-'",
        )
    return value


def vlan_settings(
    tag: int | None = None, trunks: Sequence[int] | None = None, vlan_mode: str | None = None
) -> dict[str, Any]:
    """Return the columns that make a port of these VLANs, the mode that follows among them.

    :param tag: the VLAN of frames without a tag, 1 to 4094
    :param trunks: the VLANs of frames with one, each 0 to 4094; none for all of them
    :param vlan_mode: one of :data:`VLAN_MODES`
    :raises InvalidField: they do not go together (ovs-vswitchd.conf.db(5), "VLAN Configuration").
    """
    if tag is None and trunks is None and vlan_mode is None:
        return {}
    if vlan_mode is not None and vlan_mode not in VLAN_MODES:
        _refuse("vlan_mode", vlan_mode, " or ".join(VLAN_MODES))
    if tag is not None:
        vlan_tag(tag, "tag")
    if trunks is not None and not all(type(it) is int and 0 <= it <= VLAN_MAX for it in trunks):
        _refuse("trunks", trunks, f"VLAN ids, each 0 (no tag) to {VLAN_MAX}")
    if vlan_mode is None and tag is not None and trunks is not None:
        _refuse("vlan_mode", None, "native-tagged or native-untagged, as there are tag and trunks")
    mode = vlan_mode or ("trunk" if tag is None else "access")
    if mode == "trunk" and tag is not None:
        _refuse("tag", tag, f"none with vlan_mode {mode}, or native-tagged or native-untagged")
    if mode != "trunk" and tag is None:
        _refuse("tag", None, f"a VLAN id, for vlan_mode {mode}")
    if mode in ("access", "dot1q-tunnel"):
        if trunks is not None:
            _refuse("trunks", trunks, f"none with vlan_mode {mode}")
        return {"tag": tag, "vlan_mode": mode}
    columns = {"trunks": sorted(set(trunks or ())), "vlan_mode": mode}
    return columns if tag is None else {"tag": tag, **columns}


def _refuse(field: str, value: object, expected: str) -> NoReturn:
    raise exception.InvalidField(field=field, value=value, expected=expected)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OvsBridge:
    """A bridge of Open vSwitch.

    :ivar name: interface name.
    :ivar datapath_type: ``system`` or ``netdev``; '' takes the bridge as it is, and makes a
        ``system`` one where there is none.
    :ivar own: whether it is this VIF's alone and goes with it; else whoever comes first makes it
        and it stays.
    """

    name: str
    datapath_type: str = ""
    own: bool = False

    def __post_init__(self) -> None:
        interface_name(self.name, "bridge")
        if self.datapath_type not in ("", *DATAPATHS):
            raise exception.InvalidField(
                field="datapath_type", value=self.datapath_type, expected="system or netdev"
            )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class OvsPort:
    """A port of an Open vSwitch bridge, with its one interface.

    :ivar name: of port and interface.
    :ivar bridge: the bridge it is on.
    :ivar behind: PCI address of the virtual function whose representor the port is, of the
        kernel (then ``name`` is the representor's, '' for whatever it is called) or of DPDK.
    :ivar type: ``Interface.type``; '' for a device of the kernel's.
    :ivar options: ``Interface.options``.
    :ivar external_ids: those of ``Interface.external_ids`` that must be there.
    :ivar mtu_request: bytes; None asks for none.
    :ivar device_mtu: bytes of the kernel's device, where one is there already that nothing else of
        the topology describes; None leaves it.
    :ivar settings: of :data:`SETTINGS` those that must be so; what is not here is others' to set.
    :ivar isolate: give a *new* port the dead VLAN until somebody gives it another.
    :ivar qos_type: ``QoS.type`` for a new port; None for no QoS row.
    :ivar attached: whether Open vSwitch must have a port number for it when plug returns; False
        where the hypervisor makes the device afterwards.
    :ivar bound: whether OVN must have bound it too, and installed its flows; of one that is not
        attached, whether that is looked at.
    """

    name: str
    bridge: str
    behind: str = ""
    type: str = ""
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)
    external_ids: Mapping[str, str] = dataclasses.field(default_factory=dict)
    mtu_request: int | None = None
    device_mtu: int | None = None
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    isolate: bool = False
    qos_type: str | None = None
    attached: bool = True
    bound: bool = False

    def __post_init__(self) -> None:
        if self.behind:
            pci_address(self.behind)
        if self.type == "patch":
            row_name(self.name)
        elif self.behind and not self.name:
            pass
        else:
            interface_name(self.name, "vif_name")
        interface_name(self.bridge, "bridge")
        for mtu in (self.mtu_request, self.device_mtu):
            if mtu is not None:
                mtu_bytes(mtu)

    @property
    def has_vlan(self) -> bool:
        """Whether its VLANs are described."""
        return "vlan_mode" in self.settings
