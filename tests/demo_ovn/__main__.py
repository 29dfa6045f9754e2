# SPDX-License-Identifier: Apache-2.0
"""``make demo-ovn``: fetches OVN and Open vSwitch, and plays the demo with them.

Nothing is installed: Debian's packages are unpacked into ``.cache/ovn``, which the tests use too.
The hosts are network namespaces with a switch in userspace each, so that no module of the kernel's
is needed; they are gone at the end, however that comes.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from os_vif.cli.session import Session
from tests import debian, stage

FETCHED_MB = 60
"""What is fetched the first time: OVN, Open vSwitch, their libraries, the package lists."""
UNPACKED_GB = 0.2
PROGRAMS = {"ip": "iproute2", "ping": "iputils-ping", "nsenter": "util-linux"}
"""Of this host, each with Debian's package of it."""


def main() -> int:
    """Fetch, play, and see that nothing is left; return the exit code."""
    return stage.run(
        stage.Demo(
            name="demo-ovn",
            what="two hosts with a real OVN between them",
            takes="it takes a quarter of a minute",
            fetch=_fetch,
            furnish=lambda _tree, _folder: None,
            story="tests.demo_ovn.story",
            further="docs/networks.rst; os-vif network --help",
        )
    )


def _fetch(session: Session) -> Path:
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            raise debian.PackagesError(f"there is no {program} here: install {package}")
    if not (debian.CACHE / "ovn").exists():
        session.say(
            f"fetching {FETCHED_MB} MB of Debian's packages (OVN, Open vSwitch) with apt; it takes "
            f"half a minute or more. They are unpacked into .cache/ovn ({UNPACKED_GB:g} GB), not "
            "installed, and fetched this once."
        )
    with stage.progress(debian.CACHE, "OVN"):
        return debian.tree("ovn")


if __name__ == "__main__":
    sys.exit(main())
