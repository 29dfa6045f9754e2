# SPDX-License-Identifier: Apache-2.0
"""Debian packages for the tests, fetched and unpacked into a cache instead of installed.

apt runs with lists, archives and an *empty* list of installed packages of its own, so that a
program's whole dependency closure down to libc lands in one folder: it is the same on every
machine, needs no root to get, starts no service, and leaves the machine's packages alone. Only
the sources (``/etc/apt``) are the machine's own, unless :attr:`Apt.settings` say otherwise.

``debian-versions.toml`` beside this file says with which versions the tests were last verified.
Debian keeps but the newest of a suite, so they cannot be asked for; other ones are named when they
are unpacked, and at the end of each run of pytest. ``python -m tests.debian`` writes the file, from
what is unpacked.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CACHE = Path(__file__).resolve().parent.parent / ".cache"
VERIFIED = Path(__file__).with_name("debian-versions.toml")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Of Debian's package debian-archive-keyring: what all its suites are signed with."""
_NOTE = "debian-versions.json"
"""In the root of an unpacked tree: what it is for, and the versions of what was asked for."""

TREES = {
    "openvswitch": ("Open vSwitch", "openvswitch-switch", "openvswitch-common"),
    "openvswitch-dpdk": (
        *("Open vSwitch", "openvswitch-switch", "openvswitch-common"),
        *("openvswitch-switch-dpdk", "librte-meta-mempool"),
    ),
    "dpdk": ("DPDK", "dpdk-dev"),
    "lldpad": ("lldpad", "lldpad"),
    "ovn": ("OVN", "ovn-central", "ovn-host", "ovn-common"),
    "radvd": ("radvd", "radvd"),
    "dnsmasq": ("dnsmasq", "dnsmasq-base"),
    "sudo": ("sudo", "sudo"),
    "shells": ("zsh and fish", "zsh", "fish"),
}
"""The folders in :data:`CACHE` that ``make test`` needs: what each is for, and its packages."""

LIBVIRT = (
    *("libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients", "qemu-system-x86"),
    "iproute2",  # libvirt runs tc
)
_WITH_LIBVIRT = (*LIBVIRT, "dash", "libxml2-utils", "openvswitch-switch")

OF_RELEASE = {
    "libvirt9": ("libvirt 9", "bookworm", *_WITH_LIBVIRT, "virtinst"),
    "libvirt11": ("libvirt 11", "trixie", *_WITH_LIBVIRT),
    "ovn25": ("OVN 25", "trixie", "ovn-central", "ovn-host", "ovn-common", "openvswitch-switch"),
}
"""More folders, for ``make test-lab`` alone: what each is for, and packages of which release."""

_GUESTS = (
    *("tests/functional/test_guest_asked.py", "tests/functional/test_guest_boots.py"),
    "tests/functional/test_guest_refused.py",
)

WANTED_BY = {
    "Open vSwitch": (
        *("tests/functional/test_ov*.py", "tests/functional/test_way_back_ovs.py"),
        *("tests/functional/test_fast_path*.py", "tests/functional/test_mtu.py"),
        *("tests/functional/test_one_place.py", "tests/functional/test_privilege.py"),
        *("tests/cli/test_switch.py", "tests/cli/test_export.py", "tests/docs"),
        *("tests/examples", "tests/lab/devices", "tests/upgrade"),
        "tests/functional/test_guest_*.py",
    ),
    "DPDK": (
        *("tests/functional/test_fast_path*.py", "tests/functional/test_testpmd*.py"),
        *("tests/functional/test_back_ends.py", "tests/functional/test_socket_theft.py"),
        *("tests/functional/test_fp_vdev.py", "tests/functional/test_guest_boots.py"),
        *("tests/cli/test_fast_path.py", "tests/examples"),
    ),
    "lldpad": (
        *("tests/functional/test_vdp.py", "tests/functional/test_vsi*.py"),
        *("tests/cli/test_port_profiles.py", "tests/examples"),
    ),
    "OVN": (
        *("tests/functional/test_ovn*.py", "tests/functional/test_northbound*.py"),
        *("tests/cli/test_network.py", "tests/docs", "tests/functional/test_demo_ovn.py"),
    ),
    "OVN 25": ("tests/functional/test_ovn_lab*.py",),
    "radvd": ("tests/functional/test_router_advertisements.py",),
    "dnsmasq": (
        *("tests/functional/test_dnsmasq*.py", "tests/functional/test_host_network.py"),
        "tests/functional/test_guest_internet.py",
        *("tests/cli/test_demo.py", "tests/docs", "tests/examples", "os_vif/cli/demo"),
    ),
    "lab": (
        *("tests/lab", "tests/functional/test_demo_vm.py", "tests/functional/test_run_guest.py"),
        *("tests/functional/test_ovn_lab_migration.py", *_GUESTS),
        "tests/functional/test_guest_internet.py",
    ),
    "libvirt": ("benchmarks",),
    "libvirt 9": ("tests/functional/test_guest_libvirt*.py", "tests/lab/devices", *_GUESTS),
    "libvirt 11": ("tests/functional/test_guest_libvirt*.py",),
    "sudo": ("tests/cli/test_sudo.py", "tests/docs/test_sudoers.py"),
    "zsh and fish": ("tests/cli/test_completion.py",),
}
"""Which tests need what the packages are for (:attr:`Apt.user`)."""

