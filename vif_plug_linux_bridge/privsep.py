# SPDX-License-Identifier: Apache-2.0
"""The name by which sudo and rootwrap rules on existing hosts know the privileged context."""

from os_vif.engine.privilege import linux_bridge as vif_plug

__all__ = ["vif_plug"]
