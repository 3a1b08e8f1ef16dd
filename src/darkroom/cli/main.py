"""The ``darkroom`` command: a group of commands, and one way for all of them to fail.

Command modules import click and nothing heavy at their top: ``darkroom --help`` must answer at once.
"""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from darkroom import __version__
from darkroom.cli.convert import convert
from darkroom.cli.doctor import doctor
from darkroom.cli.evaluate import evaluate
from darkroom.cli.generate import generate
from darkroom.cli.inspect import inspect
from darkroom.cli.mcp import mcp
from darkroom.cli.models import models
from darkroom.cli.replay import replay
from darkroom.cli.samplers import samplers
from darkroom.cli.serve import serve
from darkroom.cli.show import show
from darkroom.cli.train import train
from darkroom.errors import DarkroomError

FAULT, USER_ERROR, STOPPED = 1, 2, 130


class Commands(click.Group):
    """A group that says what went wrong in one sentence on standard error.

    The exit code is 2 for input that its user can put right, 130 after Ctrl-C and 1 for a fault of ours.
    ``--debug`` may stand anywhere and lets the traceback through.
    """

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> NoReturn:
        """Run a command line; always ends in SystemExit or, with ``--debug``, in the error itself."""
        words = list(sys.argv[1:] if args is None else args)
        options = [word for word in words if word != "--debug"]
        try:
            code = super().main(options, *more, **{**extra, "standalone_mode": False})
        except (click.Abort, KeyboardInterrupt):
            fail("stopped.", STOPPED)
        except Exception as error:
            if len(options) < len(words):
                raise
            fail(*explained(error))
        sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, context: click.Context) -> list[str]:
        """In the order in which one meets them, not by the alphabet."""
        return list(self.commands)


def explained(error: Exception) -> tuple[str, int]:
    """What to tell the user about an error, and the exit code."""
    if isinstance(error, click.UsageError) and error.ctx:
        return f"{error.format_message().rstrip('.')}; see '{error.ctx.command_path} --help'.", USER_ERROR
    if isinstance(error, click.ClickException):
        return error.format_message(), USER_ERROR
    if isinstance(error, DarkroomError):
        return str(error), error.exit_code
    if isinstance(error, OSError):
        from darkroom.cli.system import sentence_of

        if sentence := sentence_of(error):
            return sentence, USER_ERROR
    fault = f"{type(error).__name__}: {error}"
    return f"Darkroom failed ({fault}); run it again with --debug and report what it prints.", FAULT


def fail(message: str, code: int) -> NoReturn:
    """One line on standard error, and the end."""
    click.echo(f"darkroom: {' '.join(message.split())}", err=True)
    sys.exit(code)


@click.group(
    "darkroom",
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="darkroom", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, expose_value=False, help="Show the traceback of an error.")
@click.pass_context
def main(context: click.Context) -> None:
    """Develop pictures out of noise.

    \b
    darkroom generate "a red cube on top of a blue sphere"
    darkroom replay pictures/0001-a-red-cube-on-top-of-a-blue-sphere.png
    darkroom generate --help
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


COMMANDS = (generate, replay, show, models, inspect, convert, samplers, serve, mcp, doctor, train, evaluate)
for command in COMMANDS:
    main.add_command(command)
