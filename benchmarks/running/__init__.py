# SPDX-License-Identifier: Apache-2.0
"""A guest's program with its VIF: ``os-vif run`` beside a script of ``ip`` commands and QEMU."""
