# SPDX-License-Identifier: Apache-2.0
"""What a host holds of a VIF, by the marks, in the families' own terms."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from os_vif.engine.topology import Mark

if TYPE_CHECKING:
    from os_vif.engine.topology import Resource


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """Something that the host holds of a VIF.

    :ivar vif_id: the VIF's.
    :ivar kind: which of a family's: a key of :attr:`Plugged.parts`.
    :ivar item: what it is, in the family's own terms.
    :ivar mark: whose it is, as far as its mark tells; None where that holds no more than the id.
    :ivar plugin: the plugin that alone makes such things, should no mark tell.
    """

    vif_id: str
    kind: str
    item: Any
    mark: Mark | None = None
    plugin: str = ""

    def __post_init__(self) -> None:
        if self.mark is None:
            Mark(self.vif_id, self.plugin)  # it would be the VIF's, and must be one


@dataclasses.dataclass(frozen=True, slots=True)
class Plugged:
    """What the host holds of one VIF.

    :ivar mark: whose it is.
    :ivar parts: by kind, what each family found.
    """

    mark: Mark
    parts: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)

    def __getitem__(self, kind: str) -> tuple[Any, ...]:
        """Return the parts of a kind; none where there are none."""
        return self.parts.get(kind, ())


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Held(Plugged):
    """The same, and what is to be known beside it to say what would plug such a VIF.

    :ivar parts: also what families tell when they are asked for more (``System.tell``).
    :ivar shared: by name, of the bridges and VLAN devices that were made for many VIFs, used by
        this one or not, what they consist of.
    :ivar privileged: whether what needs privilege could be seen.
    """

    shared: Mapping[str, tuple[Resource, ...]] = dataclasses.field(default_factory=dict)
    privileged: bool = True
