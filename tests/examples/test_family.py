# SPDX-License-Identifier: Apache-2.0
"""A family, a plugin and a `type:` of somebody else's: examples/vxlan, as a user has it.

Its wheel is built and installed beside ours in an environment of its own, where its own tests run
too. Nothing of os_vif knows of it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import ForkServer
from tests.conftest import PrivateHost

pytestmark = [pytest.mark.functional, pytest.mark.xdist_group("family")]

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "examples" / "vxlan"
TUNNEL, BRIDGE, TAP = "vx-5f4ab6c1-ca", "br-5f4ab6c1-ca", "tap-far"
VIF = f"""\
type: vxlan
name: {TAP}
id: 5f4ab6c1-ca89-4ee0-a8be-6db1409b69ea
mac: 52:54:00:12:34:56
vni: 42
options: {{vxlan: {{remote: 192.0.2.7}}}}
"""


def run(*command: str | Path, **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python() -> Iterator[str]:
    """Return the Python of an environment with the package, beside ours and the tests'."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # somebody without privilege uses it too
        yield _environment(folder)


def _environment(folder: Path) -> str:
    # setuptools builds in place.
    shutil.copytree(PACKAGE, folder / "source", ignore=shutil.ignore_patterns("__pycache__"))
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
    offline = ("--quiet", "--no-deps", "--no-index")
    build = ("wheel", "--no-build-isolation", "--wheel-dir", folder)
    run(*pip, *build, *offline, folder / "source")
    environment = folder / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment)
    own = next(environment.glob("lib/python*/site-packages"))
    ours = sysconfig.get_path("purelib")
    (own / "beside.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    [wheel] = folder.glob("*.whl")
    found = environment / "bin" / "python"
    run(*pip, "--python", found, "install", *offline, wheel)
    return str(found)


class Command:
    """The command of that environment, on a private host."""

    def __init__(self, host: PrivateHost, server: ForkServer, folder: Path) -> None:
        self.host = host
        self.server = server
        self.python = str(Path(server.script).with_name("python"))
        self.folder = folder
        (folder / "vif.yaml").write_text(VIF)

    def __call__(self, *words: str, code: int = 0, env: dict[str, str] | None = None) -> str:
        environment = self.server.environment | (env or {})  # type: ignore[operator]
        done = self.server.run(self.host, *words, cwd=self.folder, env=environment)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert "Traceback" not in said
        return said

    def json(self, *words: str, code: int = 0) -> Any:
        return json.loads(self(*words, "--json", code=code))


@pytest.fixture(scope="module")
def server(python: str) -> Iterator[ForkServer]:
    script = Path(python).with_name("os-vif")
    script.write_text(
        f"#!{python}\nimport sys\nfrom os_vif.cli.main import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "LC_ALL": "C.UTF-8"}
    made = ForkServer(environment, str(script))
    yield made
    made.close()


@pytest.fixture
def command(host: PrivateHost, server: ForkServer, tmp_path: Path) -> Command:
    return Command(host, server, tmp_path)


@pytest.mark.long
@pytest.mark.timeout(180)
def test_its_own_tests(host: PrivateHost, python: str, tmp_path: Path) -> None:
    quiet = ("-q", "-c", "/dev/null", "-p", "no:cacheprovider", "-W", "ignore")
    tests = str(PACKAGE / "tests")
    done = host.run(python, "-m", "pytest", *quiet, f"--rootdir={tmp_path}", tests, cwd=tmp_path)
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_from_plan_to_unplug(command: Command) -> None:
    assert f"add VXLAN {TUNNEL}: VNI 42 to 192.0.2.7" in command("plan", "vif.yaml")
    assert "drift" in command("check", "vif.yaml", code=3)
    assert command("plug", "vif.yaml").startswith("plugged")
    assert "already plugged" in command("plug", "vif.yaml")
    assert "nothing to do" in command("plan", "vif.yaml")
    assert "healthy" in command("check", "vif.yaml")
    command.host.run("ip", "link", "delete", TUNNEL)
    assert f"{TUNNEL}  no VXLAN 42 to 192.0.2.7" in command("check", "vif.yaml", code=3)
    assert "missing" in command("show", "vif.yaml")
    assert command("plug", "vif.yaml").startswith("repaired")
    shown = command.host.links()[TUNNEL]["linkinfo"]["info_data"]
    assert (shown["id"], shown["remote"]) == (42, "192.0.2.7")
    assert command("unplug", "vif.yaml").startswith("unplugged")
    assert command.host.links() == {}


def test_seen(command: Command) -> None:
    command("plug", "vif.yaml")
    assert f"{TUNNEL} on {BRIDGE}" in command("list")
    [vif] = command.json("list")["vifs"]
    assert vif["plugin"] == "vxlan"
    assert vif["state"] == "up"
    assert vif["tunnels"] == [{"name": TUNNEL, "vni": 42}]
    assert {device["name"] for device in vif["devices"]} == {TAP, BRIDGE, TUNNEL}
    for target in ("vif.yaml", TUNNEL):
        drawn = command("show", target)
        assert "VXLAN 42" in drawn
        assert "to 192.0.2.7" in drawn
    assert "VXLAN 42" in command("show", "vif.yaml", "--svg", "-", "-q")
    [part] = [it for it in command.json("show", TAP)["parts"] if it["key"] == TUNNEL]
    assert part["lines"] == ["VXLAN 42", "to 192.0.2.7"]
    assert command("gc", "--keep-none", "--yes").count(TAP)
    assert command.host.links() == {}


def test_what_plugging_says_in_json(command: Command) -> None:
    [vif] = command.json("plug", "vif.yaml")["vifs"]
    assert (vif["state"], vif["error"]) == ("plugged", None)
    made = ["create_link", "add_vxlan", "create_link"]
    # A device that the family makes itself is found by the VIF's id too, and for nothing.
    assert [step["kind"] for step in vif["steps"]] == [*made, "tag_link"]
    command.host.run("ip", "link", "set", TUNNEL, "down")
    [vif] = command.json("check", "vif.yaml", code=3)["vifs"]
    assert [(it["device"], it["words"]) for it in vif["drifts"]] == [(TUNNEL, "is down")]


def test_a_warning_is_a_third_state(command: Command) -> None:
    """Beside healthy and drift; what the tunnel needs is the example's business, and not ours."""
    command("plug", "vif.yaml")
    said = command("check", "vif.yaml").splitlines()
    assert said[0].startswith(f"healthy, 1 warning  {BRIDGE}")
    assert said[1:] == [f"warning  {TUNNEL}  this host has no route to 192.0.2.7; add one"]
    assert command("check", "vif.yaml", "--quiet", "--strict", code=3) == ""
    assert f"warning  {TUNNEL}" in command("plan", "vif.yaml", "--strict", code=3)
    assert "warning" not in command("plan", "vif.yaml", "--unplug", "--strict")
    [vif] = command.json("check", "vif.yaml")["vifs"]
    warning = {"device": TUNNEL, "words": "this host has no route to 192.0.2.7; add one"}
    assert (vif["state"], vif["drifts"], vif["warnings"]) == ("healthy", [], [warning])
    command.host.run("ip", "link", "set", TAP, "mtu", "900")
    said = command("check", "vif.yaml", code=3)
    assert "drift" in said
    assert f"warning  {TUNNEL}" in said
    command.host.run("ip", "link", "set", "lo", "up")
    command.host.run("ip", "route", "add", "192.0.2.7", "dev", "lo")
    assert "warning" not in command("plug", "vif.yaml")
    assert command("check", "vif.yaml", "--strict").startswith(f"healthy  {BRIDGE}")


def test_a_failure_is_undone(command: Command) -> None:
    command.host.run("ip", "link", "add", TAP, "type", "bridge")
    assert f"device {TAP} is in the way" in command("plug", "vif.yaml", code=1)
    assert command.host.links().keys() == {TAP}


def test_the_command_knows_the_type(command: Command) -> None:
    assert "vxlan" in command("types")
    assert "VXLAN Network Identifier" in command("types", "vxlan")
    assert "vxlan" in command("schema")
    (command.folder / "bad.yaml").write_text("type: vxlam\n")
    assert "did you mean 'vxlan'?" in command("validate", "bad.yaml", code=2)
    (command.folder / "bad.yaml").write_text(VIF.replace("vni: 42", "vni: 16777216"))
    said = command("validate", "bad.yaml", code=2)
    assert "bad.yaml:5:6: vni" in said
    assert "0 to 16777215" in said
    assert command.json("host-info")["host_info"]
    asked = {"_OS_VIF_COMPLETE": "bash_complete", "COMP_WORDS": "os-vif types v", "COMP_CWORD": "2"}
    assert "vxlan" in command(env=asked)


_AS_NOBODY = """
import os, sys
import os_vif
from oslo_config import cfg

os_vif.initialize()
from os_vif.cli.specs import reader
from os_vif.engine import privilege

[entry] = reader.read_files([sys.argv[1]]).entries
cfg.CONF([], project="os-vif-tests", default_config_files=[])
helper = "from oslo_privsep.daemon import helper_main as m; raise SystemExit(m())"
cfg.CONF.set_override("helper_command", f"{sys.executable} -c '{helper}'", "os_vif_privileged")
cfg.CONF.set_override("remote", "192.0.2.7", "os_vif_vxlan")
privilege.default.start()
os_vif.check(entry.vif, entry.instance)  # nobody may not read this Python's own files
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
getattr(os_vif, sys.argv[2])(entry.vif, entry.instance)
assert bool(os_vif.list_vifs()) == (sys.argv[2] == "plug")
"""


def test_through_the_privileged_daemon(command: Command) -> None:
    """The daemon loads the family too, and checks its steps."""
    (command.folder / "vif.yaml").write_text(VIF.partition("options")[0])
    for verb, there in (("plug", {TUNNEL, BRIDGE, TAP}), ("unplug", set())):
        argv = (command.python, "-W", "ignore", "-c", _AS_NOBODY, "vif.yaml", verb)
        command.host.run(*argv, cwd=command.folder)
        assert command.host.links().keys() == there


def test_a_daemon_without_the_family_refuses_by_name(command: Command) -> None:
    """As where the daemon's environment is another than the caller's."""
    script = """
from os_vif import exception
from os_vif.engine import runner

step = ["add_vxlan", {"name": "vx0"}, None, None]
try:
    runner.run_plain([[step]], "os_vif_privileged", together=False)
except exception.InvalidField as error:
    assert "'add_vxlan'" in str(error), error
    assert "create_link" in str(error), error
else:
    raise SystemExit("it was not refused")
"""
    command.host.run(sys.executable, "-W", "ignore", "-c", script)
