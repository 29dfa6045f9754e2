# SPDX-License-Identifier: Apache-2.0
"""Nova, Kuryr-Kubernetes and Zun, unmodified, on this library.

They share one environment of what ``requirements/clients.txt`` locks, which takes a few seconds to
make and is kept in ``.cache/clients``. In it this checkout stands in the place of os-vif. Each
client then runs those of its own tests that have to do with os-vif, and converts ports into VIFs
as it does in production; the result is compared with what the same client makes of the same ports
on os-vif 5.3.0.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests import environments

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
# Since openstacksdk 1.0 a resource hands out copies of its lists. These tests extend one in place,
# so they fail with os-vif 5.3.0 in just the same way, and os-vif has no part in them.
COPIED_LISTS = [
    "kuryr_kubernetes.tests.unit.controller.drivers.test_nested_macvlan_vif"
    f".TestNestedMacvlanPodVIFDriver.{name}"
    for name in (
        "test_add_to_allowed_address_pairs_1_None",
        "test_add_to_allowed_address_pairs_2_fa_16_3e_71_cb_80",
        "test_add_to_allowed_address_pairs_already_present",
        "test_add_to_allowed_address_pairs_same_ip",
        "test_remove_from_allowed_address_pairs_1_None",
        "test_remove_from_allowed_address_pairs_2_fa_16_3e_71_cb_80",
        "test_remove_from_allowed_address_pairs_missing_1_None",
        "test_remove_from_allowed_address_pairs_missing_2_fa_16_3e_71_cb_80",
    )
]

# Client: its test modules (with a part of the test's name where not all are about VIFs), tests
# that fail with the reference as well, and how many tests must have run.
OWN_TESTS = {
    "nova": (
        {
            "nova.tests.unit.network.test_os_vif_util": "",
            "nova.tests.unit.objects.test_migrate_data": "",
            "nova.tests.unit.virt.libvirt.test_driver": "plug",
            "nova.tests.unit.virt.libvirt.test_vif": "",
        },
        [],
        149,
    ),
    "kuryr": (
        {
            "kuryr_kubernetes.tests.unit.cni.test_binding": "",
            "kuryr_kubernetes.tests.unit.controller.drivers.test_nested_dpdk": "",
            "kuryr_kubernetes.tests.unit.controller.drivers.test_nested_macvlan_vif": "",
            "kuryr_kubernetes.tests.unit.controller.drivers.test_nested_vlan_vif": "",
            "kuryr_kubernetes.tests.unit.controller.drivers.test_neutron_vif": "",
            "kuryr_kubernetes.tests.unit.controller.drivers.test_vif_pool": "",
            "kuryr_kubernetes.tests.unit.controller.handlers.test_kuryrport": "",
            "kuryr_kubernetes.tests.unit.controller.handlers.test_vif": "",
            "kuryr_kubernetes.tests.unit.test_os_vif_plug_noop": "",
            "kuryr_kubernetes.tests.unit.test_os_vif_util": "",
            "kuryr_kubernetes.tests.unit.test_utils": "",
        },
        COPIED_LISTS,
        260,
    ),
    "zun": (
        {
            "zun.tests.unit.network.test_kuryr_network": "",
            "zun.tests.unit.objects.test_network": "",
            "zun.tests.unit.objects.test_objects": "",
        },
        [],
        49,
    ),
}

pytestmark = [
    pytest.mark.clients,
    pytest.mark.long,
    pytest.mark.timeout(600),  # the first of them installs
    pytest.mark.xdist_group("clients"),  # and no other worker waits for it
]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, check=False, text=True, **options)


def run_client(script, tmp_path, **options):
    """Run a script of this folder where neither it nor the client can see or change anything."""
    environment = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment |= {"HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    done = run(environments.clients(), str(HERE / script), cwd=tmp_path, env=environment, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def ordered(value):
    """The same with every list of changed fields sorted: its order has no meaning."""
    if isinstance(value, dict):
        return {
            key: sorted(item) if key.endswith(".changes") else ordered(item)
            for key, item in value.items()
        }
    return [ordered(item) for item in value] if isinstance(value, list) else value


def test_this_checkout_is_the_clients_os_vif(tmp_path):
    script = "import os_vif, importlib.metadata as m; print(os_vif.__file__, m.version('os-vif'))"
    done = run(environments.clients(), "-c", script, cwd=tmp_path)
    assert done.stdout.split() == [str(ROOT / "os_vif" / "__init__.py"), "6.0.0"], done.stderr


@pytest.mark.parametrize("client", OWN_TESTS)
def test_the_clients_own_tests(client, tmp_path):
    modules, skip, expected = OWN_TESTS[client]
    task = json.dumps({"modules": modules, "skip": skip})
    report = run_client("run_unittests.py", tmp_path, input=task)
    assert report["problems"] == {}
    assert report["unknown"] == []
    assert report["ran"] == expected


@pytest.mark.parametrize("client", OWN_TESTS)
def test_conversion_gives_what_it_gives_on_the_reference(client, tmp_path):
    recorded = json.loads((HERE.parent / "golden" / "clients.json").read_text())[client]
    assert ordered(run_client(f"convert_{client}.py", tmp_path)) == recorded


def test_kuryrs_dpdk_ports_go_as_they_go_on_the_reference(tmp_path):
    """Made, sent, bound to a driver and released: all by Kuryr, whose plugin does nothing."""
    recorded = json.loads((HERE.parent / "golden" / "clients.json").read_text())["kuryr DPDK"]
    found = ordered(run_client("dpdk_kuryr.py", tmp_path))
    assert found == recorded
    assert found["written"]["addresses/c0ffee-eth1"] == "0000:00:05.0"
    assert found["bound"]["versioned_object.data"]["dev_driver"] == "virtio-pci"
    assert found["left"] == []
