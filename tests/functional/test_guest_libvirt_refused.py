# SPDX-License-Identifier: Apache-2.0
"""What libvirt's schema lets pass and no guest starts with: we never tell it that."""

from __future__ import annotations

import dataclasses
from typing import Any
from xml.etree import ElementTree

import pytest

import os_vif
from os_vif import exception
from os_vif.guest import GuestOptions, libvirt
from tests import witness
from tests.functional.calls import plug, steps_left
from tests.libvirt_guests import (
    KINDS,
    MTU,
    Kind,
    Place,
    alone,
    changes_since,
    domain,
    function,
    on_card,
)
from tests.libvirtd import LibvirtError
from tests.switch_witness import snapshot

pytestmark = [pytest.mark.functional, pytest.mark.qemu, pytest.mark.xdist_group("dpdk")]


def with_more(said: libvirt.Interface, parent: str, tag: str, **attributes: str) -> str:
    """Return a domain whose card has one element more; ours has none of that kind."""
    card = ElementTree.fromstring(said.xml)  # noqa: S314 - our own
    assert card.find(f".//{tag}") is None
    place = card if parent == "." else card.find(parent)
    assert place is not None
    ElementTree.SubElement(place, tag, attributes)
    return domain(dataclasses.replace(said, xml=ElementTree.tostring(card, encoding="unicode")))


def test_what_passes_the_schema_and_does_not_start(place: Place) -> None:
    direct = libvirt.interface(
        os_vif.guest_card(on_card(place)), GuestOptions(domain_type="qemu", libvirt_makes_it=True)
    )
    server, client = (KINDS[f"vhost-user {mode}"] for mode in ("server", "client"))
    mtu: dict[str, Any] = {"parent": ".", "tag": "mtu", "size": str(MTU)}
    again: dict[str, Any] = {"parent": "source", "tag": "reconnect", "enabled": "yes"}
    before = snapshot(place.switch)
    for said, more, words in (
        (direct, mtu, "MTU"),
        (function(), mtu, "MTU"),
        (client.said(client.vif(place)), mtu, "Cannot set interface MTU on '"),
        (server.said(server.vif(place)), {**again, "timeout": "1"}, "reconnect"),
    ):
        text = with_more(said, **more)
        assert place.libvirt.is_valid(text)
        with pytest.raises(LibvirtError, match=words), place.libvirt.started(text):
            pass
        assert changes_since(place, before) == []


def test_a_tap_that_is_not_said_to_be_there_is_deleted(place: Place) -> None:
    kind = KINDS["tap"]
    with kind.plugged(place) as vif:
        said = kind.said(vif)
        theirs = dataclasses.replace(said, xml=said.xml.replace(' managed="no"', ""))
        assert theirs != said
        assert place.libvirt.is_valid(domain(theirs))
        with (
            pytest.raises(LibvirtError, match="already exists"),
            place.libvirt.started(domain(theirs)),
        ):
            pass
        assert witness.link(vif.vif_name) is None
        plug(vif)
        with place.libvirt.started(domain(said)):
            assert steps_left(vif) == []


@pytest.mark.parametrize(("queues", "multi_queue"), [(2, False), (1, True)])
def test_queues_that_the_tap_does_not_have(place: Place, queues: int, multi_queue: bool) -> None:
    kind = Kind(alone, {"multi_queue": multi_queue})
    with kind.plugged(place) as vif:
        with pytest.raises(exception.InvalidField, match="queues"):
            dataclasses.replace(kind, options={"queues": queues}).said(vif)
        fitting = dataclasses.replace(kind, options={"queues": 1 + multi_queue}).said(vif)
        theirs = fitting.xml.replace('<driver name="qemu" queues="2" />', '<driver name="qemu" />')
        if queues == 2:
            theirs = fitting.xml.replace('name="qemu"', 'name="qemu" queues="2"')
        assert theirs != fitting.xml
        text = domain(dataclasses.replace(fitting, xml=theirs))
        assert place.libvirt.is_valid(text)
        with (
            pytest.raises(LibvirtError, match=r"Unable to create .*tap device .*Invalid argument"),
            place.libvirt.started(text),
        ):
            pass
        assert steps_left(vif) == []
