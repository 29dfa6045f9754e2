# SPDX-License-Identifier: Apache-2.0
"""What a family provides: everything the engine knows of a kind of thing that a host can hold.

A family is a folder (``os_vif/host/<family>``, or any package of a third party's) whose
``__init__`` holds ``FAMILY``, an instance of :class:`Family`, registered under its name in the
entry-point group ``os_vif.families``.  All have the same rooms:

* ``resources.py``: frozen dataclasses of what a plugin can describe, each checking its own fields;
* ``questions.py``: what can be asked about the host, and the shape of the answers: ``QUESTIONS``;
* ``rules.py``: for each resource a :class:`Rule`: when it is there, when it is in the way, which
  steps make it so: ``RULES``; what a VIF has left elsewhere: ``STRAYS``; pure;
* ``steps.py``: the kinds of step (:class:`~os_vif.engine.step.Kind`): ``KINDS``; pure;
* ``system.py``: ``SYSTEM``, an instance of :class:`System`, the only one that does I/O;
* ``picture.py``: ``PICTURE``, an instance of :class:`os_vif.engine.picture.Picture`: what it looks
  like in ``show``, and its line and JSON in ``list``.

Each is loaded when it is needed: the daemon draws nothing, who only describes plans nothing, and
who only plans touches no system.  A room may be a package; one that a family has no use for may be
left out.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from os_vif.engine.draft import Draft
    from os_vif.engine.observed import Asked, Host, Question
    from os_vif.engine.picture import Picture
    from os_vif.engine.place import Place
    from os_vif.engine.plugged import Part, Plugged
    from os_vif.engine.runner import Group, Report
    from os_vif.engine.step import Args, Kind, Step
    from os_vif.engine.topology import Mark, Resource, Topology


class Phase(enum.IntEnum):
    """The order in which things are taken away; within a phase the last built goes first."""

    LET_GO = 1
    """What has devices open lets go of them: ports of a switch."""
    CLOSE = 2
    """What held those and is the VIF's alone."""
    AHEAD = 3
    """What must be done while the devices are still there."""
    DELETE = 4
    """The devices."""
    GIVE_BACK = 5
    """What is not the VIF's own, once the devices are gone."""
    LAST = 6
    """What nothing depends on; the first built goes first."""


def _nothing(*_arguments: Any) -> tuple[()]:
    return ()


