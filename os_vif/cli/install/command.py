# SPDX-License-Identifier: Apache-2.0
"""``install``: systemd units, manual pages and completion, written where the host looks for them.

The last line of each file says what the rest was when it was written: so it is known, without a
record elsewhere, which files somebody has changed since.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import click

from os_vif.cli.install import VIFS
from os_vif.cli.options import Taught, shared_options
from os_vif.cli.session import Exit, Failure, Session

UNITS = ("os-vif.service", "os-vif-check.service", "os-vif-check.timer")

_SYSTEM = {
    "bash": "share/bash-completion/completions/os-vif",
    "zsh": "share/zsh/site-functions/_os-vif",
    "fish": "share/fish/vendor_completions.d/os-vif.fish",
}
_SIGNED = re.compile(rb"(?s)(.*\n)[^\n]* os-vif install: sha256 ([0-9a-f]{64})\n\Z")


@click.command("install", cls=Taught)
@click.option("--root", metavar="DIR", default="/", help="Write below DIR, as for a package.")
@click.option("--prefix", metavar="DIR", default="/usr/local", help="Instead of /usr/local.")
@click.option("--user", is_flag=True, help="Manual and completion alone, for yourself.")
@click.option("--program", metavar="FILE", help="The os-vif that the units run, if not this one.")
@click.option("--uninstall", is_flag=True, help="Remove what was written.")
@click.option("--force", is_flag=True, help="Also what somebody has changed since.")
@shared_options
@click.pass_obj
def install(
    session: Session,
    *,
    root: str,
    prefix: str,
    user: bool,
    program: str | None,
    uninstall: bool,
    force: bool,
) -> int:
    """Write systemd units, manual pages and completion.

    os-vif.service plugs the VIFs of /etc/os-vif/vifs.d at boot, before guests start; to stop it
    unplugs nothing. os-vif-check.timer checks them every five minutes: os-vif-check.service has
    failed if something has drifted. Nothing is enabled by this. A file that somebody has changed is
    left, and then nothing is written at all; to add to a unit use systemctl edit.

    Examples:
      os-vif install
      systemctl daemon-reload
      systemctl enable --now os-vif.service os-vif-check.timer

    To take it away again:
      systemctl disable --now os-vif-check.timer os-vif.service
      os-vif install --uninstall

    With --json: "files", each with path and state (written, unchanged, removed, changed).
    """
    if user and (root != "/" or prefix != "/usr/local" or program):
        raise click.UsageError("--user goes with neither --root, --prefix nor --program")
    top = Path(os.path.abspath(root))
    wanted = dict(_for_user() if user else _for_host(session, top, prefix, program, uninstall))
    states = {path: _state(path, content) for path, content in wanted.items()}
    left = [str(path) for path, state in states.items() if state == "changed" and not force]
    folder = top / VIFS.lstrip("/")
    if not uninstall and left:
        raise Failure(
            f"not as os-vif install wrote it: {', '.join(left)}; nothing was touched, --force "
            "overwrites it"
        )
    for path in wanted:
        _may_write(path)
    results = []
    try:
        for path, content in wanted.items():
            state = _remove(path, states[path], force) if uninstall else _write(path, content)
            if state:
                results.append({"path": str(path), "state": state})
                session.say((state.ljust(9), "warn" if state == "changed" else "good"), f"  {path}")
        if not user:
            _keep_folder(folder, uninstall=uninstall)
    except OSError as error:
        raise Failure(f"{error.filename or path}: {error.strerror}") from None
    if not user and not uninstall and not session.json:
        session.note(
            f"put VIFs into {VIFS}, then: systemctl daemon-reload; "
            "systemctl enable --now os-vif.service os-vif-check.timer"
        )
    return session.finish(Exit.DONE, files=results)


# --- what, and where ----------------------------------------------------------------------------


def _for_host(
    session: Session, top: Path, prefix: str, program: str | None, uninstall: bool
) -> Iterator[tuple[Path, bytes]]:
    base = top / os.path.abspath(prefix).lstrip("/")
    run = program or _this_program()
    if not re.fullmatch(r"/[\w./+@,:=~-]+", run, re.ASCII):
        raise Failure(f"--program {run}: units cannot run this; expected an absolute path of plain "
                      "letters, without blanks", Exit.BAD_INPUT)  # fmt: skip
    if not uninstall and top == Path("/") and (why := _not_roots(Path(run))):
        session.warn(f"{run} runs as root at boot, and {why} is not root's alone to change")
    for name in UNITS:
        text = resources.files(__package__).joinpath(name).read_text()
        yield base / "lib/systemd/system" / name, _signed(text.replace("@OS_VIF@", run), "#")
    yield from _pages(base / "share/man")
    for shell, where in _SYSTEM.items():
        yield base / where, _completion(shell)


def _for_user() -> Iterator[tuple[Path, bytes]]:
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    yield from _pages(data / "man")
    yield data / "bash-completion/completions/os-vif", _completion("bash")
    yield data / "zsh/site-functions/_os-vif", _completion("zsh")
    yield config / "fish/completions/os-vif.fish", _completion("fish")


def _pages(folder: Path) -> Iterator[tuple[Path, bytes]]:
    from os_vif.cli.install import manual

    yield folder / "man1/os-vif.1", _signed(manual.command_page(), '.\\"')
    yield folder / "man5/os-vif.yaml.5", _signed(manual.file_page(), '.\\"')


def _completion(shell: str) -> bytes:
    from os_vif.cli import shells
    from os_vif.cli.main import cli

    script = shells.of(shell, cli)
    return _signed(script.source_template % script.source_vars(), "#")


def _this_program() -> str:
    found = shutil.which(sys.argv[0]) or sys.argv[0]
    return os.path.abspath(found)


def _not_roots(program: Path) -> Path | None:
    """Return what of a program's real path somebody else than root may change."""
    real = Path(os.path.realpath(program))
    for path in (real, *real.parents):
        try:
            found = path.stat()
        except OSError:
            return path
        sticky = stat.S_ISDIR(found.st_mode) and found.st_mode & stat.S_ISVTX
        if found.st_uid or (found.st_mode & 0o022 and not sticky):
            return path
    return None


