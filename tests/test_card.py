import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ragqa.errors import CorpusError, FallbackWarning, InputError, MissingExtraError
from ragqa.records import Pair, Passage
from ragqa.training.card import (
    COLUMNS,
    UNKNOWN,
    Origin,
    add_origins,
    join_licences,
    origin_of,
    read_origin,
    write_dataset,
)
from ragqa.training.dataset import SPLITS, PairConfig
from ragqa.training.lint import lint

PAIRS = {
    "train": [
        Pair("What is a | kernel?", "Kernels:\n a kernel <b> | maps.", 1.0),
        Pair("What is a | kernel?", "A tree splits 🧠.", 0),
    ],
    "eval": [Pair("What is bagging?", "Bagging averages.", 1.0)],
    "test": [Pair("Why use dropout?", "Dropout helps.", 1.0)],
}
FILES = [
    "README.md",
    "checksums.json",
    "lint.json",
    *(f"{split}.{kind}" for split in SPLITS for kind in ("jsonl", "parquet")),
]


def _write(
    out: Path, pairs: Mapping[str, Sequence[Pair]] = PAIRS, title: str = "Pairs", licence: str = "cc0-1.0"
) -> dict[str, object]:
    sources = ["Starter corpus, CC0-1.0"]
    return write_dataset(pairs, out, title=title, sources=sources, licence=licence, config=PairConfig())


def _splits(
    train: Sequence[Pair] = (), evaluation: Sequence[Pair] = (), test: Sequence[Pair] = ()
) -> dict[str, Sequence[Pair]]:
    return {"train": train, "eval": evaluation, "test": test}


