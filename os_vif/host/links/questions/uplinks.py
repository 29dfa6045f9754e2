# SPDX-License-Identifier: Apache-2.0
"""What can be asked about a device of the host's that is to join a bridge."""

from __future__ import annotations

from os_vif.engine.observed import ON_DEVICES, Question

WIRELESS: Question[str, bool] = Question("wireless", ON_DEVICES)
"""Of a device that is no port of a bridge yet: whether it is a wireless card."""

MANAGERS: Question[str, tuple[str, ...]] = Question("managers", ON_DEVICES)
"""Of a device: who else sees to it, by the name of the program."""
