# SPDX-License-Identifier: Apache-2.0
"""``install``: what goes beside the command on a host, and the systemd units themselves."""

VIFS = "/etc/os-vif/vifs.d"
"""The folder of the VIFs that os-vif.service plugs."""
