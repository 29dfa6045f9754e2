# SPDX-License-Identifier: Apache-2.0
"""From files to VIFs: every document, both forms, all problems at once."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.cli.specs import bounds, nodes, types, wire
from os_vif.cli.specs.nodes import BadInput, Mapping, Node, Scalar, what
from os_vif.cli.specs.reading import read_group, suggest
from os_vif.specs import (
    INSTANCE,
    Field,
    Group,
    Mark,
    Problem,
    Reading,
    Values,
    VIFType,
    instance_of,
)

if TYPE_CHECKING:
    from os_vif.engine.claims import Claim
    from os_vif.engine.converge import Request
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
    """

    vif: VIFBase
    instance: InstanceInfo | None
    mark: Mark
    root: str = ""
    marks: dict[str, Mark] = dataclasses.field(default_factory=dict)
    row: VIFType | None = None
    values: Values = dataclasses.field(default_factory=dict)

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
                return mark, _join(self.root, path)
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
    """

    entries: list[Entry] = dataclasses.field(default_factory=list)
    options: Options = dataclasses.field(default_factory=dict)
    said: Said = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)


def read_files(names: Sequence[str]) -> Batch:
    """Read specifications; ``-`` is standard input.

    :raises BadInput: with all problems of all files
    """
    batch = Batch()
    for name in names:
        source = "<stdin>" if name == "-" else name
        try:
            read_text(source, _text_of(name), batch)
        except BadInput as error:
            batch.problems += error.problems
    if not batch.entries and not batch.problems:
        for name in names:
            mark = Mark("<stdin>" if name == "-" else name, 1, 1)
            batch.problems.append(Problem(mark, "", "there is no VIF in it; see: os-vif types"))
    if batch.problems:
        raise BadInput(batch.problems)
    return batch


def _text_of(name: str) -> str:
    source = "<stdin>" if name == "-" else name
    try:
        if name == "-":
            data = sys.stdin.buffer.read(bounds.MAX_BYTES + 1)
        else:
            with Path(name).open("rb") as file:
                data = file.read(bounds.MAX_BYTES + 1)
    except OSError as error:
        raise BadInput([Problem(Mark(source, 1, 1), "", error.strerror or str(error))]) from None
    if len(data) > bounds.MAX_BYTES:
        raise BadInput([Problem(Mark(source, 1, 1), "", bounds.TOO_LARGE)])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        message = f"not UTF-8 text (byte 0x{data[error.start]:02x})"
        raise BadInput([Problem(Mark(source, line, column), "", message)]) from None


def read_text(source: str, text: str, batch: Batch) -> None:
    """Add what a text says to ``batch``.

    :raises BadInput: it is no YAML
    """
    documents = nodes.compose(source, text)
    for number, document in enumerate(documents):
        root = f"document {number + 1}" if len(documents) > 1 else ""
        _read_document(document, root, batch)


def _read_document(document: Node, root: str, batch: Batch) -> None:
    if isinstance(document, nodes.Sequence):
        _read_list(document, root, batch)
        return
    if not isinstance(document, Mapping):
        message = (
            f"expected a VIF (a mapping that begins with 'type: bridge', say), a list of VIFs "
            f"or 'vifs: [...]', found {what(document)}"
        )
        batch.problems.append(Problem(document.mark, root, message))
        return
    options = document.get("options")
    if options is not None:
        _read_options(options, root, batch)
    vifs = document.get("vifs")
    if vifs is None:
        rest = [item for item in document.items if item[0].text != "options"]
        if rest:
            _read_vif(Mapping(document.mark, rest), root, batch)
        return
    for key, _value in document.items:
        if key.text not in ("vifs", "options"):
            message = f"unknown beside 'vifs'; {suggest(key.text, ('vifs', 'options'))}"
            batch.problems.append(Problem(key.mark, _join(root, key.text), message))
    if isinstance(vifs, nodes.Sequence):
        _read_list(vifs, _join(root, "vifs"), batch)
    else:
        message = f"expected a list of VIFs, found {what(vifs)}"
        batch.problems.append(Problem(vifs.mark, _join(root, "vifs"), message))


def _read_list(items: nodes.Sequence, root: str, batch: Batch) -> None:
    for position, item in enumerate(items.items):
        _read_vif(item, f"{root}[{position}]", batch)


def _read_options(node: Node, root: str, batch: Batch) -> None:
    path = _join(root, "options")
    if not isinstance(node, Mapping):
        message = f"expected a mapping, as in 'tap: {{routed: true}}', found {what(node)}"
        batch.problems.append(Problem(node.mark, path, message))
        return
    for group, options in node.items:
        if not isinstance(options, Mapping):
            message = f"expected a mapping of options, found {what(options)}"
            batch.problems.append(Problem(options.mark, f"{path}.{group.text}", message))
            continue
        for name, value in options.items:
            where = f"{path}.{group.text}.{name.text}"
            if isinstance(value, Mapping) or (
                isinstance(value, nodes.Sequence)
                and not all(isinstance(item, Scalar) for item in value.items)
            ):
                message = f"expected a value, found {what(value)}"
                batch.problems.append(Problem(value.mark, where, message))
                continue
            text = (
                value.text
                if isinstance(value, Scalar)
                else [item.text for item in value.items if isinstance(item, Scalar)]
            )
            there = batch.options.get((group.text, name.text))
            if there is not None and there[0] != text:
                message = (
                    f"{text!r} here and {there[0]!r} at {there[1]}; options count for the whole "
                    "call, so they must agree"
                )
                batch.problems.append(Problem(value.mark, where, message))
            batch.options[group.text, name.text] = (text, value.mark)


def _read_vif(node: Node, root: str, batch: Batch) -> None:
    into = Reading(root)
    entry = None
    if isinstance(node, Mapping) and (misplaced := node.get("options")) is not None:
        message = "options count for the whole call; put them at the top, beside 'vifs'"
        into.problem(misplaced.mark, "options", message)
        node = Mapping(node.mark, [item for item in node.items if item[0].text != "options"])
    if wire.is_primitive(node):
        vif = wire.read_vif(node, into)
        if vif is not None:
            entry = Entry(vif, None, node.mark)
    elif isinstance(node, Mapping) and (primitive := node.get("vif")) is not None:
        entry = _read_pair(node, primitive, into)
    elif isinstance(node, Mapping):
        entry = _read_typed(node, into, batch)
    else:
        message = f"expected a VIF, as in '{{type: bridge, ...}}', found {what(node)}"
        into.problem(node.mark, "", message)
    batch.problems += into.problems
    if entry is not None and not into.problems:
        entry.root = root
        entry.marks = into.marks
        batch.entries.append(entry)


def _read_pair(node: Mapping, primitive: Node, into: Reading) -> Entry | None:
    """Read a primitive with its guest: ``{vif: ..., instance: ...}``."""
    for key, _value in node.items:
        if key.text not in ("vif", "instance"):
            message = f"unknown beside 'vif'; {suggest(key.text, ('vif', 'instance'))}"
            into.problem(key.mark, key.text, message)
    guest = node.get("instance")
    vif = wire.read_vif(primitive, into)
    instance = None
    if guest is not None and wire.is_primitive(guest):
        instance = wire.read_object(guest, "InstanceInfo", into, "instance")
    elif guest is not None:
        only_guest = Mapping(node.mark, [item for item in node.items if item[0].text == "instance"])
        values = read_group([INSTANCE], only_guest, "", into)
        instance = instance_of(values)
    return Entry(vif, instance, primitive.mark) if vif is not None else None


def _read_typed(node: Mapping, into: Reading, batch: Batch) -> Entry | None:
    kind = node.get("type")
    if kind is None:
        message = f"missing; say which type of VIF this is: {', '.join(types.all_types())}"
        into.problem(node.mark, "type", message)
        return None
    table = types.all_types()
    if not isinstance(kind, Scalar) or kind.text not in table:
        word = kind.text if isinstance(kind, Scalar) else ""
        message = f"there is no type {what(kind)}; {suggest(word, table)}"
        into.problem(kind.mark, "type", message)
        return None
    row = table[kind.text]
    rest = Mapping(node.mark, [item for item in node.items if item[0].text != "type"])
    values = read_group(row.fields, rest, "", into)
    row.check(values, into)
    if into.problems:
        return None
    _take_up(row, values, into, batch.said)
    if into.problems:
        return None
    try:
        vif = row.build(values)
        instance = instance_of(values)
    except (ValueError, exception.ExceptionBase) as error:
        into.problem(node.mark, "", f"not a usable {row.vif_class}: {error}")
        return None
    return Entry(vif, instance, node.mark, row=row, values=values)


def _take_up(row: VIFType, values: dict[str, Any], into: Reading, said: Said) -> None:
    """Take up what a VIF's fields say that counts for the call, which others may say too."""
    for path, (option, key, value) in row.options(values).items():
        mark = into.marks[path]
        first, there = said.setdefault((row.plugin, option, key), (value, mark))
        if first != value:
            into.problem(mark, path, f"{value!r} here and {first!r} at {there}, for the same {key}")


