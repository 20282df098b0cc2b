import asyncio
import json
import locale
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mounts import as_another_user

from ragqa import Bm25Index, Passage, Retriever
from ragqa.errors import FallbackWarning, IndexStoreError, InputError
from ragqa.index import starter
from ragqa.index.dense import DenseIndex
from ragqa.index.folder import save_index
from ragqa.index.starter import STARTER_VECTORS, embed_passages, open_starter, open_starter_vectors
from ragqa.index.stored_passages import StoredPassages
from ragqa.models.embedder import Embedder
from ragqa.models.folders import weights_identity
from ragqa.models.reranker import BUNDLED as RERANKER
from ragqa.models.reranker import CALIBRATION, Reranker
from ragqa.search.question import check_question
from ragqa.search.retriever import calibration_flaw, fuse
from ragqa.storage.checksums import SEAL
from ragqa.storage.generations import current

PASSAGES = [
    Passage("a", "Dropout", text="Dropout switches units off at random while a network is trained."),
    Passage("b", "Dropout", "History", text="Dropout was proposed in 2012."),
    Passage("c", "Bagging", text="Bagging averages models trained on resampled data."),
    Passage("d", "R", text="R is a language for statistics."),
]


@pytest.fixture(scope="module")
def retriever() -> Retriever:
    return Retriever(Bm25Index.build(PASSAGES), Retriever.open().reranker)


def test_hits_carry_both_scores_and_ranks(retriever: Retriever) -> None:
    hits = retriever.search("How does dropout work while a network is trained?")
    assert hits[0].passage.id == "a"
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert sorted(hit.bm25_rank for hit in hits) == list(range(1, len(hits) + 1))
    assert all(hit.probability is not None and 0 <= hit.probability <= 1 for hit in hits)


def test_bm25_alone_keeps_its_order_and_has_no_probability() -> None:
    retriever = Retriever(Bm25Index.build(PASSAGES), None)
    hits = retriever.search("dropout network")
    assert [hit.bm25_rank for hit in hits] == [1, 2]
    assert all(hit.score == hit.bm25_score and hit.probability is None for hit in hits)


def test_k_limits_the_hits_and_may_exceed_the_corpus(retriever: Retriever) -> None:
    assert len(retriever.search("dropout trained", k=1)) == 1
    assert len(retriever.search("dropout trained", k=1000)) == 3
    for k in (0, -1):
        with pytest.raises(InputError, match=f"k is {k}; at least 1 is needed"):
            retriever.search("dropout", k=k)


def test_the_first_hits_do_not_depend_on_k(retriever: Retriever) -> None:
    assert retriever.search("dropout trained", k=3)[:2] == retriever.search("dropout trained", k=2)


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        ("", "the question is empty"),
        (" \n\t\x00", "the question is empty"),
        ("?!… —", "holds no letter or digit"),
        ("🤔🤔", "holds no letter or digit"),
        ("a" * 10_000, "10,000 characters; at most 2,000"),
    ],
)
def test_questions_that_ask_nothing_are_refused(retriever: Retriever, question: str, reason: str) -> None:
    for ask in (retriever.search, retriever.ask):
        with pytest.raises(InputError, match=reason):
            ask(question)


@pytest.mark.parametrize(
    "question",
    ["Was ist Überanpassung?", "什么是过拟合？", "что такое дропаут", "dropout 🤔", "drop\x00out", "\ud800 dropout"],
)
def test_other_languages_and_odd_characters_are_searched(retriever: Retriever, question: str) -> None:
    assert isinstance(retriever.search(question), list)


def test_nul_bytes_separate_words() -> None:
    assert check_question("why\x00 does\n dropout help?") == "why does dropout help?"


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=100))
def test_any_question_is_searched_or_refused(question: str) -> None:
    retriever = Retriever(Bm25Index.build(PASSAGES), None)
    try:
        retriever.search(question)
    except InputError as error:
        assert "\n" not in str(error)


def test_one_retriever_serves_many_threads(retriever: Retriever) -> None:
    questions = ["how does dropout work", "what is R?", "why average models"] * 4
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(retriever.search, questions)) == [retriever.search(question) for question in questions]


