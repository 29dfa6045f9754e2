# SPDX-License-Identifier: Apache-2.0
"""The real command, in a network namespace of its own: the fixture ``osvif``.

Each call is a process. Most are forked from one that has imported the command already (see
:mod:`tests.command`); on terminals, with ``before`` and where a test asks for it the installed
script is run.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests import witness
from tests.command import COMMAND, ForkServer
from tests.waiting import PATIENCE_S

# Nothing of the caller's terminal or locale.
ENVIRONMENT = {
    key: value
    for key, value in os.environ.items()
    if key not in ("NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "COLUMNS")
} | {"LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
SERVER = ForkServer(ENVIRONMENT)

BRIDGE = "type: bridge\nbridge: br0\nname: tap0\nmac: 52:54:00:12:34:56\nfiltered: true\n"
TAP = "type: tap\nname: tap1\nmac: 52:54:00:12:34:57\n"


class OsVif:
    """Runs the command on a private host, in an empty folder.

    :ivar apart: start the installed script each time, not a fork of a process that has loaded it.
    """

    def __init__(self, host: Any, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.apart = False
        self.terminals: list[pexpect.spawn[str]] = []

    def file(self, text: str, name: str = "vif.yaml") -> str:
        """Write a specification; return its name."""
        (self.folder / name).write_text(text)
        return name

    def __call__(
        self, *words: str, code: int = 0, before: tuple[str, ...] = (), **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run it and see that it ends with this code and shows no traceback.

        :param before: a command that runs it, as in ``("setpriv", ...)``
        """
        options |= {"env": ENVIRONMENT | options.get("env", {}), "cwd": self.folder}
        done: subprocess.CompletedProcess[str]
        if before:
            done = self.host.run(*before, COMMAND, *words, check=False, **options)
        else:
            done = SERVER.run(self.host, *words, apart=self.apart, **options)
        said = f"{done.stdout}{done.stderr}"
        assert done.returncode == code, said
        assert "Traceback" not in said
        return done

    def json(self, *words: str, code: int = 0, **options: Any) -> Any:
        """Run it with ``--json``; return what it said, which must be all it said."""
        done = self(*words, "--json", code=code, **options)
        assert done.stderr == ""
        found = json.loads(done.stdout)
        assert found["exit_code"] == code
        assert found["command"].partition(" ")[0] == words[0]
        assert bool(found["errors"]) == (code in (1, 2))
        return found

    def confined(self, unit: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run it as the sandbox of a unit lets it, in a file; see ``sandbox.py``."""
        sandbox = (sys.executable, str(Path(__file__).with_name("sandbox.py")), unit)
        return self(*words, code=code, before=("unshare", "--mount", *sandbox))

    def terminal(self, *words: str, **environment: str) -> pexpect.spawn[str]:
        """Run it on a terminal of 80 columns."""
        [program, *arguments] = self.host.argv(COMMAND, *words)
        child = pexpect.spawn(
            program,
            arguments,
            env=ENVIRONMENT | environment,
            cwd=str(self.folder),
            encoding="utf-8",
            dimensions=(40, 80),
            timeout=PATIENCE_S,
        )
        self.terminals.append(child)
        return child

    def nothing_changed(self) -> Any:
        """Return a context: at its end the host must be as at its start."""
        return _Unchanged(self.host)


class _Unchanged:
    def __init__(self, host: Any) -> None:
        self.host = host

    def look(self) -> Any:
        with self.host.enter():
            return witness.snapshot()

    def __enter__(self) -> None:
        self.before = self.look()

    def __exit__(self, *_error: object) -> None:
        assert self.look() == self.before


@pytest.fixture
def osvif(host: Any, tmp_path: Path) -> Iterator[OsVif]:
    """Return the command on a private host."""
    command = OsVif(host, tmp_path)
    yield command
    for child in command.terminals:
        child.close(force=True)


@pytest.fixture
def named_namespace() -> Iterator[str]:
    """Return the name of an empty network namespace in /run/netns."""
    # Not like another test's: the command says which name was meant.
    name = f"{secrets.token_hex(8)}-os-vif"
    subprocess.run(["ip", "netns", "add", name], check=True)
    yield name
    subprocess.run(["ip", "netns", "delete", name], check=True)
