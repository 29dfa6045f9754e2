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

from tests import debian, dnsmasq
from tests.command import APART, ForkServer
from tests.openvswitch import Switch
from tests.ovn_hosts import Hosts

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
        if APART:
            host.run(*command, cwd=folder, env=environment)
            return
        programs = tmp_path / "programs"
        programs.mkdir()
        with _server(environment | trying.surroundings(page, folder)) as server:
            server.install(programs)
            host.run(*command, str(programs), cwd=folder, env=environment)


SERVER = ForkServer(os.environ | trying.SURROUNDINGS)


@contextlib.contextmanager
def _server(environment: dict[str, str]) -> Iterator[ForkServer]:
    """Yield the server of all pages, or one for a page that shows modules."""
    if SERVER.can_serve(environment):
        yield SERVER
        return
    with contextlib.closing(ForkServer(environment)) as server:
        yield server


@contextlib.contextmanager
def _surroundings(page: Path, host: PrivateHost, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Start a switch for a page that needs one; yield the environment the page is tried in."""
    # No page meets a switch of the machine's.
    environment = os.environ | {"OVS_RUNDIR": str(tmp_path)}
    needs = re.findall(r"^(?:<!--|\.\.) needs: (\w+)", page.read_text(), re.MULTILINE)
    if "dnsmasq" in needs:
        environment["PATH"] = f"{dnsmasq.folder()}:{environment['PATH']}"
    if not {"openvswitch", "ovn"}.intersection(needs):
        try:
            yield environment
        finally:
            if "dnsmasq" in needs:
                host.python(dnsmasq.end)
        return
    tools = tmp_path / "bin"
    tools.mkdir()
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    if "ovn" in needs:
        with contextlib.closing(Hosts(2)) as hosts:
            yield environment | _ovn(hosts, tools)
        return
    with contextlib.closing(Switch(host, tcp=True)) as switch:
        tool = shlex.join([*switch.argv("usr/bin/ovs-vsctl"), f"--db={switch.remote}"])
        _script(tools / "ovs-vsctl", f'exec {tool} --timeout=30 "$@"')
        yield environment | {"OVS_RUNDIR": str(switch.folder)}


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def _ovn(hosts: Hosts, tools: Path) -> dict[str, str]:
    """Make ``ssh h1 ...`` lead to a host, and ovn-nbctl to the database."""
    centre = hosts.centre
    nbctl = shlex.join(debian.command(centre.tree, "usr/bin/ovn-nbctl"))
    _script(tools / "ovn-nbctl", f'exec {nbctl} --no-leader-only --timeout=30 "$@"')
    ways = (
        f"{name}) shift; OVS_RUNDIR={shlex.quote(str(it.switch.folder))} "
        f'exec {shlex.join(it.private.argv("env"))} "$@" ;;'
        for name, it in hosts.hosts.items()
    )
    _script(tools / "ssh", "\n".join(['case "$1" in', *ways, "esac", "exit 255"]))
    return {"OVN_NB_DB": centre.northbound, "OVN_SB_DB": centre.southbound}


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
    seen = [block for block in blocks.blocks_of(page) if block.language != "hidden"]
    assert len(seen) + left_out == written


def test_configuration_names_the_daemons_sections_and_contexts() -> None:
    from os_vif.engine import privilege

    page = (ROOT / "docs" / "configuration.rst").read_text()
    for context in (privilege.ovs, privilege.linux_bridge, privilege.fast_path, privilege.default):
        assert f"``[{context.cfg_section}]``" in page
        assert f"``{context.pypath}``" in page
        assert f"--privsep_context, {re.escape(context.pypath)}," in page


def test_every_exit_code_is_explained() -> None:
    from os_vif.cli.session import Exit

    page = (ROOT / "docs" / "command" / "index.rst").read_text()
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
