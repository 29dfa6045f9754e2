# SPDX-License-Identifier: Apache-2.0
"""What a VIF has beside what is described: what counts, what does not, and what becomes of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from os_vif import exception
from os_vif.engine import dispatch, planner, steps
from os_vif.engine.observed import Host, by_question
from os_vif.engine.topology import Mark, Resource, Topology
from os_vif.host.forwarding.questions import FORWARDING, RULES_OF, rules_comment
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.links.questions import LINKS, TAGGED, Link
from os_vif.host.links.questions.tags import id_of, is_tagged, tag
from os_vif.host.links.resources import Bridge, Tap
from os_vif.host.openvswitch.questions import BRIDGES, MARK_KEY, MARKED, PORTS, BridgeRow, PortRow
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from tests import vifs

OWNER = Mark(vifs.vif_id(1), "tap", "guest")
OTHER = Mark(vifs.vif_id(2), "tap", "guest")
TAP = Tap(name="tap-new", owner="")
IFACE = {"iface-id": vifs.vif_id(1)}


def device(name: str, mark: Mark | None = OWNER, **attributes: Any) -> Link:
    altnames = (tag(mark.vif_id, 1),) if mark else ()
    shown = {**TAP.attributes(), "multi_queue": False, "master": None}
    return Link(name, 7, "tap", str(mark or ""), {**shown, **attributes}, altnames)


def host(*links: Link, tagged: tuple[str, ...] | None = None) -> Host:
    found = tuple(link.name for link in links) if tagged is None else tagged
    named: dict[str, Link | None] = {"tap-new": None}
    named |= {link.name: link for link in links}
    return Host({LINKS: named, TAGGED: {OWNER.vif_id: found}})


def topology(*resources: Resource, awaited: tuple[str, ...] = ()) -> Topology:
    return Topology(OWNER, resources or (TAP,), awaited)


def plug(seen: Host, wanted: Topology | None = None) -> list[str]:
    plan = planner.plan_plug(wanted or topology(), seen, removing=dispatch.removing)
    return [steps.describe(step).partition(":")[0] for step in plan.steps]


def unplug(seen: Host, wanted: Topology | None = None) -> list[str]:
    plan = planner.plan_unplug(wanted or topology(), seen, removing=dispatch.removing)
    return [steps.describe(step) for step in plan.steps]


# --- tags -----------------------------------------------------------------------------------------


def test_a_tag_has_room_for_any_id() -> None:
    assert len(tag("a" * 64, 99)) <= 127, "ALTIFNAMSIZ"
    assert id_of(str(OWNER)) == id_of(f"{OWNER} note") == OWNER.vif_id
    assert id_of("os-vif shared") == id_of("") == id_of(None) == ""
    assert is_tagged(device("x"), OWNER.vif_id)
    assert not is_tagged(device("x"), OWNER.vif_id[:-1])


def test_one_question_for_a_vif_whatever_the_host_holds() -> None:
    assert by_question(planner.questions(topology()))[TAGGED] == {OWNER.vif_id}


def test_what_is_found_needs_nothing() -> None:
    assert plug(host(device("tap-new"))) == []


def test_what_is_not_found_yet_will_be() -> None:
    old = dataclasses.replace(device("tap-new"), altnames=())
    assert plug(host(old, tagged=())) == ["have tap-new found by the VIF's id, whatever its name"]
    found = dataclasses.replace(old, alias="")
    known = topology(dataclasses.replace(TAP, known_macs=frozenset({"52:54:00:00:00:01"})))
    found.attributes["mac"] = "52:54:00:00:00:01"
    assert plug(host(found, tagged=()), known) == ["set tap-new"], "the mark brings it along"


def test_a_kernel_without_alternative_names_is_asked_for_none() -> None:
    seen = host(dataclasses.replace(device("tap-new"), altnames=()))
    del seen[TAGGED][OWNER.vif_id]
    assert plug(seen) == []


# --- devices --------------------------------------------------------------------------------------


def test_it_goes_first_and_comes_back_should_the_rest_fail() -> None:
    seen = host(device("tap-old"))
    plan = planner.plan_plug(topology(), seen, removing=dispatch.removing)
    assert [step.kind for step in plan.steps] == ["delete_links", "create_link"]
    assert plan.undo[0] is not None
    assert plan.undo[0].args["name"] == "tap-old"


def test_all_of_it_goes_with_the_rest_in_one_request() -> None:
    assert unplug(host(device("tap-old"), device("tap-new"))) == ["delete tap-new, tap-old"]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (device("tap-new"), topology()),
        (device("tap-old", OTHER), topology()),
        (device("tap-old", None), topology()),
        (device("tap-old"), topology(TAP, awaited=("tap-old",))),
        (device("tap-old"), topology(TAP, Bridge(name="tap-old", create=False))),
    ],
    ids=["described", "another's since", "nobody's", "the hypervisor's", "spoken of"],
)
def test_what_is_no_stray(found: Link, wanted: Topology) -> None:
    parts = planner.strays_of(wanted, host(found))
    assert parts is None


def test_what_a_guest_runs_on_stays_when_plugging() -> None:
    with pytest.raises(exception.ResourceConflict, match=r"tap tap-old .* has it open"):
        plug(host(device("tap-old", queues=1)))
    assert unplug(host(device("tap-old", queues=1))) == ["delete tap-old"]


def test_who_was_something_else_is_looked_for_everywhere() -> None:
    assert planner.former_marks(topology(), host(device("tap-new"))) == set()
    unknown = dataclasses.replace(OWNER, instance="")
    assert planner.former_marks(topology(), host(device("tap-new", unknown))) == set()
    former = dataclasses.replace(OWNER, plugin="ovs")
    found = planner.former_marks(topology(), host(device("tap-new", former), device("x", OTHER)))
    assert found == {former}
    asked = by_question(planner.questions(topology(), found))
    assert asked[MARKED] == {str(OWNER), str(former)}
    assert asked[RULES_OF] == {OWNER.vif_id}


# --- rules ----------------------------------------------------------------------------------------


def test_rules_for_another_bridge_are_seen_in_the_same_chain() -> None:
    rules = ForwardRules(bridge="br1", ipv6=False, rules=(("-i", "br1", "-j", "ACCEPT"),))
    seen = Host(
        {
            FORWARDING: {
                (rules_comment(OWNER, "br1"), False): rules.rules,
                (rules_comment(OWNER, "br0"), False): (("-i", "br0", "-j", "ACCEPT"),),
                (rules_comment(OTHER, "br0"), False): (("-i", "br0", "-j", "ACCEPT"),),
                (rules_comment(OWNER, "br2"), False): (),
            }
        }
    )
    wanted = topology(rules)
    gone = f'set iptables FORWARD rules "{rules_comment(OWNER, "br0")}"'
    assert [words.partition(":")[0] for words in unplug(seen, topology(rules))][1:] == [gone]
    seen[FORWARDING][rules_comment(OWNER, "br0"), False] = (("-i", "br0", "-j", "ACCEPT"),)
    seen[FORWARDING][rules_comment(OWNER, "br1"), False] = rules.rules
    assert plug(seen, wanted) == [gone]


# --- Open vSwitch ---------------------------------------------------------------------------------


def test_a_port_that_was_on_a_bridge_that_goes_is_out_before_it_is_added() -> None:
    ids = {**IFACE, MARK_KEY: str(OWNER)}
    seen = host()
    seen[BRIDGES].update({"br": BridgeRow("br", ""), "pb": BridgeRow("pb", "", "u", str(OWNER))})
    seen[PORTS]["p"] = PortRow("p", "pb", "u", external_ids=dict(ids), type="dpdkvhostuser")
    seen[PORTS]["q"] = PortRow("q", "br", "u", external_ids={MARK_KEY: str(OTHER)})
    port = OvsPort(name="p", bridge="br", type="dpdkvhostuser", external_ids=IFACE)
    assert plug(seen, topology(OvsBridge(name="br"), port)) == [
        "delete port p from pb",
        "delete Open vSwitch bridge pb",
        "add port p to br",
    ]


def test_a_device_under_another_s_port_is_named() -> None:
    seen = host(device("tap-new"))
    seen[PORTS]["tap-new"] = PortRow("tap-new", "br9", "u")
    port = OvsPort(name="tap-new", bridge="br", external_ids=IFACE)
    with pytest.raises(exception.HeldByAnother, match="a stranger's, on bridge br9; delete that"):
        unplug(seen, topology(TAP, port))


def test_a_port_s_device_leaves_its_linux_bridge() -> None:
    port = OvsPort(name="tap-new", bridge="br", external_ids=IFACE)
    seen = host(device("tap-new", master="br0"))
    seen[BRIDGES]["br"] = BridgeRow("br", "")
    assert plug(seen, topology(TAP, port))[0] == "set tap-new"
    seen = host(device("tap-new", master="ovs-system"))
    seen[BRIDGES]["br"] = BridgeRow("br", "")
    assert plug(seen, topology(TAP, port)) == ["add port tap-new to br"]


def test_a_port_without_ids_is_known_by_its_socket() -> None:
    options = {"vhost-server-path": "/run/guest"}
    port = OvsPort(name="vhu-x", bridge="br", external_ids=IFACE, options=options)
    row = PortRow("vhu-x", "br", "u", type="dpdkvhostuserclient", options=options)
    seen = host()
    seen[LINKS]["vhu-x"] = None
    seen[PORTS]["vhu-x"] = row
    with pytest.raises(exception.HeldByAnother, match="its external_ids tell of nobody"):
        unplug(seen, topology(port))
    seen[PORTS]["vhu-x"] = dataclasses.replace(row, options={"vhost-server-path": "/run/other"})
    assert unplug(seen, topology(port)) == []
    seen[PORTS]["vhu-x"] = dataclasses.replace(row, external_ids={"iface-id": vifs.NETWORK_ID})
    assert unplug(seen, topology(port)) == []
