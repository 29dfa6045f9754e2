# SPDX-License-Identifier: Apache-2.0
"""Options of the fast path's back ends, as the process that runs them has them.

A command line is never taken from a caller: the privileged side reads these from the
configuration it was started with.
"""

from __future__ import annotations

from oslo_config import cfg

GROUP = "os_vif_vhostuser_fp"

OPTS = [
    cfg.StrOpt(
        "fp_vdev_command",
        default="fp-vdev",
        help="The command that adds and deletes devices of 6WIND's fast path, by name or path.",
    ),
    cfg.StrOpt(
        "testpmd_command",
        default="dpdk-testpmd",
        help="The command for the back end testpmd; words before the program's name are kept, as "
        "in 'systemd-run --scope -- dpdk-testpmd'.",
    ),
    cfg.StrOpt(
        "testpmd_eal",
        default="--no-huge --no-pci",
        help="More arguments of DPDK's environment layer for each testpmd; not --in-memory, "
        "--no-shconf, --no-telemetry or --file-prefix, which would hide it.",
    ),
    cfg.IntOpt(
        "testpmd_memory",
        default=64,
        min=32,
        help="Memory of each testpmd in MB, at least: it gets 32, and 8 for each pair of queues.",
    ),
    cfg.IntOpt(
        "testpmd_queues",
        default=1,
        min=1,
        max=16,
        help="Pairs of queues of each port; every guest has to use them all. How many DPDK's "
        "driver of taps can have depends on its release: 22.11 starts with 4 at most.",
    ),
    cfg.StrOpt(
        "testpmd_cores",
        help="Processors that each testpmd may use, as in 2,3 or 4-7; unset, any.",
    ),
    cfg.StrOpt(
        "socket_owner",
        help="User who gets a socket that testpmd listens at: the hypervisor's.",
    ),
    cfg.StrOpt("socket_group", help="Group that gets it."),
    cfg.StrOpt("socket_mode", default="0660", help="Its mode, in octal."),
    cfg.IntOpt(
        "back_end_timeout",
        default=15,
        min=1,
        help="Seconds that a back end may take to start, or the command fp-vdev to answer.",
    ),
]


def here() -> cfg.ConfigOpts.GroupAttr:
    """Return the options' values in this process."""
    cfg.CONF.register_opts(OPTS, group=GROUP)
    options: cfg.ConfigOpts.GroupAttr = cfg.CONF[GROUP]
    return options
