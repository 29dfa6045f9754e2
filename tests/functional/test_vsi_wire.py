# SPDX-License-Identifier: Apache-2.0
"""VIFDirect with 802.1Qbg by the library's own calls: what goes over the wire, and refusals.

lldpad is real; the switch is :mod:`tests.vdp_bridge`, which says what it is told to.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.cli.drift import drifts_of
from os_vif.host.port_profiles import rules as profile_rules
from os_vif.host.port_profiles.system import vdp
from os_vif.objects.vif import VIFPortProfile8021Qbh
from tests import vifs, witness
from tests.functional import calls, vsi
from tests.functional.calls import plug, steps_left, unplug
from tests.functional.killing import killed
from tests.functional.test_concurrency import in_processes
from tests.functional.test_privilege import OTHERS, as_nobody
from tests.functional.vsi import Station, refused
from tests.lldpad import PROBES, instance, number_of, until
from tests.vdp_bridge import ASSOCIATE, DISASSOCIATE, SILENCE, VdpBridge

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("vsi")]

REFUSED = 2  # insufficient resources


@pytest.fixture(scope="module")
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.close()


@pytest.fixture(scope="module")
def switch(station: Station) -> Iterator[VdpBridge]:
    with contextlib.closing(VdpBridge(station.beside, "wire0")) as made:
        station.agreed()
        yield made


@pytest.fixture
def bridge(station: Station, switch: VdpBridge) -> Iterator[VdpBridge]:
    """Return the switch, which agrees to everything and was asked nothing yet."""
    switch.asked.clear()
    switch.answer = 0
    with station.clean():
        yield switch


def asked(bridge: VdpBridge) -> list[tuple[int, int, int]]:
    """Return what was asked: mode, number of the VSI, and version of its type."""
    found = [(item.mode, number_of(item.instance), item.version) for item in bridge.asked]
    return [item for item in found if item[1] not in PROBES]


# --- what the switch hears ------------------------------------------------------------------------


def test_the_switch_is_asked_once(bridge: VdpBridge) -> None:
    plug(vsi.vif())
    plug(vsi.vif())
    assert steps_left(vsi.vif()) == []
    [heard] = bridge.asked
    assert (heard.mode, heard.manager, heard.type) == (ASSOCIATE, 3, 0x123456)
    assert (heard.instance, heard.mac, heard.vlan) == (instance(), vifs.guest_mac(1), 0)
    unplug(vsi.vif())
    unplug(vsi.vif())
    assert asked(bridge) == [(ASSOCIATE, 1, 2), (DISASSOCIATE, 1, 2)]


def test_the_switch_takes_it_back(bridge: VdpBridge) -> None:
    plug(vsi.vif())
    bridge.take_back(bridge.asked[0])
    until(lambda: steps_left(vsi.vif()))
    [drift] = drifts_of(steps_left(vsi.vif()))
    assert drift.words == f"VSI {instance()} is not associated"
    plug(vsi.vif())
    assert steps_left(vsi.vif()) == []
    assert asked(bridge) == [(ASSOCIATE, 1, 2)] * 2
    unplug(vsi.vif())


# --- a VIF that gets another profile --------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "between"),
    [
        ({"version": 3}, [(DISASSOCIATE, 1, 2), (ASSOCIATE, 1, 3)]),
        ({"vsi": 7}, [(DISASSOCIATE, 1, 2), (ASSOCIATE, 7, 2)]),
        ({"address": "52:54:00:77:77:77"}, [(DISASSOCIATE, 1, 2), (ASSOCIATE, 1, 2)]),
        ({"port_profile": None}, [(DISASSOCIATE, 1, 2)]),
    ],
    ids=["version", "instance", "MAC", "none"],
)
@pytest.mark.parametrize("then", ["plug", "unplug"])
def test_the_former_profile_goes(
    bridge: VdpBridge, then: str, changed: dict[str, Any], between: list[tuple[int, int, int]]
) -> None:
    plug(vsi.vif())
    bridge.asked.clear()
    vif = vifs.direct_vif() if "port_profile" in changed else vsi.vif(**changed)
    if then == "plug":
        assert steps_left(vif)
        plug(vif)
        assert asked(bridge) == between
        assert steps_left(vif) == []
        plug(vif)
    unplug(vif)
    mine = [event for event in asked(bridge) if event[0] == DISASSOCIATE]
    assert mine[0] == (DISASSOCIATE, 1, 2)
    assert len(mine) == (len(between) if then == "plug" else 1)


# --- several at once ------------------------------------------------------------------------------


def test_two_processes_plug_one_vif(station: Station, bridge: VdpBridge) -> None:
    in_processes(2, lambda _number: plug(vsi.vif()))
    assert steps_left(vsi.vif()) == []
    assert station.associated() == {1}
    in_processes(2, lambda _number: unplug(vsi.vif()))
    assert asked(bridge)[-1] == (DISASSOCIATE, 1, 2)


def test_a_caller_without_privilege(station: Station, bridge: VdpBridge) -> None:
    """Only the daemon may talk to lldpad: it looks for a check, and finds all done in a re-plug."""
    helper = (
        f"{sys.executable} -c 'import pathlib; from os_vif.host.port_profiles.system import vdp; "
        f'vdp.PID_FILE = pathlib.Path("{station.lldpad.pid_file}"); '
        "from oslo_privsep.daemon import helper_main as m; raise SystemExit(m())'"
    )
    pairs = [(vsi.vif(number), vifs.instance(number)) for number in (1, 2, 3)]

    def act() -> None:
        for outcome in os_vif.plug_many(pairs):
            assert outcome.error is None
            assert [step.kind for step in outcome.steps] == ["create_link", "associate_vsi"]
        assert all(os_vif.check(*pair) == [] for pair in pairs)
        assert [outcome.steps for outcome in os_vif.plug_many(pairs)] == [()] * 3
        other = vsi.vif(3, version=3), vifs.instance(3)
        assert [step.kind for step in os_vif.check(*other)] == [
            "disassociate_vsi",
            "set_link",
            "associate_vsi",
        ]
        assert [outcome.error for outcome in os_vif.plug_many([other])] == [None]
        assert os_vif.check(*other) == []
        assert [outcome.error for outcome in os_vif.unplug_many([*pairs[:2], other])] == [None] * 3

    as_nobody(act, section=OTHERS, helper=helper)
    assert len(asked(bridge)) == 8


# --- refusals -------------------------------------------------------------------------------------


def test_the_switch_refuses(station: Station, bridge: VdpBridge) -> None:
    bridge.answer = REFUSED
    with refused(
        errno.EACCES,
        rf"could not associate VSI {instance()} \(manager 3, type 1193046 version 2, MAC .* on "
        rf"eth0: the switch on eth0 refused VSI {instance()}: insufficient resources \(VDP error 2",
    ):
        plug(vsi.vif())
    assert instance() not in station.lldpad.listed()
    bridge.answer = 0
    plug(vsi.vif())
    unplug(vsi.vif())


def test_the_switch_refuses_one_of_many(bridge: VdpBridge) -> None:
    plug(vsi.vif(1))
    bridge.answer = REFUSED
    one, other = os_vif.plug_many([(vsi.vif(1), None), (vsi.vif(2), None)])
    assert one.error is None
    assert isinstance(other.error, exception.StepFailed)
    assert other.error.errno == errno.EACCES
    outcomes = os_vif.plug_many(
        [(vifs.tap_vif(4), None), (vsi.vif(2), None), (vsi.vif(1), None)], together=True
    )
    assert isinstance(outcomes[1].error, exception.StepFailed)
    left = {link["ifname"] for link in witness.ask("link show")}
    assert left == {"lo", "eth0", vifs.tap_name(1)}
    unplug(vsi.vif(1))


@pytest.mark.usefixtures("bridge")
def test_no_lldpad(station: Station, monkeypatch: pytest.MonkeyPatch) -> None:
    plug(vsi.vif())
    with monkeypatch.context() as patch:
        patch.setattr(vdp, "PID_FILE", station.lldpad.pid_file.with_name("none.pid"))
        assert [step.kind for step in steps_left(vsi.vif())] == ["associate_vsi"]
        with pytest.raises(exception.PlugException, match=r"lldpad is not running \(.*none\.pid\)"):
            plug(vsi.vif())
        unplug(vsi.vif())
        with refused(errno.ECONNREFUSED, "lldpad is not running"):
            plug(vsi.vif())
    assert station.associated() == {1}, "which no lldpad could be told"
    plug(vsi.vif())
    unplug(vsi.vif())


@pytest.mark.usefixtures("bridge")
def test_a_card_lldpad_does_nothing_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vdp, "_AGREE_S", 0.1)
    monkeypatch.setattr(vdp, "_SETTLING_S", 0)
    witness.ip("link add eth9 type veth peer name wire9\nlink set wire9 up")
    witness.ip("link set eth9 up\nlink set eth9 down")
    with refused(errno.EPROTONOSUPPORT, "lldpad does no VDP on eth9: EVB is off there, or"):
        plug(vsi.vif(lower="eth9"))
    witness.ip("link set wire9 down")
    with (
        vifs.configured("macvtap", port_profile_timeout=1),
        refused(errno.ENETDOWN, r"eth9 has no link \(carrier\), so the switch on it cannot"),
    ):
        plug(vsi.vif(lower="eth9", mode="passthrough"))
    witness.ip("link delete eth9")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vlan": 1, "vlan_name": "vlan1"}, r"network\.vlan: 1 cannot.* lldpad refuses VLAN 1"),
        ({"version": 256}, r"VIFPortProfile8021Qbg\.type_id_version: 256 .* from 0 to 255"),
        ({"type_id": 2**24}, r"VIFPortProfile8021Qbg\.type_id: 16777216 .* from 0 to 16777215"),
        (
            {"instance_id": "00000000-0000-0000-0000-000000000000"},
            r"VIFPortProfile8021Qbg\.instance_id: '00000000-.* a UUID that is not nil",
        ),
        ({"profile_id": "a" * 40}, r"VIFPortProfile8021Qbh\.profile_id: 'a+' .* most 39 bytes"),
    ],
    ids=["VLAN 1", "version", "type", "nil UUID", "name"],
)
def test_what_cannot_be_touches_nothing(
    bridge: VdpBridge, fields: dict[str, Any], words: str
) -> None:
    own = {"vlan", "vlan_name", "version"}
    vif = vsi.vif(**{key: value for key, value in fields.items() if key in own})
    if "profile_id" in fields:
        vif.port_profile = VIFPortProfile8021Qbh()
    for key in fields.keys() - own:
        setattr(vif.port_profile, key, fields[key])
    with calls.refused(words):
        plug(vif)
    assert bridge.asked == []


# --- killed ---------------------------------------------------------------------------------------


def gc(_vif: Any) -> None:
    os_vif.gc([])


@pytest.mark.parametrize("then", [plug, unplug, gc])
@pytest.mark.parametrize("begun", [plug, unplug, gc])
def test_killed(
    station: Station, bridge: VdpBridge, begun: Callable[[Any], None], then: Callable[[Any], None]
) -> None:
    vif = vsi.vif()
    for number in itertools.count():
        if begun is not plug:
            plug(vif)
        was_killed = killed(lambda: begun(vif), number)
        then(vif)
        if then is plug:
            assert steps_left(vif) == []
            assert station.associated() == {1}
            unplug(vif)
        assert os_vif.list_vifs() == []
        assert station.associated() == set(), number
        if not was_killed:
            break
    assert number >= 2
    assert asked(bridge)[-1][0] == DISASSOCIATE


def test_killed_while_unplugging_several(station: Station, bridge: VdpBridge) -> None:
    """All that gc has of them is what stands on their devices."""
    pairs = [(vsi.vif(number), vifs.instance()) for number in (1, 2)]
    for number in itertools.count():
        os_vif.plug_many(pairs)
        was_killed = killed(lambda: next(None for _ in os_vif.unplug_many(pairs)), number)
        os_vif.gc([])
        assert station.associated() == set(), number
        if not was_killed:
            break
    assert number > 5


# --- links that were down, a switch that is silent: last, as lldpad needs time after these -------


def test_a_card_that_was_down(station: Station, bridge: VdpBridge) -> None:
    """The switch hears the end while there is a link, and the card is down again."""
    witness.ip("link set eth0 down")
    before = witness.snapshot()
    vif, guest = vsi.vif(4, mode="passthrough"), vifs.instance()
    [outcome] = os_vif.plug_many([(vif, guest)])
    assert outcome.error is None
    kinds = [step.kind for step in outcome.steps]
    assert kinds == ["create_link", "set_link", "associate_vsi"]
    assert outcome.steps[-1].args["fresh"]
    assert steps_left(vif) == []
    [outcome] = os_vif.unplug_many([(vif, guest)])
    assert outcome.error is None
    kinds = [step.kind for step in outcome.steps]
    assert kinds == ["set_link", "disassociate_vsi", "set_link", "delete_links"]
    assert asked(bridge) == [(ASSOCIATE, 4, 2), (DISASSOCIATE, 4, 2)]
    assert witness.differences(before, witness.snapshot()) == []

    plug(vif)
    os_vif.gc([])
    assert asked(bridge)[2:] == [(ASSOCIATE, 4, 2), (DISASSOCIATE, 4, 2)]
    assert witness.differences(before, witness.snapshot()) == []

    bridge.answer = REFUSED
    with refused(errno.EACCES, "insufficient resources"):
        plug(vif)
    witness.ip("link set eth0 up")
    bridge.answer = 0
    station.agreed()


@pytest.mark.long
def test_nobody_waits_for_somebody_elses_switch(station: Station, bridge: VdpBridge) -> None:
    bridge.answer = SILENCE
    slow, quick = vsi.vif(2), vifs.tap_vif(3)
    failed: list[BaseException] = []

    def wait() -> None:
        with station.host.enter():
            try:
                plug(slow)
            except BaseException as error:
                failed.append(error)

    with vifs.configured("macvtap", port_profile_timeout=20):
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: instance(2) in station.lldpad.listed())
        plug(quick)
        unplug(quick)
        assert thread.is_alive(), "the switch has still not answered"
        thread.join()
    assert isinstance(failed[0].__cause__, exception.StepFailed)


def number_in(error: BaseException) -> int:
    """Return the number of the step that failed."""
    assert isinstance(error.__cause__, exception.StepFailed)
    return error.__cause__.errno


def impatient() -> Any:
    """Have the switch's answer waited for as briefly as can be."""
    return vifs.configured("macvtap", port_profile_timeout=1)


