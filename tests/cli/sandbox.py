# SPDX-License-Identifier: Apache-2.0
"""Run a command as a unit's sandbox lets it: ``python sandbox.py UNIT CMD...``, as root.

A service manager is not at hand in tests; what it asks of the kernel is asked for here:
capabilities, no new privileges, read-only files, system calls, families of sockets, memory that is
either written or run.
"""

from __future__ import annotations

import ctypes
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

PR_SET_MDWE = 65
ALLOW, REFUSE, EQUAL = 0x7FFF0000, 0x00050001, 4  # seccomp.h; what is refused has EPERM


class Compared(ctypes.Structure):
    _fields_ = [
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("value", ctypes.c_uint64),
        ("more", ctypes.c_uint64),
    ]


def run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def calls_of(group: str) -> set[str]:
    names = set()
    for line in run("systemd-analyze", "syscall-filter", group).splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            names |= calls_of(word)
        elif word and not word.startswith("#"):
            names.add(word)
    return names


def confine(settings: dict[str, str]) -> None:
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    assert settings["ProtectSystem"] == "strict"
    assert settings["ReadWritePaths"] == "/run"
    run("mount", "-o", "remount,bind,ro", "/")
    if settings.get("ProtectKernelTunables") == "yes":
        for path in ("/proc/sys", "/sys"):
            run("mount", "--bind", path, path)
            run("mount", "-o", "remount,bind,ro", path)
    assert settings["MemoryDenyWriteExecute"] == "yes"
    ctypes.CDLL(None).prctl(PR_SET_MDWE, 1, 0, 0, 0)  # Linux 6.3


def filter_calls(settings: dict[str, str]) -> None:
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(REFUSE))
    allowed = calls_of(settings["SystemCallFilter"])
    assert "read" in allowed
    assert "mount" not in allowed
    for name in allowed - {"socket"}:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:
            library.seccomp_rule_add_array(rules, ALLOW, number, 0, None)
    number = library.seccomp_syscall_resolve_name(b"socket")
    for family in settings["RestrictAddressFamilies"].split():
        said = Compared(0, EQUAL, getattr(socket, family), 0)
        assert not library.seccomp_rule_add_array(rules, ALLOW, number, 1, ctypes.byref(said))
    assert not library.seccomp_load(rules)


def main(unit: str, *command: str) -> None:
    settings = dict(re.findall(r"(?m)^(\w+)=(.*)$", Path(unit).read_text()))
    confine(settings)
    kept = [
        f"+{name.removeprefix('CAP_').lower()}"
        for name in settings["CapabilityBoundingSet"].split()
    ]
    assert settings["NoNewPrivileges"] == "yes"
    filter_calls(settings)
    bound = f"--bounding-set={','.join(['-all', *kept])}"
    os.execvp("setpriv", ["setpriv", bound, "--no-new-privs", "--", *command])  # noqa: S606


main(*sys.argv[1:])
