# SPDX-License-Identifier: Apache-2.0
"""Words of other commands do what one expects, or are told what to use."""

from __future__ import annotations

import json
import re

import pytest

from .conftest import BRIDGE

pytestmark = pytest.mark.functional


def test_other_commands_words_are_done(osvif):
    name = osvif.file(BRIDGE)
    assert osvif("apply", name).stdout.startswith("plugged  tap0")
    for word in ("get", "ls"):
        found = json.loads(osvif(word, "-o", "json").stdout)
        assert (found["command"], found["vifs"][0]["devices"][0]["name"]) == ("list", "tap0")
    assert osvif("delete", name).stdout.startswith("unplugged  tap0")
    assert osvif("rm", name).stdout.startswith("was not plugged  tap0")


def test_a_dry_run_is_a_plan(osvif):
    name = osvif.file(BRIDGE)
    with osvif.nothing_changed():
        assert "create tap tap0" in osvif("plug", "--dry-run", name).stdout
        found = json.loads(osvif("apply", "--dry-run", "--json", name).stdout)
    assert (found["command"], found["vifs"][0]["state"]) == ("plan", "to_do")
    osvif("plug", name)
    with osvif.nothing_changed():
        said = osvif("unplug", "--dry-run", "--with-bridge", name).stdout
    assert "delete tap0" in said
    assert "delete br0, which nobody uses any more" in said


@pytest.mark.parametrize(
    ("words", "same"),
    [
        (["version"], ["--version"]),
        (["help"], ["--help"]),
        (["help", "plan"], ["plan", "--help"]),
        (["help", "apply"], ["plug", "--help"]),
    ],
)
def test_help_and_version(osvif, words, same):
    assert osvif(*words).stdout == osvif(*same).stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["status"], "os-vif list shows what is plugged, and os-vif check FILE..."),
        (["diff", "x"], "os-vif check FILE... tells what differs, and os-vif plan FILE..."),
        (["help", "plgu"], "there is no command 'plgu'; did you mean 'plug'?"),
    ],
)
def test_what_cannot_be_done_is_told_what_to_use(osvif, words, said):
    assert said in osvif(*words, code=2).stderr


@pytest.mark.parametrize("words", [["-o", "json"], ["-ojson"], ["--output=json"]])
def test_errors_are_json_where_that_was_asked_for(osvif, words):
    found = json.loads(osvif("plgu", *words, code=2).stdout)
    assert found["errors"][0]["type"] == "BadInput"


def test_what_a_program_is_given_is_left_to_it(osvif):
    osvif("plug", osvif.file(BRIDGE))
    said = osvif("exec", "vif.yaml", "--", "echo", "-o", "json").stdout
    assert said == "-o json\n"


def test_each_subcommand_is_listed_once(osvif):
    said = osvif("--help").stdout.partition("Commands:")[2]
    listed = re.findall(r"(?m)^  (\S+)", said)
    assert "plug" in listed
    assert not {"apply", "delete", "rm", "get", "ls", "help", "version"} & set(listed)
    assert "--dry-run" not in osvif("plug", "--help").stdout


@pytest.mark.parametrize(
    ("line", "found"),
    [("os-vif help pl", "plain,plug"), ("os-vif apply --all", "plain,--all-or-nothing")],
)
def test_they_are_completed(osvif, line, found):
    asked = {"COMP_WORDS": line, "COMP_CWORD": "2", "_OS_VIF_COMPLETE": "bash_complete"}
    assert found in osvif(env=asked).stdout
