# SPDX-License-Identifier: Apache-2.0
"""``os-vif demo``: two guests on a bridge, for real, in a network of its own."""
