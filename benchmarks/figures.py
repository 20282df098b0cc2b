"""Print each figure that docs/figures.md states and the same figure measured now.

    make figures                                                  # what needs no data: some minutes
    make figures FIGURES="--data ../shared/data"                  # and what public data gives: an hour or more
    python benchmarks/figures.py --only counts start              # some sources

A figure is found on the page by a pattern, so it cannot be renamed or removed without a test noticing. Other pages repeat some
figures, and a test compares them. A source measures several figures; `SOURCES` names the command of each. Figures of quality
may differ by `QUALITY`, speeds and ratios by `SPEED`. The exit status is 1 if a figure differs by more.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ragqa.evaluation.judged import read_starter_graded
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import split
from ragqa.wiki.seeds import read_seeds

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "figures.md"
TITLES = ROOT / "benchmarks" / "squad_test_titles.txt"
EXACT, QUALITY, SPEED = 0.0, 0.01, 0.15  # shares of the stated figure, or absolute for those below 1
START_ROUNDS = 5

GRADE = r"(?: \(grade ≥ 1\))?"  # sets with one grade do not name it
Values = Mapping[str, float]


@dataclass(frozen=True)
class Stated:
    """Figures of a page: the pattern has a group for each key, white space in the text counts as one space."""

    source: str
    pattern: str
    keys: tuple[str, ...]
    tolerance: float = QUALITY


@dataclass(frozen=True)
class Figure:
    """One figure, stated and measured; None if its source no longer gives it."""

    name: str
    stated: float
    measured: float | None
    tolerance: float

    @property
    def differs(self) -> bool:
        """Whether the measured figure is missing, or further from the stated one than may be."""
        if self.measured is None:
            return True
        return abs(self.measured - self.stated) > self.tolerance * max(1.0, abs(self.stated)) + 1e-9


@dataclass(frozen=True)
class Source:
    """What measures figures: a function of the data folder, the command that does the same by hand, and if data is needed."""

    measure: Callable[[Path], Values]
    command: str
    needs_data: bool = False


@dataclass(frozen=True)
class Document:
    """A file with figures: those that are measured, why others are not (pattern: reason), and what measures them."""

    path: Path
    stated: tuple[Stated, ...]
    unmeasured: Mapping[str, str]
    sources: Mapping[str, Source]


def table_row(start: str, metric: str, *systems: str) -> str:
    """The pattern of a row of the table of quality."""
    return rf"{start} \| {metric} \| ([\d.]+) \| \*\*([\d.]+)\*\*"


def quality(source: str, start: str) -> tuple[Stated, ...]:
    """The two rows of a judged set: BM25 and the whole pipeline by nDCG@10, then by MRR@10."""
    both = ("BM25 {0}", "pipeline {0}")
    first = table_row(start, "nDCG@10")
    second = rf"{start} \| nDCG@10 [^\n]*?< 0\.001 \| \| \| MRR@10{GRADE} \| ([\d.]+) \| \*\*([\d.]+)\*\*"
    return (
        Stated(source, first, tuple(f"{source} {name.format('nDCG@10')}" for name in both)),
        Stated(source, second, tuple(f"{source} {name.format('MRR@10')}" for name in both)),
    )


STATED = (
    Stated("counts", r"starter corpus of (\d+) original articles", ("articles",), EXACT),
    Stated("counts", r"over its ([\d,]+) passages, one answer each", ("starter passages",), EXACT),
    Stated("counts", r"(\d+) of the starter corpus, over its", ("starter questions kept for tests",), EXACT),
    Stated("counts", r"names (\d+) categories and ([\d,]+) titles", ("categories", "titles"), EXACT),
    *quality("interviews", r"over 9,433 passages of 217 Wikipedia pages"),
    *quality("starter", r"over its [\d,]+ passages, one answer each"),
    *quality("graded", r"the same, all passages near the top judged"),
    *quality("squad", r"on 10 articles not trained on, over 4,697 passages"),
    Stated(
        "graded",
        r"abstains on (\d+) of (\d+) that the corpus does not cover, and, wrongly, on (\d+) of the (\d+)",
        ("abstained on uncovered", "uncovered", "abstained on covered", "covered"),
        SPEED,
    ),
    Stated("graded", r"answer holds the marked one for (\d+) %", ("starter answer held, %",), SPEED),
    Stated("start", r"from nothing to the first answer: ([\d.]+) s", ("first answer, s",), SPEED),
    Stated("rerank", r"rerank 100 passages of 450 characters: (\d+) pairs/s", ("reranked pairs/s",), SPEED),
    Stated("rerank", r"fp32, its defaults \| ([\d.]+)× as fast", ("rerank ÷ sentence-transformers",), SPEED),
    Stated("rerank", r"both int8 \| ([\d.]+)×; ([\d.]+)×", ("rerank ÷ FlashRank", "rerank ÷ ONNX Runtime"), SPEED),
    Stated("search", r"ten best of 10,000 passages: (\d+) ms", ("search, ms",), SPEED),
    Stated("search", r"reranked by sentence-transformers \| ([\d.]+)×", ("search ÷ usual",), SPEED),
    Stated("bm25", r"BM25 over 50,000 passages: ([\d,]+) questions/s", ("BM25 questions/s",), SPEED),
    Stated("bm25", r"rank-bm25, the same scores \| ([\d.]+)×", ("BM25 ÷ rank-bm25",), SPEED),
    Stated(
        "bm25",
        r"the same scores \| \d+× \| \| \| bm25s; bm25s with numba; tantivy \| ([\d.]+)×; ([\d.]+)×; ([\d.]+)×",
        ("BM25 ÷ bm25s", "BM25 ÷ bm25s with numba", "BM25 ÷ tantivy"),
        SPEED,
    ),
    Stated("training", r"training steps on the CPU: (\d+) pairs/s", ("trained pairs/s",), SPEED),
    Stated(
        "training", r"sentence-transformers, its defaults \| ([\d.]+)×, with no lower", ("training ÷ usual",), SPEED
    ),
)


UNMEASURED = {
    r"\| [+-]0\.\d+ \([^)]*\) \| (< )?0\.\d+": "the commands print differences, their intervals and p",
    r"loses 0\.092 .* 0\.081 on the third": "`ragqa evaluate --compare` prints the pipeline without the embedder",
    r"The aim was nDCG@10 .*? \(p 0\.07\)": "aims, and `benchmarks/bi_encoder.py` with its grades",
    r"The published reference model .*? below BM25": "needs a training of the reference recipe",
    r"BM25 over a million passages.*?8\.4×": "`benchmarks/bench.py --only bm25`: 16 GB of memory",
    r"The aims of 0\.75 on the first set and 0\.90 on the second": "aims",
    r"building BM25's index .*? without": "`benchmarks/bench.py --only index`: 16 GB of memory",
    r"opening an index of a million .*? after 200 questions": "`benchmarks/bench.py --only index`: 16 GB of memory",
    r"Compared with bm25s with numba.*?411× rank-bm25 in that run": "a remark on another run",
}


def unclaimed(text: str, document: Document | None = None) -> list[str]:
    """Return the figures of a text that have a fraction or a factor and are neither stated nor explained in the document."""
    document = document or DOCUMENT
    line = " ".join(text.split())
    claimed = [found for stated in document.stated for found in re.finditer(stated.pattern, line)]
    spans = [found.span(group) for found in claimed for group in range(1, len(found.groups()) + 1)]
    spans += [found.span() for pattern in document.unmeasured for found in re.finditer(pattern, line)]
    figures = re.finditer(r"\b0\.\d{2,}\b|\b[\d.]+×", line)
    return [found[0] for found in figures if not any(start <= found.start() < end for start, end in spans)]


def read_stated(text: str, document: Document | None = None) -> Iterator[tuple[Stated, tuple[float, ...]]]:
    """Yield the figures of a text by the document's entries. Raises `ValueError` for one that is not there exactly once."""
    document = document or DOCUMENT
    line = " ".join(text.split())
    for stated in document.stated:
        found = list(re.finditer(stated.pattern, line))
        if len(found) != 1:
            raise ValueError(f"{len(found)} places of {document.path.name} match {stated.pattern!r}; exactly one must")
        yield stated, tuple(float(group.replace(",", "")) for group in found[0].groups())


