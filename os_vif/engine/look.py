# SPDX-License-Identifier: Apache-2.0
"""Look at the host: ask the families' systems what a topology must know, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from os_vif import exception
from os_vif.engine import families
from os_vif.engine.observed import Asked, Host, Question
from os_vif.engine.place import Place

Row = list[Any]

Reveal = Callable[[str, str, list[Any]], list[Row]]
"""Asks the privileged side: the daemon's section, the question's name, and what it is about."""


class Look:
    """A look at the host, in its stages.

    :param place: where the VIFs' steps run
    :param privileged: whether to ask what only the privileged side can see
    """

    def __init__(self, place: Place, *, privileged: bool) -> None:
        self.host = Host()
        self._place = place
        self._privileged = privileged
        self._left: dict[int, dict[Question[Any, Any], set[Any]]] = {}  # by stage
        self._asked: set[Asked] = set()

    def ask(self, asked: Iterable[Asked]) -> None:
        """Take up questions, each of them once."""
        for item in asked:
            if item not in self._asked:
                self._asked.add(item)
                stage = self._left.setdefault(item.question.when, {})
                stage.setdefault(item.question, set()).add(item.about)

    def answer(self, reveal: Reveal) -> Host:
        """Answer all questions, and those that answers bring.

        :param reveal: asks the privileged side
        :raises OSError: somebody refused to tell.
        """
        while self._left:
            plain: dict[str, dict[Question[Any, Any], set[Any]]] = {}
            for question, about in self._left.pop(min(self._left)).items():
                if not question.privileged:
                    family = families.of_question(question.name)
                    plain.setdefault(family.name, {})[question] = about
                elif not (keys := question.among(about, self.host)):
                    continue
                elif self._privileged:
                    rows = reveal(self._place.section, question.name, keys)
                    question.take(self.host[question], rows)
                else:
                    self.host.unseen.append(question)
            for name, questions in plain.items():
                self.ask(self._look(name, questions))
        return self.host

    def _look(self, name: str, asked: dict[Question[Any, Any], set[Any]]) -> list[Asked]:
        try:
            return list(families.load(name).system.look(asked, self.host, self._place))
        except (OSError, exception.ExceptionBase):
            raise
        except Exception as error:
            about = ", ".join(question.name for question in asked)
            raise exception.UnusableFamily(
                family=name, reason=f"it failed to look at {about}: {error!r}"
            ) from error


def reveal(name: str, keys: list[Any]) -> list[Row]:
    """Answer questions of one kind; needs privilege.

    :param name: the question's
    :raises OSError: somebody refused to tell.
    :raises InvalidField: there is no such question for the privileged side.
    """
    try:
        act = families.of_question(name).system.reveal.get(name)
    except exception.UnusableFamily:
        act = None
    if act is None:
        raise exception.InvalidField(
            field="question", value=name, expected="one that a family of this host answers"
        )
    return act(keys)
