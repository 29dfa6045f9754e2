# SPDX-License-Identifier: Apache-2.0
"""Macvtaps on a network card, side by side with libvirt, with `ip` and with bare netlink."""
