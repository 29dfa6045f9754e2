# SPDX-License-Identifier: Apache-2.0
"""Which release is installed: as its installer has noted it."""

import subprocess
import sys
from importlib import metadata

import pytest

from os_vif import installed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The first place that modules come from, after one that is not there."""
    monkeypatch.setattr(sys, "path", [str(tmp_path / "nothing"), str(tmp_path), *sys.path])
    return tmp_path


def test_the_first_that_is_found_is_told(folder):
    (folder / "os_vif_more-7.0.dist-info").mkdir()
    (folder / "os_vif-6.1.0rc2.dist-info").mkdir()
    assert installed.version() == "6.1.0rc2"


def test_of_two_in_one_place_the_metadata_tell(folder, monkeypatch):
    for version in ("1.0", "2.0"):
        (folder / f"os_vif-{version}.dist-info").mkdir()
    monkeypatch.setattr(metadata, "version", lambda name: f"that of {name}")
    assert installed.version() == "that of os-vif"


def test_an_older_form_of_metadata_is_known(folder):
    (folder / "os_vif-3.5-py3.11.egg-info").mkdir()
    assert installed.version() == "3.5"


def test_where_its_name_has_no_version_it_is_read(folder, monkeypatch):
    egg = folder / "os_vif.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: os-vif\nVersion: 3.5\n")
    monkeypatch.setattr(sys, "path", [str(folder)])
    assert installed.version() == "3.5"


def test_it_is_what_the_metadata_say_without_their_being_read():
    script = (
        "import sys, os_vif; told = os_vif.__version__; read = 'importlib.metadata' in sys.modules;"
        "from importlib import metadata; print(told == metadata.version('os-vif'), read)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]
