"""Checkpoints of a training: which to go on from, and whether they belong to it."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ragqa.errors import (
    InputError,
    warn_of_fallback,
)
from ragqa.records import Pair
from ragqa.storage.checksums import find_flaw, is_sealed, seal
from ragqa.storage.files import replace_file
from ragqa.training.config import TrainConfig

_LOG = logging.getLogger(__name__)
_RUN = "run.json"  # in the folder of checkpoints: settings and hash of the pairs


def seal_checkpoints() -> Any:
    """Return a trainer callback that writes the checksums of each checkpoint when it is complete."""
    from transformers import TrainerCallback

    class SealCheckpoints(TrainerCallback):
        def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    return SealCheckpoints()


def check_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> None:
    """Raise `InputError` if the folder holds checkpoints of another run, or files that are not checkpoints."""
    folder = _checkpoints(out)
    mark = folder / _RUN
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds no checkpoints of ragqa; move it or choose another --out")
    if mark.is_file() and mark.read_bytes() != _run(config, pairs):
        raise InputError(
            f"{folder} holds checkpoints of a run with other settings or pairs; remove it or choose another --out"
        )


def open_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair]) -> Path:
    """Create the folder for the checkpoints of this run, with a file that identifies the run."""
    folder = _checkpoints(out)
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / _RUN) as file:
        file.write(_run(config, pairs))
    return folder


def _checkpoints(out: Path) -> Path:
    return out.with_name(f"{out.name}.checkpoints")


def _run(config: TrainConfig, pairs: Sequence[Pair]) -> bytes:
    return json.dumps({**asdict(config), "pairs": hashlib.sha256(repr(pairs).encode()).hexdigest()}).encode()


def find_checkpoint(checkpoints: Path) -> Path | None:
    """Return the last checkpoint that is intact, and whose best checkpoint is intact too; None to start from the beginning.

    Removes unfinished checkpoints, which have no checksums. Removes damaged ones with a `FallbackWarning`.
    """
    sound, flaws = [], []
    for checkpoint in sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2])):
        flaw = find_flaw(checkpoint) if is_sealed(checkpoint) else ""
        flaws += [flaw] if flaw else []
        if flaw or not is_sealed(checkpoint):
            shutil.rmtree(checkpoint)
        else:
            sound.append(checkpoint)
    names = {path.name for path in sound}
    last = next((path for path in reversed(sound) if _best_checkpoint(path) in names), None)
    if flaws:
        warn_of_fallback(f"{flaws[-1]}; training resumes from {last.name if last else 'the beginning'}")
    if last:
        _LOG.info("training resumes from %s", last)
    return last


def _best_checkpoint(checkpoint: Path) -> str:
    """Return the name of the best checkpoint at the time this one was written; its own if none was better."""
    state = json.loads((checkpoint / "trainer_state.json").read_bytes())
    return Path(state["best_model_checkpoint"] or checkpoint).name
