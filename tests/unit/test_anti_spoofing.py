# SPDX-License-Identifier: Apache-2.0
"""What a guest may send, as chains and back; what a mark tells of it."""

from __future__ import annotations

import copy
import errno

import pytest

from os_vif.engine.plugged import Plugged
from os_vif.engine.topology import Mark
from os_vif.host.anti_spoofing import system
from os_vif.host.anti_spoofing.picture import PICTURE
from os_vif.host.anti_spoofing.questions import Filter, Kept
from os_vif.host.anti_spoofing.questions.chains import BASE, chains_of, is_chains, told_by
from os_vif.host.anti_spoofing.resources import AntiSpoofing
from os_vif.host.anti_spoofing.system import tables
from os_vif.host.links.questions import Link
from os_vif.system import netlink

MAC, OTHER = "52:54:00:00:00:01", "00:00:5e:00:01:07"


@pytest.mark.parametrize("macs", [(MAC,), (MAC, OTHER)])
@pytest.mark.parametrize(
    "addresses",
    [
        None,
        ("192.0.2.5",),
        ("2001:db8::5",),
        ("192.0.2.5", "10.42.0.0/20", "128.0.0.0/1", "2001:db8::5", "fe80::/64"),
    ],
)
@pytest.mark.parametrize("guest_inside", [True, False])
def test_chains_tell_what_they_were_made_of(macs, addresses, guest_inside):
    wanted = AntiSpoofing(device="tap0", macs=macs, addresses=addresses, guest_inside=guest_inside)
    chains = chains_of(wanted)
    assert is_chains(chains)
    assert told_by(chains, "tap0", guest_inside=guest_inside) == wanted
    for name in chains:
        changed = copy.deepcopy(chains)
        changed[name].insert(0, ["accept"])
        with pytest.raises((LookupError, ValueError)):
            told_by(changed, "tap0", guest_inside=guest_inside)
    with pytest.raises(ValueError, match="vif_name"):  # nothing begins with them any more
        told_by(chains, "", guest_inside=guest_inside)
    nameless = {
        **chains,
        BASE: [
            [word for word in it if it[-1] != "goto from_mac" or not word.startswith("is ")]
            for it in chains[BASE]
        ],
    }
    with pytest.raises(ValueError, match="mac"):
        told_by(nameless, "tap0", guest_inside=guest_inside)


@pytest.mark.parametrize(
    ("said", "told"),
    [(errno.EEXIST, errno.ESTALE), (errno.ENOENT, errno.ENOENT), (errno.EPERM, errno.EPERM)],
)
def test_another_who_makes_the_table_each_time_is_told_apart(said, told, monkeypatch):
    """A kernel says ENOENT of what it does not know, too, and that stays."""

    def refuse(*_what):
        raise netlink.NetlinkError(said, "no")

    monkeypatch.setattr(tables, "filter_of", lambda _vif: None)
    monkeypatch.setattr(tables, "replace", refuse)
    wanted = Filter("os-vif vif=1234", "ingress tap0", {})
    with pytest.raises(OSError, match="no") as caught:
        system._replace({"1234": wanted})
    assert caught.value.errno == told


@pytest.mark.parametrize(("word", "mode"), [("mac", "mac"), ("ip", "ip"), ("else", "")])
def test_the_mark_of_a_device_is_drawn(word, mode):
    mark = Mark("1234", "tap")
    link = Link("tap0", 7, "tap", f"{mark} limits=1/2, antispoof={word}", {})
    assert list(PICTURE.held(Plugged(mark, {"links": (link,)}))) == [Kept("tap0", mode)] * bool(
        mode
    )
