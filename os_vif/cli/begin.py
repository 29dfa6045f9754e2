# SPDX-License-Identifier: Apache-2.0
"""Where the command begins and ends: around what it does, Ctrl-C ends it without a word.

To load it takes time, in which there is nothing yet that tells a person of an interrupt, and Python
itself tells with a traceback.
"""

from __future__ import annotations

import signal


def main() -> None:
    """Run the command and exit with its code."""
    # Who has been started in the background, say, ignores it already.
    is_taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if is_taken:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from os_vif.cli import main as command

    if is_taken:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command.main()
    finally:
        if is_taken:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
