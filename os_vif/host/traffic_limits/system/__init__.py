# SPDX-License-Identifier: Apache-2.0
"""Look at the limits of devices, and change them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from os_vif.engine.family import System
from os_vif.engine.step import Args
from os_vif.engine.topology import parse_mark
from os_vif.host.links.system import devices
from os_vif.host.traffic_limits.questions import LIMITS
from os_vif.host.traffic_limits.steps import buckets
from os_vif.host.traffic_limits.system import traffic_control

if TYPE_CHECKING:
    from os_vif.engine.observed import Asked, Host, Question
    from os_vif.engine.place import Place


def _look(
    asked: Mapping[Question[Any, Any], set[Any]], host: Host, _place: Place
) -> Iterable[Asked]:
    for device in asked.get(LIMITS, ()):
        host[LIMITS][device] = traffic_control.of_device(device)
    return ()


def _set(args: Args) -> None:
    traffic_control.set_on(args["device"], *buckets(args))


def _refuses(args: Args, _section: str) -> str:
    """Say why a device is not limited for another process: it is none of ours."""
    link = devices.look_up([args["device"]])[args["device"]]
    is_ours = link is None or parse_mark(link.alias) is not None
    return "" if is_ours else f"{args['device']} is no VIF's"


SYSTEM = System(look=_look, run={"set_limits": _set}, refuses={"set_limits": _refuses})
