"""All exceptions and warnings that ragqa raises on purpose.

RagqaError
├── InputError         a question, number, name or record cannot be used (also a ValueError)
│   └── RecordError    a line of a file is not the expected record
├── CorpusError        there are no pages or passages
├── IndexStoreError    an index folder is missing, damaged, or of another version
├── ModelError         a model folder or hub id cannot be loaded
├── CrawlError         a wiki does not respond as a wiki should
├── WriterError        a language model's server does not respond as it should
└── MissingExtraError  an optional package is not installed (also an ImportError)

Each message says what is wrong and what to do next. Only the command line catches these errors.

`FallbackWarning` is not an error: something does not fit, so a slower or worse path is taken. The command line prints it.
"""

import json
import re
import shlex
import traceback
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_PROJECT = Path(__file__).parent.parent
_MODULES = {  # what each of these extras brings
    "crawl": ("hishel", "httpx", "mwparserfromhell", "wikipediaapi"),
    "demo": ("anyio", "fastapi", "gradio", "jinja2", "markupsafe", "pydantic", "starlette", "uvicorn"),
    "documents": ("pypdfium2",),
    "dump": ("mwparserfromhell", "mwxml"),
    "mcp": ("anyio", "mcp", "starlette", "uvicorn"),
    "serve": ("anyio", "fastapi", "prometheus_client", "pydantic", "starlette", "uvicorn"),
    "zim": ("libzim", "selectolax"),
}


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, at most 200 characters; the name of its class if the message is empty."""
    return str(error).strip().split("\n")[0][:200] or type(error).__name__


def locate(error: Exception) -> str:
    """Return the class and the first line of an unexpected error, and the place in the code, for a report about it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    said = f": {first_line(error)}" if str(error).strip() else ""
    return f"{type(error).__name__}{said}{place}"


def shown_url(url: str) -> str:
    """Return a URL as messages show it: without user, password and query, which may be secret."""
    parts = urlsplit(url)
    if not parts.netloc:
        return url[:60]
    fragment = parts.fragment and f"#{parts.fragment}"
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{fragment}"


def rebuild(folder: object) -> str:
    """Return the remedy for an index that cannot be used."""
    return f"build it again: ragqa index --passages passages.jsonl --out {folder}"


def update(folder: object) -> str:
    """Return the remedy for an index of an older version: the passages that it holds are indexed again."""
    return f"bring it up to date from its own passages: ragqa update {folder}"


class FallbackWarning(UserWarning):
    """The work continues, but slower or with worse results. The message says why and what to do."""


def warn_of_fallback(message: str) -> None:
    """Issue a `FallbackWarning` that points to the caller of the calling function."""
    warnings.warn(message, FallbackWarning, stacklevel=3)


ENGLISH_ONLY = (
    "the bundled models read English; ask with --bm25-only, or name multilingual models with --embedder and --model"
)


class RagqaError(Exception):
    """The base class of all errors of ragqa.

    `flaw` says what is wrong, `remedy` (may be empty) says what to do. The message is both, joined by a semicolon.
    """

    def __init__(self, flaw: str, remedy: str = "") -> None:
        super().__init__(f"{flaw}; {remedy}" if remedy else flaw)
        self.flaw, self.remedy = flaw, remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the message instead of the arguments, so that errors of every subclass can be sent to another process."""
        return _restore, (type(self), str(self), self.flaw, self.remedy)


def _restore(kind: "type[RagqaError]", message: str, flaw: str, remedy: str) -> "RagqaError":
    error = kind.__new__(kind, message)
    error.flaw, error.remedy = flaw, remedy
    return error


class InputError(RagqaError, ValueError):
    """A question, number, name or record cannot be used."""


class RecordError(InputError):
    """A line of a file is not the expected record."""

    def __init__(self, path: object, line: int, reason: str) -> None:
        super().__init__(f"{path}, line {line}: {reason}")


class CorpusError(RagqaError):
    """There are no pages or passages."""


class IndexStoreError(RagqaError):
    """An index folder is missing, damaged, or of another version."""


class ModelError(RagqaError):
    """A model folder or hub id cannot be loaded."""


class CrawlError(RagqaError):
    """A wiki does not respond as a wiki should."""


class WriterError(RagqaError):
    """A language model's server does not respond as it should."""


class MissingExtraError(RagqaError, ImportError):
    """An optional package is not installed."""

    def __init__(self, activity: str, extra: str) -> None:
        super().__init__(f"{activity} needs more packages: {install_command(extra)}")


def check_extra(activity: str, extra: str) -> None:
    """Raise `MissingExtraError` unless all modules of the extra (a key of `_MODULES`) are there. Imports none of them."""
    from importlib.util import find_spec

    if not all(map(find_spec, _MODULES[extra])):
        raise MissingExtraError(activity, extra)


def install_command(extra: str) -> str:
    """Return the `pip install` command for an extra.

    It names what ragqa was installed from (checkout, wheel or repository). If that is gone, it names the packages of the extra.
    """
    if (_PROJECT / "pyproject.toml").is_file():
        return _pip("-e", f"{_PROJECT}[{extra}]")
    from importlib.metadata import Distribution, PackageNotFoundError

    try:
        installed = Distribution.from_name("ragqa")
    except PackageNotFoundError:
        return f"pip install '.[{extra}]' (in a checkout of ragqa)"
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return _from_origin(origin, extra) or _pip(*_packages(installed.requires or [], extra))


def _from_origin(origin: dict[str, dict[str, str]], extra: str) -> str:
    """Return the command for what `direct_url.json` names (PEP 610), or "" if that is gone."""
    from urllib.request import url2pathname  # slow to import

    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        return _pip(f"{path}[{extra}]") if path.exists() else ""
    vcs = origin.get("vcs_info")
    if vcs:
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return _pip(f"ragqa[{extra}] @ {url}") if url else ""


def _packages(requirements: list[str], extra: str) -> list[str]:
    """Return the requirements of an extra."""
    needed = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    return [line.partition(";")[0].strip() for line in requirements if needed.search(line)]


def _pip(*arguments: str) -> str:
    return shlex.join(["pip", "install", *arguments])
