# SPDX-License-Identifier: Apache-2.0
"""``make demo-ovn``: a network over two hosts on a real OVN, a guest that moves, and gone again."""
