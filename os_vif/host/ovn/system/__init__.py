# SPDX-License-Identifier: Apache-2.0
"""Ask OVN's Northbound database, and change it.

Nothing of VIFs is looked for here: plugging has no business with it, and who may write in it has
the whole cloud.  Its rooms are only loaded when there is something to do.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import System, Transactions
from os_vif.host.ovn.questions import (
    BOUND,
    CENTRAL,
    CHILDREN,
    FOLLOWED,
    NAMES,
    NEIGHBOURS,
    OWNED,
    ROWS,
)

if TYPE_CHECKING:
    from os_vif.engine.observed import Asked, Host, Question
    from os_vif.engine.place import Place
    from os_vif.engine.runner import Group, Report
    from os_vif.engine.step import Step
    from os_vif.host.ovn.questions import Wanted
    from os_vif.host.ovn.resources import Northbound
    from os_vif.host.ovn.system import guesses
    from os_vif.host.ovn.system.rows import Doubts

_doubts: contextvars.ContextVar[Doubts | None] = contextvars.ContextVar("doubts", default=None)
"""Of a call that changes something.  The server tells it of a name that is taken, and of what is in
the way; who changes nothing has to look for all that."""


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, place: Place
) -> Iterable[Asked]:
    from os_vif.host.ovn.system import following, guesses, neighbours, rows
    from os_vif.system import ovsdb

    database = place.database
    wanted = sorted(asked.get(ROWS, ()), key=lambda it: it[:2])
    names = sorted(asked.get(NAMES, ()))
    doubts = _doubts.get()
    if doubts is not None and not names and (guessed := _guess(place.database, wanted, doubts)):
        host[ROWS].update(guessed)
    elif wanted or names:
        found = ovsdb.ask(
            database,
            lambda server, deadline: rows.look_up(server, wanted, names, doubts, deadline),
        )
        host[ROWS].update(found.rows)
        host[NAMES].update(found.names)
        host[CHILDREN].update(found.children)
        guesses.look_back(database, found.rows)
    if CHILDREN in asked:
        held = ovsdb.ask(database, functools.partial(rows.children, sorted(asked[CHILDREN])))
        host[CHILDREN].update(held)
    for owner in asked.get(OWNED, ()):
        host[OWNED][owner] = ovsdb.ask(database, functools.partial(rows.owned, owner))
    if NEIGHBOURS in asked:
        found_twins = ovsdb.ask(database, functools.partial(neighbours.look_up, asked[NEIGHBOURS]))
        host[NEIGHBOURS].update(found_twins)
    if CENTRAL in asked:
        host[CENTRAL][""] = ovsdb.ask(database, rows.central)
    for seconds in asked.get(FOLLOWED, ()):
        following.wait_for_northd(database, seconds)
    for seconds, ports in asked.get(BOUND, ()):
        following.wait_for_chassis(database, seconds, ports)
    return ()


def _guess(database: Northbound, wanted: Sequence[Wanted], doubts: Doubts) -> guesses.Rows:
    """Return what need not be looked at: at the first try of a call."""
    from os_vif.host.ovn.system import guesses

    doubts.guessed = {} if doubts.looked else guesses.guess(database, wanted) or {}
    doubts.looked = True
    return doubts.guessed


def _run(place: Place, groups: Sequence[Group]) -> list[Report]:
    from os_vif.host.ovn.system import rows, transactions

    return transactions.run(place.database, groups, _doubts.get() or rows.Doubts())


def _take_back(_place: Place, _back: Sequence[Step]) -> list[str]:
    return []  # all of a call was done at once, or was not


@contextlib.contextmanager
def _one_call() -> Iterator[None]:
    from os_vif.host.ovn.system import rows
    from os_vif.system import ovsdb_calls

    token = _doubts.set(rows.Doubts())
    try:
        with ovsdb_calls.one_call():
            yield
    finally:
        _doubts.reset(token)


SYSTEM = System(
    look=_look, transactions=Transactions(run=_run, take_back=_take_back, one_call=_one_call)
)
