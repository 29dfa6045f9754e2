# SPDX-License-Identifier: Apache-2.0
"""What to tell a person when the library's errors are about the right to act, or to ask."""

from __future__ import annotations

import errno
import sys


def explain(error: BaseException) -> str:
    """Return an error in words; where privilege is what is missing, say how to get it."""
    from os_vif import exception
    from os_vif.engine import dispatch

    said = str(error).strip() or type(error).__name__
    if isinstance(error, exception.StepFailed) and error.kwargs["step"].startswith("create "):
        # What all it was to be created with is for plan and for the log.
        step = error.kwargs["step"].partition(":")[0]
        said = said.replace(error.kwargs["step"], step)
    if isinstance(error, exception.NotPrivileged):
        return _unprivileged(error.__cause__ or error, f"[{error.kwargs['section']}]")
    if isinstance(error, exception.ExceptionBase) and "/dev/net/tun" not in said:
        return said
    if "/dev/net/tun" in said:
        return f"{said} (taps are made through it: load the tun module, or give access to it)"
    if isinstance(error, OSError) and _is_of_ovsdb(error):
        return f"{error.strerror} (is Open vSwitch running, and its database there? see --ovsdb)"
    if isinstance(error, OSError):
        if error.errno not in (errno.EPERM, errno.EACCES):
            return said
        if dispatch.is_privileged():
            return f"{said}; CAP_NET_ADMIN is there, but this needs more: run as root"
        return _unprivileged(error, "[vif_plug_linux_bridge_privileged] and [os_vif_privileged]")
    return f"{type(error).__name__}: {said}"


def _is_of_ovsdb(error: OSError) -> bool:
    # The library that talks to Open vSwitch is only loaded where there is one.
    module = sys.modules.get("os_vif.system.ovsdb")
    return module is not None and isinstance(error, module.OvsdbError)


def _unprivileged(reason: BaseException, sections: str) -> str:
    if isinstance(reason, FileNotFoundError) and reason.filename:
        why = f"there is no program {reason.filename!r}"
    else:
        why = str(reason).partition("\n")[0]
    return (
        f"no right to change network devices (CAP_NET_ADMIN), and no helper that has it ({why}). "
        f"Run as root (sudo os-vif ...), or configure helper_command in {sections} (--config-file)"
    )
