# SPDX-License-Identifier: Apache-2.0
"""802.1Qbg: VSIs on a real lldpad, with another lldpad as the switch, or a small switch of ours.

VIFs with them are in test_vsi.py and test_vsi_wire.py.

lldpad in its bridge role agrees to everything, so what a switch refuses, or leaves unanswered,
comes from :mod:`tests.vdp_bridge`. No hardware switch was tried.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import converge as engine
from os_vif.engine import examine
from os_vif.engine.place import Place
from os_vif.engine.topology import Mark, Topology
from os_vif.host.port_profiles.resources import ANY_VLAN, PortProfileQbg, Vsi
from os_vif.host.port_profiles.system import vdp
from os_vif.host.routes.resources import HostRoute
from tests import vdp_bridge, witness
from tests.conftest import PrivateHost
from tests.functional.killing import killed
from tests.lldpad import PROBES, Lldpad, agree, instance, number_of, until
from tests.vdp_bridge import ACK, HARD, KEEP, SILENCE, VdpBridge

pytestmark = [pytest.mark.functional]

VSI = Vsi(
    manager=3,
    type=0x123456,
    version=2,
    instance="2f0dd7bc-32fe-4a86-9f5c-7d6ca5bd1f0e",
    mac="52:54:00:11:22:33",
    vlan=42,
)


MARK = Mark("f8f7d7f2-6a0f-4b9b-a4d1-4d0d2c6a2f11", "macvtap")


def other(number: int, **fields: Any) -> Vsi:
    """Return a VSI of its own for each number."""
    return dataclasses.replace(VSI, instance=instance(number), **fields)


@pytest.fixture
def beside(inside: Any) -> Iterator[Any]:
    """Return the switch's side: its ``wire0`` is the other end of the station's ``eth0``."""
    switch = PrivateHost()
    try:
        witness.ip(f"link add eth0 type veth peer name wire0 netns {switch.pid}")
        witness.ip("link set eth0 up")
        switch.run("ip", "link", "set", "wire0", "up")
        yield switch
    finally:
        switch.close()


@pytest.fixture
def start(beside: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Lldpad]]:
    """Start an lldpad; the library talks to the station's."""
    running = []

    def begin(host: Any, interface: str, role: str) -> Lldpad:
        made = Lldpad(host, interface, role)
        running.append(made)
        if interface == "eth0":
            monkeypatch.setattr(vdp, "PID_FILE", made.pid_file)
        return made

    yield begin
    for made in running:
        made.close()


@pytest.fixture
def station(inside: Any, start: Any) -> Lldpad:
    return start(inside, "eth0", "station")  # type: ignore[no-any-return]


def held() -> dict[str, int | None]:
    """Return what lldpad has; a probe may have been answered when nobody waited any more."""
    found = vdp.look("eth0")
    return {one: said for one, said in found.items() if number_of(one) not in PROBES}


@pytest.fixture
def far(station: Lldpad, beside: Any, start: Any) -> Lldpad:
    """Return the switch's lldpad; both have agreed to do VDP."""
    made = start(beside, "wire0", "bridge")
    agree("eth0", iter(PROBES), lambda one: one in made.listed())
    until(lambda: not made.listed())
    return made  # type: ignore[no-any-return]


@pytest.fixture
def bridge(station: Lldpad, beside: Any) -> Iterator[VdpBridge]:
    """Return a switch that says what it is told to."""
    made = VdpBridge(beside, "wire0")
    try:
        yield made
    finally:
        made.close()


# --- two real lldpads ---------------------------------------------------------------------------


def test_an_association_and_its_end(station: Lldpad, far: Lldpad) -> None:
    assert vdp.associate("eth0", VSI, 30)
    assert far.listed() == {VSI.instance: ACK}, "the switch's own list"
    assert held() == {VSI.instance: 0}
    [shown] = station.shown()
    assert shown == {
        "mode": "assoc",
        "mgrid2": "3",
        "typeid": str(0x123456),
        "typeidver": "2",
        "uuid": VSI.instance,
        "hints": "0",
        "filter": "42-52:54:00:11:22:33",
    }
    assert not vdp.associate("eth0", VSI, 30), "there is nothing to do"
    second = other(1, vlan=ANY_VLAN)
    assert vdp.associate("eth0", second, 30)
    until(lambda: far.listed() == {VSI.instance: ACK, second.instance: ACK})

    assert vdp.disassociate("eth0", VSI, 30)
    assert held() == {second.instance: 0}
    until(lambda: far.listed() == {second.instance: ACK})
    assert not vdp.disassociate("eth0", VSI, 30), "there is nothing to do"
    assert vdp.associate("eth0", VSI, 30), "and again"
    until(lambda: far.listed() == {VSI.instance: ACK, second.instance: ACK})


