"""Where the page is served, and who may come in."""

import re
from dataclasses import dataclass
from pathlib import Path

from ragqa.demo.origin import read_names
from ragqa.errors import InputError, MissingExtraError, check_extra
from ragqa.process import is_own_host

PORT = 7860
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Door:
    """Where the page is served and who may come in: `auth` is a user's name and password, `mcp` opens the tools.

    The page is reached by the loopback names, `host` and `names`; `root_path` is where a reverse proxy serves it.
    """

    host: str = LOOPBACK
    port: int | None = PORT
    auth: tuple[str, str] | None = None
    mcp: bool = False
    open_to_all: bool = False
    names: tuple[str, ...] = ()
    root_path: str = ""


def check_door(door: Door) -> None:
    """Raise `InputError` for options that contradict each other, `MissingExtraError` without the extras `demo` and `mcp`."""
    check_extra("the chat", "demo")
    own = is_own_host(door.host) and not door.names
    if not (own or door.auth or door.open_to_all):
        raise InputError(
            f"other machines can reach the chat on {door.names[0] if door.names else door.host}: "
            "give --auth USER:PASSWORD, or --no-auth to let everybody in"
        )
    read_names(door.host, door.names)
    if door.root_path and not re.fullmatch(r"(/[\w.~-]+)+/?", door.root_path):
        raise InputError(f"--root-path is {door.root_path}; give a path such as /chat")
    if door.mcp and door.auth:
        raise InputError("the tools of --mcp ask for no password: leave out either --mcp or --auth")
    if door.mcp:
        try:
            import mcp  # noqa: F401
        except ImportError as error:
            raise MissingExtraError("the MCP server", "mcp") from error


def read_auth(given: str) -> tuple[str, str]:
    """`USER:PASSWORD` as the two, or the first line of FILE for `@FILE`; the password may hold colons. Raises `InputError`."""
    if given.startswith("@"):
        try:
            given = Path(given[1:]).read_text(encoding="utf8").partition("\n")[0]
        except UnicodeDecodeError as error:
            raise InputError(f"{given[1:]} is not UTF-8: {error}") from error
    user, colon, password = given.strip().partition(":")
    if not (user and colon and password):
        raise InputError("a user's name and password are given as USER:PASSWORD")
    return user, password
