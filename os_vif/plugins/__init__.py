# SPDX-License-Identifier: Apache-2.0
"""One file a plugin: from a VIF to a description of how the host should look."""
