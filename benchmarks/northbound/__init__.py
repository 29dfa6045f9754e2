# SPDX-License-Identifier: Apache-2.0
"""Ports in OVN's Northbound database: added, deleted and checked, few and many, among many."""
