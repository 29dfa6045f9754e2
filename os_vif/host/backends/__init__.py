# SPDX-License-Identifier: Apache-2.0
"""The only files that talk to the system: one per interface of it."""
