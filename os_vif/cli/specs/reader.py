# SPDX-License-Identifier: Apache-2.0
"""From files to VIFs: every document, both forms, all problems at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from os_vif import exception
from os_vif.cli.specs import clients, files, nodes, other_tools, together, types, wire
from os_vif.cli.specs.batch import Batch, Entry, Said, join
from os_vif.cli.specs.nodes import Mapping, Node, Scalar, what
from os_vif.cli.specs.reading import read_group
from os_vif.cli.specs.refused import BadInput
from os_vif.cli.suggest import suggest
from os_vif.engine import checks
from os_vif.specs import (
    INSTANCE,
    Mark,
    Problem,
    Reading,
    VIFType,
    instance_of,
)
from os_vif.specs.problems import quoted

if TYPE_CHECKING:
    from os_vif.cli.config_files import Placed
    from os_vif.engine.claims import Claim
    from os_vif.engine.converge import Request

_LISTS = ("vifs", "networks", "routers")
"""Keys of a document that holds several things, of which each may be missing."""

_BESIDE = (*_LISTS, "options", "owner")
"""What may stand beside each of them."""


def read_files(names: Sequence[str]) -> Batch:
    """Read specifications; ``-`` is standard input, and of a folder its files are read.

    Only if all that was named are folders, or an owner has none any more, may there be no VIF.

    :raises BadInput: with all problems of all files
    """
    batch = Batch()
    named = gather(names, batch)
    batch.problems += together.problems_of(batch.entries)
    if not batch.entries and not batch.problems and not batch.owners:
        for name in named:
            mark = Mark(files.source_of(name), 0, 0)
            batch.problems.append(Problem(mark, "", "there is no VIF in it; see: os-vif types"))
    if batch.problems:
        raise BadInput(batch.problems)
    return batch


def gather(names: Sequence[str], batch: Batch) -> list[str]:
    """Add what files say to ``batch``, and their problems; return those that are no folders."""
    named = []
    found: list[list[tuple[Node, str]] | BadInput] = []
    for name in names:
        try:
            listed = files.files_in(name)
        except BadInput as error:
            found.append(error)
            continue
        if listed is None:
            named.append(name)
        for each in [name] if listed is None else listed:
            try:
                text = files.text_of(each, listed=listed is not None)
                found.append(_documents(files.source_of(each), text))
            except BadInput as error:
                found.append(error)
    # A VIF may name a network of a file that comes later.
    for documents in found:
        if not isinstance(documents, BadInput):
            _define(documents, batch)
    for documents in found:
        if isinstance(documents, BadInput):
            batch.problems += documents.problems
        else:
            _read_documents(documents, batch)
    return named


def read_text(source: str, text: str, batch: Batch) -> None:
    """Add what a text says to ``batch``.

    :raises BadInput: it is no YAML
    """
    documents = _documents(source, text)
    _define(documents, batch)
    _read_documents(documents, batch)


def _documents(source: str, text: str) -> list[tuple[Node, str]]:
    """Return the documents of a text, each with its path.

    :raises BadInput: it is no YAML
    """
    if why := other_tools.of_text(text):
        raise BadInput([Problem(Mark(source, 1, 1), "", why)])
    found = nodes.compose(source, text)
    several = len(found) > 1
    return [(each, f"document {at + 1}" if several else "") for at, each in enumerate(found)]


def _define(documents: list[tuple[Node, str]], batch: Batch) -> None:
    for document, root in documents:
        if isinstance(document, Mapping) and any(map(document.get, ("networks", "routers"))):
            from os_vif.cli.specs import networks

            networks.define(document, root, batch)


def _read_documents(documents: list[tuple[Node, str]], batch: Batch) -> None:
    for document, root in documents:
        _read_document(document, root, batch)


def _read_document(document: Node, root: str, batch: Batch) -> None:
    if isinstance(document, nodes.Sequence):
        _read_list(document, root, batch)
        return
    named = clients.kuryr(document)
    if named is not None:
        for path, vif in named:
            _read_vif(vif, join(root, path), batch)
        return
    if not isinstance(document, Mapping):
        message = (
            f"expected a VIF (a mapping that begins with 'type: bridge', say), a list of VIFs "
            f"or 'vifs: [...]', found {what(document)}"
        )
        batch.problems.append(Problem(document.mark, root, message))
        return
    if (theirs := other_tools.of_document(document)) is not None:
        batch.problems.append(Problem(theirs[0].mark, root, theirs[1]))
        return
    options = document.get("options")
    if options is not None:
        _read_options(options, root, batch)
    if any(map(document.get, _LISTS)):
        _read_lists(document, root, batch)
        return
    rest = [item for item in document.items if item[0].text != "options"]
    if rest:
        _read_vif(Mapping(document.mark, rest), root, batch)


def _read_lists(document: Mapping, root: str, batch: Batch) -> None:
    for key, _value in document.items:
        if key.text not in _BESIDE:
            beside = next(name for name in _LISTS if document.get(name) is not None)
            message = f"unknown beside {beside!r}; {suggest(key.text, _BESIDE)}"
            batch.problems.append(Problem(key.mark, join(root, key.text), message))
    said, vifs = document.get("owner"), document.get("vifs")
    owner = "" if said is None else _read_owner(said, root, batch)
    if isinstance(vifs, nodes.Sequence):
        before = len(batch.entries)
        _read_list(vifs, join(root, "vifs"), batch)
        for entry in batch.entries[before:]:
            entry.owner = owner
    elif vifs is not None and not (_is_null(vifs) and any(map(document.get, _LISTS[1:]))):
        message = f"expected a list of VIFs, found {what(vifs)}"
        batch.problems.append(Problem(vifs.mark, join(root, "vifs"), message))


def _is_null(node: Node) -> bool:
    return isinstance(node, Scalar) and node.is_null


def _read_owner(node: Node, root: str, batch: Batch) -> str:
    try:
        owner = checks.owner(node.text if isinstance(node, Scalar) and not node.is_null else None)
    except exception.InvalidField as error:
        message = f"{what(node)} cannot be used; expected {error.kwargs['expected']}"
        batch.problems.append(Problem(node.mark, join(root, "owner"), message))
        return ""
    batch.owners.add(owner)
    return owner


def _read_list(items: nodes.Sequence, root: str, batch: Batch) -> None:
    for position, item in enumerate(items.items):
        _read_vif(item, f"{root}[{position}]", batch)


def _read_options(node: Node, root: str, batch: Batch) -> None:
    path = join(root, "options")
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
                    f"{quoted(text)} here and {quoted(there[0])} at {there[1]}; options count for "
                    "the whole call, so they must agree"
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
    elif isinstance(node, Mapping) and clients.is_nova(node):
        said = clients.from_nova(node, into)
        entry = _read_typed(said, into, batch) if said is not None else None
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
    if kind is None and (meant := other_tools.type_key(node)) is not None:
        into.problem(meant[0].mark, meant[0].text, meant[1])
        return None
    if kind is None:
        message = f"missing; say which type of VIF this is: {', '.join(types.all_types())}"
        into.problem(node.mark, "type", message)
        return None
    table = types.all_types()
    if not isinstance(kind, Scalar) or kind.text not in table:
        word = kind.text if isinstance(kind, Scalar) else ""
        ours = other_tools.type_of(word)
        hint = f"did you mean {ours!r}?" if ours in table else suggest(word, table)
        message = f"there is no type {what(kind)}; {hint}"
        into.problem(kind.mark, "type", message)
        return None
    row = table[kind.text]
    rest = Mapping(node.mark, [item for item in node.items if item[0].text != "type"])
    named = None
    if batch.networks or _names_network(rest):
        from os_vif.cli.specs import networks

        rest, named = networks.merged(rest, row.fields, batch, into)
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
        if named is not None:
            named.settle(vif)
    except (ValueError, exception.ExceptionBase) as error:
        into.problem(node.mark, "", f"not a usable {row.vif_class}: {error}")
        return None
    return Entry(vif, instance, node.mark, row=row, values=values, named=named)


def _names_network(node: Mapping) -> bool:
    """Tell whether a VIF speaks of its network as if that stood elsewhere in the files."""
    network = node.get("network")
    return isinstance(network, Mapping) and network.get("addresses") is not None


def _take_up(row: VIFType, values: dict[str, Any], into: Reading, said: Said) -> None:
    """Take up what a VIF's fields say that counts for the call, which others may say too."""
    for path, (option, key, value) in row.options(values).items():
        mark = into.marks[path]
        first, there = said.setdefault((row.plugin, option, key), (value, mark))
        if first != value:
            message = f"{quoted(value)} here and {quoted(first)} at {there}, for the same {key}"
            into.problem(mark, path, message)


