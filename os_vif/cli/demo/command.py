# SPDX-License-Identifier: Apache-2.0
"""The subcommand ``demo``: the stage, which is set up and proven empty afterwards.

A child process plays, in namespaces of its own; the kernel takes them down with it, however it
ends, once the dnsmasq of the last act is gone too: the child ends that, unless it is killed over
it. The parent stays where it was and sees that its network is as before.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

import click

from os_vif.cli import namespaces
from os_vif.cli.options import Taught, shared_options
from os_vif.cli.results import duration
from os_vif.cli.session import Exit, Failure, Session


@click.command("demo", cls=Taught)
@shared_options
@click.pass_obj
def demo(session: Session) -> int:
    """See it work, in a network of its own.

    Two guests are plugged on a bridge and send each other real packets; something is broken, check
    finds it, plug repairs it, and unplug leaves nothing. A third one is told its address by DHCP
    and gets outside, where this host has dnsmasq. All of it happens in a private network namespace,
    also without root where the kernel gives user namespaces, so nothing of this host is touched. It
    takes about a second, and needs nothing else but Python and the kernel.

    Examples:
      os-vif demo
      os-vif demo --json

    With --json: "acts", each with act, seconds and what it found; "left_out", why the last act is,
    or null; "seconds"; "user_namespace".
    """
    from os_vif.cli.demo import world

    begun = time.monotonic()
    session.say(("os-vif demo", "title"), ": two guests on a bridge, in a private network")
    before = world.devices()
    reader, writer = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os.close(reader)
        return _stage(session, writer)
    os.close(writer)
    told, status = _audience(child, reader)
    if status != Exit.DONE:
        # The child has said why.
        if session.json:
            sys.stdout.write(told)
        return status
    after = world.devices()
    if after != before:
        raise Failure(f"the host's devices were {before} and are {after}")
    seconds = time.monotonic() - begun
    session.say("   the private network is gone, and this host has the devices it had before")
    session.say("")
    session.say(("all done", "good"), f" in {duration(seconds)}")
    session.say(("next: os-vif types, then os-vif plug FILE; os-vif --help", "quiet"))
    return session.finish(Exit.DONE, **json.loads(told), seconds=round(seconds, 6))


def _stage(session: Session, writer: int) -> int:
    """Play in the child; return its exit code."""
    # Ctrl-C reaches the parent alone, which passes it on once.
    os.setpgid(0, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    with os.fdopen(writer, "w") as tell:
        try:
            result = _play(session)
        except KeyboardInterrupt:
            raise Failure(
                "interrupted; the private network is gone, and nothing is left", Exit.INTERRUPTED
            ) from None
        json.dump(result, tell)
    sys.stdout.flush()
    return int(Exit.DONE)


def _play(session: Session) -> dict[str, Any]:
    try:
        in_user_namespace = namespaces.isolate()
    except namespaces.NoNamespace as error:
        raise Failure(f"the demo needs a private network: {error}") from None
    if in_user_namespace:
        session.say(("without root: as root of a user namespace", "quiet"))
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        raise Failure(
            f"/dev/net/tun: {error.strerror}; taps are made through it. Run as root, or have it "
            "readable and writable for all, as most distributions do (chmod 0666), with the tun "
            "module loaded (modprobe tun)"
        ) from None
    from os_vif.cli.demo import story

    return {"user_namespace": in_user_namespace, **story.play(session)}


def _audience(child: int, reader: int) -> tuple[str, Exit]:
    """Wait for the child; return what it told and how it ended."""

    def pass_on(number: int, _frame: object) -> None:
        os.kill(child, number)

    former = signal.signal(signal.SIGINT, pass_on)
    try:
        with os.fdopen(reader) as told:
            text = told.read()
        _pid, status = os.waitpid(child, 0)
    finally:
        signal.signal(signal.SIGINT, former)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        raise Failure(f"the demo was ended by {signal.Signals(-code).name}")
    return text, Exit(code)
