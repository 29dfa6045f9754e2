# SPDX-License-Identifier: Apache-2.0
"""How OVN's Northbound database is reached: what a caller says, the configuration, the default."""

from __future__ import annotations

import os

from oslo_config import cfg

from os_vif.host.openvswitch.resources import Database
from os_vif.host.ovn.options import DEFAULT_REMOTE, GROUP, OPTS
from os_vif.host.ovn.resources import Northbound

__all__ = ["CONFIG_OPTS", "GROUP", "northbound", "southbound"]

CONFIG_OPTS = OPTS
"""The options of that group."""

_ENVIRONMENT = "OVN_NB_DB"


def northbound(
    remote: str | None = None,
    *,
    timeout: int | None = None,
    ssl_key_file: str | None = None,
    ssl_cert_file: str | None = None,
    ssl_ca_cert_file: str | None = None,
) -> Northbound:
    """Return how to reach OVN's Northbound database; what is None, the configuration says.

    :param remote: ``unix:FILE``, ``tcp:IP:PORT`` or ``ssl:IP:PORT``; the members of a cluster with
        commas between: any will do, and of those that do not answer the next is asked.  Without the
        option ``[os_vif_ovn] nb_connection`` too, it is ``$OVN_NB_DB``, else
        ``unix:/run/ovn/ovnnb_db.sock``.
    :param timeout: seconds until a call gives up; 0 waits for ever
    :param ssl_key_file: with the other two, for ``ssl:``; paths of PEM files
    :raises InvalidField: the remote cannot be one, or ``ssl:`` has not all three files.
    """
    cfg.CONF.register_opts(CONFIG_OPTS, GROUP)
    options = cfg.CONF[GROUP]
    told = remote or options.nb_connection or os.environ.get(_ENVIRONMENT) or DEFAULT_REMOTE
    return Northbound(
        told,
        options.timeout if timeout is None else timeout,
        ssl_key_file or options.ssl_key_file or "",
        ssl_cert_file or options.ssl_cert_file or "",
        ssl_ca_cert_file or options.ssl_ca_cert_file or "",
    )


def southbound(remote: str, nb: Northbound | None = None) -> Database:
    """Return how to reach OVN's Southbound database, which is only read.

    :param remote: as for :func:`northbound`
    :param nb: whose timeout and files for ``ssl:`` count here too
    :raises InvalidField: the remote cannot be one.
    """
    like = nb or northbound()
    return Database(
        remote, like.timeout, like.private_key, like.certificate, like.ca_cert, "OVN_Southbound"
    )
