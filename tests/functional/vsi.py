# SPDX-License-Identifier: Apache-2.0
"""VIFs with a VSI (802.1Qbg), and a host on whose NIC a real lldpad speaks to a switch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import os_vif
from os_vif import exception
from os_vif.host.port_profiles.system import vdp
from tests import vifs, witness
from tests.conftest import PrivateHost
from tests.lldpad import PROBES, Lldpad, agree, instance, number_of


def vif(number: int = 1, vsi: int | None = None, *, version: int = 2, **fields: Any) -> Any:
    """Return a VIFDirect with a VSI of the same number, unless ``vsi`` says another."""
    from os_vif.objects.vif import VIFPortProfile8021Qbg

    profile = VIFPortProfile8021Qbg(
        manager_id=3,
        type_id=0x123456,
        type_id_version=version,
        instance_id=instance(number if vsi is None else vsi),
    )
    return vifs.direct_vif(number, port_profile=profile, **fields)


class Station:
    """A private host whose lldpad, on ``eth0``, is the one that the library talks to.

    :ivar host: the host.
    :ivar beside: the switch's side: its ``wire0`` is the other end of ``eth0``.
    :ivar lldpad: the host's.
    """

    def __init__(self) -> None:
        """Start lldpad on a link that is up."""
        os_vif.initialize()
        self.host, self.beside = PrivateHost(), PrivateHost()
        with self.host.enter():
            witness.ip(f"link add eth0 type veth peer name wire0 netns {self.beside.pid}")
            witness.ip("link set eth0 up")
        self.beside.run("ip", "link", "set", "wire0", "up")
        self._pid_file = vdp.PID_FILE
        self._probes = iter(PROBES)
        self.lldpad = self._start()

    def _start(self) -> Lldpad:
        made = Lldpad(self.host, "eth0", "station")
        vdp.PID_FILE = made.pid_file
        return made

    def restart(self) -> None:
        """Have another lldpad in the place of this one; it knows of no VSI."""
        self.lldpad.close()
        self.lldpad = self._start()

    def close(self) -> None:
        """End it."""
        self.lldpad.close()
        vdp.PID_FILE = self._pid_file
        self.beside.close()
        self.host.close()

    def agreed(self, far: Callable[[str], bool] = lambda _instance: True) -> None:
        """Wait until both sides do VDP.

        :param far: whether the switch has a VSI; lldpad's bridge role forgets them at first.
        """
        with self.host.enter():
            agree("eth0", self._probes, far)

    @contextlib.contextmanager
    def clean(self) -> Iterator[None]:
        """Act on this host; at the end nothing must be left of any VIF."""
        with self.host.enter():
            before = witness.snapshot()
            try:
                yield
                assert os_vif.list_vifs() == []
                assert witness.differences(before, witness.snapshot()) == []
                assert self.associated() == set()
            finally:
                os_vif.gc([])
                witness.ip("link set eth0 up")

    def associated(self) -> set[int]:
        """Return the numbers of the VSIs that lldpad has as associated."""
        found = {number_of(one) for one, said in self.lldpad.listed().items() if said == 0}
        # The first probe may have been answered when nobody waited for that any more.
        return {number for number in found if number not in PROBES}


@contextlib.contextmanager
def refused(number: int, words: str) -> Iterator[None]:
    """Expect plugging to fail with this number and these words, and the host as it was."""
    before = witness.snapshot()
    with pytest.raises(exception.PlugException, match=words) as caught:
        yield
    cause = caught.value.__cause__
    assert isinstance(cause, exception.StepFailed), repr(cause)
    assert (cause.errno, cause.kwargs["left"]) == (number, "")
    assert witness.differences(before, witness.snapshot()) == []
    assert os_vif.list_vifs() == []
