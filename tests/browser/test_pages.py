# SPDX-License-Identifier: Apache-2.0
"""The built pages in a real browser: nothing is cut off, nothing is faint, nobody else is asked."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser.chromium import Page

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]
SEEN = Path(__file__).with_name("seen.js").read_text()
DESK, PHONE = 1280, 390
ROOM = 140
"""Pixels that a phone must have for the second of two columns."""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    build = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--builder", "html"]
    subprocess.run([*build, str(ROOT / "docs"), str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with contextlib.closing(Page(tmp_path_factory.mktemp("profile"))) as page:
        yield page


def found_wrong(tab: Page, address: str, folder: str) -> list[str]:
    """Return in words what is wrong with a page; ``folder`` is where all it needs must be."""
    wrong = []
    tab.open(address)
    for width in (DESK, PHONE):
        for scheme in ("light", "dark"):
            tab.look(width, mobile=width == PHONE, scheme=scheme)
            seen: dict[str, Any] = tab.ask(SEEN)
            assert seen["texts"], f"{address}: an empty page"
            said = [f"{what} is faint, {ratio}:1" for what, ratio in seen["faint"].items()]
            if seen["overflow"] > 0:
                said.append(f"{seen['overflow']} pixels wider than the screen")
            said += [f"{what} is cut off" for what in seen["wide"]]
            for table in seen["tables"]:
                if table["columns"] < 4 and table["overflow"] > 0:
                    said.append(f"{table['what']}: {table['overflow']} pixels too wide")
                if table["columns"] == 2 and table["last"] < ROOM:
                    said.append(f"{table['what']}: {table['last']} pixels for the second column")
            wrong += [f"{width} pixels, {scheme}: {words}" for words in said]
    outside = [it for it in tab.requests if not it.startswith((folder, "data:"))]
    return wrong + [f"asks for {it}" for it in outside]


def test_every_page(tab: Page, built: Path) -> None:
    pages = sorted(built.rglob("*.html"))
    assert len(pages) > 40
    wrong = {
        str(page.relative_to(built)): said
        for page in pages
        if (said := found_wrong(tab, page.as_uri(), built.as_uri()))
    }
    assert wrong == {}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<p style='color: #888'>hello</p>", "p.: hello is faint, 3.54:1"),
        ("<p style='width: 1500px'>hello</p>", "pixels wider than the screen"),
        ("<article style='overflow: hidden'><p style='width: 1500px'>hello</p>", "is cut off"),
        ("hello<img src='http://192.0.2.1/x.png'>", "asks for http://192.0.2.1/x.png"),
        (
            "<article><div style='overflow-x: auto'><table class='docutils'><tbody><tr>"
            "<td>" + "name" * 100 + "</td><td>what it is</td></table></div>",
            "pixels too wide",
        ),
        (
            "<article><table class='docutils'><tbody><tr><td style='min-width: 300px'>name</td>"
            "<td style='width: 20px'>what</td></table>",
            "pixels for the second column",
        ),
    ],
)
def test_what_is_wrong_is_seen(tab: Page, tmp_path: Path, body: str, words: str) -> None:
    head = "<!doctype html><meta name='viewport' content='width=device-width'><title>x</title>"
    page = tmp_path / "page.html"
    page.write_text(f"{head}<body>{body}")
    assert words in "\n".join(found_wrong(tab, page.as_uri(), tmp_path.as_uri()))


def test_what_is_right_is_not(tab: Page, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    head = "<!doctype html><meta name='viewport' content='width=device-width'><title>x</title>"
    page.write_text(f"{head}<body><p style='color: #555'>hello</p>")
    assert found_wrong(tab, page.as_uri(), tmp_path.as_uri()) == []
