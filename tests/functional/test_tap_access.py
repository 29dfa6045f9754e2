# SPDX-License-Identifier: Apache-2.0
"""Who may open a tap: its owner, its group and root, and nobody else."""

from __future__ import annotations

import fcntl
import grp
import itertools
import os
import pwd
import struct
from typing import Any

import pytest

import os_vif
from os_vif import verbs
from os_vif.engine import runner
from os_vif.engine.step import Step
from os_vif.testing import killing
from tests import guest, vifs, vifs_ovs, witness
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.test_macvtap import LOWER
from tests.functional.test_privilege import OTHERS, as_nobody

pytestmark = pytest.mark.functional

EPERM, EBUSY = 1, 16
USER, GROUP = pwd.getpwnam("daemon"), grp.getgrnam("games")
STRANGER = 65534
OVS = {"create_port": True, "create_tap": True}


def opens(tap: str, uid: int, *groups: int, multi_queue: bool = False) -> int:
    """Have a user open a tap, and return the error number; 0 for none."""
    child = os.fork()
    if child == 0:
        status = 255
        try:
            # As root, for on this machine only root may have it; whose the tap is counts later.
            descriptor = os.open("/dev/net/tun", os.O_RDWR)
            os.setgroups(list(groups))
            os.setgid(STRANGER)
            os.setuid(uid)
            flags = guest.IFF_TAP | guest.IFF_NO_PI | guest.IFF_VNET_HDR
            flags |= guest.IFF_MULTI_QUEUE if multi_queue else 0
            fcntl.ioctl(descriptor, guest.TUNSETIFF, struct.pack("=16sH22x", tap.encode(), flags))
            status = 0
        except OSError as error:
            status = error.errno or 255
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("multi_queue", [False, True])
@pytest.mark.parametrize(
    ("options", "may", "may_not"),
    [
        ({}, [(0,)], [(STRANGER,), (USER.pw_uid,), (USER.pw_uid, GROUP.gr_gid)]),
        ({"tap_owner": "daemon"}, [(0,), (USER.pw_uid,)], [(STRANGER,), (2, GROUP.gr_gid)]),
        ({"tap_owner": str(USER.pw_uid)}, [(USER.pw_uid,)], [(STRANGER,)]),
        ({"tap_group": "games"}, [(0,), (STRANGER, GROUP.gr_gid)], [(STRANGER,), (USER.pw_uid,)]),
        (
            {"tap_owner": "daemon", "tap_group": "games"},
            [(0,), (USER.pw_uid, GROUP.gr_gid)],
            [(USER.pw_uid,), (STRANGER, GROUP.gr_gid)],
        ),
        ({"tap_owner": "", "tap_group": ""}, [(STRANGER,)], []),
    ],
)
def test_who_may_open_it(
    inside: Any, options: dict[str, str], may: Any, may_not: Any, multi_queue: bool
) -> None:
    vif = vifs.tap_vif()
    with vifs.configured("tap", multi_queue=multi_queue, **options):
        plug(vif)
        assert steps_left(vif) == []
        for who in may:
            assert opens(vif.vif_name, *who, multi_queue=multi_queue) == 0, who
        for who in may_not:
            assert opens(vif.vif_name, *who, multi_queue=multi_queue) == EPERM, who
        [descriptor] = verbs.open_guest_end(vif)
        try:
            refusal = EPERM if multi_queue and may_not else 0 if multi_queue else EBUSY
            found = opens(vif.vif_name, STRANGER, multi_queue=multi_queue)
            assert found in ({EPERM, EBUSY} if not multi_queue else {refusal})
        finally:
            os.close(descriptor)
        unplug(vif)
    assert inside.links() == {}


def access(name: str) -> tuple[Any, Any]:
    tap = witness.link(name)
    assert tap is not None
    data = tap["linkinfo"]["info_data"]
    return data.get("user"), data.get("group")


def test_a_tap_of_earlier_versions_gets_an_owner(inside: Any) -> None:
    vif = vifs.tap_vif()
    with vifs.configured("tap", tap_owner=""):
        plug(vif)
    witness.ip("link add br9 type bridge")
    witness.ip(f"link set {vif.vif_name} master br9")
    index = inside.links()[vif.vif_name]["ifindex"]
    [step] = steps_left(vif)
    assert step.args["attributes"] == {"owner": 0}
    plug(vif)
    assert steps_left(vif) == []
    after = inside.links()[vif.vif_name]
    assert (after["ifindex"], after["master"]) == (index, "br9")
    assert opens(vif.vif_name, STRANGER) == EPERM


