# SPDX-License-Identifier: Apache-2.0
"""The daemons of oslo.privsep, with an end to each call.

oslo.privsep waits for ever for a daemon that is stopped, and for one that was killed before it had
read all that it was sent: the thread that reads then dies of ECONNRESET, and tells nobody.  A child
of a process that has a daemon waits for a thread that only its parent has.  Here a call has its
time, a daemon that gives no answer is given up, and the next call starts another.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from oslo_config import cfg

from os_vif.engine import call_time
from os_vif.system import eventlet_free

with eventlet_free.imports():
    from oslo_privsep import comm, daemon, priv_context

LOG = logging.getLogger(__name__)

OPTION = cfg.IntOpt(
    "call_timeout",
    default=120,
    min=0,
    help="Seconds until a call gives up a daemon that does not answer; 0 waits for ever. What "
    "switches and back ends may take by their own options is not counted.",
)

_START_S = 30.0
"""Seconds there are for starting one, at the least: a busy host, a password to be typed."""
_CLOSE_S = 5.0
_TIMED_OUT = f"{comm.PrivsepTimeout.__module__}.{comm.PrivsepTimeout.__name__}"


class Lost(OSError):
    """No answer came to a call, which may have been done or not."""


class NotStarted(Exception):
    """There is no daemon, and none could be started; ``__cause__`` says why."""


class _Ending(daemon._ClientChannel):
    """A channel that ends with its daemon, or when that has no time left."""

    def __init__(self, sock: socket.socket, context: Context) -> None:
        self.sock = sock
        self.context = context
        self.sockpath = context.sockpath
        try:
            super().__init__(sock, context)
        except BaseException:
            self.end()
            raise

    def _reader_main(self, reader: Any) -> None:
        super()._reader_main(_until_it_ends(reader))  # type: ignore[arg-type]  # it iterates

    def send_recv(self, msg: Any, timeout: float | None = None) -> Any:
        """Send a message and return the answer.

        :param timeout: seconds; by default, for oslo.privsep's own message, those of a call
        :raises Lost: there is none.
        """
        limit = self.context.limit if timeout is None else timeout
        # Who sends to one that does not read holds the lock of all.  Reading goes on after that.
        self.sock.settimeout(limit)
        try:
            reply = super().send_recv(msg, limit)
        except OSError as error:
            self.end()
            raise self.context.lost(late=isinstance(error, TimeoutError)) from error
        if reply[0] == comm.Message.ERR and reply[1] == _TIMED_OUT:
            self.end()
            _kill(self.sockpath)
            raise self.context.lost(late=True)
        return reply

    def end(self) -> None:
        """Close it; a daemon that reads on finds its end."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.reader_thread.join(_CLOSE_S)
        with self.lock:
            self.running = False
            self.sock.close()

    def close(self) -> None:
        """Let the daemon end what it does, and close."""
        with self.lock, contextlib.suppress(OSError):
            self.writer.close()
        self.reader_thread.join(_CLOSE_S)
        self.end()


def _until_it_ends(reader: Any) -> Iterator[Any]:
    try:
        yield from reader
    except Exception as error:  # whatever it is: nothing can be read any more
        LOG.debug("reading from a privileged daemon: %s", error)


class _Started(daemon.RootwrapClientChannel, _Ending):
    pass


class _Forked(daemon.ForkingClientChannel, _Ending):
    pass


