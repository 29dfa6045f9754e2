# SPDX-License-Identifier: Apache-2.0
"""The privilege boundary: one entry point, plain data in, plain data out.

A caller that lacks CAP_NET_ADMIN hands its steps to a daemon that oslo.privsep starts through
the operator's own helper command (``[vif_plug_linux_bridge_privileged] helper_command`` and its
siblings).  The daemon checks each step again and runs nothing that is not in the table.

The daemon is named by the path of a context, which sudo and rootwrap rules on existing hosts
mention; so the paths are older than this file.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg
from oslo_privsep import capabilities

from os_vif import exception
from os_vif.engine import call_time, families, runner
from os_vif.engine import look as looking
from os_vif.engine.daemon import Context, Lost, NotStarted
from os_vif.engine.place import AS_ROOT, DEFAULT, LINUX_BRIDGE, OVS
from os_vif.engine.programs import for_sudo

# CAP_NET_RAW: the legacy iptables talks to the kernel through a raw socket.
_CAPABILITIES = [capabilities.CAP_NET_ADMIN, capabilities.CAP_NET_RAW]

linux_bridge = Context(
    "os_vif.engine",
    cfg_section=LINUX_BRIDGE,
    pypath="vif_plug_linux_bridge.privsep.vif_plug",
    capabilities=_CAPABILITIES,
)
ovs = Context(
    "os_vif.engine",
    cfg_section=OVS,
    pypath="vif_plug_ovs.privsep.vif_plug",
    capabilities=_CAPABILITIES,
)
default = Context(
    "os_vif.engine",
    cfg_section=DEFAULT,
    pypath=f"{__name__}.default",
    capabilities=_CAPABILITIES,
)
fast_path = Context(
    "os_vif.engine",
    cfg_section=AS_ROOT,
    pypath=f"{__name__}.fast_path",
    # Besides: to give sockets away, in folders of others.  The programs that it starts have all
    # that root has: exec gives it back, capabilities(7).
    capabilities=[
        *_CAPABILITIES,
        capabilities.CAP_CHOWN,
        capabilities.CAP_DAC_OVERRIDE,
        capabilities.CAP_FOWNER,
        # And to end programs that have become another user.
        capabilities.CAP_KILL,
    ],
)


def _serve(
    section: str, what: str, asked: list[Any], together: bool, end: float | None = None
) -> list[Any]:
    if what:
        return looking.reveal(what, asked)
    return runner.run_plain(asked, section, together=together, end=end)


# The daemon looks an entry point up by its name, so each context needs one of its own.
@linux_bridge.entrypoint
def _serve_linux_bridge(*args: Any) -> list[Any]:
    return _serve(linux_bridge.cfg_section, *args)


@default.entrypoint
def _serve_default(*args: Any) -> list[Any]:
    return _serve(default.cfg_section, *args)


@ovs.entrypoint
def _serve_ovs(*args: Any) -> list[Any]:
    return _serve(ovs.cfg_section, *args)


@fast_path.entrypoint
def _serve_fast_path(*args: Any) -> list[Any]:
    for family in families.all_families():
        if any(fast_path.cfg_section in kind.daemons for kind in family.kinds.values()):
            family.system.admit()
    return _serve(fast_path.cfg_section, *args)


_DAEMONS = {
    context.cfg_section: (context, serve)
    for context, serve in (
        (linux_bridge, _serve_linux_bridge),
        (ovs, _serve_ovs),
        (fast_path, _serve_fast_path),
    )
}


def _call(section: str, *args: Any, patience: float = 0.0) -> list[Any]:
    context, serve = _DAEMONS.get(section, (default, _serve_default))
    call = call_time.current()
    end = call.end(context.limit, patience)
    try:
        answer: list[Any] = context.call(f"{__name__}.{serve.args[0].__name__}", args, end)
    except Lost as error:
        call.lost += 1
        if error.errno == errno.EPIPE and call.lost > 1:
            # It is the call that ends them, maybe: no reason to try again.
            raise Lost(errno.ECONNRESET, f"{error.strerror}, twice") from error
        raise
    except NotStarted as error:
        raise exception.NotPrivileged(
            section=context.cfg_section,
            command=context.conf.helper_command or _by_default(),
            reason=error.__cause__,
            configured=bool(context.conf.helper_command),
        ) from error.__cause__
    return answer


def _by_default() -> str:
    tried, there = "sudo privsep-helper", f"sudo {for_sudo('privsep-helper')}"
    return tried if there == tried else f"{tried}; that of this installation is {there}"


def options(section: str) -> Any:
    """Return the options of a daemon by name, as ``oslo.config`` has a group."""
    return cfg.CONF[section]


def run(
    section: str, groups: Sequence[runner.Plain], *, together: bool, patience: float = 0.0
) -> list[runner.Report]:
    """Run groups of steps in the daemon of a configuration section; see :func:`runner.run_plain`.

    :param patience: seconds that somebody else than the daemon may take
    :raises NotPrivileged: the helper command could not start one.
    :raises Lost: it gave no answer, and may have run them or not.
    """
    return _call(section, "", list(groups), together, patience=patience)


def look(section: str, what: str, asked: list[Any]) -> list[looking.Row]:
    """Look through the daemon; see :func:`.look.reveal`."""
    return _call(section, what, [list(it) if isinstance(it, tuple) else it for it in asked], False)


if "privsep_context" in cfg.CONF:
    # This process is a daemon (oslo_privsep.daemon.helper_main has that option).  It is about to
    # give up the rights by which it reads what others may not: an installation in somebody's home.
    families.load_systems()
