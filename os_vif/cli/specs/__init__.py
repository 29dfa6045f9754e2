# SPDX-License-Identifier: Apache-2.0
"""VIFs as people and programs write them down: YAML or JSON, for people or as on the wire.

``nodes`` reads text and keeps where everything stands, ``types`` is the table of what may be said
(its words are in :mod:`os_vif.specs`), ``reading`` reads by it, ``wire`` reads versioned-object
primitives, ``reader`` puts it together.
"""
