# SPDX-License-Identifier: Apache-2.0
"""Who serves whom, and when: no I/O, a served item is one that was appended to a list."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest

from os_vif.engine.turns import Job, Turn, only_waits


class Desk:
    """Serves letters; each batch waits to be let go."""

    def __init__(self, *, held: bool = True) -> None:
        self.turn: Turn[str, str] = Turn()
        self.batches: list[tuple[str, str, bool]] = []
        self.threads: list[threading.Thread] = []
        self.ended: dict[str, BaseException | None] = {}
        self.trouble: Callable[[str], None] = lambda _letters: None
        self.only_waits_for = ""
        self._go = threading.Semaphore(0 if held else 1000)

    def serve(self, verb: str, items: Sequence[str], alone: bool) -> None:
        letters = "".join(items)
        self.batches.append((verb, letters, alone))
        if letters[0] in self.only_waits_for:
            only_waits()
        assert self._go.acquire(timeout=30)
        self.trouble(letters)

    def come(self, verb: str, letter: str, *, key: str = "", alone: bool = False) -> None:
        """Come in a thread of one's own; return when one is served or waits."""
        job = Job(verb, [letter], frozenset(key or letter), alone)

        def run() -> None:
            try:
                self.turn.have_served(job, self.serve)
            except BaseException as error:
                self.ended[letter] = error
            else:
                self.ended[letter] = None

        waiting, serving = len(self.turn.waiting), len(self.batches)
        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()
        until(lambda: len(self.turn.waiting) > waiting or len(self.batches) > serving)

    def go(self, batches: int) -> None:
        self._go.release(batches)

    def close(self) -> None:
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "somebody was forgotten"
        assert (self.turn.waiting, self.turn.leader, self.turn.on_their_way) == ([], None, [])


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.0005)


def test_all_who_wait_are_one_batch() -> None:
    desk = Desk()
    for letter in "abcde":
        desk.come("plug", letter)
    desk.go(2)
    desk.close()
    assert desk.batches == [("plug", "a", False), ("plug", "bcde", False)]
    assert desk.ended == dict.fromkeys("abcde")


def test_who_is_served_is_told_while_the_next_batch_is_served() -> None:
    desk = Desk()
    for letter in "abc":
        desk.come("plug", letter)
    desk.go(1)
    until(lambda: len(desk.batches) == 2)
    desk.come("plug", "d")
    until(lambda: "a" in desk.ended)
    desk.go(1)
    until(lambda: {"b", "c"} <= set(desk.ended))
    assert "d" not in desk.ended
    desk.go(1)
    desk.close()


def test_nobody_waits_longer_than_a_batch_of_each_verb() -> None:
    desk = Desk()
    desk.come("plug", "a")
    for letter in "bcdefg":
        desk.come("unplug" if letter in "ceg" else "plug", letter)
    desk.go(3)
    desk.close()
    assert [batch[:2] for batch in desk.batches] == [
        ("plug", "a"),
        ("plug", "bdf"),
        ("unplug", "ceg"),
    ]


def test_what_is_wanted_of_one_vif_keeps_its_order() -> None:
    desk = Desk()
    desk.come("plug", "a")
    desk.come("unplug", "b", key="a")
    desk.come("plug", "c", key="a")
    desk.come("unplug", "d")
    desk.come("plug", "e")
    desk.go(4)
    desk.close()
    assert [batch[:2] for batch in desk.batches] == [
        ("plug", "a"),
        ("unplug", "bd"),
        ("plug", "ce"),
    ]


