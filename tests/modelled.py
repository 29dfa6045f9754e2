# SPDX-License-Identifier: Apache-2.0
"""A host without a kernel: what each kind of step does to it, written again and independently.

It stands in for the families' systems, so that planner, runner and engine are tried without I/O:
:meth:`World.observe` answers like ``os_vif.engine.look``, :meth:`World.handlers` run steps like the
``run`` of a ``SYSTEM``. It refuses what the kernel refuses. Tests in tests/functional
hold the real kernel to the same.
"""

from __future__ import annotations

import copy
import dataclasses
import errno
import os
from collections.abc import Callable, Iterable
from typing import Any

from os_vif.engine.observed import Asked, Host, by_question
from os_vif.host.forwarding.questions import FORWARDING
from os_vif.host.functions.questions import PCI_DRIVERS, VFS, VfSettings, marks_on
from os_vif.host.links.questions import (
    BRIDGE_PORTS,
    BRIDGED,
    FUNCTIONS,
    HOST_ID,
    LINKS,
    MOVES,
    STANDING,
    UNFINISHED_GROUP,
    UPLINK_WORD,
    USERS,
    Function,
    Link,
    words_behind,
)
from os_vif.host.links.questions.mtu_notes import former_mtu
from os_vif.host.routes.questions import (
    ADDRESSES,
    ANEW,
    HOW_IPV6,
    PROXIES,
    ROUTES,
    ROUTES_TO,
    Address,
    Route,
)
from os_vif.host.vhost_user.questions import BACK_ENDS, BackEndState

DEFAULTS: dict[str, Any] = {
    "up": False,
    "master": None,
    "group": 0,
    "mtu": 1500,
    "arp_ignore": 0,
    "arp_announce": 0,
    "proxy_arp": 0,
    "rp_filter": 0,
    "forwarding": 0,
    "disable_ipv6": False,
    "proxy_ndp": 0,
    "forwarding6": 0,
    "accept_ra": 1,
}
OF_KIND: dict[str, dict[str, Any]] = {
    "bridge": {
        "stp_state": 0,
        "forward_delay": 1500,
        "ageing_time": 30000,
        "mcast_snooping": 1,
    },
    "tap": {"multi_queue": False, "queues": 0, "owner": 0, "owner_group": None},
    "macvtap": {"allmulticast": False},
}


class Killed(BaseException):
    """The process is gone: nothing of it may run any more."""


