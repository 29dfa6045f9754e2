# SPDX-License-Identifier: Apache-2.0
"""``os-vif network``: networks over many hosts, as rows of OVN's Northbound database."""
