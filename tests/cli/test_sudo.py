# SPDX-License-Identifier: Apache-2.0
"""What errors tell to run with sudo, run with Debian's sudo, which has its own path."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import debian

from .conftest import BRIDGE
from .test_privilege import powerless

pytestmark = pytest.mark.functional

# In a mount namespace: sudo's settings and plugins are where it was built to look for them. To root
# a module of PAM that permits all will do.
AS_INSTALLED = """
set -eu
tree=$1 etc=$2; shift 2
mount --make-rprivate /
cp -a /etc/. "$etc"
mount -t tmpfs tmpfs /usr/libexec
cp -a "$tree/usr/libexec/sudo" /usr/libexec/
mount --bind "$etc" /etc
cp "$tree/etc/sudoers" "$tree/etc/sudo.conf" /etc/
chmod 0440 /etc/sudoers
mkdir -p /etc/sudoers.d
module=$(find "$tree" -name pam_permit.so | head -n 1)
for kind in auth account session; do echo "$kind required $module"; done > /etc/pam.d/sudo
exec "$@"
"""


def sudo(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as root, whose own path has the virtual environment."""
    tree = debian.tree("sudo")
    program, option, libraries, *rest = debian.command(tree, "usr/bin/sudo")
    libraries += f":{tree}/usr/libexec/sudo"
    (folder / "etc").mkdir()
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    try:
        return subprocess.run(
            [
                *("unshare", "--mount", "sh", "-c", AS_INSTALLED, "sh", str(tree)),
                *(str(folder / "etc"), program, option, libraries, *rest, *words),
            ],
            env={"PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        subprocess.run(["rm", "-r", str(folder / "etc")], check=True)


def test_what_the_error_says_works(osvif, tmp_path):
    said = powerless(osvif, "plug", osvif.file(BRIDGE), code=1).stderr
    [command] = re.findall(r"Run as root \(sudo (.*) \.\.\.\)", said)
    [helper] = re.findall(r"helper_command = sudo (\S+) in ", said)
    for name, words, shown in (
        ("os-vif", [*shlex.split(command), "--version"], "os-vif, version"),
        ("privsep-helper", [*shlex.split(helper), "--help"], "usage: privsep-helper"),
    ):
        assert f"sudo: {name}: command not found" in sudo(tmp_path, name, *words[1:]).stderr
        done = sudo(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
