# SPDX-License-Identifier: Apache-2.0
"""Which families there are: found by entry point, loaded when a topology or a step needs one."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from stevedore import named

from os_vif import exception
from os_vif.engine.family import Family, Rule

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from os_vif.engine.step import Kind

LOG = logging.getLogger(__name__)

Told = TypeVar("Told")

GROUP = "os_vif.families"
"""The entry-point group: a family's name, and ``package:FAMILY``."""

_OURS = "os_vif.host."

_loaded: dict[str, Family] = {}
_unclaimed: dict[str, Family] = {}
"""Of the loaded ones, ours of which nobody has asked yet what steps and questions they have."""
_in_order: list[Family] = []
_kinds: dict[str, tuple[Kind, Family]] = {}
_questions: dict[str, Family] = {}
_refused: dict[str, exception.UnusableFamily] = {}
_locks = [threading.RLock()]


def forget_lock() -> None:
    """Take a new lock, in a child: one that a thread of the parent held is never given back."""
    _locks[0] = threading.RLock()


@functools.cache
def _entry_points() -> Mapping[str, EntryPoint]:
    """Return the entry points by name, ours first: nobody takes the place of one of ours."""
    manager: named.NamedExtensionManager[Any] = named.NamedExtensionManager(GROUP, names=[])
    found: dict[str, EntryPoint] = {}
    for point in sorted(set(manager.list_entry_points()), key=_precedence):
        first = found.setdefault(point.name, point)
        if first.value != point.value:
            LOG.warning("Family %s is %s: %s is not taken", point.name, first.value, point.value)
    return found


def _precedence(point: EntryPoint) -> tuple[bool, str, str]:
    return not point.value.startswith(_OURS), point.name, point.value


def load(name: str) -> Family:
    """Return the family of this name.

    :raises UnusableFamily: there is none, it cannot be loaded, or it claims what another has.
    """
    found = _loaded.get(name) or _load_alone(name)
    if name in _unclaimed:
        with _locks[0]:
            if name in _unclaimed:
                _claim(found, name)
                del _unclaimed[name]
    return found


def _load_alone(name: str) -> Family:
    """Return a family; one of ours may not have been asked yet what it claims."""
    with _locks[0]:
        return _loaded.get(name) or _load_once(name)


def _load_once(name: str) -> Family:
    """Load a family, or say again why it cannot be used: what fails is not tried with each call."""
    if name in _refused:
        raise exception.UnusableFamily(**_refused[name].kwargs)
    try:
        return _take_up(name)
    except exception.UnusableFamily as error:
        _refused[name] = error
        raise


def _take_up(name: str) -> Family:
    point = _entry_points().get(name)
    if point is None:
        raise exception.UnusableFamily(family=name, reason=f"no package brings it ({GROUP})")
    if not point.value.startswith(_OURS):
        # What ours have is taken, whatever comes first.
        for other, its in _entry_points().items():
            if its.value.startswith(_OURS):
                load(other)
    try:
        family = point.load()
    except Exception as error:
        raise _unusable(name, point.value, error) from error
    if not isinstance(family, Family):
        raise exception.UnusableFamily(family=name, reason=f"{point.value} is no Family")
    if point.value.startswith(_OURS):
        _unclaimed[name] = family
    else:
        _claim(family, name)
    _loaded[name] = family  # last: who finds it here, without the lock, finds all of it there
    return family


def _unusable(name: str, value: str, error: Exception) -> exception.UnusableFamily:
    return exception.UnusableFamily(family=name, reason=f"{value} cannot be loaded: {error!r}")


def _claim(family: Family, name: str) -> None:
    """Note which kinds of steps and questions are a family's."""
    value = _entry_points()[name].value
    try:
        _rooms = family.rules, family.kinds, family.questions
    except Exception as error:
        raise _unusable(name, value, error) from error
    _check(family, name, value)
    _kinds.update({kind: (row, family) for kind, row in family.kinds.items()})
    _questions.update({question.name: family for question in family.questions})


