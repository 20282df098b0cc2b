import json
import shutil
from pathlib import Path

import pytest

from ragqa.cli import main
from ragqa.errors import CorpusError, InputError, ModelError
from ragqa.evaluation.judged import Judged
from ragqa.index.verify import verify
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import BUNDLED, CALIBRATION, Reranker
from ragqa.records import Pair
from ragqa.storage.checksums import SEAL, seal
from ragqa.storage.json_lines import write_json_lines
from ragqa.training.calibrate import calibrate_folder, check_enough, judged_pairs, read_summary, write_section

pytest.importorskip("sklearn", reason="pip install '.[train]'")

# few, because all passages are reranked for each question
NAMES = [f"{kind} {thing}" for kind in ("Red", "Wide", "Old", "Tall", "Slow", "New")
         for thing in ("bridge", "river", "tower", "harbour")]  # fmt: skip
PAIRS = [
    Pair(f"where is the {name.lower()}?", f"{name} - Place: The {name.lower()} {what}.", label)
    for n, name in enumerate(NAMES)
    for what, label in ((f"lies {n + 2} miles north of the town", 1.0), ("has a new owner", 0.0))
]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(BUNDLED, folder, ignore=shutil.ignore_patterns(SEAL, CALIBRATION))
    return folder


def test_pairs_become_questions_with_their_passages() -> None:
    judged = judged_pairs([*PAIRS[:2], Pair("why?", PAIRS[0].passage, 0.5), Pair("who?", "nobody", 0.4)])
    assert [(p.title, p.section) for p in judged.passages] == [("Red bridge", "Place")] * 2 + [("", "")]
    assert judged.relevance == {"where is the red bridge?": {"0": 1}, "why?": {"0": 1}}


@pytest.mark.parametrize("sealed", [True, False])
def test_a_folder_is_calibrated_in_place_and_stays_whole(sealed: bool, model: Path, tmp_path: Path) -> None:
    (model / "README.md").write_text("# A model\n\n## Calibration\n\nOld.\n\n## Use\n\nLoad it.\n", encoding="utf8")
    if sealed:
        seal(model)
    write_json_lines(
        tmp_path / "dataset" / "eval.jsonl",
        ({"sentence_0": p.question, "sentence_1": p.passage, "label": p.label} for p in PAIRS),
    )
    assert main(["calibrate", str(model), "--dataset", str(tmp_path / "dataset"), "--questions", "22"]) == 0
    reranker = Reranker.load(model)
    assert reranker.is_calibrated
    basis = json.loads((model / CALIBRATION).read_text(encoding="utf8"))["basis"]
    assert basis["embedder"] == Embedder.load().identity
    assert read_summary(model).startswith("calibrated on 22 questions with an answer and 22 without; Brier score 0.")
    card = (model / "README.md").read_text(encoding="utf8")
    assert card.startswith("# A model\n\n## Use\n\nLoad it.\n\n## Calibration\n\nThe probability that the best hit")
    assert "| with the embedder |" in card
    assert not sealed or verify(model) == "a model, every byte as written"
    low, high = (reranker.probability(score, fused=True) or 0.0 for score in (-5.0, 15.0))
    assert low < 0.2
    assert high > 0.8


def test_what_cannot_be_calibrated_stays_as_it_was(model: Path, tmp_path: Path) -> None:
    seal(model)
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    with pytest.raises(CorpusError, match="needs at least 20 questions with a relevant passage, and there are 2"):
        calibrate_folder(model, [judged_pairs(PAIRS[:4])])
    wrong = [Pair(p.question, p.passage, 1 - p.label) for p in PAIRS]
    with pytest.raises(CorpusError, match="best hits"):
        calibrate_folder(model, [judged_pairs(wrong)])
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before
    with pytest.raises(
        ModelError,
        match=r"owner/name is not a folder; download the model into one first, or export yours: ragqa export",
    ):
        calibrate_folder("owner/name", [judged_pairs(PAIRS)])
    (model / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"notes\.txt was not written by ragqa"):
        calibrate_folder(model, [judged_pairs(PAIRS)])


def test_questions_of_one_page_have_no_uncovered_ones() -> None:
    judged = judged_pairs([Pair(f"{n}?", "Page: text", 1.0) for n in range(20)])
    with pytest.raises(CorpusError, match="needs passages of at least 2 pages, and pairs has one"):
        check_enough([judged])
    check_enough([Judged("own", judged.passages, judged.questions, judged.relevance, {}, uncovered=("why?",))])


def test_the_section_of_a_card_is_replaced_or_removed(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    write_section(card, "## Calibration\n")
    assert not card.exists()
    card.write_text("# A\n\n## Use\n\nB\n")
    for section in ("## Calibration\n\nOne.\n", "## Calibration\n\nTwo.\n"):
        write_section(card, section)
        assert card.read_text() == f"# A\n\n## Use\n\nB\n\n{section}"
    write_section(card, "")
    assert card.read_text().rstrip() == "# A\n\n## Use\n\nB"
