# SPDX-License-Identifier: Apache-2.0
"""libvirt's own macvtaps: a network card hot-plugged into a guest by ``virsh attach-device``.

The daemon and its guest see an unpacked tree of Debian's packages as their root, with a /run, an
/etc and a /var of their own in memory.  ``ip netns exec`` has given this process mounts of its
own, so all of that ends with it.  ``virsh`` is one long-lived process: no time is lost with
starting it or with connecting.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from benchmarks.drivers import Driver
from benchmarks.port import CARD, Port

PATIENCE = 60.0
"""Seconds until libvirt must answer first; it starts QEMU to learn what it can do."""

_MODULES = "usr/lib/*-linux-gnu*/libvirt/connection-driver/libvirt_driver_qemu.so"
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
    # Stopped at its first instruction.  On a USB bus, for there QEMU lets go of a device by itself;
    # on PCI it asks the guest first.
    "tmp/guest.xml": """\
<domain type='qemu'>
  <name>bench</name>
  <memory unit='MiB'>32</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='qemu-xhci'/>
    <memballoon model='none'/>
  </devices>
</domain>
""",
}
_SOURCES = {
    "macvtap": f"<interface type='direct'><source dev='{CARD}' mode='bridge'/>",
    "none": "<interface type='user'>",
}
_END = "benchmark"


def _mount(root: Path) -> None:
    for name in ("run", "etc", "var", "tmp", "dev", "sys", "proc"):
        (root / name).mkdir(exist_ok=True)
    for name in ("run", "etc", "var", "tmp"):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", root / name], check=True)
    for name in ("dev", "sys"):
        subprocess.run(["mount", "--rbind", f"/{name}", root / name], check=True)
    (root / "var/run").symlink_to("/run")
    for name, content in _FILES.items():
        file = root / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(content)
    # The driver for QEMU alone, as in virtqemud.
    [module] = root.glob(_MODULES)
    (root / "run/drivers").mkdir()
    (root / "run/drivers" / module.name).symlink_to(f"/{module.relative_to(root)}")


class Libvirt(Driver):
    """A daemon, a guest that does not run, and a shell of libvirt's."""

    def __init__(self, root: Path, device: str) -> None:
        self._root = root
        self._source = _SOURCES[device]
        _mount(root)
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LC_ALL": "C",
            "LIBVIRT_DRIVER_DIR": "/run/drivers",
        }
        dying = ("setpriv", "--pdeathsig", "KILL", "--")
        # Process numbers of its own: the guest, which libvirt starts as a daemon, ends with the
        # first of them, which must be one that buries others' children.
        alone = ("unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={root}/proc")
        shell = ("sh", "-c", '"$@"; exit $?', "sh")
        with open(root / "tmp/said", "wb") as said:
            self._daemon = subprocess.Popen(
                [*dying, *alone, *shell, "chroot", str(root), "/usr/sbin/libvirtd"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        self._wait_ready()
        self._shell = subprocess.Popen(
            [*dying, "chroot", str(root), "/usr/bin/virsh", "--connect", "qemu:///system"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._requests = cast("IO[str]", self._shell.stdin)
        self._answers = cast("IO[str]", self._shell.stdout)
        self._do("create /tmp/guest.xml --paused")

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while not (self._root / "run/libvirt/libvirt-sock").exists():
            if self._daemon.poll() is not None or time.monotonic() >= deadline:
                said = (self._root / "tmp/said").read_text(errors="replace")
                raise RuntimeError(f"libvirtd does not answer: {said[-2000:]}")
            time.sleep(0.05)

    def _do(self, command: str) -> None:
        self._requests.write(f"{command}\necho {_END}\n")
        self._requests.flush()
        said = []
        for line in self._answers:
            # The prompt and what was typed may stand before it.
            if line.strip() == _END:
                break
            said.append(line)
        else:
            raise RuntimeError(f"virsh ended: {''.join(said)}")
        if any(line.startswith("error:") for line in said):
            raise RuntimeError(f"{command}: {''.join(said)}")

    def prepare(self, ports: Sequence[Port]) -> None:
        for port in ports:
            (self._root / f"tmp/{port.name}.xml").write_text(
                f"{self._source}<mac address='{port.mac}'/><target dev='{port.name}'/>"
                "<model type='usb-net'/></interface>\n"
            )

    def plug(self, port: Port) -> None:
        self._do(f"attach-device bench /tmp/{port.name}.xml")

    def unplug(self, port: Port) -> None:
        self._do(f"detach-device bench /tmp/{port.name}.xml")


def connect(arguments: dict[str, str]) -> Driver:
    """``libvirt`` is the tree, ``device`` is ``macvtap`` or ``none``, for a card without one."""
    os.chdir("/")
    return Libvirt(Path(arguments["libvirt"]), arguments["device"])