_PAUSES_S = (2.0, 10.0)
"""Before apt is asked once more, and once again."""

_UNKNOWN = re.compile(
    r"Unable to locate package (\S+)|Package '?([^\s']+)'? has no installation candidate"
)


class PackagesError(Exception):
    """Packages cannot be had or used on this machine; the message says what is missing."""


def say(what: str, who: str) -> None:
    """One line on what is being done now, and what for."""
    sys.stdout.write(f"{who}: {what}\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Apt:
    """apt-get with its state below ``folder`` and the machine's own sources."""

    folder: Path
    user: str
    """What the packages are for, at the start of each line about them."""
    settings: tuple[str, ...] = ()
    """More of apt's settings, as for its option ``-o``: ``Dir::Etc::sourceparts=FOLDER``."""

    def _ask(self, command: str, *arguments: str, cwd: Path | None = None) -> str:
        """Run a command that needs the package lists; where it fails, again with new lists.

        A source that does not answer for a moment is but a warning to ``apt-get update``, which
        ends with 0 then, and without the source's packages: they are as unknown as misspelt ones.
        """
        for pause in _PAUSES_S:
            try:
                return self._run(command, *arguments, cwd=cwd)
            except PackagesError as error:
                say(f"{error}; once more in {pause:g} s", self.user)
            time.sleep(pause)
            with suppress(PackagesError):
                self._run("apt-get", "update")
        return self._run(command, *arguments, cwd=cwd)

    def _run(self, command: str, *arguments: str, cwd: Path | None = None) -> str:
        status = self.folder / "status"
        options = [
            f"Dir::State={self.folder}",
            f"Dir::State::lists={self.folder}/lists",
            f"Dir::State::status={status}",
            f"Dir::Cache={self.folder}",
            f"Dir::Cache::archives={self.folder}/archives",
            # Root's apt would download as a user who cannot write below a checkout.
            "APT::Sandbox::User=root",
            "APT::Install-Recommends=false",
            # Names of packages in other languages, which nobody here reads.
            "Acquire::Languages=none",
            *self.settings,
        ]
        argv = [command, "-q", *(word for option in options for word in ("-o", option)), *arguments]
        try:
            done = subprocess.run(
                argv,
                cwd=cwd,
                env={**os.environ, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError:
            raise PackagesError(
                f"{self.user} is made of Debian's packages, and this machine has no {command}:"
                " run the tests on Debian or Ubuntu, or in a container of one"
            ) from None
        if done.returncode and (unknown := _UNKNOWN.search(done.stderr)):
            raise PackagesError(
                f"{suite()} has no package {unknown[1] or unknown[2]}, or none that this machine's"
                f" apt can reach; it is for {self.user}, which is needed by"
                f" {', '.join(WANTED_BY[self.user])}"
            )
        if done.returncode:
            raise PackagesError(f"{command} {' '.join(arguments)} failed:\n{done.stderr.strip()}")
        for line in done.stderr.splitlines():
            say(line, self.user)  # an unreachable source is but a warning to apt-get update
        return done.stdout

    def update(self) -> None:
        """Read the package lists of the machine's sources."""
        for name in ("lists", "archives"):
            (self.folder / name / "partial").mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        say("reading the package lists (apt-get update)", self.user)
        self._ask("apt-get", "update")

    def dependency(self, package: str) -> str:
        """The one package that the metapackage ``package`` stands for now."""
        names = self.dependencies(package)
        if len(names) != 1:
            raise PackagesError(f"{package} was expected to depend on one package, not on {names}")
        return names[0]

    def dependencies(self, package: str) -> list[str]:
        """The packages that ``package`` depends on."""
        lines = self._ask("apt-cache", "depends", "--important", package).splitlines()
        return [line.split(":")[1].strip() for line in lines if "Depends:" in line]

    def version(self, package: str) -> str:
        """The version of ``package`` that would be had now."""
        shown = self._ask("apt-cache", "show", "--no-all-versions", package)
        return next(line.split()[1] for line in shown.splitlines() if line.startswith("Version:"))

    def archive_of(self, suite: str) -> str:
        """The address of the archive that ``suite`` (a codename) comes from in the sources.

        :raises PackagesError: from none
        """
        filters = ("Created-By: Packages", f"Codename: {suite}", "Component: main")
        said = self._run("apt-get", "indextargets", "--format", "$(REPO_URI)", *filters)
        if not said.strip():
            raise PackagesError(f"{self.user} needs {suite}, and no source of this machine has it")
        return said.split()[0]

    def with_suite(self, name: str, *, alone: bool = False) -> Apt:
        """Return the same for another of Debian's suites, from where this machine has its own.

        :param name: as ``bookworm-backports``; its packages are preferred
        :param alone: whether packages come from nowhere else
        :raises PackagesError: this is no Debian, or its archive has no such suite
        """
        sources = self.folder / "sources"
        sources.mkdir()
        if not alone:
            for path in Path("/etc/apt/sources.list.d").iterdir():
                (sources / path.name).symlink_to(path)
        line = f"deb [signed-by={KEYRING}] {self.archive_of(suite())} {name} main\n"
        (sources / f"{name}.list").write_text(line)
        settings = [f"Dir::Etc::sourceparts={sources}", f"APT::Default-Release={name}"]
        if alone:
            settings.append("Dir::Etc::sourcelist=/dev/null")
        other = dataclasses.replace(self, settings=tuple(settings))
        other.update()
        return other

    def unpack(self, package: str, into: Path) -> dict[str, str]:
        """Download ``package`` alone and unpack it below ``into``; return its version by name."""
        folder = self.folder / "archives"
        say(f"downloading {package}", self.user)
        self._ask("apt-get", "download", package, cwd=folder)
        return self._extract(into)

    def unpack_closure(self, into: Path, *packages: str) -> dict[str, str]:
        """Download ``packages`` and all they depend on, and unpack them below ``into``.

        :returns: all their versions by name
        """
        say(f"downloading {' and '.join(packages)} and the libraries needed", self.user)
        self._ask("apt-get", "install", "--yes", "--download-only", *packages)
        return self._extract(into)

    def _extract(self, into: Path) -> dict[str, str]:
        versions = {}
        for archive in sorted((self.folder / "archives").glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(archive), str(into)], check=True)
            package, version, _architecture = archive.stem.split("_")
            versions[package] = urllib.parse.unquote(version)  # an epoch's colon is %3a
            archive.unlink()
        return versions


# --- which versions -------------------------------------------------------------------------------


def is_wanted_by(user: str, test: Path) -> bool:
    """Tell whether the file of a test is among those that need what packages are for."""
    return any(test.match(pattern) or test.parent.match(pattern) for pattern in WANTED_BY[user])


def suite() -> str:
    """Return the codename of this machine's release, or whatever it calls itself."""
    release = platform.freedesktop_os_release()
    return release.get("VERSION_CODENAME") or release["PRETTY_NAME"]


def note(tree: Path, user: str, versions: Mapping[str, str]) -> None:
    """Keep with an unpacked tree which versions were asked for, and say which are not verified."""
    (tree / _NOTE).write_text(json.dumps({"user": user, "versions": dict(versions)}))
    for difference in differences({user: versions}, verified()):
        say(f"not what the tests were verified with: {difference}", user)


def unpacked_versions(cache: Path = CACHE) -> dict[str, dict[str, str]]:
    """Return the versions of what is unpacked below ``cache``, by what it is for."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted([*cache.glob(f"*/{_NOTE}"), *cache.glob(f"*/*/{_NOTE}")]):
        noted = json.loads(path.read_text())
        found.setdefault(noted["user"], {}).update(noted["versions"])
    return found


def verified() -> dict[str, dict[str, str]]:
    """Return the versions that the tests were last verified with, by what they are for."""
    recorded = tomllib.loads(VERIFIED.read_text())
    del recorded["suite"]
    return recorded


Versions = Mapping[str, Mapping[str, str]]


def differences(found: Versions, known: Versions) -> list[str]:
    """Return in words which packages have another version than the one that is known."""
    return sorted(
        {
            f"{package} {old or '(none)'} -> {version}"
            for user, versions in found.items()
            for package, version in versions.items()
            if (old := known.get(user, {}).get(package)) != version
        }
    )


def record(found: Versions, known: Versions) -> str:
    """Return the text of the file: what is known, but for what is found anew."""
    lines = [
        "# SPDX-License-Identifier: Apache-2.0",
        "# The versions of Debian's packages that the tests were last verified with.",
        "# Made by `.venv/bin/python -m tests.debian`, see CONTRIBUTING.md.",
        f'suite = "{suite()}"',
    ]
    for user in sorted({*found, *known}):
        lines += ["", f'["{user}"]']
        versions = found.get(user) or known[user]
        lines += [f'{package} = "{versions[package]}"' for package in sorted(versions)]
    return "\n".join(lines) + "\n"


# --- unpacked once --------------------------------------------------------------------------------


def command(tree: Path, program: str) -> list[str]:
    """The start of the command line of a program in an unpacked closure.

    It runs with the tree's own loader and libraries, not the host's, which may be older.

    :param program: path below ``tree``
    """
    folders = [
        folder
        for top in ("lib", "usr/lib")
        for folder in sorted(tree.glob(f"{top}/*-linux-gnu*"))
        if folder.is_dir()
    ]
    # /lib64/ld-linux... is an absolute symbolic link and would lead to the host's loader.
    loaders = [path for folder in folders for path in sorted(folder.glob("ld-linux*.so.*"))]
    if not loaders or not (tree / program).exists():
        raise PackagesError(f"{tree} holds no usable {program}; remove it to fetch it anew")
    path = ":".join(str(folder) for folder in folders)
    return [str(loaders[0]), "--library-path", path, str(tree / program)]


def tree(name: str) -> Path:
    """Return the root of one of :data:`TREES` or of :data:`OF_RELEASE`, fetched on first use.

    :raises PackagesError: apt cannot deliver
    """
    if name in OF_RELEASE:
        user, release, *packages = OF_RELEASE[name]
        return unpacked(CACHE / name, user, *packages, release=release)
    return unpacked(CACHE / name, *TREES[name])


def unpacked(tree: Path, user: str, *packages: str, release: str = "") -> Path:
    """Return ``tree``, the root of ``packages`` and all they depend on, fetched on first use.

    :param user: what the packages are for
    :param release: codename of the one of Debian's that they are of; else this machine's own
    :raises PackagesError: apt cannot deliver
    """
    found = _fetched(tree, user, packages, release)
    if isinstance(found, str):
        raise PackagesError(found)
    return found


@functools.cache  # a failure too: a hundred tests need not wait for a missing network each
def _fetched(tree: Path, user: str, packages: tuple[str, ...], release: str) -> Path | str:
    tree.parent.mkdir(exist_ok=True)
    with locked(tree.with_suffix(".lock")):
        if tree.exists():
            return tree
        try:
            with tempfile.TemporaryDirectory(prefix="apt-", dir=tree.parent) as folder:
                apt = Apt(Path(folder), user)
                apt.update()
                if release not in ("", suite()):
                    apt = apt.with_suite(release, alone=True)
                with complete_or_absent(tree) as partial:
                    versions = apt.unpack_closure(partial, *packages)
                    note(partial, user, {name: versions[name] for name in packages})
        except PackagesError as error:
            return str(error)
    return tree


@contextmanager
def complete_or_absent(tree: Path) -> Iterator[Path]:
    """A folder to fill that gets the name ``tree`` only once it is full."""
    partial = tree.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(tree, ignore_errors=True)
    partial.mkdir()
    try:
        yield partial
        partial.rename(tree)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep another process from fetching into the same cache meanwhile."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


if __name__ == "__main__":
    here = unpacked_versions()
    for each in differences(here, verified()) or ["all is as it was recorded"]:
        say(each, VERIFIED.name)
    VERIFIED.write_text(record(here, verified()))