# --- against the plugins ------------------------------------------------------------------------


def describe_all(batch: Batch, *, unplugging: bool = False) -> list[Request | None]:
    """Return what the engine is to do for each VIF; None where its plugin does things itself.

    :raises BadInput: a plugin refuses a VIF, or two VIFs have the same id, device, socket, logical
        port, or MAC address in one place
    """
    from os_vif import verbs
    from os_vif.engine.claims import Claim, claims_of

    problems: list[Problem] = []
    requests: list[Request | None] = []
    taken: dict[Claim, Entry] = {}
    for entry in batch.entries:
        request = None
        try:
            request = verbs.describe(entry.vif, entry.instance, unplugging=unplugging)
        except exception.NotDescribed:
            pass
        except exception.InvalidField as error:
            problems.append(_refused(entry, error))
        except (exception.ExceptionBase, ValueError) as error:
            problems.append(Problem(entry.mark, entry.root, str(error)))
        requests.append(request)
        claims = [Claim("id", str(entry.vif.id))]
        if request is not None:
            claims += claims_of(entry.vif, request.topology)
        for claim in claims:
            # Whatever else two of them have that are there already, each can be taken away.
            if unplugging and claim.kind not in ("id", "name"):
                continue
            first = taken.setdefault(claim, entry)
            if first is not entry:
                problems.append(_duplicate(first, entry, claim))
                break
    if problems:
        raise BadInput(problems)
    return requests


