# SPDX-License-Identifier: Apache-2.0
"""How much gets through: frames as fast as they can be sent, counted where they arrive."""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from collections.abc import Callable

from tests import guest
from tests.guest import Guest

FRAME = 1400
"""Bytes of what is sent."""

_MARK = b"counted" * 3


def rate(
    source: Guest,
    target: Guest,
    kilobits: int,
    seconds: float = 2.0,
    *,
    framed: Callable[[bytes], bytes] | None = None,
) -> float:
    """Return how many kbit/s of Ethernet arrive, once what may come at once has come.

    :param kilobits: what is expected: twice as much is sent, or as much as can be.
    :param framed: makes a frame of its text; one from source to target unless told.
    """
    text = _MARK + b"." * (FRAME - len(_MARK))
    if framed is None:
        frame = guest.ethernet(target.mac, source.mac, guest.ETH_ARP, text)
    else:
        frame = framed(text)
    return rate_of(lambda: source.send(frame), target.descriptor, kilobits, seconds)


def rate_of(
    send: Callable[[], object], descriptor: int, kilobits: int, seconds: float = 2.0
) -> float:
    """Return how many kbit/s arrive at a descriptor, each read with a virtio header before it."""
    over = threading.Event()
    pause = FRAME * 8 / (kilobits * 1000) / 2

    def keep_sending() -> None:
        due = time.monotonic()
        while not over.is_set():
            with contextlib.suppress(OSError):  # no room just now
                send()
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))

    sender = threading.Thread(target=keep_sending)
    sender.start()
    try:
        _count(descriptor, seconds / 2)
        began = time.monotonic()
        count = _count(descriptor, seconds)
        return count * 8 / 1000 / (time.monotonic() - began)
    finally:
        over.set()
        sender.join()


def _count(descriptor: int, seconds: float) -> int:
    """Return the bytes of the frames that arrive within some time."""
    end, count = time.monotonic() + seconds, 0
    while (left := end - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left)[0]:
            data = os.read(descriptor, 70000)[len(guest.VNET_HEADER) :]
            count += len(data) if _MARK in data else 0
    return count


def assert_about(measured: float, kilobits: int) -> None:
    """Fail unless it is what was asked for, within a quarter."""
    assert 0.75 * kilobits < measured < 1.25 * kilobits, f"{measured:.0f} of {kilobits} kbit/s"
