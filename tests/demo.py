# SPDX-License-Identifier: Apache-2.0
"""``make demo``: ``os-vif demo``, where dnsmasq is missing with Debian's, unpacked into the cache.

Arguments are the demo's.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from pathlib import Path

from tests import debian

PLACES = "/usr/local/sbin:/usr/sbin:/sbin"
"""Where root has programs, which another user's PATH may not name."""


def settings() -> list[str]:
    """Return the words that say which dnsmasq: none for this machine's own, or where none is had.

    Without it the demo says what it leaves out.
    """
    if shutil.which("dnsmasq", path=f"{os.environ.get('PATH', '')}:{PLACES}"):
        return []
    try:
        with contextlib.redirect_stdout(sys.stderr):  # for --json
            tree = debian.tree("dnsmasq")
        command = shlex.join(debian.command(tree, "usr/sbin/dnsmasq"))
    except (debian.PackagesError, OSError) as error:
        sys.stderr.write(f"no dnsmasq, and none can be had: {error}\n")
        return []
    return ["--set", f"dnsmasq.command={command}"]


if __name__ == "__main__":
    program = str(Path(sys.executable).with_name("os-vif"))
    os.execv(program, [program, "demo", *settings(), *sys.argv[1:]])  # noqa: S606
