# SPDX-License-Identifier: Apache-2.0
"""Both halves of the negotiation: what the manager sends, and what the host takes."""

import pytest

from os_vif import exception, negotiation, objects

objects.register_all()

from os_vif.objects import host_info, network, vif  # noqa: E402 - as callers do after registering


def a_network():
    return network.Network(
        id="437c6db5-4e6f-4b43-b64b-ed6a11ee5ba7", bridge="br-int", label="net", mtu=1442
    )


def ovs_profile(**fields):
    return vif.VIFPortProfileOpenVSwitch(
        interface_id="0ba98f4e-a1c5-4f3e-a31c-2a8a5e4d7c30",
        datapath_type="netdev",
        datapath_offload=vif.DatapathOffloadRepresentor(representor_name="rep0"),
        create_port=True,
        create_tap=True,
        multiqueue=True,
        **fields,
    )


def vhost_user(**fields):
    return vif.VIFVHostUser(
        id="b679325f-ca89-4ee0-a8be-6db1409b69ea",
        plugin="switch",
        vif_name="vhu0",
        path="/run/vhu0",
        mode="server",
        network=a_network(),
        **fields,
    )


def described(vif_range=("1.0", "1.1"), profiles=(("VIFPortProfileOpenVSwitch", "1.0", "1.4"),)):
    """A host whose plugin ``switch`` takes VIFVHostUser; ``profiles`` None says nothing of them."""
    info = host_info.HostVIFInfo(
        vif_object_name="VIFVHostUser", min_version=vif_range[0], max_version=vif_range[1]
    )
    if profiles is not None:
        info.supported_port_profiles = [
            host_info.HostPortProfileInfo(
                profile_object_name=name, min_version=low, max_version=high
            )
            for name, low, high in profiles
        ]
    return host_info.HostInfo(
        plugin_info=[host_info.HostPluginInfo(plugin_name="switch", vif_info=[info])]
    )


def as_an_old_host_sends_it(info):
    oldest = dict.fromkeys(
        ("HostInfo", "HostPluginInfo", "HostVIFInfo", "HostPortProfileInfo"), "1.0"
    )
    sent = info.obj_to_primitive(target_version="1.0", version_manifest=oldest)
    return host_info.HostInfo.obj_from_primitive(sent)


PROFILE_FIELDS = {
    "1.0": {"interface_id"},
    "1.1": {"datapath_type"},
    "1.2": {"datapath_offload"},
    "1.3": {"create_port"},
    "1.4": {"create_tap", "multiqueue"},
}


@pytest.mark.parametrize("vif_max", ["1.0", "1.1", "1.7", "1.10", "2.0"])
@pytest.mark.parametrize("profile_max", ["1.0", "1.1", "1.2", "1.3", "1.4", "1.5", "1.10"])
def test_each_side_gets_the_newest_both_know(vif_max, profile_max):
    host = described(("1.0", vif_max), [("VIFPortProfileOpenVSwitch", "1.0", profile_max)])
    sent_vif = "1.0" if vif_max == "1.0" else "1.1"
    sent_profile = profile_max if profile_max in PROFILE_FIELDS else "1.4"
    ours = vhost_user(port_profile=ovs_profile())
    assert negotiation.negotiate(host, ours) == negotiation.Versions(sent_vif, sent_profile, "1.1")

    got = vif.VIFBase.obj_from_primitive(negotiation.primitive_for(host, ours))
    assert sent_vif == got.VERSION
    assert sent_profile == got.port_profile.VERSION
    assert got.obj_attr_is_set("vif_name") is (sent_vif == "1.1")
    assert (got.network.VERSION, got.network.mtu) == ("1.1", 1442)
    known = set().union(*(PROFILE_FIELDS[v] for v in PROFILE_FIELDS if v <= sent_profile))
    unknown = set().union(*PROFILE_FIELDS.values()) - known - {"datapath_offload"}
    assert all(got.port_profile.obj_attr_is_set(field) for field in known)
    assert not any(got.port_profile.obj_attr_is_set(field) for field in unknown)
    negotiation.check_supported(host.get_plugin("switch"), got)


def test_negotiating_changes_nothing_of_ours():
    ours = vhost_user(port_profile=ovs_profile())
    before = ours.obj_to_primitive()
    negotiation.primitive_for(described(("1.0", "1.0")), ours)
    assert ours.obj_to_primitive() == before


def test_a_vif_without_profile():
    host = described()
    assert negotiation.negotiate(host, vhost_user()).profile is None
    got = vif.VIFBase.obj_from_primitive(negotiation.primitive_for(host, vhost_user()))
    assert not got.obj_attr_is_set("port_profile")
    negotiation.check_supported(host.get_plugin("switch"), got)


@pytest.mark.parametrize("profile", [None, ovs_profile()])
def test_a_host_from_before_port_profiles(profile):
    host = as_an_old_host_sends_it(described(("1.0", "1.0")))
    ours = vhost_user() if profile is None else vhost_user(port_profile=profile)
    got = vif.VIFBase.obj_from_primitive(negotiation.primitive_for(host, ours))
    assert (got.VERSION, got.network.VERSION) == ("1.0", "1.0")
    if profile is not None:
        assert got.port_profile.VERSION == "1.0"


def test_a_plugin_that_says_nothing_of_profiles_gets_the_oldest():
    ours = vhost_user(port_profile=ovs_profile())
    expected = negotiation.Versions("1.1", "1.0", "1.1")
    assert negotiation.negotiate(described(profiles=None), ours) == expected


