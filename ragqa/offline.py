"""Whether the network may be used: not where `RAGQA_OFFLINE` is set to anything but 0 (`--offline` sets it to 1)."""

import os

OFFLINE = "RAGQA_OFFLINE"
REASON = f"ragqa is offline ({OFFLINE} or --offline)"


def is_offline() -> bool:
    """Whether nothing may be loaded from the network."""
    return os.environ.get(OFFLINE, "0") not in ("", "0")


def hub_options() -> dict[str, bool]:
    """What sentence-transformers' models are loaded with: offline only what the hub's cache on this machine holds."""
    if not is_offline():
        return {}
    os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's library is imported
    return {"local_files_only": True}
