# SPDX-License-Identifier: Apache-2.0
"""Families from outside: found, loaded when needed, and refused where they are at fault."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from oslo_config import cfg

import os_vif
from os_vif import exception, opts, plugin
from os_vif.cli import held
from os_vif.engine import (
    converge,
    dispatch,
    examine,
    families,
    inventory,
    look,
    planner,
    runner,
    steps,
)
from os_vif.engine.draft import Draft
from os_vif.engine.family import Caution, Family, Notes, Phase, Rule, System, Transactions
from os_vif.engine.observed import Host, Question
from os_vif.engine.picture import Picture
from os_vif.engine.place import LINUX_BRIDGE, Place
from os_vif.engine.plugged import Plugged
from os_vif.engine.step import TRANSACTION, Kind, Step
from os_vif.engine.topology import Mark, Topology
from os_vif.host.links.questions import Link
from os_vif.host.links.resources import Tap

PLACE = Place("os_vif_privileged")
MARK = Mark("b679325f-ca89-4ee0-a8be-6db1409b69ea", "test")
KNOB: Question[str, int] = Question("knob_turns")


@dataclasses.dataclass(frozen=True)
class Knob:
    name: str


Knob.__module__ = "knobs.resources"


def kind(**more: Any) -> Kind:
    return Kind(
        {"name": lambda value: isinstance(value, str)},
        lambda _host, _args: None,
        lambda _host, args: Step("turn_back", args),
        lambda args: f"turn {args['name']}",
        **more,
    )


class Outside:
    """A package `knobs` that is not ours, made up for a test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        for name in ("_loaded", "_unclaimed", "_kinds", "_questions", "_refused"):
            monkeypatch.setattr(families, name, dict(getattr(families, name)))

    def bring(
        self,
        *,
        name: str = "knobs",
        value: str = "knobs:FAMILY",
        rules: Any = None,
        kinds: Any = None,
        questions: Any = (KNOB,),
        system: Any = None,
        family: Any = None,
    ) -> None:
        rooms = {
            "": {"FAMILY": family or Family(name="knobs", package="knobs")},
            ".rules": {"RULES": rules if rules is not None else {Knob: RULE}},
            ".steps": {"KINDS": kinds if kinds is not None else {"turn": kind()}},
            ".questions": {"QUESTIONS": questions},
            ".system": {"SYSTEM": system or System()},
        }
        for room, holds in rooms.items():
            module = types.ModuleType(f"knobs{room}")
            module.__dict__.update(holds)
            self.patch.setitem(sys.modules, f"knobs{room}", module)
        found = {**families._entry_points(), name: EntryPoint(name, value, families.GROUP)}
        self.patch.setattr(families, "_entry_points", lambda: found)


def torn(name: str, held: str) -> types.ModuleType:
    """Return a module of this name, that fails when what it holds is asked for."""

    def fail(_module: types.ModuleType) -> Any:
        raise LookupError("torn")

    made: types.ModuleType = type("Torn", (types.ModuleType,), {held: property(fail)})(name)
    return made


RULE = Rule(
    asks=lambda knob, _mark: [KNOB(knob.name)],
    plug=lambda draft, knob: draft.add("turn", name=knob.name),
)


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    made = Outside(monkeypatch)
    yield made
    monkeypatch.undo()
    families.of_resource.cache_clear()
    families.rule_of.cache_clear()
    families._tell_once.cache_clear()


def refusal(name: str = "knobs") -> str:
    with pytest.raises(exception.UnusableFamily) as caught:
        families.load(name)
    return str(caught.value)


# --- good -----------------------------------------------------------------------------------------


def test_it_is_planned_like_ours(outside: Outside) -> None:
    outside.bring()
    topology = Topology(MARK, (Knob("volume"), Tap(name="tap0")))
    assert KNOB("volume") in planner.questions(topology)
    assert families.of_resource(Knob).name == "knobs"
    assert families.kind_of("turn").words({"name": "volume"}) == "turn volume"


