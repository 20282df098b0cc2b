import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install '.[train]'")
pytest.importorskip("sentence_transformers", reason="pip install '.[train]'")

from tiny_models import WORDS, save, save_bi_encoder, save_modular, tokenizer  # noqa: E402

from ragqa.errors import FallbackWarning, ModelError  # noqa: E402
from ragqa.models.embedder import Embedder  # noqa: E402
from ragqa.models.reranker import Reranker  # noqa: E402

QUESTION = "What is pooling?"
TEXTS = ["pooling is a layer", "soup", "a longer text on bagging and boosting"]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save("bert", tmp_path_factory.mktemp("models") / "bert")


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def change_weights(folder: Path, change: Any) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("labels", [2, 3])
def test_several_outputs_are_refused_with_their_number(tmp_path: Path, labels: int) -> None:
    save("bert", tmp_path / "model", labels=labels)
    with pytest.raises(ModelError, match=rf"model is not a reranker: it gives {labels} numbers for a pair, not one$"):
        Reranker.load(tmp_path / "model")


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("bert", "ForMaskedLM"), ("bert", "Model"), ("roberta", "ForMaskedLM"), ("modernbert", "Model")],
)
def test_a_model_without_a_head_is_no_reranker(tmp_path: Path, kind: str, suffix: str) -> None:
    save(kind, tmp_path / "model", suffix)
    with pytest.raises(ModelError, match="has no classification head in its weights, so it is not a cross-encoder"):
        Reranker.load(tmp_path / "model")


def test_a_causal_language_model_is_neither_a_reranker_nor_an_embedder(tmp_path: Path) -> None:
    save("llama", tmp_path / "model", "ForCausalLM", bos_token_id=101)
    with pytest.raises(ModelError, match="model is a language model, not a cross-encoder$"):
        Reranker.load(tmp_path / "model")
    with pytest.raises(ModelError, match=r"model is a language model \(LlamaForCausalLM\), not an embedder$"):
        Embedder.load(tmp_path / "model")


def test_each_kind_of_encoder_is_refused_where_the_other_is_wanted(tmp_path: Path, bert: Path) -> None:
    with pytest.raises(ModelError, match="is a cross-encoder, not an embedder$"):
        Embedder.load(bert)
    with pytest.raises(ModelError, match="is a cross-encoder, not an embedder$"):
        Embedder.load(save_modular(tmp_path / "modular"))
    with pytest.raises(ModelError, match="is a bi-encoder, not a cross-encoder$"):
        Reranker.load(save_bi_encoder(tmp_path / "pooled"))
    with pytest.raises(ModelError, match=r"is a language model \(BertForMaskedLM\), not an embedder$"):
        Embedder.load(save("bert", tmp_path / "masked", "ForMaskedLM"))


def test_weights_that_lack_a_layer_are_refused(tmp_path: Path, bert: Path) -> None:
    folder, name = copy_of(bert, tmp_path), "bert.encoder.layer.1.output.dense.weight"
    change_weights(folder, lambda weights: weights.pop(name))
    with pytest.raises(ModelError, match=rf"the weights of {folder} are incomplete: {name} is missing"):
        Reranker.load(folder)


def test_scores_that_are_no_numbers_are_an_error(tmp_path: Path, bert: Path) -> None:
    folder = copy_of(bert, tmp_path)
    change_weights(folder, lambda weights: weights["classifier.weight"].fill_(float("nan")))
    with pytest.raises(ModelError, match=rf"{folder} gives NaN or infinity"):
        Reranker.load(folder).score(QUESTION, TEXTS)


def test_vectors_that_are_no_numbers_are_an_error(tmp_path: Path) -> None:
    folder = save_bi_encoder(tmp_path / "model")
    change_weights(folder, lambda weights: weights["embeddings.LayerNorm.weight"].fill_(float("inf")))
    with pytest.raises(ModelError, match=rf"{folder} gives NaN or infinity"):
        Embedder.load(folder).embed(TEXTS)


@pytest.mark.parametrize(("kind", "positions"), [("bert", 128), ("roberta", 130)])
def test_a_text_is_cut_at_the_models_own_limit(tmp_path: Path, kind: str, positions: int) -> None:
    model = Reranker.load(save(kind, tmp_path / "model", max_position_embeddings=positions))
    long = "pooling is a layer " * 200
    assert model.score(QUESTION, [long]) == model.score(QUESTION, [f"{long} and soup"])
    assert model.score(QUESTION, [long[:200]]) != model.score(QUESTION, [long])
    assert Embedder.load(save_bi_encoder(tmp_path / "pooled", kind=kind)).embed([long]).shape == (1, 32)


def test_weights_in_several_files_and_in_torchs_own_format_give_the_same_scores(tmp_path: Path, bert: Path) -> None:
    from safetensors.torch import load_file
    from transformers import BertForSequenceClassification

    expected = Reranker.load(bert).score(QUESTION, TEXTS)
    loaded: Any = BertForSequenceClassification.from_pretrained(str(bert))
    shards, pickled = copy_of(bert, tmp_path), Path(shutil.copytree(bert, tmp_path / "pickled"))
    (shards / "model.safetensors").unlink()
    loaded.save_pretrained(shards, max_shard_size="1MB")
    assert len(list(shards.glob("model-*.safetensors"))) > 1
    torch.save(load_file(bert / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    for folder in (shards, pickled):
        np.testing.assert_allclose(Reranker.load(folder).score(QUESTION, TEXTS), expected, atol=1e-6)


def test_the_identity_of_an_embedder_is_that_of_all_its_weights(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense

    pooled = SentenceTransformer(str(save_bi_encoder(tmp_path / "pooled")))
    for seed in (0, 1):
        torch.manual_seed(seed)
        projected = SentenceTransformer(modules=[*pooled, Dense(32, 8)])
        projected.save_pretrained(str(tmp_path / f"projected{seed}"))
    first, second = (Embedder.load(tmp_path / f"projected{seed}") for seed in (0, 1))
    assert first.embed(TEXTS).shape == (3, 8)
    assert first.identity != second.identity


def test_a_transformer_without_pooling_is_used_with_a_warning(tmp_path: Path) -> None:
    folder = save("bert", tmp_path / "bare", "Model")
    with pytest.warns(
        FallbackWarning, match=r"does not say how to pool tokens \(no modules\.json\); their mean is used"
    ):
        embedder = Embedder.load(folder)
    expected = Embedder.load(save_bi_encoder(tmp_path / "pooled")).embed(TEXTS)
    np.testing.assert_allclose(embedder.embed(TEXTS), expected, atol=1e-6)


def test_a_model_that_cannot_take_two_texts_at_once_is_refused(tmp_path: Path) -> None:
    import transformers

    tools: Any = transformers
    config = tools.GPT2Config(
        vocab_size=WORDS["vocab_size"],
        n_embd=32,
        n_layer=1,
        n_head=2,
        num_labels=1,
        pad_token_id=None,
        bos_token_id=101,
        eos_token_id=102,
    )
    tools.GPT2ForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer("gpt2").save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match="cannot be used: Cannot handle batch sizes > 1 if no padding token is defined"
    ):
        Reranker.load(tmp_path)