def test_fusion_is_by_reciprocal_ranks() -> None:
    assert fuse([7, 8], [8, 9]) == {7: 1 / 61, 8: 1 / 62 + 1 / 61, 9: 1 / 62}
    assert fuse() == {}


def test_the_embedder_finds_what_shares_no_term_and_it_has_a_bm25_rank_too(word_embedder: Embedder) -> None:
    index = Bm25Index.build(PASSAGES)
    dense = DenseIndex.build(PASSAGES, word_embedder)
    both = Retriever(index, None, dense=dense).search("dropout switches units")
    assert {hit.passage.id for hit in both} == set("abcd")
    ranks = {hit.passage.id: hit.bm25_rank for hit in both}
    assert sorted(ranks.values()) == [1, 2, 3, 3]
    assert [hit.score for hit in both] == sorted((hit.score for hit in both), reverse=True)
    alone = Retriever(index, None, dense=dense, bm25=False).search("switches units", k=2)
    assert alone[0].passage.id == "a"
    assert alone[0].score == pytest.approx(float(dense.scores("switches units")[0]))
    with pytest.raises(InputError, match="a dense index is needed"):
        Retriever(index, None, bm25=False)


def test_an_index_with_vectors_is_opened_with_them_unless_told_otherwise(
    tmp_path: Path, word_embedder: Embedder
) -> None:
    index = Bm25Index.build(PASSAGES)
    save_index(tmp_path / "index", index, None)
    with pytest.raises(IndexStoreError, match="holds no vectors; build it again without --no-dense"):
        Retriever.open(tmp_path / "index", dense=True)
    assert Retriever.open(tmp_path / "index", reranker=None).dense is None
    save_index(tmp_path / "index", index, DenseIndex.build(PASSAGES, word_embedder))
    for dense, there in ((None, True), (True, True), (False, False)):
        opened = Retriever.open(tmp_path / "index", reranker=None, dense=dense, embedder=word_embedder)
        assert (opened.dense is not None) == there


def test_starter_vectors_of_another_embedder_are_made_anew(word_embedder: Embedder) -> None:
    opened = Retriever.open(reranker=None, embedder=word_embedder)
    assert isinstance(opened.dense, DenseIndex)
    assert opened.dense.scores("dropout").shape == (len(opened.index.passages),)


def test_bundled_vectors_that_do_not_fit_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(STARTER_VECTORS, tmp_path / "starter")
    manifest = json.loads((tmp_path / "starter" / "manifest.json").read_text())
    (tmp_path / "starter" / "manifest.json").write_text(json.dumps(manifest | {"texts": "of others"}))
    monkeypatch.setattr(starter, "STARTER_VECTORS", tmp_path / "starter")
    index = Bm25Index.build(PASSAGES)
    with pytest.warns(
        FallbackWarning, match=r"made with another set of passages, so every start embeds .*; install ragqa"
    ):
        made = open_starter_vectors(index)
    assert made.scores("dropout").shape == (len(PASSAGES),)


def test_damaged_bundled_vectors_are_told_while_indexing_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(STARTER_VECTORS, tmp_path / "starter")
    monkeypatch.setattr(starter, "STARTER_VECTORS", tmp_path / "starter")
    index, embedder = Bm25Index.build(PASSAGES), Embedder.load()
    assert len(embed_passages(index, embedder).vectors) == len(PASSAGES)  # of another corpus: no warning
    (tmp_path / "starter" / "manifest.json").write_text("{")
    done: list[int] = []
    with pytest.warns(FallbackWarning, match=r"manifest\.json is missing or damaged .*, so every start embeds"):
        made = embed_passages(index, embedder, done.append)
    assert (len(made.vectors), sum(done)) == (len(PASSAGES), len(PASSAGES))


def test_the_bundled_calibration_is_of_the_bundled_models_and_weights() -> None:
    retriever = Retriever.open()
    assert retriever.reranker is not None
    basis = retriever.reranker.calibrations.basis
    assert basis is not None
    assert basis.reranker == weights_identity(RERANKER)
    assert calibration_flaw(retriever) == ""


