# SPDX-License-Identifier: Apache-2.0
"""initialize, plug, unplug, host_info: with plugins of ours and of others."""

import subprocess
import sys
import textwrap
from importlib import metadata
from unittest import mock

import pytest
from oslo_config import cfg
from stevedore import extension

import os_vif
from os_vif import exception, objects, opts, plugin
from os_vif.engine import inventory
from os_vif.engine.plugged import Plugged
from os_vif.engine.topology import Mark
from os_vif.plugins.noop import NoOpPlugin


class ThirdPartyPlugin(plugin.PluginBase):
    """A plugin that knows only PluginBase."""

    CONFIG_OPTS = [cfg.StrOpt("colour", default="green", help="of the cable")]  # noqa: RUF012

    def __init__(self, config):
        super().__init__(config)
        self.calls = []

    def describe(self):
        info = objects.host_info
        return info.HostPluginInfo(
            plugin_name="third",
            vif_info=[
                info.HostVIFInfo(vif_object_name=name, min_version="1.0", max_version="1.0")
                for name in ("VIFGeneric", "VIFBridge")
            ],
        )

    def plug(self, vif, instance_info):
        self.calls.append(("plug", vif, instance_info))

    def unplug(self, vif, instance_info):
        self.calls.append(("unplug", vif, instance_info))


class BrokenPlugin(ThirdPartyPlugin):
    """Its back end is down."""

    def plug(self, vif, instance_info):
        raise OSError("the cable is cut")

    unplug = plug


class PlainPlugin(ThirdPartyPlugin):
    """It has no options."""

    CONFIG_OPTS = []  # noqa: RUF012


class UnloadablePlugin(ThirdPartyPlugin):
    """It cannot even be made."""

    def __init__(self, config):
        raise RuntimeError("no licence key")


