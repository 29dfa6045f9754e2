# SPDX-License-Identifier: Apache-2.0
"""``os-vif network``, on a real Northbound database."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests import ovn, strangers
from tests.waiting import PATIENCE_S, until

from .conftest import COMMAND, ENVIRONMENT, OsVif

pytestmark = pytest.mark.functional

LAB = """\
owner: lab
networks:
  - label: blue
    mtu: 1442
    subnets:
      - {cidr: 10.5.0.0/24, gateway: 10.5.0.1, dns: [192.0.2.53]}
      - {cidr: 10.6.0.0/24, gateway: 10.6.0.1}
  - label: outside
    physical: physnet1
    vlan: 200
    subnets: [{cidr: 203.0.113.0/24, gateway: 203.0.113.1, dhcp: false}]
routers:
  - label: edge
    networks: [blue]
    external: {network: outside, address: 203.0.113.10, chassis: [h1, h2, h3], snat: true}
vifs:
  - type: openvswitch
    bridge: br-int
    name: tap-anna
    mac: 52:54:00:00:00:01
    network: {label: blue, addresses: [10.5.0.11]}
  - type: openvswitch
    bridge: br-int
    name: tap-ben
    mac: 52:54:00:00:00:02
    network: {label: blue, addresses: [10.5.0.12], floating: {10.5.0.12: [203.0.113.20]}}
