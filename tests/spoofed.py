# SPDX-License-Identifier: Apache-2.0
"""What a guest sends with addresses of its own and of others', and who gets it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from os_vif import verbs
from tests import guest, vifs, witness
from tests.functional.calls import plug
from tests.guest import BROADCAST, ETH_ARP, ETH_IPV4, ETH_IPV6, ethernet, ipv4, ipv6

TAP = vifs.tap_name(1)
TABLE = f"os-vif-{vifs.vif_id(1)}"
MAC, PEER, OTHER = vifs.guest_mac(1), vifs.guest_mac(2), "52:54:00:99:99:99"
IP4, IP6, LINK_LOCAL = "192.0.2.5", "2001:db8::5", "fe80::5054:ff:fe00:1"
NOBODY = "0.0.0.0"  # noqa: S104
ROUTED, VRRP = "10.42.0.0/24", "00:00:5e:00:01:07"


# --- frames ---------------------------------------------------------------------------------------


def hexed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def arp(sender: str, address: str, target: str, *, of: str = MAC, operation: int = 1) -> bytes:
    """Return an ARP frame from ``of`` that says that ``sender`` has an address."""
    head = struct.pack("!HHBBH", 1, ETH_IPV4, 6, 4, operation)
    told = hexed(sender) + packed(address) + bytes(6) + packed(target)
    return ethernet(BROADCAST, of, ETH_ARP, head + told)


def udp4(source: str, target: str = "192.0.2.6", ports: tuple[int, int] = (7, 7)) -> bytes:
    payload = struct.pack("!HHHH", *ports, 12, 0) + b"1234"
    return ethernet(PEER, MAC, ETH_IPV4, ipv4(source, target, payload))


def fragment4(source: str) -> bytes:
    """Return a later fragment, which has no header of UDP."""
    whole = bytearray(ipv4(source, "192.0.2.6", b"12345678"))
    whole[6:8], whole[10:12] = struct.pack("!H", 100), bytes(2)
    whole[10:12] = struct.pack("!H", guest.checksum(bytes(whole[:20])))
    return ethernet(PEER, MAC, ETH_IPV4, bytes(whole))


def udp6(source: str, target: str = "2001:db8::6", ports: tuple[int, int] = (7, 7)) -> bytes:
    payload = struct.pack("!HHHH", *ports, 12, 1) + b"1234"
    return ethernet(PEER, MAC, ETH_IPV6, ipv6(source, target, payload, 17))


def icmp6(
    source: str, kind: int, body: bytes, *, target: str = "ff02::1", before: bytes = b""
) -> bytes:
    """Return a message of ICMPv6, perhaps behind another header."""
    following = before[0] if before else 58
    message = struct.pack("!BBH", kind, 0, 0) + body
    before = before and bytes([58]) + before[1:]
    return ethernet(
        "33:33:00:00:00:01", MAC, ETH_IPV6, ipv6(source, target, before + message, following, 255)
    )


def option(kind: int, mac: str = MAC) -> bytes:
    return bytes([kind, 1]) + hexed(mac)


def nonce(*more: bytes) -> bytes:
    return b"".join((bytes([14, 1]), b"nonce!", *more))


def ask(source: str, target: str, options: bytes = option(1), before: bytes = b"") -> bytes:
    return icmp6(source, 135, bytes(4) + packed(target) + options, before=before)


def answer(source: str, target: str, options: bytes = option(2)) -> bytes:
    return icmp6(source, 136, b"\x60" + bytes(3) + packed(target) + options)


def tagged(frame: bytes, *vlans: int) -> bytes:
    tags = b"".join(struct.pack("!HH", 0x8100, vlan) for vlan in vlans)
    return frame[:12] + tags + frame[12:]


MLD = struct.pack("!HHBBH", 0, 1, 4, 0, 0) + packed("ff02::fb")
HOP_BY_HOP, DESTINATION = (bytes([kind, 0, 5, 2, 0, 0, 1, 0]) for kind in (0, 60))
"""Headers before that of ICMPv6; the first byte is their own number here."""

ANY_MODE = {
    "another MAC address": ethernet(PEER, OTHER, ETH_IPV4, ipv4(IP4, "192.0.2.6", b"")),
    "another MAC address, no IP": ethernet(PEER, OTHER, 0x88B5, bytes(46)),
    "ARP for another MAC address": arp(OTHER, IP4, "192.0.2.6"),
    "ARP answer for another MAC address": arp(OTHER, IP4, "192.0.2.6", operation=2),
    "ARP with addresses of another length": arp(MAC, IP4, "192.0.2.6").replace(
        b"\x08\x00\x06\x04", b"\x08\x00\x05\x05"
    ),
    "RARP for another": guest.rarp(OTHER, MAC),
    "NS that tells another MAC address": ask(IP6, "2001:db8::6", option(1, OTHER)),
    "NA that tells another MAC address": answer(IP6, IP6, option(2, OTHER)),
    "NA that tells two": answer(IP6, IP6, option(2) + option(2, OTHER)),
    "NA behind another header": icmp6(
        IP6, 136, bytes(4) + packed(IP6) + option(2, OTHER), before=DESTINATION
    ),
    "RS that tells another MAC address": icmp6(LINK_LOCAL, 133, bytes(4) + option(1, OTHER)),
    "in a VLAN, ARP for another MAC address": tagged(arp(OTHER, IP4, "192.0.2.6"), 5),
}
"""What passes in no mode."""

BAD = {
    **ANY_MODE,
    "ARP for another's address": arp(MAC, "192.0.2.1", "192.0.2.6"),
    "ARP answer for another's address": arp(MAC, "192.0.2.1", "192.0.2.6", operation=2),
    "gratuitous ARP for another's address": arp(MAC, "192.0.2.1", "192.0.2.1"),
    "ARP probe for another's address": arp(MAC, NOBODY, "192.0.2.1"),
    "another's IPv4 address": udp4("192.0.2.1"),
    "a later fragment from another's IPv4 address": fragment4("192.0.2.1"),
    "no IPv4 address": udp4(NOBODY),
    "DHCP from no address, to one": udp4(NOBODY, "192.0.2.6", (68, 67)),
    "what a DHCP server sends": udp4(IP4, "255.255.255.255", (67, 68)),
    "what a DHCP server sends by another port": udp4(IP4, "192.0.2.6", (1067, 68)),
    "beyond the network that is allowed": udp4("10.42.1.1"),
    "another's IPv6 address": udp6("2001:db8::1"),
    "another's link-local address": udp6("fe80::1"),
    "no IPv6 address": udp6("::"),
    "what a DHCPv6 server sends": udp6(LINK_LOCAL, "fe80::2", (547, 546)),
    "NS from another's address": ask("2001:db8::1", "2001:db8::6"),
    "DAD for another's address": ask("::", "2001:db8::1", b""),
    "DAD for another's address, with a nonce": ask("::", "fe80::1", nonce()),
    "NS from nobody that tells a MAC address": ask("::", IP6),
    "NA for another's address": answer(IP6, "2001:db8::1"),
    "NA for the router's address": answer(LINK_LOCAL, "fe80::1"),
    "NA for another's address without an option": answer(IP6, "2001:db8::1", b""),
    "NA from another's address": answer("2001:db8::1", IP6),
    "NA behind another header, for another": icmp6(
        IP6, 136, bytes(4) + packed("2001:db8::1"), before=DESTINATION
    ),
    "RA": icmp6(LINK_LOCAL, 134, bytes(12) + option(1)),
    "RA behind another header": icmp6(LINK_LOCAL, 134, bytes(12), before=HOP_BY_HOP),
    "redirect": icmp6(LINK_LOCAL, 137, bytes(4) + packed(IP6) + packed(IP6)),
    "MLD from another's address": icmp6("fe80::1", 143, MLD, before=HOP_BY_HOP),
    "ping from another's address": icmp6("2001:db8::1", 128, bytes(4)),
    "neither IP nor ARP": ethernet(PEER, MAC, 0x88CC, bytes(46)),
    "a bridge's word": ethernet("01:80:c2:00:00:00", MAC, 38, bytes(46)),
    "in a VLAN, another's IPv4 address": tagged(udp4("192.0.2.1"), 5),
    "in a VLAN, RA": tagged(icmp6(LINK_LOCAL, 134, bytes(12)), 5),
    "in two VLANs": tagged(udp4(IP4), 5, 6),
}
GOOD = {
    "ARP": arp(MAC, IP4, "192.0.2.6"),
    "ARP answer": arp(MAC, IP4, "192.0.2.6", operation=2),
    "ARP probe": arp(MAC, NOBODY, IP4),
    "gratuitous ARP": arp(MAC, IP4, IP4),
    "RARP": guest.rarp(MAC),
    "IPv4": udp4(IP4),
    "a later fragment": fragment4(IP4),
    "IPv4 multicast": udp4(IP4, "224.0.0.251", (5353, 5353)),
    "DHCP before there is an address": udp4(NOBODY, "255.255.255.255", (68, 67)),
    "DHCP with an address": udp4(IP4, "192.0.2.1", (68, 67)),
    "from the network that is allowed": udp4("10.42.0.77"),
    "ARP for the network that is allowed": arp(MAC, "10.42.0.77", "192.0.2.6"),
    "the MAC address that is allowed": arp(VRRP, IP4, IP4, of=VRRP),
    "IPv6": udp6(IP6),
    "IPv6 link-local": udp6(LINK_LOCAL, "fe80::2"),
    "DHCPv6": udp6(LINK_LOCAL, "ff02::1:2", (546, 547)),
    "NS": ask(IP6, "2001:db8::6"),
    "NS without an option": ask(IP6, "2001:db8::6", b""),
    "NA": answer(IP6, IP6),
    "NA for the link-local address": answer(LINK_LOCAL, LINK_LOCAL),
    "NA without an option": answer(IP6, IP6, b""),
    "DAD": ask("::", IP6, b""),
    "DAD with a nonce": ask("::", LINK_LOCAL, nonce()),
    "RS": icmp6(LINK_LOCAL, 133, bytes(4) + option(1)),
    "RS from nobody": icmp6("::", 133, bytes(4)),
    "MLD": icmp6(LINK_LOCAL, 143, MLD, before=HOP_BY_HOP),
    "MLD from nobody": icmp6("::", 143, MLD, before=HOP_BY_HOP),
    "ping": icmp6(IP6, 128, bytes(4)),
    "in a VLAN": tagged(udp4(IP4), 5),
}

# --- guests ------------------------------------------------------------------------------------

ALLOWED = f"{ROUTED} {VRRP}"


def network(bridge: str = "br0", **fields: Any) -> Any:
    subnets = [vifs.subnet("192.0.2.0/24", [IP4]), vifs.subnet("2001:db8::/64", [IP6])]
    return vifs.network(bridge, subnets=subnets, should_provide_bridge=bool(bridge), **fields)


MAKE: dict[str, Callable[..., Any]] = {
    "linux_bridge": lambda: vifs.bridge_vif(network=network()),
    "tap": lambda: vifs.tap_vif(network=network("")),
    "macvtap": lambda: vifs.direct_vif(network=network("", bridge_interface="eth0")),
}


def card() -> None:
    witness.ip("link add eth0 up type veth peer name wire0\nlink set wire0 up promisc on")


def creating() -> Any:
    return vifs.configured("linux_bridge", create_tap=True)


def kept(plugin: str, mode: str = "ip", allowed: str = "") -> Any:
    options = {"anti_spoofings": {vifs.vif_id(1): mode}}
    return vifs.configured(
        plugin, **options, allowed_addresses={vifs.vif_id(1): allowed} if allowed else {}
    )


@contextlib.contextmanager
def pair() -> Iterator[tuple[Any, Any]]:
    """Plug two guests on a bridge, and open their taps; only what the first sends may be kept."""
    one, other = vifs.bridge_vif(network=network()), vifs.bridge_vif(2)
    with creating():
        plug(one)
        plug(other)
        with guest.guests((TAP, MAC), (other.vif_name, PEER)) as both:
            yield both


@contextlib.contextmanager
def on_macvtap() -> Iterator[tuple[Any, Any]]:
    """Plug a guest on a macvtap; the other is at the wire."""
    vif = MAKE["macvtap"]()
    plug(vif)
    [descriptor] = verbs.open_guest_end(vif)
    one = guest.Guest.__new__(guest.Guest)
    one.mac, one.descriptor = vif.address, descriptor
    with contextlib.closing(one):
        witness.ip("tuntap add far mode tap vnet_hdr\nlink add br9 up type bridge mcast_snooping 0")
        witness.ip("link set far up master br9\nlink set wire0 master br9")
        with contextlib.closing(guest.Guest("far", PEER)) as far:
            yield one, far


def through(frames: Mapping[str, bytes], sender: Any, receiver: Any) -> set[str]:
    """Send frames, and return those that arrive, by name."""
    for _ in range(3000):
        # Until the port of the bridge forwards; by an address of the guest's own.
        sender.send(GOOD["ARP"])
        with contextlib.suppress(TimeoutError):
            receiver.until(GOOD["ARP"], 0.01)
            break
    for frame in frames.values():
        sender.send(frame)
    last = arp(MAC, IP4, "192.0.2.99")
    sender.send(last)
    seen = {bytes(it) for it in receiver.until(last)}
    return {name for name, frame in frames.items() if frame in seen}


def counted() -> dict[str, int]:
    """Return how much each reason has dropped, as nft tells."""
    said = json.loads(witness.run("nft", "--json", "list", "table", "netdev", TABLE))["nftables"]
    rules = [item["rule"] for item in said if "rule" in item]
    return {
        rule["comment"]: part["counter"]["packets"]
        for rule in rules
        for part in rule["expr"]
        if "counter" in part
    }


def tables() -> list[str]:
    said = json.loads(witness.run("nft", "--json", "list", "tables"))["nftables"]
    return [item["table"]["name"] for item in said if "table" in item]