def _refused(entry: Entry, error: exception.InvalidField) -> Problem:
    field, value = str(error.kwargs["field"]), error.kwargs["value"]
    place = entry.locate(field)
    said = f"{value!r} cannot be used" if value is not None else "missing"
    message = f"{said}; expected {error.kwargs['expected']}"
    if place is None:  # of the configuration, say: no field of the file
        return Problem(entry.mark, entry.root, f"{field}: {message}")
    return Problem(*place, message)


# What an id, or else a device's name, is derived from.
_SOURCES = {
    "id": ("id", "name", "mac"),
    "name": ("name", "id", "mac"),
    "path": ("path",),
    "interface_id": ("interface_id", "id", "name", "mac"),
    "mac": ("mac",),
}


def _duplicate(first: Entry, second: Entry, claim: Claim) -> Problem:
    field = claim.kind
    there, _path = _source(first, field)
    here, path = _source(second, field)
    derived = (
        "" if path == field else f" (it is derived; give another {path}, or the {field} itself)"
    )
    message = f"{claim} is taken by the VIF at {there}{derived}"
    return Problem(here, _join(second.root, path), message)


def _source(entry: Entry, field: str) -> tuple[Mark, str]:
    for path in _SOURCES[field]:
        if path in entry.marks:
            return entry.marks[path], path
    return entry.mark, field


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
