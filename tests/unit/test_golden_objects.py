# SPDX-License-Identifier: Apache-2.0
"""Every versioned object against what os-vif 5.3.0 does: the wire contract."""

import ast
import builtins
import json
import warnings
from pathlib import Path

import pytest
from oslo_versionedobjects import base as ovo_base
from oslo_versionedobjects import fields as ovo_fields
from oslo_versionedobjects import fixture

from os_vif import objects

pytestmark = pytest.mark.filterwarnings(  # one of the objects is deprecated
    "ignore:Using class 'VIFPortProfileOVSRepresentor':PendingDeprecationWarning"
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "golden.json").read_text())
OBJECTS = GOLDEN["objects"]
CHANGES = "versioned_object.changes"
DATA = "versioned_object.data"

SAMPLES = [(name, sample) for name, recorded in OBJECTS.items() for sample in recorded["samples"]]
FIELDS = [(name, field) for name, recorded in OBJECTS.items() for field in recorded["fields"]]


@pytest.fixture(autouse=True, scope="module")
def registered():
    objects.register_all()


def class_of(name):
    return ovo_base.VersionedObjectRegistry.obj_classes()[name][0]


def primitive(name, sample, target):
    return OBJECTS[name]["samples"][sample]["primitives"][target]


def hydrate(recorded):
    return objects.base.VersionedObject.obj_from_primitive(recorded)


def primitives(name):
    """Each sample of an object, and each version that it was sent in."""
    return [
        (sample, target)
        for sample, recorded in OBJECTS[name]["samples"].items()
        for target in recorded["primitives"]
    ]


def build(name, sample):
    """The sample object, made the way a caller makes it where that is possible."""
    if sample in ("empty", "defaults"):
        made = class_of(name)()
        if sample == "defaults":
            made.obj_set_defaults()
        return made
    return hydrate(primitive(name, sample, OBJECTS[name]["version"]))


def ordered(value):
    """The same with every list of changes sorted: its order has no meaning."""
    if isinstance(value, dict):
        return {
            key: sorted(item) if key == CHANGES else ordered(item) for key, item in value.items()
        }
    return [ordered(item) for item in value] if isinstance(value, list) else value


def to_primitive(made, target):
    if target == "manifest":
        oldest = dict.fromkeys(OBJECTS[made.obj_name()]["tree_versions"], "1.0")
        return made.obj_to_primitive(target_version="1.0", version_manifest=oldest)
    return made.obj_to_primitive(target_version=target)


def fails_only_there(name, sample, target):
    """Whether the reference cannot send this sample because of what is nested in it."""
    recorded = primitive(name, sample, target)
    return "raises" in recorded and target != "9.9"


def test_the_registry_holds_exactly_these_objects():
    ours = {
        name
        for name, classes in ovo_base.VersionedObjectRegistry.obj_classes().items()
        if classes[0].__module__.startswith("os_vif.")
    }
    assert ours == set(GOLDEN["registry"])
    for name in ours:
        assert getattr(objects, name) is class_of(name)


@pytest.mark.parametrize("name", OBJECTS)
def test_identity(name):
    recorded, ours = OBJECTS[name], class_of(name)
    checker = fixture.ObjectVersionChecker({name: [ours]})
    assert checker.get_hashes() == {name: recorded["fingerprint"]}
    assert recorded["version"] == ours.VERSION
    assert recorded["namespace"] == ours.OBJ_PROJECT_NAMESPACE
    assert recorded["serial_namespace"] == ours.OBJ_SERIAL_NAMESPACE
    rules = {field: [list(r) for r in rule] for field, rule in ours.obj_relationships.items()}
    assert rules == recorded["relationships"]
    assert ovo_base.obj_tree_get_versions(name) == recorded["tree_versions"]
    assert list(ours.fields) == list(recorded["fields"])


@pytest.mark.parametrize("name", OBJECTS)
def test_fields(name):
    for field, recorded in OBJECTS[name]["fields"].items():
        ours = class_of(name).fields[field]
        unset = ours.default is ovo_fields.UnspecifiedDefault
        assert type(ours).__name__ == recorded["type"], field
        assert repr(ours) == recorded["repr"], field
        rights = (recorded["nullable"], recorded["read_only"])
        assert (ours.nullable, ours.read_only) == rights, field
        assert ("(none)" if unset else ours.default) == recorded["default"], field
        if "valid_values" in recorded:
            assert list(ours.valid_values) == recorded["valid_values"], field
        if "objname" in recorded:
            assert ours.objname == recorded["objname"], field


