# SPDX-License-Identifier: Apache-2.0
"""Ports of Open vSwitch, side by side with os-vif 5.3.0 and with a hand-written transaction."""
