import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest

torch = pytest.importorskip("torch", reason="pip install '.[train]'")
import transformers  # noqa: E402
from transformers import BertConfig, BertForSequenceClassification  # noqa: E402

from ragqa.export import drop_unread, export  # noqa: E402
from ragqa.inference import MODEL_FILE  # noqa: E402
from ragqa.records import Pair  # noqa: E402
from ragqa.rerank import BUNDLED, Reranker  # noqa: E402

TOKENS = 24


def _tiny_model() -> openvino.Model:
    torch.manual_seed(0)
    sizes = BertConfig(vocab_size=100, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64)
    sizes.num_labels = 1
    sizes._attn_implementation = "eager"
    model: Any = BertForSequenceClassification(sizes)
    model.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's tracer warns of its own deprecation
        converted = openvino.convert_model(model, example_input=_inputs(2))
    converted.reshape(dict.fromkeys(_inputs(2), openvino.PartialShape([-1, -1])))
    return converted


def _inputs(pairs: int) -> dict[str, torch.Tensor]:
    ids = torch.arange(pairs * TOKENS).reshape(pairs, TOKENS) * 7 % 100
    mask = (torch.arange(TOKENS) < torch.tensor([[TOKENS], [TOKENS // 2]])[:pairs]).long()
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def _scores(model: openvino.Model) -> np.ndarray:
    request = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    results = request.infer({name: tensor.numpy() for name, tensor in _inputs(2).items()})
    return np.array(next(iter(results.values())))


def _read_tokens(model: openvino.Model) -> list[str]:
    """How many tokens each layer's attention computes."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "ScaledDotProductAttention"]
    return [str(node.output(0).get_partial_shape()[2]) for node in nodes]


def test_dropping_what_is_not_read_changes_no_score() -> None:
    model = _tiny_model()
    before = _scores(model)
    drop_unread(model)
    assert _read_tokens(model) == ["?", "?", "1"]
    np.testing.assert_allclose(_scores(model), before, atol=1e-6)


def test_the_bundled_reranker_computes_only_what_is_read() -> None:
    model = openvino.Core().read_model(Path(BUNDLED) / MODEL_FILE)
    assert _read_tokens(model) == ["?"] * 5 + ["1"]


def test_a_model_that_reads_all_tokens_computes_them(tmp_path: Path) -> None:
    special = {"pad_token_id": 0, "cls_token_id": 101, "sep_token_id": 102, "bos_token_id": 101, "eos_token_id": 102}
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    tools: Any = transformers
    config = tools.ModernBertConfig(vocab_size=30522, classifier_pooling="mean", num_labels=1, **shape, **special)
    torch.manual_seed(0)
    tools.ModernBertForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tokens = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tools.PreTrainedTokenizerFast(
        tokenizer_file=str(BUNDLED / "tokenizer.json"), model_input_names=["input_ids", "attention_mask"], **tokens
    ).save_pretrained(tmp_path / "model")
    export(tmp_path / "model", tmp_path / "out", [Pair("What is pooling?", "a layer", 1.0)], int8=False)
    texts = ["pooling helps", "a longer text on bagging and boosting"]
    expected = Reranker.load(tmp_path / "model", device="cpu").score("What is pooling?", texts)
    np.testing.assert_allclose(Reranker.load(tmp_path / "out").score("What is pooling?", texts), expected, atol=1e-2)
