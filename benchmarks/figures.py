"""Print each figure that the README states beside the same figure measured now.

    make figures                                                  # what needs no data: some minutes
    make figures FIGURES="--data ../shared/data"                  # and what public data gives: an hour or more
    python benchmarks/figures.py --only counts start              # some sources

A figure is found in the README by a pattern, so it cannot be renamed or removed without a test noticing. A source measures
several figures; `SOURCES` names the command of each. Figures of quality may differ by `QUALITY`, speeds and ratios by `SPEED`.
The exit status is 1 if a figure differs by more.
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
from ragqa.recipes.books.library import read_books, starter_file
from ragqa.text.pages import read_pages, starter_folder
from ragqa.text.passages import split
from ragqa.wiki.seeds import read_seeds

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TITLES = ROOT / "benchmarks" / "squad_test_titles.txt"
EXACT, QUALITY, SPEED = 0.0, 0.01, 0.15  # shares of the stated figure, or absolute for those below 1
START_ROUNDS = 5

Values = Mapping[str, float]


@dataclass(frozen=True)
class Stated:
    """Figures of the README: the pattern has a group for each key, white space in the text counts as one space."""

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


def table_row(start: str, metric: str, *systems: str) -> str:
    """The pattern of a row of the README's table of quality."""
    return rf"{start} \| {metric} \| ([\d.]+) \| \*\*([\d.]+)\*\*"


def quality(source: str, start: str) -> tuple[Stated, ...]:
    """The two rows of a judged set: BM25 and the whole pipeline by nDCG@10, then by MRR@10."""
    both = ("BM25 {0}", "pipeline {0}")
    first = table_row(start, "nDCG@10")
    second = rf"{start} \| nDCG@10 [^\n]*?< 0\.001 \| \| \| MRR@10 \| ([\d.]+) \| \*\*([\d.]+)\*\*"
    return (
        Stated(source, first, tuple(f"{source} {name.format('nDCG@10')}" for name in both)),
        Stated(source, second, tuple(f"{source} {name.format('MRR@10')}" for name in both)),
    )


_METRICS = r"MAP ([\d.]+), MRR@10 ([\d.]+), nDCG@10 ([\d.]+)"
_THREE = r"\(([\d.]+), ([\d.]+), ([\d.]+)\)"
_BOOKS = ("recommender", "popularity", "collaborative filtering", "reranker")

STATED = (
    Stated("counts", r"starter corpus of (\d+) original articles", ("articles",), EXACT),
    Stated("counts", r"over its ([\d,]+) passages, one answer each", ("starter passages",), EXACT),
    Stated("counts", r"(\d+) of the starter corpus, over its", ("starter questions kept for tests",), EXACT),
    Stated("counts", r"\((\d+) well-known books", ("books",), EXACT),
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
    Stated("graded", r"best sentence holds the marked answer for (\d+) %", ("starter answer held, %",), SPEED),
    Stated("squad", r"the gold answer for (\d+) % of the SQuAD questions", ("SQuAD answer held, %",), SPEED),
    Stated(
        "books",
        rf"{_METRICS}: above popularity {_THREE}, collaborative filtering from the training readers {_THREE} "
        rf"and the reranker alone {_THREE}",
        tuple(f"{system} {metric}" for system in _BOOKS for metric in ("MAP", "MRR@10", "nDCG@10")),
    ),
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
    r"What fell short: .*? \(p 0\.07\)": "aims, and `benchmarks/bi_encoder.py` with its grades",
    r"The recipe of the published .*? below BM25": "needs a training of the reference recipe",
    r"Of the aims MAP .* nDCG@10 is 0\.880": "aims, and `benchmarks/books.py --candidates 12`, 16 and 20",
    r"BM25 over a million passages.*?8\.4×": "`benchmarks/bench.py --only bm25`: 16 GB of memory",
    r"building BM25's index .*? after 200 questions": "`benchmarks/bench.py --only index`: 16 GB of memory",
    r"Beside bm25s with numba.*?411× rank-bm25 then": "a remark on another run",
}


def unclaimed(text: str) -> list[str]:
    """Figures of a text with a fraction or a factor that are neither stated in `STATED` nor explained in `UNMEASURED`."""
    line = " ".join(text.split())
    claimed = [found for stated in STATED for found in re.finditer(stated.pattern, line)]
    spans = [found.span(group) for found in claimed for group in range(1, len(found.groups()) + 1)]
    spans += [found.span() for pattern in UNMEASURED for found in re.finditer(pattern, line)]
    figures = re.finditer(r"\b0\.\d{2,}\b|\b[\d.]+×", line)
    return [found[0] for found in figures if not any(start <= found.start() < end for start, end in spans)]


