# SPDX-License-Identifier: Apache-2.0
"""The library's options for one run of the command.

Later wins: the library's own defaults, the command's (it makes the taps itself, and finds Open
vSwitch where Open vSwitch's own tools do), the configuration files, ``options:`` of the
specifications, fields of VIFs that stand in an option, ``--set``.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs.nodes import BadInput
from os_vif.cli.specs.reading import suggest
from os_vif.specs import Problem

if TYPE_CHECKING:
    from os_vif.cli.specs.reader import Options, Said

COMMAND_DEFAULTS = {
    ("os_vif_linux_bridge", "create_tap"): True,
    # ovs-ctl(8), "Environment"; it is what packages are built with.
    ("os_vif_ovs", "ovsdb_connection"): (
        f"unix:{os.environ.get('OVS_RUNDIR') or '/run/openvswitch'}/db.sock"
    ),
    ("os_vif_ovs", "ovs_vsctl_timeout"): 30,
}
"""Where a person with the command wants something else than a service with the library."""

HELPER_SECTIONS = (
    "vif_plug_ovs_privileged",
    "vif_plug_linux_bridge_privileged",
    "vhostuser_fp_privileged",
    "os_vif_privileged",
)
"""Sections of the privileged daemons, which the library adds only when one is needed."""


def start(files: Sequence[str]) -> None:
    """Load the library and the configuration files.

    Without ``files``, oslo.config looks where it always does: /etc/os-vif/os-vif.conf and others.

    :raises BadInput: a file is missing, or is no configuration
    """
    # Deprecations of libraries below us are for those who install them.
    warnings.simplefilter("ignore")
    from oslo_config import cfg

    import os_vif

    arguments = [word for name in files for word in ("--config-file", name)]
    os_vif.initialize()
    try:
        cfg.CONF(arguments, project="os-vif", prog="os-vif")
    except cfg.ConfigFilesNotFoundError as error:
        raise _bad(f"there is no configuration file {', '.join(error.config_files)}") from None
    except (cfg.Error, OSError) as error:
        raise _bad(str(error)) from None
    for (group, name), value in COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(name, value, group=group)


def apply(options: Options, settings: Sequence[str], said: Said | None = None) -> None:
    """Set what the specifications and ``--set`` ask for.

    :param said: what fields of VIFs add to options
    :param settings: each ``GROUP.OPTION=VALUE``; a group may leave out ``os_vif_``
    :raises BadInput: a group or option is unknown, or a value cannot be used
    """
    problems: list[Problem] = []
    for (group, name), (text, mark) in options.items():
        message = _set(group, name, text)
        if message:
            problems.append(Problem(mark, f"options.{group}.{name}", message))
    for (plugin, name, key), (item, _mark) in (said or {}).items():
        from oslo_config import cfg

        there = getattr(cfg.CONF[f"os_vif_{plugin}"], name)
        cfg.CONF.set_override(name, {**there, key: item}, group=f"os_vif_{plugin}")
    for setting in settings:
        name, equals, value = setting.partition("=")
        group, dot, option = name.strip().rpartition(".")
        message = "expected GROUP.OPTION=VALUE, as in tap.routed=true"
        if equals and dot:
            message = _set(group, option, value.strip())
        if message:
            problems.append(Problem(None, f"--set {setting}", message))
    if problems:
        raise BadInput(problems)


def _set(group: str, name: str, text: str | list[str]) -> str:
    """Set one option; return what is wrong, or ''."""
    from oslo_config import cfg

    from os_vif import opts

    known: Mapping[str, list[Any]] = {
        f"os_vif_{plugin}": loaded.CONFIG_OPTS for plugin, loaded in opts.plugins_list
    }
    options: Mapping[str, Any]
    if group in HELPER_SECTIONS:
        import os_vif.engine.privilege  # noqa: F401  (registers the sections)

        options = cfg.CONF[group]
    else:
        section = group if group in known else f"os_vif_{group}"
        if section not in known:
            groups = [name.removeprefix("os_vif_") for name in known]
            return f"there is no plugin {group!r}; {suggest(group, groups)}"
        group = section
        options = {option.dest: option for option in known[group]}
    if name not in options:
        if not options:
            return f"plugin {group.removeprefix('os_vif_')!r} has no options"
        return f"there is no option {name!r}; {suggest(name, options)}"
    option = options[name]
    many = bool(getattr(option, "multi", False))
    value: Any = text
    if many and isinstance(text, str):
        value = [text]
    elif isinstance(option, cfg.ListOpt) and isinstance(text, list):
        value = ",".join(text)
    elif isinstance(text, list) and not many:
        return f"{text!r} cannot be used; expected a single value"
    try:
        cfg.CONF.set_override(name, value, group=group)
    except ValueError as error:
        return f"{text!r} cannot be used; {error}"
    return ""


def _bad(message: str) -> BadInput:
    return BadInput([Problem(None, "--config-file", message)])
