# SPDX-License-Identifier: Apache-2.0
"""A real OVN: its two databases and ovn-northd, and on each chassis ovn-controller.

The programs are Debian's (see :mod:`tests.debian`).  What they say to each other goes over unix
sockets, which need no network between the hosts; tunnels between chassis do.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import debian
from tests.openvswitch import PATIENCE, Switch

NORTHBOUND, SOUTHBOUND = "nb", "sb"


class Daemons:
    """Programs of OVN and Open vSwitch that end with this object, and with this process.

    :param tree: whose, of :mod:`tests.debian`
    """

    def __init__(self, tree: str = "ovn") -> None:
        self.tree = debian.tree(tree)
        self.folder = Path(tempfile.mkdtemp(prefix="ovn-"))
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        # The death signal comes when the thread that started a program ends.
        self._starter = concurrent.futures.ThreadPoolExecutor(max_workers=1)

    def start(
        self, name: str, program: str, *arguments: str, host: list[str] | None = None
    ) -> None:
        """Start a program that stays.

        :param host: the start of a command line that leads to its host
        """
        argv = [
            *(host or []),
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *debian.command(self.tree, program),
            *("--no-chdir", "--verbose=console:off", f"--log-file={self.folder}/{name}.log"),
            f"--pidfile={self.folder}/{name}.pid",
            *arguments,
        ]
        with (self.folder / f"{name}.out").open("ab") as output:
            self._running[name] = self._starter.submit(
                subprocess.Popen,
                argv,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            ).result()

    def end(self, name: str, how: signal.Signals = signal.SIGKILL) -> None:
        """End a program, if it runs."""
        process = self._running.pop(name, None)
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a program that runs."""
        self._running[name].send_signal(number)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program to its end, and return what it printed."""
        done = subprocess.run(
            [*debian.command(self.tree, program), *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}"
        return done.stdout

    def close(self) -> None:
        """End all and remove what they left."""
        for name in list(self._running)[::-1]:
            self.end(name)
        self._starter.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        folders = ("OVS_RUNDIR", "OVS_LOGDIR", "OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR")
        return {**os.environ, **dict.fromkeys(folders, str(self.folder))}


class Server(Daemons):
    """The Northbound database alone: nobody follows it.

    :ivar northbound: how to reach it: ``unix:...``.
    """

    def __init__(self, *options: str, tree: str = "ovn", host: list[str] | None = None) -> None:
        """Make the database and start its server.

        :param options: more of ovsdb-server's
        :param host: as :meth:`start` has it
        :param tree: of :mod:`tests.debian`
        """
        super().__init__(tree)
        self.northbound = f"unix:{self.folder}/{NORTHBOUND}.sock"
        try:
            self.create(NORTHBOUND)
            self.start_server(NORTHBOUND, *options, host=host)
        except BaseException:
            self.close()
            raise

    def create(self, name: str) -> None:
        """Make a database, :data:`NORTHBOUND` or :data:`SOUTHBOUND`."""
        schema = f"{self.tree}/usr/share/ovn/ovn-{name}.ovsschema"
        self.run("usr/bin/ovsdb-tool", "create", f"{self.folder}/{name}.db", schema)

    def start_server(self, name: str, *options: str, host: list[str] | None = None) -> None:
        """Start the server of a database."""
        (self.folder / f"{name}.sock").unlink(missing_ok=True)
        self.start(
            name,
            "usr/sbin/ovsdb-server",
            f"--unixctl={self.folder}/{name}.ctl",
            f"--remote=punix:{self.folder}/{name}.sock",
            *options,
            f"{self.folder}/{name}.db",
            host=host,
        )
        deadline = time.monotonic() + PATIENCE
        while not _listens(self.folder / f"{name}.sock"):
            assert time.monotonic() < deadline, (self.folder / f"{name}.out").read_text()
            time.sleep(0.01)

    def nbctl(self, *arguments: str) -> str:
        """Run ovn-nbctl; see ovn-nbctl(8)."""
        options = (f"--db={self.northbound}", "--timeout=30", "--no-leader-only")
        return self.run("usr/bin/ovn-nbctl", *options, *arguments)


class Cluster(Daemons):
    """The Northbound database on three servers (ovsdb(7), "Clustered Database Service Model").

    :ivar remotes: how to reach each, in the order of :data:`MEMBERS`.
    """

    MEMBERS = ("one", "two", "three")

    def __init__(self) -> None:
        super().__init__()
        self.remotes = [f"unix:{self.folder}/{name}.sock" for name in self.MEMBERS]
        schema = f"{self.tree}/usr/share/ovn/ovn-{NORTHBOUND}.ovsschema"
        first, *others = self.MEMBERS
        try:
            self._tool("create-cluster", self._file(first), schema, self._address(first))
            self.start_member(first)
            for name in others:
                addresses = (self._address(name), self._address(first))
                self._tool("join-cluster", self._file(name), "OVN_Northbound", *addresses)
                self.start_member(name)
            for name in self.MEMBERS:
                self.until_member(name)
        except BaseException:
            self.close()
            raise

    def _file(self, name: str) -> str:
        return f"{self.folder}/{name}.db"

    def _address(self, name: str) -> str:
        return f"unix:{self.folder}/{name}.raft"

    def _tool(self, *arguments: str) -> None:
        self.run("usr/bin/ovsdb-tool", *arguments)

    def start_member(self, name: str) -> None:
        """Start a server, which joins the others by itself."""
        for kind in ("sock", "raft", "ctl"):
            (self.folder / f"{name}.{kind}").unlink(missing_ok=True)
        self.start(
            name,
            "usr/sbin/ovsdb-server",
            f"--unixctl={self.folder}/{name}.ctl",
            f"--remote=punix:{self.folder}/{name}.sock",
            self._file(name),
        )

    def role(self, name: str) -> str:
        """Return ``leader``, ``follower`` or ``candidate``; '' for one that does not answer."""
        try:
            said = self.run(
                "usr/bin/ovn-appctl",
                *("-t", f"{self.folder}/{name}.ctl", "--timeout=5"),
                *("cluster/status", "OVN_Northbound"),
            )
        except AssertionError:
            return ""
        status = dict(line.split(": ", 1) for line in said.splitlines() if ": " in line)
        return status.get("Role", "") if status.get("Status") == "cluster member" else ""

    def until_member(self, name: str) -> None:
        """Wait until a server has joined, and knows a leader."""
        self._until(lambda: self.role(name) in ("leader", "follower"), name)

    def leader(self) -> str:
        """Return who leads, once somebody does."""
        found: list[str] = []

        def is_found() -> bool:
            found[:] = [name for name in self.MEMBERS if self.role(name) == "leader"]
            return bool(found)

        self._until(is_found, "leader")
        return found[0]

    def _until(self, is_so: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)


class Centre(Server):
    """The Northbound and the Southbound database, and ovn-northd between them.

    :ivar southbound: how to reach the second.
    """

    def __init__(self, tree: str = "ovn") -> None:
        super().__init__(tree=tree)
        self.southbound = f"unix:{self.folder}/{SOUTHBOUND}.sock"
        try:
            self.create(SOUTHBOUND)
            self.start_server(SOUTHBOUND)
            self.start_northd()
            self.nbctl("--wait=sb", "init")
        except BaseException:
            self.close()
            raise

    def start_northd(self) -> None:
        """Start ovn-northd."""
        self.start(
            "northd",
            "usr/bin/ovn-northd",
            f"--unixctl={self.folder}/northd.ctl",
            f"--ovnnb-db={self.northbound}",
            f"--ovnsb-db={self.southbound}",
        )

    def sbctl(self, *arguments: str) -> str:
        """Run ovn-sbctl; see ovn-sbctl(8)."""
        options = (f"--db={self.southbound}", "--timeout=30", "--no-leader-only")
        return self.run("usr/bin/ovn-sbctl", *options, *arguments)

    def add_port(self, switch: str, port: str, *addresses: str) -> None:
        """Make a logical port, and its switch where there is none."""
        self.nbctl(
            *("--wait=sb", "--may-exist", "ls-add", switch),
            *("--", "lsp-add", switch, port),
            *("--", "lsp-set-addresses", port, " ".join(addresses) or "unknown"),
        )


class Chassis(Daemons):
    """ovn-controller beside a switch, with the bridge ``br-int``."""

    def __init__(
        self,
        centre: Centre,
        host: Any,
        switch: Switch,
        name: str,
        address: str = "127.0.0.1",
        *,
        tree: str = "ovn",
        **told: str,
    ) -> None:
        """Configure the switch and start ovn-controller.

        :param host: :class:`tests.conftest.PrivateHost`, that of the switch
        :param name: its system-id
        :param address: of this host, where tunnels end
        :param told: more of Open_vSwitch.external_ids, with ``_`` for ``-``
        """
        super().__init__(tree)
        self.name = name
        self.switch = switch
        self._host = host
        external_ids = {
            "system-id": name,
            "hostname": f"{name}.example",
            "ovn-remote": centre.southbound,
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": address,
            "ovn-monitor-all": "true",
            **{key.replace("_", "-"): value for key, value in told.items()},
        }
        settings = (f'external_ids:{key}="{value}"' for key, value in external_ids.items())
        switch.vsctl("set", "Open_vSwitch", ".", *settings)
        switch.vsctl(
            *("--may-exist", "add-br", "br-int", "--", "set", "Bridge", "br-int"),
            *("datapath_type=netdev", "fail-mode=secure"),
        )
        self.start_controller()

    def start_controller(self) -> None:
        """Start ovn-controller."""
        # It knows no --unixctl, and looks for the bridges' sockets where Open vSwitch has them.
        self.start(
            "controller", "usr/bin/ovn-controller", self.switch.remote, host=self._host.argv()
        )

    def tell(self, **told: str | None) -> None:
        """Set keys of Open_vSwitch.external_ids, with ``_`` for ``-``; None takes one away."""
        for key, value in told.items():
            name = key.replace("_", "-")
            self.switch.vsctl("remove", "Open_vSwitch", ".", "external_ids", name)
            if value is not None:
                self.switch.vsctl("set", "Open_vSwitch", ".", f'external_ids:{name}="{value}"')

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "OVS_RUNDIR": str(self.switch.folder)}


def until(centre: Centre, table: str, where: str, column: str, wanted: str) -> None:
    """Wait until a column of a row of the Southbound database is so.

    :param where: as ``ovn-sbctl find`` takes it
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        said = json.loads(
            centre.sbctl("--format=json", f"--columns={column}", "find", table, where)
        )
        found = [row[0] for row in said["data"]]
        if str(found[0] if found else "") == wanted:
            return
        assert time.monotonic() < deadline, f"{table} {where}: {column} is {found}"
        time.sleep(0.02)


def _listens(path: Path) -> bool:
    """Tell whether somebody can connect: a server binds its socket first, and listens then."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0
