# SPDX-License-Identifier: Apache-2.0
"""Who serves guests, and as whom: for callers without privilege, and where root is alone."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from os_vif import exception
from os_vif.host.dnsmasq.system import REFUSES
from tests import dnsmasq, witness
from tests.functional import served
from tests.functional.served import BRIDGE, client, plug, topology, unplug, wrong
from tests.functional.test_privilege import BRIDGES, FAST_PATH, as_nobody, served_helper

pytestmark = pytest.mark.functional


@pytest.fixture
def program(request: Any) -> Iterator[str]:
    """Return the command of dnsmasq, on a host that has it."""
    found = dnsmasq.command()
    request.getfixturevalue("inside")
    with dnsmasq.available(found):
        yield found


@pytest.fixture
def helper(program: str) -> Iterator[str]:
    """Return the helper command of daemons that have the program from a file of root's."""
    with tempfile.TemporaryDirectory(prefix="os-vif-test-", dir="/run") as folder:
        file = Path(folder, "os-vif.conf")
        file.write_text(f"[os_vif_dnsmasq]\ncommand = {program}\n")
        yield f"{served_helper()} --config-file {file}"


def test_for_a_caller_without_privilege(helper: str) -> None:
    """What that one would have run counts for nothing."""
    anna = topology(1, ("10.7.0.50",), "anna")

    def act() -> None:
        assert plug(anna).count("start_dnsmasq") == 1
        assert wrong(anna) == []
        assert "start_dnsmasq" not in plug(topology(2))

    with dnsmasq.available("touch /tmp/pwned"):
        as_nobody(act, section=(BRIDGES, FAST_PATH), helper=helper)
        assert not Path("/tmp/pwned").exists()
        with client(1) as its:
            assert its.lease().address == "10.7.0.50"
        as_nobody(lambda: unplug(topology(2)), section=(BRIDGES, FAST_PATH), helper=helper)
        assert len(dnsmasq.running()) == 1
        as_nobody(lambda: unplug(anna), section=(BRIDGES, FAST_PATH), helper=helper)
    assert (dnsmasq.running(), served.left()) == ([], {})


def test_it_becomes_another_user(program: str) -> None:
    plug(topology(1))
    [pid] = dnsmasq.running()
    status = Path(f"/proc/{pid}/status").read_text()
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert "0" not in told["Uid"].split()
    assert "0" not in told["Gid"].split()
    assert told["Groups"].strip() == ""
    kept = {10, 12}  # CAP_NET_BIND_SERVICE, CAP_NET_ADMIN
    assert {it for it in range(64) if int(told["CapEff"], 16) >> it & 1} == kept


def test_nothing_is_done_to_a_bridge_of_others(program: str) -> None:
    witness.ip(f"link add {BRIDGE} type bridge")
    for kind, refuses in REFUSES.items():
        args = {"bridge": BRIDGE, "mark": "vif=1"}
        assert refuses(args, "") == f"{BRIDGE} is no bridge of ours", kind
        assert refuses({**args, "bridge": "br1"}, "") == ""


ALONE = """
import os, sys
from pathlib import Path
import os_vif
from os_vif.system import run_folders
from tests import dnsmasq
from tests.functional import served
run_folders.RUN = Path("/nowhere")
os_vif.initialize()
with dnsmasq.available(sys.argv[1]):
    anna = served.topology(1, ("10.7.0.50",), "anna")
    served.plug(anna)
    with served.client(1) as its:
        print(its.lease().address, len(dnsmasq.running()), end=" ")
    print(Path(served.folders.path("br0")).is_relative_to(os.environ["XDG_RUNTIME_DIR"]), end=" ")
    served.unplug(anna)
    print(dnsmasq.running(), served.left())
"""


def test_who_is_root_in_a_namespace_alone(tmp_path: Path) -> None:
    """There is nobody to become, and no /run to write to."""
    program = dnsmasq.command()
    alone = ("unshare", "--user", "--map-root-user", "--net", "--", sys.executable, "-c", ALONE)
    said = subprocess.run(
        [*alone, program],
        env={"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "XDG_RUNTIME_DIR": str(tmp_path)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout.split("\n")[0] == "10.7.0.50 1 True [] {}", said.stderr
    assert list(tmp_path.iterdir()) == [tmp_path / "os-vif"], "the lock's file stays"


def test_an_option_that_is_no_command(program: str) -> None:
    with dnsmasq.available("'"), pytest.raises(exception.UnusableDevice, match="os_vif_dnsmasq"):
        plug(topology(1))
