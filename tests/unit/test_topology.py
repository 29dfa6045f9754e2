# SPDX-License-Identifier: Apache-2.0
"""Marks: by them alone a device or a rule is known as ours."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from os_vif import exception
from os_vif.engine import topology
from os_vif.engine.topology import Mark, parse_mark
from os_vif.host.forwarding.questions import parse_rules_comment, rules_comment
from os_vif.host.links.questions import SHARED_MARK, UNFINISHED_GROUP
from tests import vifs

WORDS = st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,63}\Z")
OWNERS = st.one_of(st.just(""), st.from_regex(r"\A[0-9A-Za-z][0-9A-Za-z._-]{0,23}\Z"))


@given(WORDS, WORDS, st.one_of(st.just(""), WORDS), OWNERS)
def test_a_mark_is_read_back(vif_id: str, plugin: str, instance: str, owner: str) -> None:
    mark = Mark(vif_id, plugin, instance, owner)
    assert parse_mark(str(mark)) == mark


@given(WORDS, WORDS, WORDS, OWNERS)
@example("v" * 64, "p" * 64, "i" * 64, "o" * 24)
def test_a_mark_fits_into_an_alias(vif_id: str, plugin: str, instance: str, owner: str) -> None:
    # IFALIASZ, linux/if.h.
    assert len(str(Mark(vif_id, plugin, instance, owner)).encode()) < 256


_PARTS = st.sampled_from(
    [
        "os-vif",
        "vif=1",
        "vif=2",
        "vif",
        "plugin=tap",
        "plugin=",
        "instance=3",
        "owner=4",
        "lower=down",
        "",
        "=",
    ]
)


@given(st.one_of(st.lists(_PARTS).map(" ".join), st.text().map("os-vif vif={}".format)))
def test_what_is_taken_for_a_mark_is_one(alias: str) -> None:
    """Whoever reads it by another rule, a person for one, finds the same owner."""
    mark = parse_mark(alias)
    if mark is not None:
        text, notes = str(mark), alias.removeprefix(str(mark))
        assert alias == f"{text}{notes}"
        assert parse_mark(text) == mark
        assert not notes or notes.startswith(" ")
        assert alias.count("vif=") == 1 + notes.count("vif=")
        assert not {"vif", "plugin", "instance", "owner"} & {
            it.split("=")[0] for it in notes.split(" ")
        }


@given(WORDS, st.sampled_from(["br0", "qbr-1.2", "a" * 15]))
def test_a_rules_comment_is_read_back(vif_id: str, bridge: str) -> None:
    comment = rules_comment(Mark(vif_id, "linux_bridge"), bridge)
    assert parse_rules_comment(comment) == vif_id
    assert len(comment) < 256, "XT_MAX_COMMENT_LEN"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "os-vif",
        "os-vif ",
        "os-vif shared",
        "os-vif vif=",
        "os-vif vif= plugin=tap",
        "os-vif vif=a/b plugin=tap",
        "os-vif vif=1 plugin=",
        "os-vif vif=1",
        "os-vif vif=1 plugin=tap instance=a/b",
        "os-vif  vif=1 plugin=tap",
        " os-vif vif=1 plugin=tap",
        "my os-vif vif=1 plugin=tap",
        "os-vif is what I use here",
        "vnet0",
        "os-vif vif=1 vif=2 plugin=tap",
        "os-vif vif=1 plugin=tap vif=2",
        "os-vif vif=1 plugin=tap instance=3 vif=2",
        "os-vif vif=1 plugin=tap lower=down plugin=ovs",
        "os-vif vif=1 plugin=tap lower=down instance=3",
        "os-vif vif=1 plugin=tap instance=3 instance=4",
        "os-vif vif=1 plugin=tap instance=",
        "os-vif vif=1 instance=3 plugin=tap",
        "os-vif vif=1 plugin=tap ",
        "os-vif vif=1 plugin=tap lower=down\nos-vif vif=2 plugin=tap",
        "os-vif vif=1 plugin=tap  lower=down",
    ],
)
def test_what_is_no_mark(text: str | None) -> None:
    assert parse_mark(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "os-vif",
        "os-vif rules of mine",
        "os-vif bridge traffic",
        "os-vif vif=",
        "os-vif vif=1",
        "os-vif vif=1 bridge=",
        "os-vif vif=1 bridge=a/b",
        "os-vif vif=a;b bridge=br0",
        "os-vif vif=1 bridge=br0 more",
        "not os-vif vif=1 bridge=br0",
        "os-vif vif=1 plugin=tap",
    ],
)
def test_what_is_no_comment_of_ours(text: str) -> None:
    assert parse_rules_comment(text) is None


def test_the_mark_of_a_vif() -> None:
    vif = vifs.bridge_vif(7)
    assert Mark.of(vif, "linux_bridge", vifs.instance(3)) == Mark(
        vifs.vif_id(7), "linux_bridge", "00000003-0000-4000-8000-00000000beef"
    )
    assert Mark.of(vif, "linux_bridge", None).instance == ""


def test_a_vif_without_an_id_has_no_mark() -> None:
    from os_vif.objects.vif import VIFGeneric

    with pytest.raises(exception.InvalidField, match="id: ''"):
        Mark.of(VIFGeneric(), "tap", None)


def test_marks_are_known_to_operators() -> None:
    """They stand in runbooks: ``ip link show`` and ``iptables -S`` show them."""
    mark = Mark("1234", "linux_bridge", "5678")
    assert str(mark) == "os-vif vif=1234 plugin=linux_bridge instance=5678"
    assert rules_comment(mark, "br0") == "os-vif vif=1234 bridge=br0"
    assert SHARED_MARK == "os-vif shared"
    assert UNFINISHED_GROUP.to_bytes(4, "big") == b"os-v"


# --- what the guest is called ---------------------------------------------------------------------


@given(st.text(max_size=200), st.integers(topology.GUEST_MOST // 2, topology.GUEST_MOST))
def test_the_name_of_a_guest_is_one_harmless_word(name: str, most: int) -> None:
    word = topology.written_guest(name, most)
    assert len(word) <= most
    assert word.isascii()
    assert not set(word) & set(" \n\0'\"\\=,/:")
    told = topology.read_guest(word)
    assert told.isprintable()
    assert topology.is_guest(told, name) or not name or not name.isprintable()
    if name.isprintable() and len(name.encode()) * 3 <= most:
        assert told == name
    mark = topology.Mark("1", "tap", guest=name)
    alias = topology.with_guest(str(mark), name, 255)
    assert topology.without_guest(alias) == str(mark)
    assert topology.parse_mark(alias) == mark


@given(st.text(alphabet="%0aAfF9\u202ex é", max_size=80))
def test_whatever_stands_there_is_read_and_can_be_shown(word: str) -> None:
    assert topology.read_guest(word).isprintable()


def test_a_name_that_was_cut_is_known_by_its_beginning() -> None:
    told = topology.read_guest(topology.written_guest("web" * 40))
    assert told.startswith("webweb")
    assert topology.is_guest(told, "web" * 40)
    assert not topology.is_guest(told, "db")
    assert not topology.is_guest("", "")
    assert not topology.whole_guest(told)


def test_a_guest_whose_name_is_its_uuid_has_no_name() -> None:
    instance = vifs.instance()
    vif = vifs.tap_vif()
    assert topology.Mark.of(vif, "tap", instance).guest == instance.name
    instance.name = instance.uuid
    assert topology.Mark.of(vif, "tap", instance).guest == ""
