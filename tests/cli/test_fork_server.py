# SPDX-License-Identifier: Apache-2.0
"""The fork server of :mod:`tests.command`: a call to it is what a process of its own would be."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.command import COMMAND, ForkServer
from tests.conftest import HostWithRun, PrivateHost

from .conftest import BRIDGE, ENVIRONMENT, SERVER, TAP

pytestmark = pytest.mark.functional

PROGRAM = """\
import atexit, os, signal, sys, threading, time, warnings, weakref
exec(sys.argv.pop(1))
"""

LOOK = """\
import gc, json, locale, stat
STREAMS = ((sys.stdin, sys.__stdin__), (sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__))
SAME = ("SigB", "SigI", "SigC", "Cap", "Uid", "Gid", "Groups", "NoNewPrivs", "Seccomp")
print(json.dumps({
    "argv": [sys.argv, sys.orig_argv[1:]], "path": sys.path, "flags": str(sys.flags),
    "cwd": os.getcwd(), "umask": oct(os.umask(0)), "environment": dict(os.environ),
    "group": os.getpgid(0), "session": os.getsid(0), "nice": os.nice(0),
    "globals": {name: str(value) for name, value in globals().items() if name != "__loader__"},
    "main": sys.modules["__main__"].__dict__ is globals(), "threads": threading.active_count(),
    "comm": open("/proc/self/comm").read(), "network": os.readlink("/proc/self/ns/net"),
    "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals()},
    "kernel": [line for line in open("/proc/self/status") if line.startswith(SAME)],
    "limits": open("/proc/self/limits").read(), "locale": locale.setlocale(locale.LC_ALL),
    "descriptors": sorted(os.listdir("/proc/self/fd")), "warnings": str(warnings.filters),
    "collector": [gc.isenabled(), gc.get_threshold()],
    "streams": [[str(type(one)), one.name, one.mode, one.encoding, one.errors, one.newlines,
        one.line_buffering, one.write_through, one.isatty(), one.fileno(), str(type(one.buffer)),
        one.buffer.name, one.buffer.seekable(), one is other] for one, other in STREAMS],
}, indent=1, sort_keys=True))
"""


class Here(PrivateHost):
    """The tests' own namespace."""

    def __init__(self) -> None:
        self.pid = os.getpid()


