# SPDX-License-Identifier: Apache-2.0
"""Which VIF a word means: by its id or the beginning of that, by a device of it, by its guest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from os_vif.cli.session import Exit, Failure, Session
from os_vif.cli.suggest import suggest

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request
    from os_vif.engine.plugged import Plugged
    from os_vif.objects.instance_info import InstanceInfo

P = TypeVar("P", bound="Plugged")

_FILES = frozenset({".yaml", ".yml", ".json"})


@dataclasses.dataclass(frozen=True, slots=True)
class _Known:
    """What a VIF is known by.

    :ivar guest: the guest's UUID; '' for none.
    :ivar name: the guest's name, where it is said.
    """

    vif_id: str
    devices: Sequence[str]
    guest: str = ""
    name: str = ""


class Described(NamedTuple):
    """VIFs of files.

    :ivar requests: what the engine is to do for each of ``entries``; None where its plugin does
        things itself.
    :ivar owners: who is named by ``owner:`` in the files.
    """

    entries: list[Entry]
    requests: list[Request | None]
    owners: set[str]


def described(
    session: Session,
    files: Sequence[str],
    only: Sequence[str] = (),
    *,
    unplugging: bool = False,
    tell: bool = True,
) -> Described:
    """Return the VIFs of files, and what the engine is to do for each, as describe_all has it.

    :param only: what names those that are meant; without words, all
    :param tell: warn of what the files say and nothing hears
    :raises BadInput: something in the files cannot be used, whichever VIF it is of
    :raises Failure: a word of ``only`` means none of them, or more than one
    """
    batch = session.read(files, tell=tell)
    from os_vif.cli.results import shown_as
    from os_vif.cli.specs import reader

    requests = reader.describe_all(batch, unplugging=unplugging)
    pairs = list(zip(batch.entries, requests, strict=True))
    if only:
        devices = [shown_as(request, entry, unplugging=unplugging) for entry, request in pairs]
        meant = meant_by(only, batch.entries, devices)
        pairs = [pair for at, pair in enumerate(pairs) if at in meant]
    entries = [entry for entry, _request in pairs]
    return Described(entries, [request for _entry, request in pairs], batch.owners)


def owners_of(entries: Sequence[Entry]) -> dict[str, str]:
    """Return who owns VIFs of files, by id, of those that have an owner."""
    return {str(entry.vif.id): entry.owner for entry in entries if entry.owner}


def guests_of(entries: Sequence[Entry]) -> list[str]:
    """Return what the guests of VIFs are called, each once: by name, or else by UUID."""
    guests = {_said(it.instance, "uuid"): it.instance for it in entries if it.instance is not None}
    return [_said(guest, "name") or uuid for uuid, guest in guests.items()]


def plugged(words: Sequence[str]) -> list[Plugged]:
    """Return the plugged VIFs that are meant; all of them without words.

    :raises Failure: a word means none, or more than one
    """
    from os_vif import verbs

    return meant_of(verbs.list_vifs(), words)


def meant_of(found: list[P], words: Sequence[str]) -> list[P]:
    """Return those of plugged VIFs that are meant, as :func:`plugged`."""
    from os_vif.cli import held

    if not words:
        return found
    known = [
        _Known(item.mark.vif_id, held.names_of(item), item.mark.instance.lower(), item.mark.guest)
        for item in found
    ]

    def none(word: str, hint: str) -> str:
        hint = hint or "no VIF is plugged on this host"
        return f"{word!r} is neither a file nor the id, device or guest of a plugged VIF; {hint}"

    return [found[at] for at in _chosen(words, known, none)]


def meant_by(
    words: Sequence[str],
    entries: Sequence[Entry],
    devices: Sequence[Sequence[str]],
    said: str = "--only {}",
) -> set[int]:
    """Return the places of the VIFs of files that are meant.

    :param devices: of each of ``entries``
    :param said: how a word was said
    :raises Failure: a word means none, or more than one
    """
    known = []
    for entry, names in zip(entries, devices, strict=True):
        uuid, name = (_said(entry.instance, field) for field in ("uuid", "name"))
        known.append(_Known(str(entry.vif.id), names, uuid.lower(), name))

    def none(word: str, hint: str) -> str:
        return f"{said.format(word)}: no VIF of the files has such an id, device or guest; {hint}"

    return set(_chosen(words, known, none))


def _said(guest: InstanceInfo | None, field: str) -> str:
    return str(getattr(guest, field)) if guest is not None and guest.obj_attr_is_set(field) else ""


def _chosen(
    words: Sequence[str], known: Sequence[_Known], none: Callable[[str, str], str]
) -> list[int]:
    """Return the places of what the words mean, each once; a guest's name means all of its VIFs."""
    chosen: dict[int, None] = {}
    for word in words:
        hits = _hits(word, known)
        if hits is None:
            names = [name for item in known for name in (*item.devices, item.name) if name]
            names += [item.vif_id for item in known]
            raise Failure(none(word, suggest(word, names) if names else ""), Exit.BAD_INPUT)
        chosen |= dict.fromkeys(hits)
    return list(chosen)


def _hits(word: str, known: Sequence[_Known]) -> list[int] | None:
    """Return the places of what a word means; None for nothing."""
    if not word or word.encode(errors="replace").decode() != word:  # no name is but UTF-8
        return None
    places = range(len(known))
    exact = [at for at in places if known[at].vif_id == word]
    if exact:
        return exact
    hits = [at for at in places if known[at].vif_id.startswith(word) or word in known[at].devices]
    if len(hits) > 1:
        ids = ", ".join(known[at].vif_id for at in hits)
        raise Failure(f"{word!r} may mean any of {ids}", Exit.BAD_INPUT)
    if hits:
        return hits
    from os_vif.engine.topology import is_guest
    from os_vif.specs import derived_id

    # A guest with a name and no id has one that is made of the name; the name itself may be noted.
    guests = {word.lower(), derived_id("instance", word)}
    by_id = [at for at in places if known[at].guest in guests]
    named = by_id or [at for at in places if is_guest(known[at].name, word)]
    others = sorted({known[at].guest or f"VIF {known[at].vif_id}" for at in named})
    if not by_id and len(others) > 1:
        raise Failure(
            f"{word!r} is the name of several guests: {', '.join(others)}; name one by its id",
            Exit.BAD_INPUT,
        )
    return named or None


def files_of(targets: Sequence[str]) -> bool:
    """Tell whether files are meant, and not plugged VIFs.

    :raises Failure: both are
    """
    files = [target for target in targets if _is_file(target)]
    if files and len(files) < len(targets):
        others = [target for target in targets if target not in files]
        raise Failure(
            f"{', '.join(others)}: no such file; name files or plugged VIFs, not both",
            Exit.BAD_INPUT,
        )
    return bool(files)


def _is_file(target: str) -> bool:
    # What looks like the name of a file is one, also when it is mistyped.
    path = Path(target)
    return target == "-" or "/" in target or path.suffix in _FILES or path.exists()
