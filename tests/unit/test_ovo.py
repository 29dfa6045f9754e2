# SPDX-License-Identifier: Apache-2.0
"""oslo.versionedobjects without oslo.messaging: a service that has both notices nothing."""

import subprocess
import sys
import textwrap

import pytest

SAME = """
import oslo_messaging
import oslo_messaging.rpc.client
from oslo_messaging import serializer
from oslo_versionedobjects import base

ours = base.VersionedObjectSerializer
assert issubclass(ours, oslo_messaging.NoOpSerializer)
assert isinstance(ours(), oslo_messaging.Serializer)
assert isinstance(ours(), oslo_messaging.rpc.client.msg_serializer.NoOpSerializer)
assert oslo_messaging.serializer is serializer is sys.modules["oslo_messaging.serializer"]
assert oslo_messaging.serializer.NoOpSerializer is oslo_messaging.NoOpSerializer
assert base.messaging is oslo_messaging is sys.modules["oslo_messaging"]
assert pickle.loads(pickle.dumps(serializer.NoOpSerializer())).__class__ in ours.__mro__
assert not [it for it in sys.meta_path if type(it).__module__.startswith("os_vif")]
for module in (base, serializer):
    assert module.__spec__.loader is module.__loader__
    assert type(module.__loader__) is type(os_vif.__loader__), module.__loader__
    assert vars(module)["__builtins__"] is vars(builtins)
for defined in (ours.serialize_entity, base.obj_tree_get_versions, serializer.NoOpSerializer.
                serialize_context, serializer.JsonPayloadSerializer.serialize_entity):
    assert defined.__builtins__ is vars(builtins)
"""


def run(script, *, path=""):
    begin = "import builtins, pickle, sys, threading, warnings\nimport os_vif\n"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", begin + textwrap.dedent(script)],
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
        env={"PYTHONPATH": str(path)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


NONE = """
roots = {name.partition(".")[0] for name in sys.modules}
unwanted = {"oslo_messaging", "oslo_service", "eventlet", "kombu", "asyncio", "wrapt"}
assert not roots & unwanted, roots & unwanted
"""


@pytest.mark.parametrize(
    "first", ["os_vif.initialize()", "import os_vif.objects.vif", "import os_vif.objects.fields"]
)
def test_the_library_loads_no_message_queues_and_a_service_finds_them_later(first):
    run(first + NONE + SAME)


def test_a_service_that_was_first_has_what_it_had():
    run("import oslo_messaging\nbefore = oslo_messaging\nos_vif.initialize()\n" + SAME)
    run("import oslo_versionedobjects.base\nos_vif.initialize()\n" + SAME)


@pytest.mark.parametrize(
    "how", ["oslo_messaging", "oslo_messaging.serializer", "oslo_messaging.rpc", "oslo_messaging.x"]
)
def test_any_part_may_be_asked_for_first(how):
    """A module that is not there is told as such, and the package is there."""
    run(
        f"""
        import importlib
        os_vif.initialize()
        try:
            importlib.import_module({how!r})
        except ModuleNotFoundError:
            assert {how!r}.endswith(".x")
        """
        + SAME.replace("\n", "\n        ")
    )


def test_what_oslo_versionedobjects_has_of_it_is_all_of_it():
    run(
        """
        os_vif.initialize()
        from oslo_versionedobjects import base
        assert base.messaging.NoOpSerializer
        assert "oslo_messaging" not in sys.modules
        Target = base.messaging.Target
        import oslo_messaging
        assert Target is oslo_messaging.Target
        """
        + SAME.replace("\n", "\n        ")
    )


@pytest.mark.parametrize("when", ["exception", "jsonutils"])
def test_another_thread_may_import_it_meanwhile(when):
    """It has all of the package, whole, while the library is on its way to its objects."""
    run(
        f"""
        real = builtins.__import__

        def meanwhile(name, globals=None, locals=None, fromlist=(), level=0):
            this = (globals or {{}}).get("__name__")
            if {when!r} in (fromlist or ()) and this in where and other.ident is None:
                other.start()
                assert done.wait(30)
            return real(name, globals, locals, fromlist, level)

        def service():
            try:
                import oslo_messaging
                found.append(oslo_messaging.RPCClient)
                found.append(oslo_messaging.NoOpSerializer)
            except BaseException as error:
                found.append(error)
            done.set()  # eventlet, first imported in a thread, has join() wait for ever

        done = threading.Event()
        where = ("oslo_versionedobjects.base", "oslo_messaging.serializer")
        found = []
        other = threading.Thread(target=service, daemon=True)
        builtins.__import__ = meanwhile
        os_vif.initialize()
        builtins.__import__ = real
        import oslo_messaging
        assert found == [oslo_messaging.RPCClient, oslo_messaging.NoOpSerializer], found
        """
        + SAME.replace("\n", "\n        ")
    )


NEEDS_MORE = "from oslo_messaging import SOMETHING\nassert SOMETHING\n"


@pytest.mark.parametrize(
    ("package", "serializer"),
    [
        ("SOMETHING = 1\nfrom .serializer import *\n", NEEDS_MORE + "class NoOpSerializer: pass\n"),
        (
            "SOMETHING = 1\nfrom .serializer import *\n",
            "from . import other\n" + NEEDS_MORE + "class NoOpSerializer: pass\n",
        ),
        ("class NoOpSerializer: pass\n", None),
        ("class NoOpSerializer: pass\n", "raise ImportError('not today')\n"),
        ("class NoOpSerializer: pass\n", "\n"),
    ],
    ids=["names", "relative", "elsewhere", "broken", "empty"],
)
def test_where_the_class_cannot_be_had_alone_all_is_imported(tmp_path, package, serializer):
    there = tmp_path / "oslo_messaging"
    there.mkdir()
    (there / "__init__.py").write_text(package)
    (there / "other.py").write_text("")
    if serializer is not None:
        (there / "serializer.py").write_text(serializer)
    run(
        """
        os_vif.initialize()
        import oslo_messaging
        from oslo_versionedobjects import base
        assert issubclass(base.VersionedObjectSerializer, oslo_messaging.NoOpSerializer)
        assert base.messaging is oslo_messaging
        assert not [it for it in sys.meta_path if type(it).__module__.startswith("os_vif")]
        """,
        path=tmp_path,
    )


def test_who_imports_it_is_told_of_what_is_deprecated():
    """The warning is about the service that uses it, not about this library."""
    run("""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            os_vif.initialize()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            import oslo_messaging
        assert any("ventlet" in str(it.message) for it in told), told
        """)


def test_a_superseded_class_says_so_where_it_is_used():
    run("""
        os_vif.initialize()
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            os_vif.objects.vif.VIFPortProfileOVSRepresentor(representor_name="a")
        [warning] = [it for it in told if it.category is PendingDeprecationWarning]
        assert str(warning.message) == (
            "Using class 'VIFPortProfileOVSRepresentor' (either directly or via inheritance) is "
            "deprecated: use VIFPortProfileOpenVSwitch with a DatapathOffloadRepresentor"
        ), warning.message
        assert warning.filename == "<string>", warning.filename
        """)
