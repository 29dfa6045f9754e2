# SPDX-License-Identifier: Apache-2.0
"""Run the tests marked ``lab`` in QEMU guests with Debian's own kernel.

``python -m tests.lab.runner [options] [pytest arguments]``

There are three guests, each with a folder of tests: :data:`GUESTS`. They boot from what
:mod:`tests.lab.packages` fetched into ``<checkout>/.cache/lab``, and see the host's ``/`` read-only
below an overlay in their own memory, so the very Python environment that runs this module runs
pytest there, as root, on kernel modules this machine need not have. The processor is emulated
(TCG): no /dev/kvm and no privilege is needed, and Python is some twenty times slower than outside.
The exit code is pytest's own, that of the first guest with a failure; 1 if a guest did not get that
far.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests import debian
from tests.debian import PackagesError
from tests.lab import initrd, kernel_modules
from tests.lab.packages import LabError, Parts, prepare, say

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache/lab"
GUEST_MARK = "OS_VIF_LAB_GUEST"
"""Environment variable that is set inside a guest only, to its name in :data:`GUESTS`."""
MODULES_MARK = "OS_VIF_LAB_MODULES"
"""Environment variable with the folder of the modules of :mod:`tests.lab.kernel_modules`."""

TEST_TIME_LIMIT = 300
"""Seconds for one test; outside 60 are enough."""

MODULES = ("tun",)
"""Loaded in every guest: /dev/net/tun exists only once tun does. Links load their kind's module."""

KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 oops=panic mitigations=off audit=0 apparmor=0 net.ifnames=0"
    " no_timer_check"  # on a busy machine it may seem not to tick
)

NO_TESTS = int(pytest.ExitCode.NO_TESTS_COLLECTED)


@dataclass(frozen=True)
class Options:
    """What a guest has besides the plain machine."""

    modules: Sequence[str] = ()
    """More kernel modules to load before the job."""
    qemu: Sequence[str] = ()
    """More QEMU arguments, such as devices."""
    kernel: Sequence[str] = ()
    """More kernel command line words."""
    memory: int = 768
    """The guest's memory in MiB; all that tests write lives in it."""
    time_limit: float | None = 2400
    """Seconds after which QEMU is ended; None for no limit."""
    first: str = ""
    """The script in this folder that process 1 becomes; '' where it only runs the job."""
    switching: bool = False
    """Whether it needs modules that Debian does not ship, Open vSwitch's programs and libvirt's."""

    def plus(self, other: Options) -> Options:
        """Both; what cannot be both is as ``other`` says."""
        return replace(
            other,
            modules=(*self.modules, *other.modules),
            qemu=(*self.qemu, *other.qemu),
            kernel=(*self.kernel, *other.kernel),
            first=self.first or other.first,
            switching=self.switching or other.switching,
        )


GUESTS = {
    "guest": Options(),
    "devices": Options(
        modules=("igb", "igbvf", "virtio_net"),
        # An IOMMU, a NIC with SR-IOV behind a port (a function's VFs have numbers on its bus), and
        # another NIC on the same wire. A boot ROM, which these would load, is not in the tree.
        qemu=(
            *("-machine", "q35", "-device", "intel-iommu,intremap=on"),
            *("-device", "pcie-root-port,id=root,chassis=1,slot=1"),
            *("-netdev", "hubport,id=pf,hubid=0", "-device", "igb,bus=root,netdev=pf,romfile="),
            *("-netdev", "hubport,id=far,hubid=0"),
            *("-device", "virtio-net-pci,netdev=far,romfile="),
        ),
        kernel=("intel_iommu=on",),
        switching=True,
    ),
    "booted": Options(first="booted/first"),
}
"""The guests by name; ``tests/lab/<name>`` holds the tests that run in it."""


