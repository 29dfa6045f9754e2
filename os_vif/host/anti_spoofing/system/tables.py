# SPDX-License-Identifier: Apache-2.0
"""One table of nf_tables for each VIF, in the family netdev.

``nft list table netdev os-vif-ID`` shows a table, and how much each rule has dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from os_vif.host.anti_spoofing.questions import Filter, table_of
from os_vif.host.anti_spoofing.questions.chains import BASE
from os_vif.system import nf_tables
from os_vif.system.nf_tables import NETDEV, Base

_PRIORITY = -500
"""Before the chains of others, which may do something with a frame."""


def filter_of(vif: str) -> Filter | None:
    """Return what the table of a VIF is like; None where there is none."""
    name = table_of(vif)
    with nf_tables.channel(NETDEV) as opened:
        mark = nf_tables.comment_of(opened, NETDEV, name)
        if mark is None:
            return None
        base = nf_tables.base_of(opened, NETDEV, name, BASE)
        chains: dict[str, list[list[str]]] = {}
        for _table, chain, rule in nf_tables.rules_of(opened, NETDEV, name):
            chains.setdefault(chain, []).append(rule)
    return Filter(mark, _hook(base), chains)


def _hook(base: Base | None) -> str:
    """Return where a chain stands, in words; with more words where it is not as we make them."""
    if base is None:
        return ""
    words = " ".join(filter(None, (base.hook, base.device)))
    return words if base.priority == _PRIORITY else f"{words} priority {base.priority}"


def _base(hook: str) -> Base:
    way, device = hook.split(" ")
    return Base(way, _PRIORITY, device=device)


def replace(gone: Iterable[str], made: Mapping[str, Filter]) -> None:
    """Take away the tables of VIFs and make others, all at once.

    The kernel waits for whatever goes: once, however much it is.

    :param gone: the ids of VIFs that have one
    :param made: by the ids of VIFs that have none, or one that goes
    :raises NetlinkError: the kernel refused, with ENOENT or EEXIST where that is not so; nothing
        was changed.
    """
    messages = [nf_tables.delete_table(NETDEV, table_of(vif)) for vif in gone]
    for vif, wanted in made.items():
        name = table_of(vif)
        messages.append(nf_tables.new_table(NETDEV, name, wanted.mark))
        messages.append(nf_tables.new_chain(NETDEV, name, BASE, _base(wanted.hook)))
        messages += [
            nf_tables.new_chain(NETDEV, name, chain) for chain in wanted.chains if chain != BASE
        ]
        messages += [
            nf_tables.new_rule(NETDEV, name, chain, rule)
            for chain, rules in wanted.chains.items()
            for rule in rules
        ]
    if messages:
        nf_tables.commit(messages)
