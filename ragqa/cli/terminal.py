"""What commands print: results on stdout, everything else on stderr."""

import logging
import re
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager


def say(message: str) -> None:
    """Print a message to stderr, after the name of the program."""
    print(f"ragqa: {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    """Replace control characters, which a page may contain and a terminal would obey, by spaces."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", " ", text)


def wrap(text: str) -> str:
    """Break lines at 100 columns."""
    return "\n".join(textwrap.fill(line, 100) for line in text.splitlines())


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


@contextmanager
def logging_to_stderr(*, verbose: bool) -> Iterator[None]:
    """Print what ragqa logs as warning or error, and with `verbose` also as info."""
    logger, handler = logging.getLogger("ragqa"), _StderrHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
