# SPDX-License-Identifier: Apache-2.0
"""A real router for a test: radvd (RFC 4861) on the far end of a host's uplink.

The program is Debian's, unpacked into ``.cache`` of the checkout (see :mod:`tests.debian`).
"""

from __future__ import annotations

import concurrent.futures
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import debian
from tests.conftest import PrivateHost

DAEMON = "usr/sbin/radvd"
PREFIX = "2001:db8:9::/64"
ADDRESS = "2001:db8:9::1"
BEHIND = "2001:db8:f::/48"
BEYOND = "2001:db8:f::1"
"""An address behind the router: by its default route, or by the one to :data:`BEHIND`."""

_CONFIGURATION = """
interface wire0 {{
    AdvSendAdvert on; MinRtrAdvInterval 3; MaxRtrAdvInterval 4; AdvDefaultLifetime {route};
    prefix {prefix} {{ AdvValidLifetime {valid}; AdvPreferredLifetime {preferred}; }};
    route {behind} {{ AdvRouteLifetime {route}; }};
}};
"""


class Router:
    """A router on a host of its own, and a wire to the device ``eth0`` of another.

    :param host: the other.
    :param before: called before the device is up.
    :param route, valid, preferred: seconds that it promises for itself and for its prefix.
    """

    def __init__(
        self,
        host: PrivateHost,
        *,
        before: Callable[[], object] = lambda: None,
        route: int = 15,
        valid: int = 40,
        preferred: int = 30,
    ) -> None:
        self._tree = debian.tree("radvd")
        self.host = PrivateHost()
        self._folder = tempfile.TemporaryDirectory(prefix="radvd-")
        self._file = Path(self._folder.name, "radvd.conf")
        lives = {"route": route, "valid": valid, "preferred": preferred}
        self._file.write_text(_CONFIGURATION.format(prefix=PREFIX, behind=BEHIND, **lives))
        self._daemon: subprocess.Popen[bytes] | None = None
        # The kernel's death signal comes when the thread that started the daemon ends.
        self._starter = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self.host.run("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "eth0")
        self.host.run("ip", "link", "set", "eth0", "netns", str(host.pid))
        self.host.run("sysctl", "-qw", "net.ipv6.conf.all.forwarding=1")
        self.host.run("ip", "addr", "add", f"{ADDRESS}/64", "dev", "wire0", "nodad")
        self.host.run("ip", "addr", "add", f"{BEYOND}/128", "dev", "lo")
        # It speaks at once, and not when nobody has answered for its address.
        self.host.run("sysctl", "-qw", "net.ipv6.conf.wire0.accept_dad=0")
        self.host.run("ip", "link", "set", "wire0", "up")
        before()
        host.run("ip", "link", "set", "eth0", "up")
        self._until_it_can_speak()
        self.start()

    def _until_it_can_speak(self) -> None:
        """Wait for the address to speak from: the first words would be lost, the next come late."""
        deadline = time.monotonic() + 30
        show = ("ip", "-6", "-oneline", "addr", "show", "dev", "wire0", "scope", "link")
        while not (said := self.host.run(*show, "-tentative").stdout):
            assert time.monotonic() < deadline, self.host.run(*show).stdout
            time.sleep(0.01)
        assert "fe80::" in said

    def start(self) -> None:
        command = debian.command(self._tree, DAEMON)
        options = ["-C", str(self._file), "-p", f"{self._folder.name}/pid", "-m", "stderr"]
        argv = self.host.argv("setpriv", "--pdeathsig", "KILL", "--", *command)
        with Path(self._folder.name, "log").open("ab") as log:
            self._daemon = self._starter.submit(
                subprocess.Popen, [*argv, "-n", "-u", "root", *options], stderr=log
            ).result()

    def advertise(self) -> None:
        """Say all now that would be said within four seconds."""
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """Take the router away, without a word to the hosts."""
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGKILL)
            self._daemon.wait()
            self._daemon = None

    def close(self) -> None:
        self.stop()
        self._starter.shutdown()
        self.host.close()
        self._folder.cleanup()
