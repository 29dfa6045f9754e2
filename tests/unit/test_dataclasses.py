# SPDX-License-Identifier: Apache-2.0
"""Our dataclasses and the standard library's: nobody can tell which one a class is."""

import collections.abc
import copy
import dataclasses as standard
import inspect
import itertools
import pickle
import sys
import threading
from typing import ClassVar, Generic, TypeVar, get_type_hints

import pytest

from os_vif import dataclasses as ours

Item = TypeVar("Item")


class Port:
    """A port."""

    name: str
    tag: int | None = None
    trunks: tuple[int, ...] = ()
    notes: dict[str, str] = standard.field(default_factory=dict, compare=False)
    seen: list[int] = standard.field(init=False, repr=False, hash=False, default_factory=list)
    kind: str = standard.field(init=False, default="port", kw_only=True)
    most: ClassVar[int] = 4094


class Told:  # noqa: PLW1641
    """Says itself what is equal, and how it is told."""

    name: str
    index: int = standard.field(default=0, kw_only=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Told) and self.name == other.name

    def __repr__(self) -> str:
        return f"<{self.name}>"


class Hashed(Generic[Item]):
    """Has a hash of its own."""

    name: str

    def __hash__(self) -> int:
        return 5


class Settled:
    """Looks at what it is given, and at nothing it is not."""

    name: str

    def __post_init__(self) -> None:
        if not self.name:
            raise ValueError("it has no name")


class Nothing:
    """Has no fields."""


CLASSES = (Port, Told, Hashed, Settled, Nothing)
WORDS = [
    dict(zip(("frozen", "slots", "kw_only", "eq", "repr"), chosen, strict=True))
    for chosen in itertools.product((False, True), repeat=5)
]


def made_by(library, kind, words):
    """Return the class as a library makes it, of a copy that is the library's own."""
    body = {k: v for k, v in vars(kind).items() if k not in ("__dict__", "__weakref__")}
    body = {k: copy.copy(v) if isinstance(v, standard.Field) else v for k, v in body.items()}
    bare = type(kind)(kind.__name__, (), body)
    return library.dataclass(**words)(bare)


def tried(act, *arguments):
    """Return what comes of it, or how it fails, in words."""
    try:
        return act(*arguments)
    except Exception as error:
        return type(error), str(error)


def told_of(kind):
    """Tell all that can be seen of a dataclass and of what it makes."""
    words = kind.__dataclass_params__
    found = [repr(words), kind.__match_args__, kind.__doc__, repr(standard.fields(kind))]
    found += [str(inspect.signature(kind)), vars(kind).get("__slots__")]
    found += [tried(lambda: kind.__hash__ is None), issubclass(kind, collections.abc.Hashable)]
    found += [get_type_hints(kind.__init__), kind.__init__.__qualname__]
    found += [tried(kind, 1, 2, 3, 4, 5, 6, 7)]
    of = {"name": "a"} if standard.fields(kind) else {}
    one, same = kind(**of), kind(**of)
    others = [kind(**of | {"name": "b"})] if of else []
    if kind.__name__ == "Port":
        others += [kind(**of, tag=5), kind(**of, trunks=(1,)), kind(**of, notes={"a": "b"})]
    for other in (same, *others):
        found += [one == other, one != other, tried(lambda it=other: hash(one) == hash(it))]
    if words.repr or kind.__name__ == "Told":  # else its place in memory is told
        found += [repr(each) for each in (one, *others)]
    found += [one.__eq__(5), one == 5]
    found += [tried(standard.asdict, each) for each in (one, *others)]
    if of:
        changed = standard.replace(one, name="c")
        found += [changed.name, changed == one, type(changed) is kind]
        found += [tried(setattr, one, "name", "d"), one.name]
        if not (words.frozen and "__slots__" in vars(kind)):  # CPython 3.11 trips over itself there
            found += [tried(setattr, one, "strange", 1)]
        found += [tried(delattr, one, "name"), hasattr(one, "name")]
        kept = kind(**of)
        again = copy.deepcopy(kept)
        found += [type(again) is kind, again.name, again == kept]
        found += [tried(kind)]
    return [str(each) for each in found]


@pytest.mark.parametrize("words", WORDS, ids=lambda it: "-".join(k for k, v in it.items() if v))
@pytest.mark.parametrize("kind", CLASSES)
def test_a_class_is_what_the_standard_library_makes_of_it(kind, words):
    expected = told_of(made_by(standard, kind, words))
    assert told_of(made_by(ours, kind, words)) == expected


@ours.dataclass(frozen=True, slots=True)
class Point:
    """Can be pickled: it has a name in its module."""

    x: int
    y: int = 0


def test_a_frozen_one_with_slots_is_pickled_and_matched():
    assert pickle.loads(pickle.dumps(Point(1, 2))) == Point(1, 2)  # noqa: S301
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
    assert {Point(1): "a"}[Point(1, 0)] == "a"


def test_one_that_holds_itself_is_told():
    @ours.dataclass(slots=True)
    class Node:
        """A list that may hold its own."""

        items: list

    node = Node([])
    node.items.append(node)
    assert "Node(items=[...])" in repr(node)


@pytest.mark.parametrize("library", [standard, ours])
def test_one_extends_another_of_either_library(library):
    @ours.dataclass(frozen=True, slots=True)
    class Base:
        """The first."""

        name: str
        tag: int = 1

    @library.dataclass(frozen=True, slots=True)
    class Extended(Base):
        """The second."""

        tag: int = 2
        more: str = ""

    assert repr(Extended("a", more="b")).endswith("Extended(name='a', tag=2, more='b')")
    assert Extended("a") == Extended("a", 2)
    assert Extended("a", 1) != Base("a", 1)
    with pytest.raises(TypeError, match="non-frozen"):
        library.dataclass(type("Loose", (Base,), {"__annotations__": {"more": "int"}}))

    class Plain(Base):
        """No dataclass, so what it adds is its own affair."""

        __slots__ = ("own",)

    plain = Plain("a")
    plain.own = 5
    assert plain.own == 5
    with pytest.raises(standard.FrozenInstanceError, match="cannot assign to field 'name'"):
        plain.name = "b"


def compiled_by(act):
    """Return how many texts become code while it acts."""
    texts = []
    listening = [True]

    def hear(event, _arguments):
        if event == "compile" and listening:
            texts.append(event)

    sys.addaudithook(hear)
    act()
    listening.clear()
    return len(texts)


def test_nothing_is_written_until_it_is_asked_for():
    made = []

    def make():
        made.append(ours.dataclass(frozen=True, slots=True)(type("Kind", (), dict(BODY))))

    BODY = {"__annotations__": {"name": "str"}, "__doc__": "One.", "__module__": __name__}
    assert compiled_by(make) == 0
    kind = made[0]
    assert compiled_by(lambda: (kind("a"), kind("b"))) == 1
    assert compiled_by(lambda: (kind("a") == kind("b"), kind("a") == kind("a"))) == 1
    assert compiled_by(lambda: (hash(kind("a")), hash(kind("b")))) == 1
    assert compiled_by(lambda: repr(kind("a"))) == 0


def test_threads_may_ask_at_once():
    @ours.dataclass(frozen=True, slots=True)
    class Kind:
        """One."""

        name: str

    ready = threading.Barrier(8)
    found = []

    def ask():
        ready.wait(20)
        found.append(Kind("a"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(found)) == 1
    assert len(found) == 8
