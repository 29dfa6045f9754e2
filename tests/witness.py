# SPDX-License-Identifier: Apache-2.0
"""What others see of the host: iproute2, iptables, /proc. None of it is our own netlink code.

All of it looks at the network namespace of the calling thread.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

VOLATILE = frozenset(
    {
        "operstate",
        "state",
        "bridge_id",
        "designated_root",
        "root_id",
        "designated_bridge",
        "stats",
        "stats64",
        "ifindex",
        "link_index",
        "hello_timer",
        "forward_delay_timer",
        "tcn_timer",
        "topology_change_timer",
        "gc_timer",
        "valid_life_time",
        "preferred_life_time",
        "expires",
        "used",
        "cacheinfo",
        "tentative",
        "optimistic",
        "created_time",
        "updated_time",
    }
)
"""What changes by itself."""


def run(*command: str, check: bool = True, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}{done.stdout}"
    return done.stdout


def ip(command: str) -> None:
    """Run ``ip command``; several, separated by newlines, go in one batch."""
    lines = "\n".join(line.strip() for line in command.splitlines() if line.strip())
    run("ip", "-batch", "-", input=lines + "\n")


def ask(command: str) -> list[dict[str, Any]]:
    """Return what ``ip -j command`` says."""
    said = run("ip", "-json", *command.split()).strip()
    return list(json.loads(said)) if said else []


def ask_all(*commands: str) -> list[list[dict[str, Any]]]:
    """Return what ``ip -details -j`` says to each of several commands, in one process.

    Not for those that say nothing at all where there is nothing.
    """
    said = run("ip", "-details", "-json", "-batch", "-", input="\n".join(commands) + "\n")
    answers, decoder = [], json.JSONDecoder()
    while said := said.lstrip():
        answer, end = decoder.raw_decode(said)
        answers.append(answer)
        said = said[end:]
    assert len(answers) == len(commands), f"{commands}: {answers}"
    return answers


def link(name: str) -> dict[str, Any] | None:
    found = json.loads(
        run("ip", "-json", "-details", "link", "show", "dev", name, check=False) or "[]"
    )
    return dict(found[0]) if found else None


def addresses(name: str, family: str = "-4") -> list[str]:
    """Return the addresses of a device in the kernel's order, link-local ones left out."""
    return [
        f"{item['local']}/{item['prefixlen']}"
        for found in ask(f"{family} addr show dev {name}")
        for item in found.get("addr_info", ())
        if item["scope"] != "link"
    ]


def routes(family: str = "-4", where: str = "table main") -> set[tuple[str, str, str]]:
    """Return destination, gateway and device of each route that is not the kernel's own."""
    return {
        (item["dst"], item.get("gateway", ""), item["dev"])
        for item in ask(f"{family} route show {where}")
        if item.get("protocol") != "kernel" and "dev" in item
    }


def sysctl(path: str) -> str:
    return Path("/proc/sys/net", path).read_text().strip()


def rules(tool: str = "iptables", chain: str = "FORWARD") -> list[str]:
    return [line for line in run(tool, "-w", "-S", chain).splitlines() if line.startswith("-A ")]


def snapshot() -> dict[str, Any]:
    """Return all there is to see, without what changes by itself.

    Devices that come or go meanwhile, as Open vSwitch's do when its daemons end, are in all of it
    or in nothing.
    """
    missing = None
    for _attempt in range(_ATTEMPTS):
        before = _configured("ipv4")
        try:
            found = _look()
        except FileNotFoundError as error:
            missing = error
        else:
            if _configured("ipv4") == before:
                return found
    raise AssertionError(f"devices come and go: {_ATTEMPTS} looks saw each another") from missing


_ATTEMPTS = 20


def _configured(family: str) -> list[Path]:
    return sorted(Path(f"/proc/sys/net/{family}/conf").iterdir())


def _look() -> dict[str, Any]:
    settings = {
        f"{family}/{device.name}": {name: (device / name).read_text().strip() for name in names}
        for family, names in (
            ("ipv4", ("arp_ignore", "arp_announce", "proxy_arp", "forwarding", "rp_filter")),
            ("ipv6", ("disable_ipv6", "forwarding", "accept_ra", "proxy_ndp")),
        )
        for device in _configured(family)
    }
    links, addresses_, routes_, proxies = ask_all(
        "link show", "addr show", "route show table all", "neigh show proxy"
    )
    links.sort(key=lambda item: str(item["ifname"]))
    for link_ in links:
        # Those of a VIF's devices are numbered, in no order.
        names = link_.get("altnames", ())
        link_["altnames"] = sorted(re.sub(r",device=[0-9]+\Z", ",device=", it) for it in names)
    return {
        "links": _steady(links),
        "addresses": {
            item["ifname"]: [
                _steady({**one, "lives": _lives(one)})
                for one in item.get("addr_info", ())
                if not (one["family"] == "inet6" and one["scope"] == "link")
            ]
            for item in addresses_
        },
        "routes": sorted(
            str(_steady(item))
            for item in routes_
            if not str(item["dst"]).startswith(("fe80", "ff00"))
            and item.get("dev") != "lo"
            # The kernel gives an address of IPv6 its own route a moment after the address.
            and not (item.get("type") in ("local", "anycast") and ":" in str(item["dst"]))
        ),
        "proxies": sorted(str(_steady(item)) for item in proxies),
        "rules": {
            tool: [
                line.partition("[")[0]
                for line in run(f"{tool}-save", "-t", "filter", check=False).splitlines()
                if line.startswith(("-A", ":FORWARD"))
            ]
            for tool in ("iptables", "ip6tables")
        },
        "settings": settings,
    }


def _lives(address: dict[str, Any]) -> str:
    forever = 4294967295
    return "for ever" if address["valid_life_time"] == forever else "for a while"


def _steady(item: Any) -> Any:
    if isinstance(item, dict):
        kept = {key: _steady(value) for key, value in item.items() if key not in VOLATILE}
        if "flags" in kept and isinstance(kept["flags"], list):
            kept["flags"] = sorted(
                str(flag)
                for flag in kept["flags"]
                if flag not in ("LOWER_UP", "NO-CARRIER", "linkdown")
            )
        return kept
    if isinstance(item, list):
        return [_steady(value) for value in item]
    return item


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what is not as it was, one line each; without chains iptables makes when asked."""
    was, now = _flat(unwrap(before)), _flat(unwrap(after))
    return [
        f"{key}: {was.get(key)!r} became {now.get(key)!r}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key) != now.get(key)
    ]


def _flat(value: Any, path: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [
            (item["ifname"] if isinstance(item, dict) and "ifname" in item else number, item)
            for number, item in enumerate(value)
        ]
    else:
        return {path: value}
    flat = {}
    for key, item in pairs:
        flat.update(_flat(item, f"{path}/{key}"))
    return flat


def unwrap(snapshot_: dict[str, Any]) -> dict[str, Any]:
    """Return a snapshot without the chains that iptables makes when it is first asked."""
    rules_ = {
        tool: [line for line in lines if line != ":FORWARD ACCEPT "]
        for tool, lines in snapshot_["rules"].items()
    }
    return {**snapshot_, "rules": rules_}
