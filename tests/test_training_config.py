import pytest

from ragqa.errors import InputError
from ragqa.training.config import LIST_LOSSES, PAIR_LOSSES, PRESETS, SCHEDULERS, TrainConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "sine"}, "scheduler is sine; it must be one of linear, cosine"),
        ({"loss": "HopeLoss"}, "loss is HopeLoss; it must be one of BinaryCrossEntropyLoss, MSELoss, ListwiseLoss"),
        ({"precision": "int4"}, "precision is int4; it must be one of fp32, bf16, fp16$"),
        ({"report_to": ("paper",)}, "report_to is paper; it must be one of tensorboard, wandb, trackio, none"),
        (
            {"scheduler": "constant", "warmup": 0.1},
            "scheduler is constant, which has no warm-up, and warmup is 0.1; use",
        ),
        ({"loss": "LambdaLoss"}, "loss is LambdaLoss, which compares the passages of a question; set list_size"),
        ({"loss": "MSELoss", "list_size": 4}, "loss is MSELoss, which takes single pairs, and list_size is 4"),
        ({"early_stopping": -1}, "early_stopping is -1; it must be at least 0"),
        ({"eval_steps": 0}, "eval_steps is 0; it must be above 0"),
        ({"save_steps": -5}, "save_steps is -5; it must be above 0"),
        ({"gradient_accumulation": 0}, "gradient_accumulation is 0; it must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_named(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TrainConfig(**settings)  # type: ignore[arg-type]


def test_the_loss_follows_from_the_shape_of_the_data() -> None:
    assert PRESETS["reference"].loss_name == PAIR_LOSSES[0] == "BinaryCrossEntropyLoss"
    assert PRESETS["listwise"].loss_name == LIST_LOSSES[0] == "ListwiseLoss"
    assert TrainConfig(loss="LambdaLoss", list_size=2).loss_name == "LambdaLoss"


def test_the_schedulers_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers", reason="pip install '.[train]'")
    torch = pytest.importorskip("torch", reason="pip install '.[train]'")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
    for name in SCHEDULERS:
        assert transformers.get_scheduler(name, optimizer, num_warmup_steps=1, num_training_steps=9).get_last_lr()