def test_drift_and_what_the_kernel_cannot_take_away(inside: Any) -> None:
    vif = vifs.tap_vif()
    plug(vif)
    with vifs.configured("tap", tap_owner="daemon"):
        assert [step.args["attributes"] for step in steps_left(vif)] == [{"owner": USER.pw_uid}]
        plug(vif)
        assert access(vif.vif_name) == ("daemon", None)
    with vifs.configured("tap", tap_group="games"):
        assert [step.kind for step in steps_left(vif)] == ["delete_links", "create_link"]
        plug(vif)
        assert steps_left(vif) == []
        assert opens(vif.vif_name, STRANGER, GROUP.gr_gid) == 0


@pytest.mark.usefixtures("kernel_refuses")
def test_made_anew_it_keeps_its_owner(inside: Any) -> None:
    """The tap must be made anew, the new one cannot be, and the old one comes back."""
    vif = vifs.tap_vif()
    with vifs.configured("tap", tap_owner="daemon"):
        plug(vif)
    before = witness.snapshot()
    with (
        vifs.configured("tap", tap_owner="daemon", multi_queue=True),
        refused("could not create tap"),
    ):
        plug(vifs.tap_vif(network=vifs.network(mtu=65535)))
    assert access(vif.vif_name) == ("daemon", None)
    assert witness.differences(before, witness.snapshot()) == []


def test_one_that_is_open_is_left_and_warned_of(inside: Any) -> None:
    vif = vifs.tap_vif()
    with vifs.configured("tap", tap_owner=""):
        plug(vif)
    with guest.guests((vif.vif_name, vif.address)):
        assert steps_left(vif) == []
        plug(vif)
        assert access(vif.vif_name) == (None, None)
        [seen] = os_vif.examine([(vif, vifs.instance())])
        [caution] = seen.warnings
        assert (caution.device, "has it open" in caution.words) == (vif.vif_name, True)
    plug(vif)
    assert opens(vif.vif_name, STRANGER) == EPERM


def test_several_queues_in_use_are_closed_to_strangers(inside: Any) -> None:
    vif = vifs.tap_vif()
    with vifs.configured("tap", multi_queue=True, tap_owner=""):
        plug(vif)
        [descriptor] = verbs.open_guest_end(vif)
    try:
        with vifs.configured("tap", multi_queue=True):
            assert opens(vif.vif_name, STRANGER, multi_queue=True) == 0
            plug(vif)
            assert opens(vif.vif_name, STRANGER, multi_queue=True) == EPERM
            os.write(descriptor, bytes(10) + b"\xff" * 12 + bytes(50))
    finally:
        os.close(descriptor)


def test_a_strangers_kind_of_tap_stays_as_it_was_made(inside: Any) -> None:
    """Opening a tap to give it away must not change its flags under the hypervisor."""
    name = vifs.tap_name(1)
    witness.ip(f"tuntap add {name} mode tap multi_queue")
    vif = vifs.tap_vif()
    with vifs.configured("tap", multi_queue=True):
        plug(vif)
    tap = witness.link(name)
    assert tap is not None
    data = tap["linkinfo"]["info_data"]
    assert (data["vnet_hdr"], data["pi"], data["user"]) == (False, False, "root")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tap_owner": "nosuchuser"}, "tap_owner: 'nosuchuser' .*name or number of a user"),
        ({"tap_group": "nosuchgroup"}, "tap_group: 'nosuchgroup' .*name or number of a group"),
        ({"tap_owner": "4294967295"}, "tap_owner: '4294967295' .*name or number of a user"),
        ({"tap_owner": "a b"}, "tap_owner: 'a b' .*name or number of a user"),
    ],
)
def test_unknown_names_touch_nothing(inside: Any, options: dict[str, str], words: str) -> None:
    with vifs.configured("tap", **options), refused(words):
        plug(vifs.tap_vif())


def test_on_a_linux_bridge(inside: Any) -> None:
    vif = vifs.bridge_vif()
    with vifs.configured("linux_bridge", create_tap=True, tap_owner="daemon"):
        plug(vif)
        assert steps_left(vif) == []
    assert access(vif.vif_name) == ("daemon", None)
    with vifs.configured("linux_bridge", create_tap=True):
        plug(vif)
    assert access(vif.vif_name) == ("root", None)


def test_on_open_vswitch(switch: Any) -> None:
    vif = vifs_ovs.plain()
    with vifs.configured("ovs", tap_group="games"):
        plug(vif)
        assert steps_left(vif) == []
        assert access(vif.vif_name) == (None, "games")
        assert opens(vif.vif_name, STRANGER) == EPERM


# --- macvtaps -------------------------------------------------------------------------------------


_USED = itertools.count()


@pytest.fixture
def card(inside: Any, worker_id: str) -> Any:
    """Return a host with a card, and numbers for its devices that no other test's have.

    /dev is one for all network namespaces, and has one node for macvtaps of one number.
    """
    worker = int(worker_id.removeprefix("gw")) if worker_id != "master" else 0
    pairs = 40 * (worker + 1) + next(_USED) % 40
    witness.ip("\n".join(f"link add a{n} type veth peer name b{n}" for n in range(pairs)))
    witness.ip(f"{LOWER}\nlink set eth0 up")
    return inside


