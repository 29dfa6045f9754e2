# SPDX-License-Identifier: Apache-2.0
"""``run``: a guest's VIFs for as long as its program runs."""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from os_vif.cli import children, plugging, running
from os_vif.cli.guest import card_for, card_options, options_of, resolved
from os_vif.cli.options import Taught, only_option, shared_options
from os_vif.cli.privilege import explain
from os_vif.cli.results import errors_of, failure_of
from os_vif.cli.session import Exit, Failure, Session

if TYPE_CHECKING:
    from os_vif.cli.specs.batch import Entry
    from os_vif.engine.converge import Request
    from os_vif.guest import Card, GuestOptions

ARGUMENTS = "{args}"
"""The word in whose place the arguments go."""

LETTING_GO_S = 2.0
"""So long may a VIF be open after the program has ended: what it started ends with it, or just
after."""


@click.command("run", cls=Taught)
@running.file_argument
@running.words_argument
@only_option
@card_options
@click.option("--keep", is_flag=True, help="Leave the VIFs plugged when CMD has ended.")
@click.option(
    "--die-with-me", is_flag=True, help="CMD gets SIGTERM if this process ends first (kill -9)."
)
@shared_options
@click.pass_obj
def run(
    session: Session,
    /,
    file: str,
    words: tuple[str, ...],
    *,
    only: tuple[str, ...],
    keep: bool,
    die_with_me: bool,
    **said: Any,
) -> int:
    r"""Plug, run CMD with its arguments for QEMU, unplug when it ends.

    FILE holds the VIFs of one guest. They are plugged and opened, and CMD is started with the
    arguments that os-vif guest --format qemu has for them: where it has the word {args}, else at
    its end. Where it has {fds}, these become the descriptors' numbers, as exec has it, and there
    are no arguments but for {args}. The descriptors are CMD's alone, and so is the terminal. A
    vhost-user socket takes --memory, which is the guest's then without -m.

    Signals are passed on to CMD: TERM, INT, HUP, QUIT, USR1 and USR2. When it has ended, the VIFs
    are unplugged; what another program has open is left, and told. With --netns, CMD runs there.

    The exit code is CMD's, or 128 + N if signal N ended it; 127 if there is no such program, 126 if
    it cannot be run. If plugging fails, CMD is not started. If this process is killed (SIGKILL),
    CMD runs on, unless --die-with-me was said; the VIFs stay plugged, as list shows, until unplug,
    gc, or another run that ends.

    Examples:
      os-vif run web.yaml -- qemu-system-x86_64 -m 1G disk.img
      os-vif run web.yaml -- sh -c 'exec qemu-system-x86_64 "$@" a.img' sh {args}
      os-vif run --queues 2 web.yaml -- qemu-system-x86_64 -smp 2 -m 1G disk.img
      os-vif run --only tap-web guests.yaml -- qemu-system-x86_64 -m 1G disk.img

    With --json: as unplug, or with --keep as plug, after all that CMD has written.
    """
    from os_vif.cli import naming

    entries, requests, _owners = naming.described(session, [file], only)
    if not entries:
        raise Failure(f"{file}: there is no VIF in it", Exit.BAD_INPUT)
    _see_one_guest(entries, file)
    guest = _Guest(file, entries, requests, words, resolved(options_of(**said)))
    try:
        children.find(words[0])
    except OSError as error:
        raise _not_started(words[0], error) from None
    _see_unused(entries)
    with children.Kept() as kept:
        results = guest.plug(session)
        errors = errors_of(results)
        if errors:
            _tell(session, results)
            return session.finish(Exit.FAILED, errors=errors, vifs=results)
        why = None
        try:
            code = guest.run(session, kept, die_with_me=die_with_me)
        except Failure as error:
            why, code = str(error), int(error.code)
        except children.Told as told:
            why, code = f"{told} came before {words[0]} was started", 128 + told.number
        kept.told.clear()
        if why is not None or not keep:
            results = guest.unplug(kept)
    errors = errors_of(results)
    if why is not None:
        errors.insert(0, {"type": "Failed", "message": why})
        if not session.json:
            session.error(why)
    _tell(session, results)
    return session.finish(code or int(bool(errors)), errors=errors, vifs=results)