@pytest.mark.usefixtures("far")
def test_a_vsi_that_is_there_with_another_mac() -> None:
    vdp.associate("eth0", VSI, 30)
    with pytest.raises(vdp.Invalid, match="another MAC or VLAN"):
        vdp.disassociate("eth0", dataclasses.replace(VSI, mac="52:54:00:11:22:34"), 30)


@pytest.mark.slow
def test_the_switch_hangs(far: Lldpad) -> None:
    vdp.associate("eth0", VSI, 30)
    far.pause()
    with pytest.raises(vdp.Pending, match="has not answered within 1 s"):
        vdp.associate("eth0", other(1), 1)
    assert held() == {VSI.instance: 0, other(1).instance: None}
    far.go_on()


# --- the engine -----------------------------------------------------------------------------------


def request(*resources: Any) -> engine.Request:
    topology = Topology(MARK, resources)
    return engine.Request(topology, Place("os_vif_privileged"))


def profile(vsi: Vsi = VSI, timeout: int = 10) -> PortProfileQbg:
    return PortProfileQbg(link="eth0", vsi=vsi, timeout=timeout)


def plug(*resources: Any) -> engine.Request:
    made = request(*resources)
    engine.plug([made])
    return made


def unplug(*resources: Any) -> engine.Request:
    made = request(*resources)
    engine.unplug([made])
    return made


@pytest.mark.usefixtures("station")
def test_a_link_without_carrier(beside: Any) -> None:
    beside.run("ip", "link", "set", "wire0", "down")
    with pytest.raises(vdp.Down, match="eth0 has no link"):
        vdp.associate("eth0", VSI, 1)


@pytest.mark.usefixtures("station")
def test_what_fails_afterwards_takes_the_association_back(bridge: VdpBridge) -> None:
    made = plug(
        profile(), HostRoute(device="eth0", destination="10.9.0.0/24", gateway="10.200.0.1")
    )
    assert isinstance(made.error, exception.StepFailed)
    assert "add route" in str(made.error)
    assert made.error.kwargs["left"] == ""
    assert vdp.look("eth0") == {}
    modes = [asked.mode for asked in bridge.asked]
    assert modes == [vdp_bridge.ASSOCIATE, vdp_bridge.DISASSOCIATE]


# --- lldpad is not as it should be ----------------------------------------------------------------


def test_no_lldpad(station: Lldpad) -> None:
    station.stop()
    with pytest.raises(vdp.NoDaemon, match="lldpad is not running"):
        vdp.associate("eth0", VSI, 5)
    assert not vdp.disassociate("eth0", VSI, 5), "unplugging does not need it"
    made = plug(profile())
    assert isinstance(made.error, exception.StepFailed)
    assert "lldpad is not running" in str(made.error)


def test_a_pid_file_of_nobody(station: Lldpad, monkeypatch: pytest.MonkeyPatch) -> None:
    left = station.pid_file.with_name("left.pid")
    left.write_bytes(b"999999999\n\0\0")
    monkeypatch.setattr(vdp, "PID_FILE", left)
    with pytest.raises(vdp.NoDaemon, match="process 999999999"):
        vdp.look("eth0")
    for words in ("", "0\n", "-1", "lldpad"):  # 0 would be the kernel
        left.write_text(words)
        with pytest.raises(vdp.NoDaemon, match=r"left\.pid"):
            vdp.look("eth0")


def test_an_lldpad_that_hangs(station: Lldpad) -> None:
    station.pause()
    with pytest.raises(vdp.Silent, match="does not answer about eth0"):
        vdp.look("eth0")
    station.go_on()


@pytest.mark.usefixtures("station")
def test_a_switch_without_vdp() -> None:
    with pytest.raises(vdp.NoVdp, match="lldpad does no VDP on eth0"):
        vdp.associate("eth0", VSI, 5)
    assert not vdp.disassociate("eth0", VSI, 5)


def test_an_lldpad_that_plays_the_switch(inside: Any, beside: Any, start: Any) -> None:
    peer = start(beside, "wire0", "station")
    start(inside, "eth0", "bridge")
    until(lambda: _lists(peer))
    with pytest.raises(vdp.NotStation, match="not in station role on eth0"):
        until(lambda: _refused(vdp.NoVdp))
    assert not vdp.disassociate("eth0", VSI, 5)


def _lists(lldpad: Lldpad) -> bool:
    try:
        lldpad.listed()
    except AssertionError:
        return False
    return True


def _refused(passing: type[OSError]) -> bool:
    """Associate, and wait while it is refused as it may be in the beginning."""
    try:
        vdp.associate("eth0", VSI, 1)
    except passing:
        return False
    return True


@pytest.mark.usefixtures("station")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(OSError, match="there is no device eth9"):
        vdp.associate("eth9", VSI, 5)
    assert not vdp.disassociate("eth9", VSI, 5)
    made = plug(PortProfileQbg(link="eth9", vsi=VSI, timeout=5))
    assert isinstance(made.error, exception.NetworkInterfaceNotFound)


