# SPDX-License-Identifier: Apache-2.0
"""Names that existing configuration refers to; the plugin is os_vif.plugins.linux_bridge."""
