import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
import tiny_models
import torch
from openvino import opset13
from transformers import BertConfig, BertForSequenceClassification

from ragqa.errors import ModelError
from ragqa.models.embedder import Embedder
from ragqa.models.folders import MODEL_FILE
from ragqa.models.reranker import BUNDLED, Reranker
from ragqa.records import Pair
from ragqa.training.export import drop_unread, export
from ragqa.training.parity import check_tokens, compare

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


PAIRS = [
    Pair("What is pooling?", "pooling is a layer", 1.0),
    Pair(
        "What is bagging?",
        "bagging averages the predictions of many trees, each of them trained on a resampled set",
        1.0,
    ),
    Pair("What is soup?", "soup", 0.0),
]
LONG = "pooling is a layer that takes the mean " * 100


def check_reranker(folder: Path, out: Path) -> None:
    """Export a reranker, and compare it with the torch model on texts that it has not been compared on."""
    parity = export(folder, out, PAIRS, int8=False)
    assert parity.measure == "rank correlation"
    texts = ["pooling helps", "a longer text on bagging and boosting", "", LONG, f"{LONG} tail"]
    expected = Reranker.load(folder, device="cpu").score("What is a layer?", texts)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(Reranker.load(out).score("What is a layer?", texts), expected, atol=0.02)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_a_cross_encoder_of_any_kind_gives_the_same_scores_exported(tmp_path: Path, kind: str) -> None:
    check_reranker(tiny_models.save(kind, tmp_path / "model"), tmp_path / "out")


def test_a_model_that_reads_all_tokens_computes_them(tmp_path: Path) -> None:
    folder = tiny_models.save("modernbert", tmp_path / "model", classifier_pooling="mean")
    check_reranker(folder, tmp_path / "out")


@pytest.mark.parametrize("kind", ["modernbert", "bert"])
def test_a_cross_encoder_made_of_modules_gives_the_same_scores_exported(tmp_path: Path, kind: str) -> None:
    check_reranker(tiny_models.save_modular(tmp_path / "model", kind), tmp_path / "out")


@pytest.mark.parametrize(("kind", "positions"), [("bert", 64), ("roberta", 66)])
def test_an_exported_model_cuts_at_its_own_limit(tmp_path: Path, kind: str, positions: int) -> None:
    folder = tiny_models.save(kind, tmp_path / "model", max_position_embeddings=positions)
    check_reranker(folder, tmp_path / "out")


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_bi_encoder_gives_the_same_vectors_exported(tmp_path: Path, pooling: str) -> None:
    folder = tiny_models.save_bi_encoder(tmp_path / "model", pooling)
    parity = export(folder, tmp_path / "out", PAIRS, int8=False)
    assert parity.measure == "smallest cosine"
    assert parity.agreement > 0.999
    texts = ["pooling helps", LONG, ""]
    expected = Embedder.load(folder).embed(texts)
    np.testing.assert_allclose(Embedder.load(tmp_path / "out").embed(texts), expected, atol=0.01)


def test_a_tokenizer_that_is_only_a_vocabulary_becomes_a_whole_one(tmp_path: Path) -> None:
    folder = tiny_models.save("bert", tmp_path / "model")
    vocabulary = sorted(tiny_models.tokenizer().get_vocab().items(), key=lambda entry: entry[1])
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token, _ in vocabulary), encoding="utf8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    check_reranker(folder, tmp_path / "out")


def test_padding_has_the_models_own_token(tmp_path: Path) -> None:
    import transformers

    tools: Any = transformers
    words = tiny_models.WORDS | {"pad_token_id": 5}  # a decoder finds its last token by what is not padding
    config = tools.LlamaConfig(**words | tiny_models.KINDS["llama"][1], num_labels=1)
    torch.manual_seed(0)
    tools.LlamaForSequenceClassification(config).save_pretrained(tmp_path / "model")
    tiny_models.tokenizer("llama", pad_token="[unused4]").save_pretrained(tmp_path / "model")
    check_reranker(tmp_path / "model", tmp_path / "out")


