# SPDX-License-Identifier: Apache-2.0
"""Make the host a gateway, and give back what it was before.

The table comes first and goes last: whoever was killed in between left written what is to be given
back, and who would have used it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Mapping

from os_vif.host.gateways.questions import (
    FORCE,
    FORWARD_IPV6,
    Served,
    Setting,
    added_to,
    given,
    heirs_of,
    is_needed,
    noted_settings,
    outs_of,
    settings_of,
    ways_among,
)
from os_vif.host.gateways.system import tables
from os_vif.host.gateways.system.tables import Tables
from os_vif.host.routes.questions import Address, as_mapping
from os_vif.host.routes.system import addresses
from os_vif.system import locks, sysctl

_ATTEMPTS = 20
"""At tables that others change meanwhile."""
_LOCK_SECONDS = 10.0

_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOENT})


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let one of us at a time change gateways: who leaves last must not meet who joins."""
    with contextlib.ExitStack() as turn:
        # Who may not use the lock can do without: the tables are changed only as they were seen.
        with contextlib.suppress(OSError):
            turn.enter_context(locks.held("gateways", _LOCK_SECONDS))
        yield


# --- looking --------------------------------------------------------------------------------------


def routing(
    bridge: str,
    ways: Mapping[int, str],
    *,
    ipv6: bool,
    versions: tuple[int, ...],
    noted: Iterable[str] = (),
) -> dict[str, int]:
    """Return the settings that matter to a gateway, by path, as far as there are any.

    :param ways: by version of IP, the device by which the outside is reached
    :param ipv6: whether the bridge has an IPv6 address
    :param versions: of IP, that are forwarded
    :param noted: paths of those that it has set
    """
    paths = list(noted)
    if 4 in versions:
        paths += [f"ipv4/conf/{it}/forwarding" for it in (bridge, ways.get(4, "")) if it]
    if ipv6:
        kinds = ("disable_ipv6", "accept_ra", "forwarding", FORCE)
        paths += [FORWARD_IPV6, f"ipv6/conf/default/{FORCE}"]
        paths += [f"ipv6/conf/{bridge}/{it}" for it in kinds]
    if 6 in versions and ways.get(6):
        paths.append(f"ipv6/conf/{ways[6]}/{FORCE}")
    found = _read(paths)
    if not os.path.exists(f"/proc/sys/net/ipv4/conf/{bridge}"):
        # It begins with what all begin with.
        ours = {path: path.replace(f"/{bridge}/", "/default/") for path in paths}
        anew = _read([it for path, it in ours.items() if path != it])
        found |= {path: anew[it] for path, it in ours.items() if it in anew and path != it}
    if 6 in versions and f"ipv6/conf/default/{FORCE}" not in found and not found.get(FORWARD_IPV6):
        # The whole host becomes a router.
        devices = sorted(os.listdir("/proc/sys/net/ipv6/conf")) if FORWARD_IPV6 in found else []
        pairs = [(it, kind) for it in devices for kind in ("accept_ra", "forwarding")]
        found |= _read([f"ipv6/conf/{device}/{kind}" for device, kind in pairs])
    return found


def _read(paths: list[str]) -> dict[str, int]:
    found = {path: _value(path) for path in paths}
    return {path: value for path, value in found.items() if value is not None}


def _value(path: str) -> int | None:
    try:
        return sysctl.read_at(path)
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise


def forwards(device: str, version: int) -> bool:
    """Tell whether the host forwards what comes in by a device."""
    if version == 4:
        return _value(f"ipv4/conf/{device}/forwarding") != 0
    return _value(FORWARD_IPV6) == 1 or _value(f"ipv6/conf/{device}/{FORCE}") == 1


def is_writable() -> bool:
    """Tell whether anybody can change settings here, which in a container nobody may."""
    return not os.statvfs("/proc/sys/net").f_flag & os.ST_RDONLY


Needed = tuple[list[tuple[str, int]], dict[str, int], tuple[str, ...]]


def _needs(served: Served) -> Needed:
    """Return the settings that a gateway needs, those that there are, and its ways out."""
    wanted = served.gateway
    versions = wanted.versions()
    ways = ways_among({version: addresses.way_out(ipv6=version == 6) for version in versions})
    ipv6 = any(":" in it for it in wanted.addresses)
    noted = [it.path for it in served.settings]
    have = routing(wanted.bridge, ways, ipv6=ipv6, versions=versions, noted=noted)
    return settings_of(wanted, have, ways, served.settings), have, outs_of(wanted, ways)


def _addresses_of(bridge: str) -> tuple[Address, ...]:
    try:
        return addresses.of_device(bridge)
    except OSError as error:
        if error.errno not in _GONE:
            raise
        return ()


# --- doing ----------------------------------------------------------------------------------------

Change = Callable[[Served], Served]
"""Of what the table of a bridge tells, and of nothing, makes what it is to tell."""


def leave(bridge: str, vifs: Iterable[str]) -> Served | None:
    """Let VIFs use a gateway no more; return what it was, None for none.

    :raises OSError: the kernel refused, and it is as it was.
    """
    gone = list(vifs)
    was = tables.read().ours.get(bridge)
    if was is None or not any(map(was.user, gone)):
        return was
    return become(bridge, lambda have: dataclasses.replace(have, users=have.without(gone)))[0]


