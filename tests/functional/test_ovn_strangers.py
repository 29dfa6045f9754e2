# SPDX-License-Identifier: Apache-2.0
"""The witness of others' rows sees whatever happens to them, and tells ours from theirs."""

from __future__ import annotations

import pytest

from tests import ovn, strangers

pytestmark = pytest.mark.functional


def test_what_is_theirs(centre: ovn.Centre) -> None:
    before = strangers.theirs(centre)
    strangers.write(centre)
    written = strangers.theirs(centre)
    wanted = sum(len(operations) for operations in strangers.WRITERS.values())
    assert len(written) == len(before) + wanted
    assert strangers.ours(centre) == {}
    # ovn-northd goes on looking, and has nothing more to say.
    centre.nbctl("--wait=sb", "sync")
    assert strangers.theirs(centre) == written

    # A transaction that writes what is there already is one too many.
    centre.nbctl(
        *("set", "Logical_Switch", "incus-net2-ls-int", "other_config:foreign=1", "--"),
        *("remove", "Logical_Switch", "incus-net2-ls-int", "other_config", "foreign"),
    )
    centre.nbctl("set", "Logical_Router", "ovn_cluster_router", "options:x=1")
    centre.nbctl("remove", "Logical_Router", "ovn_cluster_router", "options", "x")
    centre.nbctl("ls-del", "os-vif-blue")
    now = strangers.theirs(centre)
    gone = [row["name"] for key, row in written.items() if key not in now]
    changed = [row["name"] for key, row in written.items() if key in now and now[key] != row]
    assert sorted(gone) == ["os-vif-blue", "os-vif-port"]
    assert changed == ["ovn_cluster_router"]

    centre.nbctl("ls-add", "blue", "--", "set", "Logical_Switch", "blue", "external_ids={}")
    assert len(strangers.theirs(centre)) == len(now) + 1
    centre.nbctl("set", "Logical_Switch", "blue", f"external_ids:{strangers.OWNER}=lab")
    assert strangers.theirs(centre) == now
    assert [row["name"] for row in strangers.ours(centre).values()] == ["blue"]