# --- against the plugins ------------------------------------------------------------------------


def describe_all(batch: Batch, *, unplugging: bool = False) -> list[Request | None]:
    """Return what the engine is to do for each VIF; None where its plugin does things itself.

    :raises BadInput: a plugin refuses a VIF, or two VIFs have the same id, device, socket, logical
        port, or MAC address in one place
    """
    from os_vif import verbs
    from os_vif.engine.claims import Claim, Claims, claims_of

    problems: list[Problem] = []
    requests: list[Request | None] = []
    taken: Claims[int] = Claims()
    for position, entry in enumerate(batch.entries):
        request = None
        try:
            request = verbs.describe(
                entry.vif, entry.instance, unplugging=unplugging, owner=entry.owner
            )
        except exception.NotDescribed:
            pass
        except exception.InvalidField as error:
            problems.append(_refused(entry, error, batch.placed))
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
            first = taken.before(claim, position)
            if first is not None:
                problems.append(_duplicate(batch.entries[first], entry, claim))
                break
    if problems:
        raise BadInput(problems)
    return requests


def _refused(entry: Entry, error: exception.InvalidField, placed: Placed) -> Problem:
    field, value = str(error.kwargs["field"]), error.kwargs["value"]
    place: tuple[Mark | None, str] | None = entry.locate(field)
    written = place is not None and place[1].removeprefix(entry.root).lstrip(".") in entry.marks
    if placed and not written:
        from os_vif.cli import config_files

        section = f"os_vif_{entry.vif.plugin}"
        place = config_files.origin(placed, section, value) or place
    said = f"{quoted(value)} cannot be used" if value is not None else "missing"
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
    "shape": ("network.mtu", "network"),
}


def _duplicate(first: Entry, second: Entry, claim: Claim) -> Problem:
    field = claim.kind
    there, _path = _source(first, field)
    here, path = _source(second, field)
    if field == "shape":
        message = f"{claim} is described otherwise by the VIF at {there}; say the same of both"
        return Problem(here, join(second.root, path), message)
    derived = (
        "" if path == field else f" (it is derived; give another {path}, or the {field} itself)"
    )
    message = f"{claim} is taken by the VIF at {there}{derived}"
    return Problem(here, join(second.root, path), message)


def _source(entry: Entry, field: str) -> tuple[Mark, str]:
    for path in _SOURCES[field]:
        if path in entry.marks:
            return entry.marks[path], path
    return entry.mark, field
