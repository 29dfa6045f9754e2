# SPDX-License-Identifier: Apache-2.0
"""Guests in QEMU that answer, and those who ask them."""
