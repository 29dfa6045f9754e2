# SPDX-License-Identifier: Apache-2.0
"""What a guest is called stands beside the mark, changes nothing of it, and is for people."""

from __future__ import annotations

from typing import Any

import pytest

import os_vif
from os_vif import verbs
from os_vif.objects.instance_info import InstanceInfo
from tests import vifs, vifs_ovs, witness
from tests.functional.calls import unplug
from tests.functional.test_macvtap import LOWER
from tests.openvswitch import Switch

pytestmark = pytest.mark.functional

UUID = "0e2b1a52-4f5c-4d3e-8f5a-6b7c8d9e0f10"
NASTY = "web\n os-vif vif=x \u202e\x1b[31m"


def guest(name: str | None, uuid: str = UUID) -> Any:
    return InstanceInfo(uuid=uuid) if name is None else InstanceInfo(uuid=uuid, name=name)


def alias_of(device: str) -> str:
    found = witness.link(device)
    assert found is not None
    return str(found.get("ifalias", ""))


def told() -> list[str]:
    return [item.mark.guest for item in verbs.list_vifs()]


@pytest.mark.parametrize("name", ["web", "Büro 1", "x" * 300, NASTY, "100%", "a=b c", ""])
def test_of_a_tap(inside: Any, name: str) -> None:
    before = witness.snapshot()
    vif = vifs.tap_vif()
    os_vif.plug(vif, guest(name))
    alias = alias_of(vif.vif_name)
    assert len(alias.encode()) <= 255
    assert alias.isprintable()
    assert alias.isascii()
    assert alias.startswith(f"os-vif vif={vif.id} plugin=tap instance={UUID}")
    [shown] = told()
    assert shown.isprintable()
    if len(name) < 20 and name.isprintable():
        assert shown == name
    assert os_vif.check(vif, guest(name)) == []
    assert os_vif.check(vif, guest(None)) == [], "who gives no name takes none away"
    assert os_vif.plan(vif, guest(None)) == []
    [outcome] = verbs.plug_many([(vif, guest(name))])
    assert outcome.steps == ()
    unplug(vif)
    assert witness.differences(before, witness.snapshot()) == []


def test_a_mark_of_an_earlier_release(inside: Any) -> None:
    vif = vifs.tap_vif()
    os_vif.plug(vif, guest("web"))
    with_name = alias_of(vif.vif_name)
    witness.run("ip", "link", "set", vif.vif_name, "alias", with_name.removesuffix(" guest=web"))
    assert told() == [""]
    assert os_vif.check(vif, guest("web")) == [], "that it is missing is no drift"
    [outcome] = verbs.plug_many([(vif, guest("web"))])
    assert [step.kind for step in outcome.steps] == ["note_guest"]
    assert alias_of(vif.vif_name) == with_name
    assert os_vif.check(vif, guest("db")) == []
    os_vif.plug(vif, guest("db"))
    assert told() == ["db"]


@pytest.mark.parametrize("mode", ["bridge", "passthrough"])
def test_of_a_macvtap(inside: Any, mode: str) -> None:
    witness.ip(LOWER)
    before = witness.snapshot()
    vif = vifs.direct_vif(mode=mode)
    os_vif.plug(vif, guest("web"))
    assert told() == ["web"]
    words = alias_of(vif.vif_name).split(" ")
    assert words[-1] == "guest=web"
    assert ("lower=down" in words) == (mode == "passthrough")
    assert os_vif.check(vif, guest("web")) == []
    unplug(vif)
    if mode == "bridge":
        witness.ip("link set eth0 down")
    assert witness.differences(before, witness.snapshot()) == []


def test_limits_come_first(inside: Any) -> None:
    vif = vifs.tap_vif()
    vif_id = str(vif.id)
    with vifs.configured("tap", rates_to_guest={vif_id: "10 Mbit"}):
        os_vif.plug(vif, guest("x" * 64))
        assert "limits=" in alias_of(vif.vif_name)
        assert os_vif.check(vif, guest("x" * 64)) == []
    unplug(vif)


def test_of_a_port_of_open_vswitch(switch: Switch) -> None:
    vif = vifs_ovs.plain()
    os_vif.plug(vif, guest(NASTY))
    port = vif.vif_name
    ids = switch.get("Interface", port, "external_ids")
    assert f"plugin=ovs instance={UUID}" in ids, "the mark is what it was"
    assert told()[0].startswith("web%0A")
    assert os_vif.check(vif, guest(NASTY)) == []
    switch.vsctl("remove", "Interface", port, "external_ids", "os-vif-guest")
    assert os_vif.check(vif, guest("web")) == [], "that it is missing is no drift"
    os_vif.plug(vif, guest("web"))
    assert told() == ["web"]
    unplug(vif)
    assert verbs.list_vifs() == []
