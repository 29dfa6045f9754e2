# SPDX-License-Identifier: Apache-2.0
"""The locks in ``requirements``: complete, of one mind with pyproject.toml, and used everywhere."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks import environments
from tools import bootstrap, lock

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]
TEXTS = {path.stem: path.read_text() for path in sorted(lock.FOLDER.glob("*.txt"))}
OLD = "pyproject.toml asks for something else than is locked: run `make lock`"


def wanted() -> list[tuple[str, tuple[str, ...], str]]:
    """Return each requirement of the project with the locks it must be in, and what asks for it."""
    found = [(text, ("build",), "build") for text in PROJECT["build-system"]["requires"]]
    found += [(text, ("run",), "run") for text in PROJECT["project"]["dependencies"]]
    for extra, texts in EXTRAS.items():
        found += [(text, ("run", extra), extra) for text in texts]
    return found


def test_every_source_has_its_lock_and_every_lock_its_source() -> None:
    assert TEXTS.keys() == lock.sources().keys()


@pytest.mark.parametrize(("text", "locks", "_asked_by"), wanted())
def test_what_is_locked_is_what_the_project_asks_for(
    text: str, locks: tuple[str, ...], _asked_by: str
) -> None:
    requirement = Requirement(text)
    pins = {name: version for each in locks for name, version in lock.pins(TEXTS[each]).items()}
    version = pins.get(canonicalize_name(requirement.name))
    assert version, f"{requirement.name} is not locked. {OLD}"
    assert requirement.specifier.contains(version, prereleases=True), f"{version}: {OLD}"


@pytest.mark.parametrize("name", TEXTS)
def test_every_package_has_hashes(name: str) -> None:
    entries = lock.ENTRY.findall(TEXTS[name])
    hashed = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
    assert [entry for entry in entries if not hashed.search(entry)] == []
    assert len(entries) == len(lock.pins(TEXTS[name])) > 0


@pytest.mark.parametrize("name", TEXTS)
def test_a_lock_names_no_place(name: str) -> None:
    """Which index it is had from is the business of each machine."""
    rest = re.sub(r"via -r requirements/[\w-]+\.in|-r requirements/[\w-]+\.in", "", TEXTS[name])
    lines = [line for line in rest.splitlines() if not line.startswith("# SPDX")]
    assert [line for line in lines if re.search(r"://|/|\\\w|^-|index", line)] == []
    packages = [line for line in lines if not line.startswith(("#", " "))]
    assert [line for line in packages if line and not re.match(r"[\w.-]+==\S+", line)] == []


def test_a_package_has_one_version() -> None:
    """But the clients' environment: it is renewed when somebody has looked at the clients."""
    versions: dict[str, set[str]] = {}
    for name in TEXTS.keys() - {"clients"}:
        for package, version in lock.pins(TEXTS[name]).items():
            versions.setdefault(package, set()).add(version)
    versions["os-vif"] = set()  # the references
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


def test_pip_installs_from_locks_alone() -> None:
    """Whatever installs Python packages does it with the commands of `bootstrap.lock_commands`."""
    places = {
        path.relative_to(ROOT).as_posix()
        for folder in ("benchmarks", "tests", "tools")
        for path in (ROOT / folder).rglob("*.py")
        if path != Path(__file__) and re.search(r'"pip"', path.read_text())
    }
    # A wheel of this checkout's, and the checkout itself.
    offline = {"tests/examples/test_family.py", "tests/unit/test_package.py"}
    assert places == {
        "benchmarks/environments.py",
        "tests/environments.py",
        *offline,
        "tools/bootstrap.py",
        "tools/bounds.py",  # to leave the locks is its purpose
        "tools/lock.py",
    }
    for place in offline:
        assert re.search(r'"--no-index"|"PIP_NO_INDEX": "1"', (ROOT / place).read_text())
    for place in places - {"tools/bounds.py", "tools/lock.py"} - offline:
        assert "lock_commands(" in (ROOT / place).read_text(), place
    assert set(environments.REFERENCES.values()) < TEXTS.keys()


def test_what_installs_takes_hashes_and_builds_with_what_is_locked() -> None:
    first, second = bootstrap.lock_commands(["pip", "install"], "run", "test")
    assert first[:3] == second[:3] == ["pip", "install", "--require-hashes"]
    assert first[3:] == ["--requirement", str(lock.FOLDER / "build.txt")]
    assert second[3:] == [
        *("--no-build-isolation", "--requirement", str(lock.FOLDER / "run.txt")),
        *("--requirement", str(lock.FOLDER / "test.txt")),
    ]


# --- the tool ---------------------------------------------------------------------------------


ONE = "# head\na==1 \\\n    --hash=sha256:aa\n    # via b\nb==2.0 ; sys_platform == 'linux' \\\n"
TWO = "a==2 \\\n    --hash=sha256:bb\nc.d-e==1!1.0+x\n"


def test_pins_are_read() -> None:
    assert lock.pins(ONE) == {"a": "1", "b": "2.0"}
    assert lock.pins(TWO) == {"a": "2", "c.d-e": "1!1.0+x"}


def test_an_extra_holds_what_it_adds() -> None:
    assert lock.added(ONE + TWO, ONE) == "# head\n" + TWO
    assert lock.added(ONE, "") == ONE


def test_the_table_says_what_changed_and_where() -> None:
    assert lock.table({"x": ONE, "y": ONE}, {"x": TWO, "y": TWO, "z": "n==1\n"}) == [
        "package  old -> new      in",
        "a          1 -> 2        x, y",
        "b        2.0 -> -        x, y",
        "c.d-e      - -> 1!1.0+x  x, y",
        "n          - -> 1        z",
    ]
    assert lock.table({"x": ONE}, {"x": ONE}) == []


# --- what the bootstrap makes of pip's words --------------------------------------------------

MISMATCH = """\
Collecting click==8.5.1 (from -r requirements/run.txt (line 174))
ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. If you have updated the \
package versions, please update the hashes. Otherwise, examine the package contents carefully; \
someone may have tampered with them.
    click==8.5.1 from file.whl (from -r requirements/run.txt (line 174)):
        Expected sha256 0000
             Got        1111
"""


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (MISMATCH, r"^click==8\.5\.1: what was fetched is not the file that is locked"),
        (
            "ERROR: No matching distribution found for click==8.5.1 (from -r run.txt (line 1))",
            r"the Python package index has no click==8\.5\.1, which is locked",
        ),
        (
            "Temporary failure in name resolution\n"
            "ERROR: No matching distribution found for click==8.5.1",
            r"could not be reached \(Temporary failure in name resolution\)",
        ),
    ],
)
def test_trouble_with_a_lock_is_said_in_a_sentence(output: str, sentence: str) -> None:
    assert re.search(sentence, str(bootstrap.pips_trouble(output)))


def test_other_trouble_is_left_in_pips_words() -> None:
    assert bootstrap.pips_trouble("error: subprocess-exited-with-error") is None
