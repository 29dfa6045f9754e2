# SPDX-License-Identifier: Apache-2.0
"""What is asked about the host, and what was seen of it: the answers, and nothing else of it.

What may live here: what a question is, and the model that holds the answers.  Which questions
there are is the families' business (``os_vif/host/*/questions.py``), and so is the shape of their
answers.  The planner compares the answers with what is wanted, and its steps write on them what
they will do; so the model is also the host as it will be.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Collection, Iterable
from typing import Any, Generic, NamedTuple, Self, TypeVar

Key = TypeVar("Key")
Answer = TypeVar("Answer")

# When a question is asked, of all that a call wants to know.  What one stage says may be asked
# about in a later one.
CARDS = 0
"""Who is behind an address."""
HOLDERS = 10
"""Who has devices open, before these are looked at: what a switch or a process says it has
attached, it has open by then."""
DEVICES = 20
"""The devices."""
ON_DEVICES = 30
"""What stands on devices, or belongs to them."""
AROUND = 40
"""The rest of the host."""
LAST = 50
"""What depends on all that."""


def _every(keys: Collection[Any], _host: Host) -> list[Any]:
    return sorted(keys)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Question(Generic[Key, Answer]):
    """A kind of question: called with what it is about, it is one that can be asked.

    The answers stand in :class:`Host` under the question, by key.  What has no answer there was
    not asked, or nobody could look.

    :ivar name: unique among all families' questions.
    :ivar when: at which stage it is asked.
    :ivar privileged: whether only the privileged side can see it; then question and answer are
        plain data, and cross to it.
    :ivar among: of a privileged question, what of the keys there is to ask about, once all else
        was looked at.
    :ivar take: of a privileged question, writes the rows that came back into the answers.
    :ivar gone: writes into the answers that a device of this name is gone.
    :ivar sees: of a privileged question, what its answers show, in words, as a plural.
    """

    name: str
    when: int = ON_DEVICES
    privileged: bool = False
    among: Callable[[Collection[Any], Host], list[Any]] = _every
    take: Callable[[dict[Key, Answer], list[Any]], None] = dict.update
    gone: Callable[[dict[Key, Answer], str], None] | None = None
    sees: str = ""

    def __call__(self, about: Any) -> Asked:
        """Return the question about one thing."""
        return Asked(self, about)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<question {self.name}>"


class Asked(NamedTuple):
    """A question about one thing.

    :ivar question: its kind.
    :ivar about: a name, an address or the like: something that can be a key.
    """

    question: Question[Any, Any]
    about: Any


Asks = frozenset[Asked]
"""What must be looked up to plan a topology: names and addresses, never a whole table."""


@dataclasses.dataclass(slots=True, repr=False)
class Host:
    """The host, as far as it was asked about.

    :ivar answers: by question, and by what it is about.
    :ivar unseen: privileged questions that had something to be asked about and were not asked.
    """

    answers: dict[Question[Any, Any], dict[Any, Any]] = dataclasses.field(default_factory=dict)
    unseen: list[Question[Any, Any]] = dataclasses.field(default_factory=list)

    def __getitem__(self, question: Question[Key, Answer]) -> dict[Key, Answer]:
        """Return the answers to a kind of question, to read and to write on."""
        found: dict[Key, Answer] | None = self.answers.get(question)
        if found is None:
            found = self.answers[question] = {}
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Host:
        answers = {
            question: {key: copy.deepcopy(answer, memo) for key, answer in found.items()}
            for question, found in self.answers.items()
        }
        return Host(answers, list(self.unseen))

    def device_gone(self, name: str) -> None:
        """Write down that a device is gone, with all that goes with it."""
        for question, answers in self.answers.items():
            if question.gone is not None:
                question.gone(answers, name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Host) and self._told() == other._told()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _told(self) -> dict[str, dict[Any, Any]]:
        return {question.name: found for question, found in self.answers.items() if found}

    def __repr__(self) -> str:
        return f"Host({self._told()})"


def by_question(asked: Iterable[Asked]) -> dict[Question[Any, Any], set[Any]]:
    """Return what is asked about, by kind of question."""
    found: dict[Question[Any, Any], set[Any]] = {}
    for question, about in asked:
        found.setdefault(question, set()).add(about)
    return found
