# SPDX-License-Identifier: Apache-2.0
"""The real command for tests, without the time that an interpreter takes to start and import.

A :class:`ForkServer` has a process beside it that has loaded the command (``fork_server.py``) and
forks for each call. A call is a process of its own all the same: with its own exit status, pid,
signals, descriptors, environment and namespace. What acts when an interpreter starts cannot be
had from a fork; such calls, and all calls with ``OS_VIF_APART=1`` in the environment of the tests,
start the installed script.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

COMMAND = str(Path(sys.executable).parent / "os-vif")
APART = "OS_VIF_APART" in os.environ
SERVER = Path(__file__).with_name("fork_server.py")
SERVED = Path(__file__).with_name("served_command.py")

# What the C library, the interpreter and what it imports by itself (site) look at.
AT_START = (
    *("PYTHON", "_PYTHON", "LC_", "LANG", "TZ", "LD_", "GLIBC_", "GCONV_", "LOCPATH", "MALLOC_"),
    *("OPENSSL_", "SSL_", "COVERAGE_", "COV_", "SETUPTOOLS_"),
)

# A test may be in another namespace when it is the first to need the server.
_HOME = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Served:
    """A running command.

    :ivar pid: its process id.
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        answer, [self._process], _, _ = socket.recv_fds(client, 64, 1)
        self.pid = int(answer)
        self._returncode: int | None = None

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._returncode is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, number)

    def wait(self) -> int:
        """Return its exit code when it has ended, as :attr:`subprocess.Popen.returncode`."""
        if self._returncode is None:
            answer = self._client.recv(64)
            assert answer, "the fork server has ended"
            self._returncode = os.waitstatus_to_exitcode(int(answer))
            os.close(self._process)
            self._client.close()
        return self._returncode


