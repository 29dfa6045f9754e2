# SPDX-License-Identifier: Apache-2.0
"""VIFDirect with 802.1Qbg by the library's own calls, between two real lldpads.

The switch is an lldpad in its bridge role; what it lists is the witness. No hardware was tried.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

import pytest

import os_vif
from os_vif import exception
from os_vif.cli.drift import drifts_of
from os_vif.host.port_profiles.system import vdp
from tests import vifs, witness
from tests.functional import vsi
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.vsi import Station
from tests.lldpad import Lldpad, instance, until
from tests.vdp_bridge import ACK

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("vsi")]


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.close()


@pytest.fixture(scope="module")
def switch(station: Station) -> Iterator[Lldpad]:
    made = Lldpad(station.beside, "wire0", "bridge")
    station.agreed(lambda instance: instance in made.listed())
    until(lambda: not made.listed())
    yield made
    made.close()


@pytest.fixture
def far(station: Station, switch: Lldpad) -> Iterator[Lldpad]:
    """Return the switch, which has no VSI; afterwards none may be left."""
    with station.clean():
        yield switch
    until(lambda: not switch.listed())


def test_plug_check_and_unplug(station: Station, far: Lldpad) -> None:
    vif = vsi.vif()
    assert [step.kind for step in os_vif.plan(vif)] == ["create_link", "associate_vsi"]
    assert far.listed() == {}, "a plan asks the switch nothing"
    plug(vif)
    assert far.listed() == {instance(): ACK}
    [shown] = station.lldpad.shown()
    assert shown["filter"] == f"0-{vif.address}"
    assert (shown["mgrid2"], shown["typeid"], shown["typeidver"]) == ("3", str(0x123456), "2")
    assert steps_left(vif) == []
    [outcome] = os_vif.plug_many([(vif, vifs.instance())])
    assert (outcome.error, outcome.steps) == (None, ()), "a re-plug does nothing"

    station.restart()
    [drift] = drifts_of(steps_left(vif))
    assert (drift.device, drift.words) == ("eth0", f"VSI {instance()} is not associated")
    plug(vif)
    assert steps_left(vif) == []
    until(lambda: far.listed() == {instance(): ACK})

    unplug(vif)
    assert witness.link(vif.vif_name) is None
    assert station.associated() == set()
    [outcome] = os_vif.unplug_many([(vif, vifs.instance())])
    assert (outcome.error, outcome.steps) == (None, ())


def test_many_on_one_nic(station: Station, far: Lldpad) -> None:
    pairs = [(vsi.vif(number), vifs.instance(number)) for number in (1, 2, 3)]
    assert [outcome.error for outcome in os_vif.plug_many(pairs)] == [None] * 3
    assert far.listed() == dict.fromkeys(map(instance, (1, 2, 3)), ACK)
    assert all(os_vif.check(*pair) == [] for pair in pairs)
    assert [outcome.error for outcome in os_vif.unplug_many(pairs[:2])] == [None] * 2
    until(lambda: far.listed() == {instance(3): ACK})
    unplug(pairs[2][0])


def test_list_and_gc_need_no_vif(station: Station, far: Lldpad) -> None:
    """All they have of the VIF is the note on its device."""
    for number in (1, 2):
        plug(vsi.vif(number))
    one, other = os_vif.list_vifs()
    assert [link.alias.split(" ")[4:] for link in one["links"]] == [
        [
            f"vsi=eth0,3,{0x123456},2,0,{vifs.guest_mac(1).replace(':', '')},{instance(1)}",
            "guest=guest1",
        ]
    ]
    assert [item.mark.vif_id for item in os_vif.gc({other.mark.vif_id})] == [vifs.vif_id(1)]
    assert station.associated() == {2}
    until(lambda: far.listed() == {instance(2): ACK})
    assert steps_left(vsi.vif(2)) == []
    assert os_vif.gc([], dry_run=True) == [other]
    assert far.listed() == {instance(2): ACK}
    os_vif.gc([])


def test_an_lldpad_that_plays_the_switch(
    station: Station, switch: Lldpad, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vdp, "PID_FILE", switch.pid_file)
    with (
        station.beside.enter(),
        vsi.refused(errno.EOPNOTSUPP, r"lldpad is not in station role on wire0 \(lldptool-evb22"),
    ):
        plug(vsi.vif(lower="wire0"))


@pytest.mark.usefixtures("far")
def test_an_lldpad_that_hangs_keeps_the_macvtap(station: Station) -> None:
    vif = vsi.vif()
    plug(vif)
    station.lldpad.pause()
    try:
        with pytest.raises(exception.UnplugException, match="does not answer about eth0"):
            os_vif.unplug(vif, vifs.instance())
    finally:
        station.lldpad.go_on()
    # Both may have given the VSI up meanwhile, if this took long; the note says what to take back.
    assert station.associated() <= {1}
    [link] = os_vif.list_vifs()[0]["links"]
    assert link.attributes["up"] is False
    unplug(vif)
