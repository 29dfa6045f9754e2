# SPDX-License-Identifier: Apache-2.0
"""Where the command begins and ends: around what it does, Ctrl-C ends it without a word.

To load it takes time, in which there is nothing yet that tells a person of an interrupt, and Python
itself tells with a traceback.
"""

from __future__ import annotations

import os
import signal
import sys


def main() -> None:
    """Run the command and exit with its code."""
    # Who has been started in the background, say, ignores it already.
    is_taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_taken:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    _open_what_is_closed()
    from os_vif.cli import main as command

    if is_taken:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command.main()
    finally:
        if is_taken:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _open_what_is_closed() -> None:
    """Have the standard streams lead nowhere that are closed, and no socket come in their place."""
    for name, descriptor in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
            how = "w" if descriptor else "r"
            stream = open(descriptor, how, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115
            setattr(sys, name, stream)
