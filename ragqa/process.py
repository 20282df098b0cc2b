"""What ragqa reads and changes of the whole process, all in one place.

- `RAGQA_OFFLINE` says whether the network may be used (`--offline` sets it to 1); `HF_HUB_OFFLINE` passes it on to the hub's
  library.
- Module-level locks are registered with `os`, so that they are free in forked children.
- OpenVINO is imported without its telemetry: `sys.modules` gets an entry that makes it seem not installed.
- Gradio is imported without proxies (`no_proxy`) and gets a temporary folder of its own (`GRADIO_TEMP_DIR`).
"""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from threading import Lock
from typing import Any

OFFLINE = "RAGQA_OFFLINE"
REASON = f"ragqa is offline ({OFFLINE} or --offline)"
GRADIO_FOLDER = "GRADIO_TEMP_DIR"
NO_PROXY = "no_proxy"


def is_offline() -> bool:
    """Whether nothing may be loaded from the network."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def may_reach(url: str) -> bool:
    """Whether a URL may be asked: offline only one whose host is this machine by its name `localhost` or its address."""
    return not is_offline() or is_loopback(url)


def is_loopback(url: str) -> bool:
    """Whether the host of a URL is this machine by its name or its address; a name that only leads to it is not."""
    from urllib.parse import urlsplit

    try:
        return is_own_host(urlsplit(url).hostname or "")
    except ValueError:  # no URL
        return False


def is_own_host(host: str) -> bool:
    """Whether a host is this machine by its name or its address."""
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def hub_options(source: str | Path) -> dict[str, bool]:
    """What sentence-transformers' models are loaded with, so that no hub is asked for what is a folder.

    Offline it is not asked for anything: then a hub id leads to what its cache on this machine holds.
    """
    if is_offline():
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported
    return {"local_files_only": True} if is_offline() or Path(source).is_dir() else {}


def lock_across_forks() -> Lock:
    """Return a lock that is free in a forked child: a fork waits until no other thread holds it.

    For module-level locks only, since Python keeps what is registered for forks forever.
    """
    lock = Lock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry, which would report the import to Google Analytics."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


def prepare_gradio() -> None:
    """Import Gradio with a temporary folder of its own and without proxies. Raises `OSError` if no folder can be made."""
    _use_own_folder()
    if "gradio" not in sys.modules:
        _import_without_proxies()


def _use_own_folder() -> None:
    """Give Gradio an empty folder that only this user can read and that is removed at exit, unless the variable names one.

    Its default is a folder `gradio` that all users of the machine share, and that only the first of them can write.
    """
    if not os.environ.get(GRADIO_FOLDER):
        os.environ[GRADIO_FOLDER] = tempfile.mkdtemp(prefix="ragqa-demo-")
        atexit.register(shutil.rmtree, os.environ[GRADIO_FOLDER], ignore_errors=True)


def _import_without_proxies() -> None:
    """Import Gradio. It makes an HTTP client that the chat never uses, and that fails for SOCKS proxies."""
    before = os.environ.get(NO_PROXY)
    os.environ[NO_PROXY] = "*"
    try:
        import gradio  # noqa: F401
    finally:
        if before is None:
            del os.environ[NO_PROXY]
        else:
            os.environ[NO_PROXY] = before