def run(
    command: Sequence[str], options: Options, guest: str = "guest", *, interactive: bool = False
) -> int:
    """Run ``command`` in a guest from the checkout's root, and return its exit code.

    :param options: what the guest gets besides what :data:`GUESTS` says
    :param guest: its name there

    The command's output goes to standard output while it runs. Raises LabError if the guest ended
    without an exit code or exceeded its time limit.
    """
    options = GUESTS[guest].plus(options)
    parts = prepare(CACHE)
    environment = {GUEST_MARK: guest}
    if options.switching:
        for tree in ("openvswitch", "libvirt9"):
            debian.tree(tree)  # it could not be fetched in the guest, which has no network
        environment[MODULES_MARK] = str(kernel_modules.build(CACHE, parts))
    kernel = _kernel(parts)
    with tempfile.TemporaryDirectory(prefix="run-", dir=CACHE) as name:
        share = Path(name)
        disk = share / "initrd"
        disk.write_bytes(initrd.build(parts, Path(__file__).with_name("init")))
        (share / "job").write_text(_job(command, options, environment, interactive))
        if options.first:
            program = shlex.quote(str(Path(sys.executable).with_name("os-vif")))
            script = (Path(__file__).parent / options.first).read_text()
            (share / "first").write_text(f"OS_VIF={program}\n{script}")
        argv = _qemu(parts, kernel, disk, share, options)
        say(f"booting Linux {parts.release} ({guest})")
        started = time.monotonic()
        _supervise(argv, parts.qemu_environment(), options.time_limit, interactive)
        say(f"the guest ran for {time.monotonic() - started:.1f} s")
        try:
            return int((share / "status").read_text())
        except FileNotFoundError:
            raise LabError("the guest ended before its command did; see its last lines") from None


def _kernel(parts: Parts) -> Path:
    """The file to boot: the kernel unpacked beforehand if it can be, else the image as it is."""
    unpacked = CACHE / f"vmlinux-{parts.release}"
    if not unpacked.exists():
        content = initrd.uncompressed_kernel(parts.image.read_bytes())
        if content is None:
            return parts.image
        partial = CACHE / f"vmlinux.{os.getpid()}"
        partial.write_bytes(content)
        partial.rename(unpacked)
    return unpacked


def _job(
    command: Sequence[str], options: Options, environment: dict[str, str], interactive: bool
) -> str:
    """The shell script that the guest's process 1 runs."""
    width, height = shutil.get_terminal_size()
    folder = Path(sys.executable).parent
    lines = [
        f"export PATH={shlex.quote(str(folder))}:/usr/sbin:/usr/bin:/sbin:/bin",
        f"export HOME=/root LANG=C.UTF-8 TMPDIR=/run/tmp COLUMNS={width}",
        *(f"export {name}={shlex.quote(value)}" for name, value in environment.items()),
        f"export TERM={shlex.quote(os.environ.get('TERM', 'dumb'))}",
        # Compiling is slow here, and what is written is lost with the guest.
        "export PYTHONDONTWRITEBYTECODE=1",
        f"cd {shlex.quote(str(CHECKOUT))}",
        *(f"modprobe {shlex.quote(name)} || exit 1" for name in (*MODULES, *options.modules)),
    ]
    if interactive:
        # A controlling terminal, for job control and Ctrl-C.
        lines += [f"stty rows {height} cols {width}", f"setsid -c {shlex.join(command)}"]
    else:
        lines += ["stty -onlcr", shlex.join(command)]
    return "\n".join(lines) + "\n"


def _qemu(parts: Parts, kernel: Path, disk: Path, share: Path, options: Options) -> list[str]:
    # A comma ends a QEMU option unless doubled.
    folder = str(share).replace(",", ",,")
    return [
        *parts.qemu_command(),
        *("-accel", "tcg", "-cpu", "max", "-smp", "1", "-m", str(options.memory)),
        *("-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-nic", "none"),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *("-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap"),
        *("-device", "virtio-9p-pci,fsdev=host,mount_tag=host"),
        *("-fsdev", f"local,id=lab,path={folder},security_model=none"),
        *("-device", "virtio-9p-pci,fsdev=lab,mount_tag=lab"),
        *("-kernel", str(kernel), "-initrd", str(disk)),
        *("-append", " ".join([KERNEL_ARGUMENTS, *options.kernel])),
        *options.qemu,
    ]


