# SPDX-License-Identifier: Apache-2.0
"""The networks and routers of files, and what is told of each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from os_vif.cli.privilege import explain
from os_vif.cli.results import as_steps
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from os_vif.engine.step import Change, Step
    from os_vif.engine.topology import Topology
    from os_vif.specs import Mark

Runs = list[str | tuple[str, str]]

_REMOTES = ("unix:", "tcp:", "ssl:")
_SERVER = "is OVN's Northbound database there? see --nb"


class Described(NamedTuple):
    """A network or a router of a file.

    :ivar topology: its rows.
    :ivar mark: where it stands; None where that is not known.
    """

    topology: Topology
    mark: Mark | None


def described(session: Session, files: Sequence[str]) -> list[Described]:
    """Return the networks and routers of files, the networks first.

    :raises BadInput: something in the files cannot be used
    """
    found = session.read_networks(files)
    from os_vif.logical import mapping

    wanted = found.wanted
    places = [*(it.at for it in wanted.networks), *(it.at for it in wanted.routers)]
    return [
        Described(topology, found.mark_of(at))
        for topology, at in zip(mapping.mapped(found.survey), places, strict=True)
    ]


def topologies_of(found: Sequence[Described]) -> list[Topology]:
    """Return their rows."""
    return [it.topology for it in found]


def as_result(
    item: Described,
    state: str,
    steps: Sequence[Step],
    error: str | None = None,
    *,
    changes: Sequence[Change] = (),
) -> dict[str, Any]:
    """Return what became of a network or router, or would, for JSON.

    :param changes: as of :func:`os_vif.cli.results.as_steps`
    """
    from os_vif.logical import telling

    kind, label = telling.called(item.topology)
    return {
        "kind": kind,
        "id": item.topology.mark.vif_id,
        "label": label,
        "file": item.mark.source if item.mark else None,
        "line": item.mark.line if item.mark else None,
        "state": state,
        "rows": len(item.topology.resources),
        "steps": as_steps(steps, changes),
        "error": error,
    }


def label_of(result: dict[str, Any], width: int = 0) -> Runs:
    """Return what a network or router is called, to be said."""
    name = f"{result['kind']} {result['label']}"
    return [(name.ljust(width), "title")]


def widest(results: Sequence[dict[str, Any]]) -> int:
    """Return so many characters the longest of their names has."""
    return max((len(f"{it['kind']} {it['label']}") for it in results), default=0)


def numbered(steps: Sequence[dict[str, Any]], start: int = 1) -> Iterator[Runs]:
    """Return steps as lines, to be said."""
    for number, step in enumerate(steps, start):
        yield [(f"  {number:>3}. ", "quiet"), step["words"]]


@contextlib.contextmanager
def asking() -> Iterator[None]:
    """End the command, with its words, where the library or a database refuses something.

    :raises Failure: it has
    """
    from os_vif import exception

    try:
        yield
    except (exception.ExceptionBase, OSError) as error:
        code = Exit.BAD_INPUT if isinstance(error, exception.InvalidField) else Exit.FAILED
        # What was waited for and has not come is no matter of the way there.
        away = isinstance(error, OSError) and str(error.strerror).startswith(_REMOTES)
        raise Failure(explain(error, _SERVER if away else ""), code) from error


def rows_of(rows: int) -> str:
    """Return a number of rows in words."""
    return f"{rows} row{'' if rows == 1 else 's'}"


def written(rows: int, transactions: int) -> str:
    """Return in words how rows are written."""
    many = "one transaction" if transactions == 1 else f"{transactions} transactions"
    return f"{rows_of(rows)} in {many}"
