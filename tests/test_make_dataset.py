from dataclasses import FrozenInstanceError, asdict
from pathlib import Path
from typing import Any

import pytest

from ragqa.errors import CorpusError, InputError, ModelError
from ragqa.records import Passage
from ragqa.storage.json_lines import read_rows, write_json_lines
from ragqa.text.make_passages import PassagesConfig, make_passages
from ragqa.training.dataset import PairConfig
from ragqa.training.make_dataset import DatasetConfig, make_dataset

pytest.importorskip("pyarrow", reason="pip install '.[train]'")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "nothing to make pairs from; give --passages or --judged"),
        ({"passages": "p", "split": "dev"}, "--split names a split of BEIR folders; add --judged"),
        ({"passages": "p", "style": "raw"}, "style is 'raw'; it must be one of ragqa, reference"),
        ({"passages": "p", "style": "reference", "judged": ("starter",)}, "the reference style takes only --passages"),
        ({"passages": "p", "style": "reference", "miner": "bundled"}, "the reference style takes only --passages"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        DatasetConfig(out="out", **settings)


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        DatasetConfig(out="out", judged=("starter",)).out = "other"  # type: ignore[misc]


def test_inputs_are_checked_before_anything_is_made(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(InputError, match="missing does not exist"):
        make_dataset(DatasetConfig(out=tmp_path / "out", passages=missing))
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        make_dataset(DatasetConfig(out=tmp_path / "out", judged=("starter",), teachers=(missing,)))
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_comes_from_passages_and_judged_questions(tmp_path: Path) -> None:
    make_passages(PassagesConfig(pages=("starter",), out=tmp_path / "passages.jsonl"))
    few = [row for _, row in read_rows(tmp_path / "passages.jsonl")][:200]
    write_json_lines(tmp_path / "few.jsonl", few)
    config = DatasetConfig(
        out=tmp_path / "out",
        passages=tmp_path / "few.jsonl",
        judged=("starter",),
        pairs=PairConfig(negatives=1),
        title="A few questions",
    )
    lint = make_dataset(config)
    rows = {split: [row for _, row in read_rows(tmp_path / "out" / f"{split}.jsonl")] for split in lint["pairs"]}
    assert {split: len(own) for split, own in rows.items()} == lint["pairs"]
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf8")
    assert "# A few questions" in card
    assert "- few.jsonl: the starter corpus of ragqa; licence: cc0-1.0" in card
    assert "- starter: the starter corpus of ragqa; licence: cc0-1.0" in card
    assert "- `negatives`: 1" in card
    assert lint["dropped_not_found"] < 40
    assert lint["questions_read"] <= 500
    assert lint["grammatical"] > 0.9
    assert f"- `grammatical`: {lint['grammatical']}" in card


def test_too_few_pages_for_the_splits_are_refused(tmp_path: Path) -> None:
    write_json_lines(
        tmp_path / "one.jsonl",
        [asdict(Passage(f"{n}", "Dropout", s, text="Dropout is a method.")) for n, s in enumerate(["", "History"])],
    )
    with pytest.raises(CorpusError, match=r"the eval split has no question, because too few pages have questions"):
        make_dataset(DatasetConfig(out=tmp_path / "out", passages=tmp_path / "one.jsonl", check=False))
    assert not (tmp_path / "out").exists()
