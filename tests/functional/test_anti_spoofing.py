# SPDX-License-Identifier: Apache-2.0
"""What a guest that is kept to its own addresses gets through, and what it does not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception, verbs
from tests import spoofed, vifs, witness
from tests.conftest import PrivateHost
from tests.functional.calls import plug, refused, steps_left, unplug
from tests.functional.killing import killed
from tests.kernel_guest import kernel_guest
from tests.spoofed import (
    ALLOWED,
    ANY_MODE,
    BAD,
    GOOD,
    IP4,
    IP6,
    MAC,
    MAKE,
    OTHER,
    PEER,
    TABLE,
    TAP,
    VRRP,
    counted,
    creating,
    kept,
    network,
    pair,
    tables,
    through,
)

pytestmark = pytest.mark.functional

# --- what gets through ----------------------------------------------------------------------------


@pytest.fixture(params=MAKE)
def plugin(request: Any, inside: PrivateHost) -> Iterator[str]:
    spoofed.card()
    with creating():
        yield request.param


def test_what_passes_with_ip(inside: PrivateHost) -> None:
    with kept("linux_bridge", allowed=ALLOWED), pair() as (sender, receiver):
        before = counted()
        assert through({**GOOD, **BAD}, sender, receiver) == GOOD.keys()
        after = counted()
        assert sum(after.values()) - sum(before.values()) == len(BAD)
        assert all(after.values()), "each reason was one"


def test_what_passes_with_mac(inside: PrivateHost) -> None:
    free = {**GOOD, **{name: it for name, it in BAD.items() if name not in ANY_MODE}}
    with kept("linux_bridge", "mac", VRRP), pair() as (sender, receiver):
        passed = through({**GOOD, **BAD}, sender, receiver)
    # Where an option of this one would be is not looked for.
    assert passed == free.keys() - {"NA behind another header, for another"}


def test_all_passes_without(inside: PrivateHost) -> None:
    """Or the tests above would show nothing."""
    with pair() as (sender, receiver):
        assert through({**GOOD, **BAD}, sender, receiver) == {**GOOD, **BAD}.keys()


def test_what_passes_of_a_macvtap(inside: PrivateHost) -> None:
    """What is sent there has its tags still, so nothing with one is known to be the guest's."""
    spoofed.card()
    with kept("macvtap", allowed=ALLOWED), spoofed.on_macvtap() as both:
        assert through({**GOOD, **BAD}, *both) == GOOD.keys() - {"in a VLAN"}


def test_guests_with_kernels_of_their_own(inside: PrivateHost) -> None:
    one, two = vifs.bridge_vif(network=network()), vifs.bridge_vif(2)
    with creating(), kept("linux_bridge"), contextlib.ExitStack() as stack:
        plug(one)
        plug(two)
        ends = [verbs.open_guest_end(vif)[0] for vif in (one, two)]
        far = stack.enter_context(
            kernel_guest(ends[1], PEER, "192.0.2.6/24", "192.0.3.6/24", "2001:db8::6/64")
        )
        here = stack.enter_context(kernel_guest(ends[0], MAC))
        # With duplicate address detection, and from outside first: the neighbour is not known.
        here.host.run("ip", "addr", "add", f"{IP4}/24", "dev", "eth0")
        here.host.run("ip", "addr", "add", f"{IP6}/64", "dev", "eth0")
        assert far.reaches(IP4)
        assert far.reaches(IP6)
        assert here.reaches("192.0.2.6")
        assert here.reaches("2001:db8::6")
        assert far.hears("224.0.0.251", here.host, "eth0")
        assert far.hears("ff02::fb", here.host, "eth0")
        here.host.run("ip", "addr", "add", "192.0.3.5/24", "dev", "eth0")
        assert not here.reaches("192.0.3.6", 1)
        assert counted()["ARP of another IP address"]
        assert far.reaches(IP4), "it still has what is its own"
        here.host.run("ip", "link", "set", "eth0", "address", OTHER)
        assert not here.reaches("192.0.2.6", 1)
        assert counted()["another MAC address"]


