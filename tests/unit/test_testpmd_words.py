# SPDX-License-Identifier: Apache-2.0
"""What dpdk-testpmd is told and says."""

from __future__ import annotations

from typing import Any

import pytest

from os_vif.host.vhost_user.system import testpmd_words
from os_vif.host.vhost_user.system.testpmd_words import Settings

PATH = "/run/vhu"


def arguments(listen: bool = True, **fields: Any) -> list[str]:
    plain: dict[str, Any] = {
        "command": ("dpdk-testpmd",),
        "memory": 64,
        "cores": "2-3",
        "queues": 1,
        "eal": ("--no-huge", "--no-pci"),
        "socket_owner": "",
        "socket_group": "",
        "socket_mode": 0o660,
        "seconds": 15,
    }
    return testpmd_words.arguments(
        "fp0",
        PATH,
        listen=listen,
        mac="52:54:00:00:00:01",
        prefix="os-vif-fp0-1",
        settings=Settings(**{**plain, **fields}),
    )


@pytest.mark.parametrize("listen", [True, False])
def test_what_it_is_told_can_be_read(listen: bool) -> None:
    words = arguments(listen)
    assert testpmd_words.told(words) == (PATH, listen)
    assert testpmd_words.told(["--vdev", f"net_tap0,iface={PATH}"]) == ("", False)
    assert {"--file-prefix=os-vif-fp0-1", "--lcores=(0,1)@(2-3)"} <= set(words)


@pytest.mark.parametrize(
    ("eal", "removed"),
    [
        (["--no-pci"], True),
        ([], True),
        (["--no-huge"], False),
        (["--no-hug"], False),
        (["--huge-unlink=existing"], False),
    ],
)
def test_hugepages_are_nobodys_when_it_is_killed(eal: list[str], removed: bool) -> None:
    assert ("--huge-unlink" in arguments(eal=tuple(eal))) == removed


@pytest.mark.parametrize(
    ("memory", "queues", "given"),
    [(64, 1, 64), (32, 1, 40), (64, 4, 64), (64, 8, 96), (1, 16, 160)],
)
def test_memory_for_all_queues(memory: int, queues: int, given: int) -> None:
    assert f"-m{given}" in arguments(memory=memory, queues=queues)


USAGE = """\
EAL: Detected CPU lcores: 2
EAL: core 999 unavailable
EAL: invalid parameter for --lcores

Usage: dpdk-testpmd [options]

EAL common options:
  -c COREMASK         Hexadecimal bitmask of cores to run on
                       Default is 1MB and parameter must be
  --telemetry   Enable telemetry support (on by default)
  EAL: FATAL: Invalid 'command line' arguments.
EAL: Invalid 'command line' arguments.
EAL: Error - exiting with code: 1
  Cause: Cannot init EAL: Invalid argument
--force-max-simd-bitwidth Force the max SIMD bitwidth

EAL Linux options:
  --huge-dir          Directory where hugetlbfs is mounted, cannot be another
"""


def test_the_page_on_its_options_is_no_complaint() -> None:
    assert testpmd_words.last_words(USAGE.splitlines()) == (
        "EAL: core 999 unavailable; EAL: invalid parameter for --lcores; "
        "EAL: Invalid 'command line' arguments.; Cause: Cannot init EAL: Invalid argument"
    )


def test_what_else_it_says() -> None:
    assert testpmd_words.last_words([]) == "it said nothing"
    assert testpmd_words.last_words(["Oh", "", "  no"]) == "Oh; no"
    assert testpmd_words.last_words(["rte flow cannot", "Oh"]) == "Oh"
