# SPDX-License-Identifier: Apache-2.0
"""What ``os-vif install`` writes, whose it is, and what systemd, man and the shells say to it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import click
import pytest

from os_vif.cli.install import command
from os_vif.cli.main import _COMMANDS
from os_vif.cli.specs import types

from .conftest import BRIDGE, COMMAND, ENVIRONMENT, TAP

pytestmark = pytest.mark.functional

UNITS = ("os-vif.service", "os-vif-check.service", "os-vif-check.timer")
SHARED = {
    "share/man/man1/os-vif.1",
    "share/man/man5/os-vif.yaml.5",
    "share/bash-completion/completions/os-vif",
    "share/zsh/site-functions/_os-vif",
    "share/fish/vendor_completions.d/os-vif.fish",
}


def files_below(folder):
    return {str(it.relative_to(folder)) for it in folder.rglob("*") if not it.is_dir()}


def said_by(*words, **environment):
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=ENVIRONMENT | environment,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def root(osvif):
    """A root below which all is installed."""
    osvif("install", "--root", "root", "--program", COMMAND)
    return osvif.folder / "root"


def states(osvif, *words, **options):
    found = osvif.json("install", "--root", "root", "--program", COMMAND, *words, **options)
    return {Path(item["path"]).name: item["state"] for item in found["files"]}


def test_it_writes_what_the_host_looks_for_and_takes_it_away(osvif, root):
    units = {f"lib/systemd/system/{name}" for name in UNITS}
    assert files_below(root / "usr/local") == units | SHARED
    assert (root / "etc/os-vif/vifs.d").is_dir()
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in root.rglob("*.*") if path.is_file())
    assert set(states(osvif).values()) == {"unchanged"}
    assert set(states(osvif, "--uninstall").values()) == {"removed"}
    assert files_below(root) == set()
    assert not (root / "etc/os-vif").exists()
    assert states(osvif, "--uninstall") == {}
    osvif("install", "--root", "other", "--prefix", "/usr")
    assert files_below(osvif.folder / "other/usr") == units | SHARED


def test_units_run_the_command_that_wrote_them(osvif):
    osvif.apart = True
    osvif("install", "--root", "root")
    text = (osvif.folder / "root/usr/local/lib/systemd/system/os-vif.service").read_text()
    assert f"ExecStart={COMMAND} plug /etc/os-vif/vifs.d\n" in text
    said = osvif("install", "--root", "root", "--program", "a b; c", code=2).stderr
    assert "error: --program a b; c: units cannot run this" in said


def test_what_others_may_change_is_told_of(tmp_path):
    # pytest's folders are root's, below /tmp, which is sticky.
    program = tmp_path / "os-vif"
    program.write_text("")
    program.chmod(0o755)
    link = tmp_path / "link"
    link.symlink_to(program)
    assert command._not_roots(link) is None
    program.chmod(0o775)
    assert command._not_roots(link) == program
    program.chmod(0o755)
    os.chown(program, 65534, 65534)
    assert command._not_roots(link) == program
    os.chown(program, 0, 0)
    tmp_path.chmod(0o777)
    assert command._not_roots(link) == tmp_path


def test_what_somebody_has_changed_stays(osvif, root):
    unit = root / "usr/local/lib/systemd/system/os-vif.service"
    mine = unit.read_text().replace("5min", "9min")
    unit.write_text(mine)
    manual = root / "usr/local/share/man/man1/os-vif.1"
    manual.unlink()
    said = osvif("install", "--root", "root", code=1).stderr
    assert f"not as os-vif install wrote it: {unit}; nothing was touched" in said
    assert not manual.exists()
    assert states(osvif, "--uninstall")["os-vif.service"] == "changed"
    assert files_below(root) == {"usr/local/lib/systemd/system/os-vif.service"}
    assert unit.read_text() == mine
    assert states(osvif, "--force")["os-vif.service"] == "written"
    assert "5min" in unit.read_text()
    # A masked unit is somebody's choice too.
    unit.unlink()
    unit.symlink_to("/dev/null")
    osvif("install", "--root", "root", code=1)
    assert unit.is_symlink()


def test_what_an_older_release_wrote_is_replaced(osvif, root):
    osvif("install", "--root", "root", "--program", "/opt/old/bin/os-vif")
    unit = root / "usr/local/lib/systemd/system/os-vif.service"
    assert "/opt/old" in unit.read_text()
    assert states(osvif)["os-vif.service"] == "written"
    assert "/opt/old" not in unit.read_text()


def test_vifs_stay_when_it_goes(osvif, root):
    (root / "etc/os-vif/vifs.d/web.yaml").write_text(TAP)
    osvif("install", "--root", "root", "--uninstall")
    assert files_below(root) == {"etc/os-vif/vifs.d/web.yaml"}


@pytest.fixture
def reached_by_all():
    """A folder that another user finds; pytest keeps those above its own to itself."""
    with tempfile.TemporaryDirectory(prefix="os-vif-") as folder:
        os.chmod(folder, 0o755)  # noqa: S103
        yield Path(folder)


def test_without_privilege_it_is_refused_and_offered_for_oneself(osvif, reached_by_all):
    as_nobody = ("setpriv", "--reuid=65534", "--clear-groups", "--")
    said = osvif("install", "--root", str(reached_by_all), code=1, before=as_nobody).stderr
    assert f"no right to write in {reached_by_all}: run as root" in said
    assert files_below(reached_by_all) == set()
    home = reached_by_all / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    own = {**ENVIRONMENT, "HOME": str(home)}
    osvif("install", "--user", before=as_nobody, env=own)
    assert _own(home) == {
        ".local/share/man/man1/os-vif.1",
        ".local/share/man/man5/os-vif.yaml.5",
        ".local/share/bash-completion/completions/os-vif",
        ".local/share/zsh/site-functions/_os-vif",
        ".config/fish/completions/os-vif.fish",
    }
    osvif("install", "--user", "--uninstall", before=as_nobody, env=own)
    assert _own(home) == set()
    assert "--user goes with" in osvif("install", "--user", "--root", "/x", code=2).stderr


def _own(home):
    return {name for name in files_below(home) if not name.startswith(".cache/")}  # stevedore's


def test_systemd_finds_nothing_wrong_with_the_units(root):
    units = [root / "usr/local/lib/systemd/system" / name for name in UNITS]
    manual = str(root / "usr/local/share/man")
    code, out, err = said_by("systemd-analyze", "verify", *units, MANPATH=manual)
    ours = [line for line in (out + err).splitlines() if "os-vif" in line]
    assert (code, ours) == (0, [])
    units[0].write_text(units[0].read_text().replace("oneshot", "onesho"))
    assert "onesho" in said_by("systemd-analyze", "verify", units[0], MANPATH=manual)[2]


@pytest.mark.parametrize("name", UNITS[:2])
def test_the_services_are_confined(root, name):
    unit = root / "usr/local/lib/systemd/system" / name
    code, out, err = said_by("systemd-analyze", "security", "--offline=yes", "--threshold=40", unit)
    assert code == 0, out + err


def confined(osvif, root, unit, *words, code=0):
    return osvif.confined(str(root / "usr/local/lib/systemd/system" / unit), *words, code=code)


def _fails(osvif, root, unit, *words):
    with pytest.raises(AssertionError):
        confined(osvif, root, unit, *words)
    return True


def test_confined_as_the_units_say_it_plugs_and_checks(osvif, root):
    """One of each sort: a bridge's settings, forwarding rules, addresses and routes, limits."""
    folder = osvif.folder / "vifs.d"
    folder.mkdir()
    (folder / "1.yaml").write_text(BRIDGE)
    routed = "network: {subnets: [{cidr: 192.0.2.0/24, addresses: [192.0.2.5]}]}\n"
    (folder / "2.yaml").write_text(TAP + routed + "options: {tap: {routed: true}}\n")
    assert "2 plugged" in confined(osvif, root, UNITS[0], "plug", "vifs.d").stdout
    assert confined(osvif, root, UNITS[1], "check", "vifs.d").stdout.count("healthy") == 2
    osvif.host.run("ip", "link", "set", "tap0", "nomaster")
    said = confined(osvif, root, UNITS[1], "check", "vifs.d", code=3).stdout
    assert "should be a port of br0" in said
    # That it is confined at all: without what the unit leaves it nothing works.
    less = root / "usr/local/lib/systemd/system/less.service"
    whole = less.with_name(UNITS[0]).read_text()
    for said, left in (("=CAP_NET_ADMIN ", "="), (" AF_NETLINK", "")):
        less.write_text(whole.replace(said, left))
        with osvif.nothing_changed():
            assert _fails(osvif, root, less.name, "plug", "vifs.d")
    confined(osvif, root, UNITS[0], "plug", "vifs.d")
    assert confined(osvif, root, UNITS[1], "check", "vifs.d").stdout.count("healthy") == 2


