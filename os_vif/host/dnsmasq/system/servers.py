# SPDX-License-Identifier: Apache-2.0
"""The servers on bridges: looked at, started, ended, and told what is reserved.

Which process is a server's is noted, when it starts, in a folder that root alone may change: its
number, and the kernel's time of its start, which no other one of that number can have.  Until it is
let go, which is noted too, it goes with its starter; so there are never two.

Sources: dnsmasq(8), measured with 2.90: a file that comes into ``dhcp-hostsdir``, or is changed, is
read at once (inotify); what one reserved that was removed stays, until SIGHUP; DHCP is bound to the
bridge's interface index, so a bridge of the same name made anew is served no more.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import grp
import hashlib
import os
import pwd
import shlex
import shutil
import signal
import time
from typing import Any

from oslo_config import cfg

from os_vif.engine import fields
from os_vif.host.dnsmasq import options
from os_vif.host.dnsmasq.questions import Reserved, Server, Taken, plain, subnet_of
from os_vif.host.dnsmasq.resources import Dnsmasq
from os_vif.host.dnsmasq.rules import is_in_the_way, said
from os_vif.host.dnsmasq.steps import served_by
from os_vif.host.dnsmasq.system import folders, releasing, sockets, written
from os_vif.host.dnsmasq.system.written import Place
from os_vif.system import locks, netlink, processes
from os_vif.system.detached import Detached

PACKAGE = "dnsmasq-base"
"""Debian's package of the program."""