def misquoted(text: str, document: Document | None = None) -> list[str]:
    """Return the patterns of the figures in a text that differ from what the document states."""
    document = document or DOCUMENT
    stated = dict(read_stated(document.path.read_text(encoding="utf8"), document))
    line = " ".join(text.split())
    return [
        entry.pattern
        for entry, values in stated.items()
        for found in re.finditer(entry.pattern, line)
        if tuple(float(group.replace(",", "")) for group in found.groups()) != values
    ]


def counts(_: Path) -> Values:
    """What is in the repository."""
    pages, seeds = tuple(read_pages(starter_folder())), read_seeds(ROOT / "corpus" / "wikipedia.toml")
    return {
        "articles": len(pages),
        "starter passages": sum(len(split(page)) for page in pages),
        "starter questions kept for tests": len(list(read_starter_graded().questions)[::3]),
        "categories": len(seeds.categories),
        "titles": len(seeds.titles),
    }


def start(_: Path) -> Values:
    """The median time of `ragqa ask` in a process of its own, in turns with importing sentence-transformers."""
    commands = {
        "first answer, s": ["-m", "ragqa", "ask", "why does dropout help?"],
        "import sentence_transformers, s": ["-c", "import sentence_transformers"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for round_number in range(START_ROUNDS + 1):
        for name, command in commands.items():
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], capture_output=True, check=True)
            if round_number:  # the first fills the caches
                seconds[name].append(time.perf_counter() - began)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    return medians | {"first answer ÷ import": medians["first answer, s"] / medians["import sentence_transformers, s"]}