def test_probabilities_of_another_embedder_are_doubted(tmp_path: Path, word_embedder: Embedder) -> None:
    index = Bm25Index.build(PASSAGES)
    save_index(tmp_path / "index", index, DenseIndex.build(PASSAGES, word_embedder))
    with pytest.warns(FallbackWarning, match="calibrated for another embedder, so its probabilities may be wrong"):
        Retriever.open(tmp_path / "index", embedder=word_embedder)
    Retriever.open(tmp_path / "index", dense=False)


def test_a_reranker_without_a_calibration_is_told_once(tmp_path: Path) -> None:
    shutil.copytree(RERANKER, tmp_path / "model", ignore=shutil.ignore_patterns(SEAL, CALIBRATION))
    retriever = Retriever(Bm25Index.build(PASSAGES), Reranker.load(tmp_path / "model"))
    assert {hit.probability for hit in retriever.search("what is R?")} == {None}
    with pytest.warns(
        FallbackWarning, match=r"model is not calibrated, .* and `ask` never abstains; calibrate it with"
    ):
        assert not retriever.ask("what is R?", threshold=1.0).abstained
    assert not retriever.ask("what is R?", threshold=1.0).abstained


def test_the_starter_index_is_kept_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    built = open_starter()
    (kept,) = (tmp_path / "starter").iterdir()
    assert Bm25Index.verify(kept) == len(built.passages)
    opened = open_starter()
    assert isinstance(opened.passages, StoredPassages)
    assert (opened.passages, opened.texts_digest) == (built.passages, built.texts_digest)
    assert opened.search("why does dropout help?") == built.search("why does dropout help?")


def test_opening_leaves_the_locale_as_it_was() -> None:
    before = locale.setlocale(locale.LC_ALL, None), locale.getpreferredencoding(False)
    with ThreadPoolExecutor(4) as pool:
        for opened in [pool.submit(Retriever.open) for _ in range(4)]:
            opened.result()
    assert (locale.setlocale(locale.LC_ALL, None), locale.getpreferredencoding(False)) == before


def test_a_damaged_starter_index_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    built = open_starter()
    (kept,) = (tmp_path / "starter").iterdir()
    (current(kept) / "weights.npy").unlink()
    assert open_starter().search("dropout") == built.search("dropout")
    assert Bm25Index.verify(kept) == len(built.passages)


def test_without_a_cache_folder_the_starter_index_is_built_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", "/proc/nowhere")
    with pytest.warns(
        FallbackWarning, match=r"^the cache folder /proc/nowhere cannot .*; name another folder with RAGQA_"
    ):
        assert open_starter().search("dropout")


def test_a_user_without_a_home_is_told_that_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("RAGQA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.warns(
        FallbackWarning, match="^there is no home folder to keep a cache in, so every start is slower; name"
    ):
        assert open_starter().search("dropout")


def test_a_home_of_somebody_else_is_done_without_and_told_once(open_folder: Path) -> None:
    (open_folder / "home" / ".cache").mkdir(parents=True)
    (open_folder / "home").chmod(0o700)
    command = [sys.executable, "-m", "ragqa", "ask", "dropout", "-k", "1"]
    done = as_another_user(command, HOME=str(open_folder / "home"), RAGQA_CACHE="", XDG_CACHE_HOME="")
    assert done.returncode == 0
    assert done.stderr == (
        f"ragqa: warning: the cache folder {open_folder}/home/.cache/ragqa cannot be used (Permission denied), so every start "
        "is slower; name another folder with RAGQA_CACHE\n"
    )


def test_a_cache_that_is_only_readable_is_used_without_a_word(open_folder: Path) -> None:
    environment = {**os.environ, "RAGQA_CACHE": str(open_folder)}
    command = [sys.executable, "-m", "ragqa", "ask", "dropout", "-k", "1"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    before = {path: path.stat().st_mtime_ns for path in open_folder.rglob("*")}
    done = as_another_user(command, RAGQA_CACHE=str(open_folder))
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in open_folder.rglob("*")} == before


