# SPDX-License-Identifier: Apache-2.0
"""The names Kuryr imports from here, re-exported; the code is in :mod:`os_vif.plugins`."""
