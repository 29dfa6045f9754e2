# SPDX-License-Identifier: Apache-2.0
"""What the tests are made of is fetched by the real apt-get, from a small archive of ours."""

from __future__ import annotations

import concurrent.futures
import gzip
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import debian, prefetch

pytestmark = pytest.mark.functional

_CONTROL = """\
Package: {name}
Version: 1.0
Architecture: all
Maintainer: The tests <tests@example.org>
Description: a file
"""


class Archive:
    """An archive of Debian packages on 127.0.0.1, and what was asked for.

    :ivar away: how many of the next requests are answered with 503.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.away = 0
        self.asked: list[str] = []
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                if outer.away > 0:
                    outer.away -= 1
                    self.send_error(503)
                else:
                    super().do_GET()

            def log_message(self, *_words: object) -> None:
                pass

            def __init__(self, *args: Any) -> None:
                super().__init__(*args, directory=str(folder))

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def offer(self, *names: str) -> None:
        listed = []
        for name in names:
            tree = self._folder / "made" / name
            (tree / "DEBIAN").mkdir(parents=True)
            control = _CONTROL.format(name=name)
            (tree / "DEBIAN/control").write_text(control)
            (tree / "usr").mkdir()
            (tree / "usr" / name).write_text("here\n")
            file = f"{name}_1.0_all.deb"
            words = ("dpkg-deb", "--root-owner-group", "--build", str(tree))
            subprocess.run([*words, str(self._folder / file)], check=True, capture_output=True)
            data = (self._folder / file).read_bytes()
            digest = hashlib.sha256(data).hexdigest()
            listed.append(f"{control}Filename: ./{file}\nSize: {len(data)}\nSHA256: {digest}\n")
        (self._folder / "Packages.gz").write_bytes(gzip.compress("\n".join(listed).encode()))

    def settings(self) -> tuple[str, ...]:
        source = self._folder / "sources.list"
        source.write_text(f"deb [trusted=yes] http://127.0.0.1:{self._server.server_port} ./\n")
        return (
            f"Dir::Etc::sourcelist={source}",
            "Dir::Etc::sourceparts=-",
            "Acquire::http::Proxy=DIRECT",
            "Acquire::Retries=0",
        )


@pytest.fixture
def archive(inside: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Return an archive with two packages, which is all that apt knows."""
    (tmp_path / "archive").mkdir()
    made = Archive(tmp_path / "archive")
    try:
        made.offer("radvd", "lldpad")
        monkeypatch.setattr(debian, "Apt", partial(debian.Apt, settings=made.settings()))
        monkeypatch.setattr(debian, "CACHE", tmp_path / "cache")
        monkeypatch.setattr(debian, "_PAUSES_S", (0.01, 0.01))
        monkeypatch.setattr(debian, "verified", dict)
        debian._fetched.cache_clear()
        yield made
    finally:
        debian._fetched.cache_clear()
        made.close()


def test_an_archive_that_was_away_for_a_moment_is_asked_again(archive: Archive) -> None:
    """apt-get update ends with 0 then, and apt knows no package."""
    archive.away = 2
    assert (debian.tree("radvd") / "usr/radvd").read_text() == "here\n"
    assert archive.away == 0


def test_an_archive_that_stays_away_is_named(archive: Archive) -> None:
    archive.away = 1000
    with pytest.raises(debian.PackagesError, match="no package radvd, or none that"):
        debian.tree("radvd")
    assert list(debian.CACHE.glob("*")) == [debian.CACHE / "radvd.lock"], "half of it is left"


def test_who_comes_together_fetches_once(archive: Archive) -> None:
    with concurrent.futures.ThreadPoolExecutor() as pool:
        trees = list(pool.map(debian.tree, ["radvd", "lldpad"] * 4))
    assert all((tree / "usr" / tree.name).exists() for tree in trees)
    fetched = [path for path in archive.asked if path.endswith(".deb")]
    assert sorted(fetched) == ["/./lldpad_1.0_all.deb", "/./radvd_1.0_all.deb"]


def test_what_cannot_be_had_stops_nothing_else(archive: Archive) -> None:
    names = ("sudo", "radvd")
    wanted = {name: partial(debian.tree, name) for name in names}
    [failure] = prefetch.fetch(wanted)
    assert "sudo: " in failure
    assert "has no package sudo" in failure
    assert (debian.CACHE / "radvd").is_dir()


def test_all_that_a_test_unpacks_is_fetched_ahead() -> None:
    assert debian.TREES.keys() < prefetch.WANTED.keys()
