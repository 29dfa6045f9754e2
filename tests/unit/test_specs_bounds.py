# SPDX-License-Identifier: Apache-2.0
"""How much a file may say: the same answer whatever bounds the YAML library has."""

from __future__ import annotations

import itertools

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from os_vif.cli.specs import bounds, nodes

PARSERS = {
    name: getattr(yaml, name) for name in ("CSafeLoader", "SafeLoader") if hasattr(yaml, name)
}


@pytest.fixture(params=PARSERS.values(), ids=PARSERS.keys())
def parser(request, monkeypatch):
    monkeypatch.setattr(nodes, "_PARSER", request.param)


def problem_of(text):
    with pytest.raises(nodes.BadInput) as caught:
        nodes.compose("f.yaml", text)
    return caught.value.problems[-1]


def bomb(entry, separator, closing=""):
    lines = [f"a0: &a0{entry}x"]
    lines += [
        f"a{n}: &a{n}{entry}{separator.join([f'*a{n - 1}'] * 9)}{closing}" for n in range(1, 12)
    ]
    return "\n".join(lines)


TOO_MUCH = {
    "brackets": ("[" * 5000, bounds.TOO_DEEP, (1, 41)),
    "braces": ("{a: " * 100_000, bounds.TOO_DEEP, (1, 161)),
    "quoted keys": ('{"a[":' * 5000, bounds.TOO_DEEP, (1, 241)),
    "pairs": ("[a: " * 5000, bounds.TOO_DEEP, (1, 81)),
    "lines": ("# [\na:\n  [\n" + "  [\n" * 5000, bounds.TOO_DEEP, (42, 3)),
    "dashes": ("- " * 5000, bounds.TOO_DEEP, (1, 81)),
    "indentation": (
        "".join(f"{'  ' * n}a:\n" for n in range(200)),
        bounds.TOO_DEEP,
        (41, 81),
    ),
    "both": ("- " * 20 + "[" * 5000, bounds.TOO_DEEP, (1, 61)),
    "after all that looks like it": (
        f'a: \'{"[" * 90}\'\nb: |\n  {"{" * 90}\nc: x\n  {"[" * 90}\nd: "\\"{"[" * 90}"\n'
        f"# {'[' * 90}\ne: " + "[" * 5000,
        bounds.TOO_DEEP,
        (8, 43),
    ),
    "a bomb": (bomb(" [", ", ", "]").replace("x", "x]", 1), bounds.GROWN, None),
    "a bomb of lines": (bomb("\n  - ", "\n  - "), bounds.GROWN, None),
    "a bomb of mappings": (
        "a0: &a0\n  x: 1\n"
        + "".join(
            f"a{n}: &a{n}\n" + "".join(f"  k{m}: *a{n - 1}\n" for m in range(9))
            for n in range(1, 12)
        ),
        bounds.GROWN,
        None,
    ),
}
EXCESS = pytest.mark.parametrize(("text", "said", "place"), TOO_MUCH.values(), ids=TOO_MUCH.keys())


@pytest.mark.usefixtures("parser")
@EXCESS
def test_too_much(text, said, place):
    problem = problem_of(text)
    assert problem.message == said
    if place:
        assert (problem.mark.line, problem.mark.column) == place


REFUSALS = {
    "a marked error": yaml.scanner.ScannerError("while looking", None, "enough", None),
    "an error": yaml.YAMLError("too many aliases"),
    "a character": yaml.reader.ReaderError("f", 3, 91, "unicode", "too large"),
    "recursion": RecursionError("maximum recursion depth exceeded"),
    "memory": MemoryError(),
    "a value": ValueError("input exceeds 3 MB"),
    "a number": OverflowError("nesting"),
}
REFUSAL = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())


def refuse(monkeypatch, after, refusal):
    """Have the library refuse whatever it is given, after some events."""
    real = yaml.parse

    def parse(text, Loader):
        yield from itertools.islice(real(text, Loader=Loader), after)
        raise refusal

    monkeypatch.setattr(nodes.yaml, "parse", parse)


@pytest.mark.usefixtures("parser")
@EXCESS
def test_our_bounds_come_before_what_the_library_says(monkeypatch, text, said, place):
    for after, refusal in itertools.product([0, 1, 4], REFUSALS.values()):
        with monkeypatch.context() as patch:
            refuse(patch, after, refusal)
            problem = problem_of(text)
        assert problem.message == said, (after, refusal)
        if place:
            assert (problem.mark.line, problem.mark.column) == place, (after, refusal)


@pytest.mark.usefixtures("parser")
@REFUSAL
def test_what_is_not_too_much_is_refused_in_the_words_of_the_library(monkeypatch, refusal):
    refuse(monkeypatch, 2, refusal)
    problem = problem_of(f"a: {'[' * 39}{']' * 39}\nb: '{'[' * 50}'")
    assert problem.message.startswith(("this is not YAML: ", "this cannot be read as YAML: "))
    assert "deeper" not in problem.message
    assert problem.mark.line == 1


def test_more_values_than_anybody_needs(monkeypatch):
    monkeypatch.setattr(bounds, "MAX_VALUES", 100)
    assert len(nodes.compose("f.yaml", "- x\n" * 99)) == 1
    assert problem_of("- x\n" * 101).message == bounds.TOO_MANY
    refuse(monkeypatch, 0, ValueError("input exceeds 3 MB"))
    assert problem_of("- x\n" * 101).message == bounds.TOO_MANY


def depth_of(text, loader):
    depth = most = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            most = max(most, depth)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return most


# What a count of brackets could stumble over.
PIECES = [*"[]{},:-?\n'\"#%|>&*a\\", ": ", "- ", "? ", "\n  ", "\n ", " #", "&a ", "*a "]
PIECES += ["!t ", "![a] "]
PIECES += ["|\n", ">-\n", "|2\n", '"["', "'['", "''", "\n---\n", "\r\n", "\u2028", "\xa0", "it's"]
PIECES += ["x:[", "[a, b]", "{a: b}", "a: ", "\na: ", "\n  a: ", "\n- ", "\n  - ", "\n    [["]


@pytest.mark.parametrize("loader", PARSERS.values(), ids=PARSERS.keys())
@given(text=st.lists(st.sampled_from(PIECES), max_size=14).map("".join))
def test_no_good_file_is_too_much(text, loader):
    try:
        depth = depth_of(text, loader)
    except yaml.YAMLError:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "MAX_DEPTH", depth)
        assert bounds.excess(text) is None


FLOW = st.recursive(
    st.sampled_from(["a", '"["', "'{'", "it's", "a#", "'''['"]).map(lambda word: (word, 0)),
    lambda inner: st.lists(inner, max_size=3).flatmap(
        lambda items: st.sampled_from(
            [
                (f"[{', '.join(text for text, _depth in items)}]", items),
                (f"{{{', '.join(f'k: {text}' for text, _depth in items)}}}", items),
                (f"[ # [\n {' ,'.join(text for text, _depth in items)}\n]", items),
            ]
        ).map(lambda made: (made[0], 1 + max([depth for _text, depth in made[1]], default=0)))
    ),
    max_leaves=20,
)


@given(FLOW)
def test_each_bracket_too_many_is_seen(made):
    text, depth = made
    for bound in range(depth + 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(bounds, "MAX_DEPTH", bound)
            assert (bounds.excess(text) is None) == (bound == depth)