_USERS = ("dnsmasq", "nobody")
"""Who it becomes, the first that there is."""
_START_S, _END_S, _KILL_S = 10.0, 2.0, 3.0
_WAIT_S = _START_S + _END_S + _KILL_S
_PAUSE_S = 0.01
_READY = "started, version"
_MORE_PLACES = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where programs of root's are, which another user's PATH may not name."""


# --- how it is run --------------------------------------------------------------------------------


def _command() -> list[str]:
    """Return the command of the program.

    :raises OSError: EINVAL, ENOSYS: there is none, in words.
    """
    option = cfg.CONF[options.GROUP].command
    try:
        words = shlex.split(option)
    except ValueError:
        words = []
    if not words:
        where = f"[{options.GROUP}] command"
        raise OSError(errno.EINVAL, f"{where} is {option!r}, and has to be a command")
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), _MORE_PLACES])
    program = shutil.which(words[0], path=places)
    if program is None:
        words_ = f"there is no command {words[0]} on this host; install the package {PACKAGE}"
        raise OSError(errno.ENOSYS, words_)
    return [program, *words[1:]]


def _place(bridge: str) -> Place:
    """Return where a server of this bridge runs, and as whom: as root only where nobody else is."""
    for name in _USERS:
        try:
            user = pwd.getpwnam(name)
            group = grp.getgrgid(user.pw_gid).gr_name
        except KeyError:
            continue
        if _is_mapped("uid", user.pw_uid) and _is_mapped("gid", user.pw_gid):
            return Place(folders.path(bridge), name, group)
    return Place(folders.path(bridge), "root", "")


def _is_mapped(kind: str, number: int) -> bool:
    """Tell whether a user or group is one here: a user namespace may have root alone."""
    with open(f"/proc/self/{kind}_map") as lines:
        ranges = [tuple(map(int, line.split())) for line in lines]
    return any(first <= number < first + count for first, _outside, count in ranges)


def _group(place: Place) -> int:
    return grp.getgrnam(place.group).gr_gid if place.group else -1


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _pid_namespace() -> int:
    return os.stat("/proc/self/ns/pid").st_ino


# --- looking --------------------------------------------------------------------------------------


def look(bridge: str) -> dict[str, Any]:
    """Return what there is of the server on a bridge, in the fields of a Server.

    :raises OSError: not allowed to look; ESRCH: its process cannot be seen from here.
    """
    told = dataclasses.asdict(Server())
    record, taken = _process_of(bridge)
    with folders.found(bridge) as folder:
        if folder is not None:
            reserved = folders.reserved(folder)
            told["reserved"] = {
                vif: [it.mark, it.mac, list(it.addresses), it.name] for vif, it in reserved.items()
            }
            leases = written.leases(folders.read(folder, written.LEASES))
            told["leases"] = [[it.mac, it.address] for it in leases]
    told["taken"] = [[it.port, it.address, it.process] for it in taken]
    if record:
        told |= {key: record[key] for key in ("subnets", "mtu", "forwards", "index")}
        told["running"] = _runs(record)
        text = written.configuration(served_by(record), _place(bridge))
        told["outdated"] = record["text"] != _digest(text)
    try:
        _command()
    except OSError as error:
        told["unusable"] = error.strerror or str(error)
    return told


def _process_of(bridge: str) -> tuple[dict[str, Any], list[Taken]]:
    """Return what is noted of a server's process, and while none runs what is in its place.

    One that is just being started, by whomever, is given time for it, and one that ends: it may
    have sockets for a while that are in no process any more.
    """
    began = time.monotonic()
    while True:
        with folders.found(bridge) as folder:
            record = {} if folder is None else _record(bridge, folder)
        if _runs(record):
            return record, []
        # One that nobody can tell about yet is in nobody's way: it is ended by who starts another.
        doubtful = record["pid"] if _is_alive(record) else -1
        found = [it for it in sockets.taken(_index_of(bridge)) if it[2] != doubtful]
        patience = max((_patience(pid, bridge) for _port, _address, pid in found), default=0.0)
        if doubtful > 0:
            patience = max(patience, _END_S)
        if time.monotonic() - began >= patience:
            return record, [
                Taken(port, address, processes.called(pid) if pid else "")
                for port, address, pid in found
            ]
        time.sleep(_PAUSE_S)


def _patience(pid: int, bridge: str) -> float:
    """Return for how many seconds what has a port may be none of somebody else's.

    :param pid: whose it is; 0 for nobody who can be seen
    """
    try:
        words = processes.words(pid) if pid else [b""]
    except OSError:
        words = [b""]
    if words == [b""]:  # it has just ended
        return _END_S
    its = processes.state(pid)
    is_young = its is not None and processes.age(its) < _START_S
    return _START_S if is_young and os.fsencode(_file_option(bridge)) in words else 0.0


def _file_option(bridge: str) -> str:
    return f"--conf-file={folders.configuration(bridge)}"


_RECORD = {
    "bridge": fields.NAME,
    "pid": fields.number(1, 1 << 30),
    "started": fields.number(1, 1 << 62),
    "pid_namespace": fields.number(0, 1 << 62),
    "index": fields.number(0, 1 << 31),
    "settled": fields.FLAG,
    "text": lambda value: fields.is_text(value, 64),
    "mtu": fields.number(0, 1 << 16),
    "forwards": fields.FLAG,
    "subnets": lambda value: isinstance(value, list),
}


def _record(bridge: str, folder: int) -> dict[str, Any]:
    """Return what is noted of a server's process, and of which bridge it is.

    Nothing where that is not as we write it.
    """
    told = {**folders.record(folder), "bridge": bridge}
    return told if fields.is_record(_RECORD)(told) and fields.holds(served_by)(told) else {}


def _runs(record: dict[str, Any]) -> bool:
    """Tell whether the process that is noted runs, and goes on whatever becomes of its starter."""
    return _is_alive(record) and record["settled"] is True


def _is_alive(record: dict[str, Any]) -> bool:
    """Tell whether the process that is noted is there: that number, started at that time.

    :raises OSError: ESRCH: the number is of another PID namespace, and somebody serves.
    """
    if not record:
        return False
    if record["pid_namespace"] != _pid_namespace():
        # A container that was started anew took it along; sockets are seen from everywhere.
        if not _is_served(record):
            return False
        raise OSError(errno.ESRCH, "its dnsmasq was started in another PID namespace")
    started: int = record["started"]
    return processes.started(record["pid"]) == started


def _is_served(record: dict[str, Any]) -> bool:
    """Tell whether somebody has a port that the server needs of which this is noted."""
    subnets = tuple(map(subnet_of, record["subnets"]))
    return any(
        is_in_the_way(Taken(port, address, ""), subnets)
        for port, address, _pid in sockets.taken(record["index"])
    )


def _index_of(bridge: str) -> int:
    try:
        return netlink.index_of(bridge)
    except OSError:
        return 0


# --- starting and ending --------------------------------------------------------------------------


def start(wanted: Dnsmasq) -> bool:
    """Have a server serve this; tell whether it took anything.

    Leases, and what is reserved, outlast another start.

    :raises OSError: it does not come up, in its own words; one that served before does so again.
    """
    command, place = _command(), _place(wanted.bridge)
    text = written.configuration(wanted, place)
    with _locked(wanted.bridge):
        index = netlink.index_of(wanted.bridge)
        with folders.made(wanted.bridge) as folder:
            former = _record(wanted.bridge, folder)
            runs = _runs(former)
            if runs and (former["text"], former["index"]) == (_digest(text), index):
                return False
            _end(former)
            try:
                _need_ports(wanted)
                _run(command, folder, wanted, place)
            except BaseException:
                if runs:
                    with contextlib.suppress(OSError):
                        _run(command, folder, served_by(former), place)
                elif not former and not folders.reserved(folder):
                    folders.remove(wanted.bridge)
                raise
    return True


def _locked(bridge: str) -> Any:
    return locks.held(f"dnsmasq {bridge}", _WAIT_S)


def _need_ports(wanted: Dnsmasq) -> None:
    """See that a server can have its ports; raises OSError: somebody else has one."""
    # One whose starter was killed ends with it, but may take a port before it does.
    processes.until(lambda: not _left_of(wanted.bridge), _END_S)
    _record_of, taken = _process_of(wanted.bridge)
    for other in taken:
        if is_in_the_way(other, wanted.subnets):
            where = f"port {other.port} on {wanted.bridge}"
            raise OSError(errno.EADDRINUSE, f"{where} is taken: {said(other)}")


def _left_of(bridge: str) -> list[int]:
    """Return the processes that were started for a bridge; while one starts, there is none."""
    option = os.fsencode(_file_option(bridge))
    found = []
    for pid in processes.ids():
        with contextlib.suppress(OSError):
            if option in processes.words(pid):
                found.append(pid)
    return found


def _run(command: list[str], folder: int, wanted: Dnsmasq, place: Place) -> None:
    text = written.configuration(wanted, place)
    index = netlink.index_of(wanted.bridge)
    folders.configure(folder, text)
    with folders.hosts(folder, _group(place)):
        pass  # it is watched from the first moment on
    argv = [*command, _file_option(wanted.bridge)]
    environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
    with Detached(argv, environment) as started:
        try:
            _until_it_serves(started)
            noted: dict[str, Any] = {
                "pid": started.pid,
                "started": processes.started(started.pid),
                "pid_namespace": _pid_namespace(),
                "index": index,
                "settled": False,
                "text": _digest(text),
                "mtu": wanted.mtu,
                "forwards": wanted.forwards,
                "subnets": [plain(it) for it in wanted.subnets],
            }
            folders.note(folder, noted)
            started.let_go()
        except BaseException:
            started.kill()
            raise
    # Until here it might go with who started it, and nobody could tell.
    folders.note(folder, {**noted, "settled": True})


def _until_it_serves(started: Detached) -> None:
    deadline = time.monotonic() + _START_S
    while not any(_READY in line for line in started.said()):
        if started.has_ended(_PAUSE_S):
            words = written.last_words(started.said())
            raise OSError(errno.EIO, f"dnsmasq ended: {words}")
        if time.monotonic() > deadline:
            words = written.last_words(started.said())
            raise OSError(errno.ETIMEDOUT, f"dnsmasq does not start in {_START_S:g} s: {words}")


def _end(record: dict[str, Any]) -> None:
    """End a server's process, if there is one; raises OSError: it does not end."""
    if not _is_alive(record):
        return
    with processes.held(record["pid"], lambda: _is_alive(record)) as process:
        if process is None:
            return
        for number, seconds in ((signal.SIGTERM, _END_S), (signal.SIGKILL, _KILL_S)):
            processes.tell(process, number)
            if processes.until(lambda: processes.has_ended(process), seconds):
                return
    raise OSError(errno.ETIMEDOUT, f"dnsmasq (pid {record['pid']}) does not end")


