# SPDX-License-Identifier: Apache-2.0
"""The privilege boundary: one entry point, plain data in, plain data out.

A caller that lacks CAP_NET_ADMIN hands its steps to a daemon that oslo.privsep starts through
the operator's own helper command (``[vif_plug_linux_bridge_privileged] helper_command`` and its
siblings).  The daemon checks each step again and runs nothing that is not in the table.

The daemon is named by the path of a context, which sudo and rootwrap rules on existing hosts
mention; so the paths are older than this file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from oslo_privsep import capabilities, daemon, priv_context

from os_vif import exception
from os_vif.host import observer, runner
from os_vif.host.checks import interface_name

# CAP_NET_RAW: the legacy iptables talks to the kernel through a raw socket.
_CAPABILITIES = [capabilities.CAP_NET_ADMIN, capabilities.CAP_NET_RAW]

linux_bridge = priv_context.PrivContext(
    "os_vif.host",
    cfg_section="vif_plug_linux_bridge_privileged",
    pypath="vif_plug_linux_bridge.privsep.vif_plug",
    capabilities=_CAPABILITIES,
)
ovs = priv_context.PrivContext(
    "os_vif.host",
    cfg_section="vif_plug_ovs_privileged",
    pypath="vif_plug_ovs.privsep.vif_plug",
    capabilities=_CAPABILITIES,
)
default = priv_context.PrivContext(
    "os_vif.host",
    cfg_section="os_vif_privileged",
    pypath=f"{__name__}.default",
    capabilities=_CAPABILITIES,
)


def _serve(
    groups: list[runner.Plain], together: bool, asked: list[Any], vsis_of: list[str]
) -> list[Any]:
    if vsis_of:
        shown = observer.vsis([interface_name(device) for device in vsis_of])
        return [[device, list(there.items())] for device, there in shown.items()]
    if asked:
        found = observer.forwarding([(comment, ipv6) for comment, ipv6 in asked])
        return [[comment, ipv6, rules] for (comment, ipv6), rules in found.items()]
    return runner.run_plain(groups, together=together)


# The daemon looks an entry point up by its name, so each context needs one of its own.
@linux_bridge.entrypoint
def _serve_linux_bridge(*args: Any) -> list[Any]:
    return _serve(*args)


@default.entrypoint
def _serve_default(*args: Any) -> list[Any]:
    return _serve(*args)


@ovs.entrypoint
def _serve_ovs(*args: Any) -> list[Any]:
    return _serve(*args)


_DAEMONS = {
    "vif_plug_linux_bridge_privileged": (linux_bridge, _serve_linux_bridge),
    "vif_plug_ovs_privileged": (ovs, _serve_ovs),
}


def _call(section: str, *args: Any) -> list[Any]:
    context, serve = _DAEMONS.get(section, (default, _serve_default))
    try:
        answer: list[Any] = serve(*args)
    except (OSError, daemon.FailedToDropPrivileges) as error:
        if context.channel is not None:
            raise
        raise exception.NotPrivileged(
            section=context.cfg_section,
            command=context.conf.helper_command or "sudo privsep-helper",
            reason=error,
        ) from error
    return answer


def run(section: str, groups: Sequence[runner.Plain], *, together: bool) -> list[runner.Report]:
    """Run groups of steps in the daemon of a configuration section; see :func:`runner.run_plain`.

    :raises NotPrivileged: the helper command could not start one.
    """
    return _call(section, list(groups), together, [], [])


def forwarding(section: str, asked: list[tuple[str, bool]]) -> observer.Forwarding:
    """Look at forwarding rules through the daemon; see :func:`observer.forwarding`."""
    answers = _call(section, [], False, [list(item) for item in asked], [])
    return {
        (comment, ipv6): None if rules is None else tuple(tuple(rule) for rule in rules)
        for comment, ipv6, rules in answers
    }


def vsis(section: str, asked: list[str]) -> observer.Vsis:
    """Look at the VSIs of devices through the daemon; see :func:`observer.vsis`."""
    answers = _call(section, [], False, [], asked) if asked else []
    return {device: dict(there) for device, there in answers}