class _Guest:
    """The VIFs of one guest, and its program."""

    def __init__(
        self,
        file: str,
        entries: Sequence[Entry],
        requests: Sequence[Request | None],
        words: Sequence[str],
        options: GuestOptions,
    ) -> None:
        """See that it can be, and touch nothing.

        :raises Failure: it cannot
        """
        self._entries = entries
        self._requests = requests
        self._words = words
        self._options = options
        self._pairs = [(entry.vif, entry.instance) for entry in entries]
        self._places = running.meant_places(words, entries, requests, file)
        if any(ARGUMENTS in word and word != ARGUMENTS for word in words):
            raise Failure(f"{ARGUMENTS} must be a word of its own", Exit.BAD_INPUT)
        # Who has {fds} writes the arguments himself.
        self._cards: list[Card] = []
        if ARGUMENTS in words or not self._places:
            self._cards = list(map(self._card, entries, requests))
            self._arguments([()] * len(entries))

    def plug(self, session: Session) -> list[dict[str, Any]]:
        """Plug all or nothing; return what became of each, for JSON."""
        from os_vif import verbs
        from os_vif.cli import naming

        owners = naming.owners_of(self._entries)
        outcomes = verbs.plug_many(self._pairs, together=True, owners=owners)
        results = plugging.results_of(self._entries, self._requests, outcomes, unplugging=False)
        plugging.warn_of(session, results)
        return results

    def run(self, session: Session, kept: children.Kept, *, die_with_me: bool) -> int:
        """Run the program to its end; return its exit code.

        :raises Told: a signal came before it was started
        :raises Failure: it cannot be started
        """
        opened = self._opened()
        words = list(self._words)
        if self._cards:
            at = words.index(ARGUMENTS) if ARGUMENTS in words else len(words)
            words[at : at + 1] = self._arguments(opened)
        words, environment = running.filled(words, self._places, opened)
        if session.verbosity:
            session.note(shlex.join(words))
        descriptors = [number for own in opened for number in own]
        try:
            return children.run(words, environment, descriptors, kept, die_with_us=die_with_me)
        except OSError as error:
            raise _not_started(words[0], error) from None

    def unplug(self, kept: children.Kept) -> list[dict[str, Any]]:
        """Unplug what no program has open any more; return what became of each, for JSON."""
        from os_vif import verbs
        from os_vif.cli import removing

        deadline = time.monotonic() + LETTING_GO_S
        while refused := removing.those_in_use(self._entries):
            if kept.told or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        free = [pair for pair in self._pairs if str(pair[0].id) not in refused]
        done = iter(verbs.unplug_many(free))
        outcomes = [refused.get(str(vif.id)) or next(done) for vif, _instance in self._pairs]
        return plugging.results_of(self._entries, self._requests, outcomes, unplugging=True)

    def _opened(self) -> list[list[int]]:
        """Open the guest's ends of those that have one to be opened; of others, no descriptors."""
        openable = [
            at
            for at in range(len(self._entries))
            if not self._cards or (self._cards[at].end.descriptors and not self._options.by_name)
        ]
        found = running.opened(
            [self._entries[at] for at in openable],
            [self._requests[at] for at in openable],
            self._options.queues,
        )
        by_place = dict(zip(openable, found, strict=True))
        return [by_place.get(at, []) for at in range(len(self._entries))]

    def _card(self, entry: Entry, request: Request | None) -> Card:
        from os_vif.guest.card import VhostUser

        try:
            card = card_for(entry, request)
        except Exception as error:
            raise _refused(entry, error) from error
        by_themselves = any("memory-backend" in word for word in self._words)
        if isinstance(card.end, VhostUser) and not (self._options.memory or by_themselves):
            raise Failure(
                f"{entry.mark}: a vhost-user back end works on memory that the guest shares; say "
                "--memory SIZE instead of -m",
                Exit.BAD_INPUT,
            )
        return card

    def _arguments(self, opened: Sequence[Sequence[int]]) -> list[str]:
        """Return QEMU's arguments.

        :param opened: the descriptors of each VIF
        """
        from os_vif.guest import qemu

        found = []
        for entry, card, descriptors in zip(self._entries, self._cards, opened, strict=True):
            try:
                found.append(qemu.arguments(card, self._options, descriptors))
            except Exception as error:
                raise _refused(entry, error) from error
        return qemu.together(found)


def _refused(entry: Entry, error: Exception) -> Failure:
    return Failure(f"{entry.mark}: {explain(error)}", Exit.BAD_INPUT)


def _see_one_guest(entries: Sequence[Entry], file: str) -> None:
    """Refuse VIFs of more than one guest: one program has them all."""
    from os_vif.cli import naming

    guests = naming.guests_of(entries)
    if len(guests) > 1:
        raise Failure(
            f"{file}: these are the VIFs of {len(guests)} guests ({', '.join(guests)}), and CMD is "
            "one; choose with --only GUEST",
            Exit.BAD_INPUT,
        )


def _see_unused(entries: Sequence[Entry]) -> None:
    """Refuse VIFs that another program has open: their guest runs."""
    from os_vif.engine import inventory

    uses = inventory.uses_of({str(entry.vif.id) for entry in entries})
    said = dict.fromkeys(f"{use.device}: {use}" for found in uses.values() for use in found)
    if said:
        raise Failure(f"{'; '.join(said)}; a VIF is for one guest: stop that program first")


def _not_started(program: str, error: OSError) -> Failure:
    reason = error.strerror or str(error)
    return Failure(f"{program!r}: {reason}", Exit(children.exit_code_of(error)))


def _tell(session: Session, results: Sequence[dict[str, Any]]) -> None:
    for result in [] if session.json else results:
        if result["error"] is not None:
            session.error(failure_of(result))
