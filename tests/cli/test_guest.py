# SPDX-License-Identifier: Apache-2.0
"""``os-vif guest``: what a hypervisor must be told."""

from __future__ import annotations

import json
import shlex
import sys
from xml.etree import ElementTree

import pytest

from os_vif.guest.card import NAMES
from tests.cli.conftest import BRIDGE, TAP, OsVif

pytestmark = pytest.mark.functional

MAC = "52:54:00:12:34:57"
HYBRID = "type: openvswitch-hybrid\nbridge: br-int\nname: tap-h\nmac: 52:54:00:12:34:5a\n"
SOCKET = """\
type: vhostuser
path: '/run/a,b"<c.sock'
mode: client
mac: 52:54:00:12:34:58
network: {mtu: 1280}
"""


def words_of(text: str) -> list[str]:
    """Return words as a shell reads them, for which a line ends where no backslash is before."""
    return shlex.split(text.replace("\\\n", " "))


def test_libvirt_is_told_of_a_tap(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    osvif("plug", file)
    done = osvif("guest", file, "--format", "libvirt")
    assert done.stderr == ""
    made = ElementTree.fromstring(done.stdout)  # noqa: S314  (it is what was just written)
    target = made.find("target")
    assert target is not None
    assert target.attrib == {"dev": "tap1", "managed": "no"}
    osvif("check", file)


def test_qemus_words_are_what_exec_fills_in(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    osvif("plug", file)
    words = words_of(osvif("guest", file, "--format", "qemu", "--vhost", "off").stdout)
    show = (sys.executable, "-c", "import sys; print(sys.argv[1])")
    done = osvif("exec", file, "--", *show, words[1])
    netdev = json.loads(done.stdout)
    assert netdev.pop("id").startswith("host-net-")
    assert netdev.pop("fd").isdigit()
    assert netdev == {"type": "tap", "vhost": False}


def test_the_kernel_moves_the_packets_where_it_can(
    osvif: OsVif, monkeypatch: pytest.MonkeyPatch
) -> None:
    from os_vif.cli import guest
    from os_vif.guest import GuestOptions

    monkeypatch.setattr(guest, "VHOST_NET", "/dev/null")
    assert guest.resolved(GuestOptions()).vhost == "on"
    assert guest.resolved(GuestOptions(vhost="off")).vhost == "off"
    assert guest.resolved(GuestOptions(model="e1000e")).vhost == "auto"
    monkeypatch.setattr(guest, "VHOST_NET", str(osvif.folder / "nothing"))
    assert guest.resolved(GuestOptions()).vhost == "auto"


def test_the_command_knows_all_hypervisors() -> None:
    from os_vif.cli import guest

    assert tuple(NAMES) == guest.FORMATS


def test_what_is_not_plugged_is_told_of_all_the_same(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    done = osvif("guest", file, "--format", "libvirt")
    assert "not plugged here yet" in done.stderr
    assert "tap1" in done.stdout


@pytest.mark.parametrize("form", NAMES)
def test_each_hypervisor_in_json(osvif: OsVif, form: str) -> None:
    file = osvif.file(TAP)
    found = osvif.json("guest", file, "--format", form)
    assert (found["format"], len(found["vifs"])) == (form, 1)
    [vif] = found["vifs"]
    assert vif["devices"] == ["tap1"]
    assert MAC in json.dumps(vif["value"])
    assert "it is not plugged here yet: plug it before the guest starts" in vif["notes"]
    assert MAC in found["text"]


def test_all_cards_of_a_guest(osvif: OsVif) -> None:
    file = osvif.file(f"{TAP}---\n{TAP.replace('1', '2')}".replace("52:54:00:22", "52:54:00:12"))
    done = osvif("guest", file, "--format", "firecracker")
    cards = json.loads(done.stdout)["network-interfaces"]
    assert [card["host_dev_name"] for card in cards] == ["tap1", "tap2"]
    assert "tap2: it is not plugged here yet" in done.stderr
    only = osvif("guest", file, "--only", "tap2", "--format", "firecracker")
    assert len(json.loads(only.stdout)["network-interfaces"]) == 1


def test_the_socket_of_an_ugly_path(osvif: OsVif) -> None:
    file = osvif.file(SOCKET)
    done = osvif("guest", file, "--format", "qemu", "--memory", "1G")
    words = words_of(done.stdout)
    assert words[:4] == [
        "-object",
        '{"qom-type":"memory-backend-memfd","id":"guest-memory","size":1073741824,"share":true}',
        "-machine",
        "memory-backend=guest-memory",
    ]
    assert words[5].endswith(',path=/run/a,,b"<c.sock,reconnect=1')
    assert json.loads(words[9])["host_mtu"] == 1280
    xml = osvif("guest", file, "--format", "libvirt").stdout
    assert '<source type="unix" path="/run/a,b&quot;&lt;c.sock" mode="client">' in xml
    assert xml.endswith("</memoryBacking>\n")


@pytest.mark.parametrize(
    ("size", "expected"),
    [("512", 512 << 20), ("512M", 512 << 20), ("2G", 2 << 30), ("1GiB", 1 << 30)],
)
def test_sizes_of_memory(osvif: OsVif, size: str, expected: int) -> None:
    file = osvif.file(SOCKET)
    found = osvif.json("guest", file, "--format", "cloud-hypervisor", "--memory", size)
    assert found["vifs"][0]["value"]["config"]["memory"]["size"] == expected


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (TAP, (), "--format"),
        (TAP, ("--format", "xen"), "xen"),
        (TAP, ("--format", "qemu", "--queues", "0"), "--queues"),
        (TAP, ("--format", "qemu", "--queues", "257"), "--queues"),
        (TAP, ("--format", "qemu", "--queues", "2x"), "--queues"),
        (TAP, ("--format", "qemu", "--queues", "2"), "plug it with multi_queue to have more"),
        (f"{TAP}multi_queue: true\n", ("--format", "qemu"), "2 or more, as tap tap1"),
        (TAP, ("--format", "qemu", "--model", "ne2000"), "model: 'ne2000'"),
        (TAP, ("--format", "qemu", "--memory", "much"), "'much' is no size"),
        (TAP, ("--format", "qemu", "--qemu-version", "six"), "qemu_version: 'six'"),
        (TAP, ("--format", "firecracker", "--firecracker-version", "0.9"), "version from 1.0 on"),
        (TAP, ("--format", "libvirt", "--id", "a,b"), "id: 'a,b'"),
        (TAP, ("--format", "libvirt", "--libvirt-makes-it"), "a VIFDirect, and not a tap"),
        (HYBRID, ("--format", "qemu"), "QEMU cannot be given this VIFBridge"),
        (
            HYBRID,
            ("--format", "kata"),
            "with create_tap it is made when it is plugged; libvirt can",
        ),
        (SOCKET, ("--format", "firecracker"), "it has no vhost-user network card"),
        ('type: vhostuser\npath: "/run/a\\nb"\nmode: client\n', ("--format", "qemu"), "path"),
        ("vifs: []", ("--format", "qemu"), "there is no VIF in it"),
        (
            f"{TAP}instance: {{name: web}}\n---\n{BRIDGE}instance: {{name: db}}\n",
            ("--format", "libvirt"),
            "these are VIFs of 2 guests (web, db); choose with --only NAME",
        ),
        (
            f"{TAP}---\n{HYBRID}",
            ("--format", "qemu"),
            "error: qbr3ca63e64-b2: QEMU cannot be given",
        ),
        (
            f"{TAP}---\n{TAP.replace('tap1', 'tap2').replace(':57', ':59')}",
            ("--format", "qemu", "--id", "web"),
            "an id of its own for each card",
        ),
    ],
)
def test_what_cannot_be(osvif: OsVif, text: str, words: tuple[str, ...], said: str) -> None:
    file = osvif.file(text)
    done = osvif("guest", file, *words, code=2)
    assert said in done.stderr
    assert done.stdout == ""
    osvif.json("guest", file, *words, code=2)


def test_a_plugin_that_does_not_say(osvif: OsVif) -> None:
    from os_vif import objects

    objects.register_all()
    vif = objects.vif.VIFGeneric(
        id="5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea",
        plugin="noop",
        vif_name="tap9",
        address=MAC,
    )
    file = osvif.file(json.dumps(vif.obj_to_primitive()), "vif.json")
    said = osvif("guest", file, "--format", "qemu", code=2).stderr
    assert "plugin noop does not say what a hypervisor is to be told of this VIFGeneric" in said


def test_a_guest_that_runs_is_compared(osvif: OsVif) -> None:
    file = osvif.file(TAP)
    told = osvif("guest", file, "--format", "libvirt").stdout
    osvif.file(f"<domain><devices>{told}</devices></domain>", "web.xml")
    check = ("guest", file, "--format", "libvirt", "--check")
    assert osvif(*check, "web.xml").stdout == "as told  tap1\n"
    assert osvif.json(*check, "web.xml")["vifs"][0]["drifts"] == []
    osvif.file(f"<domain><devices>{told.replace('tap1', 'vnet0')}</devices></domain>", "web.xml")
    drift = "target dev is vnet0, and should be tap1"
    assert osvif(*check, "web.xml", code=3).stdout == f"drift  tap1: {drift}\n"
    assert osvif.json(*check, "web.xml", code=3)["vifs"][0]["drifts"] == [drift]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--format", "libvirt", "--check", "none.xml"), "No such file"),
        (("--format", "libvirt", "--check", "vif.yaml"), "the XML of a domain"),
        (
            ("--format", "qemu", "--check", "vif.yaml"),
            "--check takes --format libvirt or qmp, not qemu",
        ),
    ],
)
def test_what_cannot_be_compared(osvif: OsVif, words: tuple[str, ...], said: str) -> None:
    done = osvif("guest", osvif.file(TAP), *words, code=2)
    assert said in done.stderr
    assert done.stdout == ""
