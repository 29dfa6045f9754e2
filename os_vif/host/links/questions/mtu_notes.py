# SPDX-License-Identifier: Apache-2.0
"""What a device of the host's was before a bridge or a VLAN had it: alternative names tell."""

from __future__ import annotations

import re
from typing import Any

from os_vif.host.links.questions import ALTNAME_PREFIX, Link

_FORMER_MTU = re.compile(f"{re.escape(ALTNAME_PREFIX)}mtu=([0-9]{{2,5}}),[^,/:\\s]{{1,15}}\\Z")


def is_mtu_note(value: Any) -> bool:
    """Tell whether this is an alternative name that tells which MTU a device had before."""
    return isinstance(value, str) and _FORMER_MTU.match(value) is not None


def mtu_note(device: str, mtu: int) -> str:
    """Return the alternative name that tells which MTU a device of the host's had before."""
    # No two devices of a network namespace have the same.
    return f"{ALTNAME_PREFIX}mtu={mtu},{device}"


def former_mtu(link: Link) -> tuple[int, str] | None:
    """Return the MTU that is noted on a device, and the note; None for none."""
    for name in link.altnames:
        if found := _FORMER_MTU.match(name):
            return int(found[1]), name
    return None
