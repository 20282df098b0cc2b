"""Callbacks of the trainer: when to save, when to stop, and what a resumed training takes over from the one before."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainerCallback
from transformers.integrations.integration_utils import TensorBoardCallback
from transformers.trainer_callback import ExportableState

from ragqa.errors import ModelError
from ragqa.storage.checksums import seal
from ragqa.training.arguments import save_steps
from ragqa.training.config import TrainConfig


def add_callbacks(trainer: Any, config: TrainConfig, rows: int, out: Path) -> None:
    """Add the callbacks of a training on a dataset with so many rows, in the order in which they must be called.

    TensorBoard's files go to the folder `<out>.runs`, unless the environment variable of transformers names another.
    """
    callbacks: list[TrainerCallback] = [SaveSteps(save_steps(config, rows)), KeepLog()]
    if config.early_stopping:
        callbacks.append(EarlyStoppingCallback(config.early_stopping))
    if "tensorboard" in config.report_to:
        make: Any = TensorBoardCallback  # has no types
        board = make()
        board.logging_dir = board.logging_dir or str(out.with_name(f"{out.name}.runs"))
        callbacks.append(board)
    for callback in (*callbacks, SealCheckpoints()):
        trainer.add_callback(callback)


class StopAtNan(TrainerCallback):
    """Stop a training whose gradients are not finite."""

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called with the gradients' norm among the logs. Raises `ModelError`."""
        logs: Mapping[str, float] = others.get("logs", {})
        if not math.isfinite(float(logs.get("grad_norm", 0.0))):
            raise ModelError(f"the gradients are not finite at step {state.global_step}; use a lower --learning-rate")


class SaveSteps(TrainerCallback):
    """Save a checkpoint every so many steps, in addition to those that follow an evaluation.

    The loss is logged with each checkpoint. A row of the log is the mean loss since the row before, so a resumed training logs
    the same rows only if it starts where a row ends.
    """

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called after each step of the optimizer, and after the callback of transformers that follows the arguments."""
        if state.global_step % self.steps == 0:
            control.should_save = True
        if control.should_save or control.should_evaluate:
            control.should_log = True


class SealCheckpoints(TrainerCallback):
    """Write the checksums of each checkpoint when it is complete.

    The checkpoint at which the training stopped early gets none: a training that resumed from it would do one step more.
    """

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called in each process after it has written its part of the checkpoint."""
        args.distributed_state.wait_for_everyone()
        stopped_early = control.should_training_stop and state.global_step < state.max_steps
        if state.is_world_process_zero and not stopped_early:
            seal(Path(args.output_dir) / f"checkpoint-{state.global_step}")


class KeepLog(TrainerCallback, ExportableState):
    """Keep the rows of the card's log, and the times, in each checkpoint. A resumed training continues them.

    The time between the last checkpoint and the interruption does not count.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.total_s = self.evaluation_s = 0.0
        self.card: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        """Called after the callback of sentence-transformers that starts the card's clock."""
        self.card = others["model"].model_card_data
        self.card.training_logs[:0] = self.rows
        self.card.evaluation_duration += self.evaluation_s
        self.card._training_start_time -= self.total_s

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps, in the form that transformers restores."""
        kept = {"rows": self.rows, "total_s": self.total_s, "evaluation_s": self.evaluation_s}
        if self.card is not None:
            kept["rows"] = [dict(row) for row in self.card.training_logs]
            kept["total_s"] = time.time() - self.card._training_start_time
            kept["evaluation_s"] = self.card.evaluation_duration
        return {"args": {}, "attributes": kept}
