# SPDX-License-Identifier: Apache-2.0
"""Rules of the host's firewall: plain data, checking its fields when it is made."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from os_vif import exception
from os_vif.engine.checks import interface_name


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ForwardRules:
    """Rules in the host's FORWARD chain that let a bridge's traffic pass, or bound it.

    They stand in the filter table's own chain, because an accept elsewhere cannot overrule a
    drop there.  Each VIF has its own, with a comment that names bridge and VIF: so the last
    user's unplug takes the last ones away, whoever makes the taps.

    :ivar bridge: the bridge.
    :ivar ipv6: ip6tables if True, else iptables.
    :ivar rules: each the words of one rule, without chain and comment.
    :ivar top_regex: rules that match stay above ours; '' for none.
    :ivar bottom_regex: rules that match stay below ours; '' for none.
    :ivar where_dropped: set them only on a host whose chain drops what no rule accepts.
    """

    bridge: str
    ipv6: bool
    rules: tuple[tuple[str, ...], ...]
    top_regex: str = ""
    bottom_regex: str = ""
    where_dropped: bool = False

    @property
    def restrict(self) -> bool:
        """Whether they keep anything out."""
        return any(rule[-1] != "ACCEPT" for rule in self.rules)

    def __post_init__(self) -> None:
        interface_name(self.bridge, "bridge")
        for field in ("top_regex", "bottom_regex"):
            try:
                re.compile(getattr(self, field))
            except re.error as error:
                raise exception.InvalidField(
                    field=f"iptables_{field}",
                    value=getattr(self, field),
                    expected=f"a regular expression ({error})",
                ) from None


def lets_pass(resources: Iterable[Any], bridge: str, *, ipv6: bool) -> bool:
    """Tell whether rules among resources are about a bridge's traffic."""
    return any(
        isinstance(it, ForwardRules) and it.bridge == bridge and it.ipv6 == ipv6 and it.rules
        for it in resources
    )