def read_stated(text: str) -> Iterator[tuple[Stated, tuple[float, ...]]]:
    """The figures of a text by the entries of `STATED`. Raises `ValueError` for one that is not there exactly once."""
    line = " ".join(text.split())
    for stated in STATED:
        found = list(re.finditer(stated.pattern, line))
        if len(found) != 1:
            raise ValueError(f"{len(found)} places of the README match {stated.pattern!r}; exactly one must")
        yield stated, tuple(float(group.replace(",", "")) for group in found[0].groups())


def counts(_: Path) -> Values:
    """What is in the repository."""
    pages, seeds = tuple(read_pages(starter_folder())), read_seeds(ROOT / "corpus" / "wikipedia.toml")
    return {
        "articles": len(pages),
        "starter passages": sum(len(split(page)) for page in pages),
        "starter questions kept for tests": len(list(read_starter_graded().questions)[::3]),
        "books": len(read_books(starter_file())),
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
    command = [sys.executable, "-m", "ragqa", "evaluate", "--json", "--answers", "--judged", *arguments]
    report = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    found: dict[str, float] = {}
    for system, label in ((report["systems"][0], "BM25"), (report["systems"][-1], "pipeline")):
        means = {estimate["metric"]: estimate["mean"] for estimate in system["estimates"]}
        found |= {f"{name} {label} nDCG@10": means["nDCG@10"], f"{name} {label} MRR@10": means["RR@10"]}
    answers = report["answers"]
    uncovered, covered = answers["uncovered"], answers["covered"]
    held = "SQuAD answer held, %" if name == "squad" else "starter answer held, %"
    return found | {
        held: 100 * answers["holds_answer"],
        "abstained on uncovered": answers["abstained_on_uncovered"] * uncovered,
        "uncovered": uncovered,
        "abstained on covered": answers["abstained_on_covered"] * covered,
        "covered": covered,
    }


def books(data: Path) -> Values:
    """The sets `library` of the second recipe, 50 candidates."""
    model = ROOT / "ragqa" / "recipes" / "books" / "reranker"
    arguments = ["--data", data / "goodbooks", "--set", "test-library", "--model", model, "--quick"]
    printed = run_script("books.py", *arguments)
    named = {"popularity on Goodreads": "popularity", "recommender with reranker": "recommender"}
    found: dict[str, float] = {}
    for row in rows(printed):
        if len(row) > 3 and re.match(r"\d\.\d+ \(", row[1]):
            means = [float(cell.split()[0]) for cell in row[1:4]]
            name = named.get(row[0], row[0])
            found |= {
                f"{name} {metric}": mean for metric, mean in zip(("MAP", "MRR@10", "nDCG@10"), means, strict=True)
            }
    return found


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
    "graded": Source(bundled("graded", "starter-graded-test"), "ragqa evaluate --judged starter-graded-test --answers"),
    "interviews": Source(beir("interviews", "mlq_dev"), "ragqa evaluate --judged DATA/mlq_dev", needs_data=True),
    "squad": Source(
        beir("squad", "squad_dev", *_SQUAD),
        "ragqa evaluate --judged DATA/squad_dev --titles benchmarks/squad_test_titles.txt --questions 290 --answers",
        needs_data=True,
    ),
    "books": Source(books, "python benchmarks/books.py --data DATA/goodbooks --set test-library", needs_data=True),
    "rerank": Source(speed("rerank", read_rerank), "python benchmarks/bench.py --only rerank", needs_data=True),
    "search": Source(speed("search", read_search), "python benchmarks/bench.py --only search", needs_data=True),
    "bm25": Source(speed("bm25", read_bm25), "python benchmarks/bench.py --only bm25", needs_data=True),
    "training": Source(speed("training", read_training), "python benchmarks/bench.py --only training", needs_data=True),
}


def compare(chosen: Sequence[str], data: Path) -> Iterator[Figure]:
    """Measure the chosen sources, one after the other, and set each figure beside the one stated."""
    stated = list(read_stated(README.read_text(encoding="utf8")))
    for name in chosen:
        measured = SOURCES[name].measure(data)
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


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, measure and print."""
    commands = "\n".join(f"  {name:11} {source.command}" for name, source in SOURCES.items())
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"sources, and the command of each:\n{commands}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, metavar="DATA", help="folder of public data (benchmarks/README.md)")
    parser.add_argument("--only", nargs="+", choices=SOURCES, metavar="SOURCE", help="sources to measure")
    options = parser.parse_args(arguments)
    chosen = options.only or [name for name, source in SOURCES.items() if options.data or not source.needs_data]
    if missing := [name for name in chosen if SOURCES[name].needs_data and not options.data]:
        parser.error(f"{missing[0]} needs --data")
    return 1 if print_figures(compare(chosen, options.data or ROOT)) else 0


if __name__ == "__main__":
    sys.exit(main())
