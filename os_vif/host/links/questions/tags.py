# SPDX-License-Identifier: Apache-2.0
"""Alternative names (IFLA_ALT_IFNAME) by which a VIF's devices are found, whatever their names."""

from __future__ import annotations

from os_vif.engine.topology import PREFIX
from os_vif.host.links.questions import ALTNAME_PREFIX, Link

TAG_PREFIX = f"{ALTNAME_PREFIX}vif="


def tag(vif_id: str, number: int) -> str:
    """Return an alternative name for a device of a VIF, by which it is found whatever its name.

    No two devices have one, so those of a VIF are numbered from 1, in no order; whose a device is
    tells the alias alone, by which the kernel finds none.
    """
    return f"{TAG_PREFIX}{vif_id},device={number}"


def is_tagged(link: Link, vif_id: str) -> bool:
    """Tell whether a device is found by the VIF's id."""
    beginning = f"{TAG_PREFIX}{vif_id},"
    return any(name.startswith(beginning) for name in link.altnames)


def id_of(alias: str | None) -> str:
    """Return the id in an alias that begins like a mark; '' for none.

    It is enough to find a device by; whose that is tells the mark as a whole.
    """
    if not alias or not alias.startswith(PREFIX):
        return ""
    return alias[len(PREFIX) :].partition(" ")[0]
