# SPDX-License-Identifier: Apache-2.0
"""Whether a listening socket still has its name, as the kernel tells it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from os_vif.host.vhost_user.system import unix_diag
from os_vif.system import sock_diag

pytestmark = pytest.mark.functional


def listening(path: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(path)
    made.listen()
    return made


@pytest.fixture
def first(sockets: str) -> Iterator[tuple[str, socket.socket]]:
    path = f"{sockets}/s"
    with listening(path) as made:
        yield path, made


def test_a_name_that_another_socket_took(first: tuple[str, socket.socket]) -> None:
    path, made = first
    assert not unix_diag.is_taken(path, path)
    os.unlink(path)
    assert not unix_diag.is_taken(path, path), "it is gone, and nobody else has it"
    with listening(path):
        assert unix_diag.is_taken(path, path)
        made.close()
        assert not unix_diag.is_taken(path, path), "who listens there is the only one"


def test_a_name_that_a_file_took(first: tuple[str, socket.socket]) -> None:
    path, _made = first
    os.unlink(path)
    with open(path, "w"):
        assert unix_diag.is_taken(path, path)


def test_a_socket_that_went_elsewhere(first: tuple[str, socket.socket]) -> None:
    """Under the name it was bound to, which is the one that the kernel shows."""
    path, _made = first
    os.rename(path, f"{path}2")
    assert not unix_diag.is_taken(path, path)
    assert not unix_diag.is_taken(f"{path}2", f"{path}2")


def test_many_sockets(first: tuple[str, socket.socket], sockets: str) -> None:
    """They come in several messages."""
    path, _made = first
    many = [listening(f"{sockets}/{number:04}") for number in range(1500)]
    os.unlink(path)
    with listening(path):
        assert unix_diag.is_taken(path, path)
    for made in many:
        made.close()


def test_a_kernel_that_cannot_tell(
    first: tuple[str, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sock_diag, "_SOCK_DIAG_BY_FAMILY", 999)
    with pytest.raises(OSError, match="Invalid argument"):
        unix_diag.is_taken(first[0], first[0])