@pytest.mark.parametrize("kind", GOLDEN["coercions"])
def test_coercion(kind):
    name, field = next(
        (name, field)
        for name, field in FIELDS
        if OBJECTS[name]["fields"][field].get("coerces") == kind
    )
    for text, expected in GOLDEN["coercions"][kind].items():
        made = class_of(name)()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # malformed UUIDs, for now accepted
            given = ast.literal_eval(text)
            if isinstance(expected, dict):
                # In which way something else than text is no address is up to netaddr's version.
                odd = () if isinstance(given, str) else (AttributeError, ValueError)
                with pytest.raises((getattr(builtins, expected["raises"]), *odd)):
                    setattr(made, field, given)
                continue
            setattr(made, field, given)
        value = getattr(made, field)
        if isinstance(value, list):
            value = [str(item) for item in value]
        assert value == expected or str(value) == expected, text


@pytest.mark.parametrize("name", OBJECTS)
def test_primitives(name):
    for sample, target in primitives(name):
        recorded = primitive(name, sample, target)
        made = build(name, sample)
        if target == "9.9":
            with pytest.raises(Exception) as caught:  # noqa: PT011 - compared by name below
                to_primitive(made, target)
            assert type(caught.value).__name__ == recorded["raises"], sample
        elif not fails_only_there(name, sample, target):
            assert ordered(to_primitive(made, target)) == ordered(recorded), (sample, target)


@pytest.mark.parametrize("name", OBJECTS)
def test_primitives_of_older_versions_are_read_back(name):
    for sample, target in primitives(name):
        recorded = primitive(name, sample, target)
        expected = OBJECTS[name]["samples"][sample]["back"].get(target)
        if expected is None:
            assert "raises" in recorded, (sample, target)
            continue
        back = hydrate(recorded)
        same = ordered(back.obj_to_primitive()) == ordered(recorded)
        assert [back.obj_name(), back.VERSION, same] == expected, (sample, target)


UNSENT = [
    (name, *case) for name in OBJECTS for case in primitives(name) if fails_only_there(name, *case)
]


@pytest.mark.parametrize(("name", "sample", "target"), UNSENT)
def test_what_the_reference_cannot_send_to_an_old_host_we_can(name, sample, target):
    made = build(name, sample)
    sent = to_primitive(made, target)
    manifest = primitive(name, sample, "manifest")
    if "raises" not in manifest:
        assert sent[DATA].keys() == manifest[DATA].keys()
    newer = {
        "HostVIFInfo": {"supported_port_profiles"},
        "Network": {"mtu"},
        "VIFVHostUser": {"vif_name"},
    }
    dropped = made.obj_to_primitive()[DATA].keys() - sent[DATA].keys()
    assert dropped == newer.get(name, set())
    for nested in nested_primitives(sent):
        assert nested["versioned_object.version"] == "1.0"
        assert not nested[DATA].keys() & newer.get(nested["versioned_object.name"], set())
    assert without_changes(downgraded(hydrate(sent))) == without_changes(sent)


def nested_primitives(value):
    if isinstance(value, dict):
        if DATA in value:
            yield value
        for item in value.values():
            yield from nested_primitives(item)
    elif isinstance(value, list):
        for item in value:
            yield from nested_primitives(item)


def without_changes(value):
    if isinstance(value, dict):
        return {key: without_changes(item) for key, item in value.items() if key != CHANGES}
    return [without_changes(item) for item in value] if isinstance(value, list) else value


def downgraded(made):
    """As a host that has only the oldest versions would send it on."""
    oldest = dict.fromkeys(OBJECTS, "1.0")
    return made.obj_to_primitive(target_version="1.0", version_manifest=oldest)


@pytest.mark.parametrize("name", OBJECTS)
def test_warnings(name):
    for sample, recorded in OBJECTS[name]["samples"].items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            build(name, sample)
        kinds = {warning.category.__name__ for warning in caught}
        assert kinds == set(recorded["warns"]), sample


@pytest.mark.parametrize(
    ("name", "sample"), [(n, s) for n, s in SAMPLES if "repr" in OBJECTS[n]["samples"][s]]
)
def test_text(name, sample):
    recorded, made = OBJECTS[name]["samples"][sample], build(name, sample)
    assert (repr(made), str(made)) == (recorded["repr"], recorded["str"])
