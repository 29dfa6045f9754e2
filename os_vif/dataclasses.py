# SPDX-License-Identifier: Apache-2.0
"""The standard library's dataclasses, whose methods are written when they are first called.

The standard library writes and compiles up to six methods of each class while its module is
imported. That was a quarter of what a run of the command costs, and most classes never have an
instance in it. Here a class has its fields at once, and ``__init__``, ``__eq__`` and ``__hash__``
when somebody asks for them; whoever uses the class sees no difference.
"""

from __future__ import annotations

import dataclasses
import reprlib
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any

__all__ = ["FrozenInstanceError", "asdict", "dataclass", "field", "fields", "replace"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, repr=True, eq=True, frozen=False, slots=False, kw_only=False):  # noqa: A002
        """Make a class a dataclass; every word means what it means to the standard library."""
        methods = {"repr": repr, "eq": eq, "frozen": frozen}
        shape = {"slots": slots, "kw_only": kw_only}

        def make(found):
            if any(hasattr(base, "__dataclass_fields__") for base in found.__mro__[1:]):
                # Few extend another one, and what goes for those, the standard library knows.
                return dataclasses.dataclass(**methods, **shape)(found)
            made = dataclasses.dataclass(init=False, repr=False, eq=False, **shape)(found)
            _promise(made, methods)
            return made

        return make if cls is None else make(cls)


class _Promised:
    """A method that is written when it is asked for, and then stands in this one's place."""

    def __init__(self, cls: type, name: str, write: Callable[[type], Any]) -> None:
        self._cls = cls
        self._name = name
        self._write = write

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        """Write the method; what two threads write is the same."""
        method = self._write(self._cls)
        method.__qualname__ = f"{self._cls.__qualname__}.{self._name}"
        setattr(self._cls, self._name, method)
        return method.__get__(instance, owner)


def _promise(cls: Any, methods: Mapping[str, bool]) -> None:
    """Give a class the methods that it does not define itself."""
    own = vars(cls)
    given: dict[str, Any] = {"__init__": _Promised(cls, "__init__", _init)}
    if methods["repr"]:
        given["__repr__"] = _repr
    if methods["eq"]:
        given["__eq__"] = _Promised(cls, "__eq__", _eq)
    if methods["frozen"]:
        given |= _refusing(cls)
        if "__slots__" in own:
            given |= {"__getstate__": _getstate, "__setstate__": _setstate}
    # Python itself takes the hash from a class that says what is equal.
    hashed = own.get("__hash__") is not None or ("__hash__" in own and "__eq__" not in own)
    if methods["eq"] and not hashed:
        cls.__hash__ = _Promised(cls, "__hash__", _hash) if methods["frozen"] else None
    for name, method in given.items():
        if name not in own:
            setattr(cls, name, method)
    said = cls.__dataclass_params__
    said.init = True
    for word, wanted in methods.items():
        setattr(said, word, wanted)


def _written(cls: type, name: str, parameters: str, body: Iterable[str], **known: Any) -> Any:
    """Compile a method; `known` are names that its text has beside those of its module."""
    lines = "".join(f"\n  {line}" for line in body)
    text = f"def make({', '.join(known)}):\n def {name}({parameters}):{lines}\n return {name}"
    made: dict[str, Any] = {}
    exec(text, vars(sys.modules[cls.__module__]), made)  # noqa: S102
    return made["make"](**known)


class _Unsaid:
    """Stands for a value that is made anew for each instance."""

    def __repr__(self) -> str:
        return "<factory>"


def _init(cls: Any) -> Any:
    frozen = cls.__dataclass_params__.frozen
    parameters: list[str] = []
    keywords: list[str] = []
    body: list[str] = []
    known: dict[str, Any] = {"_set": object.__setattr__, "_unsaid": _Unsaid()}
    for each in fields(cls):
        name = value = each.name
        made = each.default_factory is not dataclasses.MISSING
        default = each.default_factory if made else each.default
        preset = ""
        if default is not dataclasses.MISSING:
            known[f"_default_{name}"] = default
            preset = "=_unsaid" if made else f"=_default_{name}"
        if each.init:
            (keywords if each.kw_only else parameters).append(name + preset)
            if made:
                value = f"_default_{name}() if {name} is _unsaid else {name}"
        elif made or (preset and "__slots__" in vars(cls)):
            value = f"_default_{name}" + ("()" if made else "")
        else:
            continue
        slot = getattr(cls, name, None)
        if not frozen:
            body.append(f"self.{name} = {value}")
        elif isinstance(slot, MemberDescriptorType):
            known[f"_set_{name}"] = slot.__set__
            body.append(f"_set_{name}(self, {value})")
        else:
            body.append(f"_set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    star = ["*"] if keywords else []
    heading = ", ".join(["self", *parameters, *star, *keywords])
    method = _written(cls, "__init__", heading, body or ["pass"], **known)
    types = {each.name: each.type for each in fields(cls) if each.init}
    method.__annotations__ = {**types, "return": None}
    return method


def _values(cls: Any, of: str, *, hashed: bool = False) -> str:
    """Write down the tuple of what makes two of a class equal."""
    compared = [
        each.name
        for each in fields(cls)
        if (each.compare if each.hash is None or not hashed else each.hash)
    ]
    return "(" + "".join(f"{of}.{name}, " for name in compared) + ")"


def _eq(cls: type) -> Any:
    body = [
        "if other.__class__ is self.__class__:",
        f" return {_values(cls, 'self')} == {_values(cls, 'other')}",
        "return NotImplemented",
    ]
    return _written(cls, "__eq__", "self, other", body)


def _hash(cls: type) -> Any:
    return _written(cls, "__hash__", "self", [f"return hash({_values(cls, 'self', hashed=True)})"])


@reprlib.recursive_repr("...")
def _repr(self: Any) -> str:
    said = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{self.__class__.__qualname__}({', '.join(said)})"


def _refusing(cls: Any) -> dict[str, Any]:
    """Return what refuses to change an instance of a class that is frozen."""

    def __setattr__(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:
        if type(self) is cls or name in cls.__dataclass_fields__:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return {"__setattr__": __setattr__, "__delattr__": __delattr__}


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in fields(self)]


def _setstate(self: Any, state: Iterable[Any]) -> None:
    for each, value in zip(fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
