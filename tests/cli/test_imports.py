# SPDX-License-Identifier: Apache-2.0
"""What each subcommand imports: nearly all of its time, and modules can be counted.

Counted is what the command adds to what the interpreter has loaded by itself, but not what it has
found and not executed (:mod:`os_vif.cli.late`).
"""

from __future__ import annotations

import re
import subprocess
import sys

import click
import pytest

from os_vif.cli.main import _COMMANDS, cli

from .conftest import BRIDGE, ENVIRONMENT, TAP

pytestmark = pytest.mark.functional

LATE = {"importlib.metadata._adapters", "rfc3986", "oslo_utils.strutils", "xmlrpc.client", "ssl"}
LATE |= {"oslo_serialization.jsonutils", "oslo_utils.excutils", "oslo_utils.timeutils"}
QUEUES = LATE | {"oslo_messaging", "oslo_service", "eventlet", "kombu", "dns"}
OBJECTS = QUEUES | {"oslo_versionedobjects", "oslo_serialization", "oslo_utils"}
LOOKS = OBJECTS | {"rich", "yaml", "oslo_privsep", "debtcollector", "asyncio"}
ANSWERS = LOOKS | {"oslo_config", "stevedore", "ovs", "netaddr", "os_vif.engine"}
AT_ONCE = ANSWERS | {"json", "logging"}
CHANGES = QUEUES | {"rich", "oslo_privsep"}

MODULES = {
    "--help": (AT_ONCE, 66),
    "--version": (AT_ONCE, 60),
    "plug --help": (AT_ONCE, 69),
    "nonsense": (AT_ONCE, 71),
    "completion bash": (ANSWERS - {"stevedore", "os_vif.engine"}, 118),
    "types": (LOOKS | {"ovs", "oslo_config"}, 140),
    "types bridge": (LOOKS | {"ovs", "oslo_config"}, 140),
    "schema": (LOOKS - {"yaml"} | {"ovs", "oslo_config"}, 163),
    "list": (LOOKS | {"ovs", "netaddr"}, 285),
    "list --json": (LOOKS | {"ovs", "netaddr"}, 285),
    "show": (LOOKS | {"ovs", "netaddr"}, 270),
    "show tap0": (LOOKS | {"ovs", "netaddr"}, 285),
    "export": (CHANGES, 342),
    "export --json": (CHANGES, 342),
    "gc --keep-none --dry-run": (LOOKS | {"ovs", "netaddr"}, 270),
    "gc --keep-none --yes": (LOOKS | {"ovs", "netaddr"}, 270),
    "host-info": (CHANGES | {"yaml"}, 215),
    "network list --timeout 1": (LOOKS | {"netaddr"}, 312),
    "doctor ovn": (LOOKS | {"netaddr"}, 280),
    "validate vif.yaml": (CHANGES | {"ovs"}, 312),
    "plan vif.yaml": (CHANGES | {"ovs"}, 340),
    "check vif.yaml": (CHANGES | {"ovs"}, 346),
    "show vif.yaml": (CHANGES | {"ovs"}, 347),
    "plug vif.yaml": (CHANGES | {"ovs"}, 342),
    "unplug vif.yaml": (CHANGES | {"ovs"}, 348),
    "exec vif.yaml -- nothing": (CHANGES | {"ovs"}, 325),
    "guest vif.yaml --format qemu": (CHANGES, 385),
    "run vif.yaml -- true": (CHANGES | {"ovs"}, 366),
    "install --root .": (LOOKS - {"yaml"} | {"ovs", "oslo_config"}, 178),
    "demo": (CHANGES, 450),
}
COMPLETIONS = {
    "os-vif p": (AT_ONCE, 60),
    "os-vif ": (AT_ONCE, 60),
    "os-vif plug --": (AT_ONCE, 63),
    "os-vif plug we": (AT_ONCE, 63),
    "os-vif list --netns a": (AT_ONCE, 71),
    "os-vif list --filter pl": (AT_ONCE, 65),
    "os-vif types b": (LOOKS | {"ovs", "oslo_config"}, 143),
    "os-vif plug --set tap.": (LOOKS | {"ovs"}, 157),
    # These look at the host.
    "os-vif show ta": (LOOKS | {"ovs", "netaddr"}, 286),
    "os-vif gc --keep-id 1": (LOOKS | {"ovs", "netaddr"}, 286),
    "os-vif list --filter state=u": (LOOKS | {"ovs", "netaddr"}, 287),
}

