# SPDX-License-Identifier: Apache-2.0
"""The entry point of the ``os-vif`` command.

Little is imported here, so that ``os-vif --help`` and completion come at once; a subcommand
imports the library when it runs.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import metadata
from typing import Any

import click

from os_vif.cli import checking, hosting, plugging, reference, running
from os_vif.cli.demo.command import demo
from os_vif.cli.options import keep_examples, shared_options
from os_vif.cli.session import Exit, Failure, Session, bad_input
from os_vif.cli.specs import types
from os_vif.cli.specs.nodes import BadInput

_COMMANDS = (
    plugging.plug,
    plugging.unplug,
    checking.plan,
    checking.check,
    running.exec_,
    hosting.list_,
    hosting.show,
    hosting.gc,
    reference.validate,
    reference.types_,
    reference.schema,
    reference.host_info,
    reference.completion,
    demo,
)


class _Group(click.Group):
    """Subcommands in the order of a first acquaintance, and a hint for a mistyped one."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        more["help"] = keep_examples(more.get("help") or "")
        super().__init__(*arguments, **more)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in order of registration."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the subcommand, or say which may have been meant."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            from os_vif.cli.specs.reading import suggest

            raise click.UsageError(
                f"there is no command {args[0]!r}; {suggest(args[0], self.commands)}", ctx=ctx
            )
        return super().resolve_command(ctx, args)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
    epilog=keep_examples("""Exit codes:
    0  done                      2  bad input, nothing touched
    1  failed                    3  check found drift
  130  interrupted (Ctrl-C); run the same command again to finish

Colours follow NO_COLOR. Privilege: run as root, or configure the helper of oslo.privsep."""),
)
@click.version_option(
    metadata.version("os-vif"), prog_name="os-vif", message="%(prog)s, version %(version)s"
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


for _command in _COMMANDS:
    cli.add_command(_command)


def _run(session: Session, arguments: list[str]) -> int:
    try:
        found: Any = cli.main(
            arguments,
            prog_name="os-vif",
            standalone_mode=False,
            obj=session,
            complete_var="_OS_VIF_COMPLETE",
        )
    except BadInput as error:
        return bad_input(session, error)
    except Failure as error:
        return _end(session, error.code, str(error))
    except click.UsageError as error:
        if session.json:
            return _end(session, Exit.BAD_INPUT, error.format_message())
        error.show()
        return int(Exit.BAD_INPUT)
    except click.ClickException as error:
        return _end(session, Exit.FAILED, error.format_message())
    except (KeyboardInterrupt, click.Abort):
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


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its code."""
    words = sys.argv[1:] if arguments is None else arguments
    session = Session()
    session.json = "--json" in words
    try:
        try:
            code = _run(session, words)
        except BrokenPipeError:
            raise
        except Exception as error:  # a person is shown a sentence; -v shows where it came from
            code = _unexpected(session, error)
        for message in types.left_out():
            session.warn(message)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output had enough (head, say); what was to be done is done.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = int(Exit.BROKEN_PIPE)
    sys.exit(code)
