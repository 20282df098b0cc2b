"""All process-wide state that ragqa reads or changes.

- `RAGQA_OFFLINE` forbids the network (`--offline` sets it to 1). `HF_HUB_OFFLINE` passes this on to the hub's library.
- Module-level locks are registered with `os`, so that forked children get them unlocked.
- OpenVINO is imported without its telemetry: an entry in `sys.modules` makes the telemetry package seem missing.
- Gradio is imported without proxies (`no_proxy`) and gets its own temporary folder (`GRADIO_TEMP_DIR`).
- Public names of packages are imported when they are first used (`on_demand`).
"""

import atexit
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

OFFLINE = "RAGQA_OFFLINE"
REASON = f"ragqa is offline ({OFFLINE} or --offline)"
GRADIO_FOLDER = "GRADIO_TEMP_DIR"
NO_PROXY = "no_proxy"


def on_demand(package: str, modules: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package (PEP 562) that imports a name from its module when it is first used.

    `modules` maps modules to their names. So `import ragqa` and `ragqa --help` wait for none of them.
    """
    homes = {name: module for module, names in modules.items() for name in names}

    def get(name: str) -> Any:
        from importlib import import_module

        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return get


def is_offline() -> bool:
    """Return True if the network must not be used."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def may_reach(url: str) -> bool:
    """Return True if a URL may be requested. Offline only URLs of this machine may (`is_loopback`)."""
    return not is_offline() or is_loopback(url)


def is_loopback(url: str) -> bool:
    """Return True if the host of a URL is `localhost` or a loopback address. Other names are not resolved."""
    from urllib.parse import urlsplit

    try:
        return is_own_host(urlsplit(url).hostname or "")
    except ValueError:  # not a URL
        return False


def is_own_host(host: str) -> bool:
    """Return True if a host is `localhost` or a loopback address."""
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def hub_options(source: str | Path) -> dict[str, bool]:
    """Return arguments for loading a model of sentence-transformers, so that the hub is not asked for a local folder.

    Offline the hub is never asked, and a hub id refers to the hub's cache on this machine.
    """
    if is_offline():
        os.environ["HF_HUB_OFFLINE"] = "1"  # the hub's library reads it when it is imported
    return {"local_files_only": True} if is_offline() or Path(source).is_dir() else {}


def lock_across_forks() -> Lock:
    """Return a lock that is unlocked in a forked child. A fork waits until no other thread holds it.

    Use it for module-level locks only, because Python never removes fork handlers.
    """
    lock = Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report the import to Google Analytics."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # looks as if not installed
    import openvino

    return openvino


def prepare_gradio() -> None:
    """Import Gradio without proxies and with its own temporary folder. Raises `OSError` if the folder cannot be created."""
    _use_own_folder()
    if "gradio" not in sys.modules:
        _import_without_proxies()


def _use_own_folder() -> None:
    """Give Gradio a new folder that only this user can read and that is removed at exit, unless the variable is set.

    All users of a machine share Gradio's default folder, and only the first of them can write to it.
    """
    if not os.environ.get(GRADIO_FOLDER):
        os.environ[GRADIO_FOLDER] = tempfile.mkdtemp(prefix="ragqa-demo-")
        atexit.register(shutil.rmtree, os.environ[GRADIO_FOLDER], ignore_errors=True)


def _import_without_proxies() -> None:
    """Import Gradio. On import it creates an HTTP client, which the chat never uses and which fails with SOCKS proxies."""
    before = os.environ.get(NO_PROXY)
    os.environ[NO_PROXY] = "*"
    try:
        import gradio  # noqa: F401
    finally:
        if before is None:
            del os.environ[NO_PROXY]
        else:
            os.environ[NO_PROXY] = before