class ForkServer:
    """Runs the command; started on first use, it ends with this process, however that ends.

    :ivar environment: what calls have beside what they ask for, and the server was started with.
    :ivar script: the command as it is installed.
    """

    def __init__(self, environment: Mapping[str, str], script: str = COMMAND) -> None:
        self.environment = environment
        self.script = script
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None

    # --- calling --------------------------------------------------------------------------------

    def run(
        self, host: Any, *words: str, apart: bool = False, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run the command on a private host; its output is captured as text.

        :param host: :class:`tests.conftest.PrivateHost`
        :param apart: start the installed script in any case
        :param options: for :func:`subprocess.run`; those but the usual also start the script
        """
        usual = options.keys() <= {"env", "cwd", "input", "timeout"}
        environment = options.get("env", self.environment)
        # Libraries log at that level while they are imported.
        wordy = sum(word.count("v") for word in words if re.match(r"-[qv]+\Z", word)) > 1
        if apart or APART or wordy or not usual or not self.can_serve(environment):
            options["env"] = environment
            done: subprocess.CompletedProcess[str] = host.run(
                self.script, *words, check=False, **options
            )
            return done
        return self._run(host, words, **{**options, "env": environment})

    def can_serve(self, environment: Mapping[str, str]) -> bool:
        """Tell whether a fork is what a process that is started with this environment would be."""
        self._start()
        return all(
            environment.get(name) == self._began_with.get(name)
            for name in environment.keys() | self._began_with.keys()
            if name.startswith(AT_START) or name in self._read
        )

    def start(
        self,
        host: Any,
        *words: str,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None = None,
        streams: tuple[int, int, int],
    ) -> Served:
        """Begin to run the command.

        :param streams: the descriptors of its standard input, output and error
        """
        [umask] = [
            int(line.split()[1], 8)
            for line in Path("/proc/thread-self/status").read_text().splitlines()
            if line.startswith("Umask:")
        ]
        request = {
            "words": words,
            "environment": dict(env),
            "folder": os.path.abspath(cwd or "."),
            "umask": umask,
            "group": os.getpgid(0),
        }
        client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.ExitStack() as opened:
            descriptors = list(streams)
            # One that it is in already may not be its to enter.
            kinds = ("net", "mnt") if _mounts(host.pid) != _mounts(self.pid) else ("net",)
            for kind in kinds:
                namespace = opened.enter_context(open(f"/proc/{host.pid}/ns/{kind}"))
                descriptors.append(namespace.fileno())
            client.connect(self._address)
            socket.send_fds(client, [json.dumps(request).encode()], descriptors)
        return Served(client)

    def install(self, folder: Path) -> None:
        """Make a program in this folder that shells run as the command, by this server."""
        self._start()
        described = {
            "address": self._address,
            "pid": self.pid,
            "script": self.script,
            "environment": self._began_with,
            "at_start": AT_START,
            "read": sorted(self._read),
        }
        (folder / "server.json").write_text(json.dumps(described))
        program = folder / Path(self.script).name
        program.write_text(f"#!{sys.executable} -IS\n{SERVED.read_text()}")
        program.chmod(0o755)

    def _run(
        self,
        host: Any,
        words: tuple[str, ...],
        *,
        input: str | None = None,  # noqa: A002  (as subprocess.run names it)
        timeout: float | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[str]:
        read_in, write_in = (
            os.pipe() if input is not None else (os.open(os.devnull, os.O_RDONLY), -1)
        )
        read_out, write_out = os.pipe()
        read_err, write_err = os.pipe()
        streams = read_in, write_out, write_err
        try:
            served = self.start(host, *words, streams=streams, **options)
        finally:
            for descriptor in streams:
                os.close(descriptor)
        said = {read_out: bytearray(), read_err: bytearray()}
        argv = [self.script, *words]
        in_time = False
        try:
            in_time = _exchange(said, write_in, (input or "").encode(), timeout)
        finally:
            os.close(read_out)
            os.close(read_err)
            if not in_time:
                served.send_signal(signal.SIGKILL)
                served.wait()
        if not in_time:
            assert timeout is not None
            out, err = (bytes(part) for part in said.values())
            raise subprocess.TimeoutExpired(argv, timeout, out, err)
        out, err = (_text(part) for part in said.values())
        return subprocess.CompletedProcess(argv, served.wait(), out, err)

    # --- the process beside this one ------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The server's process id."""
        self._start()
        assert self._process
        return self._process.pid

    def close(self) -> None:
        """End the server; calls that run still run on."""
        if self._process:
            self._process.communicate()
            self._process = None

    def _start(self) -> None:
        with self._lock:
            if self._process:
                assert self._process.poll() is None, "the fork server has ended"
                return
            self._began_with = dict(self.environment)
            # The server removes it when it ends.
            folder = tempfile.mkdtemp(prefix="command-")
            self._address = f"{folder}/socket"
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(self._address)
                listener.listen()
                numbers = listener.fileno(), _HOME
                process = subprocess.Popen(
                    [_interpreter(self.script), str(SERVER), self.script, *map(str, numbers)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    env=self._began_with,
                    pass_fds=numbers,
                )
            assert process.stdout
            said = process.stdout.readline()
            if not said.startswith("ready "):
                said += process.communicate()[0]
                shutil.rmtree(folder)
                raise AssertionError(f"the fork server did not start: {said}")
            self._read = frozenset(json.loads(said.removeprefix("ready ")))
            self._process = process
            atexit.register(self.close)


def _mounts(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/mnt")


def _interpreter(script: str) -> str:
    """Return the interpreter a script names in its first line, where that has room for it."""
    with open(script, encoding="utf-8", errors="replace") as file:
        first = file.readline()
    named = first.removeprefix("#!").strip()
    return named if os.access(named, os.X_OK) and "python" in named else sys.executable


def _exchange(said: dict[int, bytearray], write: int, text: bytes, timeout: float | None) -> bool:
    """Write ``text`` and close ``write``, read until all ends; tell whether that was in time."""
    deadline = None if timeout is None else time.monotonic() + timeout
    with selectors.DefaultSelector() as waiting:
        if write >= 0:
            os.set_blocking(write, False)
            waiting.register(write, selectors.EVENT_WRITE)
        for descriptor in said:
            waiting.register(descriptor, selectors.EVENT_READ)
        try:
            while waiting.get_map():
                left = None if deadline is None else deadline - time.monotonic()
                ready = waiting.select(left) if left is None or left > 0 else []
                if not ready:
                    return False
                for key, _events in ready:
                    if key.fd == write:
                        text = _write(write, text)
                        ended = not text
                    else:
                        part = os.read(key.fd, 1 << 16)
                        said[key.fd] += part
                        ended = not part
                    if ended:
                        waiting.unregister(key.fd)
                        if key.fd == write:
                            os.close(write)
                            write = -1
        finally:
            if write >= 0:
                os.close(write)
    return True


def _write(descriptor: int, text: bytes) -> bytes:
    """Write some; return what is left, nothing if nobody reads."""
    try:
        return text[os.write(descriptor, text) :] if text else b""
    except BrokenPipeError:
        return b""


def _text(said: bytearray) -> str:
    # As the text mode of subprocess has it.
    return said.decode().replace("\r\n", "\n").replace("\r", "\n")
