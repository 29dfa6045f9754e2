# SPDX-License-Identifier: Apache-2.0
"""802.1Qbh: the kernel's own refusal, and for the rest a responder in the kernel's place.

Only the refusal is the real thing. What a NIC with the operation answers (success, in progress
and each error) was tried against :mod:`tests.port_responder` alone, never on hardware.
"""

from __future__ import annotations

import errno
import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from os_vif.cli.drift import drifts_of
from os_vif.cli.specs import reader
from os_vif.cli.specs.batch import Batch
from os_vif.engine import converge as engine
from os_vif.engine import examine
from os_vif.engine.place import Place
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.questions import Function
from os_vif.host.links.system import sysfs
from os_vif.host.port_profiles.questions import PortState
from os_vif.host.port_profiles.resources import PortProfileQbh
from os_vif.host.port_profiles.system import port_profile
from os_vif.host.routes.resources import HostRoute
from os_vif.plugins.types.macvtap import TYPES
from os_vif.specs import NotTold
from tests import port_responder, vifs, witness
from tests.functional import calls, vsi
from tests.functional.killing import killed
from tests.port_responder import (
    ASSOCIATE,
    BAD_STATE,
    DISASSOCIATE,
    FAILED,
    IN_PROGRESS,
    INVALID,
    NO_RESOURCES,
    SUCCESS,
    PortResponder,
)

pytestmark = pytest.mark.functional

GUEST = "5b3f7c1e-0a55-4a4f-8a58-1c9d2f0b6e11"
STRANGER = "5b3f7c1e-0a55-4a4f-8a58-1c9d2f0b6e12"
HOST = "0d4f4a3c-2b7e-4b0e-9a53-7f1f0a9e8c01"