def judged(name: str, *arguments: str) -> Values:
    """`ragqa evaluate` on one set, the means of BM25 and of the whole pipeline, and what it says of answers."""
    command = [sys.executable, "-m", "ragqa", "evaluate", "--json", "--answers", "--least-grade", "1"]
    command += ["--judged", *arguments]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    found: dict[str, float] = {}
    for system, label in ((report["systems"][0], "BM25"), (report["systems"][-1], "pipeline")):
        means = {estimate["metric"]: estimate["mean"] for estimate in system["estimates"]}
        found |= {f"{name} {label} nDCG@10": means["nDCG@10"], f"{name} {label} MRR@10": means["RR@10"]}
    answers = report["answers"]
    uncovered, covered = answers["uncovered"], answers["covered"]
    return found | {
        "starter answer held, %": 100 * answers["holds_answer"],
        "abstained on uncovered": answers["abstained_on_uncovered"] * uncovered,
        "uncovered": uncovered,
        "abstained on covered": answers["abstained_on_covered"] * covered,
        "covered": covered,
    }


def speed(only: str, read: Callable[[list[list[str]]], Values]) -> Callable[[Path], Values]:
    """A comparison of `bench.py`, over the pages that the README's figures are of."""

    def measure(data: Path) -> Values:
        with tempfile.TemporaryDirectory() as out:
            pages = data / "wikipedia" / "pages.jsonl.gz"
            sizes = ["--passages", "50000"] if only == "bm25" else []
            run_script("bench.py", "--pages", pages, "--only", only, "--out", out, *sizes)
            return read(list(rows((Path(out) / f"{only}.md").read_text(encoding="utf8"))))

    return measure


def read_rerank(table: list[list[str]]) -> Values:
    """Pairs a second, and how many times as fast."""
    by_name = {row[0].split(",")[0].split(" `")[0]: row for row in table}
    times = {name: first_number(row[3]) for name, row in by_name.items() if first_number(row[3])}
    return {"reranked pairs/s": first_number(by_name["ragqa"][1])} | {f"rerank ÷ {n}": t for n, t in times.items()}


def read_search(table: list[list[str]]) -> Values:
    """Milliseconds, and how many times as fast."""
    return {"search, ms": first_number(table[1][1]), "search ÷ usual": first_number(table[2][3])}


def read_bm25(table: list[list[str]]) -> Values:
    """Questions a second, and how many times as fast."""
    names = {"bm25s, numpy": "bm25s", "bm25s, numba": "bm25s with numba"}
    found = {f"BM25 ÷ {names.get(row[1], row[1])}": first_number(row[3]) for row in table[1:]}
    return found | {"BM25 questions/s": first_number(table[1][2])}


def read_training(table: list[list[str]]) -> Values:
    """Pairs a second, and how many times as fast."""
    return {"trained pairs/s": first_number(table[1][1]), "training ÷ usual": first_number(table[2][2])}


