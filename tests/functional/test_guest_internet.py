# SPDX-License-Identifier: Apache-2.0
"""A real guest, with nothing of its own but DHCP, on a network of the host's: ``os-vif run``."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from tests import witness
from tests.command import COMMAND
from tests.functional.test_host_network import (
    FOUND,
    ONE,
    OUTSIDE,
    OUTSIDE6,
    Host,
    SeenAs,
    name_server,
    run,
)
from tests.lab.demo import machine
from tests.vm import image

__all__ = ["run"]

pytestmark = [pytest.mark.functional, pytest.mark.qemu]

FILE = f'{ONE}  - {{cidr: "fd42::/64", gateway: "fd42::1"}}\n'
SCRIPT = f"""
mount -t proc proc /proc
mkdir -p /etc
cat > /lease <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add "$ip/$mask" dev "$interface"
ip route add default via "$router"
echo "nameserver $dns" > /etc/resolv.conf
echo "told $ip/$mask by $router, names by $dns, MTU $mtu"
END
chmod +x /lease
ip link set eth0 up
udhcpc -i eth0 -n -q -O mtu -s /lease
ping -c 1 -w 20 {OUTSIDE} > /dev/null && echo "reached {OUTSIDE}"
for attempt in $(seq 100); do  # until a router was heard
    ping -6 -c 1 -w 5 {OUTSIDE6} > /dev/null && echo "reached {OUTSIDE6}" && break
    sleep 0.2
done
nslookup -type=a deb.example | grep "Address: {FOUND}"
nslookup -type=a web.guests.internal | grep "Name:"
reboot -f
"""
"""What the guest does, and then it ends."""
PATIENCE_S = 120


def test_a_guest_with_internet(run: Host, tmp_path: Path) -> None:
    before = run.seen()
    (tmp_path / "web.yaml").write_text(FILE)
    (tmp_path / "kernel").write_bytes(image.kernel())
    (tmp_path / "initrd").write_bytes(image.system(SCRIPT, ("af_packet",)))
    machine.write_program(image.parts(), tmp_path)
    (tmp_path / "resolv.conf").write_text(f"nameserver {OUTSIDE}\n")
    qemu = f"{machine.BARE} -m 128M -no-reboot -serial file:console -kernel kernel -initrd initrd"
    words = (machine.PROGRAM, *qemu.split(), "-append", image.KERNEL_ARGUMENTS)
    path = f"{tmp_path}:{run.environment['PATH']}"
    mounted = f"mount --bind {tmp_path}/resolv.conf $(readlink -f /etc/resolv.conf)"
    with contextlib.closing(SeenAs(run.own, mounted)) as host, name_server(run.outside):
        within = host.argv("sh", "-c", 'cd "$1" && shift && exec "$@"', "sh", str(tmp_path))
        done = subprocess.run(
            [*within, COMMAND, "run", "web.yaml", "--", *words],
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    said = (tmp_path / "console").read_text(errors="replace")
    assert done.returncode == 0, done.stderr + said
    assert "told 10.42.0." in said, said
    assert "/24 by 10.42.0.1, names by 10.42.0.1, MTU 1500" in said
    for address in (OUTSIDE, OUTSIDE6):
        assert f"reached {address}" in said, said
    assert f"Address: {FOUND}" in said, said
    assert "web.guests.internal" in said, said
    run("unplug", "--with-bridge", str(tmp_path / "web.yaml"))
    run("gc", "--keep-none", "--bridges", "--yes")
    assert witness.differences(before, run.seen()) == []
