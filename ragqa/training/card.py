"""Pairs in, a dataset folder out: JSON Lines and Parquet files, a card that describes the pairs, a lint report on their flaws.

The card names the sources of the texts and their licences, as far as they are known. The card of a trained model repeats them.
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from ragqa.errors import CorpusError, MissingExtraError, warn_of_fallback
from ragqa.records import PARTLY, Pair, Passage
from ragqa.storage.folders import DATASET_MARK, replace_folder
from ragqa.storage.json_lines import write_json_lines
from ragqa.text.licences import STARTER_LICENCE, WIKIPEDIA_LICENCE, is_wikipedia
from ragqa.text.pages import read_pages, starter_folder
from ragqa.training.dataset import SPLITS
from ragqa.training.lint import lint

if TYPE_CHECKING:
    import pyarrow

COLUMNS = ("sentence_0", "sentence_1", "label")

UNKNOWN = "unknown"  # the hub's identifier for a licence that is not stated

ABOUT = """\
Questions (`sentence_0`) and passages (`sentence_1`). `label` is 1.0 if the passage answers the question and 0.0 if not.
It lies between if the passage answers in part, or if a bi-encoder named under Sources softened the label.
Made by `ragqa dataset`. Split by page: no page has passages in two splits."""

_SAMPLES = 3
_SHARE_ALIKE = re.compile(r"^cc-by(-nc)?-sa|gpl|gfdl|^odbl")  # in the hub's identifiers of licences


@dataclass(frozen=True, slots=True)
class Origin:
    """Where texts come from, and the hub's identifier of their licence; `UNKNOWN` if it is not stated."""

    name: str
    licence: str


class Config(Protocol):
    """How a dataset was made."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings by name, as the card lists them."""


