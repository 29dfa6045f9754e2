#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Make the checkout's own environment in ``.venv``, and install what a task needs.

What is installed, and its sha256, is locked in ``requirements`` (see ``tools/lock.py``).

The Makefile calls this before each target. It uses the standard library only, since it is what
runs first on a machine that has nothing else, and it says what it does in one line a step; the
full output is in ``.cache/bootstrap.log``. When all is there already it ends at once.

Exit status: 0 all is there; 1 an installation failed; 2 something is missing that only the
administrator can install, and the message names it.

The code down to `find_python` must also run on the old interpreters it is there to replace:
no newer syntax than Python 3.6 knows.
"""

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

OLDEST_PYTHON = (3, 11)
NEWEST_PYTHON = (3, 14)

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "bootstrap.json"
LOCKS = ROOT / "requirements"
CACHE = ROOT / ".cache"
LOG = CACHE / "bootstrap.log"

# Megabytes that the wheels of a lock have, on x86_64: said before they are fetched.
DOWNLOAD_MB = {"build": 1, "run": 13, "test": 21, "lint": 37, "docs": 18}

LOG_LINES_SHOWN = 15
APT_LOCK_TIMEOUT_S = 300

# What pip prints when the package index cannot be reached, as opposed to having answered "no":
# the system's words, where it gives them, else the names of its own errors.
NETWORK_TROUBLE = (
    "Connection refused|Name or service not known|Temporary failure in name resolution"
    "|No address associated with hostname|Network is unreachable|No route to host|timed out"
    "|certificate verify failed|Tunnel connection failed",
    "NewConnectionError|NameResolutionError|ConnectTimeoutError|ReadTimeoutError|ProxyError"
    "|SSLError|connection broken|failed to connect",
)


# What pip prints when a file is not the locked one, and when the index has no such version; in
# both cases the packages' names follow.
OTHER_FILE = "DO NOT MATCH THE HASHES"
NO_VERSION = "No matching distribution found for "
PINNED = r"[\w.-]+(?:\[.*?\])?==[^\s;]+"


class BootstrapError(Exception):
    """What went wrong, in words for the person at the terminal; `status` is the exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


def find_python() -> str:
    """Return a Python that is new enough: this one, or another on PATH, the oldest first."""
    if sys.version_info >= OLDEST_PYTHON:
        return sys.executable
    names = [f"python3.{minor}" for minor in range(OLDEST_PYTHON[1], NEWEST_PYTHON[1] + 1)]
    for name in [*names, "/usr/bin/python3"]:
        path = shutil.which(name)
        # A version manager's shim may be on PATH for a version that is not active: try it.
        test = f"import sys; sys.exit(sys.version_info < {OLDEST_PYTHON})"
        if path and subprocess.call([path, "-c", test], stderr=subprocess.DEVNULL) == 0:
            return path
    raise BootstrapError(
        f"Python 3.{OLDEST_PYTHON[1]} or newer is needed; {sys.executable} is"
        f" {sys.version.split()[0]} and PATH holds no newer one. Install one, or name it:"
        " make PYTHON=/path/to/python3",
        status=2,
    )