class OtherPlugin(ThirdPartyPlugin):
    """Takes a name somebody else has taken."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(os_vif, "_EXT_MANAGER", None)
    monkeypatch.setattr(os_vif, "_told", set())
    monkeypatch.setattr(opts, "plugins_list", [])
    monkeypatch.setattr(plugin, "CONF", cfg.ConfigOpts())


@pytest.fixture
def install(monkeypatch):
    """Make ``(name, plugin class)`` pairs the only plugins there are; count the loadings."""

    def install(*plugins):
        found = [
            extension.Extension(name, entry_point=mock.Mock(), plugin=cls, obj=None)
            for name, cls in plugins
        ]
        make = extension.ExtensionManager.make_test_instance
        manager = mock.Mock(side_effect=lambda **_: make(list(found), namespace="os_vif"))
        monkeypatch.setattr(extension, "ExtensionManager", manager)
        return manager

    return install


def generic(plugin_name):
    return objects.vif.VIFGeneric(plugin=plugin_name, vif_name="tap0")


def loaded(name):
    return os_vif._EXT_MANAGER[name].obj


@pytest.mark.parametrize(
    "call",
    [
        lambda: os_vif.plug(mock.Mock(plugin="noop"), mock.sentinel.instance),
        lambda: os_vif.unplug(mock.Mock(plugin="noop"), mock.sentinel.instance),
        lambda: os_vif.plug(None, None),
        lambda: os_vif.unplug(None, None),
        lambda: os_vif.plan(None),
        os_vif.host_info,
    ],
)
def test_nothing_works_before_initialize(call):
    with pytest.raises(exception.LibraryNotInitialized):
        call()


def test_plugins_are_loaded_once_until_reset(install):
    manager = install(("third", ThirdPartyPlugin))
    assert os_vif.initialize() is None
    manager.assert_called_once_with(namespace="os_vif", invoke_on_load=False)
    first = os_vif._EXT_MANAGER
    os_vif.initialize()
    assert os_vif._EXT_MANAGER is first
    manager.assert_called_once()
    os_vif.initialize(reset=True)
    assert os_vif._EXT_MANAGER is not first
    assert manager.call_count == 2


@pytest.mark.parametrize("verb", ["plug", "unplug"])
def test_a_third_party_plugin_gets_what_the_caller_gave(install, verb):
    install(("third", ThirdPartyPlugin), ("noop", NoOpPlugin))
    os_vif.initialize()
    vif, guest = generic("third"), objects.instance_info.InstanceInfo(name="guest")
    assert getattr(os_vif, verb)(vif, guest) is None
    assert loaded("third").calls == [(verb, vif, guest)]
    assert loaded("third").config.colour == "green"


@pytest.mark.parametrize("verb", ["plug", "unplug"])
def test_an_unknown_plugin_is_named(install, verb):
    install(("third", ThirdPartyPlugin))
    os_vif.initialize()
    with pytest.raises(exception.NoMatchingPlugin, match="fourth") as caught:
        getattr(os_vif, verb)(generic("fourth"), mock.sentinel.instance)
    assert caught.value.kwargs == {"plugin_name": "fourth"}


@pytest.mark.parametrize(
    ("verb", "error"),
    [("plug", exception.PlugException), ("unplug", exception.UnplugException)],
)
def test_a_plugins_error_is_the_cause_of_ours(install, verb, error):
    install(("third", BrokenPlugin))
    os_vif.initialize()
    vif = generic("third")
    with pytest.raises(error, match="the cable is cut") as caught:
        getattr(os_vif, verb)(vif, mock.sentinel.instance)
    assert isinstance(caught.value.__cause__, OSError)
    assert caught.value.kwargs == {"vif": vif, "err": caught.value.__cause__}


def test_a_plugin_that_cannot_be_loaded_leaves_the_others_alone(install, caplog):
    install(("bad", UnloadablePlugin), ("third", ThirdPartyPlugin))
    os_vif.initialize()
    assert "bad" in caplog.text
    assert "no licence key" in caplog.text
    os_vif.plug(generic("third"), mock.sentinel.instance)
    with pytest.raises(exception.NoMatchingPlugin):
        os_vif.plug(generic("bad"), mock.sentinel.instance)
    assert [info.plugin_name for info in os_vif.host_info().plugin_info] == ["third"]
    assert [group for group, _ in opts.list_plugins_opts()] == ["os_vif_third"]


def test_a_plugin_that_cannot_be_made_is_told_once(install, caplog):
    install(("bad", UnloadablePlugin))
    for _ in range(3):
        os_vif.initialize(reset=True)
    assert [record.message for record in caplog.records if "bad" in record.message] == [
        f"Could not load VIF plugin bad ({UnloadablePlugin})"
    ]


def test_a_plugin_that_cannot_be_imported_is_told_once(monkeypatch, caplog):
    broken = metadata.EntryPoint("broken", "no_such_module:Plugin", "os_vif")
    cache = extension.ExtensionManager.ENTRY_POINT_CACHE
    monkeypatch.setitem(cache, "os_vif", [broken])
    for _ in range(3):
        os_vif.initialize(reset=True)
    told = [record.message for record in caplog.records if "no_such_module" in record.message]
    assert told == ["Could not load 'broken': No module named 'no_such_module'"]
    # Another reason is news.
    monkeypatch.setitem(
        cache, "os_vif", [metadata.EntryPoint("broken", "nor_this:Plugin", "os_vif")]
    )
    os_vif.initialize(reset=True)
    assert "nor_this" in caplog.text


@pytest.mark.parametrize("ours_first", [True, False])
def test_a_third_partys_plugin_is_taken_before_ours_of_the_same_name(install, caplog, ours_first):
    both = [("noop", NoOpPlugin), ("noop", ThirdPartyPlugin)]
    install(*(both if ours_first else reversed(both)), ("third", ThirdPartyPlugin))
    os_vif.initialize()
    assert isinstance(loaded("noop"), ThirdPartyPlugin)
    assert "noop is taken by" in caplog.text
    os_vif.plug(generic("noop"), mock.sentinel.instance)
    assert len(loaded("noop").calls) == 1


@pytest.mark.parametrize("order", [1, -1])
def test_of_third_parties_the_first_by_name_is_taken(install, order):
    install(*[("third", OtherPlugin), ("third", ThirdPartyPlugin)][::order])
    os_vif.initialize()
    assert type(loaded("third")) is OtherPlugin


def test_one_plugin_found_twice_is_no_conflict(install, caplog):
    install(("noop", NoOpPlugin), ("noop", NoOpPlugin))
    os_vif.initialize()
    assert os_vif._EXT_MANAGER.names() == ["noop"]
    assert "taken" not in caplog.text


def test_host_info_is_sorted_and_filtered(install):
    install(("third", ThirdPartyPlugin), ("noop", NoOpPlugin))
    os_vif.initialize()

    def described(*permitted):
        return {
            info.plugin_name: [vif.vif_object_name for vif in info.vif_info]
            for info in os_vif.host_info(*permitted).plugin_info
        }

    assert list(described()) == ["noop", "third"]
    assert described(["VIFVHostUser"]) == {"noop": ["VIFVHostUser"]}
    assert described(["VIFBridge", "VIFUnheardOf"]) == {"third": ["VIFBridge"]}
    assert described(["VIFUnheardOf"]) == described([]) == {}


def test_host_info_answers_for_what_it_holds(install):
    install(("third", ThirdPartyPlugin))
    os_vif.initialize()
    host = os_vif.host_info()
    assert (host.has_plugin("third"), host.has_plugin("ovs")) == (True, False)
    third = host.get_plugin("third")
    assert (third.has_vif("VIFBridge"), third.has_vif("VIFDirect")) == (True, False)
    assert third.get_vif("VIFBridge").vif_object_name == "VIFBridge"
    with pytest.raises(exception.NoMatchingPlugin):
        host.get_plugin("ovs")
    with pytest.raises(exception.NoMatchingVIFClass):
        third.get_vif("VIFDirect")


def test_options_are_listed_as_copies(install):
    install(("third", ThirdPartyPlugin), ("noop", NoOpPlugin))
    listed = opts.list_plugins_opts()
    assert [(group, [opt.name for opt in group_opts]) for group, group_opts in listed] == [
        ("os_vif_noop", ["verify_sockets", "hypervisor_user"]),
        ("os_vif_third", ["colour"]),
    ]
    assert listed[1][1][0] is not ThirdPartyPlugin.CONFIG_OPTS[0]


def test_a_plugin_without_options_has_a_group_that_the_service_does_not_see(install):
    install(("plain", PlainPlugin))
    os_vif.initialize()
    assert list(loaded("plain").config) == []
    assert not hasattr(plugin.CONF, "os_vif_plain")


def test_operators_know_the_lines_of_the_log(install, caplog):
    caplog.set_level("DEBUG", "os_vif")
    install(("third", ThirdPartyPlugin), ("noop", NoOpPlugin), ("broken", BrokenPlugin))
    os_vif.initialize()
    vif = generic("third")

    def lines(level):
        found = [(r.name, r.getMessage()) for r in caplog.records if r.levelname == level]
        caplog.clear()
        return found

    assert ("os_vif", "Loaded VIF plugins: broken, noop, third") in lines("INFO")
    os_vif.plug(vif, mock.sentinel.instance)
    os_vif.unplug(vif, mock.sentinel.instance)
    told = [("os_vif", f"Successfully {verb} vif {vif}") for verb in ("plugged", "unplugged")]
    assert lines("INFO") == told
    os_vif.plug_many([(vif, None), (generic("broken"), None)])
    os_vif.unplug_many([(vif, None)])
    assert lines("INFO") == told
    for verb in (os_vif.plug, os_vif.unplug):
        with pytest.raises(exception.ExceptionBase):
            verb(generic("broken"), None)
        assert ("os_vif", f"{verb.__name__.title()}ging vif {generic('broken')}") in lines("DEBUG")


def test_a_failure_is_logged_in_known_words(install, caplog):
    install(("broken", BrokenPlugin))
    os_vif.initialize()
    for verb in (os_vif.plug, os_vif.unplug):
        with pytest.raises(exception.ExceptionBase):
            verb(generic("broken"), None)
        [record] = [each for each in caplog.records if each.levelname == "ERROR"]
        assert record.getMessage() == f"Failed to {verb.__name__} vif {generic('broken')}"
        assert record.exc_info
        caplog.clear()


def test_noop_takes_whatever_it_is_sent(install):
    install(("noop", NoOpPlugin))
    os_vif.initialize()
    vif = objects.vif.VIFHostDevice(plugin="noop", dev_type="generic", dev_address="0000:00:00.1")
    os_vif.plug(vif, mock.sentinel.instance)
    os_vif.unplug(vif, mock.sentinel.instance)


def test_a_reloaded_plugin_keeps_the_operators_settings(install, tmp_path):
    install(("third", ThirdPartyPlugin))
    settings = tmp_path / "nova.conf"
    settings.write_text("[os_vif_third]\ncolour = red\n")
    plugin.CONF(["--config-file", str(settings)])
    os_vif.initialize()
    os_vif.initialize(reset=True)
    assert loaded("third").config.colour == "red"


def test_installed_plugins_are_found(tmp_path):
    """The whole road: a distribution on disk, one plugin in good order and one that is not."""
    (tmp_path / "strangers.py").write_text(
        textwrap.dedent(
            """
            from os_vif.plugin import PluginBase

            class NoOpPlugin(PluginBase):
                def describe(self): ...
                def plug(self, vif, instance_info): print("a stranger plugs", vif.vif_name)
                def unplug(self, vif, instance_info): ...
            """
        )
    )
    dist = tmp_path / "strangers-1.0.dist-info"
    dist.mkdir()
    (dist / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    (dist / "entry_points.txt").write_text(
        "[os_vif]\nnoop = strangers:NoOpPlugin\nmissing = no_such_module:Plugin\n"
    )
    script = """
        import logging, sys
        logging.basicConfig()
        sys.path.insert(0, sys.argv[1])
        import os_vif
        os_vif.initialize()
        vif = os_vif.objects.vif.VIFGeneric(plugin="noop", vif_name="tap0")
        os_vif.plug(vif, None)
    """
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), str(tmp_path)],
        capture_output=True,
        check=True,
        text=True,
    )
    assert run.stdout == "a stranger plugs tap0\n"
    assert "Could not load 'missing'" in run.stderr


def test_of_a_third_partys_plugin_nobody_tells_what_it_did(install):
    from os_vif.cli.plugging import _state

    install(("third", ThirdPartyPlugin))
    os_vif.initialize()
    [done] = os_vif.plug_many([(generic("third"), None)])
    assert (done.error, done.told, _state(done, None, unplugging=False)) == (None, False, "plugged")
    [gone] = os_vif.unplug_many([(generic("third"), None)])
    assert _state(gone, None, unplugging=True) == "unplugged"


def test_the_version_is_known_and_costs_nothing_until_it_is_asked_for():
    assert os_vif.__version__ == metadata.version("os-vif")
    with pytest.raises(AttributeError, match="module 'os_vif' has no attribute 'plugg'"):
        os_vif.plugg  # noqa: B018
    # Whoever asks gets it anew: nothing was read at import, and nothing is kept.
    assert "__version__" not in vars(os_vif)


def test_gc_takes_what_was_found_and_does_not_look_again(monkeypatch):
    os_vif.initialize()
    monkeypatch.setattr(inventory, "plugged", lambda *_: pytest.fail("it has looked"))
    one, two = (
        Plugged(Mark(name, "tap", owner=whose), {}) for name, whose in (("1", ""), ("2", "rack"))
    )
    assert os_vif.gc({"1"}, dry_run=True, found=[one, two]) == []
    assert os_vif.gc(set(), dry_run=True, found=[one, two]) == [one]
    assert os_vif.gc(set(), dry_run=True, found=[one, two], owner="rack") == [two]
