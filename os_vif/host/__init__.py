# SPDX-License-Identifier: Apache-2.0
"""What a host can hold, and the engine that makes a description of it true."""
