"""The command line: a command for each function of `commands`, its options from the settings it takes."""

import contextlib
import io
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.exceptions import Abort, TyperException

from quantbench.commands import COMMANDS, Command
from quantbench.errors import QuantbenchError, unusable
from quantbench.output import Output
from quantbench.settings.command_line import command_of
from quantbench.version import __version__

OUT = Console()
ERR = Console(stderr=True)
INTERRUPTED = {128 + number for number in (1, 2, 15)}  # SIGHUP, SIGINT, SIGTERM, as shells report them
STOPPED = "stopped; what was measured is kept, the same command goes on from there"
SUMMARY = "What quantizing a language model buys and what it costs, measured on your machine."


def dashes(token: str) -> str:
    """Options may be written with `_` or `-`."""
    return token.replace("_", "-")


CONTEXT: dict[str, Any] = {
    "token_normalize_func": dashes,
    "help_option_names": ["-h", "--help"],
    "max_content_width": 120,
}
app = typer.Typer(
    name="quantbench",
    help=SUMMARY,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=CONTEXT,
)


def acting(command: Command[Any]) -> Callable[[Any, bool], int]:
    """The command on the consoles of this process."""
    return lambda settings, as_json: command.act(settings, Output(OUT, as_json=as_json), ERR)


for name, entry in COMMANDS.items():
    app.command(name)(command_of(entry.settings, entry.act.__doc__, acting(entry)))


@app.callback(invoke_without_command=True)
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version. [default: off]", show_default=False)
    ] = False,
) -> None:
    """What quantizing a language model buys and what it costs, measured on your machine.

    Example: quantbench run random:qwen2.5-0.5b --tasks none
    """
    if version:
        OUT.print(__version__, highlight=False)
        raise typer.Exit()


def main() -> None:
    """Entry point: a user's mistake ends in one sentence and exit code 2, Ctrl-C in 130."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the terminal cannot show must not end a run
            stream.reconfigure(errors="backslashreplace")
    refuse_empty(sys.argv[1:])
    try:
        status = app(standalone_mode=False) or 0
    except QuantbenchError as error:
        fail(str(error))
    except BrokenPipeError:  # whoever read our output has seen enough
        drop_output()
        status = 1
    except OSError as error:
        if error.errno is None:  # raised by a program, not by the system
            raise
        fail(unusable(error))
    except (KeyboardInterrupt, Abort):
        status = 130
    except TyperException as error:
        fail(f"{getattr(error, 'format_message', error.__str__)()} (see quantbench --help)")
    if status in INTERRUPTED:  # typer may turn Ctrl-C into its status itself
        with contextlib.suppress(OSError):  # a terminal that has hung up
            give_error(STOPPED)
            ERR.print(STOPPED)
    sys.exit(status)


def drop_output() -> None:
    """What is still to be written to standard output goes nowhere: it takes no more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def refuse_empty(arguments: list[str]) -> None:
    """An empty value is a variable that was never set; taken as a path it would be the current folder."""
    for before, argument in zip(["", *arguments], arguments, strict=False):
        name, equals, value = argument.partition("=")
        if not argument.strip() or (name.startswith("--") and equals and not value.strip()):
            which = name if equals else before if before.startswith("-") else "an argument"
            fail(f"{which} is empty; give it a value or leave it out")
        if "\0" in argument or (
            not argument.isprintable() and any("\ud800" <= c <= "\udfff" for c in argument)
        ):
            fail("an argument holds bytes that are no text; write it in UTF-8")


def fail(sentence: str) -> NoReturn:
    """Print one sentence and leave with exit code 2."""
    try:
        give_error(sentence)
        sys.stdout.flush()
    except OSError:  # a full disk behind standard output, which may be what the sentence is about
        drop_output()
    ERR.print(f"quantbench: {sentence}", style="red", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


def give_error(sentence: str) -> None:
    """With --json an error is a document, too."""
    if "--json" in sys.argv[1:]:
        Output(OUT, as_json=True).give({"error": sentence}, lambda console: None)


if __name__ == "__main__":
    main()
