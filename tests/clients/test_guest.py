# SPDX-License-Identifier: Apache-2.0
"""What Nova's driver tells libvirt of each VIF it makes, and what we tell: the same, or why not."""

import pytest

from tests.clients.test_clients import run_client
from tests.libvirt_guests import flat

pytestmark = [pytest.mark.clients, pytest.mark.qemu, pytest.mark.timeout(600)]

SOCKETS = [
    *("vhostuser", "vhostuser, ovs", "vhostuser, fast path", "vhostuser, fast path, ovs"),
    "vhostuser, fast path, hybrid",
]
CLIENTS = ["vhostuser, client", "vhostuser, ovs, client"]
RECONNECT = {"source/reconnect enabled", "source/reconnect timeout"}
SWITCHED = {"type", "source bridge", "target managed"}
SWITCHED |= {"virtualport type", "virtualport/parameters interfaceid"}

EVERYWHERE = {"rom enabled"}
"""No boot from a card's ROM unless asked for, and nothing is missed where its file is not."""

DIFFERENT = {
    # libvirt makes no device for a socket: it ignores the name, or fails for it if there is an MTU.
    **{name: {"target dev"} for name in SOCKETS},
    # Without it the guest loses its network for good when the back end is started anew.
    **{name: {"target dev", *RECONNECT} for name in CLIENTS},
    # Nobody makes the tap without create_port, neither this library nor 5.3.0: libvirt has to.
    "ovs, tap alone": SWITCHED,
    # Plugging a macvtap leaves the VLAN of the function below it to whoever has set it.
    "hw_veb, macvtap": {"vlan/tag id", "driver name"},
}
"""By VIF, in what."""

REFUSED = {
    "802.1qbh": "Port profile class VIFPortProfile8021Qbh is not supported",  # of functions
}
"""What we do not plug, and so do not tell of."""


def test_libvirt_is_told_what_nova_tells_it(tmp_path):
    told = run_client("guest_nova.py", tmp_path)
    assert {"kvm", "qemu", "two queues"} == told.keys()
    for case, vifs in told.items():
        assert DIFFERENT.keys() | REFUSED.keys() < vifs.keys()
        for name, said in vifs.items():
            if name in REFUSED:
                assert said["ours"] == REFUSED[name]
                continue
            nova, ours = (flat(said[who]) for who in ("nova", "ours"))
            others = {key for key in nova.keys() | ours.keys() if nova.get(key) != ours.get(key)}
            expected = EVERYWHERE | DIFFERENT.get(name, set())
            if case == "two queues":
                expected = expected - {"driver name"}  # both say vhost
            assert others == expected, (case, name, said)
