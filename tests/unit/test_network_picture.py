# SPDX-License-Identifier: Apache-2.0
"""Networks as pictures, whole and in pieces, and what chassis they need."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import os_vif
from os_vif import logical, objects
from os_vif.drawing import svg, text
from os_vif.drawing.rows import folded
from os_vif.drawing.scene import Fault, scene_of
from os_vif.engine.topology import Topology
from os_vif.host.ovn.questions import Chassis
from os_vif.logical import chassis, telling
from os_vif.logical.pieces import pieces_of

BLUE, OUTSIDE, EDGE = (f"0000000{number}-0000-4000-8000-000000000000" for number in (1, 2, 3))


def network(identity: str, label: str, cidr: str, **more: int) -> objects.network.Network:
    gateway = cidr.replace("0/24", "1")
    subnet = objects.subnet.Subnet(cidr=cidr, gateway=gateway)
    subnets = objects.subnet.SubnetList(objects=[subnet])
    return objects.network.Network(id=identity, label=label, subnets=subnets, **more)


def port(number: int) -> logical.Port:
    ip = objects.fixed_ip.FixedIP(address=f"10.5.0.{10 + number}", floating_ips=[])
    own = objects.subnet.Subnet(cidr="10.5.0.0/24", ips=objects.fixed_ip.FixedIPList(objects=[ip]))
    vif = objects.vif.VIFOpenVSwitch(
        id=f"10000000-0000-4000-8000-0000000000{number:02}",
        vif_name=f"tap{number}",
        address=f"52:54:00:00:00:{number:02x}",
        network=objects.network.Network(id=BLUE, subnets=objects.subnet.SubnetList(objects=[own])),
    )
    return logical.Port(vif=vif, chassis=("h9",) if number == 1 else ())


def lab(ports: int) -> list[Topology]:
    os_vif.initialize()
    blue = network(BLUE, "blue", "10.5.0.0/24")
    outside = network(OUTSIDE, "outside", "203.0.113.0/24", vlan=200)
    external = logical.External(
        network=OUTSIDE, address="203.0.113.10", chassis=("h1", "h2", "h3"), snat=True
    )
    return logical.topologies(
        logical.Wanted(
            owner="lab",
            networks=(
                logical.LogicalNetwork(network=blue),
                logical.LogicalNetwork(
                    network=outside, physical="physnet1", dhcp={"203.0.113.0/24": None}
                ),
            ),
            ports=tuple(port(number) for number in range(1, ports + 1)),
            routers=(logical.Router(id=EDGE, label="edge", networks=(BLUE,), external=external),),
        )
    )


def test_it_hangs_on_the_edge() -> None:
    scene = scene_of([(it, None) for it in lab(2)], {"port tap1": Fault(missing=True)})
    lines = text.plain(text.draw(scene)).splitlines()
    order = ("physnet1", "outside", "edge", "blue", "tap1")
    places = [next(at for at, line in enumerate(lines) if name in line) for name in order]
    assert places == sorted(places)
    assert "┌" in lines[0]
    assert "└" in lines[-1]
    # Each box is joined to the one above it.
    assert sum(line.count("┬") + line.count("╤") for line in lines) == 5
    assert any("╎" in line for line in lines)
    assert scene.title == "The network of tap1, tap2"


def test_many_ports_are_several_pictures_each_with_what_they_hang_on() -> None:
    pieces = pieces_of(lab(7))
    assert len(pieces) == 7
    scenes = text.fitting([(it, None) for it in pieces], {}, 75)
    assert len(scenes) > 1
    drawn = [text.plain(text.draw(scene)) for scene in scenes]
    for picture in drawn:
        assert all(name in picture for name in ("physnet1", "edge", "blue"))
        assert max(map(len, picture.splitlines())) <= 75
    assert sorted(re.findall(r"tap\d", "".join(drawn))) == [f"tap{it}" for it in range(1, 8)]
    # What has no port is drawn all the same.
    assert [telling.called(it) for it in pieces_of(lab(0))] == [("network", "blue")]
    assert pieces_of(lab(0)[1:2]) == lab(0)[1:2]


def test_of_many_that_look_alike_a_few_are_drawn() -> None:
    picture = text.plain(text.draw(folded(scene_of([(it, None) for it in lab(40)]))))
    assert re.findall(r"tap\d+", picture) == ["tap1", "tap2", "tap3", "tap4", "tap40"]
    assert "and 37 more" in picture
    lines = picture.splitlines()
    assert "physnet1" in lines[1]
    assert len(lines[0]) < 160


def test_in_rows_nothing_is_outside_of_the_picture() -> None:
    """What reaches under several rows hangs as the rest does."""
    root = ElementTree.fromstring(svg.draw(scene_of([(it, None) for it in lab(11)])))  # noqa: S314
    space = "{http://www.w3.org/2000/svg}"
    left, top, width, height = map(float, root.attrib["viewBox"].split())
    [comb] = root.iter(f"{space}path")
    points = [tuple(map(int, it.split())) for it in re.split("[ML]", comb.attrib["d"][:-2])[1:]]
    assert all(left <= x <= left + width and top <= y <= top + height for x, y in points)
    title = next(it for it in root.iter(f"{space}text") if it.text == "blue")
    guests = [it for it in root.iter(f"{space}text") if re.fullmatch(r"tap\d+", it.text or "")]
    assert len(guests) == 11
    assert all(float(it.attrib["y"]) > float(title.attrib["y"]) for it in guests)


def test_chassis_that_are_not_there_are_warned_of() -> None:
    known = [Chassis("h1", "h1.example", ("physnet2",)), Chassis("uuid", "h2", ())]
    said = [(it.device, it.words) for found in lab(2) for it in chassis.warnings(found, known)]
    assert said[0] == ("port tap1", "OVN knows no chassis h9; there is: h1, uuid")
    assert said[1][0] == "physnet1 of network outside"
    assert "external_ids:ovn-bridge-mappings=physnet1:BRIDGE" in said[1][1]
    assert [it[0] for it in said[2:]] == ["gateway h3 of router edge"]
    known = [Chassis(name, "", ("physnet1",)) for name in ("h1", "h2", "h3", "h9")]
    assert [it for found in lab(2) for it in chassis.warnings(found, known)] == []


def test_what_is_in_them_in_a_line() -> None:
    assert [telling.summary(it) for it in lab(1)] == [
        "1 subnet with DHCP, 1 port",
        "on physnet1 VLAN 200, 0 ports",
        "203.0.113.10 on h1, h2, h3; 10.5.0.1; SNAT of 1 subnet",
    ]
