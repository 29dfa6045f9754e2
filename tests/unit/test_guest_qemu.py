# SPDX-License-Identifier: Apache-2.0
"""What QEMU is told, word for word; tests with real guests say that it works."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.guest import GuestOptions, qemu
from os_vif.guest.card import Another, Tap, VhostUser
from tests.cards import ENDS, MAC, card, card_with

ID = "net-5f4ab6c1-ca"
DEVICE = {
    "driver": "virtio-net-pci",
    "id": ID,
    "netdev": f"host-{ID}",
    "mac": MAC,
    "host_mtu": 1500,
    "romfile": "",
}
TAP = {"type": "tap", "id": f"host-{ID}"}


def said(name: str, descriptors: Any = (), **options: Any) -> list[Any]:
    """Return the words, JSON read."""
    words = qemu.arguments(card(name), GuestOptions(**options), descriptors).words
    return [json.loads(word) if word.startswith("{") else word for word in words]


def test_a_tap_by_descriptor() -> None:
    assert said("tap", [3]) == ["-netdev", TAP | {"fd": "3"}, "-device", DEVICE]


def test_the_words_are_as_short_as_can_be() -> None:
    made = qemu.arguments(card("tap"), GuestOptions(), [3])
    assert made.words == (
        "-netdev",
        '{"type":"tap","id":"host-net-5f4ab6c1-ca","fd":"3"}',
        "-device",
        '{"driver":"virtio-net-pci","id":"net-5f4ab6c1-ca","netdev":"host-net-5f4ab6c1-ca",'
        '"mac":"52:54:00:12:34:56","host_mtu":1500,"romfile":""}',
    )
    assert (made.netdev_id, made.device_id, made.memory) == (f"host-{ID}", ID, ())
    assert made.notes == ()


def test_several_queues() -> None:
    several = said("tap of several queues", [3, 4], queues=2)
    device = DEVICE | {"mq": True, "vectors": 6}
    assert several == ["-netdev", TAP | {"fds": "3:4"}, "-device", device]


def test_a_tap_by_name_runs_no_scripts() -> None:
    by_name = TAP | {"ifname": "tap-web", "script": "no", "downscript": "no"}
    assert said("tap", by_name=True)[1] == by_name
    assert said("tap of several queues", by_name=True, queues=3)[1] == by_name | {"queues": 3}
    made = qemu.arguments(card("tap"), GuestOptions(by_name=True))
    assert any("makes tap tap-web itself" in note for note in made.notes)


def test_without_descriptors_stands_what_exec_replaces() -> None:
    assert said("tap")[1] == TAP | {"fd": "{fds:tap-web}"}
    assert said("macvtap", queues=2)[1] == TAP | {"fds": "{fds:tap-web}"}


def test_the_kernel_moves_packets_where_it_is_asked_to() -> None:
    assert said("tap", [3], vhost="on")[1] == TAP | {"fd": "3", "vhost": True}
    assert said("tap", [3], vhost="off")[1] == TAP | {"fd": "3", "vhost": False}
    assert "vhost" not in said("tap", [3], vhost="off", model="e1000e")[1]


def test_sizes_bus_and_id() -> None:
    options = {"rx_queue_size": 1024, "tx_queue_size": 256, "bus": "pci.3", "id": "web0"}
    _netdev, back, _device, front = said("tap", [3], **options)
    assert back == {"type": "tap", "id": "host-web0", "fd": "3"}
    assert front == DEVICE | {
        "id": "web0",
        "netdev": "host-web0",
        "rx_queue_size": 1024,
        "tx_queue_size": 256,
        "bus": "pci.3",
    }


def test_another_card_is_told_no_mtu_and_people_are() -> None:
    bare = {key: DEVICE[key] for key in ("id", "netdev", "mac", "romfile")}
    assert said("macvtap", [3], model="e1000e")[3] == {"driver": "e1000e", **bare}
    made = qemu.arguments(card("macvtap"), GuestOptions(model="e1000e"), [3])
    assert any("will not obey the MTU of 1400 bytes" in note for note in made.notes)


def test_a_boot_rom_on_request() -> None:
    assert "romfile" not in said("tap", [3], boot_rom=True)[3]


def test_a_socket_where_the_guest_listens() -> None:
    words = said("vhost-user server")
    assert words == [
        "-chardev",
        f"socket,id=char-{ID},path=/run/vhost/web.sock,server=on,wait=off",
        "-netdev",
        {"type": "vhost-user", "id": f"host-{ID}", "chardev": f"char-{ID}"},
        "-device",
        DEVICE,
    ]


@pytest.mark.parametrize(
    ("version", "word"),
    [("", "reconnect=1"), ("7.2", "reconnect=1"), ("9.1.2", "reconnect=1")]
    + [(version, "reconnect-ms=1000") for version in ("9.2", "10.0.3")],
)
def test_a_socket_that_the_guest_connects_to(version: str, word: str) -> None:
    chardev = f"socket,id=char-{ID},path=/run/vhost/web.sock,{word}"
    assert said("vhost-user client", qemu_version=version)[1] == chardev


def test_queues_of_a_socket() -> None:
    words = said("vhost-user client", queues=4, tx_queue_size=1024)
    assert words[3]["queues"] == 4
    assert words[5] == DEVICE | {"mq": True, "vectors": 10, "tx_queue_size": 1024}


def test_shared_memory() -> None:
    made = qemu.arguments(card("vhost-user client"), GuestOptions(memory=1 << 30))
    assert made.memory == (
        "-object",
        '{"qom-type":"memory-backend-memfd","id":"guest-memory","size":1073741824,"share":true}',
        "-machine",
        "memory-backend=guest-memory",
    )
    without = qemu.arguments(card("vhost-user client"), GuestOptions())
    assert without.memory == ()
    assert any("memory must be shared" in note for note in without.notes)


def test_a_function() -> None:
    function = {"driver": "vfio-pci", "id": ID, "host": "0000:3b:00.2", "romfile": ""}
    for name in ("function", "bound function", "any device"):
        assert said(name) == ["-device", function]
    managed, bound = (
        qemu.arguments(card(name), GuestOptions()).notes for name in ("function", "bound function")
    )
    assert any("vfio-pci" in note for note in managed)
    assert bound == ()


def test_what_reaches_nothing_is_named() -> None:
    made = qemu.arguments(card("tap"), GuestOptions(vcpus=2, firecracker_version="1.15"), [3])
    assert list(made.notes) == [
        "vcpus reaches nothing: QEMU is not told of it",
        "firecracker_version reaches nothing: QEMU is not told of it",
    ]


def test_an_mtu_that_nobody_knows() -> None:
    made = qemu.arguments(card_with(Tap(device="tap-web")), GuestOptions(), [3])
    assert "host_mtu" not in made.words[3]
    assert any("nothing says the MTU" in note for note in made.notes)


@pytest.mark.parametrize(
    ("name", "descriptors", "options"),
    [
        ("tap", [3, 4], {}),
        ("tap", [-1], {}),
        ("macvtap", [3], {"queues": 2}),
        ("tap", [3], {"by_name": True}),
        ("vhost-user client", [3], {}),
        ("function", [3], {}),
    ],
)
def test_descriptors_that_cannot_be(name: str, descriptors: list[int], options: Any) -> None:
    with pytest.raises(exception.InvalidField, match=r"descriptors: "):
        said(name, descriptors, **options)


def test_a_macvtap_cannot_be_opened_by_name() -> None:
    with pytest.raises(exception.InvalidField, match=r"by_name.*macvtap"):
        said("macvtap", by_name=True)


def test_all_cards_of_a_guest_and_its_memory_once() -> None:
    shared = GuestOptions(memory=1 << 30)
    one = qemu.arguments(card("vhost-user client"), shared)
    two = qemu.arguments(card("vhost-user server"), GuestOptions(memory=1 << 30, id="two"))
    three = qemu.arguments(card("tap"), GuestOptions(id="three"), [3])
    assert qemu.together([one, two, three]) == [*one.memory, *one.words, *two.words, *three.words]
    with pytest.raises(exception.InvalidField, match=f"id: '{ID}'"):
        qemu.together([one, one])
    other = qemu.arguments(card("vhost-user server"), GuestOptions(memory=1 << 31, id="two"))
    with pytest.raises(exception.InvalidField, match=r"memory: \[1073741824, 2147483648\]"):
        qemu.together([one, other])


def test_a_third_partys_words() -> None:
    mine = qemu.Arguments(("-netdev", "vhost-vdpa,id=x"), (), "x", "y")
    end = Another(name="a vDPA device", told_by={"qemu": lambda *_: mine})
    assert qemu.arguments(card_with(end), GuestOptions()) is mine


def _chardev_options(text: str) -> list[str]:
    """Return the parts of QEMU's key=value text (util/keyval.c: two commas are one)."""
    return [part.replace("\0", ",") for part in text.replace(",,", "\0").split(",")]


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=100))
def test_no_path_becomes_an_option(tail: str) -> None:
    path = f"/run/{tail}".rstrip("/")
    try:
        end = VhostUser(path=path, mode="server")
    except exception.InvalidField:
        return
    made = qemu.arguments(card_with(end), GuestOptions())
    expected = ["socket", f"id=char-{ID}", f"path={path}", "server=on", "wait=off"]
    assert _chardev_options(made.words[1]) == expected


@pytest.mark.parametrize("name", ENDS)
def test_each_word_is_an_option_or_its_value(name: str) -> None:
    queues = 2 if name == "tap of several queues" else 1
    try:
        words = qemu.arguments(card(name), GuestOptions(queues=queues)).words
    except exception.NotForHypervisor:
        return
    assert len(words) % 2 == 0
    assert all(word.startswith("-") for word in words[::2])
