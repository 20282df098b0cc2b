"""Settings in, the arguments of a trainer of sentence-transformers out."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ragqa.errors import InputError, MissingExtraError
from ragqa.training.card import COLUMNS
from ragqa.training.config import TrainConfig
from ragqa.training.processes import process_count

if TYPE_CHECKING:
    from datasets import Dataset

SAVES = 10  # checkpoints in each epoch
LEAST_STEPS = 50  # between two of them


def arguments(config: TrainConfig, checkpoints: Path, rows: int, progress: bool) -> dict[str, Any]:
    """Return the training arguments for sentence-transformers, for a dataset with so many rows."""
    steps = config.eval_steps or max(1, _epoch_steps(config, rows) // config.evaluations)
    precision = config.precision or usual_precision()
    return dict(
        output_dir=str(checkpoints),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=config.batch_size,
        gradient_accumulation_steps=config.gradient_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.scheduler,
        warmup_steps=config.warmup,
        use_cpu=not _on_gpu(),
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        seed=config.seed,
        eval_strategy="steps",
        eval_steps=steps,
        save_strategy="steps",
        save_steps=steps,
        save_total_limit=3,  # the best, the last, and the one before, which is needed until the last has its checksums
        restore_callback_states_from_checkpoint=True,
        load_best_model_at_end=True,
        metric_for_best_model="eval_ndcg@10",
        logging_steps=max(1, min(100, steps // 4)),
        **({} if config.list_size else {"batch_sampler": _length_batches}),
        # TensorBoard has a callback of its own (`callbacks.add_callbacks`): transformers would write into the checkpoints
        report_to=[name for name in config.report_to if name not in ("none", "tensorboard")],
        disable_tqdm=not progress,
    )


def save_steps(config: TrainConfig, rows: int) -> int:
    """Return the number of steps between two checkpoints."""
    return config.save_steps or max(LEAST_STEPS, _epoch_steps(config, rows) // SAVES)


def _epoch_steps(config: TrainConfig, rows: int) -> int:
    batches = -(-rows // config.batch_size)
    return -(-batches // (config.gradient_accumulation * process_count()))


def check_device(config: TrainConfig) -> None:
    """Raise `InputError` if the device does not compute in the precision."""
    device = "GPU" if _on_gpu() else "CPU"
    if config.precision == "bf16" and not has_bf16():
        raise InputError(f"precision is bf16, and this {device} does not compute in bfloat16; use --precision fp32")
    if config.precision == "fp16" and device == "CPU":
        raise InputError("precision is fp16, which needs a GPU, and there is none; use --precision fp32")


def check_trackers(config: TrainConfig) -> None:
    """Raise `MissingExtraError` for a tracker whose package is missing."""
    for name in config.report_to:
        if name != "none" and find_spec(name) is None:
            raise MissingExtraError(f"--report-to {name}", name)


def usual_precision() -> str:
    """Return the fastest precision of the device that trains well."""
    if has_bf16():
        return "bf16"
    return "fp16" if _on_gpu() else "fp32"


def has_bf16() -> bool:
    """Return True if the machine multiplies matrices in bfloat16: a recent GPU, or a CPU with AVX-512 BF16 or AMX."""
    import torch

    if _on_gpu():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return cpu_has_bf16()


def cpu_has_bf16() -> bool:
    """Return True if the CPU multiplies matrices in bfloat16."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported())


def _on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _length_batches(dataset: "Dataset", batch_size: int, drop_last: bool, *, seed: int = 0, **others: Any) -> Any:
    """Return a sampler of batches of pairs with similar lengths: less padding, and a third more pairs per second.

    Batches come in random order. In each epoch the pairs are shuffled, and sorted by length only within runs of 50 batches.
    """
    import torch
    from sentence_transformers.base.sampler import DefaultBatchSampler

    lengths = torch.tensor([len(a) + len(b) for a, b in zip(dataset[COLUMNS[0]], dataset[COLUMNS[1]], strict=True)])

    class LengthBatchSampler(DefaultBatchSampler):
        def __iter__(self) -> Iterator[list[int]]:
            generator = torch.Generator().manual_seed(seed + self.epoch)
            shuffled = torch.randperm(len(lengths), generator=generator)
            runs = [run[lengths[run].argsort(stable=True)] for run in torch.split(shuffled, batch_size * 50)]
            batches = [
                batch
                for run in runs
                for batch in torch.split(run, batch_size)
                if len(batch) == batch_size or not drop_last
            ]
            for number in torch.randperm(len(batches), generator=generator).tolist():
                yield batches[number].tolist()

    return LengthBatchSampler(dataset, batch_size, drop_last, seed=seed, **others)
