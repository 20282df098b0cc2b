"""Checkpoints of a training: which to go on from, and whether they belong to it."""

import hashlib
import json
import logging
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ragqa.errors import InputError, warn_of_fallback
from ragqa.records import Pair
from ragqa.storage.checksums import find_flaw, is_sealed
from ragqa.storage.files import replace_file
from ragqa.training.config import TrainConfig
from ragqa.training.processes import is_main_process, process_count

_LOG = logging.getLogger(__name__)
_RUN = "run.json"  # in the folder of checkpoints: settings and hash of the pairs


def check_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair], resume: bool | None = None) -> None:
    """Raise `InputError` if training cannot resume from the folder of checkpoints, or not start again.

    The folder may hold checkpoints of another run, or files that are not checkpoints; with `resume` True it may hold none.
    """
    folder = checkpoint_folder(out)
    mark = folder / _RUN
    if folder.exists() and not mark.is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and holds no checkpoints of ragqa; move it or choose another --out")
    if resume is False:
        return
    if mark.is_file() and mark.read_bytes() != _run(config, pairs):
        raise InputError(
            f"{folder} holds checkpoints of a run with other settings or pairs; start again with --no-resume, or choose "
            "another --out"
        )
    if resume and not any(map(is_sealed, folder.glob("checkpoint-*"))):
        raise InputError(f"there is no complete checkpoint in {folder} to resume from; leave out --resume")


def open_checkpoints(out: Path, config: TrainConfig, pairs: Sequence[Pair], resume: bool | None = None) -> Path:
    """Create the folder for the checkpoints of this run, with a file that identifies the run; return its path.

    With `resume` False, remove the checkpoints that it holds.
    """
    folder = checkpoint_folder(out)
    if is_main_process():
        if resume is False and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with replace_file(folder / _RUN) as file:
            file.write(_run(config, pairs))
    return folder


def checkpoint_folder(out: Path) -> Path:
    """Return the folder that holds the checkpoints until the model is written to `out`."""
    return out.with_name(f"{out.name}.checkpoints")


def _run(config: TrainConfig, pairs: Sequence[Pair]) -> bytes:
    """Identify a run: settings, pairs and number of processes. Where it reports to may change."""
    settings = asdict(replace(config, report_to=("none",))) | {"processes": process_count()}
    return json.dumps({**settings, "pairs": hashlib.sha256(repr(pairs).encode()).hexdigest()}).encode()


def find_checkpoint(checkpoints: Path, args: Any = None) -> Path | None:
    """Return the last checkpoint that is intact, and whose best checkpoint is intact too; None to start from the beginning.

    Removes unfinished checkpoints, which have no checksums. Removes damaged ones with a `FallbackWarning`. If a launcher
    started several processes, `args`, the training arguments, let the first one do this before the others.
    """
    with args.main_process_first(local=False) if args else nullcontext():
        return _find_checkpoint(checkpoints)


def _find_checkpoint(checkpoints: Path) -> Path | None:
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
