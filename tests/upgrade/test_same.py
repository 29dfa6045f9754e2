# SPDX-License-Identifier: Apache-2.0
"""What a caller and an operator see of this release and of 5.3.0, call by call: the same.

Where it is not, :data:`KNOWN` and :data:`REFUSED` say how, and docs/upgrading.rst says why.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import vifs_ovs, witness
from tests.openvswitch import Switch
from tests.switch_witness import interfaces, make_bridge, qos_rows, snapshot
from tests.upgrade.services import OURS, Service, Services, python_of
from tests.upgrade.situations import (
    GUEST,
    HOST,
    OUTSIDE,
    QBR,
    TAP,
    VHU,
    hybrid,
    network,
    on_bridge,
    profile,
    provided,
    uplink,
    vif,
)

pytestmark = [pytest.mark.functional, pytest.mark.long]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "upgrading.rst"
REFERENCE = "5.3.0"
TRUNK = "tbr-0a1b2c3d-4"

KNOWN = [
    # The mark, what the guest is called, and ids of a tap's owner.
    r"/ifalias:|/external_ids/os-vif(-guest)?:|/altnames",
    # How a tap was opened to make it: whoever opens it next says it anew.
    r"/info_data/(pi|vnet_hdr):",
    # Who may open it: the options tap_owner and tap_group.
    r"/info_data/(user|owner|group): None became",
    # A bridge passes on what a port gets whether the port is promiscuous or not.
    r"/links/qv[bo]\S+/(flags/\d|promiscuity|inet6_addr_gen_mode):",
    # 5.3.0 makes the tap under a port that waits for it, and may lose this to the switch.
    rf"/links/{TAP}/flags/\d: None became 'UP'",
    # The host has no business on a wire between two bridges.
    r"/settings/ipv6/qv[bo]\S+/disable_ipv6: '0' became '1'",
    # The bridge's own MTU is the switch's affair, and follows its ports later.
    r"/links/(br-int|tbr-\S+|pb\S+)/mtu:",
]
"""Differences of host and switch that are meant."""

ISOLATED_PATCH = [
    # The patch port is isolated like any other, and the guest's own port behind it is not: no
    # agent knows of it and would let it out again.
    r"/interfaces/ibp\S+/(trunks|vlan_mode): None became",
    rf"/interfaces/{TAP}/(tag|trunks|vlan_mode): \S+ became None",
]


def plain_cases() -> dict[str, tuple[Any, Any]]:
    found = {}
    for port, tap, own, isolated in itertools.product((False, True), repeat=4):
        asked = profile(create_port=port, create_tap=tap)
        options = {"per_port_bridge": own, "isolate_vif": isolated}
        name = f"port={port:d} tap={tap:d} own={own:d} isolated={isolated:d}"
        found[name] = (vif(port_profile=asked), {"os_vif_ovs": options})
    return found


BOTH = {"create_port": True, "create_tap": True}
OTHERS: dict[str, tuple[Any, Any]] = {
    "hybrid": (hybrid(), {}),
    "hybrid, isolated": (hybrid(), {"os_vif_ovs": {"isolate_vif": True}}),
    "several queues": (vif(port_profile=profile(**BOTH, multiqueue=True)), {}),
    "own MTU": (vif(network=network(mtu=1450)), {}),
    "the default MTU": (
        vif(network=network(mtu=None)),
        {"os_vif_ovs": {"network_device_mtu": 1400}},
    ),
    "an MTU of 0": (vif(network=network(mtu=0)), {}),
    "trunk": (vif(network=network(TRUNK)), {"os_vif_ovs": {"isolate_vif": True}}),
    "trunk, hybrid": (hybrid(network=network(TRUNK)), {"os_vif_ovs": {"isolate_vif": True}}),
    "a derived profile": (
        vif(port_profile={**profile(**BOTH), "class": "VIFPortProfileFPOpenVSwitch"}),
        {},
    ),
    "a representor's profile": (
        vif(port_profile={**profile(**BOTH), "class": "VIFPortProfileOVSRepresentor"}),
        {},
    ),
    "no address, and nothing to make with one": (vif(address=None, port_profile=profile()), {}),
    "the kernel's datapath": (
        vif(network=network("br-sys"), port_profile=profile(datapath_type="system")),
        {},
    ),
    "the default datapath": (
        vif(network=network("br-sys"), port_profile=profile(datapath_type="", create_port=True)),
        {"os_vif_ovs": {"default_qos_type": "linux-htb"}},
    ),
    "noop": (vif("VIFVHostUser", plugin="noop", mode="client", path="/run/x"), {}),
    "noop, of another class": (vif("VIFGeneric", plugin="noop"), {}),
}

REFUSED: dict[str, tuple[Any, str, str]] = {
    "no profile": (vif(port_profile=None), "PlugException", "PlugException"),
    "another's profile": (
        vif(port_profile={"class": "VIFPortProfile8021Qbh", "profile_id": "x"}),
        "PlugException",
        "NoMatchingPortProfileClass",
    ),
    "another class": (vif("VIFGeneric"), "PlugException", "NoMatchingVIFClass"),
    "no network": (vif(network=None), "PlugException", "PlugException"),
    "no address": (vif(address=None), "PlugException", "PlugException"),
    "no such function": (
        vif("VIFHostDevice", dev_type="ethernet", dev_address="0000:00:1f.7", vif_name=None),
        "PlugException",
        "PlugException",
    ),
    "no such plugin": (vif(plugin="nope"), "NoMatchingPlugin", "NoMatchingPlugin"),
}


def tidy(switch: Switch) -> None:
    for bridge in switch.vsctl("list-br").split():
        if bridge != vifs_ovs.BRIDGE:
            switch.vsctl("del-br", bridge)
    for link in witness.ask("link show"):
        if link["ifname"] not in ("lo", "ovs-netdev", vifs_ovs.BRIDGE):
            witness.run("ip", "link", "del", link["ifname"], check=False)


def trace(service: Service, look: Callable[[], Any], said: Any, options: Any) -> list[Any]:
    """Plug, plug again and unplug; return what each logged, and what was there after it."""
    verbs = ("plug", "plug", "unplug")
    return [(service.do(verb, said, GUEST, options), look()) for verb in verbs]


def differences(before: list[Any], after: list[Any], known: list[str]) -> list[str]:
    found = []
    for verb, (lines, was), (ours, now) in zip(
        ("plugged", "plugged again", "unplugged"), before, after, strict=True
    ):
        found += [f"{verb}: logged {ours}, not {lines}"] * (told(ours) != told(lines))
        found += [
            f"{verb}: {line}"
            for line in witness.differences(was, now)
            if not any(re.search(pattern, line) for pattern in known)
        ]
    return found


def told(lines: list[list[str]]) -> list[list[str]]:
    """Return what the library itself has logged, and not what has moved elsewhere."""
    return [line for line in lines if line[0] == "os_vif"]


@pytest.mark.parametrize("cases", [plain_cases(), OTHERS], ids=["plain", "others"])
def test_host_switch_and_log(services: Services, switch: Switch, cases: Any) -> None:
    make_bridge(switch)
    for name, (said, options) in cases.items():
        own = options.get("os_vif_ovs", {}).get("per_port_bridge", False)
        known = KNOWN + (ISOLATED_PATCH if own else [])
        both = []
        for release in (REFERENCE, OURS):
            both.append(trace(services(release), lambda: snapshot(switch), said, options))
            tidy(switch)
        assert differences(*both, known) == [], name


ALONE = vif(port_profile=profile())
MADE = f"tuntap add {TAP} mode tap vnet_hdr\nlink set {TAP} up"
THERE: dict[str, tuple[Any, str, tuple[str, ...]]] = {
    "a tap": (ALONE, MADE, ()),
    "a tap and its port": (ALONE, MADE, ("add-port", vifs_ovs.BRIDGE, TAP)),
    "a veth": (ALONE, f"link add {TAP} type veth peer name inside", ()),
    "a veth and its port": (
        ALONE,
        f"link add {TAP} type veth peer name inside",
        ("add-port", vifs_ovs.BRIDGE, TAP),
    ),
    "a tap that waited for": (vif(port_profile=profile(create_port=True)), MADE, ()),
    "a tap in the hybrid bridge": (hybrid(), f"{MADE}\nlink set {TAP} master {QBR}", ()),
    "a tap beside the hybrid bridge": (hybrid(), MADE, ()),
    "a hybrid bridge that was planned otherwise": (
        ALONE,
        f"link add {QBR} type bridge\n{MADE}\nlink set {TAP} master {QBR}",
        (),
    ),
}


def test_what_unplugging_leaves(services: Services, switch: Switch) -> None:
    """Of what hypervisors and runtimes have made."""
    make_bridge(switch)
    for name, (said, devices, port) in THERE.items():
        found = []
        for release in (REFERENCE, OURS):
            services(release).do("plug", said, GUEST)
            witness.ip(devices)
            if port:
                ids = ("--", "set", "Interface", TAP, f"external_ids:iface-id={said['id']}")
                switch.vsctl(*port, *ids)
            services(release).do("unplug", said, GUEST)
            found.append(
                (interfaces(switch).keys(), {it["ifname"] for it in witness.ask("link show")})
            )
            tidy(switch)
        assert found[0] == found[1], name


SOCKETS = {
    mode: vif("VIFVHostUser", mode=mode, path=f"/run/{VHU}", vif_name=VHU, port_profile=profile())
    for mode in ("client", "server")
}


def test_sockets(services: Services, dpdk_switch: Switch) -> None:
    make_bridge(dpdk_switch)
    for name, said in SOCKETS.items():
        both = []
        for release in (REFERENCE, OURS):
            both.append(trace(services(release), lambda: snapshot(dpdk_switch), said, {}))
            tidy(dpdk_switch)
        assert differences(*both, KNOWN) == [], name


BRIDGED = {
    "an uplink": on_bridge(),
    "an MTU of 0": on_bridge(network=provided(mtu=0)),
    "several hosts": on_bridge(network=provided(multi_host=True)),
    "not ours to provide": on_bridge(network=network("br0")),
    "rules": on_bridge(has_traffic_filtering=False),
}


def test_bridges_as_4_has_them(services: Services) -> None:
    # docs/upgrading.rst says what becomes of rules.
    known = [r"/br0/ifalias:", r"/rules/", r"/eth0/link_netnsid:"]
    for name, said in BRIDGED.items():
        both = []
        for release in ("4.3.1", OURS):
            with uplink():
                witness.ip(f"addr add {HOST}/24 dev eth0\nroute add default via {OUTSIDE}")
                both.append(trace(services(release), witness.snapshot, said, {}))
                witness.run("ip", "link", "del", "br0", check=False)
                witness.ip("link del eth0")
            for table in ("filter", "nat", "mangle"):
                witness.run("iptables", "-w", "-t", table, "-F")
                witness.run("iptables", "-w", "-t", table, "-X")
        assert differences(*both, known) == [], name


def test_refusals(services: Services, switch: Switch) -> None:
    make_bridge(switch)
    before = snapshot(switch)
    for name, (said, theirs, ours) in REFUSED.items():
        for release, kind in ((REFERENCE, theirs), (OURS, ours)):
            for verb in ("plug", "unplug"):
                answer = services(release).ask(verb, said, GUEST, {})
                if verb == "unplug" and answer["raised"] is None:
                    continue  # nothing was plugged
                wanted = kind.replace("PlugException", f"{verb.title()}Exception")
                assert answer["raised"], f"{name}: {release} takes it"
                assert answer["raised"][0] == wanted, name
                if kind != "NoMatchingPlugin":
                    levels = [
                        level for logger, level, _text in answer["logged"] if logger == "os_vif"
                    ]
                    assert levels == ["DEBUG", "ERROR"], (name, release)
    assert witness.differences(before, snapshot(switch)) == []


def test_a_qos_row_is_found_by_either(services: Services, switch: Switch) -> None:
    said = vif(
        network=network("br-sys"), port_profile=profile(datapath_type="system", create_port=True)
    )
    for plugging, unplugging in ((OURS, REFERENCE), (REFERENCE, OURS)):
        services(plugging).do("plug", said, GUEST)
        assert qos_rows(switch) == ["linux-noop"]
        services(unplugging).do("unplug", said, GUEST)
        assert qos_rows(switch) == []


@pytest.mark.parametrize("release", ["4.3.1", "5.3.0"])
def test_options_and_lines_of_the_start(services: Services, release: str) -> None:
    theirs, ours = (services(it).ask("describe") for it in (release, OURS))
    for group, options in theirs["options"].items():
        assert options.items() <= ours["options"][group].items(), group
    lines = [
        [line for line in it["logged"] if line[:2] == ["os_vif", "INFO"]] for it in (theirs, ours)
    ]
    [[_logger, _level, old]], [[_also, _same, new]] = lines
    words = "Loaded VIF plugins: "
    assert old.startswith(words)
    assert set(old.removeprefix(words).split(", ")) <= set(new.removeprefix(words).split(", "))


@pytest.mark.parametrize("release", ["4.3.1", "5.3.0"])
def test_the_wire_between_releases(services: Services, release: str) -> None:
    theirs, ours = services(release), services(OURS)
    for said in (vif(), hybrid(), vif("VIFVHostUser", mode="server", path="/run/x")):
        for sender, receiver in ((theirs, ours), (ours, theirs)):
            sent = sender.ask("write", said)
            assert ordered(receiver.ask("read", sent)) == ordered(sent)


def ordered(value: Any) -> Any:
    """Return the same with every list of changed fields sorted: its order has no meaning."""
    if isinstance(value, dict):
        return {
            key: sorted(item) if key.endswith(".changes") else ordered(item)
            for key, item in value.items()
        }
    return [ordered(item) for item in value] if isinstance(value, list) else value


def modules_of(release: str) -> set[str]:
    root = Path(python_of(release)).parents[1]
    [packages] = root.glob("lib/python3*/site-packages")
    return names_below(packages)


def names_below(folder: Path) -> set[str]:
    found = set()
    for package in folder.glob("os_vif"), folder.glob("vif_plug_*"):
        for path in (file for each in package for file in each.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            if "tests" not in parts:
                found.add(".".join(parts).removesuffix(".__init__"))
    return found


def test_the_page_names_the_modules_that_are_gone() -> None:
    ours = names_below(PAGE.parents[1])
    removed = PAGE.read_text().partition("\nRemoved\n---")[2].partition("\n---")[0]
    named = set(re.findall(r"``([a-z_0-9.]+)``", removed))
    gone = modules_of("5.3.0") - ours
    assert len(gone) == 18
    assert named & modules_of("5.3.0") == gone
    assert modules_of("4.3.1") - ours <= named
