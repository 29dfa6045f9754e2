# SPDX-License-Identifier: Apache-2.0
"""Pictures: what is attached to what, in characters and in SVG."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif.drawing import layout, scene, svg, text
from os_vif.drawing.scene import Fault, Guest
from os_vif.engine.step import HOST
from os_vif.engine.topology import Mark, Topology
from os_vif.host.forwarding.resources import ForwardRules
from os_vif.host.functions.resources import Representor
from os_vif.host.links.resources import Bridge, Tap, Uplink, Veth, Vlan
from os_vif.host.openvswitch.resources import OvsBridge, OvsPort
from os_vif.host.routes.resources import HostRoute, ProxyNeighbour

SVG = "{http://www.w3.org/2000/svg}"


def bridged(number, bridge="br0", *lower):
    mark = Mark(f"{number:08x}-ca89-4ee0-a8be-6db1409b69ea", "linux_bridge")
    tap = Tap(name=f"tap{number}", mtu=1500, bridge=bridge)
    return Topology(mark, (*lower, Bridge(name=bridge), tap)), Guest(f"web{number}")


VLAN = (
    Vlan(name="vlan100", link="eth1", vlan_id=100),
    Uplink(name="vlan100", bridge="br0", mtu=1500),
)


def test_two_guests_on_one_bridge():
    drawn = text.plain(text.draw(scene.scene_of([bridged(1), bridged(2)])))
    assert (
        drawn
        == """\
┌──────────┐   ┌──────────┐
│   web1   │   │   web2   │
└─────┬────┘   └─────┬────┘
      │              │
┌─────┴────┐   ┌─────┴────┐
│   tap1   │   │   tap2   │
│   tap    │   │   tap    │
│ MTU 1500 │   │ MTU 1500 │
└─────┬────┘   └─────┬────┘
      │              │