# --- whose a file is ----------------------------------------------------------------------------


def _signed(text: str, comment: str) -> bytes:
    data = text.rstrip("\n").encode() + b"\n"
    return data + f"{comment} os-vif install: sha256 {hashlib.sha256(data).hexdigest()}\n".encode()


def _state(path: Path, content: bytes) -> str:
    """Return whether a file is absent, as it should be, an older one of ours, or changed."""
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            return "changed"
        there = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}") from None
    if there == content:
        return "unchanged"
    signed = _SIGNED.match(there)
    ours = signed and hashlib.sha256(signed[1]).hexdigest() == signed[2].decode()
    return "ours" if ours else "changed"


def _may_write(path: Path) -> None:
    """Refuse before anything is touched what cannot be written.

    :raises Failure: there is no right to
    """
    above = next(folder for folder in path.parents if os.path.lexists(folder))
    if not os.path.isdir(above):
        raise Failure(f"{above}: this is no folder; {path} was to go there", Exit.BAD_INPUT)
    if not os.access(above, os.W_OK | os.X_OK):
        raise Failure(
            f"no right to write in {above}: run as root (sudo os-vif install), or say --user for "
            "manual and completion of your own"
        )


def _write(path: Path, content: bytes) -> str:
    if _state(path, content) == "unchanged":
        return "unchanged"
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".os-vif-", delete=False) as file:
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return "written"


def _remove(path: Path, state: str, force: bool) -> str:
    if state == "absent":
        return ""
    if state == "changed" and not force:
        return "changed"
    path.unlink()
    return "removed"


def _keep_folder(folder: Path, *, uninstall: bool) -> None:
    if not uninstall:
        folder.mkdir(parents=True, exist_ok=True)
        return
    with contextlib.suppress(OSError):  # not empty: somebody's VIFs
        folder.rmdir()
        folder.parent.rmdir()
