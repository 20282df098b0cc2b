import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("torch", reason="pip install '.[train]'")
pytest.importorskip("transformers", reason="pip install '.[train]'")
from ragqa.storage.checksums import is_sealed
from ragqa.training.callbacks import KeepLog, SaveSteps, SealCheckpoints

ROW = {"Epoch": 0.5, "Step": 5, "Training Loss": 0.25}


def begin(log: KeepLog) -> Any:
    """Begin a training with an empty card, and return the card."""
    card = SimpleNamespace(training_logs=[], evaluation_duration=0.0, _training_start_time=time.time())
    log.on_train_begin(None, None, None, model=SimpleNamespace(model_card_data=card))
    return card


def test_a_resumed_training_continues_the_log_and_the_times() -> None:
    before = KeepLog()
    card = begin(before)
    card.training_logs.append(ROW)
    card.evaluation_duration = 7.0
    card._training_start_time -= 100
    kept = json.loads(json.dumps(before.state()))  # as a checkpoint stores it
    after = KeepLog(**kept["args"])
    for name, value in kept["attributes"].items():
        setattr(after, name, value)
    card = begin(after)
    assert card.training_logs == [ROW]
    assert card.evaluation_duration == 7.0
    assert 100 <= time.time() - card._training_start_time < 130


@pytest.mark.parametrize(("step", "evaluates", "expected"), [(10, False, (True, True)), (11, False, (False, False)),
                                                             (11, True, (False, True))])  # fmt: skip
def test_the_loss_is_logged_with_each_checkpoint(step: int, evaluates: bool, expected: tuple[bool, bool]) -> None:
    control = SimpleNamespace(should_save=False, should_evaluate=evaluates, should_log=False)
    SaveSteps(5).on_step_end(None, SimpleNamespace(global_step=step), control)
    assert (control.should_save, control.should_log) == expected


@pytest.mark.parametrize(("stopping", "step", "sealed"), [(False, 5, True), (True, 5, False), (True, 9, True)])
def test_the_checkpoint_of_an_early_stop_is_not_resumed_from(
    tmp_path: Path, stopping: bool, step: int, sealed: bool
) -> None:
    checkpoint = tmp_path / f"checkpoint-{step}"
    checkpoint.mkdir()
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    args = SimpleNamespace(output_dir=str(tmp_path), distributed_state=SimpleNamespace(wait_for_everyone=lambda: None))
    state = SimpleNamespace(global_step=step, max_steps=9, is_world_process_zero=True)
    SealCheckpoints().on_save(args, state, SimpleNamespace(should_training_stop=stopping))
    assert is_sealed(checkpoint) == sealed