# --- a switch that refuses ------------------------------------------------------------------------


def test_what_the_switch_hears(station: Lldpad, bridge: VdpBridge) -> None:
    assert vdp.associate("eth0", VSI, 30)
    fields = (3, 0x123456, 2, VSI.instance, "52:54:00:11:22:33", 42)
    assert bridge.asked == [vdp_bridge.Asked(vdp_bridge.ASSOCIATE, *fields)]
    assert not vdp.associate("eth0", VSI, 30)
    assert len(bridge.asked) == 1, "a re-plug asks the switch nothing"
    assert vdp.disassociate("eth0", VSI, 30)
    assert bridge.asked[1:] == [vdp_bridge.Asked(vdp_bridge.DISASSOCIATE, *fields)]
    assert station.listed() == {}


@pytest.mark.usefixtures("station")
def test_every_reason_in_words(bridge: VdpBridge) -> None:
    reasons = {
        1: "invalid format",
        2: "insufficient resources",
        3: "no contact to the VSI manager",
        4: "another failure",
        5: "an invalid VLAN or MAC",
        6: "out of sync",
        9: "a reason the standard does not name",
        HARD | 2: "insufficient resources",
        KEEP | 2: "insufficient resources (VDP error 2); it stays as it was before",
    }
    for number, (status, words) in enumerate(reasons.items()):
        bridge.answer = status
        with pytest.raises(vdp.Refused) as refused:
            vdp.associate("eth0", other(number), 30)
        said = str(refused.value.strerror)
        assert words in said
        assert f"VDP error {status & 15}" in said
        assert vdp.look("eth0") == {}, "nothing is left of it"
    bridge.answer = 2
    made = plug(profile())
    assert isinstance(made.error, exception.StepFailed)
    assert "refused VSI" in str(made.error)
    assert "insufficient resources" in str(made.error)
    bridge.answer = 0
    assert plug(profile()).error is None


def test_a_refusal_that_lldpad_keeps(station: Lldpad, bridge: VdpBridge) -> None:
    """Its answer must not be taken for that to the next request."""
    assert vdp.associate("eth0", other(1), 30), "both do VDP by now"
    bridge.answer = KEEP | 2
    assert killed(lambda: plug(profile()), 1), "just before it takes back what was refused"
    assert station.listed() == {VSI.instance: KEEP | 2, other(1).instance: 0}
    assert len(examine.plan(request(profile())).steps) == 1
    bridge.answer = 0
    assert plug(profile()).error is None
    modes = [asked.mode for asked in bridge.asked if asked.instance == VSI.instance]
    assert modes == [vdp_bridge.ASSOCIATE, vdp_bridge.DISASSOCIATE, vdp_bridge.ASSOCIATE]


@pytest.mark.slow
@pytest.mark.usefixtures("station")
def test_silence(bridge: VdpBridge) -> None:
    assert vdp.associate("eth0", VSI, 30)
    bridge.answer = SILENCE
    made = plug(profile(other(1), timeout=1))
    assert isinstance(made.error, exception.StepFailed)
    assert "is pending" in str(made.error)
    assert vdp.look("eth0") == {VSI.instance: 0, other(1).instance: None}
    made = unplug(profile(other(1), timeout=1))
    assert isinstance(made.error, exception.StepFailed), "it cannot be said to be gone"
    assert "still waits for the switch" in str(made.error)
    with pytest.raises(vdp.Pending, match="is pending"):
        vdp.associate("eth0", other(1), 1)
    with pytest.raises(vdp.Pending, match="still there"):
        vdp.disassociate("eth0", VSI, 1)


@pytest.mark.slow
@pytest.mark.usefixtures("station")
def test_lldpad_gives_up(beside: Any) -> None:
    """It lists such a VSI for ever, and takes no other request for it."""
    with contextlib.closing(VdpBridge(beside, "wire0", delay=16)) as bridge:
        assert vdp.associate("eth0", VSI, 30)
        bridge.answer = SILENCE
        with pytest.raises(vdp.TimedOut, match=r"did not answer in time.*until it is restarted"):
            vdp.associate("eth0", other(1), 5)
        bridge.answer = 0
        with pytest.raises(vdp.TimedOut, match="until it is restarted"):
            vdp.associate("eth0", other(1), 5)
        made = unplug(profile(other(1)))
        assert (made.error, made.done) == (None, []), "there is nothing to be disassociated"


@pytest.mark.usefixtures("station")
def test_the_switch_takes_an_association_back(bridge: VdpBridge) -> None:
    assert plug(profile()).error is None
    bridge.take_back(bridge.asked[0])
    until(lambda: examine.plan(request(profile())).steps)
    assert vdp.look("eth0") == {}
    assert plug(profile()).error is None
    assert vdp.look("eth0") == {VSI.instance: 0}
