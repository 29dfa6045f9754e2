# SPDX-License-Identifier: Apache-2.0
"""``make demo-vm``: a real guest in QEMU, plugged, run, pinged, hot-plugged, and gone again."""
