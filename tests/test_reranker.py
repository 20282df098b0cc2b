import asyncio
import errno
import os
import pickle
import shutil
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragqa import RankedText, Reranker
from ragqa.errors import FallbackWarning, InputError, ModelError
from ragqa.models import compiled
from ragqa.models.folders import MODEL_FILE
from ragqa.models.reranker import BUNDLED, CALIBRATION, sigmoid
from ragqa.storage.checksums import SEAL, seal

QUESTION = "why does dropout help?"
TEXTS = [
    "Dropout: Each unit is switched off at random while training, so that no unit can rely on another one.",
    "Tomato soup: Peel the tomatoes, chop the onions and let them simmer for half an hour.",
    "Bagging: Many models are trained on resampled data and their predictions are averaged.",
    "Dropout",
    "",
]


@pytest.fixture(scope="module")
def bundled() -> Reranker:
    return Reranker.load()


def test_scores_are_float32_logits_one_for_each_text_in_order(bundled: Reranker) -> None:
    scores = bundled.score(QUESTION, TEXTS)
    assert scores.dtype == np.float32
    assert scores.shape == (len(TEXTS),)
    assert scores[0] > scores[1:3].max() + 0.5


def test_no_texts_give_no_scores(bundled: Reranker) -> None:
    assert bundled.score(QUESTION, []).shape == (0,)


def test_texts_are_ranked_with_their_positions_and_left_as_they_are(bundled: Reranker) -> None:
    texts = list(TEXTS)
    ranked = bundled.rank(QUESTION, texts)
    assert texts == TEXTS
    scores = bundled.score(QUESTION, TEXTS).tolist()
    assert [(one.text, one.score) for one in ranked] == [(TEXTS[one.position], scores[one.position]) for one in ranked]
    assert [one.score for one in ranked] == sorted(scores, reverse=True)
    assert all(one.probability == bundled.probability(one.score) for one in ranked)
    assert bundled.rank(QUESTION, iter(TEXTS), k=2) == ranked[:2]
    assert bundled.rank(QUESTION, []) == []
    assert repr(ranked[0]).startswith("RankedText(0, ")


def test_equal_texts_are_ranked_in_input_order(bundled: Reranker) -> None:
    assert [one.position for one in bundled.rank(QUESTION, TEXTS[1:2] * 3)] == [0, 1, 2]


def test_a_ranking_refuses_what_is_no_list_of_texts(bundled: Reranker) -> None:
    wrong: Any = ["a", None]
    for texts, message in (
        ("dropout", "texts is a single string; give a list"),
        (wrong, r"texts\[1\] is NoneType, not"),
    ):
        with pytest.raises(InputError, match=message):
            bundled.rank(QUESTION, texts)
    with pytest.raises(InputError, match="k is 0; at least 1 is needed"):
        bundled.rank(QUESTION, TEXTS, k=0)


def test_a_model_without_calibration_ranks_without_probabilities(tmp_path: Path) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model", ignore=shutil.ignore_patterns(SEAL, CALIBRATION))
    assert {one.probability for one in Reranker.load(tmp_path / "model").rank(QUESTION, TEXTS)} == {None}


def test_rankings_run_beside_the_event_loop(bundled: Reranker) -> None:
    async def rank() -> list[list[RankedText]]:
        return await asyncio.gather(*(bundled.arank(QUESTION, TEXTS, k=3) for _ in range(4)))

    assert asyncio.run(rank()) == [bundled.rank(QUESTION, TEXTS, k=3)] * 4


def test_a_score_does_not_depend_on_the_other_texts(bundled: Reranker) -> None:
    together = bundled.score(QUESTION, TEXTS * 20)
    alone = np.concatenate([bundled.score(QUESTION, [text]) for text in TEXTS])
    np.testing.assert_array_equal(together.reshape(20, -1), np.tile(alone, (20, 1)))
    longest_last = bundled.score(QUESTION, ["Dropout " * n for n in range(40)])
    np.testing.assert_array_equal(
        bundled.score(QUESTION, ["Dropout " * n for n in range(40)][::-1]), longest_last[::-1]
    )