def _supervise(
    argv: Sequence[str], environment: dict[str, str], limit: float | None, interactive: bool
) -> None:
    """Run QEMU to its end, and end it on time-out or when this process is told to end."""
    standard_input = None if interactive else subprocess.DEVNULL
    process = subprocess.Popen(argv, env=environment, stdin=standard_input)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        raise LabError(f"the guest was ended after its time limit of {limit:g} s") from None
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        signal.signal(signal.SIGTERM, previous)


def _pytest(arguments: Sequence[str], guest: str) -> list[str]:
    """pytest on a guest's tests: all of them, or those that ``arguments`` name."""
    # Compiled here, where it is fast; pytest rewrites and compiles the tests themselves anew.
    for folder in (CHECKOUT / "os_vif", CHECKOUT / "tests"):
        compileall.compile_dir(folder, quiet=2)
    # The guest's console always looks like a terminal.
    color = f"--color={'yes' if sys.stdout.isatty() else 'no'}"
    slow = ["-o", f"timeout={TEST_TIME_LIMIT}"]
    command = [sys.executable, "-m", "pytest", "-m", "lab", color, *slow, *arguments]
    return command if any(map(_is_test, arguments)) else [*command, f"tests/lab/{guest}"]


def _is_test(argument: str) -> bool:
    """Whether an argument for pytest is a file or folder of tests, or a test in one."""
    return not argument.startswith("-") and (CHECKOUT / argument.partition("::")[0]).exists()


def _home(test: str) -> str:
    """The guest that a file or folder of tests belongs to."""
    path = (CHECKOUT / test.partition("::")[0]).resolve()
    homes = (name for name in GUESTS if path.is_relative_to(CHECKOUT / "tests/lab" / name))
    return next(homes, "guest")


def _run_tests(arguments: Sequence[str], options: Options) -> int:
    """Run the tests that ``arguments`` name, or all, each in its guest; return the exit code."""
    tests = [word for word in arguments if _is_test(word)]
    others = [word for word in arguments if word not in tests]
    codes = []
    for guest in GUESTS:
        own = [test for test in tests if _home(test) == guest]
        if own or not tests:
            codes.append(run(_pytest([*others, *own], guest), options, guest))
    failures = [code for code in codes if code not in (0, NO_TESTS)]
    # pytest's -k may well choose tests of one guest only.
    return failures[0] if failures else min(codes)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see the module's documentation."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.lab.runner",
        description="Run the tests marked lab in QEMU guests; other arguments go to pytest.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--shell", nargs="?", const="guest", choices=GUESTS, help="a shell in a guest instead"
    )
    parser.add_argument(
        "--module", action="append", default=[], metavar="NAME", help="load a kernel module first"
    )
    parser.add_argument(
        "--qemu-arg", action="append", default=[], metavar="ARG", help="one more QEMU argument"
    )
    parser.add_argument(
        "--kernel-arg", action="append", default=[], metavar="WORD", help="one more kernel argument"
    )
    parser.add_argument("--memory", type=int, default=768, metavar="MIB", help="default 768")
    parser.add_argument(
        "--time-limit", type=float, default=2400, metavar="SECONDS", help="default 2400"
    )
    known, arguments = parser.parse_known_args(argv)
    options = Options(
        modules=known.module,
        qemu=known.qemu_arg,
        kernel=known.kernel_arg,
        memory=known.memory,
        time_limit=None if known.shell else known.time_limit,
    )
    try:
        if known.shell:
            return run(["bash", "--norc", "-i"], options, known.shell, interactive=True)
        return _run_tests(arguments, options)
    except PackagesError as error:
        say(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
