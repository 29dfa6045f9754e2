# SPDX-License-Identifier: Apache-2.0
"""What a person may get wrong: a clear error, the right exit code, and nothing changed."""

from __future__ import annotations

import json
import os

import pytest

from .conftest import BRIDGE, TAP

pytestmark = pytest.mark.functional

WIRE = {
    "versioned_object.name": "VIFBridge",
    "versioned_object.namespace": "os_vif",
    "versioned_object.version": "1.0",
    "versioned_object.data": {
        "id": "b679325f-ca89-4ee0-a8be-6db1409b69ea",
        "plugin": "linux_bridge",
    },
}


def wire(**changes):
    return json.dumps(WIRE | {f"versioned_object.{key}": value for key, value in changes.items()})


BAD = {
    "name too long": (BRIDGE.replace("tap0", "a" * 16), ["name: 'aaaaaaaa", "at most 15 bytes"]),
    "name empty": (BRIDGE.replace("tap0", "''"), ["name: ''", "an interface name"]),
    "name with slash": (BRIDGE.replace("tap0", "../x"), ["name: '../x'", "no '/'"]),
    "name with blank": (BRIDGE.replace("tap0", "a b"), ["name: 'a b'", "letters, digits"]),
    "name with NUL": (BRIDGE.replace("tap0", r'"a\0b"'), [r"name: 'a\x00b'", "NUL"]),
    "name dots": (BRIDGE.replace("br0", ".."), ["bridge: '..'", "not '.', '..'"]),
    "name template": (BRIDGE.replace("tap0", "tap%d"), ["name: 'tap%d'", "'%'"]),
    "MAC multicast": (BRIDGE.replace("52:54", "53:54"), ["mac: '53:54:00", "unicast"]),
    "MAC zero": (BRIDGE.replace("52:54:00:12:34:56", "00:00:00:00:00:00"), ["mac: '00:", "not 0"]),
    "MAC malformed": (BRIDGE.replace(":56", ":5g"), ["mac: '52:", "as in 52:54:00:12:34:56"]),
    "MTU": (BRIDGE + "network: {mtu: 67}", ["network.mtu: '67'", "68 to 65535"]),
    "same id": (
        BRIDGE + "---\n" + BRIDGE,
        ["name: VIF id", "is taken by the VIF at vif.yaml:3:7", "vif.yaml:9:7"],
    ),
    "same device": (
        BRIDGE + "id: b679325f-ca89-4ee0-a8be-6db1409b69ea\n---\n" + BRIDGE,
        ["device name 'tap0' is taken by the VIF at vif.yaml:3:7"],
    ),
    "no mapping": ("5", ["vif.yaml:1:1: expected a VIF", "found '5'"]),
    "wrong type": (BRIDGE + "network: 5", ["network: expected a mapping", "found '5'"]),
    "unknown field": (
        BRIDGE + "netwrok: {}",
        ["netwrok: unknown field", "did you mean 'network'?"],
    ),
    "unknown type": (BRIDGE.replace("bridge\n", "birdge\n", 1), ["did you mean 'bridge'?"]),
    "no YAML": ("a: [", ["this is not YAML"]),
    "nested": ("vifs: " + "[" * 5000, ["vif.yaml:1:46: deeper than 40 levels"]),
    "MTU of no tap": (BRIDGE + "network: {mtu: 65522}", ["network.mtu: 65522", "68 to 65521"]),
    "name for an address": (
        "type: macvtap\ndevice: eth1\nmac: 52:54:00:12:34:56\n",
        ["device: 'eth1'", "for a device by its name, write network: {uplink: eth1}"],
    ),
    "too long for any name": (
        BRIDGE + "network: {uplink: " + "e" * 128 + "}",
        ["network.uplink: 'eee", "at most 127 bytes"],
    ),
    "empty": ("", ["there is no VIF in it"]),
    "unknown class": (wire(name="VIFBrigde"), ["no object 'VIFBrigde'", "mean 'VIFBridge'?"]),
    "newer version": (wire(version="1.9"), ["VIFBridge 1.9", "the newest known is 1.0"]),
    "foreign namespace": (wire(namespace="nova"), ["'nova' is another project's", "'os_vif'"]),
    "VLAN without uplink": (BRIDGE + "network: {vlan: 5}", ["network.uplink: missing"]),
    "routed without address": (
        TAP + "options: {tap: {routed: yes}}",
        ["network.subnets: missing", "at least one subnet"],
    ),
    "option unknown": (TAP + "options: {tap: {ruoted: yes}}", ["tap.ruoted", "'routed'?"]),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD.keys())