def become(bridge: str, change: Change) -> tuple[Served | None, bool]:
    """Make a gateway what ``change`` makes of it.

    :returns: what it was, None for none, and whether anything was to be done.

    :param change: returns one without users for none
    :raises OSError: the kernel refused, and it is as it was.
    """
    with alone():
        seen = tables.read()
        former = seen.served.get(bridge)
        try:
            done = _become(seen, bridge, change)
        except OSError as error:
            try:
                _become(tables.read(), bridge, lambda _now: former or Served(bridge))
            except OSError as another:
                words = f"{error.strerror}; what was done before it is left: {another.strerror}"
                raise OSError(error.errno, words) from error
            raise
        return former, done


def _become(seen: Tables, bridge: str, change: Change) -> bool:
    have = seen.served.get(bridge)
    wanted = change(have or Served(bridge))
    if wanted.users and not (have is not None and _is_left(have, wanted)):
        return _serve(seen, wanted, change)
    if have is None:
        return False
    if not wanted.users:
        _shed(seen, bridge, lambda _have: None)
    # Whatever else has become of it is not the business of who leaves.
    elif _written(seen, bridge, lambda now: _still_used(now, bridge, change)) is None:
        _become(tables.read(), bridge, change)
    return True


def _is_left(have: Served, wanted: Served) -> bool:
    """Tell whether some of its users leave, and no more."""
    return set(wanted.users) < set(have.users) and wanted.gateway == have.gateway


def _still_used(seen: Tables, bridge: str, change: Change) -> Mapping[str, Served]:
    after = change(seen.served.get(bridge) or Served(bridge))
    return {bridge: after} if after.users else {}


def _written(
    seen: Tables, bridge: str, change: Callable[[Tables], Mapping[str, Served | None]]
) -> Served | None:
    """Have tables tell what ``change`` makes of what they tell; return what the bridge's does."""
    for attempt in range(_ATTEMPTS):
        changed = change(seen)
        try:
            tables.write(seen, changed)
        except OSError as error:
            if error.errno not in (errno.ERESTART, errno.EEXIST):
                raise
            if attempt == _ATTEMPTS - 1:
                words = f"somebody else changes the tables each time: {error.strerror}"
                raise OSError(errno.ESTALE, words) from error
            seen = tables.read()
        else:
            break
    return changed.get(bridge)


def _serve(seen: Tables, wanted: Served, change: Change) -> bool:
    bridge, have = wanted.bridge, seen.served.get(wanted.bridge)
    todo, now, outs = _needs(wanted)
    there = _addresses_of(bridge)
    missing = [it for it in wanted.addresses if it not in {one.local for one in there}]

    def noted(seen: Tables) -> Mapping[str, Served]:
        have = seen.served.get(bridge) or Served(bridge)
        added = added_to(have, wanted.addresses, there)
        settings = noted_settings(have, todo, now)
        told = dataclasses.replace(change(have), outs=outs, added=added, settings=settings)
        return {bridge: told}

    told = _written(seen, bridge, noted)
    unset = [(path, value) for path, value in todo if now.get(path) != value]
    for path, value in unset:
        sysctl.write_at(path, value)
    for local in missing:
        try:
            addresses.add(bridge, dict(as_mapping(given(local))))
        except OSError as error:
            if error.errno != errno.EACCES:
                raise
            # Whoever makes a bridge turns its IPv6 off, and does so when it gets there.
            words = f"somebody else was faster, and turned it off: {error.strerror}"
            raise OSError(errno.ESTALE, words) from error
    if told is not None and _needed(told) != told:
        _shed(tables.read(), bridge, _needed)
    return bool(unset or missing) or have is None or told != have or not have.whole


def _needed(served: Served) -> Served:
    """Return what a table tells without what is of an earlier description."""
    return dataclasses.replace(
        served,
        added=tuple(it for it in served.added if it in served.addresses),
        settings=tuple(it for it in served.settings if is_needed(served.gateway, it.path)),
    )


def _take_addresses(bridge: str, gone: list[str]) -> None:
    for local in gone:
        try:
            addresses.delete(bridge, dict(as_mapping(given(local))))
        except OSError as error:
            if error.errno not in _GONE:
                raise


def _shed(seen: Tables, bridge: str, left: Callable[[Served], Served | None]) -> None:
    """Give back what a table tells of and is not to tell of any more.

    :param left: of what it tells, makes what it is to tell; None for that it goes
    """

    def given_back(seen: Tables) -> Mapping[str, Served | None]:
        have = seen.ours.get(bridge)
        if have is None:
            return {}
        after = left(have)
        kept = after or Served(bridge)
        gone = [it for it in have.settings if it not in kept.settings]
        heirs = heirs_of(seen.ours, bridge, gone)
        _take_addresses(bridge, [it for it in have.added if it not in kept.added])
        handed = {it.path for heir in heirs.values() for it in heir.settings}
        _give_back(bridge, [it for it in gone if it.path not in handed])
        return {**heirs, bridge: after}

    _written(seen, bridge, given_back)


def _give_back(bridge: str, gone: Iterable[Setting]) -> None:
    """Set what a gateway had set as it was before, unless somebody else has set it since."""
    for it in [it for it in reversed(list(gone)) if _value(it.path) == it.value]:
        if it.was is None:
            continue
        if it.path.endswith("/disable_ipv6") and it.was and _speaks_ipv6(bridge):
            continue  # somebody else has given it an address, which would go
        try:
            sysctl.write_at(it.path, it.was)
        except OSError as error:
            if error.errno not in _GONE:
                raise


def _speaks_ipv6(device: str) -> bool:
    return any(":" in it.local for it in _addresses_of(device))
