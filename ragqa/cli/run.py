"""The command line as a whole: reads the arguments, runs one command, tells errors in one line."""

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import ragqa
from ragqa.cli.learning import add_commands as add_learning
from ragqa.cli.pages import add_commands as add_pages
from ragqa.cli.searching import add_commands as add_searching
from ragqa.cli.terminal import say
from ragqa.errors import FallbackWarning, RagqaError
from ragqa.process import OFFLINE

_STDERR = 2  # the highest descriptor of a standard stream
_TERMINATED = 128 + signal.SIGTERM  # as a shell counts a signal


class Terminated(BaseException):
    """Raised on SIGTERM. The command ends as after Ctrl-C and leaves nothing half written."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0; 1 after an error, told in one line on stderr, or if a page failed; 130 after Ctrl-C; 143 after SIGTERM.
    """
    _prepare_streams()
    warnings.showwarning = _show_warning
    try:
        with _ending_on_sigterm():
            return _run(arguments)
    except Terminated:
        _drop_output()
        return _TERMINATED
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _run(arguments: Sequence[str] | None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser(arguments).parse_args(arguments)
    if options.offline:
        os.environ[OFFLINE] = "1"
    if getattr(options, "json", False) and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the terminal has
    try:
        status: int = options.run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        _drop_output()
        return 0
    except (RagqaError, OSError) as error:
        _drop_output()
        say(" ".join(str(error).split()))
        return 1
    return status


def _prepare_streams() -> None:
    """Let output go nowhere if its descriptor is closed, and print "?" for what the terminal's encoding lacks.

    A file that is opened later must not get the descriptor of a closed stream: what is printed would go into the file.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _STDERR:
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Raise `Terminated` on SIGTERM, which the first process of a container would ignore without a handler."""

    def terminate(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second one does not wait
        raise Terminated

    handled = current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if handled:
        signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        if handled:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    """Print a fallback in one line, without the place in the code; other libraries' warnings are not for users."""
    if issubclass(category, FallbackWarning):
        say(f"warning: {message}")


def _drop_output() -> None:
    """Let what is still to be printed go nowhere, so that the interpreter does not fail on it while it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return a parser of these arguments. It knows the recipes' commands only if it needs them: recipes are slow to import."""
    parser = argparse.ArgumentParser(
        prog="ragqa",
        description="Answers questions about machine learning from Wikipedia, with the passages that prove it.",
    )
    parser.add_argument("--version", action="version", version=f"ragqa {ragqa.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = partial(_command, commands)
    for add in (add_pages, add_learning, add_searching):
        add(command)
    if not arguments or arguments[0] not in commands.choices:
        from ragqa.recipes import load_recipe, recipe_names

        for recipe in map(load_recipe, recipe_names()):
            recipe.add_commands(command)
    return parser


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], what: str, example: str) -> Any:
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--offline", action="store_true", help=f"open no connection ({OFFLINE}=1 does the same)")
    parser.set_defaults(run=run)
    return parser
