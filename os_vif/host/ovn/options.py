# SPDX-License-Identifier: Apache-2.0
"""How OVN's Northbound database is reached, where a caller does not say."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "os_vif_ovn"
"""The group of the options in the configuration."""

DEFAULT_REMOTE = "unix:/run/ovn/ovnnb_db.sock"

OPTS = (
    cfg.StrOpt(
        "nb_connection",
        help="How to reach OVN's Northbound database: unix:FILE, tcp:IP:PORT or ssl:IP:PORT; the "
        "members of a cluster with commas between. Unset: the environment's OVN_NB_DB, else "
        f"{DEFAULT_REMOTE}.",
    ),
    cfg.IntOpt(
        "timeout",
        default=30,
        min=0,
        help="Seconds until a call that asks or changes OVN's Northbound database gives up; 0 for "
        "never.",
    ),
    cfg.StrOpt("ssl_key_file", help="Private key for an ssl: connection."),
    cfg.StrOpt("ssl_cert_file", help="Certificate for an ssl: connection."),
    cfg.StrOpt("ssl_ca_cert_file", help="Certificate of the server's CA for ssl:."),
)
