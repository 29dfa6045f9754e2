# SPDX-License-Identifier: Apache-2.0
"""Rules of the packet filter as others set them, beside whom the library has to live."""

from __future__ import annotations

import subprocess

from tests import witness

DOCKER = """
iptables -w -P FORWARD DROP
iptables -w -N DOCKER-USER
iptables -w -N DOCKER
iptables -w -A FORWARD -j DOCKER-USER
iptables -w -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
iptables -w -A FORWARD -o docker0 -j DOCKER
iptables -w -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
iptables -w -A FORWARD -i docker0 -o docker0 -j ACCEPT
iptables -w -A DOCKER-USER -j RETURN
iptables -w -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
"""
LIBVIRT = """
iptables -w -N LIBVIRT_FWI
iptables -w -N LIBVIRT_FWO
iptables -w -A FORWARD -j LIBVIRT_FWI
iptables -w -A FORWARD -j LIBVIRT_FWO
iptables -w -A LIBVIRT_FWI -o virbr0 -j REJECT
iptables -w -A LIBVIRT_FWO -i virbr0 -j REJECT
iptables -w -t nat -A POSTROUTING -s 192.168.122.0/24 ! -d 192.168.122.0/24 -j MASQUERADE
"""
FIREWALLD = """
table inet firewalld {
    chain filter_FORWARD {
        type filter hook forward priority filter + 10; policy accept;
        ct state { established, related } accept
        ct status dnat accept
        iifname "lo" accept
        jump filter_FORWARD_ZONES
        ct state invalid drop
        reject with icmpx admin-prohibited
    }
    chain filter_FORWARD_ZONES {
        iifname "ZONED" goto filter_FWD_public
        iifname "eth7" goto filter_FWD_public
    }
    chain filter_FWD_public { oifname "ZONED" accept; }
    chain nat_POSTROUTING { type nat hook postrouting priority srcnat + 10; policy accept; }
}"""
"""``ZONED`` stands for a device that is in its zone ``public``."""


def set_rules(rules: str) -> None:
    """Set rules on the host of the calling thread: a file of nft's, or lines of commands."""
    if rules.lstrip().startswith("table"):
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        return
    for line in filter(None, rules.splitlines()):
        witness.run(*line.split())