def _as_it_is(resource: Any, _host: Host) -> Any:
    return resource


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is to be known of one kind of resource; each function gets the resource last.

    :ivar names: the questions, with answers at once, that tell what the host's own devices which
        it names are really called.
    :ivar named: the same resource with those names, given the answers; all else follows.
    :ivar asks: the questions whose answers planning needs, either way; of a VIF's mark too.
    :ivar plug: takes up the steps that are missing.  Raises ResourceConflict for what is in the
        way and is not the VIF's, UnusableDevice for what cannot be.
    :ivar first: what must be done, or seen, before anything of the topology is made.
    :ivar unplug: by phase, takes up the steps that take it away.
    :ivar makes: names of the devices that :attr:`plug` would make now, or make anew.
    :ivar note: the word by which the mark of the VIF's device tells what must be given back
        after it, given the alias that the device has now; '' for none.
    :ivar waits: whether its steps may take seconds, for a switch to agree or a process to start.
        Such a VIF keeps nobody else waiting.
    :ivar own: what is the VIF's own, by name, each with the kind of step that makes it.
    :ivar claims: what two VIFs cannot share, as :class:`~os_vif.engine.claims.Claim` has it: pairs
        of a kind and a value; of a ``mac`` with `` on `` and what it is unique on, in one network.
    :ivar opens: whether it has a guest's end that can be opened.
    :ivar dissolve_asks: the questions whose answers :attr:`dissolve` needs.
    :ivar dissolve: of what VIFs share, takes up the steps that take it away where nobody uses it,
        and give back what it was given by the host.  Each must have one that takes it back.
    :ivar watches: the questions that only :attr:`warns` needs.  They are asked by ``check`` and
        ``plan``, never by plugging, apart from the others and of many VIFs at once; so they stand
        by themselves, and what was seen for planning is not there when they are answered.
    :ivar warns: what may keep the guest from its network, or do the host harm, though it is
        plugged as described: from the whole topology, and from the answers to both kinds of
        questions, as the host is before any step.  What a privileged question has no answer to
        could not be seen, and nothing is said about it.  Pure.
    """

    asks: Callable[[Any, Mark], Iterable[Asked]]
    plug: Callable[[Draft, Any], None]
    first: Callable[[Draft, Any], None] | None = None
    unplug: Mapping[Phase, Callable[[Draft, Any], None]] = dataclasses.field(default_factory=dict)
    makes: Callable[[Draft, Any], Collection[str]] = _nothing
    note: Callable[[Draft, Any, str], str] | None = None
    waits: bool = False
    names: Callable[[Any], Iterable[Asked]] = _nothing
    named: Callable[[Any, Host], Any] = _as_it_is
    own: Callable[[Any], Collection[tuple[str, str]]] = _nothing
    claims: Callable[[Any], Collection[tuple[str, str]]] = _nothing
    opens: bool = False
    dissolve_asks: Callable[[Any, Mark], Iterable[Asked]] = _nothing
    dissolve: Callable[[Draft, Any], None] | None = None
    watches: Callable[[Any, Mark], Iterable[Asked]] = _nothing
    warns: Callable[[Topology, Host, Any], Iterable[Caution]] = _nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Caution:
    """Something that no step puts right: a warning, beside healthy and drift.

    :ivar device: what it concerns: a device, a bridge, :data:`os_vif.engine.step.HOST`.
    :ivar words: what is so, what comes of it and what to do, without the device.
    :ivar costs: ids of VIFs at whose cost it is; nothing is said if the same call describes all.
    """

    device: str
    words: str
    costs: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that ``doctor`` has looked at.

    :ivar about: what, in a word or two: a key of the configuration, a device.
    :ivar words: what is so, and what comes of it where that is wrong.
    :ivar mend: what puts it right, a command line if one does; '' where all is well.
    """

    about: str
    words: str
    mend: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Unseen:
    """Something of the host that nobody here may see.

    :ivar what: in words, as a plural.
    :ivar needs: the privilege it takes: ``CAP_NET_ADMIN`` or ``root``.
    """

    what: str
    needs: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Notes:
    """Words in the alias of a VIF's device, behind the mark, that tell what must be given back.

    Neither a card nor a switch keeps whose a setting is, so without the note nobody could take it
    back who does not have the VIF.

    :ivar prefixes: how they begin.
    :ivar release: takes up the steps for what such an alias tells and the topology wants no more.
    :ivar anew: takes up what must be given back before the device is deleted to be made anew.
    """

    prefixes: tuple[str, ...]
    release: Callable[[Draft, Any], None]
    anew: Callable[[Draft, Any], None] | None = None


def _admit_nothing(*_arguments: Any) -> None:
    return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Strays:
    """How a family sees what a VIF has on the host and is not described: one VIF is in one place.

    It was plugged with another name, bridge or type before, or somebody renamed it.  It is known by
    its mark, and what :attr:`System.remove` says takes it away: when the VIF is plugged, first of
    all, and when it is unplugged.  Pure.

    :ivar asks: of a topology and the marks that its VIF is known to have: the questions whose
        answers tell.  Each must cost the same however much the host holds.
    :ivar find: what of the VIF's the answers show, and the topology does not describe.
    :ivar marks: the marks by which the answers show things to be the VIF's.  Where one is not the
        topology's own, every family is asked, in the places of all plugins that are named.
    :ivar need_free: sees, when plugging, that what was found can go.  Raises ResourceConflict.
    :ivar settle: takes up, when plugging and last, what lets the VIF's things be found again.
    """

    asks: Callable[[Topology, Collection[Mark]], Iterable[Asked]] = _nothing
    find: Callable[[Topology, Host], Iterable[Part]] = _nothing
    marks: Callable[[Topology, Host], Iterable[Mark]] = _nothing
    need_free: Callable[[Draft, Plugged], None] = _admit_nothing
    settle: Callable[[Draft], None] = _admit_nothing


NO_STRAYS = Strays()
"""Of a family whose things are looked for nowhere else."""


