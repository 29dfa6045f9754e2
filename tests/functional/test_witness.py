# SPDX-License-Identifier: Apache-2.0
"""What the tests compare hosts with, where the host changes while they look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests import witness
from tests.conftest import PrivateHost

pytestmark = pytest.mark.functional


def once(change: Callable[[], None], monkeypatch: pytest.MonkeyPatch, name: str) -> list[Path]:
    """Have a change happen right before a file of this name is first read; return which it was."""
    read, seen = Path.read_text, list[Path]()

    def read_text(path: Path) -> str:
        if path.parent.name == name and not seen:
            seen.append(path)
            change()
        return read(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    return seen


def test_a_device_that_goes_meanwhile(host: PrivateHost, monkeypatch: pytest.MonkeyPatch) -> None:
    with host.enter():
        before = witness.snapshot()
        witness.ip("link add br-int type bridge")
        seen = once(lambda: witness.ip("link del br-int"), monkeypatch, "br-int")
        assert witness.snapshot() == before
    assert seen


@pytest.mark.parametrize("one_read", ["lo", "all"])
def test_a_device_that_comes_meanwhile(
    host: PrivateHost, monkeypatch: pytest.MonkeyPatch, one_read: str
) -> None:
    with host.enter():
        seen = once(lambda: witness.ip("link add br-int type bridge"), monkeypatch, one_read)
        meanwhile = witness.snapshot()
        assert witness.snapshot() == meanwhile
    assert seen


def test_one_that_comes_and_goes_for_ever(
    host: PrivateHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_text

    def read_text(path: Path) -> str:
        if path.name == "arp_ignore" and path.parent.name == "all":
            kind = "del" if witness.link("br-int") else "add"
            witness.ip(f"link {kind} br-int {'type bridge' if kind == 'add' else ''}")
        return read(path)

    monkeypatch.setattr(Path, "read_text", read_text)
    with host.enter(), pytest.raises(AssertionError, match="devices come and go"):
        witness.snapshot()
