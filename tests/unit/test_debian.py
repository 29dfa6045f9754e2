# SPDX-License-Identifier: Apache-2.0
"""Which versions of Debian's packages the tests get: recorded, compared and named. No network."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests import debian

ROOT = Path(__file__).resolve().parents[2]
KNOWN = {"Open vSwitch": {"openvswitch-switch": "3.1.0-2"}, "lab": {"busybox-static": "1:1.35"}}


def apt_says(
    monkeypatch: pytest.MonkeyPatch, words: str, status: int = 100, archives: tuple[str, ...] = ()
) -> None:
    """Have apt-get answer with these words, or with these archives; dpkg does nothing."""

    def answer(argv: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        if argv[0] == "dpkg":
            return subprocess.CompletedProcess(argv, 0)
        folder = next(word for word in argv if word.startswith("Dir::Cache::archives="))
        for name in archives:
            (Path(folder.partition("=")[2]) / name).touch()
        return subprocess.CompletedProcess(argv, status, stdout="", stderr=words)

    monkeypatch.setattr(debian.subprocess, "run", answer)
    monkeypatch.setattr(debian, "_PAUSES_S", ())
    monkeypatch.setattr(debian, "suite", lambda: "bookworm")


def test_what_is_recorded_is_whole() -> None:
    assert debian.verified().keys() == debian.WANTED_BY.keys()
    assert all(debian.verified().values())
    text = debian.VERIFIED.read_text()
    assert debian.record({}, debian.verified()).splitlines()[4:] == text.splitlines()[4:]


@pytest.mark.parametrize("user", debian.WANTED_BY)
def test_who_wants_packages_is_there(user: str) -> None:
    assert all(list(ROOT.glob(pattern)) for pattern in debian.WANTED_BY[user])


def test_whatever_unpacks_packages_says_who_wants_them() -> None:
    calls = re.compile(r'(?:debian\.unpacked\([^"]*|\bApt\([^"]*)(?:"[\w-]+", )?"([^"]+)"')
    users = {
        user
        for folder in ("benchmarks", "tests")
        for path in (ROOT / folder).rglob("*.py")
        if path.parent != Path(__file__).parent
        for user in calls.findall(path.read_text())
    }
    trees = {**debian.TREES, **debian.OF_RELEASE}
    assert users | {user for user, *_ in trees.values()} == debian.WANTED_BY.keys()


@pytest.mark.parametrize(
    ("user", "words"),
    {
        "Open vSwitch": r"^from tests import .*\bopenvswitch\b|^from tests\.openvswitch",
        "DPDK": r"^from tests import .*\bdpdk\b|^from tests\.dpdk|\btestpmd_settings:",
        "lldpad": r"^from tests import .*\blldpad\b|\bStation\b",
        "radvd": r"^from tests import .*\bradvd\b|^from tests\.radvd",
        "sudo": r"debian\.tree\(.sudo.\)",
    }.items(),
)
def test_who_uses_packages_is_known_before_a_test_runs(user: str, words: str) -> None:
    """A test is on a host without a network when it comes to use them."""
    tests = {path for path in (ROOT / "tests").rglob("test_*.py") if path.parent.name != "unit"}
    users = {path for path in tests if re.search(words, path.read_text(), re.MULTILINE)}
    assert users
    assert {path for path in users if not debian.is_wanted_by(user, path)} == set()


def test_differences_are_named() -> None:
    assert debian.differences(KNOWN, KNOWN) == []
    found = {"Open vSwitch": {"openvswitch-switch": "3.5.0-1"}, "DPDK": {"dpdk-dev": "22.11"}}
    assert debian.differences(found, KNOWN) == [
        "dpdk-dev (none) -> 22.11",
        "openvswitch-switch 3.1.0-2 -> 3.5.0-1",
    ]


def test_a_record_keeps_what_is_not_here() -> None:
    newer = debian.record({"lab": {"busybox-static": "1:1.37"}}, KNOWN)
    recorded = tomllib.loads(newer)
    assert recorded.pop("suite") == debian.suite()
    assert recorded == {**KNOWN, "lab": {"busybox-static": "1:1.37"}}


def test_what_is_unpacked_is_noted_and_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(debian, "verified", lambda: KNOWN)
    for tree, versions in (
        ("lab/busybox", {"busybox-static": "2"}),
        ("lab/kernel", {"linux": "6"}),
    ):
        (tmp_path / tree).mkdir(parents=True)
        debian.note(tmp_path / tree, "lab", versions)
    (tmp_path / "openvswitch").mkdir()
    debian.note(tmp_path / "openvswitch", "Open vSwitch", KNOWN["Open vSwitch"])
    assert capsys.readouterr().out.splitlines() == [
        "lab: not what the tests were verified with: busybox-static 1:1.35 -> 2",
        "lab: not what the tests were verified with: linux (none) -> 6",
    ]
    assert debian.unpacked_versions(tmp_path) == {
        "lab": {"busybox-static": "2", "linux": "6"},
        "Open vSwitch": KNOWN["Open vSwitch"],
    }


def test_a_closures_own_packages_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    archives = ("lldpad_1%3a1.1.0-3_amd64.deb", "libc6_2.36-9_amd64.deb")
    apt_says(monkeypatch, "", 0, archives)
    tree = debian.unpacked(tmp_path / "lldpad", "lldpad", "lldpad")
    noted = json.loads((tree / "debian-versions.json").read_text())
    assert noted == {"user": "lldpad", "versions": {"lldpad": "1:1.1.0-3"}}
    assert "-> 1:1.1.0-3" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        "E: Unable to locate package lldpad",
        "N: Unable to locate package lldpad\nE: No packages found",
        "E: Package 'lldpad' has no installation candidate",
        "Package lldpad is not available\nE: Package lldpad has no installation candidate",
    ],
)
def test_a_package_that_apt_does_not_know(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_says(monkeypatch, words)
    apt = debian.Apt(tmp_path, "lldpad")
    with pytest.raises(debian.PackagesError) as raised:
        apt.unpack_closure(tmp_path, "lldpad")
    assert str(raised.value) == (
        "bookworm has no package lldpad, or none that this machine's apt can reach; it is for"
        " lldpad, which is needed by tests/functional/test_vdp.py, tests/functional/test_vsi*.py,"
        " tests/cli/test_port_profiles.py, tests/examples"
    )


def test_other_trouble_of_apts_is_said_in_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_says(monkeypatch, "E: Failed to fetch")
    with pytest.raises(debian.PackagesError, match="Failed to fetch"):
        debian.Apt(tmp_path, "lldpad").unpack("lldpad", tmp_path)


def test_a_run_ends_with_what_was_not_verified(
    monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    conftest = pytestconfig.pluginmanager.get_plugin(str(ROOT / "tests/conftest.py"))
    said: list[str] = []

    class Terminal:
        def write_line(self, line: str, **_markup: bool) -> None:
            said.append(line)

    monkeypatch.setattr(debian, "verified", lambda: KNOWN)
    monkeypatch.setattr(debian, "unpacked_versions", lambda: KNOWN)
    conftest.pytest_terminal_summary(Terminal())
    assert said == []
    newer = {"lab": {"busybox-static": "1:1.37"}}
    monkeypatch.setattr(debian, "unpacked_versions", lambda: newer)
    conftest.pytest_terminal_summary(Terminal())
    assert said == [
        "Debian packages other than those these tests were verified with:"
        " busybox-static 1:1.35 -> 1:1.37"
    ]