def stop(bridge: str) -> bool:
    """End the server on a bridge, and remove all it has, unless a VIF has something reserved.

    :returns: whether there was anything
    :raises OSError: it does not end.
    """
    with _locked(bridge), folders.found(bridge) as folder:
        if folder is None or folders.reserved(folder):
            return False
        _end(_record(bridge, folder))
        folders.remove(bridge)
    return True


# --- what is reserved -----------------------------------------------------------------------------


def reserve(bridge: str, vif: str, wanted: Reserved | None) -> Reserved | None:
    """Reserve something for a VIF, or nothing any more; return what was.

    :raises OSError: it cannot be written.
    """
    with _locked(bridge):
        if wanted is None:
            with folders.found(bridge) as folder:
                return None if folder is None else _forget(bridge, folder, vif)
        with folders.made(bridge) as folder:
            former = folders.reserved(folder, vif).get(vif)
            if former != wanted:
                group = _group(_place(bridge))
                with folders.hosts(folder, group) as hosts:
                    text = written.reservation(wanted)
                    folders.write(folder, vif, text, into=hosts, group=group)
            return former


def _forget(bridge: str, folder: int, vif: str) -> Reserved | None:
    former = folders.reserved(folder, vif).get(vif)
    if former is None:
        return None
    record = _record(bridge, folder)
    # First what its guest has: who is killed in between begins anew.
    _give_back(bridge, folder, former, is_running=_runs(record))
    with folders.hosts(folder, _group(_place(bridge))) as hosts:
        os.unlink(vif, dir_fd=hosts)
    if record:
        with processes.held(record["pid"], lambda: _runs(record)) as process:
            if process is not None:
                processes.tell(process, signal.SIGHUP)
    return former


def _give_back(bridge: str, folder: int, former: Reserved, *, is_running: bool) -> None:
    """Take back the addresses that a guest has, so that another one can get them."""
    text = folders.read(folder, written.LEASES)
    held = [
        it for it in written.leases(text) if former.mac == it.mac or it.address in former.addresses
    ]
    if is_running:
        releasing.release(bridge, held, written.server_duid(text))
    elif held:
        folders.write(folder, written.LEASES, written.without(text, held))
