# SPDX-License-Identifier: Apache-2.0
"""A manager and a host of two releases: what the host takes, what it is sent, what it plugs.

Each release runs in a process of its own, and all that they know of each other is the JSON that
went to and fro.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests import witness
from tests.openvswitch import Switch
from tests.switch_witness import interfaces, make_bridge
from tests.upgrade.services import OURS, Services
from tests.upgrade.situations import GUEST, QBR, TAP, hybrid, network, profile, vif

pytestmark = [pytest.mark.functional, pytest.mark.long]

BEFORE = "5.3.0"
PROFILE = "VIFPortProfileOpenVSwitch"
NEWER = {"create_port": True, "create_tap": True, "datapath_type": "netdev"}
"""What a port profile has since 1.1, 1.3 and 1.4."""


@pytest.fixture
def bridge(switch: Switch) -> Switch:
    make_bridge(switch)
    return switch


def sent(services: Services, sender: str, host: str, vif_said: Any) -> Any:
    """Return what a host of one release is sent by a manager of another."""
    takes = services(host).ask("describe")["host"]
    answer = services(sender).ask("send", takes, vif_said)
    assert "raised" not in answer, answer
    return answer["sent"]


def versions(primitive: Any) -> dict[str, str]:
    """Return the versions of all that was sent, by class."""
    found: dict[str, str] = {}
    if isinstance(primitive, dict):
        if "versioned_object.name" in primitive:
            found[primitive["versioned_object.name"]] = primitive["versioned_object.version"]
        for value in primitive.values():
            found |= versions(value)
    elif isinstance(primitive, list):
        for value in primitive:
            found |= versions(value)
    return found


def profile_of(primitive: Any) -> Any:
    return primitive["versioned_object.data"]["port_profile"]["versioned_object.data"]


def rows(switch: Switch) -> dict[str, Any]:
    found = interfaces(switch).items()
    return {name: row["external_ids"] for name, row in found if row["external_ids"]}


def test_from_ours_to_an_earlier_host(services: Services, bridge: Switch) -> None:
    """The earlier one says that it takes profiles of 1.0: it gets these, and plugs them."""
    said = hybrid(port_profile=profile(**NEWER))
    goes = sent(services, OURS, BEFORE, said)
    assert versions(goes) == {
        "VIFBridge": "1.0",
        PROFILE: "1.0",
        "Network": "1.1",
        "SubnetList": "1.0",
    }
    assert not {*NEWER} & {*profile_of(goes)}
    services(BEFORE).do("plug", goes, GUEST)
    [(name, ids)] = rows(bridge).items()
    assert name.startswith("qvo")
    assert ids["iface-id"] == said["id"]
    assert {link["ifname"] for link in witness.ask("link show")} >= {QBR}
    services(BEFORE).do("unplug", goes, GUEST)
    assert rows(bridge) == {}


def test_what_was_not_sent_is_not_done(services: Services, bridge: Switch) -> None:
    """``create_port`` came with 1.3: a host that takes 1.0 leaves the port to the hypervisor."""
    goes = sent(services, OURS, BEFORE, vif(port_profile=profile(**NEWER)))
    services(BEFORE).do("plug", goes, GUEST)
    assert rows(bridge) == {}
    # It could have: it is a newer profile that asks for it.
    services(BEFORE).do("plug", vif(port_profile=profile(**NEWER)), GUEST)
    assert list(rows(bridge)) == [TAP]
    services(BEFORE).do("unplug", vif(port_profile=profile(**NEWER)), GUEST)


def test_from_an_earlier_manager_to_ours(services: Services, bridge: Switch) -> None:
    """Ours says that it takes up to 1.4, so the earlier one sends all that it has."""
    goes = sent(services, BEFORE, OURS, vif(port_profile=profile(**NEWER)))
    assert versions(goes)[PROFILE] == "1.4"
    assert NEWER.items() <= profile_of(goes).items()
    services(OURS).do("plug", goes, GUEST)
    assert rows(bridge)[TAP]["iface-id"] == goes["versioned_object.data"]["id"]
    assert services(OURS).ask("check", goes, GUEST, {}) == []
    services(OURS).do("unplug", goes, GUEST)
    assert rows(bridge) == {}


def test_an_older_class_of_vif(services: Services) -> None:
    """VIFVHostUser 1.1 brought ``vif_name``; the host reads what it is sent, and takes it."""
    said = vif("VIFVHostUser", plugin="noop", port_profile=None, mode="client", path="/run/x")
    goes = sent(services, OURS, BEFORE, said)
    assert versions(goes)["VIFVHostUser"] == "1.0"
    assert "vif_name" not in goes["versioned_object.data"]
    read = services(BEFORE).ask("read", goes)
    assert read["versioned_object.data"]["path"] == "/run/x"
    services(BEFORE).do("plug", goes, GUEST)
    # Between two of ours goes the newest there is.
    newest = sent(services, OURS, OURS, vif("VIFVHostUser", mode="server", path="/x"))
    assert versions(newest).items() >= {("VIFVHostUser", "1.1"), (PROFILE, "1.4")}


REFUSED = [
    # A plugin that is new, a class that it never took, a profile that it takes with another class.
    (OURS, vif("VIFGeneric", plugin="tap", network=network()), "NoMatchingPlugin", "tap"),
    (OURS, vif("VIFDirect", plugin="ovs", mode="bridge"), "NoMatchingVIFClass", "VIFDirect"),
    (
        OURS,
        vif(port_profile={"class": "VIFPortProfileOVSRepresentor", "interface_id": TAP}),
        *("NoMatchingPortProfileClass", "VIFPortProfileOVSRepresentor"),
    ),
    # One of its own kind knows but its own versions, and cannot send an older one.
    (BEFORE, vif(port_profile=profile(**NEWER)), "NoSupportedPortProfileVersion", "1.4"),
]


def test_nothing_is_sent_that_it_does_not_take(services: Services) -> None:
    takes = services(BEFORE).ask("describe")["host"]
    for sender, said, error, words in REFUSED:
        [name, text] = services(sender).ask("send", takes, said)["raised"]
        assert name == error
        assert words in text


def test_what_a_host_does_not_take_it_refuses(services: Services) -> None:
    """Whoever sends without having asked: ours looks before it touches anything."""
    before = witness.snapshot()
    wrong = services(BEFORE).ask("write", vif("VIFGeneric", plugin="ovs"))
    answer = services(OURS).ask("plug", wrong, GUEST, {})
    assert answer["raised"][0] == "NoMatchingVIFClass"
    assert witness.snapshot() == before
