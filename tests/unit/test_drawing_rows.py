# SPDX-License-Identifier: Apache-2.0
"""Pictures of many guests: rows that fit a page, and equal guests as one."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif.drawing import rows, scene, svg
from os_vif.drawing.scene import Fault, Guest
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.resources import Bridge, Tap, Uplink

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
WIDTH = 1184


def bridged(number, bridge="br0", mtu=1500):
    mark = Mark(f"{number:08x}-ca89-4ee0-a8be-6db1409b69ea", "linux_bridge")
    resources = (
        Bridge(name=bridge),
        Uplink(name=f"eth-{bridge}", bridge=bridge),
        Tap(name=f"tap{number}", mtu=mtu, bridge=bridge),
    )
    guest = Guest(f"web{number}", (f"52:54:00:00:00:{number:02x}",))
    return Topology(mark, resources), guest


def drawn(vifs, faults=None):
    return rows.arrange_in_rows(scene.scene_of(vifs, faults), svg.METRICS, WIDTH)


def titles(found, kind="guest"):
    return [box.part.title for box in found.picture.boxes if box.part.kind == kind]


@pytest.mark.parametrize("many", [1, 12, 60])
def test_the_picture_of_many_is_as_it_was_looked_at(many):
    """OS_VIF_GOLDEN=1 writes them anew: look at them before you commit."""
    faults = {"tap2": Fault(detached=True, notes=("should be a port of br0",))} if many > 12 else {}
    vifs = [bridged(number) for number in range(1, many + 1)]
    picture = svg.draw(scene.scene_of(vifs, faults))
    golden = GOLDEN / f"show-{many}.svg"
    if os.environ.get("OS_VIF_GOLDEN"):
        golden.write_text(picture)
    assert picture == golden.read_text()
    width, height = (float(ElementTree.fromstring(picture).get(it)) for it in ("width", "height"))  # noqa: S314
    assert width <= 1200
    assert height <= 1000


def test_equal_guests_are_one_and_faults_are_shown():
    vifs = [bridged(number) for number in range(60)]
    found = drawn(vifs)
    assert titles(found) == ["web0", "web1", "web2", "and 57 more"]
    [more] = [box for box in found.picture.boxes if box.part.title == "and 57 more"]
    assert more.part.lines == ["web3 … web59"]
    assert titles(found, "bridge") == ["br0"]
    found = drawn(vifs, {"tap20": Fault(notes=("MTU should be 1500",))})
    assert titles(found) == [
        *("web0", "web1", "web2", "and 17 more", "web20"),
        *("web21", "web22", "web23", "and 36 more"),
    ]


def test_who_differs_is_not_folded():
    vifs = [bridged(number, mtu=1500 + number) for number in range(30)]
    found = drawn(vifs)
    assert titles(found) == [guest.name for _topology, guest in vifs]
    assert titles(found, "bridge") == ["br0"]
    [comb] = found.combs
    assert (comb.key, len(comb.teeth)) == ("br0", 4)


def test_bridges_that_do_not_fit_side_by_side_stand_below_each_other():
    vifs = [bridged(number, f"br{number % 9}") for number in range(18)]
    found = drawn(vifs)
    assert sorted(titles(found, "bridge")) == [f"br{number}" for number in range(9)]
    assert not found.combs
    assert found.picture.width <= WIDTH


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1400, 1403)), min_size=1, max_size=50),
    st.sets(st.integers(0, 49), max_size=3),
)
def test_nothing_overlaps_and_every_edge_meets_both(vifs, faulty):
    faults = {f"tap{number}": Fault(detached=True, notes=("off",)) for number in faulty}
    found = drawn(
        [bridged(number, f"br{bridge}", mtu) for number, (bridge, mtu) in enumerate(vifs)], faults
    )
    picture = found.picture
    assert picture.width <= WIDTH
    areas = [(box.x, box.y, box.x + box.width, box.y + box.height) for box in picture.boxes]
    boxes = {box.part.key: box for box in picture.boxes}
    assert len(boxes) == len(picture.boxes)
    for comb in found.combs:
        left, inner = comb.spine
        base = boxes[comb.key]
        assert base.x == left
        areas.append((left, comb.teeth[0][1], inner, base.y))
        areas += [(inner, top, end, bottom) for end, top, bottom in comb.teeth]
    for one, other in itertools.combinations(areas, 2):
        beside = one[2] <= other[0] or other[2] <= one[0]
        above = one[3] <= other[1] or other[3] <= one[1]
        assert beside or above
    assert all(x >= 0 and right <= picture.width for x, _y, right, _bottom in areas)
    assert all(y >= 0 and bottom <= picture.height for _x, y, _right, bottom in areas)
    joined = [box for box in picture.boxes if box.part.below in boxes]
    assert len(picture.edges) == len(joined)
    for box in joined:
        [edge] = [
            it
            for it in picture.edges
            if it.top == box.y + box.height and box.x < it.x < box.x + box.width
        ]
        assert any(
            top == edge.bottom and left < edge.x < right for left, top, right, _bottom in areas
        )
