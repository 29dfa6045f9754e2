# SPDX-License-Identifier: Apache-2.0
"""What several families talk to the system with."""
