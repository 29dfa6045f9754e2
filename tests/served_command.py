# SPDX-License-Identifier: Apache-2.0
"""What ``os-vif`` is where a shell finds a fork server's: :meth:`tests.command.ForkServer.install`.

It hands all that it was started with to the server, passes signals on to the child, and ends as
the child does. Where a fork would not be what it would have been, it becomes the installed script.
Run with ``-IS``, so that it starts in a few milliseconds.
"""

import json
import os
import select
import signal
import socket
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
# Of /proc/PID/status: whose process it is, what it may do, and what it ignores.
SAME = ("Uid", "Gid", "Groups", "NoNewPrivs", "Cap", "Seccomp", "SigBlk", "SigIgn")
ENTERED = {"net", "mnt"}


def _kind(pid: object) -> list[object]:
    folder = f"/proc/{pid}"
    namespaces = [
        os.readlink(f"{folder}/ns/{name}")
        for name in sorted(set(os.listdir(f"{folder}/ns")) - ENTERED)
    ]
    with open(f"{folder}/status") as status, open(f"{folder}/limits") as limits:
        rights = [line for line in status if line.startswith(SAME)]
        return [namespaces, rights, limits.read()]


def _as_the_server(server: dict) -> bool:
    environment, began = os.environ, server["environment"]
    return (
        all(
            environment.get(name) == began.get(name)
            for name in {*environment, *began}
            if name.startswith(tuple(server["at_start"])) or name in server["read"]
        )
        # The fourth is this listing's own.
        and sorted(map(int, os.listdir("/proc/self/fd"))) == [0, 1, 2, 3]
        and os.getsid(0) == os.getsid(server["pid"])
        and _kind("self") == _kind(server["pid"])
    )


def _serve(server: dict) -> int:
    """Return the status of the child, as wait(2) has it."""
    umask = os.umask(0)
    os.umask(umask)
    request = {
        "words": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "umask": umask,
        # Else a signal to this process's group would reach it twice.
        "group": 0,
    }
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.connect(server["address"])
    descriptors = [0, 1, 2, os.open("/proc/self/ns/net", os.O_RDONLY)]
    if os.readlink("/proc/self/ns/mnt") != os.readlink(f"/proc/{server['pid']}/ns/mnt"):
        descriptors.append(os.open("/proc/self/ns/mnt", os.O_RDONLY))
    socket.send_fds(client, [json.dumps(request).encode()], descriptors)
    _, [child], _, _ = socket.recv_fds(client, 64, 1)
    poll = select.poll()
    poll.register(wake, select.POLLIN)
    poll.register(client, select.POLLIN)
    while True:
        ready = [number for number, _events in poll.poll()]
        if wake in ready:
            for number in os.read(wake, 4096):
                try:  # noqa: SIM105  (importing contextlib takes as long as all of this)
                    signal.pidfd_send_signal(child, number)
                except ProcessLookupError:
                    pass
        if client.fileno() in ready:
            return int(client.recv(64))


def main() -> None:
    """Be the command."""
    with open(f"{FOLDER}/server.json") as file:
        server = json.load(file)
    if not _as_the_server(server):
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execv(server["script"], [server["script"], *sys.argv[1:]])  # noqa: S606
    code = os.waitstatus_to_exitcode(_serve(server))
    if code < 0:
        if -code not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main()