@pytest.fixture
def nic(inside: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the index of ``eth0``."""
    own = tmp_path / "product_uuid"
    own.write_text(HOST.upper() + "\n")
    monkeypatch.setattr(port_profile, "HOST_IDS", (tmp_path / "none", own))
    witness.ip("link add eth0 type veth peer name wire0")
    found = witness.link("eth0")
    assert found
    return int(found["ifindex"])


@pytest.fixture
def driver(inside: Any, nic: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[PortResponder]:
    """Return what stands in for the kernel of a NIC that can do it."""
    made = PortResponder(inside)
    monkeypatch.setattr(port_profile, "ADDRESSEE", made.port_id)
    try:
        yield made
    finally:
        made.close()


def request(*others: Any, profile: str = "gold", instance: str = GUEST, timeout: int = 5) -> Any:
    mark = Mark("f8f7d7f2-6a0f-4b9b-a4d1-4d0d2c6a2f11", "macvtap")
    wanted = PortProfileQbh(link="eth0", profile=profile, instance=instance, timeout=timeout)
    return engine.Request(Topology(mark, (wanted, *others)), Place("os_vif_privileged"))


def plug(*others: Any, **fields: Any) -> engine.Request:
    made: engine.Request = request(*others, **fields)
    engine.plug([made])
    return made


def unplug(**fields: Any) -> engine.Request:
    made: engine.Request = request(**fields)
    engine.unplug([made])
    return made


# --- the real kernel ------------------------------------------------------------------------------


@pytest.mark.usefixtures("nic")
def test_a_driver_without_the_operation_is_named() -> None:
    witness.ip("link set eth0 up")
    witness.ip("link add link eth0 name macvtap0 type macvtap mode bridge")
    for device, name in (("eth0", "veth"), ("macvtap0", "macvlan")):
        assert port_profile.look(device) is None
        with pytest.raises(port_profile.Unsupported, match=f"its driver {name} has no such"):
            port_profile.set_profile(device, "gold", GUEST, 5)
        assert not port_profile.clear_profile(device, "", "")
    made = plug()
    assert isinstance(made.error, exception.StepFailed)
    assert 'could not give eth0 the port profile "gold"' in str(made.error)
    assert "its driver veth" in str(made.error)
    assert made.error.kwargs["left"] == "", "nothing was to be taken back"
    assert unplug().error is None


@pytest.mark.usefixtures("inside")
def test_a_device_that_is_not_there() -> None:
    with pytest.raises(OSError, match="there is no device eth0"):
        port_profile.set_profile("eth0", "gold", GUEST, 5)
    assert not port_profile.clear_profile("eth0", "gold", GUEST)
    assert isinstance(plug().error, exception.NetworkInterfaceNotFound)
    assert unplug().error is None


# --- the responder --------------------------------------------------------------------------------


def test_a_profile_is_set_and_cleared(nic: int, driver: PortResponder) -> None:
    [step] = examine.plan(request()).steps
    assert step.kind == "set_port_profile"
    [drift] = drifts_of([step])
    assert (drift.device, drift.words) == ("eth0", 'should have the port profile "gold"')
    driver.answers = [IN_PROGRESS, IN_PROGRESS, SUCCESS]
    assert plug().error is None
    assert driver.wishes == [port_responder.Wish(nic, None, "gold", GUEST, HOST, ASSOCIATE)]
    assert port_profile.look("eth0") == PortState(GUEST, SUCCESS, ASSOCIATE, "gold")
    made = plug()
    assert (made.error, made.done) == (None, []), "a re-plug does nothing"

    driver.answers = [FAILED]
    assert [step.kind for step in examine.plan(request()).steps] == ["set_port_profile"], (
        "it was lost"
    )
    driver.answers = [SUCCESS]
    made = unplug()
    assert made.error is None
    assert [step.kind for step in made.done] == ["clear_port_profile"]
    assert [wish.request for wish in driver.wishes] == [ASSOCIATE, DISASSOCIATE]
    made = unplug()
    assert (made.error, made.done) == (None, [])


@pytest.mark.usefixtures("nic")
def test_every_error_in_words(driver: PortResponder) -> None:
    for response, words in {
        INVALID: "it knows no such profile",
        BAD_STATE: "bad state",
        NO_RESOURCES: "insufficient resources",
        FAILED: "an error it does not explain",
        0x1FF: "response 0x1ff",
    }.items():
        driver.answers = [IN_PROGRESS, response]
        with pytest.raises(port_profile.Refused, match=words):
            port_profile.set_profile("eth0", "gold", GUEST, 5)
    driver.answers = [INVALID]
    made = plug()
    assert isinstance(made.error, exception.StepFailed)
    assert "knows no such profile" in str(made.error)
    assert driver.wishes[-1].request == DISASSOCIATE, "nothing of it stays behind"
    driver.answers = [IN_PROGRESS]
    with pytest.raises(port_profile.InProgress, match="within 1 s: in progress"):
        port_profile.set_profile("eth0", "gold", GUEST, 1)
    driver.refuses = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        port_profile.set_profile("eth0", "gold", GUEST, 1)


@pytest.mark.usefixtures("nic")
def test_what_fails_afterwards_takes_the_profile_back(driver: PortResponder) -> None:
    nowhere = HostRoute(device="eth0", destination="10.9.0.0/24", gateway="10.200.0.1")
    assert isinstance(plug(nowhere).error, exception.StepFailed)
    assert [wish.request for wish in driver.wishes] == [ASSOCIATE, DISASSOCIATE]
    assert plug(profile="silver").error is None
    assert isinstance(plug(nowhere).error, exception.StepFailed)
    last = driver.wishes[-1]
    assert (last.request, last.profile) == (ASSOCIATE, "silver"), "what it had, it has again"


@pytest.mark.usefixtures("nic")
def test_a_port_that_another_guest_has(driver: PortResponder) -> None:
    assert plug(instance=STRANGER).error is None
    made = plug()
    assert isinstance(made.error, exception.ResourceConflict)
    assert f'port profile "gold" of eth0 is in the way: guest {STRANGER} has it' in str(made.error)
    made = unplug()
    assert (made.error, made.done) == (None, []), "what was handed on is left alone"
    made = unplug(profile="silver", instance=STRANGER)
    assert (made.error, made.done) == (None, [])
    assert len(driver.wishes) == 1
    assert unplug(instance="").done, "a caller who names no guest has the profile's name"


def test_a_virtual_function_is_set_through_its_physical_one(
    nic: int, driver: PortResponder, monkeypatch: pytest.MonkeyPatch
) -> None:
    function = Function("0000:01:00.3", physical="0000:01:00.0", number=2, physical_netdev="eth0")
    monkeypatch.setattr(port_profile, "_driver_of", lambda _device: ("enic", function.address))
    monkeypatch.setattr(sysfs, "function", lambda _address: function)
    port_profile.set_profile("wire0", "gold", GUEST, 5)
    assert driver.wishes == [port_responder.Wish(nic, 2, "gold", GUEST, HOST, ASSOCIATE)]
    assert not port_profile.clear_profile("wire0", "gold", STRANGER)
    found = port_profile.look("wire0")
    assert found is not None
    assert found.is_set
    assert not port_profile.clear_profile("wire0", "silver", GUEST)
    assert port_profile.clear_profile("wire0", "", GUEST)
    assert driver.wishes[-1].vf == 2


# --- the library's own calls ----------------------------------------------------------------------


def gold(number: int = 1, name: str = "gold", **fields: Any) -> Any:
    """Return a VIFDirect on ``eth0`` with a port profile."""
    from os_vif.objects.vif import VIFPortProfile8021Qbh

    return vifs.direct_vif(number, port_profile=VIFPortProfile8021Qbh(profile_id=name), **fields)


def told(driver: PortResponder) -> list[tuple[int, str, str]]:
    """Return what was asked for: the request, the profile and the guest."""
    return [(wish.request, wish.profile, wish.instance) for wish in driver.wishes]


@pytest.mark.usefixtures("nic")
@pytest.mark.parametrize("mode", ["bridge", "passthrough"])
def test_a_vif_and_a_driver_without_the_operation(mode: str) -> None:
    witness.ip("link set wire0 up\nlink set eth0 up\nlink set eth0 down")
    with vsi.refused(errno.EOPNOTSUPP, "eth0 takes no port profile: its driver veth has no such"):
        calls.plug(gold(mode=mode))
    calls.unplug(gold(mode=mode))


def test_a_vif(nic: int, driver: PortResponder) -> None:
    vif, guest = gold(), vifs.instance()
    assert [step.kind for step in os_vif.plan(vif, guest)] == [
        *("set_link", "create_link", "set_port_profile")
    ]
    assert driver.wishes == []
    driver.answers = [IN_PROGRESS, SUCCESS]
    calls.plug(vif)
    assert driver.wishes == [port_responder.Wish(nic, None, "gold", guest.uuid, HOST, ASSOCIATE)]
    [listed] = os_vif.list_vifs()
    assert listed["links"][0].alias.endswith(" port-profile=eth0 guest=guest1")
    assert calls.steps_left(vif) == []
    calls.plug(vif)
    driver.answers = [FAILED]
    [drift] = drifts_of(calls.steps_left(vif))
    assert drift.words == 'should have the port profile "gold"'
    driver.answers = [SUCCESS]
    assert len(driver.wishes) == 1, "a re-plug asks for nothing"
    calls.unplug(vif)
    calls.unplug(vif)
    assert [wish.request for wish in driver.wishes] == [ASSOCIATE, DISASSOCIATE]
    assert witness.link(vif.vif_name) is None


@pytest.mark.usefixtures("nic")
def test_a_vif_that_is_refused(driver: PortResponder) -> None:
    witness.ip("link set eth0 up\nlink set eth0 down")
    driver.answers = [INVALID]
    with vsi.refused(errno.EACCES, 'the switch refused port profile "gold" for eth0: invalid'):
        calls.plug(gold(mode="passthrough"))
    assert driver.wishes[-1].request == DISASSOCIATE
    driver.answers = [IN_PROGRESS]
    with (
        vifs.configured("macvtap", port_profile_timeout=1),
        vsi.refused(errno.EINPROGRESS, r"has not given eth0 the port profile .* in progress"),
    ):
        calls.plug(gold())
    assert driver.wishes[-1].request == DISASSOCIATE


@pytest.mark.usefixtures("nic")
def test_a_vif_with_another_profile(driver: PortResponder) -> None:
    guest = vifs.instance().uuid
    calls.plug(gold())
    calls.plug(gold(name="silver"))
    assert told(driver) == [(ASSOCIATE, "gold", guest), (ASSOCIATE, "silver", guest)]
    assert calls.steps_left(gold(name="silver")) == []
    calls.plug(vifs.direct_vif())
    assert [wish.request for wish in driver.wishes] == [ASSOCIATE, ASSOCIATE, DISASSOCIATE]
    assert calls.steps_left(vifs.direct_vif()) == []
    calls.plug(gold())
    calls.unplug(vifs.direct_vif())
    assert [wish.request for wish in driver.wishes[3:]] == [ASSOCIATE, DISASSOCIATE]


@pytest.mark.usefixtures("nic")
def test_what_is_exported_plugs_the_same_again(driver: PortResponder) -> None:
    calls.plug(gold())
    [item] = verbs.held_vifs()
    [row] = TYPES
    assert row.held
    exported = row.held(item)
    assert exported
    batch = Batch()
    reader.read_text("export", json.dumps({"type": row.name, **exported.values}), batch)
    [entry] = batch.entries
    assert not batch.problems
    assert os_vif.check(entry.vif, entry.instance) == []
    os_vif.gc([])
    os_vif.plug(entry.vif, entry.instance)
    guest = vifs.instance().uuid
    assert told(driver) == [
        (ASSOCIATE, "gold", guest),
        (DISASSOCIATE, "", ""),
        (ASSOCIATE, "gold", guest),
    ]
    assert calls.steps_left(gold()) == []
    driver.wishes.clear()
    [item] = verbs.held_vifs()
    with pytest.raises(NotTold, match="eth0 does not tell its port profile"):
        row.held(item)


@pytest.mark.usefixtures("nic")
def test_gc_needs_no_vif(driver: PortResponder) -> None:
    calls.plug(gold(mode="passthrough"))
    os_vif.gc([])
    assert [wish.request for wish in driver.wishes] == [ASSOCIATE, DISASSOCIATE]
    assert os_vif.list_vifs() == []
    assert "UP" not in (witness.link("eth0") or {})["flags"]


@pytest.mark.usefixtures("nic")
@pytest.mark.parametrize("then", [calls.plug, calls.unplug, lambda _vif: os_vif.gc([])])
@pytest.mark.parametrize("begun", [calls.plug, calls.unplug])
def test_killed(driver: PortResponder, begun: Any, then: Any) -> None:
    vif = gold()
    for number in itertools.count():
        if begun is calls.unplug:
            calls.plug(vif)
        was_killed = killed(lambda: begun(vif), number)
        then(vif)
        if then is calls.plug:
            assert calls.steps_left(vif) == []
            calls.unplug(vif)
        assert os_vif.list_vifs() == []
        if driver.wishes:
            assert driver.wishes[-1].request == DISASSOCIATE, number
        if not was_killed:
            break
    assert number >= 2
