from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ragqa.errors import CorpusError, InputError, ModelError
from ragqa.models.embedder import BUNDLED, Embedder
from ragqa.records import Pair
from ragqa.training.card import write_dataset
from ragqa.training.config import PRESETS, TrainConfig
from ragqa.training.dataset import PairConfig
from ragqa.training.export import export
from ragqa.training.pairs import read_pairs
from ragqa.training.train_embedder import average, train_embedder

torch = pytest.importorskip("torch", reason="pip install '.[train]'")

TOPICS = "dropout bagging boosting pruning pooling hashing stacking padding masking scaling".split()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    pairs = [
        Pair(f"What is {topic}?", f"{other}: a method that helps.", float(topic == other))
        for topic in TOPICS
        for other in TOPICS
    ]
    splits = {"train": pairs, "eval": pairs[:20], "test": []}
    write_dataset(splits, folder, title="Toy", sources=["made here"], licence="cc0-1.0", config=PairConfig())
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bi-encoder of two narrow layers with random weights and the bundled vocabulary."""
    import transformers
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    tools: Any = transformers
    folder = tmp_path_factory.mktemp("base")
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    torch.manual_seed(0)
    tools.BertModel(tools.BertConfig(**shape)).save_pretrained(folder / "bert")
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    tools.PreTrainedTokenizerFast(tokenizer_file=str(BUNDLED / "tokenizer.json"), **special).save_pretrained(
        folder / "bert"
    )
    model = SentenceTransformer(modules=[Transformer(str(folder / "bert")), Pooling(32), Normalize()])
    model.save_pretrained(str(folder / "tiny"))
    return folder / "tiny"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path, tiny: Path) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    config = replace(PRESETS["embedder"], base=str(tiny), epochs=2, batch_size=5)
    metrics = train_embedder([dataset], out, config, progress=False)
    assert set(metrics) == {"map", "mrr@10", "ndcg@10"}
    return out


def test_the_folder_loads_in_sentence_transformers_with_its_card(trained: Path, tiny: Path) -> None:
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(str(trained)).encode(["What is pooling?"])
    assert vectors.shape == (1, 32)
    assert abs(vectors - SentenceTransformer(str(tiny)).encode(["What is pooling?"])).max() > 1e-4
    assert "ContrastiveLoss" in (trained / "README.md").read_text(encoding="utf8")
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]  # no checkpoints are left


def test_the_exported_model_gives_the_same_vectors(trained: Path, dataset: Path, tmp_path: Path) -> None:
    export(trained, tmp_path / "int8", read_pairs([dataset], "train"))
    export(trained, tmp_path / "half", read_pairs([dataset], "train"), int8=False)
    texts = ["What is pooling?", "bagging: a method that helps."]
    reference = Embedder.load(trained).embed(texts)
    for name, tolerance in (("half", 0.01), ("int8", 0.2)):
        np.testing.assert_allclose(Embedder.load(tmp_path / name).embed(texts), reference, atol=tolerance)
    assert "Embedder.load" in (tmp_path / "int8/README.md").read_text(encoding="utf8")


def test_the_weights_kept_are_the_mean_of_the_bases_and_the_trained_ones() -> None:
    model = torch.nn.Linear(2, 1)
    base = {name: torch.zeros_like(weights) for name, weights in model.state_dict().items()}
    trained = {name: weights.clone() for name, weights in model.state_dict().items()}
    average(model, base)
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(weights, trained[name] / 2)


def test_what_cannot_be_trained_is_refused(tmp_path: Path, dataset: Path) -> None:
    for base in ("./nowhere", "nowhere/", "a/b/c"):
        with pytest.raises(ModelError, match=rf"the base model '{base}' is neither a folder .*no such folder"):
            train_embedder([dataset], tmp_path / "out", replace(PRESETS["embedder"], base=base), progress=False)
    with pytest.raises(InputError, match="is not replaced: choose another folder"):
        train_embedder([dataset], dataset, TrainConfig(list_size=2), progress=False)
    with pytest.raises(InputError, match="list_size is 0"):
        train_embedder([dataset], tmp_path / "out", TrainConfig(), progress=False)
    with pytest.raises(CorpusError, match="no question has 99 passages"):
        train_embedder([dataset], tmp_path / "out", TrainConfig(list_size=99), progress=False)