def _admit_all() -> None:
    return None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class System:
    """How a family talks to the system.

    :ivar look: answers questions, by kind, on the host; what it returns is asked then, at once
        or in a later stage.  Raises OSError where somebody refuses to tell.
    :ivar reveal: by the name of a privileged question, what answers it on the privileged side:
        plain rows for plain keys.
    :ivar run: by the name of a kind of step, what runs it.  It may return what a device shows
        now (:class:`Seen`), or the fields of the step that takes it back where only this side
        could see what was there: its own fields, if there was nothing to do.  OSError is what
        it may raise; its own inverse runs then, if the kind is partial.  ESTALE says that somebody
        else has changed what the step was planned on, and nothing else: it is planned anew then
        (:data:`.patience.OVERTAKEN`).
    :ivar refuses: by the name of a kind of step, given its fields and the section of the daemon
        that this is: why it is not run for another process, in words; '' if it is.  So it is asked
        on the privileged side, just before each step: is the thing ours, or one that a plan may
        change?  What is not here is run.
    :ivar run_as_caller: the same for steps that the caller's own process runs.
    :ivar transactions: runs steps of kind TRANSACTION.
    :ivar find: what of VIFs it finds on the host by their marks, of one VIF or of all.
    :ivar tell: more of a VIF that was found, which takes a look of its own: asked only when
        somebody wants to know what would plug it again.
    :ivar shared: what was made for many VIFs, used or not, by the marks.
    :ivar remove: the steps that take away what was found of a VIF, in a phase.  In GIVE_BACK it is
        asked of each part by itself.  Steps of kind TRANSACTION have their place in LET_GO and
        CLOSE, and go to each database there is.
    :ivar abandoned: what nobody has any more, though no mark tells: names, and the steps.
    :ivar admit: on the privileged side, before anything is done for who came through the one
        daemon that runs some of its kinds: sees that what these would run is to be trusted.
        Raises InvalidField.
    :ivar open_guest_end: opens the guest's end of a resource, once for each queue.
    :ivar uses: what programs have open of VIFs, of many at once: processes are looked through.
    :ivar serves: names of the devices that a program has open which goes with the VIF.
    :ivar doctor: what of the host can be examined apart from VIFs, by name, given the databases.
        OSError is what it may raise.
    """

    look: Callable[[Mapping[Question[Any, Any], set[Any]], Host, Place], Iterable[Asked]] = _nothing
    reveal: Mapping[str, Callable[[list[Any]], list[Any]]] = dataclasses.field(default_factory=dict)
    run: Mapping[str, Callable[[Args], Args | Seen | None]] = dataclasses.field(
        default_factory=dict
    )
    refuses: Mapping[str, Callable[[Args, str], str]] = dataclasses.field(default_factory=dict)
    run_as_caller: Mapping[str, Callable[[Args], None]] = dataclasses.field(default_factory=dict)
    transactions: Transactions | None = None
    find: Callable[[Search], Iterable[Part]] = _nothing
    tell: Callable[[Plugged], Iterable[Part]] = _nothing
    shared: Callable[[Search], Iterable[Shared]] = _nothing
    remove: Callable[[Plugged, Phase], Sequence[Step]] = _nothing
    abandoned: Callable[[], Sequence[Abandoned]] = _nothing
    admit: Callable[[], None] = _admit_all
    open_guest_end: Callable[[Mark, Any, int], list[int]] | None = None
    uses: Callable[[Sequence[Plugged]], Iterable[Use]] = _nothing
    serves: Callable[[Plugged], Iterable[str]] = _nothing
    doctor: Mapping[str, Callable[[Collection[Any]], Iterable[Diagnosis]]] = dataclasses.field(
        default_factory=dict
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """What a device showed right after a step.

    :ivar name: the device.
    :ivar attributes: by name, as steps have them.
    """

    name: str
    attributes: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Use:
    """A program that has something of a VIF's open.

    :ivar vif_id: the VIF's.
    :ivar device: what, by name.
    :ivar process: its name and id, as in ``qemu-system-x86 (pid 4711)``; '' for one that this user
        cannot see.
    """

    vif_id: str
    device: str
    process: str = ""

    def __str__(self) -> str:
        return f"{self.process or 'a program that cannot be seen from here'} has it open"


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """What to look for by the marks.

    :ivar vif_id: of one VIF; None for all.
    :ivar databases: to look in.
    :ivar privileged: whether what needs privilege can be seen.
    """

    vif_id: str | None
    databases: Sequence[Any]
    privileged: bool
    _found: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)

    def once(self, name: str, look: Callable[[], Any]) -> Any:
        """Return what ``look`` found, or has found for another family under this name."""
        if name not in self._found:
            self._found[name] = look()
        return self._found[name]