def test_a_dataset_consists_of_these_files(tmp_path: Path) -> None:
    report = _write(tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == sorted(FILES)
    assert json.loads((tmp_path / "data" / "lint.json").read_text()) == report == lint(PAIRS)


def test_json_lines_hold_exactly_the_three_columns(tmp_path: Path) -> None:
    _write(tmp_path / "data")
    for split in SPLITS:
        lines = (tmp_path / "data" / f"{split}.jsonl").read_text(encoding="utf8").splitlines()
        rows = [json.loads(line) for line in lines]
        assert [tuple(row) for row in rows] == [COLUMNS] * len(PAIRS[split])
        assert [Pair(*row.values()) for row in rows] == PAIRS[split]
        assert all(isinstance(row["label"], float) for row in rows)


def test_datasets_loads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    datasets = pytest.importorskip("datasets")
    _write(tmp_path / "data")
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert list(loaded) == list(SPLITS)
    for split in SPLITS:
        assert loaded[split].column_names == list(COLUMNS)
        assert [Pair(*row.values()) for row in loaded[split]] == PAIRS[split]
        assert {name: feature.dtype for name, feature in loaded[split].features.items()} == {
            "sentence_0": "string",
            "sentence_1": "string",
            "label": "float64",
        }


def test_a_dataset_without_evaluation_pairs_loads_too(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    with pytest.warns(FallbackWarning, match="the eval split of .*data is empty, and `ragqa train` needs it"):
        _write(tmp_path / "data", _splits(PAIRS["train"]))
    loaded = datasets.load_dataset(str(tmp_path / "data"), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 2}


def test_the_card_describes_the_dataset(tmp_path: Path) -> None:
    _write(tmp_path / "data")
    card = (tmp_path / "data" / "README.md").read_text(encoding="utf8").splitlines()
    assert card[0] == "---"
    for line in (
        "license: cc0-1.0",
        "  - {split: eval, path: eval.parquet}",
        "# Pairs",
        "| train | 2 | 1 | 1 | 2 |",
        "| sentence_0 | 16 | 17.5 | 19 |",
        "- Starter corpus, CC0-1.0",
        "- `shares`: {'random': 1.0, 'page': 1.0, 'hard': 1.0}",
        "- `seed`: 42",
        "- `contradictions`: 0",
        "| What is a \\| kernel? | Kernels: a kernel &lt;b> \\| maps. | 1.0 |",
    ):
        assert line in card


@pytest.mark.parametrize(
    ("licence", "written"),
    [("cc0-1.0", "cc0-1.0"), ("cc-by-sa-4.0, cc0-1.0", ["cc-by-sa-4.0", "cc0-1.0"]), ("my: own #1", "my: own #1")],
)
def test_the_front_matter_is_yaml_whatever_the_names_are(tmp_path: Path, licence: str, written: object) -> None:
    _write(tmp_path / "data", title='Of "kernels":\n# and more', licence=licence)
    repocard = pytest.importorskip("huggingface_hub.repocard")
    front = repocard.metadata_load(tmp_path / "data" / "README.md") or {}
    assert front["license"] == written
    assert front["pretty_name"] == 'Of "kernels":\n# and more'
    assert read_origin(tmp_path / "data") == Origin('data (Of "kernels": # and more)', licence)


def test_where_passages_come_from_tells_their_licence(starter_passages: Sequence[Passage]) -> None:
    wiki = Passage("A#0", "A", text="about a", url="https://de.wikipedia.org/wiki/A?oldid=1#B")
    other = Passage("B#0", "B", text="about b", url="https://docs.example/b")
    assert origin_of("s", starter_passages) == Origin("s: the starter corpus of ragqa", "cc0-1.0")
    assert origin_of("w", [wiki, *starter_passages]).licence == "cc-by-sa-4.0"
    assert origin_of("w", [wiki]) == Origin("w: 1 page of de.wikipedia.org", "cc-by-sa-4.0")
    assert origin_of("o", [wiki, other]) == Origin("o: 2 pages of de.wikipedia.org, docs.example", UNKNOWN)
    assert origin_of("n", [Passage("C#0", "C", text="c")]) == Origin("n: 1 page of unknown places", UNKNOWN)
    fake = Passage("D#0", "D", text="d", url="https://wikipedia.org.example/wiki/D")
    assert origin_of("f", [fake]).licence == UNKNOWN


def test_licences_are_joined_unless_one_is_unknown() -> None:
    wiki, starter, other = Origin("w", "cc-by-sa-4.0"), Origin("s", "cc0-1.0"), Origin("o", UNKNOWN)
    assert join_licences([starter, wiki, starter]) == "cc-by-sa-4.0, cc0-1.0"
    assert join_licences([starter, other]) == UNKNOWN


def test_the_same_pairs_give_the_same_bytes(tmp_path: Path) -> None:
    _write(tmp_path / "one")
    _write(tmp_path / "two")
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_dataset_is_replaced_but_nothing_else_is(tmp_path: Path) -> None:
    _write(tmp_path / "data")
    with pytest.warns(FallbackWarning, match="every train pair of .*data is positive"):
        _write(tmp_path / "data", _splits(PAIRS["train"][:1], PAIRS["eval"]))
    assert len((tmp_path / "data" / "train.jsonl").read_text().splitlines()) == 1
    (tmp_path / "data" / "stray").write_text("x")
    with pytest.raises(InputError, match="stray was not written by ragqa, so .* is not replaced"):
        _write(tmp_path / "data")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("more work")
    for name in ("work", "file"):
        with pytest.raises(
            InputError, match=f"{name} exists and has no checksums.json that names lint.json, so it is not"
        ):
            _write(tmp_path / name)
    assert (tmp_path / "work" / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "more work"


def test_without_pairs_to_train_on_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no pairs to train on"):
        _write(tmp_path / "data", _splits((), PAIRS["eval"]))
    assert not (tmp_path / "data").exists()


def test_a_missing_pyarrow_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[train\]"):
        _write(tmp_path / "data")


def test_lint_counts_pairs_positives_and_questions() -> None:
    report = lint(PAIRS)
    assert report["pairs"] == {"train": 2, "eval": 1, "test": 1}
    assert report["positives"] == {"train": 1, "eval": 1, "test": 1}
    assert report["questions"] == 3


def test_lint_names_the_template_of_most_questions() -> None:
    questions = ["What is A?", "what  is B?", "What is A?", "Why B?", "How does it work?"]
    report = lint(_splits([Pair(question, "p", 1) for question in questions]))
    assert (report["template"], report["template_share"]) == ("what is", 0.5)


@pytest.mark.parametrize(
    ("positive", "negative", "shortcut"),
    [
        ("dropout units", "decision tree", 1.0),
        ("decision tree", "dropout units", 0.0),
        ("about dropout", "dropout again", 0.5),
        ("nothing", "at all", 0.5),
    ],
)
def test_lint_sees_that_shared_words_tell_the_label(positive: str, negative: str, shortcut: float) -> None:
    pairs = [Pair("Why drop units in dropout?", positive, 1), Pair("Why drop units in dropout?", negative, 0)]
    assert lint(_splits(pairs))["overlap_shortcut"] == shortcut


def test_lint_compares_only_passages_of_one_question() -> None:
    pairs = [Pair("Why dropout?", "dropout", 1), Pair("Why trees?", "forest", 0)]
    assert lint(_splits(pairs))["overlap_shortcut"] == 0.5


def test_lint_counts_what_leaks_from_train() -> None:
    train = [Pair("Why A?", "about a", 1), Pair("Why B?", "about b", 1)]
    report = lint(
        _splits(train, [Pair("why a?", "ABOUT B", 1)], [Pair("Why C?", "about b", 0), Pair("Why B?", "c", 0)])
    )
    assert report["leaking_questions"] == 2
    assert report["leaking_passages"] == 2
    assert lint(_splits(train, [Pair("Why C?", "about c", 1)]))["leaking_questions"] == 0


def test_lint_counts_duplicates_and_contradictions() -> None:
    once, negative = Pair("q", "p", 1.0), Pair("q", "p", 0.0)
    assert lint(_splits([once]))["duplicate_pairs"] == lint(_splits([once]))["contradictions"] == 0
    report = lint(_splits([once, once, negative], [Pair("q", "other", 1)]))
    assert (report["duplicate_pairs"], report["contradictions"]) == (2, 1)


@pytest.mark.parametrize("rest", ["## Model Details\n\nA BERT.\n", ""])
def test_a_models_card_names_its_data_whatever_its_headings_are(tmp_path: Path, rest: str) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"# A model\n\n{rest}", encoding="utf8")
    add_origins(card, "some/base", None, [tmp_path / "pairs"])
    rows = "- base model: some/base, licence: unknown\n- dataset: pairs, licence of the texts: unknown\n\n"
    assert card.read_text(encoding="utf8") == f"# A model\n\n## Data and Licences\n\n{rows}{rest}"
