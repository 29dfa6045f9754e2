# SPDX-License-Identifier: Apache-2.0
"""A process that has loaded what the command loads, and becomes the command when it is asked to.

    python fork_server.py SCRIPT LISTENER NETWORK

SCRIPT is the command as it is installed, LISTENER the number of the socket requests come from
(:class:`tests.command.ForkServer` sends them), NETWORK a descriptor of the network namespace to
stay in. Each request makes a child, which takes over the descriptors it was sent, runs SCRIPT as
an interpreter would, and ends as one does. Only starting the interpreter and importing is saved,
so nothing may be imported here that keeps what a fresh process would find out anew: ``prepare``
sees to that. The server ends when its standard input does, which is when the tests' process ends.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)

LATER = {
    "os_vif.cli.configuration",  # reads OVS_RUNDIR
    "os_vif.engine.privilege",  # adds sections to the configuration
    "os_vif.host.openvswitch.system.binding",
    "os_vif.host.openvswitch.system.changes",
    "os_vif.host.openvswitch.system.rows",
    "os_vif.host.openvswitch.system.settings",
    "os_vif.host.openvswitch.system.transactions",
    "os_vif.host.ovn.system.following",
    "os_vif.host.ovn.system.neighbours",
    "os_vif.host.ovn.system.rows",
    "os_vif.host.ovn.system.southbound",
    "os_vif.host.ovn.system.transactions",
    "os_vif.system.ovsdb",  # imports ovs, which reads it too
}
"""What the command imports by itself, each time."""

LIBRARIES = ("oslo_privsep.daemon", "oslo_privsep.priv_context", "rich.progress", "rich.table")


# --- loading --------------------------------------------------------------------------------------


def prepare() -> set[str]:
    """Import the command and what it imports later; return the variables that were looked at."""
    # The first to be registered is the last to run.
    atexit.register(_leave)
    before, path = _state(), list(sys.path)
    with _reads() as variables, warnings.catch_warnings():
        # As in the command: deprecations of libraries are for those who install them.
        warnings.simplefilter("ignore")
        package = importlib.import_module("os_vif")
        for name in ("os_vif.cli.main", *LIBRARIES):
            importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, "os_vif."):
            if module.name not in LATER:
                importlib.import_module(module.name)
    sys.path[:] = path  # setuptools adds its own folder
    early = LATER.intersection(sys.modules)
    assert not early, f"what imports one of {early} belongs into LATER too"
    after = _state()
    assert after == before, f"importing has changed {before} to {after}"
    for name in sys.modules.keys() - TO_THE_END:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(sys.modules[name]))
        KEPT.append(name)
    return variables


# An interpreter that ends takes apart every module it finds, and then goes through every name.  A
# child would write to nearly all pages that it shares with the server, which takes it longer than
# most commands do: what was loaded before is kept, and what comes after the modules is left out.

KEPT: list[str] = []
TO_THE_END = {"__main__", "builtins", "sys", "warnings", "_warnings"}
"""Modules that an interpreter uses as it takes others apart."""
ENDED: list[int] = []
"""The code with which this process ends, once that is known."""


class _Last:
    def __init__(self, code: int) -> None:
        # Whatever else has names here has none in the end.
        self.code, self.streams, self.leave = code, (sys.stdout, sys.stderr), os._exit

    def __del__(self) -> None:
        try:
            for stream in self.streams:
                stream.flush()  # what was said while modules went
        finally:
            self.leave(self.code)


def _leave() -> None:
    for name in KEPT:
        sys.modules.pop(name, None)
    if not ENDED:
        return
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (AttributeError, OSError, ValueError):
        return  # the interpreter meets the same, and ends with another code
    # What is found here goes after all modules.
    sys._last = _Last(ENDED[0])  # type: ignore[attr-defined]


def _state() -> Any:
    """Return what importing must leave alone."""
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    filters = list(warnings.filters)
    return handlers, filters, os.listdir("/proc/self/fd"), threading.active_count(), os.getcwd()


@contextlib.contextmanager
def _reads() -> Iterator[set[str]]:
    """Collect the names of variables that are looked at in ``os.environ``."""
    found: set[str] = set()
    environment: Any = type(os.environ)
    look = environment.__getitem__

    def noting(self: Any, name: str) -> Any:
        found.add(name)
        return look(self, name)

    environment.__getitem__ = noting
    try:
        yield found
    finally:
        environment.__getitem__ = look


# --- serving --------------------------------------------------------------------------------------


def join(namespace: int) -> None:
    """Enter a namespace (os.setns is younger than Python 3.11)."""
    if LIBC.setns(namespace, 0):
        raise OSError(ctypes.get_errno(), "setns failed")


def serve(listener: socket.socket) -> tuple[dict[str, Any], list[int]] | None:
    """Make children until standard input ends.

    :returns: in a child the request, and the descriptors that came with it; None in the server
    """
    poll = select.poll()
    poll.register(0)
    poll.register(listener, select.POLLIN)
    running: dict[int, tuple[int, socket.socket]] = {}
    watching: dict[int, int] = {}
    while True:
        for ready, _events in poll.poll():
            if ready == 0:
                return None
            if ready in running:
                poll.unregister(ready)
                pid, client = running.pop(ready)
                os.close(ready)
                if watching.pop(client.fileno(), None):
                    poll.unregister(client)
                _, status = os.waitpid(pid, 0)
                # One that was not waited for has gone.
                with client, contextlib.suppress(OSError):
                    client.send(b"%d" % status)
                continue
            if ready in watching:
                # Who asked for it was killed: so it would have been.
                poll.unregister(ready)
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(watching.pop(ready), signal.SIGKILL)
                continue
            if ready != listener.fileno():
                continue  # handled in this round
            client, _ = listener.accept()
            message, descriptors, _, _ = socket.recv_fds(client, 1 << 20, 5)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # eventlet's, of forks
                pid = os.fork()
            if not pid:
                signal.signal(signal.SIGINT, INTERRUPTED)
                for other in (client, listener, *(item[1] for item in running.values())):
                    other.close()
                return json.loads(message), descriptors
            for descriptor in descriptors:
                os.close(descriptor)
            watched = os.pidfd_open(pid)
            with contextlib.suppress(OSError):
                socket.send_fds(client, [b"%d" % pid], [watched])
            running[watched] = pid, client
            watching[client.fileno()] = watched
            poll.register(watched, select.POLLIN)
            poll.register(client, 0)


# --- becoming the command -------------------------------------------------------------------------


def become(script: str, request: dict[str, Any], descriptors: list[int]) -> None:
    """Give this child what the process that it stands for would have been started with."""
    streams, namespaces = descriptors[:3], descriptors[3:]
    for namespace in namespaces:
        join(namespace)
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.setpgid(0, request["group"])
    os.chdir(request["folder"])
    os.umask(request["umask"])
    # Not another object: libraries hold this one.
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = [script, *request["words"]]
    sys.orig_argv = [sys.executable, *sys.argv]
    Path("/proc/self/comm").write_text(Path(script).name)
    sys.stdin = sys.__stdin__ = _stream(0, sys.stdin)
    sys.stdout = sys.__stdout__ = _stream(1, sys.stdout)
    sys.stderr = sys.__stderr__ = _stream(2, sys.stderr)
    sys.excepthook = _without_this_file


def _stream(number: int, before: Any) -> Any:
    """Make a standard stream, as ``create_stdio`` of Python/pylifecycle.c does."""
    mode = "w" if number else "r"
    unbuffered = before.write_through and mode == "w"
    buffer: Any = open(number, f"{mode}b", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
    getattr(buffer, "raw", buffer).name = before.name
    stream: Any = io.TextIOWrapper(
        buffer,
        encoding=before.encoding,
        errors=before.errors,
        newline="\n",
        line_buffering=not before.write_through and (number == 2 or os.isatty(number)),
        write_through=before.write_through,
    )
    stream.mode = mode
    return stream


def _without_this_file(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    sys.__excepthook__(kind, error.with_traceback(trace.tb_next), trace.tb_next)


def _main(script: str) -> types.ModuleType:
    module = types.ModuleType("__main__")
    module.__dict__.update(
        __annotations__={}, __builtins__=__builtins__, __cached__=None, __file__=script
    )
    return module


# At the top level, so that the command ends as a program does: an exception is shown, threads are
# waited for, handlers run, streams are flushed.
script = sys.argv[1]
sys.path[0] = str(Path(script).parent)
requests = socket.socket(fileno=int(sys.argv[2]))
join(int(sys.argv[3]))
os.close(int(sys.argv[3]))
read = prepare()
code = compile(Path(script).read_bytes(), script, "exec")
# A child that collects garbage would otherwise write to every page it shares with the server.
gc.collect()
gc.freeze()
# Ctrl-C is for the tests and their commands.  A group of this server's own would be no way out:
# with each command that ends in the tests' group, whose parent is in another one, the kernel
# looks whether that leaves the group orphaned, and hangs up all of it if a test has stopped a
# process in it (exit_notify in kernel/exit.c; POSIX, _Exit()).
INTERRUPTED = signal.getsignal(signal.SIGINT)
if INTERRUPTED != signal.SIG_IGN:  # served_command.py compares what is ignored
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
print(f"ready {json.dumps(sorted(read))}", flush=True)  # noqa: T201
asked = serve(requests)
if asked:
    become(script, *asked)
    this = sys.modules["__main__"]
    sys.modules["__main__"] = _main(script)
    try:
        exec(code, sys.modules["__main__"].__dict__)  # noqa: S102
    except SystemExit as end:
        if end.code is None or type(end.code) is int:
            ENDED.append((end.code or 0) & 0xFF)
        raise
    ENDED.append(0)
else:
    address = Path(requests.getsockname())
    address.unlink()
    address.parent.rmdir()
