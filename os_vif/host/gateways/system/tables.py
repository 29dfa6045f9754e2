# SPDX-License-Identifier: Apache-2.0
"""One table of nf_tables for each bridge with a gateway, in the family inet.

``nft list table inet os-vif-BRIDGE`` shows a table, and how many connections were masqueraded.
"""

from __future__ import annotations

import dataclasses
import errno
import socket
from collections.abc import Iterable, Iterator, Mapping

from os_vif.host.gateways.questions import TABLE, Served, comment_of, networks_of, table_of
from os_vif.host.gateways.questions.tables import (
    BASE,
    FORWARD,
    Chains,
    Rule,
    chains_of,
    is_whole,
    told_by,
)
from os_vif.host.gateways.resources import Network
from os_vif.system import netlink, nf_tables
from os_vif.system.netlink import Message, NetlinkError
from os_vif.system.nf_tables import INET, Base

_BASES = {BASE: Base("postrouting", 100, "nat"), FORWARD: Base("forward", 0)}
"""Where sources are translated (NF_IP_PRI_NAT_SRC), and what is forwarded is let pass."""


@dataclasses.dataclass(frozen=True, slots=True)
class Tables:
    """What the tables tell.

    :ivar generation: of the look.
    :ivar served: by bridge; strangers' tables of our names too.
    :ivar chains: by bridge.
    """

    generation: int
    served: Mapping[str, Served]
    chains: Mapping[str, Chains]

    @property
    def ours(self) -> dict[str, Served]:
        """Those that os-vif has made."""
        return {bridge: it for bridge, it in self.served.items() if it.ours}


def read() -> Tables:
    """Return what all tables tell.

    :raises OSError: the kernel refused to tell.
    """
    try:
        with nf_tables.channel(INET) as opened:
            return _read(opened)
    except NetlinkError as error:
        if error.errno not in netlink.NO_SUBSYSTEM:
            raise
        return Tables(0, {}, {})


def _read(opened: socket.socket) -> Tables:
    generation = nf_tables.generation_of(opened)
    comments = {
        name.removeprefix(TABLE): comment
        for name, comment in nf_tables.tables_in(opened, INET).items()
        if name.startswith(TABLE)
    }
    if not comments:
        return Tables(generation, {}, {})
    chains: dict[str, dict[str, list[Rule]]] = {bridge: {} for bridge in comments}
    only = table_of(next(iter(comments))) if len(comments) == 1 else ""
    for table, chain, rule in nf_tables.rules_of(opened, INET, only):
        bridge = table.removeprefix(TABLE)
        if table.startswith(TABLE) and bridge in chains:
            chains[bridge].setdefault(chain, []).append(rule)
    told = {bridge: told_by(bridge, comments[bridge], found) for bridge, found in chains.items()}
    networks = _networks(told.values())
    served = {
        bridge: dataclasses.replace(
            it,
            whole=it.ours and is_whole(it, chains[bridge], networks) and _stands(opened, it),
        )
        for bridge, it in told.items()
    }
    return Tables(generation, served, chains)


def _stands(opened: socket.socket, served: Served) -> bool:
    """Tell whether the kernel begins with those of its chains that have something to do."""
    name = table_of(served.bridge)
    needed = [BASE] * bool(served.nat) + [FORWARD] * bool(served.nat and served.outs)
    return all(nf_tables.base_of(opened, INET, name, it) == _BASES[it] for it in needed)


def _networks(served: Iterable[Served]) -> list[Network]:
    found = [network for it in served if it.ours for network in networks_of(it.addresses)]
    return sorted(found, key=lambda it: (it.version, it))  # whichever table comes first


def write(seen: Tables, changed: Mapping[str, Served | None]) -> None:
    """Make these the tables of bridges, all at once, and have the others know their networks.

    :param seen: what they told when this was decided
    :param changed: by bridge; None for none
    :raises OSError: ERESTART where somebody has changed tables since; EEXIST where one is not
        ours; else the kernel refused.  Nothing was changed.
    """
    for bridge in changed:
        if bridge in seen.served and not seen.served[bridge].ours:
            words = f"somebody else has made nftables' table inet {table_of(bridge)}"
            raise OSError(errno.EEXIST, words)
    after = {**seen.ours, **changed}
    networks = _networks(it for it in after.values() if it is not None)
    messages = [
        message for bridge, it in after.items() for message in _change(seen, bridge, it, networks)
    ]
    if messages:
        try:
            nf_tables.commit(messages, seen.generation)
        except NetlinkError as error:
            raise _lacking(error) from error


def _lacking(error: NetlinkError) -> OSError:
    # On tables of the generation that was seen, nothing else can be missing.
    if error.errno != errno.ENOENT:
        return error
    needed = "CONFIG_NFT_NAT, CONFIG_NFT_MASQ"
    return OSError(errno.EOPNOTSUPP, f"this kernel has no NAT in nf_tables ({needed})")


def _change(
    seen: Tables, bridge: str, wanted: Served | None, networks: Iterable[Network]
) -> Iterator[Message]:
    name, have = table_of(bridge), seen.chains.get(bridge)
    if have is not None and (wanted is None or not seen.served[bridge].whole):
        # What somebody has changed in it is made anew.
        yield nf_tables.delete_table(INET, name)
        have = None
    if wanted is None:
        return
    chains = chains_of(wanted, networks)
    if have is None:
        yield nf_tables.new_table(INET, name, comment_of(bridge))
    for chain, rules in chains.items():
        there = have.get(chain, []) if have is not None else []
        if not there and (rules or chain not in _BASES):
            yield nf_tables.new_chain(INET, name, chain, _BASES.get(chain))
        if there != rules[: len(there)]:
            yield nf_tables.empty_chain(INET, name, chain)
            there = []
        for rule in rules[len(there) :]:
            yield nf_tables.new_rule(INET, name, chain, rule)
