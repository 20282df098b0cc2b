"""How a missing extra is installed from where ragqa itself was installed: there is no such package on the index."""

import json
import re
import shlex
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_PROJECT = Path(__file__).parent.parent


def install_command(extra: str) -> str:
    """The `pip install` line for an extra: of the checkout, wheel or repository, else of the packages themselves."""
    if (_PROJECT / "pyproject.toml").is_file():
        return _pip("-e", f"{_PROJECT}[{extra}]")
    from importlib.metadata import Distribution, PackageNotFoundError

    try:
        installed = Distribution.from_name("ragqa")
    except PackageNotFoundError:
        return f"pip install, in a checkout of ragqa, '.[{extra}]'"
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    return _from_origin(origin, extra) or _pip(*_packages(installed.requires or [], extra))


def _from_origin(origin: dict[str, dict[str, str]], extra: str) -> str:
    """The line for what `direct_url.json` names (PEP 610); empty if that is gone."""
    url = str(origin.get("url", ""))
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        return _pip(f"{path}[{extra}]") if path.exists() else ""
    vcs = origin.get("vcs_info")
    if vcs:
        url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return _pip(f"ragqa[{extra}] @ {url}") if url else ""


def _packages(requirements: list[str], extra: str) -> list[str]:
    """The requirements that a distribution has for an extra."""
    needed = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    return [line.partition(";")[0].strip() for line in requirements if needed.search(line)]


def _pip(*arguments: str) -> str:
    return shlex.join(["pip", "install", *arguments])
