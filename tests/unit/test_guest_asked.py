# SPDX-License-Identifier: Apache-2.0
"""A guest that QEMU tells of by QMP, against what it should have been told."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from os_vif import exception
from os_vif.guest import GuestOptions, qemu
from os_vif.guest.asked import Found, Refused, differences
from os_vif.guest.card import Another, VhostUser
from tests.cards import ENDS, MAC, card, card_with

OTHER = "52:54:00:99:99:99"
ABLE = [name for name in ENDS if name not in ("bridge", "waiting port", "switch", "nested")]


@dataclasses.dataclass
class Answers:
    """A QEMU that answers what it is told to.

    :ivar objects: devices by their path, with driver and properties
    :ivar network: what ``info network`` says; None where it is refused
    :ivar filters: the guest's own addresses, by card
    :ivar opened: what it has open; None where that is not seen
    """

    objects: dict[str, tuple[str, dict[str, Any]]]
    network: str | None = ""
    chardevs: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    filters: dict[str, str] = dataclasses.field(default_factory=dict)
    opened: Mapping[int, str] | None = dataclasses.field(default_factory=dict)

    def devices(self) -> Mapping[int, str] | None:
        return self.opened

    def ask(self, execute: str, /, **arguments: Any) -> Any:
        if execute == "qom-list":
            return self._listed(arguments["path"])
        if execute == "qom-get":
            return self.objects[arguments["path"]][1][arguments["property"]]
        if execute == "query-chardev":
            return self.chardevs
        if execute == "query-rx-filter":
            if arguments["name"] not in self.filters:
                raise Refused("net client(NIC) is expected")
            return [{"name": arguments["name"], "main-mac": self.filters[arguments["name"]]}]
        assert (execute, arguments) == ("human-monitor-command", {"command-line": "info network"})
        if self.network is None:
            raise Refused("The command human-monitor-command has not been found")
        return self.network

    def _listed(self, path: str) -> list[dict[str, str]]:
        if path in self.objects:
            return [{"name": it, "type": "str"} for it in self.objects[path][1]]
        return [
            {"name": "type", "type": "string"},
            *(
                {"name": own.removeprefix(f"{path}/"), "type": f"child<{driver}>"}
                for own, (driver, _properties) in self.objects.items()
                if own.startswith(f"{path}/")
            ),
        ]


def queues_of(name: str) -> int:
    return 2 if name == "tap of several queues" else 1


def running(name: str, **options: Any) -> Answers:
    """Return a QEMU that was started as it is told of a card, beside another card."""
    asked = GuestOptions(queues=queues_of(name), **options)
    told, own = card(name), qemu.device(card(name), asked)
    back = qemu.netdev(told, asked, "")
    properties = {"mq": False, "host_mtu": 0, "rx_queue_size": 256, "tx_queue_size": 256, **own}
    driver, identity = properties.pop("driver"), properties.pop("id")
    another = ("virtio-net-pci", {"mac": OTHER, "netdev": "n", "host_mtu": 0})
    objects = {
        "/machine/peripheral/rp1": ("pcie-root-port", {}),
        f"/machine/peripheral/{identity}": (driver, properties),
        "/machine/peripheral-anon/device[0]": another,
    }
    lines = ["virtio-net-pci.0: index=0,type=nic,model=virtio-net-pci", " \\ n: index=0,type=user,"]
    made = Answers(objects, filters={identity: MAC})
    for number in range(asked.queues if back else 0):
        behind = f"type=tap,fd={7 + number}"
        made.opened = {**(made.opened or {}), 7 + number: "tap-web"}
        if isinstance(told.end, VhostUser):
            behind = f"type=vhost-user,vhost-user{number} to {back['chardev']}"
            server = ",server=on" if told.end.mode == "server" else ""
            socket = {"label": back["chardev"], "filename": f"unix:{told.end.path}{server}"}
            made.chardevs = [{"label": "char0", "filename": "stdio"}, socket]
        lines += [f"{identity}: index={number},type=nic,", f" \\ {back['id']}: index=0,{behind}"]
    made.network = "\r\n".join([*lines, ""])
    return made


def found(name: str, qemus: Answers, **options: Any) -> Found:
    return differences(card(name), GuestOptions(queues=queues_of(name), **options), qemus)


def own_of(qemus: Answers) -> dict[str, Any]:
    """Return the properties of the card that was told of."""
    return qemus.objects[list(qemus.objects)[1]][1]


@pytest.mark.parametrize("name", ABLE)
def test_what_was_told_is_there(name: str) -> None:
    assert found(name, running(name)) == Found()


def test_whose_tap_is_opened_by_name() -> None:
    qemus = running("tap")
    assert qemus.network is not None
    by_name = "ifname={},script=no,downscript=no"
    qemus.network = qemus.network.replace("fd=7", by_name.format("tap-web"))
    assert found("tap", qemus) == Found()
    qemus.opened = None
    assert found("tap", qemus) == Found()
    qemus.network = qemus.network.replace("tap-web", "vnet,3")
    assert found("tap", qemus).drifts == ("device is vnet,3, and should be tap-web",)


@pytest.mark.parametrize(
    ("name", "changed", "drift"),
    [
        ("tap", {"host_mtu": 9000}, "host_mtu is 9000, and should be 1500"),
        ("tap", {"host_mtu": 0}, "host_mtu is 0, and should be 1500"),
        ("tap of several queues", {"mq": False}, "mq is off, and should be on"),
        ("tap", {"netdev": ""}, "nothing is behind it: the guest is cut off"),
    ],
)
def test_what_its_card_is_like(name: str, changed: dict[str, Any], drift: str) -> None:
    qemus = running(name)
    own_of(qemus).update(changed)
    assert found(name, qemus) == Found((drift,))


def test_another_model() -> None:
    qemus = running("tap")
    path = list(qemus.objects)[1]
    properties = {key: qemus.objects[path][1][key] for key in ("mac", "netdev")}
    qemus.objects[path] = ("e1000e", properties)
    del qemus.filters[path.rpartition("/")[2]]
    assert found("tap", qemus).drifts == (
        "driver is e1000e, and should be virtio-net-pci",
        "host_mtu is not said, and should be 1500",
    )
    assert found("tap", qemus, model="e1000e") == Found()


def test_sizes_that_were_asked_for() -> None:
    qemus = running("tap", rx_queue_size=1024)
    assert found("tap", qemus, rx_queue_size=1024) == Found()
    [drift] = found("tap", qemus, rx_queue_size=512).drifts
    assert drift == "rx_queue_size is 1024, and should be 512"


def test_an_address_that_the_guest_has_chosen() -> None:
    qemus = running("tap")
    qemus.filters = dict.fromkeys(qemus.filters, OTHER)
    assert found("tap", qemus) == Found((f"the guest has given it the address {OTHER}",))
    qemus.filters = dict.fromkeys(qemus.filters, MAC.upper())
    assert found("tap", qemus) == Found()


@pytest.mark.parametrize(
    ("name", "said", "has", "drifts"),
    [
        ("tap", "type=tap,fd=7", "type=user,net=10.0.2.0", ["connected to user", "be to tap"]),
        ("tap of several queues", "fd=8", "fd=9", ["device is vnet0, and should be tap-web"]),
        ("macvtap", "fd=7", "fd=5", ["closed: the guest is cut off"]),
        (
            "tap",
            "fd=7",
            "ifname=gone,script=no,downscript=no",
            ["what is behind it has been closed: the guest is cut off"],
        ),
        ("vhost-user client", "vhost-user,", "tap,", ["connected to tap", "be to vhost-user"]),
    ],
)
def test_what_is_behind_it(name: str, said: str, has: str, drifts: list[str]) -> None:
    qemus = running(name)
    assert qemus.network is not None
    qemus.network = qemus.network.replace(said, has)
    qemus.opened = {**(qemus.opened or {}), 9: "vnet0"}
    [drift] = found(name, qemus).drifts
    assert all(word in drift for word in drifts)


def test_queues_that_the_guest_was_not_given() -> None:
    qemus = running("tap of several queues")
    assert qemus.network is not None
    qemus.network = "\n".join(qemus.network.splitlines()[:-2])
    assert found("tap of several queues", qemus) == Found(("queues is 1, and should be 2",))


def test_what_is_not_seen_is_told() -> None:
    qemus = running("tap")
    qemus.opened = None
    assert found("tap", qemus) == Found(
        notes=("which device it is connected to cannot be seen: it should be tap-web",)
    )
    qemus.network = ""
    [note] = found("tap", qemus).notes
    assert note.startswith("QEMU does not tell what host-net-")
    qemus.network = None
    [note] = found("tap", qemus).notes
    assert note.endswith("human-monitor-command has not been found")
    socket = running("vhost-user client")
    socket.chardevs[-1]["filename"] = "unix:"
    untold = "QEMU does not tell which socket it has: it should be /run/vhost/web.sock"
    assert found("vhost-user client", socket) == Found(notes=(untold,))
    socket.chardevs = []
    assert found("vhost-user client", socket) == Found(notes=(untold,))


@pytest.mark.parametrize(
    ("filename", "drifts"),
    [
        (
            "disconnected:unix:/run/vhost/web.sock",
            ("nobody is at the other end of its socket",),
        ),
        ("unix:/run/vhost/web.sock,server", ("mode is server, and should be client",)),
        ("unix:/run/a,b", ("path is /run/a,b, and should be /run/vhost/web.sock",)),
        ("unix:/run/" + "a" * 200, None),
    ],
)
def test_its_socket(filename: str, drifts: tuple[str, ...] | None) -> None:
    qemus = running("vhost-user client")
    qemus.chardevs[-1]["filename"] = filename
    has = found("vhost-user client", qemus)
    if drifts is None:
        assert len(has.drifts[0]) < 200, "of much a part is shown"
    else:
        assert has == Found(drifts)


def test_a_card_that_is_not_there_or_twice() -> None:
    qemus = running("tap")
    own_of(qemus)["mac"] = "52:54:00:99:99:98"
    assert found("tap", qemus) == Found((f"the guest has no card with the address {MAC}",))
    twice = running("tap")
    twice.objects["/machine/peripheral-anon/device[0]"][1]["mac"] = MAC.upper()
    assert found("tap", twice) == Found((f"2 cards of the guest have the address {MAC}",))
    function = running("function")
    own_of(function)["host"] = "0000:3b:00.3"
    assert found("function", function) == Found(("the guest has no device 0000:3b:00.2",))


def test_what_a_third_party_tells_is_found_by_its_id() -> None:
    from os_vif.guest.qmp import Command, Dialogue

    def told(_card: Any, _options: Any, _descriptors: Any) -> Dialogue:
        return Dialogue((Command("device_add", {"driver": "vdpa", "id": "v0", "mq": True}),), ())

    end = Another(name="a vDPA device", told_by={"qmp": told})
    qemus = Answers({"/machine/peripheral/v0": ("vdpa", {"mq": False})})
    drifts = differences(card_with(end), GuestOptions(), qemus).drifts
    assert drifts == ("mq is off, and should be on",)
    del qemus.objects["/machine/peripheral/v0"]
    assert differences(card_with(end), GuestOptions(), qemus).drifts == (
        "the guest has no device v0",
    )
    silent = Another(name="a thing", told_by={"qmp": lambda *_: Dialogue((), ())})
    [note] = differences(card_with(silent), GuestOptions(), qemus).notes
    assert "does not say which device" in note


def test_a_device_that_goes_meanwhile() -> None:
    qemus = running("tap")
    listed = qemus.ask

    class Going(Answers):
        def ask(self, execute: str, /, **arguments: Any) -> Any:
            if arguments.get("path") == "/machine/peripheral/rp1":
                raise Refused("Device '/machine/peripheral/rp1' not found")
            return listed(execute, **arguments)

    assert found("tap", Going(qemus.objects, opened=qemus.opened)) == Found()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {},
        "text",
        7,
        [7],
        [{}],
        [{"name": 7, "type": "child<x>"}],
        [[[]]],
        [{"name": "a", "main-mac": "b"}] * 2,
    ],
)
@pytest.mark.parametrize(
    "command",
    ["qom-list", "qom-get", "query-chardev", "query-rx-filter", "human-monitor-command"],
)
def test_answers_that_are_none(command: str, answer: Any) -> None:
    """Whoever owns the socket may say anything: it is refused, or differs, and no more."""
    name = "vhost-user client"
    qemus = running(name)
    listed = qemus.ask

    class Lying(Answers):
        def ask(self, execute: str, /, **arguments: Any) -> Any:
            return answer if execute == command else listed(execute, **arguments)

    assert is_seen_through(name, Lying(qemus.objects, opened=qemus.opened))


def is_seen_through(name: str, liar: Answers) -> bool:
    try:
        return found(name, liar) != Found()
    except exception.InvalidField as error:
        return "monitor: " in str(error)


def test_who_cannot_be_told_cannot_be_compared() -> None:
    for name in set(ENDS) - {*ABLE}:
        with pytest.raises(exception.NotForHypervisor):
            found(name, Answers({}))
