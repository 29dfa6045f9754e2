# SPDX-License-Identifier: Apache-2.0
"""How dnsmasq is run, as the process that runs it has it: never as a caller says."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "os_vif_dnsmasq"

OPTS = [
    cfg.StrOpt(
        "command",
        default="dnsmasq",
        help="The command that serves DHCP and DNS on bridges, by name or path; words before the "
        "program's name are kept.",
    ),
]


cfg.CONF.register_opts(OPTS, group=GROUP)
