# SPDX-License-Identifier: Apache-2.0
"""A running guest, as QEMU answers by QMP, against what it should have been told of a card.

What QEMU answers is not trusted: it has the shape that is expected, or is refused.  Whether a
card's link is down QEMU tells nobody.  Nor does QMP tell what is behind a card: that is what
``info network`` of the monitor for people is asked for.

Sources: qapi/qom.json, qapi/net.json, qapi/char.json; net/net.c (print_net_client), net/tap.c and
net/vhost-user.c for what they write there.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from os_vif.guest import qmp
from os_vif.guest.card import Card, Macvtap, Tap, VhostUser
from os_vif.guest.options import GuestOptions, refuse

_PLACES = ("/machine/peripheral", "/machine/peripheral-anon")
"""Where QEMU keeps devices that somebody asked for: those with an id, and the others."""

_COMPARED = ("mq", "host_mtu", "rx_queue_size", "tx_queue_size")
_BACK = re.compile(r" \\ (?P<name>[^:]+): index=[0-9]+,type=(?P<kind>[^,]*),?(?P<more>.*)")
_BY_NAME = re.compile(r"ifname=(.*),script=.*,downscript=")
_BY_NUMBER = re.compile(r"fd=([0-9]{1,9})\Z")
_TO_SOCKET = re.compile(r"vhost-user[0-9]+ to (\S+)\Z")
_SOCKET = re.compile(
    r"(?P<lost>disconnected:)?(?:unix:)?(?P<path>.*?)(?P<server>,server(?:=on)?)?\Z", re.DOTALL
)
_MOST_SHOWN = 128


class Refused(Exception):
    """QEMU does not do what it was asked; the text is its own."""


class Running(Protocol):
    """A QEMU that runs, and answers."""

    def ask(self, execute: str, /, **arguments: Any) -> Any:
        """Have QEMU do something and return its answer.

        :raises Refused: it does not
        """

    def devices(self) -> Mapping[int, str] | None:
        """Return the taps and macvtaps it has open, by descriptor; None if that is not seen."""


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """How a guest's card differs.

    :ivar drifts: in words; empty if it is as it should be.
    :ivar notes: what could not be compared, as sentences for people.
    """

    drifts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Device:
    """A device of the guest's.

    :ivar path: in QEMU's object model.
    :ivar driver: its type there.
    :ivar known: the names of what can be asked of it.
    """

    path: str
    driver: str
    known: frozenset[str]


@dataclasses.dataclass(frozen=True, slots=True)
class _Back:
    """One queue of what is behind a card, as ``info network`` has it."""

    kind: str
    more: str


def differences(card: Card, options: GuestOptions, running: Running) -> Found:
    """Return what of a card is not in the guest as it should be.

    :raises NotForHypervisor: QEMU cannot take what the VIF is plugged as
    :raises InvalidField: the options do not go with the card, or an answer is none
    """
    told = [it for it in qmp.dialogue(card, options).plug if it.execute == "device_add"]
    if len(told) != 1:
        return Found(notes=("its plugin does not say which device the guest has of it",))
    wanted = told[0].arguments
    name = "mac" if "mac" in wanted else "host" if "host" in wanted else "id"
    should = str(wanted[name])
    found = [it for it in _devices(running) if _has(running, it, name, should)]
    if not found:
        what = f"card with the address {should}" if name == "mac" else f"device {should}"
        return Found((f"the guest has no {what}",))
    if len(found) > 1:
        return Found((f"{len(found)} cards of the guest have the address {should}",))
    drifts = [*_unlike(wanted, found[0], running)]
    notes: list[str] = []
    if isinstance(card.end, Tap | Macvtap | VhostUser):
        drifts += _behind(card.end, options, found[0], running, notes)
    return Found(tuple(drifts), tuple(dict.fromkeys(notes)))


# --- the guest's side -----------------------------------------------------------------------------


def _devices(running: Running) -> Iterator[_Device]:
    for place in _PLACES:
        for entry in _entries(running.ask("qom-list", path=place), "qom-list"):
            kind = _text(entry, "type", "qom-list")
            if not kind.startswith("child<"):
                continue
            path = f"{place}/{_text(entry, 'name', 'qom-list')}"
            try:
                properties = _entries(running.ask("qom-list", path=path), "qom-list")
            except Refused:  # the guest has let go of it meanwhile
                continue
            known = frozenset(_text(it, "name", "qom-list") for it in properties)
            yield _Device(path, kind[len("child<") : -1], known)


def _has(running: Running, device: _Device, name: str, should: str) -> bool:
    if name == "id":
        return device.path == f"{_PLACES[0]}/{should}"
    return name in device.known and str(_read(running, device, name)).lower() == should.lower()


def _read(running: Running, device: _Device, name: str) -> str | int | None:
    """Return a property of a device; None where it has none."""
    if name not in device.known:
        return None
    answer: str | int = _shaped(
        running.ask("qom-get", path=device.path, property=name), (str, int), "qom-get"
    )
    return answer


def _unlike(wanted: Mapping[str, Any], device: _Device, running: Running) -> Iterator[str]:
    if device.driver != wanted["driver"]:
        yield f"driver is {_shown(device.driver)}, and should be {wanted['driver']}"
    for name in _COMPARED:
        has = _read(running, device, name)
        if name in wanted and has != wanted[name]:
            yield f"{name} is {_shown(has)}, and should be {_shown(wanted[name])}"
    if "mac" in wanted:
        own = _own_address(device, running)
        if own and own.lower() != str(wanted["mac"]).lower():
            yield f"the guest has given it the address {_shown(own)}"


def _own_address(device: _Device, running: Running) -> str:
    """Return the address that the guest uses; '' where QEMU does not tell."""
    place, _, name = device.path.rpartition("/")
    if place != _PLACES[0]:
        return ""
    try:
        filters = _entries(running.ask("query-rx-filter", name=name), "query-rx-filter")
    except Refused:  # of another model than virtio's
        return ""
    return _text(filters[0], "main-mac", "query-rx-filter") if filters else ""


# --- the host's side ------------------------------------------------------------------------------


def _behind(
    end: Tap | Macvtap | VhostUser,
    options: GuestOptions,
    device: _Device,
    running: Running,
    notes: list[str],
) -> Iterator[str]:
    """Yield how what is behind a card differs; what cannot be seen goes to the notes."""
    name = str(_read(running, device, "netdev") or "")
    if not name:
        yield "nothing is behind it: the guest is cut off"
        return
    try:
        said = running.ask("human-monitor-command", **{"command-line": "info network"})
    except Refused as refused:
        notes.append(f"QEMU does not tell what is behind its cards: {_shown(refused)}")
        return
    lines = _shaped(said, (str,), "info network").splitlines()
    backs = [
        _Back(it["kind"], it["more"])
        for it in map(_BACK.match, lines)
        if it is not None and it["name"] == name
    ]
    kind = "vhost-user" if isinstance(end, VhostUser) else "tap"
    if not backs:
        notes.append(f"QEMU does not tell what {_shown(name)} is")
        return
    if backs[0].kind != kind:
        yield f"it is connected to {_shown(backs[0].kind)}, and should be to {kind}"
        return
    if len(backs) != options.queues:
        yield f"queues is {len(backs)}, and should be {options.queues}"
    if isinstance(end, VhostUser):
        yield from _unlike_socket(end, backs[0], running, notes)
    else:
        yield from _unlike_device(end.device, backs, running, notes)


def _unlike_device(
    should: str, backs: Sequence[_Back], running: Running, notes: list[str]
) -> Iterator[str]:
    opened = running.devices()
    for back in backs:
        by_name, by_number = _BY_NAME.match(back.more), _BY_NUMBER.match(back.more)
        if by_name:
            has = by_name[1]
            gone = opened is not None and has not in opened.values()
        elif by_number and opened is not None:
            has = opened.get(int(by_number[1]), "")
            gone = not has
        else:
            notes.append(f"which device it is connected to cannot be seen: it should be {should}")
            continue
        if gone:
            # QEMU goes on to name what netdev_del has closed.
            yield "what is behind it has been closed: the guest is cut off"
            return
        if has != should:
            yield f"device is {_shown(has)}, and should be {should}"
            return


def _unlike_socket(
    end: VhostUser, back: _Back, running: Running, notes: list[str]
) -> Iterator[str]:
    to = _TO_SOCKET.match(back.more)
    label = to[1] if to else ""
    sockets = _entries(running.ask("query-chardev"), "query-chardev")
    names = [
        _text(it, "filename", "query-chardev")
        for it in sockets
        if _text(it, "label", "query-chardev") == label
    ]
    found = _SOCKET.match(names[0]) if names else None
    if found is None or not found["path"]:  # 7.2 does not tell it once it is connected
        notes.append(f"QEMU does not tell which socket it has: it should be {end.path}")
    elif found["path"] != end.path:
        yield f"path is {_shown(found['path'])}, and should be {end.path}"
    if found is None:
        return
    has = "server" if found["server"] else "client"
    if has != end.mode:
        yield f"mode is {has}, and should be {end.mode}"
    if found["lost"]:
        yield "nobody is at the other end of its socket"


# --- what QEMU answers ----------------------------------------------------------------------------


def _entries(answer: Any, command: str) -> list[Mapping[str, Any]]:
    found = _shaped(answer, (list,), command)
    return [_shaped(it, (dict,), command) for it in found]


def _text(entry: Mapping[str, Any], name: str, command: str) -> str:
    return str(_shaped(entry.get(name), (str,), command))


def _shaped(answer: Any, kinds: tuple[type, ...], command: str) -> Any:
    if not isinstance(answer, kinds):
        refuse("monitor", _shown(answer), f"what QEMU answers to {command}")
    return answer


def _shown(value: object) -> str:
    """Return for people what was said, or a part of much."""
    if value is None:
        return "not said"
    text = ("on" if value else "off") if isinstance(value, bool) else str(value)
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