def run_script(name: str, *arguments: object) -> str:
    """What a benchmark prints."""
    command = [sys.executable, ROOT / "benchmarks" / name, *arguments]
    done = subprocess.run([*map(str, command)], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


def rows(markdown: str) -> Iterator[list[str]]:
    """The cells of each line of Markdown tables, but of the lines below the headers."""
    for line in markdown.splitlines():
        if line.startswith("|") and not set(line) <= set("|- "):
            yield [cell.strip() for cell in line.strip("|").split("|")]


def first_number(cell: str) -> float:
    """The first number in a cell, 0 if there is none."""
    found = re.search(r"[\d,]+(\.\d+)?", cell)
    return float(found[0].replace(",", "")) if found else 0.0


def bundled(name: str, judged_set: str) -> Callable[[Path], Values]:
    """Measure on a bundled judged set."""
    return lambda _: judged(name, judged_set)


def beir(name: str, folder: str, *arguments: str) -> Callable[[Path], Values]:
    """Measure on a BEIR folder of the data."""
    return lambda data: judged(name, str(data / folder), *arguments)


_SQUAD = ("--titles", str(TITLES), "--questions", "290")
SOURCES = {
    "counts": Source(counts, "python benchmarks/figures.py --only counts"),
    "start": Source(start, "python benchmarks/figures.py --only start"),
    "starter": Source(bundled("starter", "starter-test"), "ragqa evaluate --judged starter-test"),
    "graded": Source(
        bundled("graded", "starter-graded-test"),
        "ragqa evaluate --judged starter-graded-test --answers --least-grade 1",
    ),
    "interviews": Source(
        beir("interviews", "mlq_dev"), "ragqa evaluate --judged DATA/mlq_dev --least-grade 1", needs_data=True
    ),
    "squad": Source(
        beir("squad", "squad_dev", *_SQUAD),
        "ragqa evaluate --judged DATA/squad_dev --titles benchmarks/squad_test_titles.txt --questions 290 --answers",
        needs_data=True,
    ),
    "rerank": Source(speed("rerank", read_rerank), "python benchmarks/bench.py --only rerank", needs_data=True),
    "search": Source(speed("search", read_search), "python benchmarks/bench.py --only search", needs_data=True),
    "bm25": Source(speed("bm25", read_bm25), "python benchmarks/bench.py --only bm25", needs_data=True),
    "training": Source(speed("training", read_training), "python benchmarks/bench.py --only training", needs_data=True),
}


DOCUMENT = Document(PAGE, STATED, UNMEASURED, SOURCES)


def compare(chosen: Sequence[str], data: Path, document: Document = DOCUMENT) -> Iterator[Figure]:
    """Measure the chosen sources, one after the other, and yield each figure with the one stated."""
    stated = list(read_stated(document.path.read_text(encoding="utf8"), document))
    for name in chosen:
        measured = document.sources[name].measure(data)
        for entry, values in stated:
            if entry.source == name:
                for key, value in zip(entry.keys, values, strict=True):
                    yield Figure(key, value, measured.get(key), entry.tolerance)


def print_figures(figures: Iterable[Figure]) -> int:
    """Print figures as they come; return how many differ."""
    differing = 0
    print("| figure | stated | measured | |\n|---|---|---|---|", flush=True)
    for figure in figures:
        now = "–" if figure.measured is None else f"{figure.measured:,.4g}"
        print(f"| {figure.name} | {figure.stated:,.6g} | {now} | {'differs' if figure.differs else ''} |", flush=True)
        differing += figure.differs
    return differing


def main(arguments: Sequence[str] | None = None, document: Document = DOCUMENT) -> int:
    """Read the arguments, measure and print."""
    sources = document.sources
    commands = "\n".join(f"  {name:11} {source.command}" for name, source in sources.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"sources, and the command of each:\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="folder of public data (benchmarks/README.md)")
    parser.add_argument("--only", nargs="+", choices=sources, metavar="SOURCE", help="sources to measure")
    options = parser.parse_args(arguments)
    chosen = options.only or [name for name, source in sources.items() if options.data or not source.needs_data]
    if missing := [name for name in chosen if sources[name].needs_data and not options.data]:
        parser.error(f"{missing[0]} needs --data")
    return 1 if print_figures(compare(chosen, options.data or ROOT, document)) else 0


if __name__ == "__main__":
    sys.exit(main())
