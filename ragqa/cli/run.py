"""The command line as a whole: parse the arguments, run one command, print errors in one line."""

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import ragqa
from ragqa.cli.learning import add_commands as add_learning
from ragqa.cli.options import AddOptions, Run
from ragqa.cli.pages import add_commands as add_pages
from ragqa.cli.searching import add_commands as add_searching
from ragqa.cli.serving import add_commands as add_serving
from ragqa.cli.terminal import logging_to_stderr, say
from ragqa.errors import FallbackWarning, RagqaError
from ragqa.process import OFFLINE

_STDERR = 2  # the highest descriptor of a standard stream
_TERMINATED = 128 + signal.SIGTERM  # as a shell counts a signal


class Terminated(BaseException):
    """Raised on SIGTERM. The command ends as after Ctrl-C and leaves no incomplete files."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    0 is success, 1 an error (printed in one line on stderr) or a page that failed, 3 a question without a good answer, 130
    Ctrl-C, 143 SIGTERM.
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
        sys.stdout.reconfigure(encoding="utf-8")  # the encoding of JSON, also on terminals with another one
    try:
        with logging_to_stderr(verbose=options.verbose):
            status: int = options.run(options) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has closed the pipe
        _drop_output()
        return 0
    except (RagqaError, OSError) as error:
        _drop_output()
        say(" ".join(str(error).split()))
        return 1
    return status


def _prepare_streams() -> None:
    """Replace closed streams by the null device, and print "?" for characters that the terminal's encoding lacks.

    Otherwise a file opened later could get the descriptor of a closed stream, and output would be written into it.
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
    """Raise `Terminated` on SIGTERM. Without a handler, the first process of a container would ignore the signal."""

    def terminate(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a second signal ends the process at once
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
    """Print a `FallbackWarning` in one line, without the position in the code; hide warnings of other libraries."""
    if issubclass(category, FallbackWarning):
        say(f"warning: {message}")


def _drop_output() -> None:
    """Discard output that cannot be written, so that the interpreter does not fail on it at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _Parser(argparse.ArgumentParser):
    """Adds its options before it parses, so that a command imports only the modules that it needs itself."""

    add_options: AddOptions | None = None

    def complete(self) -> None:
        """Add the options, unless that was done before."""
        add, self.add_options = self.add_options, None
        if add:
            add(self)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Called by the main parser with the arguments that follow the command."""
        self.complete()
        return super().parse_known_args(args, namespace)


def _parser(arguments: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser for these arguments. Recipes are imported only if the first argument is none of the other commands."""
    parser = argparse.ArgumentParser(
        prog="ragqa",
        description="Answer questions about machine learning from indexed pages and cite the passages that support the answer.",
    )
    parser.add_argument("--version", action="version", version=f"ragqa {ragqa.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=_Parser)
    command = partial(_command, commands)
    for add in (add_pages, add_learning, add_searching, add_serving):
        add(command)
    if not arguments or arguments[0] not in commands.choices:
        from ragqa.recipes import load_recipe, recipe_names

        for recipe in map(load_recipe, recipe_names()):
            recipe.add_commands(command)
    return parser


def _command(commands: Any, name: str, run: Run, what: str, example: str, add_options: AddOptions | None = None) -> Any:
    """Add a command; `add_options` adds its options to the parser when the command is used."""
    parser = commands.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help=f"do not open network connections (same as the environment variable {OFFLINE}=1)",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="print progress messages to stderr")
    parser.set_defaults(run=run)
    parser.add_options = add_options
    return parser
