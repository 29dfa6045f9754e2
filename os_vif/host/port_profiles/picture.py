# SPDX-License-Identifier: Apache-2.0
"""What port profiles look like: the switch that the host is wired to, with what it is told."""

from __future__ import annotations

from os_vif.drawing.scene import Scene
from os_vif.engine.picture import Drawn, Picture
from os_vif.host.port_profiles.resources import PortProfileQbg, PortProfileQbh


def _vsi(scene: Scene, profile: PortProfileQbg) -> None:
    vsi = profile.vsi
    words = f"{vsi.mac}: VSI type {vsi.type} version {vsi.version}"
    _outside(scene, profile, "802.1Qbg", words)


def _port_profile(scene: Scene, profile: PortProfileQbh) -> None:
    _outside(scene, profile, "802.1Qbh", f'port profile "{profile.profile}"')


def _outside(scene: Scene, profile: PortProfileQbg | PortProfileQbh, *lines: str) -> None:
    nic = scene.nic(profile.link, profile.behind)
    nic.below = scene.part(f"the switch of {nic.key}", "switch", *lines).key


PICTURE = Picture(drawn={PortProfileQbg: Drawn(_vsi), PortProfileQbh: Drawn(_port_profile)})