PROBE = """
import atexit, os, sys
before = set(sys.modules)
told = sys.stderr
def tell():
    added = [
        name for name, module in sys.modules.items()
        if name not in before and module and type(module).__name__ != "Late"
    ]
    print("added:", *added, file=told, flush=True)
atexit.register(tell)
sys.argv[0] = "os-vif"
from os_vif.cli.main import main
main()
"""


def added(osvif, *words, **environment):
    done = osvif.host.run(
        *(sys.executable, "-c", PROBE, *words),
        check=False,
        env=ENVIRONMENT | environment,
        cwd=osvif.folder,
    )
    found = re.search(r"^added: (.*)$", done.stderr, re.MULTILINE)
    assert found, done.stderr
    assert "Traceback" not in done.stderr
    names = found[1].split()
    return {".".join(name.split(".")[:n]) for name in names for n in (1, 2, 3)}, len(names)


@pytest.fixture(scope="module", autouse=True)
def known_plugins() -> None:
    """Have stevedore write down which plugins there are, which takes more modules than to read."""
    probed = [sys.executable, "-c", PROBE, "types"]
    subprocess.run(probed, env=ENVIRONMENT, check=True, capture_output=True)


@pytest.mark.parametrize("line", MODULES)
def test_a_subcommand_imports_what_it_needs(osvif, line):
    osvif.file(BRIDGE)
    if "tap0" in line:
        osvif("plug", "vif.yaml")
    forbidden, most = MODULES[line]
    roots, count = added(osvif, *line.split())
    assert forbidden & roots == set()
    assert count <= most


@pytest.mark.parametrize("line", COMPLETIONS)
def test_completing_a_word_imports_the_one_subcommand(osvif, line):
    osvif("plug", osvif.file(TAP))
    forbidden, most = COMPLETIONS[line]
    roots, count = added(osvif, _OS_VIF_COMPLETE="bash_complete", COMP_WORDS=line)
    assert forbidden & roots == set()
    assert count <= most


def test_every_subcommand_is_here():
    here = {line.split()[0] for line in MODULES}
    assert here >= set(_COMMANDS)


@pytest.mark.parametrize("name", _COMMANDS)
def test_the_first_words_of_the_help_are_those_of_the_subcommand(name):
    context = click.Context(cli)
    command = cli.get_command(context, name)
    assert command.name == name
    assert not command.hidden
    assert command.get_short_help_str(90) == _COMMANDS[name][1]


DAEMON = """
import sys, warnings
warnings.simplefilter("ignore")
from oslo_privsep import daemon
before = set(sys.modules)
import importlib
importlib.import_module(sys.argv[1])
from os_vif.engine import families
families.load_systems()
print(*(name for name in sys.modules if name not in before))
"""


@pytest.mark.parametrize(
    "context", ["vif_plug_linux_bridge.privsep", "vif_plug_ovs.privsep", "os_vif.engine.privilege"]
)
def test_the_privileged_daemon_loads_what_changes_the_host(context):
    """Beside oslo.privsep, whose own imports are most of what there is."""
    said = subprocess.run(
        [sys.executable, "-c", DAEMON, context], capture_output=True, text=True, check=True
    ).stdout.split()
    roots = {".".join(name.split(".")[:2]) for name in said}
    assert "os_vif.host" in roots
    unwanted = {"os_vif.plugins", "os_vif.cli", "os_vif.specs", "os_vif.drawing", "os_vif.verbs"}
    assert unwanted & roots == set()
    assert "os_vif.objects.vif" not in said
    assert CHANGES & roots == set()
    assert len(said) <= 200
