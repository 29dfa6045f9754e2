# SPDX-License-Identifier: Apache-2.0
"""A fast path's port that is there otherwise than described: what is said, and what is planned."""

from __future__ import annotations

import dataclasses

import pytest

from os_vif import exception
from os_vif.cli.drift import drifts_of
from os_vif.engine import planner
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.questions import LINKS, LONGEST_ALIAS
from os_vif.host.openvswitch.questions import PortRow
from os_vif.host.openvswitch.resources import OvsPort
from os_vif.host.vhost_user.questions import SOCKETS, BackEndState, SocketState, noted_socket
from tests.unit.test_fast_path import (
    DEVICE,
    MADE,
    NAME,
    OWNER,
    PATH,
    PROCESS,
    RUNS,
    TAP,
    device,
    host,
    kinds,
    plug,
    tap,
)


@pytest.mark.parametrize(
    ("state", "queues", "why"),
    [
        (None, 0, "it does not run"),
        (BackEndState("", listens=False, ended=True), 0, "it was killed"),
        (dataclasses.replace(RUNS, path="/run/old"), 1, "it listens at /run/old"),
        (BackEndState("/run/old", listens=False), 1, "it connects to /run/old"),
        (BackEndState("", listens=False, forwards=False), 1, "it hangs"),
        (RUNS, 0, "it has lost its tap"),
        (dataclasses.replace(RUNS, forwards=False), 1, "it hangs, or its socket is gone"),
        (dataclasses.replace(RUNS, handed=False), 1, "its socket is not its user's"),
    ],
)
def test_what_is_wrong_with_a_process_is_said(
    state: BackEndState | None, queues: int, why: str
) -> None:
    todo = plug(host(tap(queues=queues), back_ends={NAME: state}), TAP, PROCESS)
    [drift] = drifts_of(todo)
    assert drift.words == f"its back end does not run as it should: {why}"
    assert drift.attribute == "back end"


def test_a_process_whose_place_another_took_is_left_alone() -> None:
    """It may have its guest still, and the other one is not ours to move."""
    there = host(
        tap(queues=1),
        back_ends={NAME: dataclasses.replace(RUNS, taken=True)},
        sockets={PATH: SocketState("live")},
    )
    with pytest.raises(exception.ResourceConflict, match=f"{PATH} is in the way: another process"):
        plug(there, TAP, PROCESS)
    elsewhere = dataclasses.replace(PROCESS, path="/run/new")
    there[SOCKETS]["/run/new"] = SocketState("nothing")
    assert kinds(plug(there, TAP, elsewhere)) == ["stop_back_end", "start_back_end"]


@pytest.mark.parametrize(
    ("word", "made_anew"),
    [
        (f"connects={PATH}", False),
        ("", False),
        (f"listens={PATH}", True),
        ("connects=/run/old", True),
    ],
)
def test_a_device_of_the_fast_paths_tells_its_socket(word: str, made_anew: bool) -> None:
    link = device(f"{MADE} {word}".rstrip())
    anew = ["del_fp_device", "add_fp_device", "set_link"]
    assert kinds(plug(host(link), DEVICE)) == (anew if made_anew else [])
    port = OvsPort(name=NAME, bridge="br-int", external_ids={"iface-id": OWNER.vif_id})
    ids = {"iface-id": OWNER.vif_id, "os-vif": str(OWNER)}
    row = PortRow(NAME, "br-int", external_ids=ids, ofport=3)
    there = host(dataclasses.replace(link), ovs_ports={NAME: row})
    there[LINKS][NAME].attributes["promiscuity"] = 1  # type: ignore[union-attr]
    todo = planner.plan_plug(Topology(OWNER, (DEVICE, port)), there).steps
    assert kinds(todo) == (["del_port", *anew, "add_port"] if made_anew else [])


def test_a_mark_that_leaves_no_room_tells_no_socket() -> None:
    long = "x" * 64
    wanted = dataclasses.replace(DEVICE, path="/" + "p" * 106)
    for words, told in ((("a", "b"), True), ((long, long), False)):
        mark = Mark(words[0], "vhostuser_fp", words[1])
        there = host(sockets={})
        made = planner.plan_plug(Topology(mark, (wanted,)), there).steps[-1]
        alias = made.args["attributes"]["alias"]
        assert len(alias) <= LONGEST_ALIAS
        assert (noted_socket(alias) is not None) == told
        assert planner.plan_plug(Topology(mark, (wanted,)), there).steps == []


def test_a_path_with_blanks_is_not_told() -> None:
    wanted = dataclasses.replace(DEVICE, path="/run/a made-by=x")
    there = host(sockets={})
    made = planner.plan_plug(Topology(OWNER, (wanted,)), there).steps[-1]
    assert made.args["attributes"]["alias"] == MADE
