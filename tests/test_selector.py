from pathlib import Path

import numpy as np
import pytest

from ragqa import Reranker
from ragqa.errors import ModelError
from ragqa.models.embedder import BUNDLED as EMBEDDER
from ragqa.models.reranker import BUNDLED as RERANKER
from ragqa.models.selector import BUNDLED, Selector, bundled_selector, token_spans
from ragqa.models.tokens import open_tokenizer
from ragqa.text.passages import sentences

TEXT = "Dropout: It drops units at random. So the net cannot rely on single units. It was made in 2012. Soup is hot."
SENTENCES = [(start + 9, end + 9) for start, end in sentences(TEXT[9:])]


def test_every_run_of_one_to_three_sentences_is_scored_in_text_order() -> None:
    (scored,) = bundled_selector().score("why does dropout help?", [TEXT], [SENTENCES])
    assert [(run.first, run.last) for run in scored] == [
        (0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3)
    ]  # fmt: skip
    assert max(scored, key=lambda run: run.score).first in (0, 1)
    assert scored[-1].score < max(run.score for run in scored)


def test_scores_do_not_depend_on_the_other_texts() -> None:
    alone = bundled_selector().score("why does dropout help?", [TEXT], [SENTENCES])[0]
    others = [TEXT * 3, TEXT, TEXT[:60]]
    among = bundled_selector().score("why does dropout help?", others, [[(0, 20)], SENTENCES, [(0, 20)]])[1]
    assert alone == among
    assert bundled_selector().score("q", [], []) == []


def test_sentences_beyond_the_limit_of_the_model_are_not_scored() -> None:
    text = "Soup is hot. " * 300
    own = sentences(text)
    (scored,) = bundled_selector().score("why?", [text], [own])
    last = max(run.last for run in scored)
    assert 100 < last < len(own) - 1


def test_tokens_of_sentences() -> None:
    encoding = open_tokenizer(BUNDLED).encode("why dropout?", TEXT)
    spans = token_spans(encoding, SENTENCES)
    words = [encoding.tokens[span[0] : span[1]] for span in spans if span]
    assert [own[0] for own in words] == ["it", "so", "it", "soup"]
    assert all(own[-1] == "." for own in words)


def test_the_bundled_selector_is_loaded_once() -> None:
    assert bundled_selector() is bundled_selector()


@pytest.mark.parametrize("folder", [RERANKER, EMBEDDER])
def test_other_models_are_refused(folder: Path) -> None:
    with pytest.raises(ModelError, match="is not a selector: it does not give 3 numbers for each token"):
        Selector.load(folder)


def test_a_selector_is_no_reranker_and_a_folder_without_a_model_no_selector(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not a reranker"):
        Reranker.load(BUNDLED)
    with pytest.raises(ModelError, match="holds no weights"):
        Selector.load(tmp_path)


def test_infinite_numbers_are_an_error() -> None:
    class Broken:
        def run_tokens(self, texts: list[tuple[str, str]]) -> list[tuple[object, np.ndarray]]:
            encodings = [open_tokenizer(BUNDLED).encode(*text) for text in texts]
            return [(encoding, np.full((len(encoding), 3), np.nan, dtype=np.float32)) for encoding in encodings]

    with pytest.raises(ModelError, match="NaN or infinity"):
        Selector(Broken(), "broken").score("why?", [TEXT], [SENTENCES])  # type: ignore[arg-type]
