"""What commands print."""

import re
import sys
import textwrap


def say(message: str) -> None:
    """Print a line that is no result: on stderr."""
    print(f"ragqa: {printable(message)}", file=sys.stderr)


def printable(text: str) -> str:
    """Text without control characters, which a page may hold and a terminal would obey."""
    return re.sub(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", " ", text)


def wrap(text: str) -> str:
    """Break the lines of a text at 100 columns."""
    return "\n".join(textwrap.fill(line, 100) for line in text.splitlines())
