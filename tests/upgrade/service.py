# SPDX-License-Identifier: Apache-2.0
"""A service that calls os-vif, of whichever release is installed where this runs.

One line of JSON in, one out. A request is a list: what to do, and with what:

* ``["plug", VIF, GUEST, OPTIONS]``, the same for ``unplug``: what was raised and logged
* ``["check", VIF, GUEST, OPTIONS]``: what is left to do, in words (of this release only)
* ``["describe"]``: versions, options and what the host is said to take
* ``["write", VIF]``, ``["read", PRIMITIVE]``: a VIF on the wire, and a VIF from there
* ``["send", HOST, VIF]``: what goes over the wire to a host, that is said to take what ``describe``
  has of it, or why nothing does; ``["plug", PRIMITIVE, GUEST, OPTIONS]`` there takes it

A VIF is ``{"class": NAME, FIELD: VALUE}``, and so is what its fields hold. OPTIONS are by group.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import logging
import sys
from importlib import metadata
from typing import Any

from oslo_config import cfg

import os_vif

CONTEXTS = ("vif_plug_ovs.privsep", "vif_plug_linux_bridge.privsep")


class _Lines(logging.Handler):
    """What was logged: logger, level, text."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[list[str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append([record.name, record.levelname, record.getMessage()])


LOGGED = _Lines()


def built(said: Any) -> Any:
    """Return a versioned object, or whatever else was said."""
    if isinstance(said, list):
        return [built(item) for item in said]
    if isinstance(said, dict) and "versioned_object.name" in said:
        return _from_wire(said)
    if not isinstance(said, dict) or "class" not in said:
        return said
    from oslo_versionedobjects import base

    fields = {key: built(value) for key, value in said.items() if key != "class"}
    return base.VersionedObjectRegistry.obj_classes()[said["class"]][0](**fields)


@contextlib.contextmanager
def configured(options: dict[str, dict[str, Any]]) -> Any:
    pairs = [(group, name) for group, named in options.items() for name in named]
    for group, name in pairs:
        cfg.CONF.set_override(name, options[group][name], group)
    try:
        yield
    finally:
        for group, name in pairs:
            cfg.CONF.clear_override(name, group)


def act(verb: str, vif: Any, guest: Any, options: dict[str, dict[str, Any]]) -> Any:
    LOGGED.lines.clear()
    raised = None
    with configured(options):
        try:
            getattr(os_vif, verb)(built(vif), built(guest))
        except Exception as error:
            cause = error.kwargs.get("err") if hasattr(error, "kwargs") else None
            raised = [type(error).__name__, str(error), type(cause).__name__]
    lines = [line for line in LOGGED.lines if line[0].startswith("os_vif")]
    return {"raised": raised, "logged": lines}


def check(vif: Any, guest: Any, options: dict[str, dict[str, Any]]) -> list[str]:
    from os_vif.engine import steps

    with configured(options):
        return [steps.describe(step) for step in os_vif.check(built(vif), built(guest))]


def describe() -> dict[str, Any]:
    from os_vif import opts

    return {
        "version": metadata.version("os-vif"),
        "options": {
            group: {
                option.name: [
                    type(option).__name__,
                    option.default,
                    sorted(getattr(option.type, "choices", None) or ()),
                    sorted(f"{it.group}.{it.name}" for it in option.deprecated_opts),
                ]
                for option in options
            }
            for group, options in opts.list_plugins_opts()
        },
        "host": os_vif.host_info().obj_to_primitive(),
        "logged": LOGGED.lines,
    }


def read(primitive: Any) -> Any:
    return _from_wire(primitive).obj_to_primitive()


def _from_wire(primitive: Any) -> Any:
    from os_vif.objects.base import VersionedObject

    return VersionedObject.obj_from_primitive(primitive)


def send(host: Any, said: Any) -> dict[str, Any]:
    """Return what goes to a host, by this release's own means to find a version for both."""
    info, vif = _from_wire(host), built(said)
    try:
        try:
            from os_vif import negotiation
        except ImportError:  # earlier ones say of each class whether it may go as it is
            described = info.get_plugin(vif.plugin).get_vif(vif.obj_name())
            described.get_common_version()
            for profile in described.supported_port_profiles:
                if profile.profile_object_name == vif.port_profile.obj_name():
                    profile.get_common_version()
            return {"sent": vif.obj_to_primitive()}
        return {"sent": negotiation.primitive_for(info, vif)}
    except Exception as error:
        return {"raised": [type(error).__name__, str(error)]}


def initialize(settings: str) -> None:
    """Initialize os-vif as a privileged service does, whose privileged part runs in it."""
    logging.getLogger().addHandler(LOGGED)
    logging.getLogger().setLevel(logging.DEBUG)
    cfg.CONF(["--config-file", settings], project="service")
    os_vif.initialize()
    for name in CONTEXTS:
        with contextlib.suppress(ImportError):
            importlib.import_module(name).vif_plug.set_client_mode(False)


def main() -> None:
    """Serve until the standard input ends; whatever else is printed goes to the other output."""
    answers, sys.stdout = sys.stdout, sys.stderr
    initialize(sys.argv[1])
    verbs = {
        "plug": lambda *said: act("plug", *said),
        "unplug": lambda *said: act("unplug", *said),
        "check": check,
        "describe": describe,
        "write": lambda vif: built(vif).obj_to_primitive(),
        "read": read,
        "send": send,
    }
    for line in sys.stdin:
        verb, *said = json.loads(line)
        print(json.dumps(verbs[verb](*said), default=str), file=answers, flush=True)


if __name__ == "__main__":
    main()