def node_of(host: Any, vif: Any) -> str:
    return f"/dev/tap{host.links()[vif.vif_name]['ifindex']}"


def whose(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_uid, found.st_gid, found.st_mode & 0o777


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, (0, 0, 0o600)),
        ({"tap_owner": "daemon"}, (USER.pw_uid, 0, 0o600)),
        ({"tap_group": "games"}, (0, GROUP.gr_gid, 0o660)),
        ({"tap_owner": "daemon", "tap_group": "games"}, (USER.pw_uid, GROUP.gr_gid, 0o660)),
    ],
)
def test_whose_a_macvtaps_device_is(
    card: Any, options: dict[str, str], wanted: tuple[int, int, int]
) -> None:
    vif = vifs.direct_vif()
    with vifs.configured("macvtap", **options):
        plug(vif)
        path = node_of(card, vif)
        assert whose(path) == wanted
        assert steps_left(vif) == []
        if options:
            os.chown(path, 77, -1)
            os.chmod(path, 0o640)
            assert [step.kind for step in steps_left(vif)] == ["give_node"]
            plug(vif)
            assert whose(path)[1:] == wanted[1:]
            assert whose(path)[0] == (wanted[0] or 77), "without tap_owner it stays"
    unplug(vif)


def test_a_macvtaps_device_for_its_user_alone(card: Any) -> None:
    vif = vifs.direct_vif()
    with vifs.configured("macvtap", tap_owner="daemon"):
        plug(vif)
    path = node_of(card, vif)

    def can_open(uid: int) -> bool:
        child = os.fork()
        if child == 0:
            try:
                os.setgroups([])
                os.setgid(STRANGER)
                os.setuid(uid)
                os.close(os.open(path, os.O_RDWR))
            except OSError:
                os._exit(1)
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    assert can_open(USER.pw_uid)
    assert not can_open(STRANGER)


def test_a_device_that_cannot_be_given_away_takes_the_macvtap_back(
    card: Any, monkeypatch: pytest.MonkeyPatch
) -> None:

    def chown(*_arguments: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", chown)
    with (
        vifs.configured("macvtap", tap_owner="daemon"),
        refused(r"could not give the character device .*/dev/tap\d+: Operation not permitted"),
    ):
        plug(vifs.direct_vif())


def test_what_is_undone_gives_the_device_back(card: Any) -> None:
    vif = vifs.direct_vif()
    plug(vif)
    with vifs.configured("macvtap", tap_owner="daemon"):
        [step] = steps_left(vif)
        undo = Step("give_node", {"name": vif.vif_name, "user": 0, "group": 0, "mode": 0o600})
        bad = Step("set_link", {"name": "nowhere", "attributes": {"up": True}})
        [report] = runner.run([[(step, undo), (bad, None)]], together=False)
    assert report["error"] is not None
    assert whose(node_of(card, vif)) == (0, 0, 0o600)


def test_unknown_names_touch_no_card(card: Any) -> None:
    with vifs.configured("macvtap", tap_owner="nosuchuser"), refused("tap_owner: 'nosuchuser'"):
        plug(vifs.direct_vif())


@pytest.mark.slow
def test_killed_while_a_device_is_given_away(card: Any) -> None:
    changes = (killing.Change(os, "chown"), killing.Change(os, "chmod"))
    vif = vifs.direct_vif()
    with vifs.configured("macvtap", tap_owner="daemon", tap_group="games"):
        number = 0
        while killing.killed(lambda: plug(vif), number, changes):
            plug(vif)
            assert steps_left(vif) == [], number
            assert whose(node_of(card, vif)) == (USER.pw_uid, GROUP.gr_gid, 0o660)
            unplug(vif)
            assert vif.vif_name not in card.links()
            number += 1
        assert number > 4


@pytest.mark.slow
def test_killed_while_a_tap_changes_hands(inside: Any) -> None:
    number, going, vif = 0, True, vifs.tap_vif()
    while going:
        with vifs.configured("tap", tap_owner=""):
            plug(vif)
        with vifs.configured("tap", tap_owner="daemon", tap_group="games"):
            going = killing.killed(lambda: plug(vif), number)
            plug(vif)
            assert steps_left(vif) == [], number
            assert access(vif.vif_name) == ("daemon", "games")
            unplug(vif)
        number += 1
    assert number > 3


def test_a_caller_without_privilege(inside: Any) -> None:
    vif = vifs.tap_vif()

    def act() -> None:
        plug(vif)
        assert steps_left(vif) == []

    as_nobody(act, section=OTHERS)
    assert access(vif.vif_name) == ("root", None)
    with vifs.configured("tap", tap_owner="daemon"):
        as_nobody(act, section=OTHERS)
    assert access(vif.vif_name) == ("daemon", None)
