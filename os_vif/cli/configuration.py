# SPDX-License-Identifier: Apache-2.0
"""The library's options for one run of the command.

Later wins: the library's own defaults, the command's (it makes the taps itself, and finds Open
vSwitch where Open vSwitch's own tools do), the configuration files, ``options:`` of the
specifications, fields of VIFs that stand in an option, ``--set``.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from os_vif.cli.specs.refused import BadInput
from os_vif.cli.suggest import suggest

if TYPE_CHECKING:
    from os_vif.cli.config_files import Placed
    from os_vif.cli.specs.batch import Options, Said
    from os_vif.specs import Mark, Problem

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


def start(files: Sequence[str], *, objects: bool) -> tuple[Placed, list[Problem]]:
    """Load the library and the configuration files.

    Without ``files``, oslo.config looks where it always does: /etc/os-vif/os-vif.conf and others.

    :param objects: whether there will be versioned objects, whose import takes its time
    :returns: where each option was set, and what in the files reaches nothing
    :raises BadInput: a file is missing, or is no configuration, or a value cannot be used
    """
    # Deprecations of libraries below us are for those who install them.
    warnings.simplefilter("ignore")
    from oslo_config import cfg

    import os_vif

    arguments = [word for name in files for word in ("--config-file", name)]
    _read_once(files)
    if objects or os_vif._has_others():
        os_vif.initialize()
    else:
        os_vif._load_plugins()
    try:
        cfg.CONF(arguments, project="os-vif", prog="os-vif")
    except cfg.ConfigFilesNotFoundError as error:
        raise _bad(f"there is no configuration file {', '.join(error.config_files)}") from None
    except OSError as error:
        raise _bad(f"{error.filename}: {error.strerror}") from None
    except UnicodeDecodeError:
        _read_once(cfg.find_config_files("os-vif", "os-vif"))
        raise _bad("one of the configuration files is not UTF-8 text") from None
    except cfg.Error as error:
        raise _bad(str(error)) from None
    for (group, name), value in COMMAND_DEFAULTS.items():
        cfg.CONF.set_default(name, value, group=group)
    if not cfg.CONF.config_file and not cfg.CONF.config_dir:
        return {}, []
    from os_vif.cli import config_files

    placed, bad, unheard = config_files.look(_sections())
    if bad:
        raise BadInput(bad)
    return placed, unheard


def _read_once(names: Sequence[str]) -> None:
    """See that configuration files can be read as text, and to their end.

    :raises BadInput: one cannot
    """
    # What a shell hands over by a pipe can be read only once, and a folder has words of its own.
    for name in names:
        mode = _mode(name)
        if stat.S_ISFIFO(mode) and not os.path.realpath(name).startswith("/proc/"):
            raise _bad(f"{name}: this is a pipe, and a configuration file is read more than once")
        if os.path.isfile(name) or stat.S_ISCHR(mode):
            from os_vif.cli.specs import files

            files.text_of(name)


def _mode(name: str) -> int:
    try:
        return os.stat(name).st_mode
    except (OSError, ValueError):  # of which the library tells
        return 0


def _sections() -> dict[str, dict[str, str]]:
    """Return what may stand in our sections: those of options, and the privileged daemons'."""
    from os_vif import opts
    from os_vif.cli.config_files import names_of
    from os_vif.engine import privilege

    groups = {name: names_of(opts.options_of(name)) for name in opts.names()}
    return groups | {
        section: {name: name for name in privilege.options(section)} for section in HELPER_SECTIONS
    }


def apply(options: Options, settings: Sequence[str], said: Said | None = None) -> Placed:
    """Set what the specifications and ``--set`` ask for.

    :param said: what fields of VIFs add to options
    :returns: where which option was set
    :param settings: each ``GROUP.OPTION=VALUE``; a group may leave out ``os_vif_``
    :raises BadInput: a group or option is unknown, or a value cannot be used
    """
    problems: list[Problem] = []
    placed: Placed = {}
    for (group, name), (text, mark) in options.items():
        placed[_section(group), name] = mark
        message = _set(group, name, text)
        if message:
            problems.append(_problem(mark, f"options.{group}.{name}", message))
    for (plugin, name, key), (item, _mark) in (said or {}).items():
        from oslo_config import cfg

        there = getattr(cfg.CONF[f"os_vif_{plugin}"], name)
        cfg.CONF.set_override(name, {**there, key: item}, group=f"os_vif_{plugin}")
    for setting in settings:
        name, equals, value = setting.partition("=")
        group, dot, option = name.strip().rpartition(".")
        message = "expected GROUP.OPTION=VALUE, as in tap.routed=true"
        if equals and dot:
            placed[_section(group), option] = None
            message = _set(group, option, value.strip())
        if message:
            problems.append(_problem(None, f"--set {setting}", message))
    if problems:
        raise BadInput(problems)
    return placed


def _section(plugin: str) -> str:
    return plugin if plugin.startswith("os_vif_") else f"os_vif_{plugin}"


def _set(group: str, name: str, text: str | list[str]) -> str:
    """Set one option; return what is wrong, or ''."""
    from oslo_config import cfg

    from os_vif import opts
    from os_vif.specs.problems import quoted, shortened

    options: Mapping[str, Any]
    if group in HELPER_SECTIONS:
        from os_vif.engine import privilege

        options = privilege.options(group)
    else:
        section = _section(group)
        if section not in opts.names():
            groups = [name.removeprefix("os_vif_") for name in opts.names()]
            return f"there is no plugin {quoted(group)}; {suggest(group, groups)}"
        group = section
        options = {option.dest: option for option in opts.options_of(group)}
    if name not in options:
        if not options:
            return f"plugin {group.removeprefix('os_vif_')!r} has no options"
        return f"there is no option {quoted(name)}; {suggest(name, options)}"
    option = options[name]
    many = bool(getattr(option, "multi", False))
    value: Any = text
    if many and isinstance(text, str):
        value = [text]
    elif isinstance(option, cfg.ListOpt) and isinstance(text, list):
        value = ",".join(text)
    elif isinstance(text, list) and not many:
        return f"{quoted(text)} cannot be used; expected a single value"
    try:
        cfg.CONF.set_override(name, value, group=group)
    except ValueError as error:
        return f"{quoted(text)} cannot be used; {shortened(str(error))}"
    return ""


def _problem(mark: Mark | None, field: str, message: str) -> Problem:
    # What says where something stands in a file comes with all that files can say.
    from os_vif.specs import Problem

    return Problem(mark, field, message)


def _bad(message: str) -> BadInput:
    return BadInput([_problem(None, "--config-file", message)])
