# SPDX-License-Identifier: Apache-2.0
"""What a fresh process costs: the command, the library, and the daemon of who has no rights."""
