# SPDX-License-Identifier: Apache-2.0
"""What people write: ``type: vxlan``."""

from os_vif.specs import (
    ID,
    INSTANCE,
    MAC_ADDRESS,
    NAME,
    Field,
    VIFType,
    identity_of,
    network_of,
    number,
)


def _vni(value):
    if type(value) is not int or not 0 <= value < 2**24:
        raise ValueError("a VXLAN Network Identifier, 0 to 16777215")
    return value


def _build(values):
    from os_vif.objects.vif import VIFBridge

    return VIFBridge(
        **identity_of(values), plugin="vxlan", network=network_of(values, vlan=values["vni"])
    )


TYPES = (
    VIFType(
        name="vxlan",
        summary="a tap whose frames go to another host, in a VXLAN tunnel of its own",
        use="two hosts with nothing but IP between them",
        plugin="vxlan",
        vif_class="VIFBridge",
        fields=(
            MAC_ADDRESS,
            NAME,
            Field(
                "vni",
                number(_vni, 0, 2**24 - 1),
                "VXLAN Network Identifier",
                required=True,
                known_as=("network.vlan",),
            ),
            ID,
            INSTANCE,
        ),
        build=_build,
        example="type: vxlan\nname: tap-far\nmac: 52:54:00:12:34:56\nvni: 42\n"
        "options:\n  vxlan:\n    remote: 192.0.2.2\n",
    ),
)
