"""Losses that compare all passages of a question at once.

The labels, normalized to sum 1, are a distribution over the passages of a question. The softmax of the model's scores is
another. The loss is the Kullback-Leibler divergence between the two. This is ListNet (Cao et al., "Learning to Rank: From
Pairwise Approach to Listwise Approach", 2007). With soft labels it also distils the ranking of the teachers.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.util import batch_to_device
from torch import Tensor
from torch.nn import Sigmoid
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, log_softmax, normalize

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder, SentenceTransformer

POINTWISE_SHARE = 0.5  # weight of the cross-entropy; the listwise divergence has weight 1
CHUNK = 16  # pairs in one forward pass; they have similar lengths, so there is little padding
SMALLEST = 1e-4  # added to every label before they are normalized
_SORTED = ("ListMLELoss", "PListMLELoss")  # these expect passages sorted by label, unless told otherwise
SCALE = 20.0  # factor of cosines before the softmax, as in the training of all-MiniLM-L6-v2

Features = list[dict[str, Tensor]]


def cross_encoder_loss(name: str, model: "CrossEncoder") -> torch.nn.Module:
    """Return `ListwiseLoss`, or the loss of sentence-transformers with this name (`config.PAIR_LOSSES`, `LIST_LOSSES`)."""
    from sentence_transformers.cross_encoder import losses

    if name == ListwiseLoss.__name__:
        return ListwiseLoss(model)
    # the scores of a model trained with MSELoss are logits, too
    settings: dict[str, dict[str, Any]] = {"MSELoss": {"activation_fn": Sigmoid()}}
    settings |= {loss_name: {"respect_input_order": False} for loss_name in _SORTED}
    loss: torch.nn.Module = getattr(losses, name)(model, **settings.get(name, {}))
    return loss


def divergence(scores: Tensor, labels: Tensor) -> Tensor:
    """Return the mean divergence of softmax(scores) from the labels' distribution; both have shape (..., passages)."""
    wanted = labels + SMALLEST
    wanted = wanted / wanted.sum(-1, keepdim=True)
    rows = kl_div(log_softmax(scores, -1), wanted, reduction="none").sum(-1)
    return rows.mean()


class ListwiseLoss(torch.nn.Module):
    """Loss for cross-encoders: the listwise divergence plus half the binary cross-entropy of each label.

    The first teaches the order of a question's passages. The second keeps the logits of different questions comparable, which
    abstention needs.
    """

    def __init__(self, model: "CrossEncoder") -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Sequence[Any], labels: Sequence[Tensor], **_: Any) -> Tensor:
        """Return the loss for questions (`inputs[0]`), their lists of passages (`inputs[1]`) and the labels of the passages."""
        questions, lists = inputs
        pairs = [(q, passage) for q, passages in zip(questions, lists, strict=True) for passage in passages]
        logits = self._logits(pairs)
        wanted = torch.cat(list(labels)).to(logits)
        sizes = [len(own) for own in labels]
        ranked = zip(torch.split(logits, sizes), torch.split(wanted, sizes), strict=True)
        listwise = torch.stack([divergence(scores, own) for scores, own in ranked]).mean()
        return listwise + POINTWISE_SHARE * binary_cross_entropy_with_logits(logits, wanted)

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
        logits = [
            self._chunk([pairs[i] for i in order[start : start + CHUNK]]) for start in range(0, len(order), CHUNK)
        ]
        return torch.cat(logits)[torch.tensor(order).argsort()]

    def _chunk(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        tokens = batch_to_device(self.model.preprocess(list(pairs)), self.model.device)
        scores: Tensor = self.model(tokens)["scores"].view(-1).float()
        return scores

    def get_config_dict(self) -> dict[str, Any]:
        """Return the parameters that the model card lists."""
        return {"pointwise_share": POINTWISE_SHARE}


class ContrastiveLoss(torch.nn.Module):
    """Loss for bi-encoders: the divergence over all passages of a batch.

    For a question, the passages of the other questions have label 0 (in-batch negatives: Henderson et al., "Efficient Natural
    Language Response Suggestion for Smart Reply", 2017).
    """

    def __init__(self, model: "SentenceTransformer") -> None:
        super().__init__()
        self.model = model

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor) -> Tensor:
        """Return the loss; the features are questions, then columns of passages. `labels` has shape (questions, columns)."""
        vectors = [normalize(self.model(dict(f))["sentence_embedding"].float(), dim=-1) for f in sentence_features]
        questions, passages = vectors[0], torch.cat(vectors[1:])  # (questions, width), (columns * questions, width)
        count, columns = labels.shape
        wanted = torch.zeros(count, columns * count, device=labels.device, dtype=torch.float32)
        own = torch.arange(columns, device=labels.device) * count + torch.arange(count, device=labels.device)[:, None]
        wanted.scatter_(1, own, labels.float())  # passage c of question q is in row c * questions + q
        return divergence(SCALE * questions @ passages.T, wanted)

    def get_config_dict(self) -> dict[str, Any]:
        """Return the parameters that the model card lists."""
        return {"scale": SCALE}