def test_man_has_nothing_to_say_against_the_pages(root):
    pages = {path.name: path for path in (root / "usr/local/share/man").rglob("*.[15]")}
    assert set(pages) == {"os-vif.1", "os-vif.yaml.5"}
    shown = {}
    for name, path in pages.items():
        code, shown[name], err = said_by(
            "man",
            "--warnings=w",
            "-Tutf8",
            "-P",
            "cat",
            "-l",
            path,
            MANWIDTH="100",
            GROFF_NO_SGR="1",
        )
        assert (code, err) == (0, "")
    bad = root / "bad.1"
    bad.write_text(pages["os-vif.1"].read_text() + ".XX nothing\n")
    assert "XX" in said_by("man", "--warnings=w", "-Tutf8", "-P", "cat", "-l", bad)[2]
    plain = {name: "".join(click.unstyle(text).split()) for name, text in shown.items()}
    for name, (_where, words) in _COMMANDS.items():
        assert "".join(words.split()) in _without_overstrikes(plain["os-vif.1"]), name
    for row in types.all_types().values():
        assert f"type:{row.name}" in _without_overstrikes(plain["os-vif.yaml.5"])


def _without_overstrikes(text):
    return "".join(
        character
        for at, character in enumerate(text)
        if character != "\b" and text[at + 1 : at + 2] != "\b"
    ).replace("\N{HYPHEN}", "-")


def test_bash_completes_with_the_file_that_was_written(root):
    script = root / "usr/local/share/bash-completion/completions/os-vif"
    asked = "COMP_LINE='os-vif val'; COMP_POINT=10; _os_vif_completion os-vif val os-vif"
    ask = f'. {script}; {asked}; echo "$COMPREPLY"'
    path = f"{Path(COMMAND).parent}:{os.environ['PATH']}"
    assert said_by("bash", "-c", ask, PATH=path)[:2] == (0, "validate\n")
