# SPDX-License-Identifier: Apache-2.0
"""What tools/bootstrap.py says before and while it fetches. No network: pip is played by sh."""

from __future__ import annotations

import io
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tools import bootstrap


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(bootstrap, "LOG", tmp_path / "log")
    return tmp_path / "log"


@pytest.fixture
def made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    """Return what was said when the packages were installed, which does nothing here."""
    said: list[str] = []
    monkeypatch.setattr(bootstrap, "STAMP", tmp_path / "stamp")
    monkeypatch.setattr(bootstrap.Environment, "_create", lambda _self: None)
    monkeypatch.setattr(
        bootstrap.Environment,
        "_install",
        lambda _self, _extras: said.append(capsys.readouterr().err),
    )
    return said


def pip(seconds: float) -> list[str]:
    said = r"Collecting a==1\n  Downloading a.whl (2 kB)\nCollecting b==2\n"
    return ["sh", "-c", f"printf '{said}'; sleep {seconds}"]


def test_a_terminal_is_told_how_far_it_is(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_text("Collecting what was there before\n")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    bootstrap.run_logged("installing", pip(2.5), packages=3)
    told = terminal.getvalue()
    assert "\r\x1b[Kbootstrap: installing ... 2 of 3 packages, 1 s" in told
    assert re.search(r"bootstrap: installing: done in \d\.\d s\n\Z", told)


def test_a_pipe_is_told_no_more_than_the_beginning_and_the_end(
    log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", pipe := io.StringIO())
    bootstrap.run_logged("installing", pip(1.5), packages=3)
    first, last = pipe.getvalue().splitlines()
    assert first == "bootstrap: installing ..."
    assert last.startswith("bootstrap: installing: done in ")
    assert "\nCollecting b==2\n" in log.read_text()


@pytest.mark.parametrize(
    ("there", "asked", "names"),
    [
        (None, [], ["build", "run"]),
        (None, ["test", "lint"], ["build", "run", "lint", "test"]),
        ([], ["test"], ["test"]),
        (["test"], ["docs", "test"], ["docs"]),
    ],
)
def test_what_is_fetched_is_said_before(
    made: list[str],
    capsys: pytest.CaptureFixture[str],
    there: list[str] | None,
    asked: list[str],
    names: list[str],
) -> None:
    environment = bootstrap.Environment()
    key = environment._key if there is not None else ["another"]
    environment._stamp = {"key": key, "project": [""], "extras": there or []}
    environment.make(asked)
    [said] = made
    megabytes = sum(bootstrap.DOWNLOAD_MB[name] for name in names)
    many = len(bootstrap.locked_packages(names))
    assert many > 0
    assert said.startswith(f"bootstrap: {many} Python packages, some {megabytes} MB, come from")
    assert capsys.readouterr().err == ""


def test_who_has_all_is_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.Environment._announce([], fresh=False)
    assert capsys.readouterr().err == ""


def test_of_all_that_can_be_asked_for_the_size_is_known() -> None:
    project = tomllib.loads((bootstrap.ROOT / "pyproject.toml").read_text())["project"]
    assert bootstrap.DOWNLOAD_MB.keys() == {"build", "run", *project["optional-dependencies"]}
