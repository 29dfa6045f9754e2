# SPDX-License-Identifier: Apache-2.0
"""Tests that run as root inside the guest with devices: SR-IOV, representors, kernel switch."""