def test_threads_share_one_model(bundled: Reranker) -> None:
    serial = bundled.score(QUESTION, TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for scores in pool.map(lambda _: bundled.score(QUESTION, TEXTS), range(16)):
            np.testing.assert_array_equal(scores, serial)


def test_a_text_beyond_the_limit_is_cut(bundled: Reranker) -> None:
    text = "word " * 600
    assert bundled.score(QUESTION, [text]) == bundled.score(QUESTION, [text + "dropout " * 600])


@settings(max_examples=50, deadline=None)
@given(question=st.text(max_size=200), text=st.text(max_size=200))
def test_any_text_has_a_finite_score(bundled: Reranker, question: str, text: str) -> None:
    assert np.isfinite(bundled.score(question, [text])).all()


def test_changed_weights_are_noticed_whatever_the_cache_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path / "cache"))
    shutil.copytree(BUNDLED, tmp_path / "model")
    before = Reranker.load(tmp_path / "model").score(QUESTION, TEXTS)
    weights = tmp_path / "model/openvino/openvino_model.bin"
    data = bytearray(weights.read_bytes())
    data[-40_000:-20_000] = bytes(20_000)
    weights.write_bytes(data)
    with pytest.raises(
        ModelError, match=rf"{weights} is damaged; make or install the model again, or remove checksums"
    ):
        Reranker.load(tmp_path / "model")
    (tmp_path / "model" / SEAL).unlink()
    with pytest.warns(FallbackWarning, match="was fitted to other weights, so probabilities may be wrong"):
        changed = Reranker.load(tmp_path / "model")
    assert not np.array_equal(changed.score(QUESTION, TEXTS), before)


def test_a_compiled_model_is_kept_and_compiled_again_where_it_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    before = Reranker.load().score(QUESTION, TEXTS)
    (kept,) = (tmp_path / "models").iterdir()
    whole = kept.read_bytes()
    assert Reranker.load().score(QUESTION, TEXTS).tobytes() == before.tobytes()
    for damaged in (b"", whole[:1000], whole[:30_000_000] + b"\xff\xff" + whole[30_000_002:]):
        kept.write_bytes(damaged)
        assert Reranker.load().score(QUESTION, TEXTS).tobytes() == before.tobytes()
        assert compiled._read_compiled(kept) is not None


def test_a_cache_that_is_only_readable_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    Reranker.load()
    (kept,) = (tmp_path / "models").iterdir()
    written = kept.stat().st_mtime_ns

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "touch", refuse)
    monkeypatch.setattr("ragqa.models.compiled._save_compiled", refuse)
    assert Reranker.load().score(QUESTION, TEXTS).shape == (len(TEXTS),)
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize("weights", ["model.safetensors", "pytorch_model-00001-of-00002.bin"])
def test_a_card_may_be_edited_and_torch_weights_removed(tmp_path: Path, weights: str) -> None:
    shutil.copytree(BUNDLED, tmp_path / "model", ignore=shutil.ignore_patterns(SEAL))
    (tmp_path / "model" / weights).write_bytes(b"weights")
    seal(tmp_path / "model")
    (tmp_path / "model" / "README.md").write_text("my card")
    (tmp_path / "model" / weights).unlink()
    reranker = Reranker.load(tmp_path / "model")
    for opened in (reranker, pickle.loads(pickle.dumps(reranker))):
        assert opened.score(QUESTION, TEXTS).shape == (len(TEXTS),)


def test_only_some_compiled_models_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    (tmp_path / "models").mkdir()
    for number in range(12):
        path = tmp_path / "models" / f"{number:032x}"
        path.write_bytes(no_model())
        os.utime(path, (number, number))
    for number in range(20, 30):  # of a time when the clock was ahead
        path = tmp_path / "models" / f"{number:032x}"
        path.write_bytes(no_model())
        os.utime(path, (time.time() + 1e6,) * 2)
    Reranker.load()
    kept = {int(path.name, 16) for path in (tmp_path / "models").iterdir()}
    assert len(kept) == 8
    assert set(range(5, 12)) < kept


def test_a_cache_that_cannot_be_written_is_done_without_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", "/proc/nowhere")
    with pytest.warns(
        FallbackWarning, match=r"^the cache folder /proc/nowhere cannot .*, so every start is slower; name an"
    ):
        assert Reranker.load().score(QUESTION, TEXTS).shape == (len(TEXTS),)


