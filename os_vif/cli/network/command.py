# SPDX-License-Identifier: Apache-2.0
"""The group ``network``: what its subcommands are."""

from __future__ import annotations

import click

from os_vif.cli.groups import LateGroup
from os_vif.cli.session import Session

_COMMANDS = {
    "plan": ("network.looking:plan", "Show what apply would change now."),
    "apply": ("network.changing:apply", "Make OVN's networks as FILE... says, all or nothing."),
    "check": ("network.looking:check", "Compare OVN with the networks of FILE..."),
    "delete": ("network.changing:delete", "Take away what apply made."),
    "show": ("network.showing:show", "Draw networks: the edge, routers, switches, VIFs."),
    "list": ("network.holding:list_", "List the networks and routers that os-vif made."),
    "gc": ("network.holding:gc", "Remove what an owner's files no longer name."),
    "place": ("network.placing:place", "Say on which chassis a VIF's port is to be."),
}

_SAME = {"plug": "apply", "unplug": "delete", "rm": "delete", "ls": "list", "get": "list"}
"""Words of other commands, and of os-vif's own for VIFs."""


class _Network(LateGroup):
    """The subcommands, also by words for the same of VIFs."""

    def by_habit(self, word: str) -> str | None:
        """Return the subcommand that is meant by a word of another command; None for none."""
        return _SAME.get(word)


@click.group("network", cls=_Network, rows=_COMMANDS)
@click.pass_context
def network(context: click.Context) -> None:
    """Make networks over many hosts, on OVN.

    A file describes networks, routers and VIFs. network writes them into OVN's Northbound database,
    once, from anywhere that reaches it; on each host, plug of the same file plugs the VIFs that are
    there. Neither does the other's work: network touches no host, plug writes no Northbound
    database.

      os-vif network apply lab.yaml          networks, routers, ports
      os-vif plug --only tap-anna lab.yaml   on the host of tap-anna
      os-vif network check lab.yaml          is all as the file says?
      os-vif network show lab.yaml           a picture of it
      os-vif network delete lab.yaml         take it away again

    The database is that of --nb, else of nb_connection in [os_vif_ovn], else of $OVN_NB_DB, else
    unix:/run/ovn/ovnnb_db.sock. It takes the right to write there, and no other: not to be root.
    """
    session = context.find_object(Session)
    if session is not None:
        session.command = f"network {context.invoked_subcommand or ''}".strip()