def write_dataset(
    pairs: Mapping[str, Sequence[Pair]],
    out: str | Path,
    *,
    title: str,
    sources: Iterable[str],
    licence: str,
    config: Config,
    about: str = ABOUT,
    add: Callable[[Path], object] | None = None,
    more_lint: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Write the splits as `.jsonl` and `.parquet`, a card, the lint report and checksums; return the lint report.

    `more_lint` is added to the report.

    `licence` is one of the hub's identifiers, or several separated by ", ". `about` is the first paragraph of the card. `add`
    writes more files into the new folder. Issues a `FallbackWarning` if the eval split is empty or all train pairs have one
    label. `datasets.load_dataset(folder)` reads the folder.

    Raises `CorpusError` if there are no pairs to train on, `InputError` if `out`
    exists and is not a dataset, `MissingExtraError` without pyarrow.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("writing Parquet", "train") from error
    if not pairs["train"]:
        raise CorpusError("there are no pairs to train on; give more pages or another seed")
    report = lint(pairs) | dict(more_lint or {})
    _warn_of_gaps(pairs, out)
    tables = {split: _table(pairs[split]) for split in SPLITS}
    with replace_folder(out, DATASET_MARK) as new:
        for split in SPLITS:
            write_json_lines(new / f"{split}.jsonl", (dict(zip(COLUMNS, _row(p), strict=True)) for p in pairs[split]))
            pyarrow.parquet.write_table(tables[split], new / f"{split}.parquet")
        (new / DATASET_MARK).write_text(json.dumps(report, indent=1) + "\n", encoding="utf8")
        card = _card(pairs, report, title, sources, licence, config, about, _dataset_info(tables, new))
        (new / "README.md").write_text(card, encoding="utf8")
        if add:
            add(new)
    return report


def _warn_of_gaps(pairs: Mapping[str, Sequence[Pair]], out: str | Path) -> None:
    """Warn of what `ragqa train` will not accept."""
    if not pairs["eval"]:
        warn_of_fallback(
            f"the eval split of {out} is empty, and `ragqa train` needs it; give more pages or other --parts"
        )
    if len({pair.label >= PARTLY for pair in pairs["train"]}) == 1:
        kind = "positive" if pairs["train"][0].label >= PARTLY else "negative"
        warn_of_fallback(f"every train pair of {out} is {kind}, and `ragqa train` needs both kinds; give more pages")


def origin_of(name: str, passages: Sequence[Passage]) -> Origin:
    """Tell from URLs and texts where passages come from: the starter corpus, Wikipedia or elsewhere."""
    starter = {page.title: page.text for page in read_pages(starter_folder())}
    others = [p for p in passages if p.text not in starter.get(p.title, "")]
    if not others:
        return Origin(f"{name}: the starter corpus of ragqa", STARTER_LICENCE)
    hosts = sorted({urlsplit(p.url).hostname or "" for p in others})
    pages = len({(p.title, p.url.partition("#")[0]) for p in passages})
    known_hosts = ", ".join(hosts).strip(", ") or "unknown places"
    on_wikipedia = all(map(is_wikipedia, hosts))
    return Origin(
        f"{name}: {pages:,} {'page' if pages == 1 else 'pages'} of {known_hosts}",
        WIKIPEDIA_LICENCE if on_wikipedia else UNKNOWN,
    )


def join_licences(origins: Iterable[Origin]) -> str:
    """Join the licences of all origins as `write_dataset` takes them; `UNKNOWN` if one of them is."""
    licences = sorted({origin.licence for origin in origins})
    return UNKNOWN if UNKNOWN in licences else ", ".join(licences)


def licence_of_model(base: str | None, datasets: Iterable[str | Path]) -> str | None:
    """Return the licence of a model trained on datasets: the only share-alike licence of base and data, else the base's.

    Returns "other" for several share-alike licences, of which none can be chosen, and None if a licence is not stated.
    """
    stated = {licence for folder in datasets for licence in read_origin(folder).licence.split(", ")}
    if base is None or UNKNOWN in stated | {base}:
        return None
    share_alike = sorted(licence for licence in stated | {base} if _SHARE_ALIKE.search(licence.lower()))
    return "other" if len(share_alike) > 1 else share_alike[0] if share_alike else base


def read_origin(folder: str | Path) -> Origin:
    """Read the title and the licence of a dataset folder from its card."""
    path = Path(folder) / "README.md"
    text = path.read_text(encoding="utf8") if path.is_file() else ""
    licence = re.search(r"^Licence of the texts: (.+?)\.$", text, re.MULTILINE)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    name = Path(folder).resolve().name
    return Origin(f"{name} ({title[1]})" if title else name, licence[1] if licence else UNKNOWN)


def add_origins(card: Path, base: str, base_licence: str | None, datasets: Iterable[str | Path]) -> None:
    """Add the base model, the datasets and their licences to the card of a trained model."""
    rows = [f"- base model: {base}, licence: {base_licence or UNKNOWN}"]
    rows += [f"- dataset: {o.name}, licence of the texts: {o.licence}" for o in map(read_origin, datasets)]
    section = "\n".join(["## Data and Licences", "", *rows, "", ""])
    before, heading, details = card.read_text(encoding="utf8").partition("## Model Details\n")
    card.write_text(f"{before}{section}{heading}{details}", encoding="utf8")


def _row(pair: Pair) -> tuple[str, str, float]:
    return pair.question, pair.passage, float(pair.label)


def _table(pairs: Sequence[Pair]) -> "pyarrow.Table":
    import pyarrow

    kinds = (pyarrow.string(), pyarrow.string(), pyarrow.float64())
    columns = zip(*map(_row, pairs), strict=True) if pairs else ((), (), ())
    return pyarrow.table({n: pyarrow.array(c, k) for n, c, k in zip(COLUMNS, columns, kinds, strict=True)})


def _dataset_info(tables: Mapping[str, "pyarrow.Table"], folder: Path) -> dict[str, Any]:
    """Return columns and sizes in bytes and rows, in the hub's form. The card lists only splits with rows."""
    filled = {split: table for split, table in tables.items() if table.num_rows}
    splits = [
        {"name": name, "num_bytes": table.nbytes, "num_examples": table.num_rows} for name, table in filled.items()
    ]
    columns = zip(COLUMNS, ("string", "string", "float64"), strict=True)
    return {
        "features": [{"name": name, "dtype": dtype} for name, dtype in columns],
        "splits": splits,
        "download_size": sum((folder / f"{split}.parquet").stat().st_size for split in filled),
        "dataset_size": sum(table.nbytes for table in filled.values()),
    }


def _card(
    pairs: Mapping[str, Sequence[Pair]],
    report: Mapping[str, Any],
    title: str,
    sources: Iterable[str],
    licence: str,
    config: Config,
    about: str,
    info: Mapping[str, Any],
) -> str:
    return "\n".join(
        [
            "---",
            "language: en",
            f"pretty_name: {json.dumps(title, ensure_ascii=False)}",
            f"license: {_as_yaml(licence.split(', '))}",
            "task_categories: [text-ranking]",
            "tags: [sentence-transformers, cross-encoder, ragqa]",
            "configs:",
            "- config_name: default",
            "  data_files:",
            *(f"  - {{split: {split}, path: {split}.parquet}}" for split in SPLITS if pairs[split]),
            f"dataset_info: {json.dumps(info)}",
            "---",
            "",
            f"# {' '.join(title.split())}",
            "",
            about,
            "",
            "| split | pairs | positives | questions | passages |",
            "|---|---|---|---|---|",
            *(_split_row(split, pairs[split]) for split in SPLITS),
            "",
            "| characters | min | mean | max |",
            "|---|---|---|---|",
            _length_row("sentence_0", [len(p.question) for s in SPLITS for p in pairs[s]]),
            _length_row("sentence_1", [len(p.passage) for s in SPLITS for p in pairs[s]]),
            "",
            "## Sources",
            "",
            *(f"- {source}" for source in sources),
            f"\nLicence of the texts: {licence}.",
            "",
            "## Settings",
            "",
            *(f"- `{name}`: {value}" for name, value in config.settings.items()),
            "",
            "## Lint",
            "",
            *(f"- `{name}`: {value}" for name, value in report.items() if not isinstance(value, dict | list)),
            *_worst(report.get("worst", ())),
            "",
            "## Samples",
            "",
            "| sentence_0 | sentence_1 | label |",
            "|---|---|---|",
            *(f"| {_cell(p.question)} | {_cell(p.passage)} | {p.label} |" for p in pairs["train"][:_SAMPLES]),
            "",
        ]
    )


def _worst(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the lines of the card on the questions with the most faults."""
    listed = [f"- {_cell(row['question'])} ({'; '.join(row['faults'])})" for row in rows]
    return ["", "The questions with the most faults:", "", *listed] if listed else []


def _as_yaml(names: Sequence[str]) -> str:
    """Return one name, or several as a list; strings are quoted as JSON, which YAML accepts."""
    plain = [name if re.fullmatch(r"[\w.-]+", name) else json.dumps(name, ensure_ascii=False) for name in names]
    return plain[0] if len(plain) == 1 else f"[{', '.join(plain)}]"


def _split_row(split: str, pairs: Sequence[Pair]) -> str:
    questions, passages = len({p.question for p in pairs}), len({p.passage for p in pairs})
    return f"| {split} | {len(pairs)} | {sum(p.label >= PARTLY for p in pairs)} | {questions} | {passages} |"


def _length_row(name: str, lengths: Sequence[int]) -> str:
    return f"| {name} | {min(lengths)} | {statistics.mean(lengths):.1f} | {max(lengths)} |"


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", "\\|").replace("<", "&lt;")