def _check(family: Family, name: str, value: str) -> None:
    """See that a family claims nothing that another has."""

    def refuse(reason: str) -> exception.UnusableFamily:
        return exception.UnusableFamily(family=name, reason=f"{value}: {reason}")

    if family.name != name:
        raise refuse(f"it calls itself {family.name!r}")
    if family.package != value.partition(":")[0]:
        raise refuse(f"it says that it is the package {family.package!r}")
    for resource in family.rules:
        if not _is_in(resource.__module__, family.package):
            raise refuse(f"the resource {resource.__qualname__} is of {resource.__module__}")
    for kind in family.kinds:
        # Its own may be there: of a parent whose thread was about to load it.
        if kind in _kinds and _kinds[kind][1] is not family:
            raise refuse(f"the kind of step {kind!r} is family {_kinds[kind][1].name}'s")
    for question in family.questions:
        if question.name in _questions and _questions[question.name] is not family:
            raise refuse(
                f"the question {question.name!r} is family {_questions[question.name].name}'s"
            )


def _is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def is_ours(family: Family) -> bool:
    """Tell whether a family is this package's."""
    return family.package.startswith(_OURS)


def all_families() -> list[Family]:
    """Return every family that can be loaded, the lowest floor first; tells of the others."""
    found = []
    for name in _entry_points():
        try:
            found.append(_load_alone(name))
        except exception.UnusableFamily as error:
            _tell_once(str(error))
    return sorted(found, key=lambda family: (family.floor, family.name))


def loaded() -> Sequence[Family]:
    """Return every family that something was asked of in this process, the lowest floor first."""
    if len(_in_order) != len(_loaded):
        _in_order[:] = sorted(_loaded.values(), key=lambda family: (family.floor, family.name))
    return _in_order


def load_systems() -> None:
    """Load every family, to its system: for a process that will not be able to read files later."""
    for family in all_families():
        load(family.name)
        try:
            _room = family.system
        except Exception as error:
            if is_ours(family):
                raise
            _tell_once(f"the system of family {family.name} cannot be loaded: {error!r}")


@functools.cache
def _tell_once(words: str) -> None:
    LOG.error("%s", words)


def homes_of(kind: type) -> Iterator[Family]:
    """Return the families in whose package a type is."""
    for name, point in _entry_points().items():
        if _is_in(kind.__module__, point.value.partition(":")[0]):
            yield load(name)


@functools.cache
def of_resource(kind: type) -> Family:
    """Return the family that a type of resource belongs to: the one in whose package it is.

    :raises UnusableFamily: nobody knows such a resource.
    """
    for family in homes_of(kind):
        if kind in family.rules:
            return family
    raise exception.UnusableFamily(
        family=kind.__module__,
        reason=f"no family of the entry-point group {GROUP} has a resource {kind.__qualname__}",
    )


@functools.cache
def rule_of(kind: type) -> Rule:
    """Return the rule for a type of resource.

    :raises UnusableFamily: nobody knows such a resource.
    """
    return of_resource(kind).rules[kind]


def of_question(name: str) -> Family:
    """Return the family that answers a kind of question, by the question's name.

    :raises UnusableFamily: nobody here has it.
    """
    found = _questions.get(name)
    return found if found is not None else _search(_questions, name)


def _search(table: Mapping[str, Any], name: str) -> Any:
    for family in all_families():
        load(family.name)
        if name in table:
            return table[name]
    raise exception.UnusableFamily(
        family="any", reason=f"no family that is installed here knows {name!r}"
    )


def kind_of(name: str) -> Kind:
    """Return a kind of step.

    :raises UnusableFamily: no family has it.
    """
    found = _kinds.get(name)
    return (found if found is not None else _search(_kinds, name))[0]


def family_of(kind: str) -> Family:
    """Return the family that a kind of step belongs to.

    :raises UnusableFamily: no family has it.
    """
    found = _kinds.get(kind)
    family: Family = (found if found is not None else _search(_kinds, kind))[1]
    return family


def kinds() -> Mapping[str, Kind]:
    """Return every kind of step of every family, by name."""
    for family in all_families():
        load(family.name)
    return {name: row for name, (row, _family) in _kinds.items()}


def ask(family: Family, act: Callable[[Family], Iterable[Told]]) -> list[Told]:
    """Ask a family; one that is not ours, and is at fault, is told of and keeps nobody from ours.

    :raises OSError: somebody refused to tell
    """
    try:
        return list(act(family))
    except OSError:
        raise
    except Exception as error:
        if is_ours(family):
            raise
        LOG.error("family %s is at fault, and passed over: %r", family.name, error, exc_info=True)
        return []


def told_by(alias: str) -> str:
    """Return in words what the alias of a device tells beside whose it is; '' for nothing."""
    said = [
        words for family in all_families() for words in ask(family, lambda it: [it.told(alias)])
    ]
    return ", ".join(filter(None, said))
