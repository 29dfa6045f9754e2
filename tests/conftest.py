# SPDX-License-Identifier: Apache-2.0
"""A host of its own for each test: the fixture ``host``, a private network namespace.

Its loopback is up and it holds nothing else. It goes when the test ends, with all that was
plugged in it, and also when the tests are killed: its holder ends with the pipe to us.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from tests import debian

CLONE_NEWNET = 0x40000000
_HOLDER = "ip link set lo up && echo ready && exec cat >/dev/null"
_LIBC = ctypes.CDLL(None, use_errno=True)


def _join(descriptor: int) -> None:
    """Move the calling thread into a network namespace (os.setns is younger than Python 3.11)."""
    if _LIBC.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns failed: these tests need root")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, or one worker is still busy when the others have nothing left.

    Groups (``xdist_group``) come first by themselves, the largest before the others.
    """
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch the packages that a test is going to need: no time limit runs yet.

    And the test will be on a host that has no network.
    """
    if session.config.option.collectonly:
        return
    files = {item.path for item in session.items}
    for name, (user, *_packages) in {**debian.TREES, **debian.OF_RELEASE}.items():
        if any(debian.is_wanted_by(user, file) for file in files):
            # The tests that need it say so themselves when it cannot be had.
            with contextlib.suppress(debian.PackagesError):
                debian.tree(name)


def pytest_unconfigure() -> None:
    PrivateHost.end_closed()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name the packages whose version may be why a test fails."""
    if others := debian.differences(debian.unpacked_versions(), debian.verified()):
        terminalreporter.write_line(
            "Debian packages other than those these tests were verified with: " + ", ".join(others),
            yellow=True,
        )


class PrivateHost:
    """A network namespace, held open by the process :attr:`pid`.

    The kernel takes namespaces down one after the other, for tens of milliseconds each and with
    locks that every other test waits for, but all at once those that go at once.
    """

    AT_ONCE = 16
    """How many go together."""
    _closed: ClassVar[list[subprocess.Popen[bytes]]] = []

    def __init__(self) -> None:
        if os.geteuid():
            pytest.fail(
                "tests in network namespaces need root, or: unshare --map-root-user --net make test"
            )
        self._hold("unshare", "--net", "sh", "-c", _HOLDER)

    def _hold(self, *command: str) -> None:
        self._holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdout
        assert self._holder.stdout.readline() == b"ready\n", "no private namespace"
        self.pid = self._holder.pid

    def close(self) -> None:
        """Leave the namespace, which goes together with those of other hosts."""
        self._closed.append(self._holder)
        if len(self._closed) >= self.AT_ONCE:
            self.end_closed()

    @classmethod
    def end_closed(cls) -> None:
        """Have all namespaces go that nobody needs any more."""
        for holder in cls._closed:
            holder.kill()
        while cls._closed:
            cls._closed.pop().communicate()

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs ``command`` here, for subprocess or pexpect."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def run(
        self, *command: str, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command here; its output is captured as text.

        :param check: fail the test, with what the command said, unless it ends with 0
        :param options: for :func:`subprocess.run`
        """
        options.setdefault("stdin", subprocess.DEVNULL if "input" not in options else None)
        if options["stdin"] is None:
            del options["stdin"]
        done = subprocess.run(
            self.argv(*command), capture_output=True, text=True, check=False, **options
        )
        if check and done.returncode:
            pytest.fail(f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def python(self, code: str | Callable[[], Any]) -> Any:
        """Run Python here: source in a process of its own, or a function in a thread of its own.

        :returns: what the source printed, or what the function returned
        """
        if isinstance(code, str):
            return self.run(sys.executable, "-c", code).stdout
        outcome: list[Any] = []
        errors: list[BaseException] = []

        def act() -> None:
            try:
                with self.enter():
                    outcome.append(code())
            except BaseException as error:
                errors.append(error)

        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return outcome[0]

    @contextlib.contextmanager
    def enter(self) -> Iterator[None]:
        """Have the calling thread, and the library in it, act here for a while."""
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.pid}/ns/net") as here:
            _join(here.fileno())
            try:
                yield
            finally:
                _join(home.fileno())

    def links(self) -> dict[str, dict[str, Any]]:
        """Return the devices as ``ip -details`` sees them, by name, without the loopback."""
        found = json.loads(self.run("ip", "-details", "-json", "link", "show").stdout)
        return {link["ifname"]: link for link in found if link["ifname"] != "lo"}


_KINDS = {"net": "net", "mount": "mnt"}


class HostWithRun(PrivateHost):
    """A private host as programs see it that have a /run of their own.

    :param host: lives as long as this.
    :param folder: what is mounted there.
    """

    def __init__(self, host: PrivateHost, folder: str) -> None:
        script = 'mount --bind "$1" /run && echo ready && exec cat >/dev/null'
        own = ("unshare", "--mount", "--propagation", "private", "--")
        self._hold(*host.argv(*own, "sh", "-c", script, "sh", folder))

    def close(self) -> None:
        """End the holder: the folder goes next."""
        self._holder.communicate()

    def argv(self, *command: str) -> list[str]:
        """Return the command line that runs ``command`` here, in the same folder."""
        namespaces = (f"--{kind}=/proc/{self.pid}/ns/{name}" for kind, name in _KINDS.items())
        return ["nsenter", *namespaces, "--wd=.", "--", *command]


@pytest.fixture
def host() -> Iterator[PrivateHost]:
    """Return a host that this test has for itself."""
    private = PrivateHost()
    try:
        yield private
    finally:
        private.close()
