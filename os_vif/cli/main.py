# SPDX-License-Identifier: Apache-2.0
"""The entry point of the ``os-vif`` command.

Little is imported here, so that ``os-vif --help`` and completion come at once; a subcommand
imports the library when it runs.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from typing import Any

import click

from os_vif.cli import late
from os_vif.cli.groups import LateGroup
from os_vif.cli.options import keep_examples, shared_options
from os_vif.cli.session import Exit, Failure, Session, bad_input
from os_vif.cli.specs.refused import BadInput

# Each subcommand's module and name, and what its help begins with.
_COMMANDS = {
    "plug": ("plugging:plug", "Make the host ready for the VIFs of FILE..."),
    "unplug": ("plugging:unplug", "Take away what plug made."),
    "plan": ("checking:plan", "Show the steps that plug would take now."),
    "check": ("checking:check", "Compare the host with the VIFs of FILE..."),
    "exec": ("running:exec_", "Run CMD with the guest's end of a plugged VIF open."),
    "guest": ("guest:guest", "Write what a hypervisor must be told of the VIFs of FILE."),
    "run": ("lifetime:run", "Plug, run CMD with its arguments for QEMU, unplug when it ends."),
    "list": ("listing:list_", "List the VIFs that are plugged on this host."),
    "show": ("hosting:show", "Draw where VIFs sit on the host."),
    "export": ("exporting:export", "Write what is plugged as a specification."),
    "gc": ("hosting:gc", "Remove what is left of VIFs that no longer exist."),
    "network": ("network.command:network", "Make networks over many hosts, on OVN."),
    "validate": ("reference:validate", "Check files without looking at the host."),
    "types": ("reference:types_", "Show the types of VIF and their fields."),
    "schema": ("reference:schema", "Print the JSON Schema of files."),
    "host-info": ("reference:host_info", "Show which VIFs this host can plug."),
    "doctor": ("doctor:doctor", "Say what is wrong with this host itself, and what mends it."),
    "completion": ("reference:completion", "Print the completion script of a shell."),
    "install": ("install.command:install", "Write systemd units, manual pages and completion."),
    "demo": ("demo.command:demo", "See it work, in a network of its own."),
}

_COMPLETE = "_OS_VIF_COMPLETE"
"""The variable by which a shell asks for completions."""

_GARBAGE = 100_000
"""So many new objects are made before it is looked whether some are unused (gc)."""

_UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""How standard output says that it takes no more."""


class _Group(LateGroup):
    """The subcommands, also by words of other commands."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand; ``help`` and ``version`` are words for options."""
        if not args or args[0] not in ("help", "version"):
            return super().resolve_command(ctx, args)
        if ctx.resilient_parsing:
            return None, None, []
        if args[0] == "version" or len(args) == 1:
            self.main([f"--{args[0]}"], ctx.info_name, standalone_mode=False, obj=ctx.obj)
            ctx.exit()
        return self.resolve_command(ctx, [*args[1:], "--help"])

    def by_habit(self, word: str) -> str | None:
        """Return the subcommand that another command has this word for; None for none."""
        from os_vif.cli import habits

        return habits.SAME.get(word)

    def hint(self, word: str) -> str:
        """Say what may have been meant by a word that is no subcommand's."""
        from os_vif.cli import habits

        return habits.hint(word, _COMMANDS)


def _tell_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        import os_vif

        click.echo(f"os-vif, version {os_vif.__version__}")
        ctx.exit()


@click.group(
    cls=_Group,
    rows=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
    epilog=keep_examples("""Exit codes:
    0  done                      2  bad input, nothing touched
    1  failed                    3  check found drift
  130  interrupted (Ctrl-C); run the same command again to finish

Colours follow NO_COLOR. Privilege: run as root, or configure the helper of oslo.privsep."""),
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_tell_version,
    help="Show the version and exit.",
)
@shared_options
@click.pass_context
def cli(context: click.Context) -> None:
    """Plug a guest's network interface into this host, and know that it is right.

    A VIF says how a guest's interface sits on the host: a tap on a bridge, say. Describe it in a
    file (os-vif types tells what can be said), plug it, and check it whenever you like.

      os-vif demo               see it work, in a network of its own
      os-vif plug web.yaml      make the host look as the file says
      os-vif check web.yaml     does it still?
      os-vif show web.yaml      a picture of it
      os-vif unplug web.yaml    take it away again
    """
    session = context.find_object(Session)
    if session is not None:
        session.command = context.invoked_subcommand or ""