def test_a_bad_file(osvif, text, said):
    name = osvif.file(text)
    with osvif.nothing_changed():
        done = osvif("plug", name, code=2)
    for words in said:
        assert words in done.stderr
    assert done.stderr.startswith("error: vif.yaml:")
    assert "nothing was touched" in done.stderr
    assert done.stdout == ""


def test_all_that_is_bad_in_json(osvif):
    names = [
        osvif.file(text, f"{number}.yaml") for number, (text, _said) in enumerate(BAD.values())
    ]
    errors = osvif.json("validate", *names, code=2)["errors"]
    assert len(errors) >= len(names) - 7  # what needs the plugins is looked for in good files
    for error in errors:
        assert error["type"] == "BadInput"
        assert error["file"] in names
        assert (error["line"] is None) == (error["column"] is None)
        assert error["line"] is None or (error["line"] >= 1 and error["column"] >= 1)
        assert error["message"]


def test_one_bad_vif_among_good_ones_stops_all_before_anything_is_touched(osvif):
    good, bad = osvif.file(BRIDGE, "good"), osvif.file(TAP.replace("52:", "53:"), "bad")
    with osvif.nothing_changed():
        assert "bad:3:6: mac:" in osvif("plug", good, bad, code=2).stderr


def test_the_line_is_shown_and_its_column_marked(osvif):
    said = osvif("validate", osvif.file(BRIDGE.replace("52:54", "53:54")), code=2).stderr
    assert said.splitlines()[1:3] == [
        "     4 | mac: 53:54:00:12:34:56",
        "       |      ^^^^^^^^^^^^^^^^^",
    ]


def test_a_file_that_is_none(osvif):
    assert "error: no.yaml: No such file" in osvif("plug", "no.yaml", code=2).stderr
    [error] = osvif.json("plug", "no.yaml", code=2)["errors"]
    assert (error["file"], error["line"], error["column"]) == ("no.yaml", None, None)
    (osvif.folder / "latin").write_bytes(b"type: tap\nname: \xe4\n")
    assert "latin:2:7: not UTF-8 text (byte 0xe4)" in osvif("plug", "latin", code=2).stderr


def test_the_first_mistakes_of_many_and_how_many_there_are(osvif):
    vif = "- {type: tap, name: tap0, mac: 53:54:00:12:34:57}\n"
    name = osvif.file(vif * 300)
    said = osvif("validate", name, code=2).stderr
    assert said.count("error: vif.yaml:") == 20
    assert said.endswith("error: and 280 more; --json has all\n300 errors; nothing was touched\n")
    assert len(osvif.json("validate", name, code=2)["errors"]) == 300


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        TAP.replace("tap1", "{}"),
        TAP + "options: {{tap: {{routed: {}}}}}",
        TAP + "options: {{tap: {{{}: 1}}}}",
        TAP + "{}: 1",
        TAP + "'{}': 1",
        wire(name="{}").replace("{", "{{").replace("}", "}}").replace("{{}}", "{}", 1),
    ],
)
def test_what_is_long_is_not_repeated(osvif, text):
    done = osvif("validate", osvif.file(text.format("x" * 1000)), code=2)
    assert len(done.stderr) < 1000
    osvif.json("validate", "vif.yaml", code=2)


def test_a_configuration_that_says_what_nobody_hears(osvif):
    conf = osvif.file(
        "[DEFAULT]\nx = 1\n[libvirt]\nx = 1\n[os_vif_osv]\nx = 1\n[tap]\nx=1\n"
        "[os_vif_tap]\nruoted = yes\n"
        "[os_vif_privileged]\nhelper_comand = x\n",
        "os-vif.conf",
    )
    said = osvif("validate", "--config-file", conf, osvif.file(TAP)).stderr
    assert said.splitlines() == [
        "warning: os-vif.conf:5:2: [os_vif_osv]: there is no such section; did you mean "
        "[os_vif_ovs]?",
        "warning: os-vif.conf:7:2: [tap]: there is no such section; did you mean [os_vif_tap]?",
        "warning: os-vif.conf:10:1: [os_vif_tap] ruoted: there is no such option; did you mean "
        "'routed'?",
        "warning: os-vif.conf:12:1: [os_vif_privileged] helper_comand: there is no such option; "
        "did you mean 'helper_command'?",
    ]
    found = osvif.json("validate", "--config-file", conf, "vif.yaml")
    assert [item["line"] for item in found["warnings"]] == [5, 7, 10, 12]
    # Also where no specification is read.
    assert [item["line"] for item in osvif.json("list", "--config-file", conf)["warnings"]] == [
        item["line"] for item in found["warnings"]
    ]


