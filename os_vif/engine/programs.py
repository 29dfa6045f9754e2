# SPDX-License-Identifier: Apache-2.0
"""The programs of this installation, by names that sudo finds.

sudo looks in folders of its own (``secure_path``, sudoers(5)), where those of a virtual environment
are not.
"""

from __future__ import annotations

import os
import shlex
import sys

_EVERYWHERE = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin"})
"""What is in every distribution's ``secure_path``."""


def for_sudo(name: str) -> str:
    """Return what a program of this installation is called by after ``sudo``, quoted for a shell.

    It is the whole path, unless each sudo finds the name.
    """
    # A script is started by its path; who has several installations means this one.
    beside = [os.path.abspath(path) for path in (*sys.argv[:1], sys.executable) if path]
    for folder in map(os.path.dirname, beside):
        path = os.path.join(folder, name)
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return name if folder in _EVERYWHERE else shlex.quote(path)
    return name
