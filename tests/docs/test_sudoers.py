# SPDX-License-Identifier: Apache-2.0
"""The rules for sudo and rootwrap that the pages show: they start the daemons, and nothing else."""

from __future__ import annotations

import ctypes
import re
import shlex
import subprocess
import tempfile
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from oslo_config import cfg

from os_vif.engine import privilege
from tests import debian

pytestmark = pytest.mark.functional

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ["configuration.rst", "plugins/vhostuser_fp.rst"]
CONTEXTS = [privilege.ovs, privilege.linux_bridge, privilege.fast_path, privilege.default]
FILES = {
    "configuration.rst": ["/etc/nova/nova.conf"],
    "plugins/vhostuser_fp.rst": ["/etc/nova/nova.conf", "/etc/os-vif/vhost.conf"],
}


def blocks(page: str, name: str) -> list[str]:
    """Return what a page shows as a file."""
    shown = re.findall(
        rf"^   # /etc/{name}\n((?:   .*\n|\n)*)", (DOCS / page).read_text(), re.MULTILINE
    )
    return [textwrap.dedent(text) for text in shown]


@pytest.fixture
def started(request: pytest.FixtureRequest) -> Iterator[list[list[str]]]:
    """Return the words with which a service starts each daemon, its socket's folder a new one."""
    page = request.param
    cfg.CONF([], project="os-vif-tests", default_config_files=[])
    contexts = CONTEXTS if page == "configuration.rst" else [privilege.fast_path]
    words = []
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        for context in contexts:
            command = context.helper_command(f"{folder}/privsep.sock")
            at = command.index("privsep-helper") + 1
            files = [word for path in FILES[page] for word in ("--config-file", path)]
            words.append([*files, *command[at:]])
    yield words
    cfg.CONF.reset()


def attacks(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield what the service's user would rather start."""
    context, sock = words.index("--privsep_context") + 1, len(words) - 1
    more = ["--log-file", "/etc/cron.d/x"], ["--config-file", "/tmp/x"], ["--log-dir=/etc"]
    for extra in more:
        yield [*words, *extra]
        yield [*extra, *words]
        yield [*words[:context], words[context], *extra, *words[context + 1 :]]
        yield [*words[:sock], f"{words[sock]} {' '.join(extra)}"]
        yield [*words[:sock], "/tmp/tmp", *extra, "/privsep.sock"]
    yield [*words[:1], "/tmp/nova.conf", *words[2:]]
    yield [*words[:1], "/etc/nova/../../tmp/nova.conf", *words[2:]]
    yield words[2:]
    yield [*words[:context], "os_vif.engine.privilege.other", *words[context + 1 :]]
    yield [*words[:context], "evil.fast_path", *words[context + 1 :]]
    for path in ("/tmp/x", "/etc/passwd", "/tmp/../etc/x/privsep.sock", "/tmp/tmp12/45678/x.sock"):
        yield [*words[:sock], path]


@pytest.mark.parametrize("page", PAGES)
def test_visudo_takes_the_rules(page: str, tmp_path: Path) -> None:
    tree = debian.tree("sudo")
    [text] = blocks(page, r"sudoers\.d/os-vif")
    (tmp_path / "os-vif").write_text(text)
    program, option, libraries, *rest = debian.command(tree, "usr/sbin/visudo")
    libraries += f":{tree}/usr/libexec/sudo"
    check = [program, option, libraries, *rest, "-c", "-f", str(tmp_path / "os-vif")]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("page", "started"), [(it, it) for it in PAGES], indirect=["started"])
def test_sudo_starts_the_daemons_alone(page: str, started: list[list[str]]) -> None:
    """Its words are matched as one text, by fnmatch(3), so that * and ? stand for blanks too."""
    [text] = blocks(page, r"sudoers\.d/os-vif")
    rules = [line.partition("NOPASSWD: ")[2] for line in text.splitlines() if line]
    assert all(rule.startswith("/usr/bin/privsep-helper ") for rule in rules)
    patterns = [rule.partition(" ")[2].encode() for rule in rules]

    def may(words: Sequence[str]) -> bool:
        text = " ".join(words).encode()
        return any(ctypes.CDLL(None).fnmatch(pattern, text, 0) == 0 for pattern in patterns)

    for words in started:
        assert may(words), words
        for attack in attacks(words):
            assert not may(attack), attack


@pytest.mark.parametrize("started", ["configuration.rst"], indirect=True)
def test_rootwrap_starts_the_daemons_alone(started: list[list[str]]) -> None:
    """oslo.rootwrap's RegExpFilter: as many words as patterns, and each fits all of its own."""
    [text] = blocks("configuration.rst", r"nova/rootwrap\.d/os-vif\.filters")
    filters = [
        [word.strip() for word in line.partition(": ")[2].split(",")]
        for line in text.splitlines()
        if "RegExpFilter" in line
    ]
    assert all(it[:3] == ["RegExpFilter", "privsep-helper", "root"] for it in filters)

    def may(words: Sequence[str]) -> bool:
        said = ["privsep-helper", *words]
        return any(
            len(patterns) == len(said)
            and all(re.match(f"{it}$", word) for it, word in zip(patterns, said, strict=True))
            for _kind, _command, _user, *patterns in filters
        )

    for words in started:
        assert may(words), shlex.join(words)
        for attack in attacks(words):
            assert not may(attack), attack