@pytest.mark.parametrize("labels", [2, 3])
def test_several_outputs_are_not_exported(tmp_path: Path, labels: int) -> None:
    tiny_models.save("bert", tmp_path / "model", labels=labels)
    with pytest.raises(ModelError, match=f"it gives {labels} numbers for a pair, not one"):
        export(tmp_path / "model", tmp_path / "out", PAIRS)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_scores_that_are_no_numbers_are_not_exported(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights_file = tiny_models.save("bert", tmp_path / "model") / "model.safetensors"
    weights = load_file(weights_file)
    weights["classifier.bias"].fill_(float("inf"))
    save_file(weights, weights_file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="model gives NaN or infinity"):
        export(tmp_path / "model", tmp_path / "out", PAIRS)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_prompt_before_the_texts_cannot_be_exported(tmp_path: Path) -> None:
    settings = tiny_models.save_bi_encoder(tmp_path / "model") / "config_sentence_transformers.json"
    written = json.loads(settings.read_text())
    settings.write_text(json.dumps(written | {"prompts": {"query": "query: "}, "default_prompt_name": "query"}))
    with pytest.raises(ModelError, match="cannot be exported: it adds a prompt to its texts"):
        export(tmp_path / "model", tmp_path / "out", PAIRS)


def test_what_differs_from_the_torch_model_is_noticed_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tiny_models.save("bert", tmp_path / "model")

    def change_a_weight(model: Any) -> None:
        node = next(node for node in model.get_ordered_ops() if node.get_type_name() == "MatMul")
        port = node.input(0)
        doubled = opset13.multiply(port.get_source_output(), opset13.constant(np.float32(2)))
        port.replace_source_output(doubled.output(0))

    monkeypatch.setattr("ragqa.training.export.drop_unread", change_a_weight)
    with pytest.raises(ModelError, match=r"the export of .*model differs too much from the model: deviation"):
        export(folder, tmp_path / "out", PAIRS, int8=False)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_another_tokenizer_is_noticed(tmp_path: Path) -> None:
    plain = tiny_models.tokenizer()
    plain.backend_tokenizer.normalizer = None
    plain.save_pretrained(tmp_path)
    texts = [("What is Pooling?", "a layer")]
    expected = [dict(tiny_models.tokenizer()(*pair, return_tensors="pt")) for pair in texts]
    with pytest.raises(ModelError, match=r"m cannot be exported: tokenizer\.json does not give the same input_ids"):
        check_tokens(tmp_path, expected, texts, "m")
    tiny_models.tokenizer().save_pretrained(tmp_path)
    check_tokens(tmp_path, expected, texts, "m")


@pytest.mark.parametrize(
    ("found", "expected", "deviation", "agreement"),
    [
        ([1, 2, 3], [10, 20, 30], 27, 1),
        ([3, 2, 1], [1, 2, 3], 2, -1),
        ([1, 3, 2, 4], [1, 2, 3, 4], 1, 0.8),
        ([1, 1, 1], [1, 1, 1], 0, 1),
        ([1, 1, 1, 2, 3], [1, 2, 3, 4, 5], 2, 0.894427),  # ties have the mean of their ranks: 2, 2, 2, 4, 5
    ],
)
def test_parity_of_scores_is_deviation_and_rank_correlation(
    found: list[float], expected: list[float], deviation: float, agreement: float
) -> None:
    columns = (np.array(numbers, dtype=np.float32)[:, None] for numbers in (found, expected))
    parity = compare(*columns)
    assert (parity.deviation, round(parity.agreement, 6)) == (deviation, agreement)


def test_parity_of_vectors_is_the_smallest_cosine() -> None:
    one, other = np.eye(2, dtype=np.float32), np.array([[1, 0], [0.6, 0.8]], dtype=np.float32)
    assert round(compare(one, other).agreement, 6) == 0.8
