# SPDX-License-Identifier: Apache-2.0
"""The wire form: versioned-object primitives, as OpenStack's services send them to each other."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs.nodes import Mapping, Node, Scalar, Sequence, what
from os_vif.cli.suggest import suggest
from os_vif.specs import Reading
from os_vif.specs.problems import quoted, shortened

if TYPE_CHECKING:
    from os_vif.objects.vif import VIFBase

NAME = "versioned_object.name"
NAMESPACE = "versioned_object.namespace"
VERSION = "versioned_object.version"
DATA = "versioned_object.data"
CHANGES = "versioned_object.changes"

OUR_NAMESPACE = "os_vif"

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})\Z")
_VERSION = re.compile(r"[0-9]{1,6}\.[0-9]{1,6}\Z")
_WORDS: dict[str, bool] = {"true": True, "false": False}


def is_primitive(node: Node) -> bool:
    """Tell whether a node is meant as a primitive: it says which object it is."""
    return isinstance(node, Mapping) and node.get(NAME) is not None


def plain(node: Node) -> Any:
    """Return a node as JSON would have it; a scalar that is nothing else is text."""
    if isinstance(node, Mapping):
        return {key.text: plain(value) for key, value in node.items}
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    if not node.plain:
        return node.text
    if node.is_null:
        return None
    if _INTEGER.match(node.text):
        return int(node.text)
    return _WORDS.get(node.text, node.text)


def read_object(node: Node, expected: str, into: Reading, path: str = "") -> Any:
    """Return the object of a primitive, or None with problems in ``into``.

    :param expected: the class it must be or derive from, such as ``VIFBase``
    :param path: the field it is in
    """
    from oslo_versionedobjects.base import VersionedObjectRegistry

    into.marks[path] = node.mark
    wanted: Any = VersionedObjectRegistry.obj_classes()[expected][0]
    name = node.get(NAME) if isinstance(node, Mapping) else None
    cls = dict(_classes()).get(name.text) if isinstance(name, Scalar) else None
    if cls is not None and not issubclass(cls, wanted):
        names = ", ".join(sorted(name for name, known in _classes() if issubclass(known, wanted)))
        into.problem(node.mark, path, f"{cls.obj_name()} is not what belongs here; one of: {names}")
        return None
    before = len(into.problems)
    cls = _check(node, path, into)
    if len(into.problems) > before or cls is None:
        return None
    text = plain(node)
    _versions_are_text(text)
    try:
        return cls.obj_from_primitive(text)
    except Exception as error:  # the objects' own checks raise whatever netaddr or they find
        into.problem(node.mark, path, f"not a usable {cls.obj_name()}: {shortened(str(error))}")
        return None


def read_vif(node: Node, into: Reading) -> VIFBase | None:
    """Return the VIF of a primitive, or None with problems in ``into``."""
    vif: VIFBase | None = read_object(node, "VIFBase", into)
    if vif is None:
        return None
    data = node.get(DATA) if isinstance(node, Mapping) else None
    mark = data.mark if data else node.mark
    for field in ("id", "plugin"):
        if not vif.obj_attr_is_set(field):
            into.problem(mark, field, f"missing; every VIF has its {field}")
    return vif


def _classes() -> list[tuple[str, Any]]:
    from oslo_versionedobjects.base import VersionedObjectRegistry

    every = VersionedObjectRegistry.obj_classes()
    return [
        (name, found[0])
        for name, found in every.items()
        if found[0].OBJ_PROJECT_NAMESPACE == OUR_NAMESPACE
    ]


def _check(node: Node, path: str, into: Reading) -> Any:
    """Note everything that is wrong with a primitive; return its class if it is known."""
    if not isinstance(node, Mapping) or node.get(NAME) is None:
        into.problem(
            node.mark, path, f"expected an object (a mapping with {NAME}), found {what(node)}"
        )
        return None
    known = (NAME, NAMESPACE, VERSION, DATA, CHANGES)
    for word, _value in node.items:
        if word.text not in known:
            into.problem(word.mark, _join(path, word.text), f"unknown; {suggest(word.text, known)}")
    said = {
        key: value for key in known if isinstance(value := node.get(key), Scalar) and value.text
    }
    for key in (NAME, NAMESPACE, VERSION):
        if key not in said:
            into.problem(node.mark, _join(path, key), "missing, or not text")
    name, namespace, version = (said.get(key) for key in (NAME, NAMESPACE, VERSION))
    if namespace and namespace.text != OUR_NAMESPACE:
        into.problem(
            namespace.mark,
            _join(path, NAMESPACE),
            f"{quoted(namespace.text)} is another project's; expected {OUR_NAMESPACE!r}",
        )
        return None
    classes = dict(_classes())
    cls = classes.get(name.text) if name else None
    if name and cls is None:
        into.problem(
            name.mark,
            _join(path, NAME),
            f"there is no object {quoted(name.text)}; {suggest(name.text, sorted(classes))}",
        )
        return None
    if cls is not None and version:
        _check_version(cls, version, path, into)
    data = node.get(DATA)
    if cls is None or data is None:
        if data is None:
            into.problem(node.mark, _join(path, DATA), "missing")
        return None
    if not isinstance(data, Mapping):
        message = f"expected a mapping, found {what(data)}"
        into.problem(data.mark, _join(path, DATA), message)
        return None
    for word, value in data.items:
        _check_field(cls, word, value, path, into)
    return cls


def _check_version(cls: Any, version: Scalar, path: str, into: Reading) -> None:
    where = _join(path, VERSION)
    if not _VERSION.match(version.text):
        message = f"{quoted(version.text)} cannot be used; expected as in '1.0'"
        into.problem(version.mark, where, message)
        return
    have, newest = (tuple(map(int, text.split("."))) for text in (version.text, cls.VERSION))
    if have > newest or have[0] != newest[0]:
        into.problem(
            version.mark,
            where,
            f"{cls.obj_name()} {version.text} is not known here; the newest known is "
            f"{cls.VERSION} (have the sender send that one, or upgrade os-vif)",
        )


def _check_field(cls: Any, key: Scalar, value: Node, path: str, into: Reading) -> None:
    inner = _join(path, key.text)
    into.marks[inner] = value.mark
    field = cls.fields.get(key.text)
    if field is None:
        into.problem(key.mark, inner, f"unknown field; {suggest(key.text, cls.fields)}")
        return
    if is_primitive(value):
        _check(value, inner, into)
        return
    if isinstance(value, Sequence) and any(is_primitive(item) for item in value.items):
        for position, item in enumerate(value.items):
            _check(item, f"{inner}[{position}]", into)
        return
    try:
        field.from_primitive(cls, key.text, plain(value))
        # Whether it is a whole object is seen when all is put together.
        if not hasattr(field, "objname") and not isinstance(value, Mapping):
            field.coerce(cls(), key.text, plain(value))
    except Exception as error:  # netaddr's, oslo's and Python's own
        into.problem(value.mark, inner, f"{what(value)} cannot be used; {shortened(str(error))}")


def _versions_are_text(primitive: Any) -> None:
    if isinstance(primitive, list):
        for item in primitive:
            _versions_are_text(item)
    elif isinstance(primitive, dict):
        for key, value in primitive.items():
            if key == VERSION:
                primitive[key] = str(value)
            else:
                _versions_are_text(value)


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
