# SPDX-License-Identifier: Apache-2.0
"""Words that people bring along from other commands: what they are here.

Loaded when a word is no subcommand's.
"""

from __future__ import annotations

from collections.abc import Iterable

from os_vif.cli.suggest import suggest

SAME = {"apply": "plug", "delete": "unplug", "rm": "unplug", "get": "list", "ls": "list"}
"""Those that are done, by the name they have here."""

_SAID = {
    "status": "os-vif list shows what is plugged, and os-vif check FILE... whether it is right",
    "diff": "os-vif check FILE... tells what differs, and os-vif plan FILE... what plug would do",
}


def hint(word: str, known: Iterable[str]) -> str:
    """Say what may have been meant by a word that is no subcommand's.

    :param known: the subcommands
    """
    return _SAID.get(word) or suggest(word, known)
