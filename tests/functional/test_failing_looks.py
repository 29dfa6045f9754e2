# SPDX-License-Identifier: Apache-2.0
"""A process that can open no more files: it takes back what it has done, or says what it left."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.engine import runner
from tests import vifs, witness
from tests.functional.test_concurrency import in_processes

pytestmark = pytest.mark.functional


def starved_after(kind: str) -> None:
    """Let this process open no more files once it has taken a step of this kind."""
    handler_of = runner.handler_of

    def watched(of: str) -> runner.Handler:
        act = handler_of(of)

        def run(args: Any) -> Any:
            found = act(args)
            if of == kind:
                free = os.open("/", os.O_PATH)
                os.close(free)
                _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
                resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
            return found

        return run

    runner.handler_of = watched


def fails_for_want_of_files(error: BaseException | None) -> bool:
    cause = error.__cause__ if isinstance(error, exception.PlugException) else error
    return "Too many open files" in str(cause) or getattr(cause, "errno", 0) == errno.EMFILE


@pytest.mark.parametrize("kind", ["create_link", "set_link"])
@pytest.mark.parametrize("together", [False, True])
def test_the_uplink_is_as_it_was(uplink: Any, tmp_path: Path, kind: str, together: bool) -> None:
    said = tmp_path / "said"
    many = [
        (vifs.bridge_vif(number, network=vifs.network(bridge_interface="eth0")), vifs.instance())
        for number in (1, 2)
    ]
    before = witness.snapshot()

    def act(_process: int) -> None:
        out = os.open(said, os.O_WRONLY | os.O_CREAT)
        starved_after(kind)
        outcomes = os_vif.plug_many(many, together=together)
        errors = [outcome.error for outcome in outcomes]
        assert all(errors), errors
        assert any(map(fails_for_want_of_files, errors)), errors
        os.write(out, "; ".join(map(str, errors)).encode())

    with vifs.configured("linux_bridge", create_tap=True):
        in_processes(1, act)
    differences = witness.differences(before, witness.snapshot())
    # A setting in /proc/sys is a file; what is netlink's alone needs none.
    words = said.read_text()
    assert differences == [] or (kind == "set_link" and "could not take back" in words), words