"""
ROWS = 19


class Network:
    """The command with a Northbound database, and another system's rows in it."""

    def __init__(self, osvif: OsVif, server: ovn.Server) -> None:
        self.osvif = osvif
        self.server = server
        self.environment = {"OVN_NB_DB": server.northbound}
        self.file = osvif.file(LAB, "lab.yaml")

    def __call__(self, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
        options["env"] = {**self.environment, **options.get("env", {})}
        return self.osvif("network", *words, **options)

    def json(self, *words: str, **options: Any) -> Any:
        found = self.osvif.json("network", *words, env=self.environment, **options)
        assert found["command"] == f"network {words[0]}"
        return found

    def rows(self) -> int:
        """Return how many rows are ours."""
        return len(strangers.ours(self.server))


@pytest.fixture(scope="module")
def server() -> Iterator[ovn.Server]:
    made = ovn.Server()
    made.nbctl("init")
    strangers.write(made, followed=False)
    yield made
    made.close()


@pytest.fixture
def network(osvif: OsVif, server: ovn.Server) -> Iterator[Network]:
    before = strangers.theirs(server)
    made = Network(osvif, server)
    yield made
    gone = [
        {"op": "delete", "table": table, "where": [["external_ids", "includes", ["map", [it]]]]}
        for table in ("Logical_Router", "Logical_Switch", "DHCP_Options")
        for it in (["os-vif-owner", "lab"], ["os-vif-owner", "other"])
    ]
    strangers.transact(server, *gone)
    assert strangers.theirs(server) == before


def test_from_nothing_to_nothing(network: Network) -> None:
    said = network("plan", network.file).stdout
    assert said.splitlines()[-1] == f"{ROWS} rows in one transaction"
    assert "add port tap-anna to network blue" in said
    assert network.rows() == 0
    said = network("apply", network.file).stdout.splitlines()
    assert said[:3] == [
        "added  network blue     2 subnets with DHCP, 2 ports",
        "added  network outside  on physnet1 VLAN 200, 0 ports",
        "added  router edge      203.0.113.10 on h1, h2, h3; 10.5.0.1, 10.6.0.1; "
        "SNAT of 2 subnets; 203.0.113.20 → tap-ben",
    ]
    assert re.fullmatch(rf"{ROWS} rows in one transaction, [\d.]+ m?s", said[3])
    assert network.rows() == ROWS
    again = network("apply", network.file).stdout
    assert again.count("unchanged") == 3
    assert again.endswith("nothing to do\n")
    assert network("plan", network.file).stdout.endswith("nothing to do\n")
    assert network("plan", "--delete", network.file).stdout.endswith(
        f"{ROWS} rows in one transaction\n"
    )
    assert network("delete", network.file).stdout.count("deleted  ") == 3
    assert network.rows() == 0
    assert network("delete", network.file).stdout.count("was not there") == 3


def test_as_json(network: Network) -> None:
    found = network.json("apply", network.file)
    assert (found["rows"], found["transactions"]) == (ROWS, 1)
    assert [(it["kind"], it["label"], it["state"], it["line"]) for it in found["networks"]] == [
        ("network", "blue", "added", 3),
        ("network", "outside", "added", 8),
        ("router", "edge", "added", 13),
    ]
    assert found["networks"][0]["file"] == "lab.yaml"
    assert found["networks"][0]["steps"][0]["words"].startswith("add network blue: ")
    assert {it["state"] for it in network.json("apply", network.file)["networks"]} == {"unchanged"}
    planned = network.json("plan", network.file)
    assert (planned["rows"], planned["transactions"]) == (0, 0)
    assert {it["state"] for it in planned["networks"]} == {"nothing_to_do"}
    listed = network.json("list", "--owner", "lab")["networks"]
    assert [(it["label"], it["owner"], it["rows"], len(it["ports"])) for it in listed] == [
        ("blue", "lab", 5, 2),
        ("outside", "lab", 2, 0),
        ("edge", "lab", 12, 0),
    ]
    ben = next(it for it in listed[0]["ports"] if it["shown"] == "tap-ben")
    assert (ben["addresses"], ben["up"]) == (["52:54:00:00:00:02", "10.5.0.12"], False)
    checked = network.json("check", network.file)["networks"]
    assert [it["state"] for it in checked] == ["waiting", "healthy", "healthy"]
    assert checked[0]["waiting"] == ["port tap-anna", "port tap-ben"]
    gone = network.json("delete", network.file)["networks"]
    assert {it["state"] for it in gone} == {"deleted"}


def test_check_names_each_column_and_apply_repairs_it(network: Network) -> None:
    network("apply", network.file)
    said = network("check", network.file).stdout
    assert "healthy  network blue\n" in said
    assert "waiting  port tap-anna  is plugged on no host\n" in said
    [port] = [
        it["name"]
        for found in network.json("list")["networks"]
        for it in found["ports"]
        if it["shown"] == "tap-ben"
    ]
    network.server.nbctl("lsp-set-addresses", port, "unknown")
    said = network("check", network.file, code=3).stdout
    assert (
        "drift    port tap-ben  addresses should be 52:54:00:00:00:02 10.5.0.12; is unknown\n"
        in said
    )
    found = network.json("check", network.file, code=3)["networks"][0]
    assert (found["state"], found["drifts"][0]["attribute"]) == ("drifted", "addresses")
    network.server.nbctl("lsp-del", port)
    assert "Logical_Switch_Port is missing" in network("check", network.file, code=3).stdout
    said = network("apply", "-v", network.file).stdout
    assert said.startswith("changed    network blue")
    assert "1. add port tap-ben to network blue: " in said
    network("check", "-q", network.file)


def test_what_is_in_the_way_is_named(network: Network) -> None:
    network("apply", network.file)
    [port] = [it["name"] for it in network.json("list")["networks"][0]["ports"]][:1]
    network("delete", network.file)
    network.server.nbctl("ls-add", "theirs", "--", "lsp-add", "theirs", port)
    before = network.rows()
    try:
        told = network("apply", network.file, code=1).stderr
        assert "its name is taken: " in told, "and not what the router lacks of it"
        failed = network.json("plan", network.file, code=1)["errors"]
        assert failed[0]["message"].startswith("port tap-")
        said = network("plan", "lab.yaml", code=1).stderr
        assert "lab.yaml:3: network blue: port tap-" in said
        assert "its name is taken: " in said
        assert "in theirs, not os-vif's" in said
    finally:
        network.server.nbctl("ls-del", "theirs")
    assert network.rows() == before == 0


BAD = {
    "52:54:00:00:00:02": ("52:54:00:00:00:01", "lab.yaml:25:10", "an address of its own in blue"),
    "[10.5.0.11]": ("[10.5.0.256]", "lab.yaml:21", "10.5.0.256"),
    "owner: lab": ("owner: a b", "lab.yaml:1", "owner"),
    "networks: [blue]": ("networks: [blew]", "lab.yaml:14", "did you mean 'blue'?"),
    "203.0.113.10,": ("198.51.100.1,", "lab.yaml:15", "198.51.100.1"),
    "10.5.0.0/24": ("10.5.0.1/24", "lab.yaml:6", "10.5.0.0/24"),
}


def test_bad_input_is_refused_with_its_place(network: Network) -> None:
    for what, (bad, place, words) in BAD.items():
        network.osvif.file(LAB.replace(what, bad), "lab.yaml")
        said = network("apply", "lab.yaml", code=2).stderr
        assert place in said
        assert words in said
        assert "nothing was touched" in said
    assert "10.5.0.0/24" in network("gc", "--owner", "lab", "--keep", "lab.yaml", code=2).stderr
    assert network.rows() == 0


def test_files_that_say_no_network(network: Network) -> None:
    network.osvif.file("type: tap\nmac: 52:54:00:12:34:57\n", "vif.yaml")
    assert "there is no network in it" in network("apply", "vif.yaml", code=2).stderr
    assert "No such file" in network("apply", "none.yaml", code=2).stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--nb", "br-int"], "unix:FILE, tcp:IP:PORT or ssl:IP:PORT"),
        (["--nb", "ssl:192.0.2.1:6641"], "ssl_key_file"),
        (["--timeout", "-1"], "x>=0"),
        (["--set", "ovn.nb_conection=unix:/x"], "did you mean 'nb_connection'?"),
    ],
)
def test_bad_remotes_are_refused(network: Network, words: list[str], said: str) -> None:
    assert said in network("apply", *words, network.file, code=2).stderr