def test_a_subclass_of_a_profile_goes_by_its_own_name():
    ours = vhost_user(
        port_profile=vif.VIFPortProfileFPOpenVSwitch(
            interface_id="0ba98f4e-a1c5-4f3e-a31c-2a8a5e4d7c30", create_port=True
        )
    )
    with pytest.raises(exception.NoMatchingPortProfileClass):
        negotiation.negotiate(described(), ours)
    host = described(profiles=[("VIFPortProfileFPOpenVSwitch", "1.0", "1.2")])
    got = vif.VIFBase.obj_from_primitive(negotiation.primitive_for(host, ours))
    assert got.port_profile.obj_name() == "VIFPortProfileFPOpenVSwitch"
    assert got.port_profile.VERSION == "1.2"
    assert not got.port_profile.obj_attr_is_set("create_port")


def test_the_host_does_not_have_the_plugin():
    ours = vif.VIFVHostUser(plugin="macvtap")
    with pytest.raises(exception.NoMatchingPlugin, match="macvtap"):
        negotiation.negotiate(described(), ours)


REFUSED = {
    "class": (
        lambda: vif.VIFDirect(plugin="switch"),
        described,
        exception.NoMatchingVIFClass,
        {"name": "VIFDirect"},
    ),
    "version": (
        vhost_user,
        lambda: described(vif_range=("1.2", "1.10")),
        exception.NoSupportedVIFVersion,
        {
            "name": "VIFVHostUser",
            "got_versions": "1.1",
            "min_version": "1.2",
            "max_version": "1.10",
        },
    ),
    "profile class": (
        lambda: vhost_user(port_profile=vif.VIFPortProfileFPTap()),
        described,
        exception.NoMatchingPortProfileClass,
        {"name": "VIFPortProfileFPTap"},
    ),
    "no profile at all": (
        lambda: vhost_user(port_profile=ovs_profile()),
        lambda: described(profiles=[]),
        exception.NoMatchingPortProfileClass,
        {"name": "VIFPortProfileOpenVSwitch"},
    ),
    "profile version": (
        lambda: vhost_user(port_profile=ovs_profile()),
        lambda: described(profiles=[("VIFPortProfileOpenVSwitch", "1.5", "2.0")]),
        exception.NoSupportedPortProfileVersion,
        {
            "name": "VIFPortProfileOpenVSwitch",
            "got_versions": "1.4",
            "min_version": "1.5",
            "max_version": "2.0",
        },
    ),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize(
    "half",
    [
        negotiation.negotiate,
        negotiation.primitive_for,
        lambda host, ours: negotiation.check_supported(host.get_plugin("switch"), ours),
    ],
    ids=["manager", "primitive", "host"],
)
def test_both_halves_refuse_alike(case, half):
    make_vif, make_host, error, details = REFUSED[case]
    host, ours = make_host(), make_vif()
    with pytest.raises(error) as caught:
        half(host, ours)
    assert caught.value.kwargs == details
    assert all(value in str(caught.value) for value in details.values())


def test_the_host_refuses_what_is_newer_than_its_plugin():
    plugin = described(("1.0", "1.0")).get_plugin("switch")
    with pytest.raises(exception.NoSupportedVIFVersion):
        negotiation.check_supported(plugin, vhost_user())
    plugin = described(profiles=[("VIFPortProfileOpenVSwitch", "1.0", "1.3")]).get_plugin("switch")
    with pytest.raises(exception.NoSupportedPortProfileVersion):
        negotiation.check_supported(plugin, vhost_user(port_profile=ovs_profile()))


def test_a_class_derived_from_a_described_one_is_taken_for_that():
    class Mine(vif.VIFVHostUser):
        VERSION = "7.0"

    class MyProfile(vif.VIFPortProfileFPOpenVSwitch):
        VERSION = "8.0"

    plugin = described().get_plugin("switch")
    mine = Mine(plugin="switch", port_profile=MyProfile(bridge_name="br0"))
    negotiation.check_supported(plugin, mine)
    plugin = described(profiles=[("VIFPortProfileFPOpenVSwitch", "1.0", "1.4")])
    with pytest.raises(exception.NoMatchingPortProfileClass):  # the other way round is less
        negotiation.check_supported(
            plugin.get_plugin("switch"), vhost_user(port_profile=ovs_profile())
        )


COMMON = [
    # What the host takes, and which version this process then shares with it.
    ("VIFVHostUser", "1.0", "1.1", "1.1"),
    ("VIFVHostUser", "1.1", "1.10", "1.1"),
    ("VIFVHostUser", "1.0", "1.0", exception.NoSupportedVIFVersion),
    ("VIFVHostUser", "1.2", "1.9", exception.NoSupportedVIFVersion),
    ("VIFUnheardOf", "1.0", "1.0", exception.NoMatchingVIFClass),
    ("VIFPortProfileOpenVSwitch", "1.0", "1.4", "1.4"),
    ("VIFPortProfileOpenVSwitch", "1.0", "1.0", exception.NoSupportedPortProfileVersion),
    ("VIFPortProfileOpenVSwitch", "1.5", "2.0", exception.NoSupportedPortProfileVersion),
    ("VIFPortProfileUnheardOf", "1.0", "1.0", exception.NoMatchingPortProfileClass),
]


@pytest.mark.parametrize(("name", "low", "high", "expected"), COMMON)
def test_common_version_of_what_a_host_describes(name, low, high, expected):
    if "PortProfile" in name:
        info = host_info.HostPortProfileInfo(profile_object_name=name)
    else:
        info = host_info.HostVIFInfo(vif_object_name=name)
    info.min_version, info.max_version = low, high
    if isinstance(expected, str):
        assert info.get_common_version() == expected
        return
    with pytest.raises(expected) as caught:
        info.get_common_version()
    assert caught.value.kwargs["name"] == name
