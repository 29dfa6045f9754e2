# SPDX-License-Identifier: Apache-2.0
"""How a ``type:`` of the command's files is written down: the words for it, ours and everybody's.

A plugin that describes can bring types: rows of :class:`VIFType` in the entry-point group
``os_vif.types`` (the plugin's name, and ``module:TYPES``, a tuple of them).  Reading, ``os-vif
types``, ``os-vif schema``, completion and "did you mean" follow from the row.  Only the command
loads the rows, never a service that plugs.

``kinds`` are sorts of values, ``fields`` what types have in common, ``objects`` what becomes of it,
``held`` the way back,
``problems`` what a type's own check may note, ``vif_type`` puts them together.  All is pure, and
what stands in ``__all__`` is here to stay.
"""

from os_vif.specs.fields import (
    ID,
    INSTANCE,
    LABEL,
    MAC_ADDRESS,
    MTU_FIELD,
    NAME,
    NETWORK,
    NETWORK_ID,
    SUBNETS,
    check_addresses,
)
from os_vif.specs.held import (
    NotTold,
    Told,
    access_of,
    mac_of_guest,
    one_device,
    told_of,
)
from os_vif.specs.kinds import (
    BOOL,
    CIDR,
    DEVICE,
    INTERFACE,
    IP,
    MAC,
    MTU,
    PCI,
    SOCKET,
    TEXT,
    UUID,
    VLAN,
    Either,
    Field,
    Group,
    Kind,
    ListOf,
    MapOf,
    Schema,
    duration,
    number,
    one_of,
)
from os_vif.specs.objects import derived_id, identity_of, instance_of, network_of
from os_vif.specs.problems import Mark, Problem, Reading
from os_vif.specs.vif_type import Values, VIFType

__all__ = [
    "BOOL",
    "CIDR",
    "DEVICE",
    "ID",
    "INSTANCE",
    "INTERFACE",
    "IP",
    "LABEL",
    "MAC",
    "MAC_ADDRESS",
    "MTU",
    "MTU_FIELD",
    "NAME",
    "NETWORK",
    "NETWORK_ID",
    "PCI",
    "SOCKET",
    "SUBNETS",
    "TEXT",
    "UUID",
    "VLAN",
    "Either",
    "Field",
    "Group",
    "Kind",
    "ListOf",
    "MapOf",
    "Mark",
    "NotTold",
    "Problem",
    "Reading",
    "Schema",
    "Told",
    "VIFType",
    "Values",
    "access_of",
    "check_addresses",
    "derived_id",
    "duration",
    "identity_of",
    "instance_of",
    "mac_of_guest",
    "network_of",
    "number",
    "one_device",
    "one_of",
    "told_of",
]
