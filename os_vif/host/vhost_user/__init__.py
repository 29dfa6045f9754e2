# SPDX-License-Identifier: Apache-2.0
"""vhost-user sockets, the processes between them and taps, and the devices of a fast path."""

from os_vif.engine.family import Family

FAMILY = Family(name="vhost_user", package=__name__, floor=3)
