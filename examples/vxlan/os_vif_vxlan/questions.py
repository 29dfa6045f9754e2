# SPDX-License-Identifier: Apache-2.0
"""What can be asked about the host beside its devices."""

from os_vif.engine.observed import AROUND, Question

REACHED = Question("vxlan_reached", AROUND)
"""Of an address: whether this host has a route to it."""

QUESTIONS = (REACHED,)