class Context(priv_context.PrivContext):
    """A daemon of ours: how it is started, what it may do, and how long a call may take."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        cfg.CONF.register_opt(OPTION, group=self.cfg_section)
        self.sockpath = ""
        self._unattended = False
        _contexts.append(self)

    @property
    def limit(self) -> float | None:
        """Seconds of a call; None for no limit."""
        return float(self.conf.call_timeout) or None

    def helper_command(self, sockpath: str) -> list[str]:
        """Return the command that starts the daemon, which has a path that no other's has."""
        self.sockpath = sockpath
        command = super().helper_command(sockpath)
        if self._unattended and command[:2] == ["sudo", "privsep-helper"]:
            command.insert(1, "-n")
        return command

    def start(self, method: priv_context.Method = priv_context.Method.ROOTWRAP) -> None:
        """Start a daemon, if none is there.

        :raises OSError: it cannot be started, or not in time.
        :raises FailedToDropPrivileges: so it said, or its command.
        """
        with self.start_lock:
            if self.channel is not None:
                return
            self._unattended = call_time.current().unattended
            if method is priv_context.Method.FORK:
                self.channel = _Forked(context=self)
            else:
                self.channel = _Start(self).channel()

    def call(self, name: str, args: tuple[Any, ...], end: float) -> Any:
        """Have a daemon run an entry point, and return what that returns.

        :param name: module and name of the entry point
        :param end: when the call must be over, by :func:`time.monotonic`
        :raises Lost: no answer came.
        :raises NotStarted: none could be started.
        """
        asked = time.monotonic()
        channel = self._running()
        left = end - asked  # what its start took is not the daemon's
        if left <= 0:
            raise self.lost(late=True)
        limit, until = None, None
        if left < float("inf"):
            limit, until = left + call_time.GRACE_S, time.monotonic() + left
        try:
            return channel.remote_call(name, (*args, until), {}, limit)
        except Lost:
            self.drop(channel)
            raise

    def lost(self, *, late: bool) -> Lost:
        """Return the error of a call that has no answer.

        :param late: it did not come in time; else the daemon ended
        """
        where = f"[{self.cfg_section}]"
        if late:
            words = f"the privileged daemon has not answered in time ({where} call_timeout)"
            return Lost(errno.ETIMEDOUT, words)
        return Lost(errno.EPIPE, f"the privileged daemon of {where} ended meanwhile")

    def _running(self) -> Any:
        while (channel := self.channel) is None or not channel.running:
            self.drop(channel)
            try:
                self.start()
            except (OSError, daemon.FailedToDropPrivileges) as error:
                raise NotStarted from error
        return channel

    def drop(self, channel: Any) -> None:
        """Have the next call start a daemon, if this one is the latest."""
        if channel is None:
            return
        with self.start_lock:
            if self.channel is channel:
                self.channel = None
        if isinstance(channel, _Ending):
            channel.end()


class _Start:
    """The start of a daemon, which a thread of its own waits for: its command may hang."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._over = threading.Event()
        self._given_up = False
        self._lock = threading.Lock()
        self._channel: _Started | None = None
        self._error: BaseException | None = None

    def channel(self) -> _Started:
        """Return the channel to it."""
        threading.Thread(target=self._run, name="privsep_start", daemon=True).start()
        limit = self._context.limit
        seconds = limit and max(limit, _START_S)
        self._over.wait(seconds)
        with self._lock:
            self._given_up = self._channel is None
        if self._channel is not None:
            return self._channel
        if self._error is not None:
            raise self._error
        _kill(self._context.sockpath)
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as nobody:
            nobody.connect(self._context.sockpath)  # whoever waits for it to be called
        raise TimeoutError(errno.ETIMEDOUT, f"it has not started a daemon within {seconds:g} s")

    def _run(self) -> None:
        try:
            channel = _Started(context=self._context)
        except BaseException as error:
            self._error = error
        else:
            with self._lock:
                if not self._given_up:
                    self._channel = channel
            if self._given_up:
                channel.end()
        self._over.set()


def _kill(sockpath: str) -> None:
    """End what was started with this path, as far as this user may; it may be stopped, or hang."""
    for process in Path("/proc").glob("[0-9]*") if sockpath else ():
        with contextlib.suppress(OSError):
            if _is_of(process, sockpath):
                handle = os.pidfd_open(int(process.name))
                try:
                    if _is_of(process, sockpath):  # the number was not another's meanwhile
                        signal.pidfd_send_signal(handle, signal.SIGKILL)
                finally:
                    os.close(handle)


def _is_of(process: Path, sockpath: str) -> bool:
    return sockpath.encode() in (process / "cmdline").read_bytes().split(b"\0")


_contexts: list[Context] = []


def _forget_daemons() -> None:
    # A child has its parent's socket, and not the thread that reads from it.
    for context in _contexts:
        channel, context.channel = context.channel, None
        context.start_lock = threading.Lock()
        if isinstance(channel, _Ending):
            channel.sock.close()


os.register_at_fork(after_in_child=_forget_daemons)
