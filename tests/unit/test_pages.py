# SPDX-License-Identifier: Apache-2.0
"""The pages of the documentation say what the code says, without being built."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from os_vif.cli import main

ROOT = Path(__file__).resolve().parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pages", ROOT / "tools" / "pages.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


pages = _load()
_LOCK = (ROOT / "requirements" / "run.txt").read_text()


def _is_locked(package: str) -> bool:
    return f"\n{package}=={importlib.metadata.version(package)} " in _LOCK


# Another release of click breaks the lines of help at other places.
@pytest.mark.skipif(not _is_locked("click"), reason="click is not the one that pages are made with")
@pytest.mark.parametrize("page", pages.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_say_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert text == pages.written(text), "make pages"


def test_every_subcommand_and_every_group_of_options_has_its_place() -> None:
    text = "".join(page.read_text() for page in pages.pages())
    from os_vif import opts

    commands = re.findall(r"^\.\. generated: command (\S+)$", text, re.MULTILINE)
    assert sorted(commands) == sorted(main._COMMANDS)
    groups = re.findall(r"^\.\. generated: options (\S+)$", text, re.MULTILINE)
    known = [*opts.list_plugins_opts(), *opts.list_other_opts()]
    assert sorted(groups) == sorted(group for group, _options in known)


def test_pages_can_be_read_as_they_lie_there() -> None:
    """What only Sphinx can read shows nothing where a repository is looked at."""
    ours = "include|click|command|options|vif"
    for page in pages.pages():
        text = page.read_text()
        assert not re.search(rf"^ *\.\. ({ours})::", text, re.MULTILINE), page
        assert text.count("\n.. generated: ") == text.count("\n.. end of generated\n"), page


@pytest.mark.parametrize(
    ("block", "why"),
    [
        ("helps", "expected one of command, "),
        ("command plugg", "there is no 'os-vif plugg'"),
        ("options os_vif_tab", "there is no 'os_vif_tab'"),
        ("fields InstanceInfo", "name: the page has no meaning of it"),
    ],
)
def test_a_block_that_cannot_be_written_is_refused(block: str, why: str) -> None:
    with pytest.raises(pages.PageError, match=re.escape(why)):
        pages.written(f"\n.. generated: {block}\n\n.. end of generated\n")


def test_the_meaning_of_a_field_is_the_pages_own() -> None:
    head = "\n.. generated: fields Route\n\n"
    body = "``cidr`` : x\n   Where it\n\n   leads.\n``gateway``\n   A\n``interface`` : y\n   B\n"
    found = pages.written(f"{head}{body}\n.. end of generated\n")
    assert "``cidr`` : network in CIDR form\n   Where it\n\n   leads.\n``gateway`` : IP" in found
    with pytest.raises(pages.PageError, match="nonesuch: it is no field"):
        pages.written(f"{head}{body}``nonesuch``\n   C\n\n.. end of generated\n")
