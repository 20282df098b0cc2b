"""API keys: where they come from, and whether a request carries one."""

from collections.abc import Sequence
from hmac import compare_digest
from pathlib import Path

from ragqa.errors import InputError

VARIABLE = "RAGQA_API_KEYS"


def read_keys(given: str) -> tuple[str, ...]:
    """Return the keys of a list separated by commas or line breaks, or of the file for `@FILE`.

    Raises `InputError` for a key with characters that no HTTP header can carry; the message does not show it.
    """
    if given.startswith("@"):
        try:
            given = Path(given[1:]).read_text(encoding="utf8")
        except UnicodeDecodeError as error:
            raise InputError(f"{given[1:]} is not UTF-8: {error}") from error
    keys = tuple(key.strip() for key in given.replace("\n", ",").split(",") if key.strip())
    if wrong := [number for number, key in enumerate(keys, 1) if not (key.isascii() and key.isprintable())]:
        raise InputError(f"key {wrong[0]} of {VARIABLE} has characters other than printable ASCII")
    return keys


def has_key(authorization: Sequence[str], keys: Sequence[str]) -> bool:
    """Return whether an `Authorization` header holds one of the keys, with or without "Bearer". Takes constant time."""
    given = authorization[0].strip() if len(authorization) == 1 else ""
    scheme, _, rest = given.partition(" ")
    secret = (rest.strip() if scheme.lower() == "bearer" else given).encode("latin-1")
    same = [compare_digest(secret, key.encode()) for key in keys]
    return any(same)