class World:
    """A host: ``links``, ``addresses``, ``routes``, ``proxies``, ``rules`` of FORWARD, and PCI."""

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.addresses: dict[str, list[Address]] = {}
        self.routes: dict[str, list[Route]] = {}
        self.proxies: dict[str, set[str]] = {}
        self.rules: dict[tuple[str, bool], tuple[tuple[str, ...], ...]] = {}
        self.functions: dict[str, Function] = {}
        self.vfs: dict[tuple[str, int], VfSettings] = {}
        self.own_drivers: dict[str, str] = {}
        """By PCI address, the driver that the kernel has for a function."""
        self.lent: dict[str, Any] = {}
        """By the name of a macvtap in passthrough, the MAC that its card had before."""
        self.back_ends: dict[str, BackEndState] = {}
        self.host_id = "one of many"
        self.how: dict[str, dict[str, int | str]] = {}
        """By device, and of ``default``: settings of IPv6."""
        self.operations = 0
        self.log: list[str] = []
        self.watch: Callable[[World], None] = lambda _world: None
        self.fault: Callable[[str, dict[str, Any]], None] = lambda _kind, _args: None
        self._index = 1

    # --- set up and compare -------------------------------------------------------------------

    def add_link(self, name: str, kind: str = "", alias: str = "", **attributes: Any) -> Link:
        self._index += 1
        link = Link(
            name,
            self._index,
            kind,
            alias,
            {
                **DEFAULTS,
                **OF_KIND.get(kind, {}),
                "mac": f"02:00:00:00:{self._index >> 8:02x}:{self._index & 255:02x}",
                **attributes,
            },
        )
        self.links[name] = link
        return link

    def picture(self) -> dict[str, Any]:
        """Return all there is, without indices, which no one can bring back."""
        return {
            "links": {n: (k.kind, k.alias, dict(k.attributes)) for n, k in self.links.items()},
            "addresses": {n: sorted(map(str, a)) for n, a in self.addresses.items() if a},
            "routes": {n: sorted(map(str, r)) for n, r in self.routes.items() if r},
            "proxies": {n: sorted(p) for n, p in self.proxies.items() if p},
            "rules": {key: rules for key, rules in self.rules.items() if rules},
            "functions": dict(self.functions),
            "vfs": copy.deepcopy(self.vfs),
            "back_ends": dict(self.back_ends),
            "marks": {n: set(k.altnames) for n, k in self.links.items() if k.altnames},
        }

    # --- looking ------------------------------------------------------------------------------

    def observe(self, asked: Iterable[Asked], *_place: object, with_daemon: bool = False) -> Host:
        """Answer what needs no privilege."""
        about = by_question(asked)
        functions = {address: self.functions.get(address) for address in about.get(FUNCTIONS, ())}
        behind = {name for found in functions.values() if found for name in found.netdevs}
        cards = {
            function.physical_netdev
            for address in about.get(VFS, ())
            if (function := functions.get(address)) and function.physical_netdev
        }
        names = about.get(LINKS, set()) | behind | cards
        host = Host({FUNCTIONS: functions})
        for name in names:
            host[LINKS][name] = copy.deepcopy(self.links.get(name))
        host[VFS].update({at: dict(it) for at, it in self.vfs.items() if at[0] in cards})
        host[HOST_ID][None] = self.host_id
        host[PCI_DRIVERS].update(dict.fromkeys(about.get(PCI_DRIVERS, ()), True))
        for place in about.get(USERS, ()):
            function = functions.get(place)
            for device in function.netdevs if function else (place,):
                host[USERS][device] = tuple(self.users_of(device))
                host[ADDRESSES][device] = tuple(self.addresses.get(device, ()))
        for uplink, bridge in about.get(MOVES, ()):
            for device in (uplink, bridge):
                if device in self.links:
                    host[ADDRESSES][device] = tuple(self.addresses.get(device, ()))
                    host[ROUTES][device] = tuple(self.routes.get(device, ()))
            for device in (uplink, bridge, ANEW):
                host[HOW_IPV6][device] = dict(self.how.get(device, {}))
        self._look_at_shared(host, about.get(BRIDGE_PORTS, set()) & self.links.keys())
        users = [user for name in about.get(STANDING, ()) for user in host[USERS].get(name, ())]
        host[LINKS].update({user: copy.deepcopy(self.links[user]) for user in users})
        for bridge, _own in about.get(BRIDGED, ()):
            if bridge in self.links:
                host[ADDRESSES][bridge] = tuple(self.addresses.get(bridge, ()))
        for destination in about.get(ROUTES_TO, ()):
            host[ROUTES_TO][destination] = next(
                (
                    (device, route.gateway)
                    for device, routes in self.routes.items()
                    for route in routes
                    if route.destination == destination
                ),
                None,
            )
        for device, address in about.get(PROXIES, ()):
            if address in self.proxies.get(device, ()):
                there = host[PROXIES].get(device, frozenset())
                host[PROXIES][device] = there | {address}
        return host

    def _look_at_shared(self, host: Host, bridges: Iterable[str]) -> None:
        """Answer what is asked of bridges that may be nobody's any more, and of all around."""
        around: set[str] = set()
        for bridge in bridges:
            ports = [name for name, it in self.links.items() if it.attributes["master"] == bridge]
            host[BRIDGE_PORTS][bridge] = tuple(ports)
            noted = words_behind(self.links[bridge].alias, UPLINK_WORD)
            around |= {bridge, *ports, *noted} & self.links.keys()
        around |= {str(self.links[name].attributes.get("link")) for name in around}
        for name in around & self.links.keys():
            host[LINKS][name] = copy.deepcopy(self.links[name])
            host[USERS][name] = tuple(self.users_of(name))
            host[ADDRESSES][name] = tuple(self.addresses.get(name, ()))
            host[ROUTES][name] = tuple(self.routes.get(name, ()))
            for user in self.users_of(name):
                host[LINKS][user] = copy.deepcopy(self.links[user])

    def lend(self, name: str, lower: str) -> None:
        """Have a macvtap take a card for itself."""
        self.links[name].attributes["link"] = lower
        self.lent[name] = self.links[lower].attributes["mac"]
        self.links[lower].attributes["mac"] = self.links[name].attributes["mac"]

    def users_of(self, device: str) -> list[str]:
        found = [
            name
            for name, link in self.links.items()
            if link.kind != "veth" and link.attributes.get("link") == device
        ]
        master = self.links[device].attributes["master"] if device in self.links else None
        return [*found, master] if master else found

    def seen(self, asked: Iterable[Asked], *place: object, with_daemon: bool = False) -> Host:
        """Return the answers to all questions, of those who have privilege."""
        asked = list(asked)
        host = self.observe(asked, *place, with_daemon=with_daemon)
        about = by_question(asked)
        for key in about.get(FORWARDING, ()):
            host[FORWARDING][key] = self.rules.get(key, ())
        for name in about.get(BACK_ENDS, ()):
            host[BACK_ENDS][name] = copy.copy(self.back_ends.get(name))
        return host

    # --- doing --------------------------------------------------------------------------------

    def handlers(self) -> dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]]:
        return {
            kind: self._handler(kind, getattr(self, f"_{kind}"))
            for kind in (
                "create_link",
                "note_guest",
                "set_link",
                "delete_links",
                "delete_unused",
                "add_address",
                "delete_address",
                "add_route",
                "delete_route",
                "set_ipv6",
                "add_proxy",
                "delete_proxy",
                "set_forwarding",
                "delete_idle",
                "hold_mtu",
                "note_mtu",
                "forget_mtu",
                "mark_function",
                "unmark_function",
                "set_vf",
                "bind_driver",
                "add_fp_device",
                "del_fp_device",
                "start_back_end",
                "stop_back_end",
            )
        }

    def _handler(self, kind: str, act: Callable[..., Any]) -> Callable[[dict[str, Any]], Any]:
        def handle(args: dict[str, Any]) -> Any:
            self.fault(kind, args)
            self.operations += 1
            self.log.append(kind)
            found = act(**copy.deepcopy(args))
            self.watch(self)
            return found

        return handle

    def _have(self, name: str) -> Link:
        if name not in self.links:
            raise OSError(errno.ENODEV, f"there is no device {name}")
        return self.links[name]

    def _create_link(self, kind: str, name: str, attributes: dict[str, Any]) -> None:
        if name in self.links:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        if kind in ("vlan", "macvtap"):
            self._have(attributes["link"])
        alias = attributes.pop("alias")
        inherited = (
            {"mtu": self.links[attributes["link"]].attributes["mtu"]} if kind == "vlan" else {}
        )
        self.add_link(name, kind, **inherited)
        if attributes.get("mode") == "passthru":
            if any(
                self.links[user].kind == "macvtap" for user in self.users_of(attributes["link"])
            ):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self.lend(name, attributes["link"])
        try:
            self._set_link(name, {**attributes, "alias": alias})
        except OSError:
            del self.links[name]
            self.how.pop(name, None)
            raise

    def _set_link(self, name: str, attributes: dict[str, Any]) -> None:
        link = self._have(name)
        for key, value in attributes.items():
            if key == "alias":
                link.alias = value
                continue
            if key == "master" and value is not None and self._have(value).kind != "bridge":
                raise OSError(errno.EOPNOTSUPP, "Device does not allow enslaving to it")
            if key == "mtu" and value > link.attributes.get("max_mtu", 65535):
                raise OSError(errno.EINVAL, "mtu greater than device maximum")
            link.attributes[key] = value
            if key == "disable_ipv6" and value:
                here, ways = self.addresses.get(name, []), self.routes.get(name, [])
                here[:] = [item for item in here if ":" not in item.local]
                ways[:] = [item for item in ways if ":" not in item.destination]
            if key == "mac" and name in self.lent:
                self.links[str(link.attributes["link"])].attributes["mac"] = value

    def _delete_links(self, links: list[list[Any]]) -> None:
        for name, index in links:
            link = self.links.get(name)
            if link is None or index not in (0, link.index):
                continue
            del self.links[name]
            if name in self.lent:
                lower = str(link.attributes["link"])
                self.links[lower].attributes["mac"] = self.lent.pop(name)
            for upper in [] if link.kind == "veth" else self.users_of(name):
                self._delete_links([[upper, 0]])
            for table in (self.addresses, self.routes, self.proxies):
                table.pop(name, None)  # type: ignore[attr-defined]
            for other in self.links.values():
                if other.attributes["master"] == name:
                    other.attributes["master"] = None

    def _delete_unused(self, name: str) -> None:
        ports = any(link.attributes["master"] == name for link in self.links.values())
        if not ports and not self.users_of(name):
            self._delete_links([[name, 0]])

    def _speak(self, device: str, *texts: str) -> None:
        """Refuse what is IPv6's on a device where that is off."""
        if self._have(device).attributes["disable_ipv6"] and any(":" in text for text in texts):
            raise OSError(errno.EACCES, "IPv6 is disabled on nexthop device")

    def _add_address(self, device: str, address: dict[str, Any]) -> None:
        self._speak(device, address["local"])
        mine = self.addresses.setdefault(device, [])
        wanted = Address(**address)
        if wanted.key not in {item.key for item in mine}:
            mine.append(wanted)

    def _delete_address(self, device: str, address: dict[str, Any]) -> None:
        self._have(device)
        mine = self.addresses.setdefault(device, [])
        gone = Address(**address).key
        mine[:] = [item for item in mine if item.key != gone]

    def _add_route(self, device: str, route: dict[str, Any]) -> None:
        self._speak(device, route["destination"], route["gateway"])
        wanted = Route(**route)
        mine = self.routes.setdefault(device, [])
        if wanted.gateway and not wanted.onlink and not self._reaches(device, wanted.gateway):
            raise OSError(errno.ENETUNREACH, "Nexthop has invalid gateway")
        if wanted not in mine:
            mine.append(wanted)

    def _reaches(self, device: str, gateway: str) -> bool:
        """Tell whether a neighbour is on this device, as the kernel asks of a gateway."""
        import ipaddress

        there = ipaddress.ip_address(gateway)
        if there.is_link_local:
            return True
        return any(
            there in ipaddress.ip_interface(item.local).network
            for item in self.addresses.get(device, ())
        ) or any(
            not item.gateway and there in ipaddress.ip_network(item.destination)
            for item in self.routes.get(device, ())
        )

    def _delete_route(self, device: str, route: dict[str, Any]) -> None:
        self._have(device)
        gone = Route(**route)
        mine = self.routes.setdefault(device, [])
        mine[:] = [item for item in mine if item != gone]

    def _set_ipv6(self, device: str, settings: dict[str, int | str], as_on: str) -> None:
        self._have(device)
        before = self.how.get(device) or self.how.get(ANEW, {})
        self.how[device] = {**before, **settings}

    def _add_proxy(self, device: str, address: str) -> None:
        self._have(device)
        self.proxies.setdefault(device, set()).add(address)

    def _delete_proxy(self, device: str, address: str) -> None:
        self.proxies.get(device, set()).discard(address)

    def _set_forwarding(
        self,
        comment: str,
        ipv6: bool,
        rules: list[list[str]],
        top_regex: str,
        bottom_regex: str,
    ) -> dict[str, Any]:
        former = self.rules.get((comment, ipv6), ())
        self.rules[comment, ipv6] = tuple(tuple(rule) for rule in rules)
        return {
            "comment": comment,
            "ipv6": ipv6,
            "rules": [list(rule) for rule in former],
            "top_regex": top_regex,
            "bottom_regex": bottom_regex,
        }

    def _delete_idle(self, name: str) -> None:
        ports = any(link.attributes["master"] == name for link in self.links.values())
        if ports or self.users_of(name):
            raise OSError(errno.EBUSY, f"somebody uses {name}")
        self._delete_links([[name, 0]])

    def _hold_mtu(self, name: str) -> None:
        self._have(name)

    def _note_guest(self, name: str, alias: str) -> None:
        self._have(name).alias = alias

    def _note_mtu(self, device: str, note: str) -> None:
        self._mark(device, note)
        assert former_mtu(self._have(device)) is not None

    def _forget_mtu(self, device: str, note: str) -> None:
        self._unmark_function(device, note)

    def _mark_function(self, device: str, mark: str) -> None:
        self._mark(device, mark)
        assert str(marks_on(self._have(device))[-1]) == mark

    def _mark(self, device: str, name: str) -> None:
        if any(name in link.altnames for link in self.links.values()):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._have(device).altnames += (name,)

    def _unmark_function(self, device: str, mark: str) -> None:
        link = self._have(device)
        link.altnames = tuple(item for item in link.altnames if item != mark)

    def _set_vf(self, address: str, device: str, vf: int, settings: dict[str, Any]) -> None:
        assert self.functions[address].number == vf
        self._have(device)
        self.vfs[device, vf].update(settings)

    def _bind_driver(self, address: str, driver: str | None, override: str) -> None:
        self.functions[address] = dataclasses.replace(
            self.functions[address],
            driver=self.own_drivers[address] if driver is None else driver,
            override=override,
        )

    def _add_fp_device(self, name: str, path: str, listens: bool) -> None:
        if name in self.links:
            raise OSError(errno.EEXIST, f"there is a device {name}")
        self.add_link(name)

    def _del_fp_device(self, name: str) -> None:
        self._delete_links([[name, 0]])

    def _start_back_end(self, name: str, path: str, listens: bool, mac: str, why: str) -> None:
        # It gives the tap what it was told, and an MTU of its own.
        self._have(name).attributes.update(mac=mac, mtu=1500, up=True, queues=1)
        self.back_ends[name] = BackEndState(path, listens)

    def _stop_back_end(self, name: str, stale: str, abandoned: bool) -> None:
        if self.back_ends.pop(name, None) and name in self.links:
            self.links[name].attributes["queues"] = 0


def half_made(kind: str) -> dict[str, Any]:
    """Return the attributes of a device whose maker was killed before it could mark it."""
    return {**OF_KIND.get(kind, {}), "group": UNFINISHED_GROUP}
