# SPDX-License-Identifier: Apache-2.0
"""What to tell a person when the library's errors are about the right to act, or to ask."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from os_vif.cli.session import Session
    from os_vif.engine.family import Unseen


class _Found(Protocol):
    @property
    def unseen(self) -> Sequence[Unseen]: ...


def tell_unseen(session: Session, found: Iterable[_Found], instead: str) -> None:
    """Say what nobody here may see, once each.

    :param instead: what was done about it
    """
    unseen = dict.fromkeys(item for each in found for item in each.unseen)
    for item in () if session.json else unseen:
        session.warn(f"{item.what} could not be seen (needs {item.needs}: {as_root()}): {instead}")


def as_root() -> str:
    """Return how this command is run as root."""
    from os_vif.engine.programs import for_sudo

    return f"sudo {for_sudo('os-vif')} ..."


def explain(
    error: BaseException,
    server: str = "is Open vSwitch running, and its database there? see --ovsdb",
) -> str:
    """Return an error in words; where privilege is what is missing, say how to get it.

    :param server: what to look at where a database does not answer
    """
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
        if os.strerror(errno.EACCES) in str(error.strerror):
            return (
                f"{error.strerror} (its socket is not yours to open: run as root, {as_root()}, "
                "or give yourself access to it)"
            )
        return f"{error.strerror} ({server})" if server else str(error.strerror)
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
    from os_vif.engine.programs import for_sudo

    if isinstance(reason, FileNotFoundError) and reason.filename:
        why = f"there is no program {reason.filename!r}"
    else:
        why = str(reason).partition("\n")[0]
    helper = for_sudo("privsep-helper")
    # Where its name will do, it is the default already.
    named = "" if helper == "privsep-helper" else f" = sudo {helper}"
    return (
        f"no right to change network devices (CAP_NET_ADMIN), and no helper that has it ({why}). "
        f"Run as root ({as_root()}), or configure helper_command{named} in {sections} "
        "(--config-file)"
    )
