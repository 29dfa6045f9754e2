# SPDX-License-Identifier: Apache-2.0
"""What demos have in common that take Debian's packages: fetch, play, and see that nothing is left.

The acts run in a process of their own (:func:`play`), which makes itself a private network; so this
host's is not touched, and what the demo starts ends with it, however that comes.

Exit status: 0 all came out as it should; 1 something did not, and is named; 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from os_vif.cli import children, namespaces
from os_vif.cli.demo import world
from os_vif.cli.demo.story import Story
from os_vif.cli.results import duration
from os_vif.cli.session import Exit, Failure, Session
from tests import debian


@dataclasses.dataclass(frozen=True)
class Demo:
    """A demo.

    :ivar name: the target of make, also of its folder in /tmp.
    :ivar what: it is, in words.
    :ivar takes: how long it takes, and why.
    :ivar fetch: fetches what it is made of; :class:`~tests.debian.PackagesError` if it cannot.
    :ivar furnish: puts what was fetched into its folder.
    :ivar story: the module with the acts, which is given the folder.
    :ivar further: what to read next.
    """

    name: str
    what: str
    takes: str
    fetch: Callable[[Session], Any]
    furnish: Callable[[Any, Path], None]
    story: str
    further: str


def run(demo: Demo) -> int:
    """Fetch, play, and see that nothing is left; return the exit code."""
    session = Session()
    session.say((f"make {demo.name}", "title"), f": {demo.what}, in a private network")
    try:
        return _run(demo, session, demo.fetch(session))
    except debian.PackagesError as error:
        session.error(str(error))
        return Exit.FAILED
    except KeyboardInterrupt:
        session.error("interrupted; what was fetched by half is gone")
        return Exit.INTERRUPTED
    except children.Told as told:
        session.error(f"{told} came before it began")
        return 128 + told.number


def _run(demo: Demo, session: Session, parts: Any) -> int:
    """Play, and see that nothing is left.

    :raises Told: a signal came before it began
    """
    session.say(demo.takes)
    begun = time.monotonic()
    before = world.devices()
    prefix = f"{demo.name}-"
    with children.Kept() as kept, tempfile.TemporaryDirectory(prefix=prefix) as folder:
        demo.furnish(parts, Path(folder))
        words = [sys.executable, "-m", demo.story, folder]
        code = children.run(words, os.environ, (), kept, die_with_us=True)
    after = world.devices()
    if after != before:
        session.error(f"the host's devices were {before} and are {after}")
        return Exit.FAILED
    if code == Exit.DONE:
        session.say("   the private network is gone, and this host has the devices it had before")
        session.say("")
        session.say(("all done", "good"), f" in {duration(time.monotonic() - begun)}")
        session.say((f"next: {demo.further}", "quiet"))
    return code


def play(acts: Callable[[], None], gone: str, *expected: type[BaseException]) -> int:
    """Make a private network, and play in it; return the exit code.

    :param gone: what goes when it is interrupted, in words
    :param expected: more of what says that something did not come out as it should
    """
    session = Session()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if namespaces.isolate():
            session.say(("without root: as root of a user namespace", "quiet"))
        acts()
    except namespaces.NoNamespace as error:
        session.error(f"the demo needs a private network: {error}")
    except (Failure, OSError, AssertionError, pytest.fail.Exception, *expected) as error:
        session.error(str(error))
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        session.error(f"interrupted; {gone} are gone, and nothing is left")
        return Exit.INTERRUPTED
    else:
        return Exit.DONE
    return Exit.FAILED


def run_and_tell(
    story: Story, name: str, argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]
) -> str:
    """Run a command, and tell what it says; return it.

    :param name: what it is called, should it fail
    :raises Failure: it fails
    """
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    for line in done.stdout.splitlines():
        story.tell(line)
    story.expect(done.returncode == 0, f"{name} ended with {done.returncode}")
    return done.stdout


@contextlib.contextmanager
def progress(cache: Path, user: str) -> Iterator[None]:
    """Say every few seconds how much of the packages is there.

    :param cache: below which they are fetched
    :param user: what they are for
    """
    done = threading.Event()

    def tell() -> None:
        most = 0
        while not done.wait(5):
            size = sum(_size(file) for file in cache.glob("apt-*/archives/**/*.deb"))
            if size > most:
                most = size
                debian.say(f"{size / 1e6:.0f} MB of it are here", user)

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def _size(file: Path) -> int:
    with contextlib.suppress(OSError):
        return file.stat().st_size
    return 0
