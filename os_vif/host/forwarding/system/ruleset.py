# SPDX-License-Identifier: Apache-2.0
"""The host's nftables, read through nft(8); changed by nobody here."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

_LOOK_SECONDS = 10

_SEES = {"ip": ("ip", "inet"), "ip6": ("ip6", "inet"), "bridge": ("bridge",)}
"""By what passes: the families of tables that see it."""


def objects() -> list[dict[str, Any]]:
    """Return tables, chains and rules; none where nft is missing or cannot tell."""
    path = shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
    if path is None:
        return []
    command = [path, "--json", "--terse", "list", "ruleset"]
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_LOOK_SECONDS)
        found: list[dict[str, Any]] = json.loads(done.stdout)["nftables"] if done.stdout else []
    except (OSError, ValueError, LookupError, subprocess.TimeoutExpired):
        return []  # a warning less is no reason to fail
    return found


def seen_by(found: list[dict[str, Any]], family: str) -> list[dict[str, Any]]:
    """Return the chains and rules of tables that see packets of a family."""
    return [
        item
        for item in found
        for kind, held in item.items()
        if kind in ("chain", "rule") and held["family"] in _SEES[family]
    ]
