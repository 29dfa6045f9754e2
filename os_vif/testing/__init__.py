# SPDX-License-Identifier: Apache-2.0
"""What a test of a plugin, or of a family, must show: for authors of both.

Each function tries one VIF out on this host, by the plugin it names, and raises AssertionError with
what it saw where a promise is not kept.  They need the right to change network devices, and change
the network namespace they are called in: call them in one of their own (``unshare --net``), with
nothing else at work there.  :func:`os_vif.initialize` must have been called.

What is compared is :func:`snapshot`: devices, addresses and routes.  Who has more to keep as it was
gives a function of his own, whose results can be compared: ``look=lambda: (snapshot(), mine())``.
The interface is stable from 6.0 on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from os_vif.testing.killing import Change, killed
from os_vif.testing.looking import snapshot

if TYPE_CHECKING:
    from os_vif.engine.step import Step
    from os_vif.objects.instance_info import InstanceInfo
    from os_vif.objects.vif import VIFBase

__all__ = [
    "Change",
    "assert_converges",
    "assert_leaves_nothing",
    "assert_repairs",
    "assert_survives_kills",
    "assert_undone",
    "killed",
    "snapshot",
]

Look = Callable[[], Any]

MOST_CHANGES = 500
"""More changes than a plug of one VIF takes: a test that comes here goes on for ever."""


def _words(steps: list[Step]) -> str:
    from os_vif.engine.steps import describe

    return "; ".join(map(describe, steps))


def _same(before: Any, after: Any, what: str) -> None:
    assert after == before, "\n".join([f"{what}:", *_differences(before, after, "")])


def _differences(before: Any, after: Any, place: str) -> list[str]:
    """Return what differs, a line each, as deep as dictionaries go."""
    if before == after:
        return []
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [f"{place or 'all'}: {before} -> {after}"]
    return [
        line
        for key in {**before, **after}
        for line in _differences(before.get(key), after.get(key), f"{place}.{key}".lstrip("."))
    ]


def assert_converges(vif: VIFBase, instance_info: InstanceInfo, *, look: Look = snapshot) -> None:
    """Plug, and see that plugging again does nothing; the VIF stays plugged.

    :raises AssertionError: something is left to do after a plug, or a second one changes something
    """
    import os_vif

    os_vif.plug(vif, instance_info)
    left = os_vif.check(vif, instance_info)
    assert not left, f"plugged, and still to do: {_words(left)}"
    before = look()
    os_vif.plug(vif, instance_info)
    _same(before, look(), "a second plug changed the host")


def assert_leaves_nothing(
    vif: VIFBase, instance_info: InstanceInfo, *, look: Look = snapshot
) -> None:
    """Plug and unplug, twice, and see that the host is as it was.

    :raises AssertionError: something is left, or an unplug of what is not plugged does something
    """
    import os_vif

    before = look()
    for _time in range(2):
        os_vif.plug(vif, instance_info)
        os_vif.unplug(vif, instance_info)
        _same(before, look(), "plugged and unplugged, the host is not as it was")
    left = os_vif.plan(vif, instance_info, unplugging=True)
    assert not left, f"unplugged, and still to take away: {_words(left)}"
    os_vif.unplug(vif, instance_info)
    _same(before, look(), "an unplug of what is not plugged changed the host")


def assert_repairs(
    vif: VIFBase,
    instance_info: InstanceInfo,
    spoil: Callable[[], None],
    *,
    look: Look = snapshot,
) -> None:
    """Have ``spoil`` change what a plug made: check must see it, and plug repair it.

    :raises AssertionError: it is not seen, or not repaired
    """
    import os_vif

    os_vif.plug(vif, instance_info)
    before = look()
    spoil()
    assert os_vif.check(vif, instance_info), "what was spoilt is not seen"
    os_vif.plug(vif, instance_info)
    _same(before, look(), "what was spoilt is not repaired")


def assert_undone(vif: VIFBase, instance_info: InstanceInfo, *, look: Look = snapshot) -> None:
    """Have each step of a plug fail, one after the other, and see that the host is as it was.

    :raises AssertionError: a failed plug raises nothing, or leaves something
    """
    import os_vif
    from os_vif.testing.failing import failing_at

    before = look()
    for number in range(MOST_CHANGES):
        with failing_at(number) as fault:
            try:
                os_vif.plug(vif, instance_info)
            except Exception:
                assert fault.struck, "plug failed by itself"
            else:
                assert not fault.struck, f"step {number} failed, and plug did not"
                break
        _same(before, look(), f"step {number} failed, and something is left")
    os_vif.unplug(vif, instance_info)
    _same(before, look(), "plugged and unplugged, the host is not as it was")


def assert_survives_kills(
    vif: VIFBase,
    instance_info: InstanceInfo,
    *,
    look: Look = snapshot,
    changes: tuple[Change, ...] = (),
) -> None:
    """Kill a plug, and an unplug, before each of its changes: the next plug and unplug go on.

    Whatever was half made, a plug must end as one that nobody killed, and an unplug with nothing.

    :param changes: what else changes the host, beside netlink, ioctls, sysctls, programs and
        transactions
    :raises AssertionError: a kill leaves something that is not mended, or not taken away
    """
    import os_vif

    def plug() -> None:
        os_vif.plug(vif, instance_info)

    def unplug() -> None:
        os_vif.unplug(vif, instance_info)

    empty = look()
    plug()
    whole = look()
    unplug()
    for number in range(MOST_CHANGES):
        struck = killed(plug, number, changes)
        plug()
        _same(whole, look(), f"plug killed before change {number}, and plugged again")
        unplug()
        _same(empty, look(), f"plug killed before change {number}, plugged and unplugged")
        killed(plug, number, changes)
        unplug()
        _same(empty, look(), f"plug killed before change {number}, and unplugged")
        if not struck:
            break
    for number in range(MOST_CHANGES):
        plug()
        struck = killed(unplug, number, changes)
        unplug()
        _same(empty, look(), f"unplug killed before change {number}, and unplugged again")
        if not struck:
            break
