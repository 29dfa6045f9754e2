# SPDX-License-Identifier: Apache-2.0
"""Services on this release and on earlier ones, on one private host."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import os_vif
from tests import openvswitch
from tests.conftest import PrivateHost
from tests.debian import CACHE, locked
from tests.upgrade.services import HERE, Service, Services, fetch


@pytest.fixture
def inside(host: PrivateHost) -> Iterator[PrivateHost]:
    """Return a private host that the test itself and its children are on."""
    os_vif.initialize()
    with host.enter():
        yield host


@pytest.fixture
def services(inside: PrivateHost, tmp_path: Path) -> Iterator[Services]:
    """Return what gives the service of a release; each is started once."""
    with contextlib.ExitStack() as stack:
        started: dict[str, Service] = {}

        def service(release: str) -> Service:
            if release not in started:
                started[release] = Service(release, inside, tmp_path)
                stack.callback(started[release].close)
            return started[release]

        yield service


@pytest.fixture
def switch(inside: PrivateHost) -> Iterator[openvswitch.Switch]:
    """Return a switch without bridges."""
    made = openvswitch.Switch(inside, tcp=True)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def dpdk_switch(inside: PrivateHost) -> Iterator[openvswitch.Switch]:
    """Return the same with DPDK; one at a time, as it takes 0.6 GB and, at times, a processor."""
    with locked(CACHE / "dpdk-switch.lock"):
        made = openvswitch.Switch(inside, tcp=True, dpdk=True)
        try:
            yield made
        finally:
            made.close()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch what these tests need, if any is to run: no time limit runs yet."""
    if session.config.option.collectonly:
        return
    if any(HERE in item.path.parents for item in session.items):
        fetch()
