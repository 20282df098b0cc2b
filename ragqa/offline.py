"""Whether the network may be used: not where `RAGQA_OFFLINE` is set to anything but 0 (`--offline` sets it to 1)."""

import os
from pathlib import Path

OFFLINE = "RAGQA_OFFLINE"
REASON = f"ragqa is offline ({OFFLINE} or --offline)"


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
