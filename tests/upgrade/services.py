# SPDX-License-Identifier: Apache-2.0
"""Services on this release of os-vif and on earlier ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import environments
from tests.conftest import PrivateHost

OURS = "6"
LOCKS = {"4.3.1": "reference-4", "5.3.0": "reference-5"}
HERE = Path(__file__).parent
SETTINGS = """
[os_vif_ovs]
ovsdb_connection = tcp:127.0.0.1:6640
ovs_vsctl_timeout = 30
[oslo_concurrency]
lock_path = {folder}
"""


def python_of(release: str) -> str:
    """Return the Python that has a release of os-vif, which is installed if need be."""
    if release == OURS:
        return sys.executable
    return environments.python_of(f"os-vif-{release}", LOCKS[release])


def fetch() -> None:
    """Install the earlier releases."""
    for release in LOCKS:
        python_of(release)


class Service:
    """A process with one release of os-vif; see ``service.py``."""

    def __init__(self, release: str, host: PrivateHost, folder: Path) -> None:
        python = python_of(release)
        settings = folder / f"{release}.conf"
        settings.write_text(SETTINGS.format(folder=folder))
        self._said = (folder / f"{release}.out").open("w+")
        environment = dict(os.environ)
        if release != OURS:
            environment.pop("PYTHONPATH", None)  # it may lead to this release
        self._process = subprocess.Popen(
            host.argv(python, "-W", "ignore", str(HERE / "service.py"), str(settings)),
            cwd=folder,
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
        )

    def ask(self, *request: Any) -> Any:
        """Have something done; see ``service.py``."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            self._said.seek(0)
            pytest.fail(self._said.read())
        return json.loads(answer)

    def do(self, verb: str, vif: Any, guest: Any, options: Any = None) -> Any:
        """Plug or unplug, which must succeed; return what was logged."""
        answer = self.ask(verb, vif, guest, options or {})
        assert answer["raised"] is None, answer["raised"]
        return answer["logged"]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout
        self._process.stdout.close()
        self._said.close()


Services = Callable[[str], Service]