class Step:
    """A line on the terminal that says what is being done and, in the end, how long it took."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._began = time.monotonic()
        self._live = sys.stderr.isatty()
        self._show(f"{what} ...", end="" if self._live else "\n")

    def tick(self, progress: str = "") -> None:
        """Bring how far it is and the elapsed time up to date, on a terminal."""
        if self._live:
            self._show(f"{self._what} ... {progress}{self._elapsed():.0f} s")

    def done(self) -> None:
        """Say that the step has succeeded."""
        self._show(f"{self._what}: done in {self._elapsed():.1f} s", end="\n")

    def failed(self) -> None:
        """Say that the step has failed."""
        self._show(f"{self._what}: FAILED after {self._elapsed():.1f} s", end="\n")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _show(self, text: str, end: str = "") -> None:
        start = "\r\033[K" if self._live else ""
        print(f"{start}bootstrap: {text}", end=end, file=sys.stderr, flush=True)


def run_logged(
    what: str, *commands: "list[str]", env: "dict[str, str] | None" = None, packages: int = 0
) -> str:
    """Run `commands` one after the other as one step; return what they wrote.

    Args:
        packages: how many pip is to name, where it is told how far it is

    Raises:
        BootstrapError: one failed; the message carries the last lines it wrote.
    """
    step = Step(what)
    with LOG.open("a+") as log:
        start = log.seek(0, os.SEEK_END)
        for command in commands:
            print(f"$ {' '.join(command)}", file=log, flush=True)
            with subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process:
                while True:
                    try:
                        status = process.wait(timeout=1)
                        break
                    except subprocess.TimeoutExpired:
                        written = LOG.read_bytes()[start:].decode(errors="replace")
                        step.tick(how_far(written, packages))
            if status != 0:
                break
        log.seek(start)
        output = log.read()
    if status != 0:
        step.failed()
        last = "\n".join("  " + line for line in output.splitlines()[-LOG_LINES_SHOWN:])
        raise BootstrapError(
            f"{last}\nbootstrap: `{' '.join(command[:4])} ...` ended with status {status};"
            f" everything it wrote is in {LOG.relative_to(ROOT)}"
        )
    step.done()
    return output


def how_far(output: str, packages: int) -> str:
    """Return how many of `packages` pip has come to, by what it wrote; '' if none are counted."""
    met = len(re.findall("^(?:Collecting|Requirement already satisfied:) ", output, re.MULTILINE))
    return f"{min(met, packages)} of {packages} packages, " if packages else ""


def locked_packages(names: "list[str]") -> "set[str]":
    """Return what is locked under `names`."""
    texts = [(LOCKS / f"{name}.txt").read_text() for name in names]
    return {found for text in texts for found in re.findall(f"(?m)^{PINNED}", text)}


def apt_install(packages: "list[str]", why: str) -> None:
    """Install Debian packages, or, without the right to, say which are needed.

    Raises:
        BootstrapError: not Debian or not root (status 2), or apt-get failed.
    """
    names = " ".join(packages)
    if shutil.which("apt-get") is None:
        raise BootstrapError(f"{why}: please install {names}", status=2)
    if os.geteuid() != 0:
        raise BootstrapError(f"{why}: please run\n  sudo apt-get install {names}", status=2)
    apt = ["apt-get", "-q", "-y", "-o", f"DPkg::Lock::Timeout={APT_LOCK_TIMEOUT_S}"]
    run_logged(
        f"{why}: installing {names}",
        [*apt, "update"],
        [*apt, "install", "--no-install-recommends", *packages],
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def lock_commands(install: "list[str]", *names: str) -> "list[list[str]]":
    """Return the commands that install what is locked under `names`, and nothing else.

    What has to be built is built with what is locked, too: it is installed first, and no build
    has an environment of its own.

    Args:
        install: `pip install` or `uv pip install`, with the options of the moment
        names: of files in requirements
    """
    locks = [word for name in names for word in ("--requirement", str(LOCKS / f"{name}.txt"))]
    hashed = [*install, "--require-hashes"]
    return [
        [*hashed, "--requirement", str(LOCKS / "build.txt")],
        [*hashed, "--no-build-isolation", *locks],
    ]


class Environment:
    """The virtual environment, and the stamp that tells for what it was made.

    The stamp holds a key made of the locks, the Python version and the checkout's place (a virtual
    environment cannot be moved), a digest of pyproject.toml, and the extras that are installed.
    With another key the environment is made anew, so that it holds nothing but what is locked. The
    stamp is taken away while pip works: an environment without one is half-made.
    """

    def __init__(self) -> None:
        locks = hashlib.sha256()
        for path in sorted(LOCKS.glob("*.txt")):
            locks.update(path.read_bytes())
        self._key = [locks.hexdigest(), sys.version.split()[0], str(ROOT)]
        self._project = [hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()]
        self._stamp = self._read_stamp()

    @staticmethod
    def _read_stamp() -> "dict[str, list[str]]":
        if not os.access(VENV / "bin" / "python", os.X_OK):
            return {}
        try:
            stamp = json.loads(STAMP.read_text())
            return {name: list(stamp[name]) for name in ("key", "project", "extras")}
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def has(self, extras: "list[str]") -> bool:
        """Whether the environment is up to date and holds `extras`."""
        return (
            self._stamp.get("key") == self._key
            and self._stamp["project"] == self._project
            and set(extras) <= set(self._stamp["extras"])
        )

    def make(self, extras: "list[str]") -> None:
        """Bring the environment up to date, with `extras` beside those it has."""
        if self._stamp.get("key") != self._key:
            self._create()
            self._stamp = {}
        there = self._stamp.get("extras", [])
        wanted = sorted({*extras, *there})
        self._announce([name for name in wanted if name not in there], fresh=not self._stamp)
        self._install(wanted)
        self._stamp = {"key": self._key, "project": self._project, "extras": wanted}
        STAMP.write_text(json.dumps(self._stamp) + "\n")

    @staticmethod
    def _create() -> None:
        version = sys.version.split()[0]
        if None in (importlib.util.find_spec("venv"), importlib.util.find_spec("ensurepip")):
            why = f"{sys.executable} ({version}) cannot make virtual environments"
            if not Path(sys.executable).resolve().is_relative_to("/usr/bin"):
                raise BootstrapError(
                    f"{why}: it lacks `venv` or `ensurepip`; name another: make PYTHON=...", 2
                )
            # Debian keeps both out of python3; the package without a version in its name may
            # belong to another Python.
            apt_install([f"python3.{sys.version_info.minor}-venv"], why)
        STAMP.unlink(missing_ok=True)
        run_logged(
            f"making .venv with Python {version}",
            [sys.executable, "-m", "venv", "--clear", str(VENV)],
        )

    @staticmethod
    def _announce(extras: "list[str]", *, fresh: bool) -> None:
        """Say what is going to be fetched, and how much that is."""
        names = [*(["build", "run"] if fresh else []), *extras]
        if names:
            megabytes = sum(DOWNLOAD_MB[name] for name in names)
            print(
                f"bootstrap: {len(locked_packages(names))} Python packages, some {megabytes} MB,"
                " come from the package index, this once (or from pip's cache)",
                file=sys.stderr,
                flush=True,
            )

    @staticmethod
    def _install(extras: "list[str]") -> None:
        stamp = STAMP.read_bytes() if STAMP.exists() else None
        STAMP.unlink(missing_ok=True)
        what = f"with {', '.join(extras)} " if extras else ""
        pip = [str(VENV / "bin" / "pip"), "install", "--disable-pip-version-check", "--no-input"]
        try:
            run_logged(
                f"installing os-vif {what}into .venv",
                *lock_commands(pip, "run", *extras),
                [*pip, "--no-deps", "--no-build-isolation", "--editable", "."],
                # pip's own five tries take most of a minute when there is no network at all.
                env={"PIP_RETRIES": os.environ.get("PIP_RETRIES", "2")},
                packages=len(locked_packages(["build", "run", *extras])),
            )
        except BootstrapError as error:
            if stamp is not None:  # what is locked is added to; what was there stays as it was
                STAMP.write_bytes(stamp)
            why = pips_trouble(LOG.read_text(errors="replace").rpartition("\n$ ")[2])
            if why is None:
                raise
            raise BootstrapError(
                f"{why}; pip's own words are in {LOG.relative_to(ROOT)}"
            ) from error


def pips_trouble(output: str) -> "str | None":
    """Return what went wrong in words for the person at the terminal, if `output` of pip tells."""
    for words in NETWORK_TROUBLE:
        found = re.search(words, output, re.IGNORECASE)
        if found:
            return (
                f"the Python package index could not be reached ({found[0]}). Check the network"
                " or the proxy, or set PIP_INDEX_URL to a mirror this machine reaches"
            )
    _, other_file, names = output.partition(OTHER_FILE)
    if other_file:
        return (
            f"{' and '.join(re.findall(PINNED, names))}: what was fetched is not the file that is"
            " locked in requirements (another sha256), so it was not installed. Find out who"
            " changed it, the package index or the lock (git diff requirements), before you go on"
        )
    _, no_version, names = output.partition(NO_VERSION)
    if no_version:
        return (
            f"the Python package index has no {names.split()[0]}, which is locked in requirements,"
            f" for Python {sys.version.split()[0]}. A mirror may be behind (PIP_INDEX_URL names"
            " another); `make lock` locks what there is now"
        )
    return None


def install_system_packages(profile: str) -> None:
    """Install the system packages that bindep.txt lists for `profile`, where they are missing."""
    bindep = [str(VENV / "bin" / "bindep"), "--brief", profile]
    found = subprocess.run(bindep, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode == 0:
        return
    missing = found.stdout.split()
    if not missing:
        raise BootstrapError(f"bindep failed: {found.stderr.strip()}")
    apt_install(missing, "system packages are missing")


def main() -> int:
    """Run the script; see its head for the exit status."""
    parser = argparse.ArgumentParser(description="Prepare .venv for a task.")
    parser.add_argument("extras", nargs="*", help="extras of pyproject.toml, such as test")
    parser.add_argument("--system", metavar="PROFILE", help="also system packages of bindep.txt")
    options = parser.parse_args()
    try:
        python = find_python()
        if python != sys.executable:
            os.execv(python, [python, *sys.argv])  # noqa: S606
        CACHE.mkdir(exist_ok=True)
        with (CACHE / "bootstrap.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two makes may run in one checkout
            environment = Environment()
            if not environment.has(options.extras):
                LOG.write_text("")
                environment.make(options.extras)
            if options.system:
                install_system_packages(options.system)
    except BootstrapError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return error.status
    except PermissionError as error:
        print(f"bootstrap: this checkout is not writable for you: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nbootstrap: stopped; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