┌─────┴──────────────┴────┐
│           br0           │
│         bridge          │
└─────────────────────────┘"""
    )


def test_ascii_alone():
    drawn = text.plain(text.draw(scene.scene_of([bridged(1)]), ascii_only=True))
    assert drawn.isascii()
    assert drawn.splitlines()[:4] == [
        "+----------+",
        "|   web1   |",
        "+-----+----+",
        "      |",
    ]


def test_a_vlan_stands_between_bridge_and_uplink():
    parts = scene.scene_of([bridged(1, "br0", *VLAN)]).parts
    way = ["tap1", "br0", "vlan100", "eth1", None]
    assert [parts[key].below for key in way[:-1]] == way[1:]
    assert [parts[key].kind for key in way[:-1]] == ["tap", "bridge", "vlan", "nic"]
    assert parts["vlan100"].lines == ["VLAN 100", "MTU 1500"]


def test_a_plain_uplink_and_rules():
    rules = [ForwardRules(bridge="br0", ipv6=six, rules=(("-j", "ACCEPT"),) * 2) for six in (0, 1)]
    uplink = Uplink(name="eth1", bridge="br0", mtu=9000)
    parts = scene.scene_of([bridged(1, "br0", uplink, *rules)]).parts
    assert (parts["eth1"].kind, parts["br0"].below) == ("nic", "eth1")
    drawn = set(parts["br0"].lines)
    assert {"2 FORWARD rules (iptables)", "2 FORWARD rules (ip6tables)"} <= drawn


def test_the_rules_of_all_vifs_on_a_bridge_are_counted():
    def ruled(number, *counts):
        pass_on = [
            ForwardRules(bridge="br0", ipv6=six, rules=(("-j", "ACCEPT"),) * count)
            for six, count in enumerate(counts)
        ]
        topology, guest = bridged(number)
        return Topology(topology.mark, (*topology.resources, *pass_on)), guest

    parts = scene.scene_of([ruled(1, 2), ruled(2, 2, 1), ruled(3, 0, 0)]).parts
    assert parts["br0"].lines == [
        "bridge",
        "4 FORWARD rules (iptables)",
        "1 FORWARD rule (ip6tables)",
    ]


def test_a_routed_tap_stands_on_the_hosts_routing():
    topology = Topology(
        Mark("00000001-ca89-4ee0-a8be-6db1409b69ea", "tap"),
        (
            Tap(name="tap1"),
            HostRoute(device="tap1", destination="192.0.2.1/32"),
            HostRoute(device="tap1", destination="10.0.0.0/8", gateway="192.0.2.1"),
            ProxyNeighbour(device="tap1", address="2001:db8::1"),
        ),
    )
    parts = scene.scene_of([(topology, Guest("web"))]).parts
    assert parts["tap1"].below == HOST
    assert parts[HOST].lines == [
        "192.0.2.1/32 dev tap1",
        "10.0.0.0/8 via 192.0.2.1 dev tap1",
        "answers for 2001:db8::1 on tap1",
    ]


def switched(*resources, number=1):
    mark = Mark(f"{number:08x}-ca89-4ee0-a8be-6db1409b69ea", "ovs")
    return Topology(mark, resources), Guest("web")


SWITCH = OvsBridge(name="br-int", datapath_type="netdev")
IDS = {"iface-id": "b679325f-ca89-4ee0-a8be-6db1409b69ea"}
HYBRID = (
    Bridge(name="qbr1", own=True),
    Veth(name="qvb1", peer="qvo1", mtu=1500, bridge="qbr1"),
    SWITCH,
    OvsPort(name="qvo1", bridge="br-int", external_ids=IDS),
)
PER_PORT = (
    Tap(name="tap1"),
    SWITCH,
    OvsBridge(name="pb1", own=True),
    OvsPort(name="pbp1", bridge="pb1", type="patch", options={"peer": "ibp1"}),
    OvsPort(name="ibp1", bridge="br-int", type="patch", options={"peer": "pbp1"}),
    OvsPort(name="tap1", bridge="pb1"),
)
REPRESENTOR = Representor(address="0000:03:00.2")


@pytest.mark.parametrize(
    ("resources", "way"),
    [
        ((Tap(name="tap1"), SWITCH, OvsPort(name="tap1", bridge="br-int")), "tap1 br-int"),
        ((SWITCH, OvsPort(name="tap1", bridge="br-int", attached=False)), "tap1 br-int"),
        ((SWITCH,), "br-int"),
        (HYBRID, "qbr1 qvb1 qvo1 br-int"),
        (PER_PORT, "tap1 pb1 pbp1 ibp1 br-int"),
        (PER_PORT[1:-1], "pb1 pbp1 ibp1 br-int"),
        (
            (Representor(address="0000:03:00.2", name="r"), OvsPort(name="r", bridge="br-int")),
            "r br-int",
        ),
    ],
)
def test_a_guest_stands_on_what_nothing_else_of_it_stands_on(resources, way):
    parts = scene.scene_of([switched(*resources)]).parts
    [guest] = [part for part in parts.values() if part.kind == "guest"]
    walked, part = [], guest
    while part.below is not None:
        part = parts[part.below]
        walked.append(part.key)
    assert walked == way.split()
    assert parts["br-int"].kind == "switch"


def test_a_representor_without_a_name_is_one_part_with_its_port():
    port = OvsPort(name="", bridge="br-int", behind=REPRESENTOR.address)
    parts = scene.scene_of([switched(REPRESENTOR, SWITCH, port)]).parts
    assert list(parts)[1:] == ["representor of 0000:03:00.2", "br-int"]


def test_what_stands_in_a_port():
    socket = OvsPort(
        name="vhu1",
        bridge="br-int",
        type="dpdkvhostuserclient",
        options={"vhost-server-path": "/run/web.sock"},
        external_ids=IDS,
        mtu_request=9000,
        isolate=True,
    )
    part = scene.scene_of([switched(SWITCH, socket)]).parts["vhu1"]
    assert part.kind == "socket"
    assert part.lines == [
        "vhost-user: the guest listens at",
        "/run/web.sock",
        "MTU 9000",
        "iface-id b679325f...",
        "VLAN 4095 until its agent comes",
    ]


def test_every_kind_of_part_has_its_look():
    from os_vif.cli.session import STYLES

    socket = OvsPort(name="vhu1", bridge="br-int", type="dpdkvhostuser")
    scenes = [
        scene.scene_of([switched(*resources)]) for resources in (HYBRID, PER_PORT, (SWITCH, socket))
    ]
    scenes.append(scene.scene_of([bridged(1, "br0", *VLAN)]))
    kinds = {part.kind for drawn in scenes for part in drawn.parts.values()}
    assert kinds >= {"guest", "tap", "veth", "bridge", "vlan", "port", "socket", "switch"}
    assert kinds <= svg.COLOURS.keys()
    assert kinds - {"nic", "host"} <= STYLES.keys()


def test_an_open_vswitch_bridge_looks_different():
    drawn = scene.scene_of([switched(*PER_PORT)])
    plain = text.plain(text.draw(drawn))
    assert plain.count("╔") == 2
    assert plain.count("╧") == 2  # what each carries
    assert plain.count("╤") == 1  # what the VIF's own one stands on
    bare = text.plain(text.draw(drawn, ascii_only=True))
    assert bare.isascii()
    assert "+=" in bare
    root = ElementTree.fromstring(svg.draw(drawn))  # noqa: S314  (our own)
    boxes = len(drawn.parts)
    assert len(list(root.iter(f"{SVG}rect"))) == boxes + 2


def test_the_way_is_cut_where_a_part_has_come_off():
    def cut(**faults):
        picture = layout.arrange(scene.scene_of([switched(*HYBRID)], faults), text.METRICS)
        return [edge.broken for edge in sorted(picture.edges, key=lambda edge: edge.top)]

    off = Fault(detached=True)
    # From the guest down: guest, qbr1, qvb1, qvo1, br-int.
    assert cut() == [False, False, False, False]
    assert cut(qvb1=off) == [False, True, False, False]
    assert cut(qvo1=off) == [False, False, False, True]
    assert cut(qvb1=Fault(missing=True)) == [False, True, True, False]


def test_an_uplink_that_left_its_bridge_is_cut_off():
    uplink = Uplink(name="eth1", bridge="br0", mtu=1500)
    faults = {"eth1": Fault(detached=True)}
    picture = layout.arrange(scene.scene_of([bridged(1, "br0", uplink)], faults), text.METRICS)
    edges = sorted(picture.edges, key=lambda edge: edge.top)
    assert [edge.broken for edge in edges] == [False, False, True]


def test_faults_are_seen():
    faults = {
        "tap1": Fault(missing=True, notes=("missing",)),
        "tap2": Fault(detached=True, notes=("should be a port of br0",)),
    }
    lines = text.draw(scene.scene_of([bridged(1), bridged(2)], faults))
    drawn = text.plain(lines)
    assert "╎" in drawn
    assert "! missing" in drawn
    assert "! should be a port of br0" in drawn
    assert any(style == "fault" for line in lines for _text, style in line)
    healthy = text.draw(scene.scene_of([bridged(1), bridged(2)]))
    assert not any(style == "fault" for line in healthy for _text, style in line)


def test_nothing_in_a_name_reaches_the_terminal():
    topology, _guest = bridged(1)
    drawn = text.plain(text.draw(scene.scene_of([(topology, Guest("\x1b[31mred\n\x07"))])))
    assert "?[31mred??" in drawn
    assert "\x1b" not in drawn


def test_the_svg_holds_all_text_and_a_description():
    faults = {"tap1": Fault(notes=("<&>",))}
    drawn = svg.draw(scene.scene_of([bridged(1, "br0", *VLAN)], faults))
    root = ElementTree.fromstring(drawn)  # noqa: S314  (our own)
    assert root.tag == f"{SVG}svg"
    assert root.get("role") == "img"
    shown = [item.text for item in root.iter(f"{SVG}text")]
    assert {"web1", "tap1", "br0", "vlan100", "eth1", "! <&>"} <= set(shown)
    assert root.find(f"{SVG}title").text == "Where web1 sits on the host"
    described = root.find(f"{SVG}desc").text
    assert (
        "tap tap1 (tap; MTU 1500) is attached to br0 and is not as it should be: <&>" in described
    )
    assert len(list(root.iter(f"{SVG}line"))) == 4


@pytest.mark.parametrize("width", [40, 80, 100, 200])
def test_many_are_split_to_fit_and_none_is_lost(width):
    vifs = [bridged(number, f"br{number // 7}") for number in range(30)]
    scenes = text.fitting(vifs, {}, width)
    assert all(layout.arrange(item, text.METRICS).width <= width for item in scenes)
    seen = [part.title for item in scenes for part in item.parts.values() if part.kind == "guest"]
    assert seen == [guest.name for _topology, guest in vifs]


def test_one_that_cannot_fit_is_drawn_all_the_same():
    assert len(text.fitting([bridged(1)], {}, 3)) == 1


NAMES = st.text("abcdefgh-", min_size=1, max_size=30)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), NAMES, st.lists(NAMES, max_size=3), st.booleans()),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from([text.METRICS, svg.METRICS]),
)
def test_boxes_never_overlap_and_every_edge_meets_both(vifs, metrics):
    pairs = []
    for number, (bridge, name, lines, vlan) in enumerate(vifs):
        uplink = Uplink(name=f"eth{bridge}", bridge=f"br{bridge}", mtu=1500)
        topology, _guest = bridged(number, f"br{bridge}", *([uplink] if vlan else []))
        pairs.append((topology, Guest(name, tuple(lines))))
    drawn = scene.scene_of(pairs)
    picture = layout.arrange(drawn, metrics)
    assert {box.part.key for box in picture.boxes} == set(drawn.parts)
    for one, other in itertools.combinations(picture.boxes, 2):
        beside = one.x + one.width <= other.x or other.x + other.width <= one.x
        above = one.y + one.height <= other.y or other.y + other.height <= one.y
        assert beside or above
    for box in picture.boxes:
        assert box.x >= 0
        assert box.x + box.width <= picture.width
        assert box.y + box.height <= picture.height
        longest = max(len(line) for line in box.lines)
        assert box.width >= longest * metrics.character + 2 * metrics.side
    boxes = {box.part.key: box for box in picture.boxes}
    joined = [box for box in picture.boxes if box.part.below in boxes]
    assert len(picture.edges) == len(joined)
    for box in joined:
        below = boxes[box.part.below]
        edge = next(
            item for item in picture.edges if (item.x, item.top) == (box.middle, box.y + box.height)
        )
        assert edge.bottom == below.y
        assert below.x < edge.x < below.x + below.width
