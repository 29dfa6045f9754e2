# SPDX-License-Identifier: Apache-2.0
"""Input that cannot be used, apart from what reads it: who only reports it loads no reader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os_vif.specs import Problem


class BadInput(Exception):
    """The input cannot be used; nothing was touched.

    :ivar problems: all of them, in the order of the files.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = list(problems)
