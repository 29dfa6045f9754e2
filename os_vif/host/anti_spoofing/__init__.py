# SPDX-License-Identifier: Apache-2.0
"""Anti-spoofing: guests send from their own addresses, and from no others."""

from os_vif.engine.family import Family

FAMILY = Family(name="anti_spoofing", package=__name__, floor=6)
