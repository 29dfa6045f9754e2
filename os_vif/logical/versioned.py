# SPDX-License-Identifier: Apache-2.0
"""Fields of versioned objects, of which any may be unset."""

from __future__ import annotations

from typing import Any


def said(item: Any, field: str, default: Any = None) -> Any:
    """Return what a field of a versioned object holds, or ``default`` where that is nothing."""
    if item is None or field not in item.fields or not item.obj_attr_is_set(field):
        return default
    found = getattr(item, field)
    return default if found is None else found