def no_model() -> bytes:
    """What OpenVINO cannot read, as if it had been kept."""
    return b"no model" + compiled._MARK + zlib.crc32(b"no model").to_bytes(4, "little")


def test_a_kept_model_that_openvino_refuses_is_compiled_again_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    before = Reranker.load().score(QUESTION, TEXTS)
    (kept,) = (tmp_path / "models").iterdir()
    kept.write_bytes(no_model())
    assert Reranker.load().score(QUESTION, TEXTS).tobytes() == before.tobytes()
    assert kept.stat().st_size > len(no_model())


def test_a_model_that_every_start_would_compile_again_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    Reranker.load()
    monkeypatch.setattr(compiled, "_import", lambda *_: None)
    with pytest.warns(FallbackWarning, match="OpenVINO cannot read .*, so every start compiles .* again"):
        assert Reranker.load().score(QUESTION, TEXTS).shape == (len(TEXTS),)


def test_a_damaged_model_in_a_cache_that_cannot_be_written_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    Reranker.load()
    (kept,) = (tmp_path / "models").iterdir()
    kept.write_bytes(b"damaged")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(compiled, "replace_file", refuse)
    with pytest.warns(FallbackWarning, match=rf"the cache folder {tmp_path} cannot be used \(Permission denied\)"):
        assert Reranker.load().score(QUESTION, TEXTS).shape == (len(TEXTS),)


def test_files_of_others_in_the_cache_folder_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    (tmp_path / "models" / "bert").mkdir(parents=True)
    names = ["bert.bin", "deadbeef", *(f"{number:032x}" for number in range(12))]
    for name in names:
        (tmp_path / "models" / name).write_bytes(b"years of work")
    Reranker.load()
    assert {*names, "bert"} < {path.name for path in (tmp_path / "models").iterdir()}


def test_calibration_is_read_from_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns(SEAL))
    numbers = '{"alone": {"scale": 2, "bias": -1}, "fused": {"scale": 2, "bias": -3}}'
    (folder / CALIBRATION).write_text(numbers)
    assert Reranker.load(folder).probability(0.5) == 0.5
    assert Reranker.load(folder).probability(1.5, fused=True) == 0.5
    assert Reranker.load(folder).is_calibrated
    (folder / CALIBRATION).unlink()
    plain = Reranker.load(folder)
    assert (plain.is_calibrated, plain.probability(9.0), plain.probability(9.0, fused=True)) == (False, None, None)
    for wrong in ('{"scale": 1, "bias": 0}', numbers.replace("2", '"much"'), "[]"):
        (folder / CALIBRATION).write_text(wrong)
        with pytest.raises(
            ModelError, match=r"calibration\.json does not hold the numbers scale and bias of alone and"
        ):
            Reranker.load(folder)


def test_sigmoid_does_not_overflow() -> None:
    assert [round(sigmoid(x), 4) for x in (-1000.0, -1.0, 0.0, 1.0, 1000.0)] == [0.0, 0.2689, 0.5, 0.7311, 1.0]


def test_a_folder_without_weights_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        ModelError, match=r"holds no weights: openvino/openvino_model\.xml or model\.safetensors is needed"
    ):
        Reranker.load(tmp_path)


def test_what_is_neither_a_folder_nor_a_hub_id_is_refused_at_once() -> None:
    for source in (
        "./nowhere",
        "nowhere",
        "nowhere/",
        "/nowhere/at/all",
        "a/b/c",
        "~/nowhere",
        "own er/name",
        "owner/-name",
    ):
        with pytest.raises(ModelError, match="neither a folder nor a hub id"):
            Reranker.load(source)


@pytest.mark.parametrize("damage", ["tokenizer.json", MODEL_FILE, "openvino/openvino_model.bin"])
def test_a_damaged_model_is_a_clear_error(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns(SEAL))
    whole = (folder / damage).read_bytes()
    (folder / damage).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be loaded"):
        Reranker.load(folder).score(QUESTION, TEXTS)


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns(SEAL))
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json is missing"):
        Reranker.load(folder)
