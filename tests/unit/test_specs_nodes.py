# SPDX-License-Identifier: Apache-2.0
"""Text to nodes: places, and what no file may do to us."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from os_vif.cli.specs import nodes
from os_vif.cli.specs.nodes import Mapping, Scalar, Sequence
from os_vif.cli.specs.refused import BadInput
from os_vif.cli.specs.wire import plain


def only(text):
    [node] = nodes.compose("f.yaml", text)
    return node


def problem_of(text):
    with pytest.raises(BadInput) as caught:
        nodes.compose("f.yaml", text)
    return caught.value.problems[0]


@pytest.mark.parametrize(
    "word",
    ["52:54:00:12:34:56", "10:20:30:40:50:59", "no", "0123", "1_000", "1e3", "=", "2001-01-01"],
)
def test_a_scalar_stays_the_text_it_is(word):
    node = only(f"mac: {word}")
    assert isinstance(node, Mapping)
    [(key, value)] = node.items
    assert (key.text, value.text, value.plain) == ("mac", word, True)
    assert (value.mark.line, value.mark.column, value.mark.width) == (1, 6, len(word))


@pytest.mark.parametrize("word", ["", "~", "null"])
def test_null(word):
    assert only(f"- {word}\n- x").items[0].is_null
    assert not only(f"- '{word}'\n- x").items[0].is_null


def test_documents():
    assert [
        node.items[0][0].text for node in nodes.compose("f", "---\na: 1\n---\n---\nb: 1\n")
    ] == [
        "a",
        "b",
    ]
    assert nodes.compose("f", "# nothing\n") == []


def test_json_indented_with_tabs():
    node = only('{\n\t"a": [1,\n\t\t2]\n}')
    assert plain(node) == {"a": [1, 2]}
    assert node.items[0][0].mark.column == 2


def test_a_key_that_stands_twice():
    problem = problem_of("a: 1\nb: 2\na: 3\n")
    assert (problem.mark.line, problem.mark.column, problem.field) == (3, 1, "a")
    assert "first in line 1" in problem.message


def test_all_problems_are_told():
    with pytest.raises(BadInput) as caught:
        nodes.compose("f", "a: 1\na: 2\nb: {c: 1, c: 2}\n[x]: 1\n")
    assert len(caught.value.problems) == 3


def test_merge_takes_what_is_not_given():
    node = only("- &a {x: 1, y: 2}\n- {<<: *a, y: 3}\n")
    assert plain(node.items[1]) == {"y": 3, "x": 1}
    node = only("- &a {x: 1}\n- &b {x: 2, z: 4}\n- {<<: [*a, *b]}\n")
    assert plain(node.items[2]) == {"x": 1, "z": 4}


def test_an_aliased_value_stands_where_the_alias_is():
    node = only("a: &m 99\nb: *m\n")
    assert node.get("b").mark.line == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1", "not YAML"),
        ("a:\n\tb: 1", "not YAML"),
        ("a: b: c", "not YAML"),
        ("a: \x07", "not YAML"),
        ("a: *b", "no anchor &b"),
        ("a: &a [*a]", "contains itself"),
        ("a: !!python/object/apply:os.system [id]", "Python objects are not taken"),
        ("a: !mine 1", "no meaning"),
        ("{<<: 1, a: 2}", "takes a mapping"),
    ],
    ids=lambda text: text[:20],
)
def test_refused(text, said):
    assert said in problem_of(text).message


def test_a_bomb_is_refused_at_once():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    problem = problem_of("\n".join(lines))
    assert "larger than anybody needs" in problem.message
    assert problem.mark.line < 7  # nothing of a7 to a11 was looked at


def test_a_template_for_hundreds_is_no_bomb():
    lines = ["- &t {type: bridge, network: {mtu: 1450, label: x}}"]
    lines += [f"- {{<<: *t, name: tap{n}}}" for n in range(500)]
    assert len(only("\n".join(lines)).items) == 501


@given(st.text(max_size=60))
def test_whatever_the_text_it_is_read_or_refused(text):
    with contextlib.suppress(BadInput):
        found = nodes.compose("f", text)
        assert all(isinstance(node, Scalar | Mapping | Sequence) for node in found)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.text("abc d:-'é\n\t\"\\", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcdefg", min_size=1, max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text("abcdefg", min_size=1, max_size=3), JSON, min_size=1, max_size=4))
def test_json_is_read_as_json_has_it(value):
    assert plain(only(json.dumps(value))) == value
    assert plain(only(json.dumps(value, indent="\t"))) == value
