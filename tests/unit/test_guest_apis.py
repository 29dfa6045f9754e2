# SPDX-License-Identifier: Apache-2.0
"""What QMP, Cloud Hypervisor, Firecracker and Kata Containers are told.

No machine here has the last three, so they are held to the interfaces that they publish
(tests/hypervisor-interfaces.toml) and to what their sources refuse.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.guest import (
    GuestOptions,
    cloud_hypervisor,
    firecracker,
    kata,
    pages,
    qmp,
)
from os_vif.guest.card import NAMES, Another, Card, Tap, VhostUser
from tests.cards import ENDS, MAC, VIF_ID, card, card_with

ID = "net-5f4ab6c1-ca"
PUBLISHED = tomllib.loads(
    (Path(__file__).parents[1] / "hypervisor-interfaces.toml").read_text(encoding="utf-8")
)


def need_published(said: dict[str, Any], *where: str) -> None:
    """See that each property is one of those that are published, and as it must be."""
    rows = PUBLISHED[where[0]][where[1]]
    schema = {**rows, "type": "object", "additionalProperties": False}
    del schema["source"]
    jsonschema.validate(said, schema)


def options_for(name: str) -> GuestOptions:
    return GuestOptions(queues=2 if name == "tap of several queues" else 1)


# --- Cloud Hypervisor -----------------------------------------------------------------------------


def cloud(name: str, descriptors: Any = (), **options: Any) -> cloud_hypervisor.Config:
    return cloud_hypervisor.config(card(name), GuestOptions(**options), descriptors)


@pytest.mark.parametrize("name", ENDS)
def test_cloud_hypervisor_is_told_what_it_publishes(name: str) -> None:
    try:
        made = cloud_hypervisor.config(card(name), options_for(name))
    except exception.NotForHypervisor:
        return
    for kind, schema in (("net", "NetConfig"), ("devices", "DeviceConfig")):
        for said in made.config.get(kind, ()):
            need_published(said, "cloud-hypervisor", schema)
    assert set(made.config) <= {"net", "devices", "memory"}


def test_a_tap() -> None:
    made = cloud("tap")
    assert made.config == {"net": [{"id": ID, "mac": MAC, "num_queues": 2, "tap": "tap-web"}]}
    assert made.words == ("--net", f"id={ID},mac={MAC},num_queues=2,tap=tap-web")


def test_its_queues_are_counted_in_both_directions() -> None:
    made = cloud("tap of several queues", queues=2, vcpus=2)
    assert made.config["net"][0]["num_queues"] == 4
    with pytest.raises(exception.InvalidField, match=r"queues: 2.*1 at most"):
        cloud("tap of several queues", queues=2, vcpus=1)


def test_neither_mtu_nor_the_taps_address_is_set() -> None:
    for name in ("tap", "macvtap", "vhost-user client"):
        assert not {"mtu", "host_mac"} & set(cloud(name).config["net"][0])


def test_descriptors_go_beside_the_body() -> None:
    for name in ("tap", "macvtap"):
        made = cloud(name, [3])
        assert made.config == {"net": [{"id": ID, "mac": MAC, "num_queues": 2}]}
        assert made.words == ("--net", f"fd=[3],id={ID},mac={MAC},num_queues=2")
        assert any("SCM_RIGHTS" in note for note in made.notes)
    assert cloud("macvtap").words[1].startswith("fd=[{fds:tap-web}],")
    assert cloud("macvtap", queues=2).words == ()
    assert cloud("macvtap", [5, 6], queues=2).words[1].startswith("fd=[5,6],")


@pytest.mark.parametrize(
    ("name", "descriptors", "options"),
    [
        ("tap", [2], {}),
        ("tap", [3, 4], {}),
        ("macvtap", [3], {"queues": 2}),
        ("vhost-user client", [3], {}),
    ],
)
def test_descriptors_that_it_refuses(name: str, descriptors: list[int], options: Any) -> None:
    with pytest.raises(exception.InvalidField, match=r"descriptors: "):
        cloud(name, descriptors, **options)


@pytest.mark.parametrize("mode", ["client", "server"])
def test_its_part_at_a_socket_is_the_guests(mode: str) -> None:
    made = cloud(f"vhost-user {mode}", memory=1 << 30)
    assert made.config == {
        "net": [
            {
                "id": ID,
                "mac": MAC,
                "num_queues": 2,
                "vhost_user": True,
                "vhost_socket": "/run/vhost/web.sock",
                "vhost_mode": mode.capitalize(),
            }
        ],
        "memory": {"size": 1 << 30, "shared": True},
    }
    need_published(made.config["memory"], "cloud-hypervisor", "MemoryConfig")
    assert made.words == (
        "--memory",
        "size=1073741824,shared=on",
        "--net",
        f"id={ID},mac={MAC},num_queues=2,vhost_user=true,vhost_mode={mode},"
        "socket=/run/vhost/web.sock",
    )
    assert any("60 s" in note for note in made.notes)


def test_without_the_memorys_size_people_are_told() -> None:
    made = cloud("vhost-user client")
    assert "memory" not in made.config
    assert any("memory must be shared" in note for note in made.notes)


@pytest.mark.parametrize("path", ["/a,b", "/a'b", '/a"b', "/a[b", "/a b"])
def test_a_path_that_its_lists_cannot_hold_is_for_the_api(path: str) -> None:
    end = VhostUser(path=path, mode="server")
    made = cloud_hypervisor.config(card_with(end), GuestOptions())
    assert made.words == ()
    assert made.config["net"][0]["vhost_socket"] == path
    assert any("use the API" in note for note in made.notes)


def test_a_function_is_its_folder_in_sysfs() -> None:
    device = {"id": ID, "path": "/sys/bus/pci/devices/0000:3b:00.2"}
    assert cloud("bound function").config == {"devices": [device]}
    assert cloud("bound function").notes == ()
    assert any("vfio-pci" in note for note in cloud("function").notes)


def test_it_knows_one_size_of_queues() -> None:
    assert cloud("tap", rx_queue_size=512).config["net"][0]["queue_size"] == 512
    assert cloud("tap", tx_queue_size=256).config["net"][0]["queue_size"] == 256
    with pytest.raises(exception.InvalidField, match="there is but one size"):
        cloud("tap", rx_queue_size=512, tx_queue_size=256)


# --- Firecracker ----------------------------------------------------------------------------------


def test_firecracker_is_told_what_it_publishes() -> None:
    made = firecracker.interface(card("tap"), GuestOptions())
    need_published(made.body, "firecracker", "NetworkInterface")
    assert made.path == "/network-interfaces/net_5f4ab6c1_ca"
    assert made.body == {
        "iface_id": "net_5f4ab6c1_ca",
        "host_dev_name": "tap-web",
        "guest_mac": MAC,
        "mtu": 1500,
    }


@pytest.mark.parametrize(
    ("version", "told"),
    [("", True), ("1.15", False), ("1.15.2", False), ("1.16", True), ("1.16.0", True)],
)
def test_a_guest_of_firecrackers_is_told_its_mtu_since_1_16(version: str, told: bool) -> None:
    made = firecracker.interface(card("tap"), GuestOptions(firecracker_version=version))
    assert ("mtu" in made.body) is told
    assert any("since 1.16" in note for note in made.notes) is not told


def test_a_firecracker_that_is_newer_than_what_is_known() -> None:
    made = firecracker.interface(card("tap"), GuestOptions(firecracker_version="1.18"))
    assert "mtu" in made.body
    assert any("up to 1.17" in note for note in made.notes)


def test_firecracker_has_one_queue_and_no_other_card() -> None:
    with pytest.raises(exception.InvalidField, match=r"queues: 2.*Firecracker has but one"):
        firecracker.interface(card("tap of several queues"), GuestOptions(queues=2))
    with pytest.raises(exception.InvalidField, match=r"model: 'e1000e'.*Firecracker"):
        firecracker.interface(card("tap"), GuestOptions(model="e1000e"))


# --- Kata Containers ------------------------------------------------------------------------------


def dan(name: str, **options: Any) -> dict[str, Any]:
    return kata.device(card(name), GuestOptions(**options)).device


@pytest.mark.parametrize("name", ENDS)
def test_kata_is_told_what_it_publishes(name: str) -> None:
    try:
        said = kata.device(card(name), options_for(name)).device
    except exception.NotForHypervisor:
        return
    need_published(said, "kata", "DanDevice")
    need_published(said["device"], "kata", said["device"]["type"])
    need_published(said["network_info"], "kata", "NetworkInfo")
    need_published(said["network_info"]["interface"], "kata", "Interface")


def test_a_tap_of_a_sandbox() -> None:
    one = Card(
        vif_id=VIF_ID,
        vif_class="VIFGeneric",
        mac=MAC,
        end=Tap(device="tap-web", mtu=1400),
        addresses=("192.0.2.9/24", "2001:db8::9/64"),
        routes=(("", "192.0.2.1"), ("198.51.100.0/24", "192.0.2.2")),
    )
    said = kata.device(one, GuestOptions(id="eth0", rx_queue_size=512)).device
    assert said == {
        "name": "eth0",
        "guest_mac": MAC,
        "device": {
            "type": "host-tap",
            "tap_name": "tap-web",
            "queue_num": 1,
            "queue_size": 512,
        },
        "network_info": {
            "interface": {
                "ip_addresses": ["192.0.2.9/24", "2001:db8::9/64"],
                "mtu": 1400,
                "ntype": "tuntap",
            },
            "routes": [
                {"dest": "", "gateway": "192.0.2.1"},
                {"dest": "198.51.100.0/24", "gateway": "192.0.2.2"},
            ],
        },
    }
    for route in said["network_info"]["routes"]:
        need_published(route, "kata", "Route")


def test_a_socket_and_a_function_of_a_sandbox() -> None:
    socket = {"type": "vhost-user", "path": "/run/vhost/web.sock", "queue_num": 2}
    assert dan("vhost-user client", queues=2)["device"] == socket
    assert dan("function")["device"] == {"type": "vfio", "pci_device_id": "0000:3b:00.2"}


def test_a_sandboxs_card_has_the_name_of_an_interface() -> None:
    assert dan("tap")["name"] == ID
    with pytest.raises(exception.InvalidField, match="id: 'net-of-16-letters'"):
        dan("tap", id="net-of-16-letters")


# --- QMP ------------------------------------------------------------------------------------------


def words(commands: tuple[qmp.Command, ...]) -> list[str]:
    return [command.execute for command in commands]


def test_a_tap_goes_in_and_out_of_a_running_guest() -> None:
    made = qmp.dialogue(card("tap of several queues"), GuestOptions(queues=2, bus="rp1"))
    assert words(made.plug) == ["getfd", "getfd", "netdev_add", "device_add"]
    assert [command.descriptor for command in made.plug] == [0, 1, None, None]
    assert made.plug[2].arguments == {
        "type": "tap",
        "id": f"host-{ID}",
        "fds": f"fd-{ID}-0:fd-{ID}-1",
    }
    assert made.plug[3].arguments == {
        "driver": "virtio-net-pci",
        "id": ID,
        "netdev": f"host-{ID}",
        "mac": MAC,
        "mq": True,
        "vectors": 6,
        "host_mtu": 1500,
        "romfile": "",
        "bus": "rp1",
    }
    assert [command.as_json() for command in made.unplug] == [
        {
            "execute": "device_del",
            "arguments": {"id": ID},
            "wait": {"event": "DEVICE_DELETED", "data": {"device": ID}},
        },
        {"execute": "netdev_del", "arguments": {"id": f"host-{ID}"}},
    ]
    assert made.notes == (
        "MTU and queues are what the guest sees, and may not change in a live migration",
    )


def test_a_tap_by_name_is_given_nothing() -> None:
    made = qmp.dialogue(card("tap"), GuestOptions(by_name=True))
    assert words(made.plug) == ["netdev_add", "device_add"]
    assert made.plug[0].arguments["ifname"] == "tap-web"


@pytest.mark.parametrize(
    ("mode", "version", "data"),
    [
        ("server", "", {"server": True, "wait": False}),
        ("client", "", {"server": False, "reconnect": 1}),
        ("client", "9.2", {"server": False, "reconnect-ms": 1000}),
    ],
)
def test_a_socket_is_connected_before_the_monitor_could_block(
    mode: str, version: str, data: dict[str, Any]
) -> None:
    made = qmp.dialogue(card(f"vhost-user {mode}"), GuestOptions(qemu_version=version))
    assert words(made.plug) == ["chardev-add", "netdev_add", "device_add"]
    assert words(made.unplug) == ["device_del", "netdev_del"]
    address = {"type": "unix", "data": {"path": "/run/vhost/web.sock"}}
    assert made.plug[0].as_json() == {
        "execute": "chardev-add",
        "arguments": {
            "id": f"char-{ID}",
            "backend": {"type": "socket", "data": {"addr": address, **data}},
        },
        "wait": {
            "query": "query-chardev",
            "entry": {"label": f"char-{ID}"},
            "until": "connected",
        },
        "undo": {"execute": "chardev-remove", "arguments": {"id": f"char-{ID}"}},
    }


def test_a_function_has_no_hosts_side() -> None:
    made = qmp.dialogue(card("bound function"), GuestOptions(bus="rp1"))
    assert words(made.plug) == ["device_add"]
    assert words(made.unplug) == ["device_del"]


@pytest.mark.parametrize("name", ENDS)
def test_all_but_the_last_can_be_taken_back(name: str) -> None:
    try:
        made = qmp.dialogue(card(name), options_for(name))
    except exception.NotForHypervisor:
        return
    assert all(command.undo is not None for command in made.plug[:-1])
    assert made.plug[-1].undo is None
    assert json.loads(json.dumps(made.as_json())) == made.as_json()


def test_the_last_card_goes_first() -> None:
    page = pages.page_of("qmp")
    cards = [page.tell(card("tap"), GuestOptions(id=name)) for name in ("one", "two")]
    commands = json.loads(page.document(cards))
    gone = [it["arguments"]["id"] for it in commands["unplug"] if it["execute"] == "device_del"]
    assert gone == ["two", "one"]


def test_where_a_card_is_plugged_in_a_running_guest() -> None:
    assert any("root port" in it for it in qmp.dialogue(card("tap"), GuestOptions()).notes)


# --- the pages, alike -----------------------------------------------------------------------------


@pytest.mark.parametrize("hypervisor", NAMES)
def test_each_page_tells_of_a_tap_and_of_two(hypervisor: str) -> None:
    page = pages.page_of(hypervisor)
    one = page.tell(card("tap"), GuestOptions(id="one"))
    two = page.tell(card("tap"), GuestOptions(id="two"))
    text = page.document([one, two])
    assert text.endswith("\n")
    assert all(word in text for word in (MAC, "one", "two"))
    if hypervisor not in ("libvirt", "qemu"):
        json.loads(text)
    assert json.loads(json.dumps(one.as_json()))


@pytest.mark.parametrize("hypervisor", [name for name in NAMES if name != "libvirt"])
def test_two_cards_of_one_id_are_no_guests(hypervisor: str) -> None:
    page = pages.page_of(hypervisor)
    one = page.tell(card("tap"), GuestOptions())
    with pytest.raises(exception.InvalidField, match=r"^id: .*an id of its own"):
        page.document([one, one])


def test_a_document_of_libvirts_has_the_memory_once() -> None:
    page = pages.page_of("libvirt")
    made = page.tell(card("vhost-user client"), GuestOptions())
    assert page.document([made, made]).count("<memoryBacking>") == 1


def test_a_document_of_qemus_is_a_shells() -> None:
    page = pages.page_of("qemu")
    text = page.document([page.tell(card("tap"), GuestOptions(id="one", vhost="off"))])
    assert text == (
        """-netdev '{"type":"tap","id":"host-one","fd":"{fds:tap-web}","vhost":false}' \\\n"""
        """-device '{"driver":"virtio-net-pci","id":"one","netdev":"host-one","""
        f'''"mac":"{MAC}","host_mtu":1500,"romfile":""}}'\n'''
    )


@pytest.mark.parametrize("hypervisor", NAMES)
def test_a_third_partys_words_reach_each_page(hypervisor: str) -> None:
    page = pages.page_of(hypervisor)
    mine = page.tell(card("tap"), GuestOptions())
    end = Another(name="a vDPA device", told_by={hypervisor: lambda *_: mine})
    assert page.tell(card_with(end), GuestOptions()) is mine


@pytest.mark.parametrize("hypervisor", NAMES)
@given(tail=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100))
def test_a_path_stays_one_value_of_json(hypervisor: str, tail: str) -> None:
    path = f"/run/{tail}".rstrip("/")
    try:
        end = VhostUser(path=path, mode="server")
        page = pages.page_of(hypervisor)
        made = page.tell(card_with(end), GuestOptions())
    except (exception.InvalidField, exception.NotForHypervisor):
        return
    if hypervisor not in ("libvirt", "qemu"):
        assert json.dumps(path) in json.dumps(made.as_json())
        assert page.document([made])
