import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import torch
else:
    torch = pytest.importorskip("torch", reason="pip install '.[train]'")
from ragqa.training.config import LIST_LOSSES, PAIR_LOSSES
from ragqa.training.losses import SMALLEST, ContrastiveLoss, ListwiseLoss, cross_encoder_loss, divergence


class FakeCrossEncoder(torch.nn.Module):
    """Scores a pair by how often the passage holds the question's first letter."""

    device = torch.device("cpu")

    def preprocess(self, pairs: list[tuple[str, str]]) -> dict[str, torch.Tensor]:
        return {"x": torch.tensor([[float(passage.count(question[0]))] for question, passage in pairs])}

    def forward(self, tokens: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"scores": tokens["x"]}


class FakeBiEncoder(torch.nn.Module):
    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"sentence_embedding": features["x"]}


def cross_encoder() -> Any:
    return FakeCrossEncoder()


def bi_encoder() -> Any:
    return FakeBiEncoder()


def test_the_divergence_is_kullback_and_leiblers() -> None:
    labels = torch.tensor([1.0, 0.5, 0.0])
    scores = torch.tensor([2.0, 1.0, -1.0])
    wanted = [(x + SMALLEST) / (1.5 + 3 * SMALLEST) for x in labels.tolist()]
    total = sum(math.exp(x) for x in scores.tolist())
    expected = sum(w * math.log(w / (math.exp(s) / total)) for w, s in zip(wanted, scores.tolist(), strict=True))
    assert divergence(scores, labels).item() == pytest.approx(expected, abs=1e-5)


def test_the_divergence_is_zero_where_the_scores_say_what_the_labels_say() -> None:
    labels = torch.tensor([[0.8, 0.3, 0.0], [1.0, 1.0, 1.0]])
    assert divergence((labels + SMALLEST).log() + 5, labels).item() == pytest.approx(0, abs=1e-6)
    assert divergence(torch.zeros(2, 3), labels).item() > 0


def test_scores_come_back_in_the_order_of_the_pairs() -> None:
    loss = ListwiseLoss(cross_encoder())
    passages = ["a" * n + "b" * (50 - 2 * n) for n in range(20)]  # the more a, the shorter
    logits = loss._logits([("a?", passage) for passage in passages])
    assert logits.tolist() == [float(n) for n in range(20)]


def test_a_better_order_and_better_logits_cost_less() -> None:
    loss = ListwiseLoss(cross_encoder())
    questions, lists = ["a?", "b?"], [["aaa", "b"], ["bb", "a", "ab"]]
    right = loss((questions, lists), [torch.tensor([1.0, 0.0]), torch.tensor([1.0, 0.0, 0.2])])
    wrong = loss((questions, lists), [torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0, 0.2])])
    assert right < wrong


def test_each_question_is_set_against_the_passages_of_all() -> None:
    loss = ContrastiveLoss(bi_encoder())
    one, other = [1.0, 0.0], [0.0, 1.0]
    questions = {"x": torch.tensor([one, other])}
    labels = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    good = loss([questions, {"x": torch.tensor([one, other])}, {"x": torch.tensor([other, one])}], labels)
    bad = loss([questions, {"x": torch.tensor([other, one])}, {"x": torch.tensor([one, other])}], labels)
    assert good < 1 < bad  # half of the wanted vector stands at another question's passage, with label 0


@pytest.mark.parametrize("name", [*PAIR_LOSSES, *LIST_LOSSES])
def test_each_named_loss_prefers_the_order_of_the_labels(
    name: str, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sentence_transformers import CrossEncoder

    model = CrossEncoder(str(tiny), num_labels=1)
    fake = cross_encoder()
    monkeypatch.setattr(model, "preprocess", lambda pairs, **_: fake.preprocess(pairs))
    monkeypatch.setattr(model, "forward", lambda tokens, **_: fake(tokens))
    loss = cross_encoder_loss(name, model)
    passages, right = ["b", "aaa", "a"], torch.tensor([0.0, 1.0, 0.5])  # not sorted by label
    inputs = (["a?"] * 3, passages) if name in PAIR_LOSSES else (["a?"], [passages])
    costs = [loss(inputs, labels if name in PAIR_LOSSES else [labels]) for labels in (right, right[[1, 0, 2]])]
    assert costs[0] < costs[1]
