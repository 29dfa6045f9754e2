# SPDX-License-Identifier: Apache-2.0
"""Tests that run as root inside the lab's guest."""
