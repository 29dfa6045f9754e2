# SPDX-License-Identifier: Apache-2.0
"""What a host can hold: one folder a family; see :mod:`os_vif.engine.family`."""