def test_folders_of_others_in_the_cache_folder_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGQA_CACHE", str(tmp_path))
    (tmp_path / "starter" / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "starter" / "0123456789abcdef" / "thesis").write_text("years of work")
    for number in range(4):  # of other versions
        Bm25Index.build(PASSAGES).save(tmp_path / "starter" / str(number))
        os.utime(tmp_path / "starter" / str(number), (number, number))
    open_starter()
    assert len(list((tmp_path / "starter").iterdir())) == 3
    assert (tmp_path / "starter" / "3").is_dir()
    assert (tmp_path / "starter" / "0123456789abcdef" / "thesis").read_text() == "years of work"


def test_fused_hits_do_not_depend_on_k(word_embedder: Embedder) -> None:
    retriever = Retriever(Bm25Index.build(PASSAGES), None, dense=DenseIndex.build(PASSAGES, word_embedder))
    every = retriever.search("dropout units of R", k=4)
    assert all(retriever.search("dropout units of R", k=k) == every[:k] for k in (1, 2, 3))


def test_the_bundled_vectors_are_those_of_the_starter_corpus_and_embedder() -> None:
    opened = Retriever.open(reranker=None)
    assert isinstance(opened.dense, DenseIndex)
    some = opened.index.passages[::100]
    fresh = DenseIndex.build(some, opened.dense.embedder)
    for question in ("why does dropout help?", "k-means"):
        np.testing.assert_allclose(opened.dense.scores(question)[::100], fresh.scores(question), atol=0.02)


def test_open_reads_a_saved_index_and_else_the_starter_corpus(tmp_path: Path) -> None:
    Bm25Index.build(PASSAGES).save(tmp_path / "index")
    assert Retriever.open(tmp_path / "index", reranker=None).search("resampled")[0].passage == PASSAGES[2]
    assert len({p.title for p in Retriever.open(reranker=None).index.passages}) >= 80
    with pytest.raises(IndexStoreError, match="is not an index; build it again: ragqa index"):
        Retriever.open(tmp_path / "nowhere")


def test_starter_questions_are_answered_with_their_section_cited() -> None:
    answer = Retriever.open().ask("why does dropout help?")
    assert not answer.abstained
    passage = answer.hits[0].passage
    assert (passage.title, passage.section) == ("Dilution (neural networks)", "Why it helps")
    assert (passage.url, passage.about) == ("", "https://en.wikipedia.org/wiki/Dilution_(neural_networks)")
    assert answer.quotes[0].text == answer.text
    assert answer.source == answer.hits[answer.quotes[0].hit].passage


def test_candidates_must_be_positive() -> None:
    with pytest.raises(InputError, match="candidates is 0"):
        Retriever(Bm25Index.build(PASSAGES), None, candidates=0)


TEXTS = [passage.text for passage in PASSAGES]


def test_texts_are_searched_without_files_and_found_by_their_position() -> None:
    texts, metadatas = list(TEXTS), [{"title": passage.title} for passage in PASSAGES]
    retriever = Retriever.from_texts(texts, metadatas)
    assert (texts, metadatas) == (TEXTS, [{"title": passage.title} for passage in PASSAGES])
    hits = retriever.search("how does dropout work while a network is trained?")
    assert (hits[0].passage.id, hits[0].passage.title) == ("0", "Dropout")
    assert [TEXTS[int(hit.passage.id)] for hit in hits] == [hit.passage.text for hit in hits]
    assert retriever.ask("What is R?").text == "R is a language for statistics."


def test_texts_give_the_hits_of_their_passages() -> None:
    metadatas = [{"title": passage.title, "section": passage.section} for passage in PASSAGES]
    made = Retriever.from_texts(TEXTS, metadatas, ids=[passage.id for passage in PASSAGES])
    built = Retriever(Bm25Index.build(PASSAGES), made.reranker, dense=DenseIndex.build(PASSAGES, Embedder.load()))
    found, expected = (
        [(hit.passage.id, hit.score, hit.probability) for hit in retriever.search("models trained at random")]
        for retriever in (made, built)
    )
    assert found == expected


def test_texts_can_be_searched_by_bm25_alone() -> None:
    retriever = Retriever.from_texts(iter(TEXTS), reranker=None, dense=False)
    assert [hit.passage.id for hit in retriever.search("resampled data")] == ["2"]


