# SPDX-License-Identifier: Apache-2.0
"""VIFs as people and programs write them down: YAML or JSON, for people or as on the wire.

``nodes`` reads text and keeps where everything stands, ``kinds`` and ``types`` are the table of
what may be said, ``wire`` reads versioned-object primitives, ``reader`` puts it together.
"""
