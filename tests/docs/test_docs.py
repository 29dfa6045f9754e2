# SPDX-License-Identifier: Apache-2.0
"""What README and documentation show is what happens: every command, output and example.

How a page says what is to be tried out: see ``blocks.py``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from tests.command import APART, ForkServer
from tests.openvswitch import Switch

if TYPE_CHECKING:
    from tests.conftest import PrivateHost

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").rglob("*.rst")) if "_build" not in page.parts),
]


def _load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


blocks = _load("blocks")
trying = _load("try_page")
WITH_BLOCKS = [page for page in PAGES if blocks.blocks_of(page)]


@pytest.mark.functional
@pytest.mark.parametrize("page", WITH_BLOCKS, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_does_what_it_says(page: Path, host: PrivateHost, tmp_path: Path) -> None:
    folder = tmp_path / "page"
    folder.mkdir()
    command = [sys.executable, str(HERE / "try_page.py"), str(page)]
    with _surroundings(page, host, tmp_path) as environment:
        if APART or _commands(page) < 3:
            host.run(*command, cwd=folder, env=environment)
            return
        programs = tmp_path / "programs"
        programs.mkdir()
        server = ForkServer(environment | trying.surroundings(folder))
        with contextlib.closing(server):
            server.install(programs)
            host.run(*command, str(programs), cwd=folder, env=environment)


def _commands(page: Path) -> int:
    """Return about how often a page runs os-vif; a fork server takes as long as two of them."""
    return sum(
        block.text.count("os-vif ") if block.language in ("console", "hidden") else 1
        for block in blocks.blocks_of(page)
        if block.language not in ("python", "pycon")
    )


@contextlib.contextmanager
def _surroundings(page: Path, host: PrivateHost, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a switch for a page that needs one; yield the environment the page is tried in."""
    # No page meets a switch of the machine's.
    environment = os.environ | {"OVS_RUNDIR": str(tmp_path)}
    if not re.search(r"^(?:<!--|\.\.) needs: openvswitch", page.read_text(), re.MULTILINE):
        yield environment
        return
    with contextlib.closing(Switch(host, tcp=True)) as switch:
        tools = tmp_path / "bin"
        tools.mkdir()
        tool = shlex.join([*switch.argv("usr/bin/ovs-vsctl"), f"--db={switch.remote}"])
        script = tools / "ovs-vsctl"
        script.write_text(f'#!/bin/sh\nexec {tool} --timeout=30 "$@"\n')
        script.chmod(0o755)
        path = f"{tools}:{environment['PATH']}"
        yield environment | {"OVS_RUNDIR": str(switch.folder), "PATH": path}


def test_the_pages_hold_something_to_try() -> None:
    found = [block.language for page in PAGES for block in blocks.blocks_of(page)]
    assert found.count("console") > 20
    assert found.count("python") + found.count("pycon") > 5
    assert found.count("yaml") > 5


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_block_escapes_the_reader(page: Path) -> None:
    source = page.read_text()
    languages = "|".join(blocks.TRIED - {"hidden"})
    pattern = rf"^```({languages})$" if page.suffix == ".md" else rf":: ({languages})$"
    left_out = len(re.findall(r"^(?:<!-- | *\.\. )untested: \S", source, re.MULTILINE))
    written = len(re.findall(pattern, source, re.MULTILINE))
    vifs = len(re.findall(r"^ *\.\. vif:: [\w.]+\n\n? ", source, re.MULTILINE))
    seen = [block for block in blocks.blocks_of(page) if block.language != "hidden"]
    assert len(seen) + left_out == written + vifs


def test_configuration_names_the_daemons_sections_and_contexts() -> None:
    from os_vif.engine import privilege

    page = (ROOT / "docs" / "configuration.rst").read_text()
    for context in (privilege.ovs, privilege.linux_bridge, privilege.fast_path, privilege.default):
        assert f"``[{context.cfg_section}]``" in page
        assert f"``{context.pypath}``" in page
        assert f"--privsep_context, {re.escape(context.pypath)}," in page


def test_every_exit_code_is_explained() -> None:
    from os_vif.cli.session import Exit

    page = (ROOT / "docs" / "command.rst").read_text()
    assert re.findall(r"^   \* - (\d+)$", page, re.MULTILINE) == [str(int(code)) for code in Exit]


def test_output_that_differs_is_noticed() -> None:
    assert trying.matches("created br0 in 1.2 ms", "created br0 in 33 ms\n")
    assert trying.matches("first\n...\nlast", "first\nsecond\nthird\nlast\n")
    assert trying.matches("3: br0: <UP>", "17: br0: <UP>")
    assert not trying.matches("created br0", "created br1")
    assert not trying.matches("first\n...\nlast", "first\nsecond\n")


def test_a_command_and_what_is_shown_below_it_are_told_apart() -> None:
    block = blocks.Block(7, "console", "$ ip link \\\n    show br0\n3: br0\n$ true\n")
    assert blocks.commands_of(block) == [
        blocks.Command(7, "ip link \\\n    show br0", "3: br0"),
        blocks.Command(10, "true", ""),
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("```console\n$ false\n```\n", "ended with 1"),
        ("```console\n$ echo one\ntwo\n```\n", "said:\none"),
        ("```yaml\ntype: bridge\n```\n", "missing"),
        ("```python\nassert 1 == 2\n```\n", "AssertionError"),
        ("```pycon\n>>> 6 * 7\n41\n```\n", "42"),
    ],
)
def test_a_page_that_is_wrong_fails(text: str, why: str, host: PrivateHost, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text(text)
    done = host.run(sys.executable, str(HERE / "try_page.py"), str(page), cwd=tmp_path, check=False)
    assert done.returncode
    assert why in done.stderr