LIMIT: Question[str, int] = Question("knob_limit", privileged=True)


def _warn(topology: Topology, host: Host, knob: Knob) -> Iterator[Caution]:
    if host[KNOB][knob.name] > host[LIMIT].get(knob.name, 11):
        yield Caution(knob.name, f"too far, for {topology.mark.plugin}")


def _warning(outside: Outside, **more: Any) -> converge.Request:
    """Bring knobs that warn where they are turned too far, and ask for two of the same."""
    rule = dataclasses.replace(RULE, watches=lambda it, _mark: [LIMIT(it.name)], warns=_warn)
    rule = dataclasses.replace(rule, **more)
    system = System(
        look=lambda asked, host, _place: (
            [host[KNOB].update({name: 11}) for _asked, names in asked.items() for name in names]
            and ()
        ),
        reveal={"knob_limit": lambda keys: [(key, 10) for key in keys]},
    )
    outside.bring(rules={Knob: rule}, questions=(KNOB, LIMIT), system=system)
    return converge.Request(Topology(MARK, (Knob("volume"), Knob("volume"))), PLACE)


@pytest.mark.parametrize("privileged", [True, False])
def test_what_only_a_warning_needs_is_asked_by_who_warns_and_sees_it(
    privileged: bool, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = _warning(outside)
    assert planner.questions(request.topology) == {KNOB("volume")}
    monkeypatch.setattr(dispatch, "is_privileged", lambda _section="": privileged)
    [seen] = examine.examine([request])
    assert [step.kind for step in seen.steps] == ["turn", "turn"]
    assert seen.cautions == ([Caution("volume", "too far, for test")] if privileged else [])
    [seen] = examine.examine([request], unplugging=True)
    assert seen.cautions == []


def test_who_fails_to_warn_keeps_nobody_from_the_plan(outside: Outside) -> None:
    def fail(*_given: Any) -> Iterator[Caution]:
        raise KeyError("nobody thought of this")

    [seen] = examine.examine([_warning(outside, warns=fail)])
    assert (len(seen.steps), seen.cautions, seen.error) == (2, [], None)


def test_what_nobody_answers_is_a_warning_itself(outside: Outside) -> None:
    unknown: Question[str, int] = Question("knob_unknown")
    [seen] = examine.examine([_warning(outside, watches=lambda it, _mark: [unknown(it.name)])])
    assert len(seen.steps) == 2
    assert "could not be seen" in seen.cautions[0].words


def test_what_nobody_may_see_is_told_in_one_order() -> None:
    """Which question was come to first hangs on the hashes of texts."""
    asked: list[Question[str, int]] = [Question(name, sees=f"{name}s") for name in "bab"]
    for some in (asked, asked[1:]):
        told = examine._in_words(some, Place(LINUX_BRIDGE))
        assert [it.what for it in told] == ["as", "bs"]


def test_ours_are_on_their_floors() -> None:
    found = families.all_families()
    assert {family.name for family in found} >= {"links", "routes", "openvswitch"}
    assert [family.floor for family in found] == sorted(family.floor for family in found)


def test_nothing_is_loaded_before_it_is_needed() -> None:
    script = """
import sys, os_vif
os_vif.initialize()
found = {name for name in sys.modules if name.startswith(("os_vif.host.", "os_vif.drawing"))}
rooms = ("rules", "steps", "system", "picture")
assert not [name for name in found if name.split(".")[-1] in rooms], found
from os_vif.host.links.resources import Tap
from os_vif.engine import planner, topology
planner.questions(topology.Topology(topology.Mark("1234", "tap"), (Tap(name="tap0"),)))
loaded = {name.split(".")[2] for name in sys.modules if name.endswith(".rules")}
assert loaded == {"links"}, loaded
assert not [name for name in sys.modules if ".system" in name and name.startswith("os_vif.host")]
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_a_daemon_loads_all_while_it_may_read_files() -> None:
    """Without CAP_DAC_OVERRIDE root cannot read an installation in somebody's own folder."""
    script = """
import sys
from oslo_config import cfg
if sys.argv[1:]:
    cfg.CONF.register_cli_opts([cfg.StrOpt("privsep_context")])  # as helper_main does
from os_vif.engine import families, privilege
systems = {name for name in sys.modules if name.startswith("os_vif.host.") and ".system" in name}
assert bool(systems) == bool(sys.argv[1:]), systems
before = set(sys.modules)
for family in families.all_families() if sys.argv[1:] else ():
    assert "system" in vars(family), family.name
    for kind in family.kinds:
        assert families.kind_of(kind)
assert not sys.argv[1:] or set(sys.modules) == before, set(sys.modules) - before
"""
    for words in ((), ("daemon",)):
        subprocess.run([sys.executable, "-W", "ignore", "-c", script, *words], check=True)


# --- at fault -------------------------------------------------------------------------------------


def test_a_resource_that_nobody_knows_is_a_sentence() -> None:
    @dataclasses.dataclass(frozen=True)
    class Nobodys:
        name: str

    with pytest.raises(exception.UnusableFamily, match=r"no family .* has a resource .*Nobodys"):
        planner.questions(Topology(MARK, (Nobodys("x"),)))


def test_a_family_that_nobody_brings() -> None:
    assert "no package brings it" in refusal("nowhere")


def test_one_that_cannot_be_loaded_is_told_once_and_left_out(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.bring(name="broken", value="no_such_module_of_knobs:FAMILY")
    assert "cannot be loaded: ModuleNotFoundError" in refusal("broken")
    told: list[str] = []
    monkeypatch.setattr(families.LOG, "error", lambda _form, words: told.append(words))
    for _time in range(3):
        assert "links" in {family.name for family in families.all_families()}
    assert len(told) == 1
    assert "family broken" in told[0]


def test_what_cannot_be_loaded_is_not_tried_again(outside: Outside) -> None:
    outside.bring(name="broken", value="no_such_module_of_knobs:FAMILY")
    said = refusal("broken")
    outside.patch.setattr(EntryPoint, "load", lambda _point: pytest.fail("it is tried again"))
    assert refusal("broken") == said
    families.all_families()


def test_who_finds_a_family_finds_its_steps(outside: Outside) -> None:
    """A thread that does not wait for the lock finds all of a family, or nothing."""
    outside.bring()

    class Table(dict[str, Any]):
        def update(self, *args: Any, **more: Any) -> None:
            assert "knobs" not in families._loaded
            super().update(*args, **more)

    for name in ("_kinds", "_questions"):
        outside.patch.setattr(families, name, Table(getattr(families, name)))
    families.load("knobs")
    assert families.kind_of("turn")


def test_a_child_that_is_forked_while_a_family_is_loaded(outside: Outside) -> None:
    assert converge  # it sees to it
    outside.bring()
    family = families.load("knobs")
    families._loaded.pop("knobs")  # the thread had come this far
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with families._locks[0]:
            holding.set()
            done.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(60)
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(30)
            os._exit(0 if families.load("knobs") is family else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        done.set()
        thread.join()


def test_one_whose_system_cannot_be_loaded_is_told_of(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside.bring()
    outside.patch.setitem(sys.modules, "knobs.system", torn("knobs.system", "SYSTEM"))
    told: list[str] = []
    monkeypatch.setattr(families.LOG, "error", lambda _form, words: told.append(words))
    families.load_systems()
    assert len(told) == 1
    assert "system of family knobs" in told[0]


def test_one_whose_rooms_cannot_be_loaded(outside: Outside) -> None:
    outside.bring()
    outside.patch.setitem(sys.modules, "knobs.rules", torn("knobs.rules", "RULES"))
    assert "LookupError('torn')" in refusal()


def test_a_family_brings_its_options(outside: Outside) -> None:
    outside.bring()
    room = types.ModuleType("knobs.options")
    room.__dict__.update(GROUP="knobs", OPTS=[cfg.IntOpt("clicks", default=3)])
    outside.patch.setitem(sys.modules, "knobs.options", room)
    os_vif.initialize()  # the plugins' own options are for all tests
    outside.patch.setattr(plugin, "CONF", cfg.ConfigOpts())
    assert [it.name for it in dict(opts.list_other_opts())["knobs"]] == ["clicks"]
    assert opts.names()[-1] == "knobs"
    opts.options_of("knobs")
    assert plugin.CONF.knobs.clicks == 3
    assert "os_vif_vhostuser_fp" not in dict(opts.list_other_opts()), "that is a plugin's, too"


def test_a_family_whose_options_cannot_be_had_keeps_nobody_from_ours(outside: Outside) -> None:
    outside.bring()
    outside.patch.setitem(sys.modules, "knobs.options", torn("knobs.options", "GROUP"))
    assert [it for it, _options in opts.list_other_opts()] == ["os_vif_dnsmasq", "os_vif_ovn"]


@pytest.mark.parametrize(
    ("brought", "said"),
    [
        ({"kinds": {"create_link": kind()}}, "kind of step 'create_link' is family links's"),
        ({"questions": (Question("links"),)}, "question 'links' is family links's"),
        ({"rules": {Tap: RULE}}, "resource Tap is of os_vif.host.links.resources"),
        ({"family": object()}, "is no Family"),
        ({"family": Family(name="buttons", package="knobs")}, "calls itself 'buttons'"),
        ({"family": Family(name="knobs", package="os_vif.host.links")}, "says that it is"),
    ],
    ids=["step", "question", "resource", "other", "name", "package"],
)
def test_claims_are_refused(outside: Outside, brought: dict[str, Any], said: str) -> None:
    outside.bring(**brought)
    assert said in refusal()
    assert "family knobs" in refusal()
    assert families.kind_of("create_link") is families.load("links").kinds["create_link"]


def test_nobody_takes_the_name_of_one_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    class Manager:
        def __init__(self, *_args: object, **_options: object) -> None: ...

        def list_entry_points(self) -> list[EntryPoint]:
            return [
                EntryPoint("links", "a_package:FAMILY", families.GROUP),
                EntryPoint("links", "os_vif.host.links:FAMILY", families.GROUP),
            ]

    monkeypatch.setattr("os_vif.engine.families.named.NamedExtensionManager", Manager)
    monkeypatch.setattr(families, "_entry_points", families._entry_points.__wrapped__)
    assert families._entry_points()["links"].value == "os_vif.host.links:FAMILY"


def test_a_step_with_fields_it_does_not_allow(outside: Outside) -> None:
    outside.bring()
    assert steps.checked("turn", {"name": "volume"}) == Step("turn", {"name": "volume"})
    for args in ({}, {"name": 1}, {"name": "volume", "by": 3}):
        with pytest.raises(exception.InvalidField, match="turn"):
            steps.checked("turn", args)
    with pytest.raises(exception.InvalidField, match="'turn_back'"):
        steps.checked("turn_back", {"name": "volume"})


# --- a system at fault ----------------------------------------------------------------------------


def test_a_system_that_raises_what_is_no_oserror(outside: Outside) -> None:
    ran: list[str] = []

    def fail(_args: Any) -> None:
        raise KeyError("nobody thought of this")

    acts = {"first": lambda _args: ran.append("first"), "back": lambda _args: ran.append("back")}
    outside.bring(
        kinds={name: kind() for name in ("first", "back", "turn")},
        system=System(run={**acts, "turn": fail}),
    )
    args = {"name": "volume"}
    group: runner.Group = [(Step("first", args), Step("back", args)), (Step("turn", args), None)]
    [report] = runner.run([group], together=False)
    assert report["error"] == {
        "step": "turn volume",
        "errno": 0,
        "reason": "family knobs is at fault: KeyError('nobody thought of this')",
        "undone": ["turn volume"],
        "left": [],
    }
    assert ran == ["first", "back"], "what it had done is taken back"


def test_a_system_that_cannot_look(outside: Outside) -> None:
    def fail(*_args: Any) -> Any:
        raise ZeroDivisionError

    outside.bring(system=System(look=fail))
    families.load("knobs")
    with pytest.raises(exception.UnusableFamily, match=r"knobs .* look at knob_turns: ZeroDiv"):
        dispatch.observe([KNOB("volume")], PLACE, with_daemon=False)

    def refuse(*_args: Any) -> Any:
        raise OSError(errno.EPERM, "the system says no")

    outside.bring(system=System(look=refuse), family=Family(name="knobs", package="knobs"))
    families._loaded.pop("knobs")
    families._kinds.pop("turn")
    families._questions.pop("knob_turns")
    families.load("knobs")
    with pytest.raises(OSError, match="the system says no"):
        dispatch.observe([KNOB("volume")], PLACE, with_daemon=False)


def test_a_step_that_its_system_does_not_run(outside: Outside) -> None:
    outside.bring()
    families.load("knobs")
    [report] = runner.run([[(Step("turn", {"name": "volume"}), None)]], together=False)
    assert "its system has nothing that runs 'turn'" in report["error"]["reason"]


def test_a_question_that_nobody_answers_behind_the_boundary() -> None:
    for name in ("nobodys", "links"):
        with pytest.raises(exception.InvalidField, match=name):
            look.reveal(name, [])


# --- list and gc ----------------------------------------------------------------------------------


def no_devices(outside: Outside) -> None:
    for family in families.all_families():
        if families.is_ours(family):
            outside.patch.setitem(vars(family), "system", System())


def at_fault(*_args: Any) -> Any:
    raise ZeroDivisionError


def test_one_at_fault_keeps_nobody_from_ours(outside: Outside) -> None:
    outside.bring(system=System(find=at_fault, remove=at_fault, abandoned=at_fault))
    no_devices(outside)
    links = families.load("links")
    ours = System(find=lambda _search: [inventory.Part(MARK.vif_id, "links", "tap0", MARK)])
    outside.patch.setitem(vars(links), "system", ours)
    [item] = inventory.plugged()
    assert item["links"] == ("tap0",)
    assert inventory.abandoned() == []
    assert inventory.remove([item], PLACE.section) == []
    refused = System(find=lambda _search: (_ for _ in ()).throw(OSError(errno.EPERM, "no")))
    outside.patch.setitem(vars(families.load("knobs")), "system", refused)
    with pytest.raises(PermissionError):
        inventory.plugged()


def test_what_can_be_examined_is_told_beside_one_at_fault(outside: Outside) -> None:
    outside.bring(system=System(doctor={"ovn": at_fault, "knobs": at_fault}))
    known = inventory.examinable()
    assert families.is_ours(known["ovn"])
    assert known["knobs"].name == "knobs"
    families.load("knobs").__dict__.pop("system")
    outside.patch.setitem(sys.modules, "knobs.system", torn("knobs.system", "SYSTEM"))
    assert list(inventory.examinable()) == ["ovn"]


def test_a_part_without_mark_and_plugin_is_a_fault(outside: Outside) -> None:
    outside.bring(system=System(find=lambda _search: [inventory.Part("1234", "knobs", "volume")]))
    no_devices(outside)
    assert inventory.plugged() == []


def test_what_lets_go_without_a_transaction_is_run(outside: Outside) -> None:
    ran: list[str] = []
    outside.bring(
        kinds={name: kind() for name in ("let_go", "close", "turn")},
        system=System(
            run={name: lambda args: ran.append(args["name"]) for name in ("let_go", "close")},
            remove=lambda _item, phase: {
                Phase.LET_GO: [Step("let_go", {"name": "first"})],
                Phase.CLOSE: [Step("close", {"name": "second"})],
            }.get(phase, []),
        ),
    )
    no_devices(outside)
    outside.patch.setattr(dispatch, "is_privileged", lambda _section="": True)
    done = inventory.remove([inventory.Plugged(MARK)], PLACE.section)
    assert [step.kind for step in done] == ["let_go", "close"]
    assert ran == ["first", "second"]


def test_transactions_go_to_their_own_family(outside: Outside) -> None:
    asked: list[tuple[str, list[str]]] = []

    def transactions(whose: str) -> Transactions:
        def run(_place: Place, groups: Any) -> Any:
            asked.append((whose, [step.kind for group in groups for step, _undo in group]))
            return [{"error": None, "unchanged": [], "seen": {}} for _group in groups]

        return Transactions(run=run, take_back=lambda _place, _steps: [])

    outside.bring(
        kinds={"turn": kind(by=TRANSACTION)}, system=System(transactions=transactions("knobs"))
    )
    switch = families.load("openvswitch")
    outside.patch.setitem(vars(switch), "system", System(transactions=transactions("openvswitch")))
    bridge = Step("add_br", {"name": "br0", "datapath_type": "", "mark": ""})
    group: runner.Group = [(Step("turn", {"name": "volume"}), None), (bridge, None)]
    reports = dispatch.run(Place("", "a database"), [group, group[::-1]], together=False)
    assert [report["error"] for report in reports] == [None, None]
    assert {whose for whose, _kinds in asked} == {"knobs", "openvswitch"}
    for whose, kinds in asked:
        assert set(kinds) == {"turn" if whose == "knobs" else "add_br"}


def test_pictures_and_words_at_fault_keep_nobody_from_ours(
    outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: Any) -> Any:
        raise ZeroDivisionError

    told: list[str] = []
    monkeypatch.setattr(families.LOG, "error", lambda *words, **_more: told.append(words[1]))
    outside.bring()
    broken = types.ModuleType("knobs.picture")
    broken.__dict__["PICTURE"] = Picture(json=fail, names=fail, up=fail, held=fail)
    outside.patch.setitem(sys.modules, "knobs.picture", broken)
    knobs = families.load("knobs")
    monkeypatch.setitem(knobs.__dict__, "told", fail)
    link = Link("tap0", 7, "tap", str(MARK), {"up": True, "master": "br0", "mtu": 1500})
    item = Plugged(MARK, {"links": (link,)})
    assert [device["name"] for device in held.as_json(item)["devices"]] == ["tap0"]
    assert held.places_of(item) == "tap0 on br0"
    assert held.state_of(item) == "up"
    assert len(held.as_plugged(item)[0].resources) == 2
    assert families.told_by(str(MARK)) == ""
    assert set(told) == {"knobs"}


def test_what_cannot_be_given_back_is_said_and_stays(outside: Outside) -> None:
    def fail(*_args: Any) -> Any:
        raise ZeroDivisionError

    outside.bring()
    sys.modules["knobs.rules"].__dict__["NOTES"] = Notes(prefixes=("knob=",), release=fail)
    families.load("knobs")
    link = Link("tap0", 7, "macvtap", str(MARK), {})
    draft = Draft(Topology(MARK, ()), Host(), undoable=True)
    with pytest.raises(exception.UnusableFamily, match=r"knobs .* what tap0 must give back: Zero"):
        draft.release(link)


def test_who_only_looks_loads_no_rules_and_a_step_is_found_all_the_same() -> None:
    script = """
import sys
from os_vif.engine import families
def ruled(): return sorted(name for name in sys.modules if name.endswith(".rules"))
there = families.all_families()
print(len(there), ruled())
print(families.family_of("create_link").name, ruled())
print(len(families.kinds()) > 20, len(ruled()) == len(there))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    first, second, third = done.stdout.splitlines()
    assert first.endswith(" []")
    assert second.startswith("links ")
    assert "os_vif.host.openvswitch.rules" not in second
    assert third == "True True"
