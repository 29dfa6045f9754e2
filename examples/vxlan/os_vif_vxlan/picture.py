# SPDX-License-Identifier: Apache-2.0
"""What it looks like: in ``show``, and in the JSON of ``list``."""

from os_vif.engine.picture import Drawn, Picture
from os_vif_vxlan.resources import Vxlan
from os_vif_vxlan.steps import told


def _draw(scene, vxlan):
    part = scene.part(vxlan.name, "nic", f"VXLAN {vxlan.vni}", f"to {vxlan.remote}")
    part.carries = True
    scene.part(vxlan.bridge, "bridge").below = vxlan.name


def _held(plugged):
    for link in plugged["links"]:
        tunnel = told(link.alias) if link.kind == "vxlan" else None
        if tunnel and link.attributes["master"]:
            seen = link.attributes
            yield Vxlan(name=link.name, mac=seen["mac"], bridge=seen["master"], **tunnel)


def _json(plugged):
    return {"tunnels": [{"name": it.name, "vni": it.vni} for it in _held(plugged)]}


PICTURE = Picture(drawn={Vxlan: Drawn(_draw, lambda vxlan: [vxlan.name])}, held=_held, json=_json)
