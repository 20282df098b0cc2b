from pathlib import Path

import pytest

from ragqa.errors import InputError, MissingExtraError
from ragqa.training import arguments as module
from ragqa.training.arguments import arguments, check_device, check_trackers, save_steps, usual_precision
from ragqa.training.config import PRESETS, TrainConfig

pytest.importorskip("torch", reason="pip install '.[train]'")


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        ("bf16", "precision is bf16, and this CPU does not compute in bfloat16; use --precision fp32"),
        ("fp16", "precision is fp16, which needs a GPU, and there is none; use --precision fp32"),
    ],
)
def test_a_precision_that_the_device_lacks_is_refused(
    precision: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_bf16", lambda: False)
    monkeypatch.setattr(module, "_on_gpu", lambda: False)
    check_device(TrainConfig(precision="fp32"))
    with pytest.raises(InputError, match=message):
        check_device(TrainConfig(precision=precision))


@pytest.mark.parametrize(
    ("has_bf16", "on_gpu", "expected"), [(True, True, "bf16"), (False, True, "fp16"), (False, False, "fp32")]
)
def test_the_usual_precision_is_the_fastest_of_the_device(
    has_bf16: bool, on_gpu: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "has_bf16", lambda: has_bf16)
    monkeypatch.setattr(module, "_on_gpu", lambda: on_gpu)
    assert usual_precision() == expected
    assert arguments(TrainConfig(), Path("out"), 10, False)[expected if expected != "fp32" else "use_cpu"]


def test_a_tracker_whose_package_is_missing_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    check_trackers(TrainConfig())
    with pytest.raises(MissingExtraError, match=r"--report-to wandb needs more packages: pip install .*\[wandb\]"):
        check_trackers(TrainConfig(report_to=("wandb",)))


def test_evaluations_and_checkpoints_are_counted_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainConfig(batch_size=4)
    assert arguments(config, Path("out"), 9_999, False)["eval_steps"] == 2500
    assert save_steps(config, 9_999) == 250  # a run of one epoch has checkpoints before its end
    assert save_steps(config, 100) == 50
    assert save_steps(TrainConfig(save_steps=7), 9_999) == 7
    assert arguments(TrainConfig(eval_steps=30), Path("out"), 9_999, False)["eval_steps"] == 30
    assert arguments(TrainConfig(batch_size=4, gradient_accumulation=5), Path("out"), 9_999, False)["eval_steps"] == 500
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert arguments(config, Path("out"), 9_999, False)["eval_steps"] == 1250


@pytest.mark.parametrize("name", PRESETS)
def test_pairs_of_similar_length_come_together_but_not_lists(name: str) -> None:
    assert ("batch_sampler" in arguments(PRESETS[name], Path("out"), 100, False)) == (PRESETS[name].list_size == 0)
