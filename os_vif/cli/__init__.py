# SPDX-License-Identifier: Apache-2.0
"""The ``os-vif`` command: ``main`` is its entry point, ``session`` what all subcommands share."""