def test_a_value_of_the_configuration_is_blamed_where_it_stands(osvif):
    name = osvif.file(TAP)
    conf = osvif.file("[os_vif_tap]\nnetwork_device_mtu = 70000\n", "os-vif.conf")
    said = osvif("plug", "--config-file", conf, name, code=2).stderr
    place = "[os_vif_tap] network_device_mtu: 70000 cannot be used; expected a number of bytes"
    assert f"error: os-vif.conf:2:1: {place}" in said
    said = osvif("plug", "--set", "tap.network_device_mtu=70000", name, code=2).stderr
    assert "error: --set os_vif_tap.network_device_mtu: 70000 cannot be used" in said
    name = osvif.file(TAP + "options: {tap: {network_device_mtu: 70000}}\n")
    assert f"error: vif.yaml:4:37: {place}" in osvif("plug", name, code=2).stderr
    # What a VIF says itself stands in its file, whatever the options say.
    name = osvif.file(TAP + "network: {mtu: 70000}\noptions: {tap: {network_device_mtu: 70000}}\n")
    assert "error: vif.yaml:4:16: network.mtu: " in osvif("plug", name, code=2).stderr
    conf = osvif.file("[os_vif_tap]\nrouted = perhaps\n", "os-vif.conf")
    said = osvif("plug", "--config-file", conf, osvif.file(TAP), code=2).stderr
    assert "error: os-vif.conf:2:1: [os_vif_tap] routed: 'perhaps' cannot be used; " in said
    assert ": Is a directory" in osvif("plug", "--config-file", ".", name, code=2).stderr
    os.mkfifo(osvif.folder / "pipe")
    said = osvif("plug", "--config-file", "pipe", name, code=2, timeout=60).stderr
    assert "pipe: this is a pipe, and a configuration file is read more than once" in said


def test_a_result_that_nobody_can_keep(osvif):
    for words in (["types"], ["types", "--json"], ["validate", osvif.file(TAP)]):
        done = osvif(*words, code=1, before=("sh", "-c", 'exec "$@" > /dev/full', "sh"))
        assert "the result could not be written: No space left on device" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_picture_that_is_none(osvif):
    done = osvif("show", "--svg", "-", "--json", code=2)
    assert "both want standard output" in done.stdout
    assert "expected a name in .svg" in osvif("show", "--svg", "x.png", code=2).stderr
    assert not (osvif.folder / "x.png").exists()


def test_a_file_without_end(osvif):
    said = "error: /dev/zero: larger than 64 MiB"
    assert said in osvif("validate", "/dev/zero", code=2).stderr
    with open("/dev/zero", "rb") as endless:
        done = osvif("validate", "-", code=2, stdin=endless)
    assert "error: <stdin>: larger than 64 MiB" in done.stderr


# --- what only the host can tell: exit code 1 ---------------------------------------------------


def refused(osvif, text, *said):
    name = osvif.file(text)
    with osvif.nothing_changed():
        for command in ("plug", "plan", "check"):
            done = osvif(command, name, code=1)
            for words in said:
                assert words in done.stderr
            osvif.json(command, name, code=1)


def test_a_bridge_that_is_no_bridge(osvif):
    osvif.host.run("ip", "link", "add", "br0", "type", "veth", "peer", "name", "x")
    refused(osvif, BRIDGE, "vif.yaml:1: tap0: device br0 is in the way", "a bridge of this name")


def test_a_bridge_that_must_be_there(osvif):
    refused(osvif, BRIDGE + "create_bridge: no\n", "br0 not found")


def test_a_device_of_another_vif(osvif):
    osvif("plug", osvif.file(TAP))
    other = TAP + "id: b679325f-ca89-4ee0-a8be-6db1409b69ea\n"
    refused(osvif, other, "device tap1 is in the way", "a tap of VIF ")


def test_a_device_of_a_stranger(osvif):
    osvif.host.run("ip", "tuntap", "add", "tap1", "mode", "tap")
    refused(osvif, TAP, "device tap1 is in the way")


def test_a_missing_uplink(osvif):
    refused(osvif, BRIDGE + "network: {uplink: eth9}\n", "eth9 not found")


def test_an_uplink_of_another_bridge(osvif):
    osvif.host.run("ip", "link", "add", "br9", "type", "bridge")
    osvif.host.run("ip", "link", "add", "eth1", "type", "veth", "peer", "name", "x")
    osvif.host.run("ip", "link", "set", "eth1", "master", "br9")
    refused(osvif, BRIDGE + "network: {uplink: eth1}\n", "uplink eth1", "it is a port of br9")


