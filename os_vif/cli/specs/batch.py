# SPDX-License-Identifier: Apache-2.0
"""What all files of a call say: VIFs, options, and networks that VIFs name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING

from os_vif.specs import Field, Group, Mark, Problem, Values, VIFType

if TYPE_CHECKING:
    from os_vif.cli.config_files import Placed
    from os_vif.cli.specs.networks import Definition, Named
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

Options = dict[tuple[str, str], tuple[str | list[str], Mark]]
"""``options:`` of the documents: by plugin and option, the text and where it stands."""


Said = dict[tuple[str, str, str], tuple[object, Mark]]
"""What fields say that stands in options: by plugin, option and key, the value and where it
stands."""


@dataclasses.dataclass(slots=True)
class Entry:
    """One VIF of a file.

    :ivar vif: the versioned object.
    :ivar instance: the guest it belongs to, if that was said.
    :ivar mark: where it stands.
    :ivar root: its path in its document; '' if it is the document.
    :ivar marks: where each of its fields stands.
    :ivar row: its row in the table; None for the wire form.
    :ivar values: what was said, by the row's fields.
    :ivar owner: as :attr:`Batch.owners` has it; '' for none.
    :ivar named: what was said of a network of the files that it names; None if it names none.
    """

    vif: VIFBase
    instance: InstanceInfo | None
    mark: Mark
    root: str = ""
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)
    row: VIFType | None = None
    values: Values = dataclasses.field(default_factory=dict)
    owner: str = ""
    named: Named | None = None

    def locate(self, known_as: str) -> tuple[Mark, str] | None:
        """Return where a field stands and its path, by the name the library has for it.

        A field that was left out stands where the mapping stands that lacks it.
        """
        names = [known_as, known_as.partition(".")[2]]
        paths = _paths_of(self.row.fields, names, "") if self.row else names
        for path in paths:
            mark = self.marks.get(path)
            if mark is None and self.row:
                mark = self.marks.get(path.rpartition(".")[0], self.mark)
            if mark is not None:
                return mark, join(self.root, path)
        return None


def _paths_of(fields: Iterable[Field], names: list[str], path: str) -> list[str]:
    found = []
    for field in fields:
        inner = f"{path}{field.name}"
        if any(name in field.known_as for name in names):
            found.append(inner)
        if isinstance(field.kind, Group):
            found += _paths_of(field.kind.fields, names, f"{inner}.")
    return found


@dataclasses.dataclass(slots=True)
class Batch:
    """What all files of a call say.

    :ivar entries: the VIFs.
    :ivar options: of the plugins.
    :ivar said: the same, of VIFs' own fields.
    :ivar problems: what cannot be used.
    :ivar placed: where an option was set, by section and option.
    :ivar owners: who takes away what the files no longer name: ``owner:`` of the documents.
    :ivar networks: those that VIFs can name, by their labels.
    :ivar routers: those between them, by theirs.
    """

    entries: list[Entry] = dataclasses.field(default_factory=list)
    options: Options = dataclasses.field(default_factory=dict)
    said: Said = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    placed: Placed = dataclasses.field(default_factory=dict)
    owners: set[str] = dataclasses.field(default_factory=set)
    networks: dict[str, Definition] = dataclasses.field(default_factory=dict)
    routers: dict[str, Definition] = dataclasses.field(default_factory=dict)


def join(path: str, key: str) -> str:
    """Return the path of a field of what stands at a path."""
    return f"{path}.{key}" if path else key