# --- set, seen and taken back ---------------------------------------------------------------------

CHANGES = (
    "delete table netdev {table}",
    "flush chain netdev {table} ip4",
    "insert rule netdev {table} from_guest accept",
    "add rule netdev {table} arp_from ip saddr 192.0.2.1 accept",
    "delete chain netdev {table} from_guest",
    "add chain netdev {table} more; add rule netdev {table} more counter",
)
"""What a stranger does with nft."""


def test_set_seen_and_taken_back(plugin: str) -> None:
    vif = MAKE[plugin]()
    plug(vif)
    before = witness.snapshot()
    with kept(plugin, allowed=ALLOWED):
        [step] = [it for it in steps_left(vif) if it.kind == "set_guest_filter"]
        assert step.args["device"] == TAP
        plug(vif)
        listed = witness.run("nft", "list", "ruleset")
        assert f'hook {"egress" if plugin == "macvtap" else "ingress"} device "{TAP}"' in listed
        assert "ip saddr 192.0.2.5 accept" in listed
        for change in CHANGES:
            assert steps_left(vif) == []
            witness.run("nft", change.format(table=TABLE))
            assert steps_left(vif) != [], change
            plug(vif)
            assert witness.run("nft", "list", "ruleset") == listed, change
    with kept(plugin, "mac"):
        assert steps_left(vif) != []
        plug(vif)
        assert steps_left(vif) == []
        assert "ip saddr" not in witness.run("nft", "list", "ruleset")
    assert steps_left(vif) != []
    plug(vif)
    assert (steps_left(vif), tables()) == ([], [])
    assert witness.differences(before, witness.snapshot()) == []


@pytest.mark.parametrize("still", [True, False])
def test_unplugged(plugin: str, still: bool) -> None:
    """Whether or not it is still said then: the device tells."""
    vif = MAKE[plugin]()
    with kept(plugin):
        plug(vif)
        if still:
            unplug(vif)
    unplug(vif)
    assert (tables(), witness.link(TAP)) == ([], None)


