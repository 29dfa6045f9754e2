# SPDX-License-Identifier: Apache-2.0
"""libvirt's daemon and its QEMU guests, of a tree of Debian's packages that is their root.

Nothing is installed and nothing of the machine's is spoken to. The daemon has mounts and process
numbers of its own: its /run, /etc, /var and /tmp are in memory, and all of that, with the guests,
ends with it. Its network is that of the command it is started by.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PATIENCE = 60.0
"""Seconds until libvirt must have answered; it starts QEMU to learn what it can do."""

_DRIVER = "usr/lib/*-linux-gnu*/libvirt/connection-driver/libvirt_driver_qemu.so"
_USERS = ("root", "libvirt-qemu")
_FILES = {
    # libvirt looks these up; nothing runs as them.
    "etc/passwd": "".join(f"{name}:x:{n}:{n}::/:/bin/false\n" for n, name in enumerate(_USERS)),
    "etc/group": "".join(f"{name}:x:{n}:\n" for n, name in enumerate((*_USERS, "kvm"))),
    "etc/libvirt/libvirtd.conf": 'auth_unix_ro = "none"\nauth_unix_rw = "none"\n',
    "etc/libvirt/qemu.conf": """\
user = "+0"
group = "+0"
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
remember_owner = 0
""",
}
_ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/tmp",
    "LIBVIRT_DRIVER_DIR": "/run/drivers",
}
_ROOM = """
set -e
cd "$1"; shift
mkdir -p run etc var tmp dev sys proc
# Where /bin is /usr/bin, that is no package's work but the installer's.
for name in bin sbin lib lib64; do [ -e $name ] || ln -s usr/$name $name; done
for name in run etc var tmp; do mount -t tmpfs tmpfs $name; done
ln -s /run var/run
mount --rbind /dev dev
mount -t proc proc proc
mount -t sysfs sysfs sys
while [ $# -gt 0 ]; do mkdir -p "./$1"; mount --bind "$2" "./$1"; shift 2; done
echo ready
read go
# Not exec: the first process buries the others' children, and the guests are such.
chroot . /usr/sbin/libvirtd </dev/null >tmp/said 2>&1
exit $?
"""
_END = "that was all"


class LibvirtError(Exception):
    """libvirt refuses; the text is what it said."""


class Libvirt:
    """A daemon with the driver for QEMU alone, as virtqemud has it, and a shell of libvirt's.

    :ivar root: what the daemon and the guests see as ``/``, as it is seen from here
    """

    def __init__(
        self,
        tree: Path,
        *,
        within: Sequence[str] = (),
        shared: Mapping[str, Path] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Start both.

        :param tree: root of libvirt's and QEMU's packages
        :param within: start of a command line: on which network, as of ``PrivateHost.argv()``
        :param shared: folders of this machine, by their paths there
        :param patience: seconds until it must have answered
        """
        tree = tree.resolve()
        self._tree = tree
        dying = ("setpriv", "--pdeathsig", "KILL", "--")
        alone = (
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--pid",
            "--fork",
            "--kill-child",
        )
        pairs = [str(end) for pair in (shared or {}).items() for end in pair]
        self._daemon = subprocess.Popen(
            [*within, *dying, *alone, "sh", "-c", _ROOM, "sh", str(tree), *pairs],
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.root = Path(f"/proc/{self._daemon.pid}/root{tree}")
        self._shell: subprocess.Popen[bytes] | None = None
        self._said = b""
        try:
            self._start(patience)
        except BaseException:
            self.close()
            raise

    def _start(self, patience: float) -> None:
        assert self._daemon.stdin is not None
        assert self._daemon.stdout is not None
        if self._daemon.stdout.readline() != b"ready\n":
            raise LibvirtError("the daemon's mounts cannot be made")
        for name, content in _FILES.items():
            self.write(f"/{name}", content)
        [driver] = self._tree.glob(_DRIVER)
        (self.root / "run/drivers").mkdir()
        (self.root / "run/drivers" / driver.name).symlink_to(f"/{driver.relative_to(self._tree)}")
        self._daemon.stdin.write(b"go\n")
        self._daemon.stdin.flush()
        deadline = time.monotonic() + patience
        while not (self.root / "run/libvirt/libvirt-sock").exists():
            if self._daemon.poll() is not None or time.monotonic() >= deadline:
                raise LibvirtError(f"libvirtd does not answer: {self.said()[-2000:]}")
            time.sleep(0.05)
        self._shell = subprocess.Popen(
            self.argv("/usr/bin/virsh", "--connect", "qemu:///system"),
            env=_ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    # --- asking ---------------------------------------------------------------------------------

    def virsh(self, command: str, patience: float = PATIENCE) -> str:
        """Have the shell do a command, and return what it says; see virsh(1).

        :param patience: seconds it may take
        :raises LibvirtError: libvirt refuses, or is not done by then
        """
        self.begin(command)
        return self.end(patience)

    def begin(self, command: str) -> None:
        """Have the shell begin with a command."""
        assert self._shell is not None
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{command}\necho {_END}\n".encode())
        self._shell.stdin.flush()

    def end(self, patience: float = PATIENCE) -> str:
        """Return what the shell has said of its command by the end of it.

        :raises LibvirtError: libvirt refuses, or is not done after so many seconds
        """
        assert self._shell is not None
        assert self._shell.stdout is not None
        deadline = time.monotonic() + patience
        # The prompt and what was typed may stand before it.
        while _END not in (lines := self._said.decode().splitlines()):
            left = deadline - time.monotonic()
            if not select.select([self._shell.stdout], [], [], max(left, 0))[0]:
                raise LibvirtError(f"not done after {patience:g} s: {self._said.decode()}")
            if not (more := os.read(self._shell.stdout.fileno(), 65536)):
                raise LibvirtError(f"virsh ended: {self._said.decode()}")
            self._said += more
        said, self._said = self._said.decode(), b""
        if any(line.startswith("error:") for line in lines):
            raise LibvirtError(said)
        return said

    def argv(self, *command: str) -> list[str]:
        """Return the command line of a program of the tree, which sees what the daemon sees."""
        there = ("nsenter", f"--mount=/proc/{self._daemon.pid}/ns/mnt", "--wd=/", "--")
        return ["setpriv", "--pdeathsig", "KILL", "--", *there, "chroot", str(self._tree), *command]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run such a program to its end."""
        return subprocess.run(
            self.argv(*command),
            env=_ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    def write(self, path: str, content: str) -> None:
        """Write a file of the daemon's world; ``path`` is absolute there."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def said(self) -> str:
        """Return what the daemon has said so far."""
        file = self.root / "tmp/said"
        return file.read_text(errors="replace") if file.exists() else ""

    # --- guests ---------------------------------------------------------------------------------

    def is_valid(self, domain: str) -> bool:
        """Tell whether libvirt's schema lets a domain's XML pass."""
        self.write("/tmp/valid.xml", domain)
        schema = "/usr/share/libvirt/schemas/domain.rng"
        said = self.run("/usr/bin/xmllint", "--noout", "--relaxng", schema, "/tmp/valid.xml")
        if said.returncode not in (0, 3):
            raise LibvirtError(said.stderr)
        return said.returncode == 0

    def begin_start(self, domain: str) -> None:
        """Begin to start a guest, which stops at its first instruction; :meth:`end` waits."""
        self.write("/tmp/guest.xml", domain)
        self.begin("create /tmp/guest.xml --paused")

    @contextlib.contextmanager
    def started(self, domain: str) -> Iterator[None]:
        """Have a guest, called ``guest``, that stops at its first instruction.

        :raises LibvirtError: it does not start
        """
        self.begin_start(domain)
        self.end()
        try:
            yield
        finally:
            self.virsh("destroy guest")

    def shown(self) -> str:
        """Return the domain's XML, as libvirt has it now."""
        said = self.virsh("dumpxml guest")
        return said[said.index("<domain") : said.index("</domain>")] + "</domain>"

    def process(self) -> Path:
        """Return the folder in /proc of the guest's QEMU."""
        number = (self.root / "run/libvirt/qemu/guest.pid").read_text().strip()
        return self.root / "proc" / number

    def arguments(self) -> list[str]:
        """Return the command line of the guest's QEMU, as the kernel has it."""
        line = (self.process() / "cmdline").read_bytes()
        return [os.fsdecode(word) for word in line.split(b"\0")[:-1]]

    def close(self) -> None:
        """End the daemon, and with it its guests."""
        for process in (self._shell, self._daemon):
            if process is not None:
                process.kill()
                process.communicate()
