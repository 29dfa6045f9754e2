# SPDX-License-Identifier: Apache-2.0
"""A type of VIF: what a person may write behind ``type:``, and the versioned object it becomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.specs.kinds import Field, Group, Schema
from os_vif.specs.problems import Reading

if TYPE_CHECKING:
    from os_vif.engine.plugged import Held
    from os_vif.objects.vif import VIFBase
    from os_vif.specs.held import Told

Values = dict[str, Any]
"""What was said, by field; what was not said is not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class VIFType:
    """A type of VIF.

    :ivar name: what stands behind ``type:``.
    :ivar summary: what it makes, in one line.
    :ivar use: whom it is for.
    :ivar plugin: the plugin that plugs it.
    :ivar vif_class: the name of its versioned object.
    :ivar fields: what may be said about it.
    :ivar build: from what was said to the object.
    :ivar example: a file with one of them.
    :ivar check: notes as problems what the fields say against each other.
    :ivar rank: the types of os-vif, and after them all others, are shown in the order of it.
    :ivar options: what fields say that stands in options of the plugin, each a mapping: by the
        field's path the option, the key and the value.  They count for the call that reads the
        file.
    :ivar held: the inverse of ``build`` and ``options``: from what the host holds of a VIF of the
        plugin to what would plug it again; None where it is of another of the plugin's types.
        Raises :class:`~os_vif.specs.NotTold` where the host does not tell enough.  Pure.  None for
        a type that cannot be exported.
    :ivar together: notes as problems what VIFs of this type say against each other in one call,
        each in its own reading.
    """

    name: str
    summary: str
    use: str
    plugin: str
    vif_class: str
    fields: tuple[Field, ...]
    build: Callable[[Values], VIFBase]
    example: str
    check: Callable[[Values, Reading], None] = lambda _values, _into: None
    rank: int = 100
    options: Callable[[Values], Mapping[str, tuple[str, str, Any]]] = lambda _values: {}
    held: Callable[[Held], Told | None] | None = None
    together: Callable[[Sequence[tuple[Values, Reading]]], None] = lambda _said: None

    @property
    def schema(self) -> Schema:
        """JSON Schema of one VIF of this type."""
        schema = Group(self.name, self.fields).schema
        kind = {"const": self.name, "description": self.summary}
        return {
            "title": f"type: {self.name}",
            **schema,
            "properties": {"type": kind, **schema["properties"]},
            "required": ["type", *schema.get("required", [])],
        }