def test_who_has_none_does_not_pay(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from os_vif.system import nf_tables

    monkeypatch.setattr(nf_tables, "channel", None)
    vif = MAKE[plugin]()
    plug(vif)
    assert steps_left(vif) == []
    unplug(vif)


def test_by_its_marks_alone(plugin: str) -> None:
    vif = MAKE[plugin]()
    with kept(plugin):
        plug(vif)
        assert [it.mark.vif_id for it in os_vif.list_vifs()] == [vif.id]
        witness.ip(f"link delete {TAP}")
        assert [it.mark.vif_id for it in os_vif.list_vifs()] == [vif.id], "its table is left"
    os_vif.gc([])
    assert tables() == []


@pytest.mark.parametrize("plugin", ["linux_bridge", "macvtap"], indirect=True)
def test_killed(plugin: str) -> None:
    vif, number, was_killed = MAKE[plugin](), 0, True
    while was_killed:
        with kept(plugin):
            was_killed = killed(lambda: plug(vif), number)
            plug(vif)
            assert (tables(), steps_left(vif)) == ([TABLE], []), number
            was_killed |= killed(lambda: unplug(vif), number)
            unplug(vif)
            assert (os_vif.list_vifs(), tables()) == ([], []), number
            plug(vif)
        killed(lambda: plug(vif), number)
        plug(vif)
        assert (tables(), steps_left(vif)) == ([], []), number
        unplug(vif)
        number += 1
    assert number >= 3


def test_of_many_all_go_at_once(inside: PrivateHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel waits for each change that takes one away."""
    from os_vif.system import nf_tables

    commit, counted = nf_tables.commit, []
    many = [(vifs.tap_vif(number), None) for number in range(1, 6)]
    with vifs.configured("tap", anti_spoofing="mac"):
        assert [str(it.error) for it in os_vif.plug_many(many) if it.error] == []
        assert len(tables()) == len(many)
        monkeypatch.setattr(nf_tables, "commit", lambda it: counted.append(it) or commit(it))
        assert [str(it.error) for it in os_vif.unplug_many(many) if it.error] == []
    assert (tables(), len(counted)) == ([], 1)


def test_a_tap_that_is_made_anew(plugin: str) -> None:
    vif = MAKE[plugin]()
    with kept(plugin):
        plug(vif)
        witness.ip(f"link delete {TAP}")
        assert steps_left(vif) != []
        plug(vif)
        assert (steps_left(vif), tables()) == ([], [TABLE])


def test_another_place(inside: PrivateHost) -> None:
    """One VIF is in one place: what it had at the other tap goes with it."""
    with creating(), kept("linux_bridge"), kept("tap"):
        plug(MAKE["linux_bridge"]())
        plug(vifs.tap_vif(vif_name="elsewhere", network=network("")))
        assert 'device "elsewhere"' in witness.run("nft", "list", "ruleset")
        assert tables() == [TABLE]


# --- refused --------------------------------------------------------------------------------------


def test_a_strangers_table(plugin: str) -> None:
    vif = MAKE[plugin]()
    plug(vif)
    witness.run("nft", f"add table netdev {TABLE}")
    with kept(plugin), refused("somebody else has made it"):
        plug(vif)
    unplug(vif)
    assert tables() == [TABLE]


def test_what_fails_is_taken_back(plugin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from os_vif.system import nf_tables

    vif = MAKE[plugin]()

    def fails(*_arguments: Any) -> None:
        raise OSError(95, "no such thing in this kernel")

    with kept(plugin), monkeypatch.context() as patched:
        patched.setattr(nf_tables, "commit", fails)
        with refused("no such thing in this kernel"):
            plug(vif)
    assert witness.link(TAP) is None


def test_what_was_there_comes_back(inside: PrivateHost, monkeypatch: pytest.MonkeyPatch) -> None:
    from os_vif.host.bridge_ports.system import SYSTEM

    def fails(_args: Any) -> None:
        raise OSError(5, "no such port")

    vif = MAKE["linux_bridge"]()
    with creating(), kept("linux_bridge", allowed=ALLOWED):
        plug(vif)
        before = witness.run("nft", "list", "ruleset")
        monkeypatch.setitem(SYSTEM.run, "set_port_of_bridge", fails)  # type: ignore[arg-type]
        other = vifs.configured("linux_bridge", port_settings={"isolated": True})
        with kept("linux_bridge", "mac"), other, refused("no such port"):
            plug(vif)
        assert witness.run("nft", "list", "ruleset") == before


def test_a_hypervisors_tap(inside: PrivateHost) -> None:
    with kept("linux_bridge"), refused("at a tap that is made here"):
        plug(vifs.bridge_vif(network=network()))


@pytest.mark.parametrize(
    ("mode", "allowed", "words"),
    [
        ("ip", "", "the guest's addresses"),
        ("ip", "0.0.0.0/0", "less than all addresses"),
        ("ip", "192.0.2.1/24", "an IP address, a network"),
        ("ip", "224.0.0.1", "that a guest can send from"),
        ("ip", "::", "that a guest can send from"),
        ("ip", "fe80::1%eth0", "that a guest can send from"),
        ("ip", "01:00:5e:00:00:01", "unicast"),
        ("ip", "nonsense", "an IP address, a network"),
        ("mac", "192.0.2.1", "MAC addresses alone"),
        ("none", "192.0.2.1", "all are allowed"),
    ],
)
def test_bad_input(inside: PrivateHost, mode: str, allowed: str, words: str) -> None:
    before = witness.snapshot()
    with kept("tap", mode, allowed), pytest.raises(exception.ExceptionBase, match=words):
        plug(vifs.tap_vif())
    assert witness.differences(before, witness.snapshot()) == []