def test_a_remote_that_does_not_answer(network: Network, tmp_path: Path) -> None:
    nowhere = f"unix:{tmp_path}/none"
    begun = time.monotonic()
    said = network("apply", "--nb", nowhere, "--timeout", "1", network.file, code=1).stderr
    assert f"{nowhere}: No such file or directory (is OVN's Northbound database there?" in said
    assert time.monotonic() - begun < 10
    failed = network.json("list", "--nb", nowhere, "--timeout", "1", code=1)
    assert failed["errors"][0]["type"] == "Failed"
    # The other remote is tried too, and the configuration file has a word in it.
    network("apply", "--nb", f"{nowhere},{network.server.northbound}", network.file)
    network.osvif.file(f"[os_vif_ovn]\nnb_connection = {nowhere}\ntimeout = 1\n", "host.conf")
    said = network("list", "--config-file", "host.conf", code=1).stderr
    assert nowhere in said


def test_without_any_privilege(network: Network) -> None:
    """Who may write the database needs no other right."""
    nobody = (
        "setpriv",
        "--reuid=65534",
        "--clear-groups",
        "--inh-caps=-all",
        "--bounding-set=-all",
    )
    socket = Path(network.server.northbound.removeprefix("unix:"))
    for path in (socket.parent, socket):
        path.chmod(0o777)
    for path in (network.osvif.folder, *network.osvif.folder.parents[:2]):
        path.chmod(0o755)
    done = network("apply", network.file, before=nobody)
    assert done.stdout.count("added") == 3
    with network.osvif.nothing_changed():
        network("delete", network.file, before=nobody)