@dataclasses.dataclass(frozen=True, slots=True)
class Shared:
    """Something that was made for many VIFs.

    :ivar name: of the bridge or device.
    :ivar resources: what takes it away, by their rules.
    :ivar uplinks: names of the host's devices that get back what it took over from them.
    :ivar database: the one it stands in; None for the kernel's own.
    """

    name: str
    resources: tuple[Resource, ...]
    uplinks: tuple[str, ...] = ()
    database: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Abandoned:
    """Something that is left of a VIF and that no mark tells of.

    :ivar name: of the device it belonged to.
    :ivar steps: what takes it away.
    :ivar section: the configuration section of the daemon that does.
    :ivar told: whether people are told of it.
    """

    name: str
    steps: tuple[Step, ...]
    section: str
    told: bool = False


def _one_call() -> AbstractContextManager[None]:
    return nullcontext()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Transactions:
    """How a family runs the steps of many groups at once, in the caller's own process.

    :ivar run: one that fails is taken back, the others go on; a report for each.
    :ivar take_back: runs steps that undo others; returns what could not be, in words.
    :ivar one_call: lets all that is asked of the place in a block share one time limit.
    """

    run: Callable[[Place, Sequence[Group]], list[Report]]
    take_back: Callable[[Place, Sequence[Step]], list[str]]
    one_call: Callable[[], AbstractContextManager[None]] = _one_call


def _not_told(_alias: str) -> str:
    return ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Family:
    """A kind of thing that a host can hold; its rooms are loaded when they are needed.

    :ivar name: the entry point's.
    :ivar package: the package that holds its rooms: ``__name__`` of its ``__init__``.
    :ivar floor: families of a lower floor know nothing of it; what is listed is listed by floor.
    """

    name: str
    package: str
    floor: int = 9

    def _room(self, name: str, held: str, default: Any = None) -> Any:
        """Return what a room holds; ``default`` where the family has no such room."""
        try:
            room = importlib.import_module(f"{self.package}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{self.package}.{name}":
                raise
            return default
        return getattr(room, held, default)

    @functools.cached_property
    def rules(self) -> Mapping[type, Rule]:
        """By type of resource: ``RULES`` of its ``rules``."""
        return cast("Mapping[type, Rule]", self._room("rules", "RULES", {}))

    @functools.cached_property
    def kinds(self) -> Mapping[str, Kind]:
        """Of steps, by name: ``KINDS`` of its ``steps``."""
        return cast("Mapping[str, Kind]", self._room("steps", "KINDS", {}))

    @functools.cached_property
    def questions(self) -> tuple[Question[Any, Any], ...]:
        """All that can be asked: ``QUESTIONS`` of its ``questions``."""
        return cast("tuple[Question[Any, Any], ...]", self._room("questions", "QUESTIONS", ()))

    @functools.cached_property
    def notes(self) -> Notes | None:
        """What it writes into the mark of another family's device: ``NOTES`` of its ``rules``."""
        return cast("Notes | None", self._room("rules", "NOTES"))

    @functools.cached_property
    def strays(self) -> Strays:
        """How it finds what a VIF has and should not have: ``STRAYS`` of its ``rules``."""
        return cast("Strays", self._room("rules", "STRAYS", NO_STRAYS))

    @functools.cached_property
    def told(self) -> Callable[[str], str]:
        """In words, what the alias of a device tells of its things; '' for nothing.

        It is ``TOLD`` of its ``questions``.
        """
        return cast("Callable[[str], str]", self._room("questions", "TOLD", _not_told))

    @functools.cached_property
    def options(self) -> Mapping[str, Sequence[Any]]:
        """Of the configuration, by their group's name: ``GROUP`` and ``OPTS`` of ``options``."""
        group = self._room("options", "GROUP")
        return {group: self._room("options", "OPTS", ())} if group else {}

    @functools.cached_property
    def system(self) -> System:
        """How it talks to the system: ``SYSTEM`` of its ``system``."""
        return cast("System", self._room("system", "SYSTEM", System()))

    @functools.cached_property
    def picture(self) -> Picture:
        """What it looks like: ``PICTURE`` of its ``picture``."""
        from os_vif.engine.picture import Picture

        return cast("Picture", self._room("picture", "PICTURE", Picture()))