def test_all_or_nothing_is_a_batch_by_itself() -> None:
    desk = Desk()
    desk.come("plug", "a")
    desk.come("plug", "b")
    desk.come("plug", "c", alone=True)
    desk.come("plug", "d")
    desk.go(3)
    desk.close()
    assert desk.batches == [("plug", "a", False), ("plug", "bd", False), ("plug", "c", True)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_one_who_serves_and_is_interrupted_hands_on(kind: type[BaseException]) -> None:
    desk = Desk()

    def trouble(letters: str) -> None:
        if letters == "bcd":
            raise kind

    desk.trouble = trouble
    for letter in "abcd":
        desk.come("plug", letter)
    desk.go(3)
    desk.close()
    assert [batch[1] for batch in desk.batches] == ["a", "bcd", "cd"]
    assert isinstance(desk.ended.pop("b"), kind)
    assert desk.ended == dict.fromkeys("acd")


class Interrupted(threading.Event):
    """Ctrl-C while its caller waits."""

    def wait(self, timeout: float | None = None) -> bool:
        raise KeyboardInterrupt


def test_one_who_waits_and_is_interrupted_is_not_served() -> None:
    desk = Desk()
    desk.come("plug", "a")
    gone = Job("plug", ["x"], frozenset("x"))
    gone._told = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        desk.turn.have_served(gone, desk.serve)
    desk.come("plug", "b")
    desk.go(2)
    desk.close()
    assert [batch[1] for batch in desk.batches] == ["a", "b"]


def test_one_interrupted_in_the_moment_the_turn_comes_hands_it_on() -> None:
    desk = Desk()
    desk.come("plug", "a")

    class Late(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            super().wait(30)
            raise KeyboardInterrupt

    late = Job("plug", ["x"], frozenset("x"))
    late._told = Late()
    ended: list[BaseException] = []

    def run() -> None:
        try:
            desk.turn.have_served(late, desk.serve)
        except KeyboardInterrupt as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: late in desk.turn.waiting)
    desk.come("plug", "b")
    desk.go(2)
    thread.join(30)
    desk.close()
    assert len(ended) == 1
    assert [batch[1] for batch in desk.batches] == ["a", "b"]


def test_while_one_only_waits_the_next_batch_is_served() -> None:
    desk = Desk()
    desk.only_waits_for = "ab"
    for letter in "ab":
        desk.come("plug", letter)
    assert [batch[1] for batch in desk.batches] == ["a", "b"]
    assert desk.ended == {}
    for letter in "cd":
        desk.come("plug", letter)
    assert [batch[1] for batch in desk.batches] == ["a", "b"], "no more than two on their way"
    desk.come("unplug", "e")
    assert [batch[1] for batch in desk.batches] == ["a", "b", "e"], "of a verb"
    desk.go(4)
    desk.close()
    assert [batch[1] for batch in desk.batches] == ["a", "b", "e", "cd"]
    assert desk.ended == dict.fromkeys("abcde")


def test_what_is_wanted_of_a_vif_on_its_way_waits_for_it() -> None:
    desk = Desk()
    desk.only_waits_for = "a"
    desk.come("plug", "a")
    desk.come("unplug", "b", key="a")
    desk.come("plug", "c", key="a")
    desk.come("plug", "d")
    assert [batch[:2] for batch in desk.batches] == [("plug", "a"), ("plug", "d")]
    desk.go(4)
    desk.close()
    assert [batch[:2] for batch in desk.batches[2:]] == [("unplug", "b"), ("plug", "c")]


def test_one_who_only_waits_and_is_interrupted_leaves_the_others_to_be_served() -> None:
    desk = Desk()
    desk.only_waits_for = "b"

    def trouble(letters: str) -> None:
        if letters == "bcd":
            raise KeyboardInterrupt

    desk.trouble = trouble
    for letter in "abcd":
        desk.come("plug", letter)
    desk.go(1)
    until(lambda: len(desk.batches) == 2)
    desk.come("plug", "e")
    assert desk.batches[2][1] == "e"
    desk.go(3)
    desk.close()
    assert [batch[1] for batch in desk.batches] == ["a", "bcd", "e", "cd"]
    assert isinstance(desk.ended.pop("b"), KeyboardInterrupt)
    assert desk.ended == dict.fromkeys("acde")


def test_nobody_is_forgotten_where_all_only_wait() -> None:
    desk = Desk(held=False)
    desk.only_waits_for = "abcdefghijklmnopqrstuvwxyz"
    for number in range(200):
        letter = chr(ord("a") + number % 26)
        desk.come("plug" if number % 3 else "unplug", letter, key=letter * (1 + number % 2))
    desk.close()
    assert len("".join(batch[1] for batch in desk.batches)) == 200


def test_many_come_and_go() -> None:
    desk = Desk(held=False)
    for letter in "abcdefghijklmnopqrstuvwxyz":
        desk.come("plug" if letter in "aeiou" else "unplug", letter)
    desk.close()
    assert sorted("".join(batch[1] for batch in desk.batches)) == sorted(
        "abcdefghijklmnopqrstuvwxyz"
    )
