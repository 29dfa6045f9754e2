# SPDX-License-Identifier: Apache-2.0
"""The device lab: tests that need a kernel the machine at hand may not have."""
