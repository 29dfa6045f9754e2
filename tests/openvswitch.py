# SPDX-License-Identifier: Apache-2.0
"""A real Open vSwitch for one test: ovsdb-server and ovs-vswitchd on a private host.

The programs are Debian's, unpacked into ``.cache`` of the checkout (see :mod:`tests.debian`), so
nothing is installed and no service of the machine is started or spoken to. The datapath is the
one in userspace: bridges need ``datapath_type=netdev``.
"""

from __future__ import annotations

import array
import concurrent.futures
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from tests import certificates, debian

DPDK_DAEMON = "usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"
DAEMON = "usr/lib/openvswitch-switch/ovs-vswitchd"

TCP_PORT, SSL_PORT = 6640, 6641
PATIENCE = 30.0
"""Seconds for a daemon to come up on a busy machine; a second is usual."""

DPDK_ARGUMENTS = (
    # Without --legacy-mem Open vSwitch adds --in-memory, which --no-huge does not go with.
    "--no-huge --legacy-mem -m 512 --no-pci --no-shconf --no-telemetry"
)


_SIOCETHTOOL, _ETHTOOL_STXCSUM = 0x8946, 0x17  # linux/sockios.h, linux/ethtool.h


def no_offload(device: str) -> None:
    """Do as ``ethtool -K DEVICE tx off`` does, where the calling thread is.

    A veth leaves checksums to hardware that is not there, and the userspace datapath drops all
    that has none.
    """
    value = array.array("I", [_ETHTOOL_STXCSUM, 0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
        fcntl.ioctl(any_socket, _SIOCETHTOOL, request)


_INITIALISED: dict[Path, bytes] = {}
"""What the database of a switch without bridges holds, by the tree of its programs."""


class Switch:
    """One ovsdb-server and one ovs-vswitchd, in the network namespace of a private host.

    Both end with this object, and with this process, however it ends.

    :ivar folder: holds the database, the sockets and the logs (``server.log``, ``vswitchd.log``)
    :ivar remote: how to reach the database: ``unix:...``
    :ivar tcp: the same for a client on the host, if asked for; '' otherwise
    :ivar ssl: the same; the files of :attr:`certificates` go with it
    :ivar certificates: the certificate authority's folder: ``ca.pem``, and ``NAME.pem`` with
        ``NAME.key`` for ``server``, ``client``, and ``stranger`` of another authority
    """

    def __init__(
        self,
        host: Any,
        *,
        tcp: bool = False,
        ssl: bool = False,
        dpdk: bool = False,
        tree: str = "openvswitch",
    ) -> None:
        """Start both.

        :param host: :class:`tests.conftest.PrivateHost`
        :param tree: whose programs, of :mod:`tests.debian`
        :param tcp: also listen on 127.0.0.1:6640
        :param ssl: also listen on 127.0.0.1:6641, for clients with a certificate
        :param dpdk: with DPDK, for ports of type ``dpdkvhostuser`` and ``dpdkvhostuserclient``
        """
        self._tree = debian.tree("openvswitch-dpdk" if dpdk else tree)
        self._host = host
        # Not pytest's own folder: the path of a unix socket has 107 bytes at most.
        self.folder = Path(tempfile.mkdtemp(prefix="ovs-"))
        self.remote = f"unix:{self.folder}/db.sock"
        self.tcp = f"tcp:127.0.0.1:{TCP_PORT}" if tcp else ""
        self.ssl = f"ssl:127.0.0.1:{SSL_PORT}" if ssl else ""
        self.certificates = self.folder / "certificates"
        self._dpdk = dpdk
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        # The kernel's death signal comes when the *thread* that started the daemon ends; this
        # one lives as long as the switch, whichever thread of a test restarts a daemon.
        self._starter = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        try:
            if ssl:
                certificates.make(self.certificates, self._tree)
            self._make_database()
            self.start_server()
            if dpdk:
                self._configure_dpdk()
            self.start_vswitchd()
        except BaseException:
            self.close()
            raise

    # --- asking ---------------------------------------------------------------------------------

    def vsctl(self, *arguments: str, check: bool = True, timeout: int = 30) -> str:
        """Run ovs-vsctl; see ovs-vsctl(8). It waits for ovs-vswitchd unless told ``--no-wait``.

        :param check: fail the test, with what it said, unless it ends with 0
        :param timeout: seconds
        """
        options = [f"--db={self.remote}", f"--timeout={timeout}"]
        return self._tool("usr/bin/ovs-vsctl", *options, *arguments, check=check)

    def get(self, table: str, record: str, column: str) -> str:
        """Return a column as ovs-vsctl prints it, an optional string without its quotes."""
        return self.vsctl("--if-exists", "get", table, record, column).strip().strip('"')

    def appctl(self, *arguments: str, check: bool = True) -> str:
        """Ask ovs-vswitchd; see ovs-vswitchd(8), "Runtime Management Commands"."""
        options = [f"--target={self._control('vswitchd')}", "--timeout=30"]
        return self._tool("usr/bin/ovs-appctl", *options, *arguments, check=check)

    def ofctl(self, *arguments: str, check: bool = True) -> str:
        """Run ovs-ofctl, which finds the bridges' sockets in :attr:`folder`."""
        return self._tool("usr/bin/ovs-ofctl", "--timeout=30", *arguments, check=check)

    def argv(self, program: str) -> list[str]:
        """Return the start of the command line of another program of the tree, on the host."""
        return [*self._host.argv(), *debian.command(self._tree, program)]

    def environment(self) -> dict[str, str]:
        """Return the environment that keeps Open vSwitch's programs in :attr:`folder`."""
        folders = ("OVS_RUNDIR", "OVS_DBDIR", "OVS_LOGDIR", "OVS_SYSCONFDIR")
        shared = f"{self._tree}/usr/share/openvswitch"
        return {**os.environ, **dict.fromkeys(folders, str(self.folder)), "OVS_PKGDATADIR": shared}

    # --- the daemons ----------------------------------------------------------------------------

    def start_server(self) -> None:
        """Start ovsdb-server, with what its database holds."""
        listen = [f"--remote=p{self.remote}"]
        if self.tcp:
            listen.append(f"--remote=ptcp:{TCP_PORT}:127.0.0.1")
        if self.ssl:
            listen.append(f"--remote=pssl:{SSL_PORT}:127.0.0.1")
            listen.append(f"--private-key={self.certificates}/server.key")
            listen.append(f"--certificate={self.certificates}/server.pem")
            listen.append(f"--ca-cert={self.certificates}/ca.pem")
        (self.folder / "db.sock").unlink(missing_ok=True)
        self._start("server", "usr/sbin/ovsdb-server", *listen, f"{self.folder}/conf.db")
        self._until_it_listens("server")

    def start_vswitchd(self) -> None:
        """Start ovs-vswitchd, and wait until it has read the configuration."""
        Path(self._control("vswitchd")).unlink(missing_ok=True)
        self._start("vswitchd", DPDK_DAEMON if self._dpdk else DAEMON, self.remote)
        started = f"external_ids:started-by-test={self.pid('vswitchd')}"
        self.vsctl("set", "Open_vSwitch", ".", started, timeout=int(PATIENCE))

    def stop_server(self) -> None:
        """End ovsdb-server in good order."""
        self._end("server", signal.SIGTERM)

    def kill_server(self) -> None:
        """End ovsdb-server with SIGKILL."""
        self._end("server", signal.SIGKILL)

    def stop_vswitchd(self) -> None:
        """End ovs-vswitchd in good order."""
        self._end("vswitchd", signal.SIGTERM)

    def kill_vswitchd(self) -> None:
        """End ovs-vswitchd with SIGKILL."""
        self._end("vswitchd", signal.SIGKILL)

    def pause(self, daemon: str = "vswitchd") -> None:
        """Halt a daemon (``vswitchd`` or ``server``) with SIGSTOP: it lives and does nothing."""
        os.kill(self.pid(daemon), signal.SIGSTOP)

    def resume(self, daemon: str = "vswitchd") -> None:
        """Let a halted daemon go on."""
        os.kill(self.pid(daemon), signal.SIGCONT)

    def pid(self, daemon: str) -> int:
        """Return the process id of ``vswitchd`` or ``server``."""
        return self._daemons[daemon].pid

    def log(self, daemon: str = "vswitchd") -> str:
        """Return what a daemon has logged."""
        return (self.folder / f"{daemon}.log").read_text()

    def close(self) -> None:
        """End both and remove what they left."""
        for daemon in ("vswitchd", "server"):
            self._end(daemon, signal.SIGKILL)
        self._starter.shutdown()
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- inside ---------------------------------------------------------------------------------

    def _make_database(self) -> None:
        """Make the one that ovs-vsctl has initialised, once for each tree."""
        database = self.folder / "conf.db"
        if self._tree not in _INITIALISED:
            schema = f"{self._tree}/usr/share/openvswitch/vswitch.ovsschema"
            first = '["Open_vSwitch", {"op": "insert", "table": "Open_vSwitch", "row": {}}]'
            self._tool("usr/bin/ovsdb-tool", "create", str(database), schema)
            self._tool("usr/bin/ovsdb-tool", "transact", str(database), first)
            _INITIALISED[self._tree] = database.read_bytes()
        database.write_bytes(_INITIALISED[self._tree])

    def _tool(self, program: str, *arguments: str, check: bool = True) -> str:
        done = subprocess.run(
            [*self.argv(program), *arguments],
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        said = f"{Path(program).name} {' '.join(arguments)}: {done.stderr}{done.stdout}"
        assert not check or done.returncode == 0, said
        return done.stdout

    def _control(self, daemon: str) -> str:
        return f"{self.folder}/{daemon}.ctl"

    def _start(self, daemon: str, program: str, *arguments: str) -> None:
        assert daemon not in self._daemons, f"{daemon} runs already"
        argv = [
            *self._host.argv("setpriv", "--pdeathsig", "KILL", "--"),
            *debian.command(self._tree, program),
            *("--no-chdir", "--verbose=console:off"),
            f"--pidfile={self.folder}/{daemon}.pid",
            f"--unixctl={self._control(daemon)}",
            f"--log-file={self.folder}/{daemon}.log",
            *arguments,
        ]
        options: dict[str, Any] = {"env": self.environment(), "stdin": subprocess.DEVNULL}
        with (self.folder / f"{daemon}.out").open("ab") as output:
            started = self._starter.submit(
                subprocess.Popen, argv, stdout=output, stderr=output, **options
            )
            self._daemons[daemon] = started.result()

    def _until_it_listens(self, daemon: str) -> None:
        """Wait until it does on each of its sockets, which it opens in no certain order."""
        deadline = time.monotonic() + PATIENCE
        left: list[tuple[socket.AddressFamily, Any]] = [
            (socket.AF_UNIX, f"{self.folder}/db.sock"),
            *[(socket.AF_INET, ("127.0.0.1", TCP_PORT))] * bool(self.tcp),
            *[(socket.AF_INET, ("127.0.0.1", SSL_PORT))] * bool(self.ssl),
        ]
        while True:
            with self._host.enter() if self.tcp or self.ssl else contextlib.nullcontext():
                while left and _listens(*left[0]):
                    del left[0]
            if not left:
                return
            ended = self._daemons[daemon].poll()
            said = (self.folder / f"{daemon}.out").read_text()
            assert ended is None, f"{daemon} ended with {ended}: {said}"
            assert time.monotonic() < deadline, f"{daemon} does not listen: {said}"
            time.sleep(0.005)

    def _end(self, daemon: str, how: signal.Signals) -> None:
        process = self._daemons.pop(daemon, None)
        if process is None:
            return
        process.send_signal(how)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
        if daemon == "server" and "vswitchd" in self._daemons:
            # Until it has another it asks for one without a pause, and would take a processor.
            os.setpriority(os.PRIO_PROCESS, self.pid("vswitchd"), 10)

    def _configure_dpdk(self) -> None:
        # Drivers by name, not by folder: DPDK refuses folders below a world-writable one, and a
        # checkout may well be in /tmp. The ring is what buffers are kept in.
        ring = min(path.name for path in self._tree.glob("usr/lib/*/librte_mempool_ring.so.*"))
        self.vsctl(
            *("--no-wait", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true"),
            f'other_config:dpdk-extra="{DPDK_ARGUMENTS} -d {ring}"',
            *("other_config:dpdk-lcore-mask=0x1", "other_config:pmd-cpu-mask=0x1"),
            "other_config:per-port-memory=true",
            # Microseconds a polling thread may sleep: it would take a whole processor. Renamed in
            # 3.3; what a release does not know it ignores.
            *("other_config:pmd-maxsleep=500", "other_config:pmd-sleep-max=500"),
        )


def _listens(family: socket.AddressFamily, address: Any) -> bool:
    with socket.socket(family) as client:
        return client.connect_ex(address) == 0
