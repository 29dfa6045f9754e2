# SPDX-License-Identifier: Apache-2.0
"""One file a plugin: the ``type:`` rows it brings to the command (entry points ``os_vif.types``).

Only the command loads them: a service that plugs needs none, so no plugin imports one.
"""
