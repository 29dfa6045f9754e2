# SPDX-License-Identifier: Apache-2.0
"""The step that gives away a macvtap's character device."""

from __future__ import annotations

import functools
from collections.abc import Mapping

from os_vif.engine import fields
from os_vif.engine.observed import Host
from os_vif.engine.place import DEFAULT
from os_vif.engine.step import Args, Drift, Kind, Step
from os_vif.host.links.questions import NODES

IS_ACCOUNT = fields.number(0, 0xFFFFFFFE)
"""Whether this is the number of a user or a group."""


def _give(host: Host, args: Args) -> None:
    host[NODES][args["name"]] = (args["user"], args["group"], args["mode"])


def _back(host: Host, args: Args) -> Step | None:
    # That of a device which this plan makes goes with the device.
    there = host[NODES].get(args["name"])
    if there is None:
        return None
    user, group, mode = there
    return Step("give_node", {"name": args["name"], "user": user, "group": group, "mode": mode})


def _whose(args: Args) -> str:
    return f"user {args['user']}, group {args['group']}, mode {args['mode']:o}"


KINDS: Mapping[str, Kind] = {
    "give_node": Kind(
        {
            "name": fields.NAME,
            "user": IS_ACCOUNT,
            "group": IS_ACCOUNT,
            "mode": fields.number(0, 0o777),
        },
        _give,
        _back,
        lambda args: f"give the character device of {args['name']} to {_whose(args)}",
        forget=lambda host, args: functools.partial(host[NODES].__setitem__, args["name"], None),
        drift=lambda args, _steps: [
            Drift(args["name"], f"its character device should be that of {_whose(args)}")
        ],
        partial=True,
        daemons=frozenset({DEFAULT}),
    ),
}
"""By name."""
