# SPDX-License-Identifier: Apache-2.0
"""Many ports: in one call, one by one, and from callers that come together."""