def test_silence(station: Station, switch: VdpBridge, monkeypatch: pytest.MonkeyPatch) -> None:
    with station.clean():
        switch.answer = 0
        plug(vsi.vif(5))
        switch.answer = SILENCE
        with impatient():
            with pytest.raises(
                exception.PlugException, match="has not answered within 1 s"
            ) as plugging:
                plug(vsi.vif(6))
            assert number_in(plugging.value) == errno.EINPROGRESS
            assert witness.link(vifs.tap_name(6)) is None
            with pytest.raises(
                exception.UnplugException, match=r"within 1 s, and VSI .*5 is"
            ) as gone:
                unplug(vsi.vif(5))
            assert number_in(gone.value) == errno.EINPROGRESS
        macvtap = witness.link(vifs.tap_name(5))
        assert macvtap is not None, "its note is still needed"
        assert "UP" not in macvtap["flags"], "but the guest is cut off"
        plug(vifs.tap_vif(7))
        with monkeypatch.context() as patch, impatient():
            patch.setattr(profile_rules, "_CLEANING_S", 1)
            with pytest.raises(exception.StepFailed, match="disassociate VSI"):
                os_vif.gc([])
        assert [item.mark.vif_id for item in os_vif.list_vifs()] == [vifs.vif_id(5)], "not the tap"

        # How long lldpad itself waits, the switch says.
        switch.answer, switch.delay = 0, 16
        station.restart()
        station.agreed()
        unplug(vsi.vif(5))
    with station.clean(), vifs.configured("macvtap", port_profile_timeout=5):
        switch.answer = SILENCE
        with refused(errno.ETIMEDOUT, "did not answer in time: lldpad gave VSI"):
            plug(vsi.vif(8))