def test_interrupted_half_way(network: Network) -> None:
    """It waits for what does not come; the rows are there, and the same command goes on."""
    argv = network.osvif.host.argv(COMMAND, "network", "apply", "--wait-up", network.file)
    child = subprocess.Popen(
        argv,
        env=ENVIRONMENT | network.environment,
        cwd=network.osvif.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until(lambda: network.rows() >= ROWS)
    child.send_signal(signal.SIGINT)
    said = child.communicate(timeout=PATIENCE_S)[1]
    assert child.returncode == 130
    assert "interrupted; the same command, run again, goes on from here" in said
    assert "Traceback" not in said
    assert network("apply", network.file).stdout.count("unchanged") == 3


def test_what_is_waited_for_does_not_come(network: Network) -> None:
    said = network("apply", "--wait", "--timeout", "1", network.file, code=1).stderr
    assert "ovn-northd has not followed" in said
    assert network.rows() == ROWS


def test_a_full_disk_and_a_reader_that_goes_away(network: Network) -> None:
    words = f"os-vif network apply {network.file}"
    for tail, code in (("> /dev/full", 1), ("| true", 0)):
        done = network.osvif.host.run(
            *("sh", "-c", f"PATH={Path(sys.executable).parent}:$PATH {words} {tail}"),
            check=False,
            env=ENVIRONMENT | network.environment,
            cwd=network.osvif.folder,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        assert network.rows() == ROWS


def test_gc_removes_what_the_owner_no_longer_names(network: Network) -> None:
    network("apply", network.file)
    other = LAB.replace("owner: lab", "owner: other").partition("routers:")[0]
    network("apply", network.osvif.file(other, "other.yaml"))
    whole = network.rows()
    less = LAB.partition("  - type: openvswitch\n    bridge: br-int\n    name: tap-ben")[0]
    network.osvif.file(less, "less.yaml")
    said = network("gc", "--owner", "lab", "--keep", "less.yaml", "--dry-run").stdout
    assert "would remove  port tap-ben" in said
    assert "would remove  NAT of 203.0.113.20" in said
    assert network.rows() == whole
    said = network("gc", "--owner", "lab", "--keep", "less.yaml", code=2).stderr
    assert "2 rows would be removed: say --yes" in said
    found = network.json("gc", "--owner", "lab", "--keep", "less.yaml", "--yes")["removed"]
    assert sorted(it["label"] for it in found) == ["203.0.113.20", "tap-ben"]
    assert network.rows() == whole - 2
    again = network("gc", "--owner", "lab", "--keep", "less.yaml", "--yes").stdout
    assert again == "nothing to remove\n"
    network("apply", network.file)
    found = network.json("apply", "--prune", "less.yaml")
    assert sorted(it["label"] for it in found["removed"]) == ["203.0.113.20", "tap-ben"]
    assert network.rows() == whole - 2
    said = network("gc", "--owner", "other", "--keep", "less.yaml", code=2).stderr
    assert "--owner other: the files are of lab" in said
    assert "say what to keep" in network("gc", "--owner", "lab", code=2).stderr
    assert "--owner" in network("gc", "--keep-none", code=2).stderr


def test_place(network: Network) -> None:
    network("apply", network.file)
    assert network("place", "tap-anna", "h1,h2").stdout == (
        "placed  port tap-anna  h1 or h2, shut on h2 until the guest's RARP comes\n"
    )
    assert network("place", "tap-anna", "h1,h2").stdout.startswith("already placed")
    # Whoever applies the file meanwhile leaves it as it is.
    network("apply", network.file)
    assert network.json("place", "tap-anna", "h1,h2")["steps"] == []
    assert len(network.json("place", port_of(network, "tap-anna"), "h2")["steps"]) == 1
    network("place", "tap-anna", "")
    for words, said in (
        (["tap-nobody", "h1"], "OVN has no logical port of this name"),
        (["tap-anna", "h1,h2,h3"], "chassis"),
        (["tap-anna", "h 1"], "chassis"),
    ):
        code = 1 if words[0] == "tap-nobody" else 2
        assert said in network("place", *words, code=code).stderr
    assert (
        "goes with two" in network("place", "tap-anna", "h1", "--activation", "rarp", code=2).stderr
    )


def port_of(network: Network, device: str) -> str:
    ports = [it for found in network.json("list")["networks"] for it in found["ports"]]
    return str(next(it["name"] for it in ports if it["shown"] == device))


def test_show_hangs_on_the_edge(network: Network) -> None:
    assert network("show").stdout == "there is no network\n"
    network("apply", network.file)
    for words in ([network.file], [], ["--owner", "lab"], ["--no-check", network.file]):
        said = network("show", *words).stdout
        order = ["physnet1", "outside", "edge", "blue", "tap-anna"]
        places = [
            next(at for at, line in enumerate(said.splitlines()) if name in line) for name in order
        ]
        assert places == sorted(places)
        assert ("on no host" in said) == ("--no-check" not in words)
    parts = {it["key"]: it for it in network.json("show")["parts"]}
    assert parts["port tap-ben"]["below"] == "network blue"
    assert parts["network blue"]["below"] == "router edge"
    assert parts["router edge"]["below"] == "network outside"
    assert "from outside 203.0.113.20" in parts["port tap-ben"]["lines"]
    assert "10.5.0.1/24 10.6.0.1/24" in parts["router edge"]["lines"]
    network.server.nbctl("lsp-del", port_of(network, "tap-ben"))
    said = network("show", network.file).stdout
    assert "! missing" in said
    network("show", "--svg", "lab.svg", network.file)
    picture = ElementTree.parse(network.osvif.folder / "lab.svg")  # noqa: S314
    assert any("tap-anna" in (it.text or "") for it in picture.iter())
    assert "goes without FILE" in network("show", "--owner", "lab", network.file, code=2).stderr


def test_list_without_anything(network: Network) -> None:
    assert network("list").stdout == "os-vif has no network there\n"
    network("apply", network.file)
    titles, *rows = (line.split() for line in network("list").stdout.splitlines())
    assert titles == ["NETWORK", "KIND", "OWNER", "PORTS", "UP", "ROWS", "ID"]
    assert rows[0][:6] == ["blue", "network", "lab", "2", "0", "5"]
    assert "52:54:00:00:00:02 10.5.0.12" in network("list", "-v").stdout


def test_help_teaches(osvif: OsVif) -> None:
    said = osvif("network", "--help").stdout
    for verb in ("plan", "apply", "check", "delete", "show", "list", "gc", "place"):
        assert re.search(rf"(?m)^ +{verb} ", said)
        help_ = osvif("network", verb, "-h").stdout
        assert help_.count(f"os-vif network {verb}") >= 3
        assert "With --json:" in help_
        assert "--nb REMOTE" in help_
    assert "did you mean 'apply'?" in osvif("network", "aply", code=2).stderr
    assert "Make OVN's networks" in osvif("network", "plug", "-h").stdout
    assert "Make OVN's networks" in osvif("help", "network", "apply").stdout


def test_words_are_completed_of_a_database_in_another_namespace(osvif, named_namespace) -> None:
    there = ["ip", "netns", "exec", named_namespace]
    subprocess.run([*there, "ip", "link", "set", "lo", "up"], check=True)
    server = ovn.Server("--remote=ptcp:6641:127.0.0.1", host=there)
    remote = "--nb tcp:127.0.0.1:6641"

    def asked(line: str) -> list[str]:
        words = {"_OS_VIF_COMPLETE": "bash_complete", "COMP_WORDS": f"os-vif network {line}"}
        return osvif(env=words).stdout.split()

    try:
        osvif("network", "apply", osvif.file(LAB, "lab.yaml"), "--nb", server.northbound)
        at = f"--netns {named_namespace} {remote}"
        assert asked(f"place {at} tap-a") == ["plain,tap-anna"]
        assert asked(f"gc {at} --owner ") == ["plain,lab"]
        assert asked(f"place {remote} tap-a") == []
    finally:
        server.close()