# --- the command line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["plgu", "x"], "there is no command 'plgu'; did you mean 'plug'?"),
        (["plug"], "FILE"),
        (["plug", "--josn", "x"], "--json"),
        (["types", "brige"], "there is no type 'brige'; did you mean 'bridge'?"),
        (["schema", "bridge", "x"], "there is no type 'x'; expected one of: bridge, tap"),
        (["gc"], "say what to keep"),
        (["gc", "--keep-none", "--keep-id", "x"], "say what to keep"),
        (["plan", ""], "this is no name of a file"),
        (["unplug", ""], "this is no name of a file"),
        (["show", "nothing"], "neither a file nor the id, device or guest of a plugged VIF"),
        (["plug", "--set", "x=1", "vif.yaml"], "expected GROUP.OPTION=VALUE"),
        (["plug", "--config-file", "no.conf", "vif.yaml"], "there is no configuration file"),
        (["list", "--netns", "../x"], "'../x' is not the name of a network namespace"),
        (["list", "--netns", ""], "'' is not the name of a network namespace"),
        (["list", "--netns", "no-such-namespace"], "there is no /run/netns/no-such-namespace"),
    ],
)
def test_a_wrong_command_line(osvif, words, said):
    osvif.file(BRIDGE)
    with osvif.nothing_changed():
        assert said in osvif(*words, code=2).stderr
        done = osvif(*words, "--json", code=2)
    assert said in json.loads(done.stdout)["errors"][0]["message"]


@pytest.mark.parametrize("command", ["validate", "plan", "plug", "check"])
def test_what_nothing_hears_is_told(osvif, command):
    """A line on standard error, with its place; in JSON too; and no error."""
    subnets = "network: {subnets: [{cidr: 192.0.2.0/24, gateway: 192.0.2.1}]}\n"
    name = osvif.file(f"type: tap\nname: tap0\nmac: 52:54:00:12:34:56\n{subnets}")
    missing = 3 if command == "check" else 0
    words = "network.subnets[0].gateway: reaches nothing: nothing is routed to the guest"
    assert f"warning: {name}:4:51: {words}" in osvif(command, name, code=missing).stderr
    [told] = osvif.json(command, name, code=missing)["warnings"]
    assert (told["file"], told["line"], told["type"]) == (name, 4, "Unused")
    assert words not in osvif(command, "--quiet", name, code=missing).stderr
    assert words not in osvif("unplug", name).stderr


def test_a_configuration_file_that_is_no_text(osvif):
    (osvif.folder / "latin.conf").write_bytes(b"[os_vif_tap]\n# \xe9\n")
    said = osvif("list", "--config-file", "latin.conf", code=2).stderr
    assert "error: latin.conf:2:3: not UTF-8 text (byte 0xe9)" in said
    [error] = osvif.json("list", "--config-file", "latin.conf", code=2)["errors"]
    assert (error["type"], error["file"], error["line"]) == ("BadInput", "latin.conf", 2)
    said = osvif("list", "--config-file", "/dev/zero", code=2).stderr
    assert "error: /dev/zero: larger than 64 MiB" in said
    assert osvif("list", "--config-file", "/dev/null").stderr == ""
    own = osvif.folder / ".os-vif"
    own.mkdir()
    (own / "os-vif.conf").write_bytes(b"\xff")
    said = osvif("list", env={"HOME": str(osvif.folder)}, code=2).stderr
    assert "os-vif.conf:1:1: not UTF-8 text" in said


@pytest.mark.parametrize("verb", ["show", "export", "unplug"])
def test_a_word_that_is_no_text(osvif, verb):
    osvif("plug", osvif.file(TAP))
    with osvif.nothing_changed():
        said = osvif(verb, "tap\udcff", code=2).stderr
    assert r"error: 'tap\udcff' is neither a file nor the id" in said


def test_the_beginning_of_an_id_keeps_nothing(osvif):
    osvif("plug", osvif.file(TAP))
    [vif] = osvif.json("list")["vifs"]
    with osvif.nothing_changed():
        said = osvif("gc", "--keep-id", vif["id"][:8], "--yes", code=2).stderr
    assert f"is the beginning of {vif['id']}; write the whole id" in said
    osvif("gc", "--keep-id", vif["id"], "--keep-id", "another", "--yes")
    assert osvif.json("list")["vifs"] == [vif]
