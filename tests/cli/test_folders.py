# SPDX-License-Identifier: Apache-2.0
"""FILE may be a folder: which of its files are read, in which order, and what is said of them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import BRIDGE, COMMAND, ENVIRONMENT, TAP

pytestmark = pytest.mark.functional


@pytest.fixture
def folder(osvif):
    found = osvif.folder / "vifs.d"
    found.mkdir()
    return found


def test_the_files_of_a_folder_in_the_order_of_their_names(osvif, folder):
    tap = '{"type": "tap", "name": "tap2", "mac": "52:54:00:00:00:02"}'
    (folder / "20-tap.json").write_text(tap)
    (folder / "10-bridge.yaml").write_text(BRIDGE)
    (folder / "30.yml").write_text(TAP)
    (folder / ".hidden.yaml").write_text("no VIF")
    (folder / "10-bridge.yaml~").write_text("no VIF")
    (folder / "README").write_text("no VIF")
    (folder / "old.yaml").mkdir()
    (folder / "old.yaml" / "a.yaml").write_text("no VIF")
    assert [vif["file"] for vif in osvif.json("plug", "vifs.d")["vifs"]] == [
        f"vifs.d/{name}" for name in ("10-bridge.yaml", "20-tap.json", "30.yml")
    ]
    for words in ("validate", "plan", "check", "show"):
        assert "tap2" in osvif(words, "vifs.d/").stdout
    osvif("gc", "--keep", "vifs.d", "--yes")
    assert [vif["state"] for vif in osvif.json("check", "vifs.d")["vifs"]] == ["healthy"] * 3
    assert [vif["state"] for vif in osvif.json("unplug", "vifs.d")["vifs"]] == ["unplugged"] * 3


def test_a_mistake_names_the_file_in_the_folder(osvif, folder):
    (folder / "a.yaml").write_text(BRIDGE)
    (folder / "b.yaml").write_text(TAP.replace("52:", "53:"))
    with osvif.nothing_changed():
        assert "error: vifs.d/b.yaml:3:6: mac:" in osvif("plug", "vifs.d", code=2).stderr


def test_a_folder_without_vifs_has_nothing_to_do(osvif, folder):
    for number, text in enumerate((None, "# later\n")):
        if text:
            (folder / f"{number}.yaml").write_text(text)
        for verb in ("plug", "unplug", "plan", "check", "validate"):
            assert osvif(verb, "vifs.d").stderr == "there is no VIF in vifs.d: nothing to do\n"
            assert osvif.json(verb, "vifs.d")["vifs"] == []
        assert osvif("plug", "-q", "vifs.d").stderr == ""
    # What was named itself is there to say something.
    assert "there is no VIF in it" in osvif("plug", "vifs.d", "vifs.d/1.yaml", code=2).stderr
    assert "there is no VIF in vifs.d" in osvif("show", "vifs.d", code=2).stderr


def test_who_keeps_nothing_must_say_so(osvif, folder):
    osvif("plug", osvif.file(TAP))
    with osvif.nothing_changed():
        said = osvif("gc", "--keep", "vifs.d", "--yes", code=2).stderr
    assert "there is no VIF in vifs.d" in said


def test_what_is_no_file_in_a_folder_is_named_and_not_waited_for(osvif, folder):
    os.mkfifo(folder / "pipe.yaml")
    (folder / "lost.yaml").symlink_to("nowhere")
    (folder / "loop.yaml").symlink_to("loop.yaml")
    (folder / "device.yaml").symlink_to("/dev/zero")
    (folder / "good.yaml").symlink_to("../elsewhere")
    osvif.file(TAP, "elsewhere")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(folder, os.O_RDONLY)
        bound.bind(f"/proc/self/fd/{here}/socket.yaml")
        os.close(here)
        said = osvif("plug", "vifs.d", code=2, timeout=20).stderr
    assert said.splitlines()[:-1] == [
        "error: vifs.d/device.yaml: this is no file, but a pipe or a device",
        "error: vifs.d/loop.yaml: Too many levels of symbolic links",
        "error: vifs.d/lost.yaml: No such file or directory",
        "error: vifs.d/pipe.yaml: this is no file, but a pipe or a device",
        "error: vifs.d/socket.yaml: No such device or address",
    ]
    for name in ("pipe", "lost", "loop", "device", "socket"):
        (folder / f"{name}.yaml").unlink()
    assert osvif.json("plug", "vifs.d")["vifs"][0]["file"] == "vifs.d/good.yaml"


def test_what_may_not_be_read_is_named(osvif, folder, tmp_path):
    tmp_path.chmod(0o755)
    as_nobody = ("setpriv", "--reuid=65534", "--clear-groups", "--")
    (folder / "a.yaml").write_text(TAP)
    (folder / "a.yaml").chmod(0)
    assert "error: vifs.d/a.yaml: Permission denied" in (
        osvif("validate", "vifs.d", code=2, before=as_nobody).stderr
    )
    folder.chmod(0)
    assert "error: vifs.d: Permission denied" in (
        osvif("validate", "vifs.d", code=2, before=as_nobody).stderr
    )


def test_a_pipe_is_read_if_somebody_writes_to_it(osvif):
    os.mkfifo(osvif.folder / "pipe")
    said = osvif("validate", "pipe", code=2, timeout=60).stderr
    assert "error: pipe: this is a pipe, and nobody writes to it" in said
    words = [sys.executable, "-c", "import sys,time; time.sleep(1); print(sys.argv[1])", TAP]
    for script in ('"$@" > pipe & os-vif validate pipe; wait', 'os-vif validate <("$@")'):
        done = subprocess.run(
            ["bash", "-c", script, "bash", *words],
            cwd=osvif.folder,
            env=ENVIRONMENT | {"PATH": f"{Path(COMMAND).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert "valid  tap1" in done.stdout, done.stderr