def test_texts_in_another_script_are_told_like_those_of_an_index() -> None:
    with pytest.warns(FallbackWarning, match="most letters of the passages are not Latin"):
        Retriever.from_texts(["Переобучение модели", "Случайный лес"], reranker=None)


CHINESE = Passage("a", "苹果树", text="园丁在春天修剪苹果树，使阳光照到每一根枝条。")
GERMAN = Passage(
    "a", "Apfelbaum", text="Der Gärtner schneidet den Apfelbaum im Frühling, und das Licht fällt auf die Äste."
)


def test_the_bundled_models_are_left_out_for_another_script(tmp_path: Path) -> None:
    index, embedder = Bm25Index.build([CHINESE]), Embedder.load()
    save_index(tmp_path / "index", index, DenseIndex.build([CHINESE], embedder))
    with pytest.warns(
        FallbackWarning, match="not Latin, so the bundled models are left out: the bundled models read English"
    ):
        opened = Retriever.open(tmp_path / "index")
    assert (opened.reranker, opened.dense) == (None, None)
    assert opened.ask("什么时候修剪苹果树？").text == CHINESE.text
    with pytest.warns(FallbackWarning, match="not Latin, so the bundled models are left out"):
        assert Retriever.from_texts([CHINESE.text]).dense is None


def test_models_that_are_asked_for_read_any_script(tmp_path: Path, word_embedder: Embedder) -> None:
    bundled, own = Reranker.load(), DenseIndex.build([CHINESE], word_embedder)
    save_index(tmp_path / "index", Bm25Index.build([CHINESE]), own)
    with pytest.warns(FallbackWarning, match="calibrated for another embedder"):
        opened = Retriever.open(tmp_path / "index", reranker=bundled, embedder=word_embedder)
    assert (opened.reranker, opened.dense and opened.dense.embedder) == (bundled, word_embedder)
    save_index(tmp_path / "index", Bm25Index.build([CHINESE]), DenseIndex.build([CHINESE], Embedder.load()))
    assert Retriever.open(tmp_path / "index", reranker=None, dense=True).dense is not None


def test_the_bundled_models_are_used_with_a_warning_for_another_language_in_latin_letters(tmp_path: Path) -> None:
    save_index(tmp_path / "index", Bm25Index.build([GERMAN]), None)
    with pytest.warns(FallbackWarning, match="^most passages are not in English: the bundled models read English"):
        assert Retriever.open(tmp_path / "index").reranker is not None


def test_equal_texts_keep_their_order() -> None:
    retriever = Retriever.from_texts(["Ferrets eat meat."] * 12, reranker=None, dense=False)
    assert [int(hit.passage.id) for hit in retriever.search("ferrets", k=12)] == list(range(12))


def test_searches_and_answers_run_beside_the_event_loop(retriever: Retriever) -> None:
    questions = ["how does dropout work", "what is R?", "why average models"]

    async def work() -> list[object]:
        searches = (retriever.asearch(question, k=2) for question in questions)
        answers = (retriever.aask(question, k=2, threshold=0.1) for question in questions)
        return list(await asyncio.gather(*searches, *answers))

    expected: list[object] = [retriever.search(question, k=2) for question in questions]
    expected += [retriever.ask(question, k=2, threshold=0.1) for question in questions]
    assert asyncio.run(work()) == expected


def test_an_error_reaches_the_caller_through_the_event_loop(retriever: Retriever) -> None:
    for call in (retriever.asearch, retriever.aask):
        with pytest.raises(InputError, match="the question is empty"):
            asyncio.run(call(""))


def test_a_cancelled_search_ends_at_once_and_harms_nothing() -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Waiting:
        def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
            begun.set()
            assert go_on.wait(60)
            return np.zeros(len(texts), dtype=np.float32)

    retriever = Retriever(Bm25Index.build(PASSAGES), Reranker(Waiting(), "waiting"))

    async def cancel() -> None:
        search = asyncio.create_task(retriever.asearch("dropout"))
        await asyncio.to_thread(begun.wait, 60)
        search.cancel()
        with pytest.raises(asyncio.CancelledError):
            await search
        assert not go_on.is_set()
        go_on.set()
        assert len(await retriever.asearch("dropout")) == 2

    asyncio.run(cancel())
