# SPDX-License-Identifier: Apache-2.0
"""6WIND's command ``fp-vdev`` as a test has it: it takes exactly what the contract says.

A device is one end of a veth; the other end is the fast path's side, where a guest would be.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests import vifs

_SCRIPT = """\
#!/bin/sh
here={here}
usage() { echo "usage: $*" >&2; exit 2; }
say() { if [ -e "$here/$1" ]; then cat "$here/$1"; fi; }
echo "$*" >> "$here/calls"
mood=$(say "$1.mood")
case "$1" in
add)
    [ $# = 6 ] && [ "$3" = --sockpath ] && [ "$5" = --sockmode ] ||
        usage "add DEV --sockpath P --sockmode client|server"
    [ ${#2} -ge 4 ] && [ ${#2} -le 15 ] || usage "no name of a device: $2"
    case "$4" in /*) ;; *) usage "no path: $4" ;; esac
    [ ${#4} -le 107 ] || usage "the path has more than 107 bytes: $4"
    case "$6" in client|server) ;; *) usage "no mode: $6" ;; esac
    [ "$6" = client ] || [ ! -e "$4" ] || { echo "$4: Address already in use" >&2; exit 1; }
    case "$mood" in
    hang) sleep 60; ip link add "$2" type veth peer name "far${2#???}" ;;
    silent) exit 0 ;;
    helper) sleep 60 & echo $! > "$here/helper" ;;
    esac
    case "$mood" in
    "" | half* | slow | helper) ip link add "$2" type veth peer name "far${2#???}" || exit 1 ;;
    esac
    case "$mood" in
    slow) sleep 0.5; exit 0 ;;
    helper) exit 0 ;;
    esac ;;
del)
    [ $# = 2 ] || usage "del DEV"
    case "$mood" in
    hang) sleep 60 ;;
    silent) exit 0 ;;
    "") ip link del "$2" || exit 1 ;;
    esac ;;
get)
    [ $# = 2 ] || usage "get sockfolder|sockmode"
    case "$2" in sockfolder|sockmode) say "$2" ;; *) usage "get sockfolder|sockmode" ;; esac
    exit 0 ;;
*)
    usage "add|del|get" ;;
esac
[ -z "$mood" ] || { echo "$mood" >&2; exit 1; }
"""


class FpVdev:
    """The command, and what it was asked.

    :ivar command: its path.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.command = str(folder / "fp-vdev")
        Path(self.command).write_text(_SCRIPT.replace("{here}", str(folder)))
        Path(self.command).chmod(0o755)

    def be(self, mood: str, word: str = "add") -> None:
        """Have it fail from now on.

        :param mood: ``hang``, ``slow``, ``helper`` (it leaves a program running that has its output
            open), ``silent`` (it does nothing, and says that all is well), words that begin with
            ``half`` (it does its work, says this and fails), or any others (it says this and
            fails); '' for none of these
        :param word: on ``add`` or ``del``
        """
        (self._folder / f"{word}.mood").write_text(mood)

    def set_up(self, *, folder: str = "", mode: str = "") -> None:
        """Have it answer ``get sockfolder`` and ``get sockmode`` with these."""
        (self._folder / "sockfolder").write_text(f"{folder}\n")
        (self._folder / "sockmode").write_text(f"{mode}\n")

    def was_asked(self) -> bool:
        """Tell whether it was asked anything since the last :meth:`calls`."""
        return (self._folder / "calls").exists()

    def helper(self) -> int:
        """Return the process that it left running."""
        return int((self._folder / "helper").read_text())

    def calls(self) -> list[str]:
        """Return what it was asked since the last time, each as one text."""
        log = self._folder / "calls"
        found = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return found


def far(device: str) -> str:
    """Return the name of the fast path's side of a device."""
    return f"far{device[3:]}"


@contextlib.contextmanager
def on_fp_vdev(folder: Path, **options: object) -> Iterator[FpVdev]:
    """Have the fast path be 6WIND's, by a command in this folder."""
    made = FpVdev(folder)
    options = {"fp_vdev_command": made.command, "back_end_timeout": 30, **options}
    with vifs.configured("vhostuser_fp", back_end="6wind", **options):
        yield made
