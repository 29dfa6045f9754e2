# SPDX-License-Identifier: Apache-2.0
"""Property tests say whether it is right, not whether the machine is fast."""

from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