class Program:
    """A program that runs the source in its first word, served as the command is."""

    def __init__(self, path: Path, **environment: str) -> None:
        path.write_text(f"#!{sys.executable}\n{PROGRAM}")
        path.chmod(0o755)
        self.environment = ENVIRONMENT | {"PYTHONUNBUFFERED": ""} | environment
        self.server = ForkServer(self.environment, str(path))

    def __call__(
        self, *words: str, host: Any = None, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        return self.server.run(host or Here(), *words, **options)

    def start(self, source: str, *streams: int) -> Any:
        [stdin, stdout, stderr] = streams
        return self.server.start(
            Here(), source, env=self.environment, streams=(stdin, stdout, stderr)
        )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    made = Program(tmp_path_factory.mktemp("program") / "program")
    yield made
    made.server.close()


def both(say: Any, *words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run it in both ways, which must not differ in a byte; return what it said."""
    served, apart = (say(*words, apart=apart, **options) for apart in (False, True))
    said = (apart.returncode, apart.stdout, apart.stderr)
    assert (served.returncode, served.stdout, served.stderr) == said
    return served


# --- as a process of its own ----------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_it_begins_as_a_process_does(unbuffered: str, host: Any, tmp_path: Path) -> None:
    say = Program(tmp_path / "program", PYTHONUNBUFFERED=unbuffered)
    (tmp_path / "below").mkdir()
    environment = say.environment | {"SOME": "th\udcffing", "OVS_RUNDIR": "/nowhere"}
    words = (LOOK, "one", "", "two words", "\udcff")
    former = os.umask(0o37)
    try:
        said = both(say, *words, host=host, cwd=tmp_path / "below", env=environment)
        both(say, *words, host=host, env=environment, input="something")
    finally:
        os.umask(former)
        say.server.close()
    assert said.returncode == 0, said.stderr
    assert '"umask": "0o37"' in said.stdout
    assert f'"cwd": "{tmp_path}/below"' in said.stdout
    assert f'"network": "{os.readlink(f"/proc/{host.pid}/ns/net")}"' in said.stdout
    assert '"descriptors": [\n  "0",\n  "1",\n  "2",\n  "3"\n ]' in said.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("", 0),
        ("sys.exit()", 0),
        ("sys.exit(7)", 7),
        ("sys.exit(300)", 300 & 255),
        ("sys.exit('too bad')", 1),
        ("sys.stdout.write('not flushed'); os._exit(9)", 9),
        ("print('flushed', end=''); sys.stderr.write('too')", 0),
        ("sys.stdout.write('x' * 1_000_000)", 0),
        ("print('a\\r\\nb\\rc'); sys.stdout.buffer.write('ä'.encode())", 0),
        ("print(input().encode(), sys.stdin.read().encode())", 0),
        ("1 / 0", 1),
        ("raise BaseException('x') from ValueError('y')", 1),
        ("raise BaseExceptionGroup('some', [KeyError(1), SystemExit(2)])", 1),
        ("exec('sys.exit(')", 1),
        ("sys.excepthook = lambda *error: print(error[:2])\n1 / 0", 1),
        ("raise KeyboardInterrupt", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGINT)", -signal.SIGINT),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGPIPE); print('ignored')", 0),
        ("os.abort()", -signal.SIGABRT),
        ("atexit.register(print, 'last words'); sys.exit(3)", 3),
        ("atexit.register(int, 'x')", 0),
        ("threading.Timer(0.2, print, ['from a thread']).start(); sys.exit(4)", 4),
        ("threading.Thread(target=int, args='x', name='one').start()", 0),
        ("threading.Thread(target=time.sleep, args=[60], daemon=True).start()", 0),
        ("os.close(1); print('nobody hears')", 120),
        ("sys.stdout.close(); sys.exit(5)", 5),
        ("weakref.finalize(os, print, 'the end')", 0),
        ("class A:\n    def __del__(self): print('deleted')\na = A()", 0),
        ("warnings.warn('look out')", 0),
        ("os.fork() or sys.exit(2)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))", 0),
        ("os.execlp('sh', 'sh', '-c', 'echo $0; exit 6')", 6),
    ],
)
def test_it_ends_as_a_process_does(program: Program, source: str, code: int) -> None:
    said = both(program, source, input="first\nand\r\nmore", timeout=20)
    assert said.returncode == code, said


@pytest.mark.long
def test_it_sees_what_is_mounted_for_it(program: Program, host: Any, tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    source = "print(os.listdir('/run'), os.getcwd(), os.readlink('/proc/self/ns/mnt'))"
    with contextlib.closing(HostWithRun(host, str(tmp_path))) as seen:
        said = both(program, source, host=seen, cwd=tmp_path).stdout
    assert said.startswith(f"['there'] {tmp_path} mnt:[")


@pytest.mark.long
def test_a_reader_that_has_gone(osvif: Any) -> None:
    """And one that has no room: the command says so with its exit code."""
    with open("/dev/full", "wb") as full, open(os.devnull) as nothing:
        reader, writer = os.pipe()
        os.close(reader)
        for output, expected in ((full.fileno(), 1), (writer, 141)):
            streams = nothing.fileno(), output, full.fileno()
            served = SERVER.start(osvif.host, "types", env=ENVIRONMENT, streams=streams).wait()
            names = dict(zip(("stdin", "stdout", "stderr"), streams, strict=True))
            argv = osvif.host.argv(COMMAND, "types")
            apart = subprocess.call(argv, env=ENVIRONMENT, **names)  # type: ignore[call-overload]
            assert served == apart == expected
        os.close(writer)


@pytest.fixture
def say(osvif: Any) -> Any:
    """Return what runs the command where a VIF is plugged, and a bridge and bad input are not."""
    osvif.file(BRIDGE, "bridge.yaml")
    osvif.file(BRIDGE.replace("52:54", "53:54"), "bad.yaml")
    osvif("plug", osvif.file(TAP, "tap.yaml"))

    def run(*words: str, apart: bool) -> subprocess.CompletedProcess[str]:
        done = SERVER.run(osvif.host, *words, apart=apart, cwd=osvif.folder)
        # How long it took differs.
        done.stdout = re.sub(
            r"[\d.]+ ?[µm]?s\b|(?<=seconds\": )[\d.]+(?:e-\d+)?", "TIME", done.stdout
        )
        return done

    return run


@pytest.mark.parametrize(
    "words",
    [
        *("", "--help", "plug --help", "plgu", "plug --josn", "schema", "host-info"),
        *("completion zsh", "validate --json bridge.yaml tap.yaml bad.yaml", "list", "show"),
        *("show bridge.yaml", "check --json tap.yaml bridge.yaml", "plan -v bridge.yaml"),
        *("plug -v tap.yaml", "list --ovsdb unix:/nowhere -v", "list --netns x"),
        *("gc --keep-none --dry-run", "demo", "demo --json"),
    ],
)
def test_the_command_says_the_same(say: Any, words: str) -> None:
    both(say, *words.split())


def test_the_command_does_the_same(say: Any, osvif: Any) -> None:
    changing = []
    for apart in (False, True):
        with osvif.nothing_changed():
            changing.append(
                [
                    say(*words.split(), apart=apart)
                    for words in ("plug bridge.yaml", "show", "unplug -v bridge.yaml")
                ]
            )
            osvif.host.run("ip", "link", "delete", "br0")
    for forked, alone in zip(*changing, strict=True):
        assert (forked.stdout, forked.stderr) == (alone.stdout, alone.stderr)


# --- one server, many calls -----------------------------------------------------------------------


def test_two_calls_share_no_state(program: Program) -> None:
    source = """
import os_vif, random
print(hasattr(os_vif, "left"), "LEFT" in os.environ, os.getcwd(), random.random(), os.getpid())
os_vif.left = os.environ["LEFT"] = "behind"
os.chdir("/")
sys.path.clear()
"""
    first, second = (program(source).stdout.split() for _time in range(2))
    assert first[:3] == second[:3] == ["False", "False", os.getcwd()]
    assert first[3] != second[3], "chance is another one each time"
    assert first[4] != second[4]


SLEEPER = """
def end(number, frame):
    os.write(1, b"ended\\n")  # not print: the signal may come while it prints
    sys.exit(5)
signal.signal(signal.SIGTERM, end)
print("begun", flush=True)
time.sleep(60)
"""


def test_a_signal_reaches_it(program: Program) -> None:
    reader, writer = os.pipe()
    with open(os.devnull) as nothing, os.fdopen(reader) as told:
        running = program.start(SLEEPER, nothing.fileno(), writer, writer)
        os.close(writer)
        assert told.readline() == "begun\n"
        os.kill(running.pid, signal.SIGTERM)
        assert told.read() == "ended\n"
    assert running.wait() == 5
    assert not Path(f"/proc/{running.pid}").exists(), "no zombie is left"


@pytest.mark.long
@pytest.mark.parametrize("apart", [False, True])
def test_one_that_takes_too_long_is_killed(program: Program, apart: bool) -> None:
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        program("print(os.getpid(), flush=True); time.sleep(60)", timeout=2, apart=apart)
    assert caught.value.timeout == 2
    assert not Path(f"/proc/{int(caught.value.stdout)}").exists()


@pytest.mark.long
def test_side_by_side(program: Program) -> None:
    """One that waits does not hold up another."""
    source = "print(sys.stdin.read())"
    reader, writer = os.pipe()
    with open(os.devnull, "w") as nothing:
        waiting = program.start(source, reader, nothing.fileno(), nothing.fileno())
        os.close(reader)
        assert program(source, input="done").stdout == "done\n"
        assert Path(f"/proc/{waiting.pid}").exists()
        os.close(writer)
        assert waiting.wait() == 0


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_it_goes_with_the_process_that_started_it(how: signal.Signals) -> None:
    code = (
        "import os, time; from tests.command import ForkServer; "
        "print(ForkServer(dict(os.environ)).pid, flush=True); time.sleep(60)"
    )
    root = Path(__file__).resolve().parents[2]
    starter = subprocess.Popen(
        [sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, env=ENVIRONMENT
    )
    assert starter.stdout
    with starter.stdout as told:
        server = os.pidfd_open(int(told.readline()))
    starter.send_signal(how)
    starter.wait()
    deadline = time.monotonic() + 20
    while _runs(server):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(server)


def test_its_commands_leave_no_orphaned_group(program: Program) -> None:
    """Else the kernel hangs up all tests where one has stopped a process."""
    assert os.getpgid(program.server.pid) == os.getpgid(0)
    os.kill(program.server.pid, signal.SIGINT)
    assert program("print(signal.getsignal(signal.SIGINT))").stdout.startswith("<built-in")


def _runs(process: int) -> bool:
    try:
        signal.pidfd_send_signal(process, 0)
    except ProcessLookupError:
        return False
    return True


# --- from a shell ---------------------------------------------------------------------------------


@pytest.fixture
def shell(program: Program, tmp_path: Path) -> Any:
    """Return what runs a script where ``program`` is the served one, or the installed one."""
    program.server.install(tmp_path)
    installed = Path(program.server.script).parent

    def run(script: str, *words: str, apart: bool = False, **options: Any) -> Any:
        path = f"{installed if apart else tmp_path}:{os.environ['PATH']}"
        options["env"] = program.environment | options.get("env", {}) | {"PATH": path}
        done = Here().run("bash", "-c", script, "bash", *words, check=False, **options)
        done.stderr = re.sub(r"(?m)^(bash: line \d+: +)\d+", r"\1PID", done.stderr)
        return done

    return run


def served(said: str, program: Program) -> bool:
    return int(said.rsplit(maxsplit=1)[-1]) == program.server.pid


@pytest.mark.long
def test_a_shell_starts_it_as_a_process(shell: Any, program: Program, host: Any) -> None:
    look = LOOK.replace("os.getpgid(0)", "'its own'").replace("dict(os.environ)", "0")
    said = both(shell, 'umask 27; cd /; echo x | program "$@"', look, "", "a b", "\udcff")
    assert said.returncode == 0, said.stderr
    parent = shell('program "$@"', "print(os.getppid())").stdout
    assert served(parent, program)
    in_namespace = f"nsenter --net=/proc/{host.pid}/ns/net -- " + 'program "$@"'
    look = "print(os.listdir('/sys/class/net'), os.readlink('/proc/self/ns/net'))"
    both(shell, in_namespace, look)


@pytest.mark.long
@pytest.mark.parametrize("name", ["INT", "TERM", "KILL", "USR1", "ABRT", "PIPE"])
def test_a_shell_sees_how_it_ends(shell: Any, name: str) -> None:
    source = f"signal.signal(signal.SIG{name}, 0) if {name!r} != 'KILL' else 0\n"
    source += f"os.kill(os.getpid(), signal.SIG{name})"
    script = 'program "sys.exit(7)"; echo $?; program "1 / 0"; echo $?; program "$1"; echo $?'
    said = both(shell, f"ulimit -c 0; {script}", source).stdout
    assert said == f"7\n1\n{128 + signal.Signals[f'SIG{name}']}\n"


@pytest.mark.long
@pytest.mark.parametrize("apart", [False, True])
def test_a_shell_sends_it_signals(shell: Any, apart: bool) -> None:
    script = """
        coproc program "$1" & read -r said <&"${COPROC[0]}"
        pid=$COPROC_PID
        exec 3<&"${COPROC[0]}"
        kill -TERM $pid; cat <&3; wait $pid; echo $said $?
    """
    assert shell(script, SLEEPER, apart=apart).stdout == "ended\nbegun 5\n"


@pytest.mark.long
def test_one_whose_stand_in_is_killed_is_killed(shell: Any) -> None:
    script = """
        mkfifo pipe; program "$1" >pipe &
        exec 3<pipe; read -r pid <&3; kill -KILL $!; cat <&3; ls /proc/$pid
    """
    source = "print(os.getpid(), flush=True); time.sleep(60)"
    with tempfile.TemporaryDirectory() as folder:
        said = shell(script, source, cwd=folder)
    assert "No such file" in said.stderr
    assert said.stdout == ""


@pytest.mark.long
@pytest.mark.parametrize(
    "script",
    [
        *('LC_ALL=C program "$1"', 'program "$1" 5</dev/null', 'program "$1" 2>&-'),
        *('ulimit -n 99; program "$1"', 'trap "" USR2; program "$1"', 'unshare --uts program "$1"'),
        *('setsid --wait program "$1"', 'setpriv --no-new-privs program "$1"'),
    ],
)
def test_what_a_shell_changes_that_a_fork_cannot(shell: Any, program: Program, script: str) -> None:
    said = both(shell, script, "print(os.listdir('/proc/self/fd'), sys.stderr)").stdout
    assert said
    assert not served(shell(f"{script}; true", "print(os.getppid())").stdout, program)


# --- what cannot be served ------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    "changed",
    [
        *({"LC_ALL": "C"}, {"LANG": "de_DE.UTF-8"}, {"TZ": "Asia/Tokyo"}, {"LD_PRELOAD": ""}),
        *({"PYTHONIOENCODING": "latin-1"}, {"PYTHONWARNINGS": "error"}),
        {"HOME": "/nowhere"},  # stevedore looks for its cache there
    ],
    ids="".join,
)
def test_what_acts_at_the_start_needs_a_process_of_its_own(
    osvif: Any, changed: dict[str, str]
) -> None:
    assert SERVER.can_serve(ENVIRONMENT)
    assert not SERVER.can_serve(ENVIRONMENT | changed)
    without = {name: ENVIRONMENT[name] for name in ENVIRONMENT.keys() - {"LC_ALL"}}
    assert not SERVER.can_serve(without)


@pytest.mark.long
@pytest.mark.parametrize("name", ["OVS_RUNDIR", "NO_COLOR", "COLUMNS", "FORCE_COLOR", "PATH"])
def test_what_the_command_looks_at_later_does_not(name: str) -> None:
    assert SERVER.can_serve(ENVIRONMENT | {name: "1"})
