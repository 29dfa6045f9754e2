# SPDX-License-Identifier: Apache-2.0
"""What may have been meant by a word that is unknown."""

from __future__ import annotations

from collections.abc import Iterable


def closest(word: str, known: Iterable[str]) -> str:
    """Return the known word that was meant, by its looks; '' if none is close."""
    if len(word) > 100:  # it is no word, and comparing takes its time
        return ""
    import difflib

    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.6)
    return lower[close[0]] if close else ""


def suggest(word: str, known: Iterable[str]) -> str:
    """Say which of the known words may have been meant."""
    words = list(known)
    meant = closest(word, words)
    return f"did you mean {meant!r}?" if meant else f"expected one of: {', '.join(words)}"
