# SPDX-License-Identifier: Apache-2.0
"""``make demo-vm``: fetches what a guest takes, and plays the demo with it.

Nothing is installed: Debian's packages are unpacked into ``.cache/lab``, which the tests' lab uses
too. The guest runs in a private network, its processor is emulated, and a folder in /tmp is all
that it needs of this host's files; network and folder are gone at the end, however that comes.
"""

from __future__ import annotations

import sys

from os_vif.cli.session import Session
from tests import stage
from tests.lab import packages
from tests.lab.demo import machine
from tests.vm.image import CACHE

FETCHED_MB = 130
"""What is fetched the first time: QEMU and its libraries, a kernel, busybox, the package lists."""
UNPACKED_GB = 0.6


def main() -> int:
    """Fetch, play, and see that nothing is left; return the exit code."""
    return stage.run(
        stage.Demo(
            name="demo-vm",
            what="a real guest in QEMU",
            takes="it takes half a minute: the guest's processor is emulated",
            fetch=_parts,
            furnish=machine.prepare,
            story="tests.lab.demo.story",
            further="docs/tutorial.rst; os-vif run --help",
        )
    )


def _parts(session: Session) -> packages.Parts:
    if packages.there(CACHE):
        return packages.prepare(CACHE)
    session.say(
        f"fetching {FETCHED_MB} MB of Debian's packages (QEMU, a kernel, busybox) with apt; it "
        f"takes a minute or two. They are unpacked into .cache/lab ({UNPACKED_GB:g} GB), not "
        "installed, and fetched this once."
    )
    with stage.progress(CACHE, "lab"):
        return packages.prepare(CACHE)


if __name__ == "__main__":
    sys.exit(main())