def _run(session: Session, arguments: list[str]) -> int:
    if _COMPLETE in os.environ:
        from os_vif.cli import shells

        shells.register()
    output = sys.stdout
    try:
        found: Any = cli.main(
            arguments,
            prog_name="os-vif",
            standalone_mode=False,
            obj=session,
            complete_var=_COMPLETE,
        )
    except BadInput as error:
        return bad_input(session, error)
    except Failure as error:
        return _end(session, error.code, str(error))
    except SystemExit:
        # With 1, which means that the work failed: so click ends for a reader that goes away, and
        # puts something else into the place of standard output.
        if sys.stdout is not output:
            raise BrokenPipeError from None
        raise
    except click.UsageError as error:
        if session.json:
            return _end(session, Exit.BAD_INPUT, error.format_message())
        error.show()
        return int(Exit.BAD_INPUT)
    except click.ClickException as error:
        return _end(session, Exit.FAILED, error.format_message())
    except (KeyboardInterrupt, click.Abort):
        import signal

        # Another one, from an impatient finger, must not cut the answer off.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # Every step is either done or not, and plugging converges.
        message = "interrupted; the same command, run again, goes on from here"
        return _end(session, Exit.INTERRUPTED, message)
    return found if isinstance(found, int) else int(Exit.DONE)


def _end(session: Session, code: Exit, message: str) -> int:
    if not session.json:
        session.error(message)
    kind = code.name.title().replace("_", "")  # as the other errors have it: BadInput
    return session.finish(code, errors=[{"type": kind, "message": message}])


def _unexpected(session: Session, error: Exception) -> int:
    from os_vif import exception
    from os_vif.cli.privilege import explain

    if session.verbosity:
        import traceback

        traceback.print_exc()
    # What a file says is refused with its place; this is a value of the configuration.
    code = Exit.BAD_INPUT if isinstance(error, exception.InvalidField) else Exit.FAILED
    return _end(session, code, explain(error))


def _with_json(words: list[str]) -> list[str]:
    """Return a command line with ``--json`` where it has ``-o json``, as other commands do."""
    end = words.index("--") if "--" in words else len(words)
    found: list[str] = []
    for word in words[:end]:
        if word == "json" and found[-1:] in (["-o"], ["--output"]):
            found[-1] = "--json"
        else:
            found.append("--json" if word in ("-ojson", "--output=json") else word)
    return found + words[end:]


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    # A run is short: what it makes is kept to its end, and then the kernel frees it.
    gc.set_threshold(_GARBAGE)
    late.install()
    words = _with_json(sys.argv[1:] if arguments is None else arguments)
    session = Session()
    session.json = "--json" in words
    try:
        try:
            code = _run(session, words)
        except BrokenPipeError:
            raise
        except Exception as error:  # a person is shown a sentence; -v shows where it came from
            if _is_of_output(error):
                raise
            code = _unexpected(session, error)
        types = sys.modules.get("os_vif.cli.specs.types")
        for message in types.left_out() if types else ():
            session.warn(message)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output had enough (head, say); what was to be done is done.
        _drop_output()
        code = int(Exit.BROKEN_PIPE)
    except OSError as error:  # a full disk, say
        _drop_output()
        session.error(f"the result could not be written: {error.strerror}; what was done is done")
        code = int(Exit.FAILED)
    gc.freeze()
    sys.exit(code)


def _is_of_output(error: Exception) -> bool:
    if isinstance(error, BrokenPipeError):
        return True
    return isinstance(error, OSError) and error.errno in _UNWRITABLE and not error.filename


def _drop_output() -> None:
    """Let what is left in the buffer of standard output go nowhere at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
