"""Measure how fast ragqa is, beside the libraries that could do its work.

    make bench                                                       # or, to choose:
    python benchmarks/bench.py --pages ../shared/data/wikipedia/pages.jsonl.gz --only bm25 --passages 10000 100000

Every comparison runs its contestants on the same cores, with as many threads, in turns (`speed/side_by_side.py`). Ratios count;
seconds are this machine's. Writes one Markdown file and one chart for each comparison, and `README.md` with all of them.

Then compares the ratios with those of the last run on the same kind of machine with the same options (`ratios.json`). If a lead
of ragqa has shrunk by more than 15 %, says which, and ends with status 1.
"""

import argparse
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "speed"))

import contestants as c
from models import make_model, make_torch_model
from ratios import compare, kind_of_machine
from reports import Chart, bars, curves, markdown_table, spread, times
from side_by_side import Contestant, Timing, once, pin, take_turns
from texts import full_passages, real_passages, searched_passages, some_questions

from ragqa.models.bases import OFFLINE_BASE

MODEL_OPERATIONS = 2  # of one multiplication with its addition
LAYERS, WIDTH, INNER = 6, 384, 1536  # of MiniLM-L6
QUANTILES = (0.5, 0.95)
CROWDS = (1, 8, 32)  # users who ask at once
GPU_CANDIDATES = 5000
REFERENCE_QUESTIONS = 5
TOLERANCE = 1e-5  # of a score, for sums of float32
REFERENCE_LIMIT = 100_000  # passages: beyond that rank-bm25 takes seconds for a question


@dataclass(frozen=True)
class Options:
    """What is measured, and how thoroughly."""

    pages: Path | None = None
    cores: int = 2
    rounds: int = 7
    candidates: int = 100
    passages: tuple[int, ...] = (10_000, 50_000, 100_000, 1_000_000)
    questions: int = 200
    training_pairs: int = 1600
    base: str = OFFLINE_BASE


SMOKE = Options(rounds=1, candidates=4, passages=(200, 400), questions=3, training_pairs=32)


@dataclass(frozen=True)
class Section:
    """A finished comparison. `ratios` say how many times faster ragqa is, by the name of what it is compared with."""

    name: str
    text: str
    chart: Chart | None = None
    ratios: dict[str, float] = field(default_factory=dict)


def rerank(options: Options) -> Section:
    """Passages of 500 characters scored for a question: pairs a second."""
    given = {"pages": options.pages, "passages": options.candidates}
    pairs = len(full_passages(options.pages, options.candidates))
    makers = {
        "ragqa, int8": c.RagqaReranker,
        "sentence-transformers `CrossEncoder.predict`, fp32": c.SentenceTransformersReranker,
        "rerankers, fp32": c.RerankersReranker,
        "FlashRank, int8": c.FlashRankReranker,
        "ONNX Runtime, int8": c.OnnxReranker,
    }
    questions = [(question,) for question in some_questions(options.pages, options.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(Path(folder), options.pages)
        operations = useful_operations(model, options, questions[-1][0])
        with running({name: (maker, {"model": model, **given}) for name, maker in makers.items()}) as all_of_them:
            timings = take_turns(all_of_them, "rerank", options.rounds, questions)
        with Contestant("profile", c.Profile, model=model) as profile:
            shares = once(profile, "shares").result
    with Contestant("rate", c.MatrixRate) as rate:
        most = max(take_turns([rate], "rate", 3)[0].result, 1.0)
    own = timings[0]
    rows = [[t.name, f"{pairs / t.median:.0f}", spread(t.seconds), times(own, t)] for t in timings]
    text = markdown_table(["", "pairs/s", "spread", "ragqa is faster by"], rows) + (
        f"\n\n{pairs} passages of {mean_length(options)} characters on average. The machine's highest rate of int8 matrix "
        f"products in this run: {most / 1e9:.0f} billion operations a second. The scores of these pairs are made of "
        f"{operations / 1e9:.0f} billion (padding and what nobody reads left out): ragqa does them at "
        f"{operations / own.median / most:.0%} of that rate. Where a batch's time goes: "
        + ", ".join(f"{kind} {share:.0%}" for kind, share in sorted(shares.items(), key=lambda item: -item[1]))
        + "."
    )
    chart = bars("pairs a second", {t.name.replace("`", ""): pairs / t.median for t in timings})
    return Section("rerank", text, chart, leads(timings))


def leads(timings: Sequence[Timing]) -> dict[str, float]:
    """How many times faster the first one is than each other, by name."""
    own, *others = timings
    return {other.name: own.times_faster(other)[0] for other in others}


def useful_operations(model: Path, options: Options, question: str) -> float:
    """The operations of the matrix products that the scores of these pairs are made of, each pair at its own length."""
    from tokenizers import Tokenizer

    from ragqa.text.passages import full_text

    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.no_padding()
    texts = [full_text(p) for p in full_passages(options.pages, options.candidates)]
    total = 0.0
    for length in (len(e.ids) for e in tokenizer.encode_batch([(question, text) for text in texts])):
        projections, attention = 4 * WIDTH**2 + 2 * WIDTH * INNER, 2 * length * WIDTH
        whole_layers = (LAYERS - 1) * length * (projections + attention)
        last_layer = length * 2 * WIDTH**2 + 2 * WIDTH**2 + 2 * WIDTH * INNER + attention
        total += MODEL_OPERATIONS * (whole_layers + last_layer)
    return total


def mean_length(options: Options) -> int:
    """The mean length of the reranked passages' texts."""
    return round(statistics.mean(len(p.text) for p in full_passages(options.pages, options.candidates)))


def search(options: Options) -> Section:
    """A question to its ten best passages: our default path, and BM25's first 100 reranked."""
    questions = [(question,) for question in some_questions(options.pages, options.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        usual = {"pages": options.pages, "model": make_model(Path(folder), options.pages)}
        makers: dict[str, Any] = {
            "ragqa, the default": (c.RagqaSearch, {"pages": options.pages}),
            "100 of BM25, `CrossEncoder.predict`, fp32": (c.UsualSearch, usual),
        }
        with running(makers) as both:
            timings = take_turns(both, "search", options.rounds, questions)
    rows = [[t.name, f"{1000 * t.median:.0f} ms", spread(t.seconds), times(timings[0], t)] for t in timings]
    count = len(searched_passages(options.pages))
    text = markdown_table(["", "a question takes", "spread", "ragqa is faster by"], rows) + (
        f"\n\nOver {count:,} passages. ragqa lets BM25 and the embedder choose 30 candidates and reranks these."
    )
    return Section("search", text, ratios=leads(timings))


def bm25(options: Options) -> Section:
    """BM25 over ever more passages: questions a second, the first ten of each."""
    questions = some_questions(options.pages, options.questions)
    rows = []
    ratios: dict[str, float] = {}
    speeds: dict[str, list[tuple[float, float]]] = {}
    for passages in options.passages:
        given = {"pages": options.pages, "passages": passages, "questions": questions}
        makers: dict[str, Any] = {
            "ragqa": (c.RagqaBm25, given),
            "bm25s, numpy": (c.Bm25s, given),
            "bm25s, numba": (c.Bm25s, given | {"backend": "numba"}),
            "tantivy": (c.Tantivy, given),
        }
        with running(makers) as all_of_them:
            for contestant in all_of_them:
                once(contestant, "build")
            timings = take_turns(all_of_them, "search", options.rounds, [(len(questions),)])
            own = once(all_of_them[0], "search", REFERENCE_QUESTIONS).result
        rates = {t.name: len(questions) / t.median for t in timings}
        if passages <= REFERENCE_LIMIT:
            with Contestant("rank-bm25", c.RankBm25, **given) as reference:
                found = once(reference, "search", REFERENCE_QUESTIONS)
            rates["rank-bm25"] = len(found.result) / found.median
            check_equal(own, found.result)
        for name, rate in rates.items():
            speeds.setdefault(name, []).append((passages, rate))
            rows.append([f"{passages:,}", name, f"{rate:,.0f}", f"{rates['ragqa'] / rate:.1f}×"])
            if name != "ragqa":
                ratios[f"{name}, {passages:,} passages"] = rates["ragqa"] / rate
    text = markdown_table(["passages", "", "questions/s", "ragqa is faster by"], rows) + (
        "\n\nOne question after the other, as text (for rank-bm25 as our terms: its scores are the reference, and on its five "
        "questions the ten best are the same, and their scores within 1e-5 of themselves). Beyond "
        f"{len(real_passages(options.pages)):,} the passages are made of the same pages' sentences in another order. bm25s and "
        "tantivy use analyzers of their own, which do less. rank-bm25 gets five questions once, and none beyond "
        f"{REFERENCE_LIMIT:,} passages."
    )
    return Section("bm25", text, curves("passages", "questions a second", speeds), ratios)


def check_equal(own: list[list[tuple[str, float]]], reference: list[list[tuple[str, float]]]) -> None:
    """Raise unless both found the same scores, and the same passages but for those tied with the last."""
    for ours, theirs in zip(own, reference, strict=True):
        for (_, score), (_, expected) in zip(ours, theirs, strict=False):  # rank-bm25 lists passages of score 0 too
            if abs(score - expected) > TOLERANCE * max(1.0, expected):
                raise SystemExit(f"a score differs from rank-bm25's: {score} instead of {expected}")
        last = theirs[-1][1] * (1 + TOLERANCE)
        if {passage for passage, score in ours if score > last} != {
            passage for passage, score in theirs if score > last
        }:
            raise SystemExit(f"other passages than rank-bm25's: {ours} instead of {theirs}")


def index(options: Options) -> Section:
    """Building, saving and opening an index of ever more passages."""
    questions = some_questions(options.pages, options.questions)
    rows = []
    curves_of: dict[str, list[tuple[float, float]]] = {}
    for passages in options.passages:
        given = {"pages": options.pages, "passages": passages, "questions": questions}
        makers: dict[str, Any] = {
            "ragqa": (c.RagqaBm25, given, c.RagqaOpened),
            "ragqa, title and text only": (c.RagqaBm25, given | {"plain": True}, c.RagqaOpened),
            "bm25s": (c.Bm25s, given, c.Bm25sOpened),
        }
        for name, (maker, own, opener) in makers.items():
            with tempfile.TemporaryDirectory() as folder:
                with Contestant(name, maker, **own) as builder:
                    built = once(builder, "build")
                    builder.do("save", Path(folder))
                with Contestant(name, opener, path=Path(folder), questions=questions) as opened:
                    opening = once(opened, "open")
                    asked = once(opened, "search", len(questions))
            rate = passages / built.median
            curves_of.setdefault(name, []).append((passages, rate))
            memory = opening.peak_bytes + asked.peak_bytes
            peak = f"{built.peak_bytes / passages / 1000:.1f} kB"
            found = f"{1000 * opening.median:.0f} ms", f"{memory / 1e6:.0f} MB"
            rows.append([f"{passages:,}", name, f"{rate:,.0f}", peak, *found])
    header = [
        "passages",
        "",
        "built, passages/s",
        "peak memory a passage",
        "opened in",
        f"memory after {len(questions)} questions",
    ]
    text = markdown_table(header, rows) + (
        "\n\nOne build each. ragqa's default indexes sections, abbreviations and generated questions too; without them it does "
        "what bm25s does. Memory is what the process grows by; opened indexes are mapped into memory, and what the questions "
        "touched counts."
    )
    ratios = {
        f"{name}, {passages:,} passages": own / rate
        for name, points in curves_of.items()
        if name != "ragqa"
        for (passages, rate), (_, own) in zip(points, curves_of["ragqa"], strict=True)
    }
    return Section("index", text, curves("passages", "passages indexed a second", curves_of), ratios)


def start(options: Options) -> Section:
    """From nothing to the first answer, and the cost of importing."""
    makers: dict[str, Any] = {
        "`ragqa ask`": (c.Command, {"command": ["-m", "ragqa", "ask", "why does dropout help?"]}),
        "`import sentence_transformers`": (c.Command, {"command": ["-c", "import sentence_transformers"]}),
        "`import ragqa`": (c.Command, {"command": ["-c", "import ragqa"]}),
        "`pass`": (c.Command, {"command": ["-c", "pass"]}),
    }
    with running(makers) as all_of_them:
        timings = take_turns(all_of_them, "run", options.rounds)
    answer, library, own, nothing = (t.median for t in timings)
    rows = [[t.name, f"{1000 * t.median:.0f} ms", spread(t.seconds)] for t in timings]
    text = markdown_table(["a process that runs", "takes", "spread"], rows) + (
        f"\n\nThe first answer comes after {answer / library:.2f} of the time that importing sentence-transformers takes; "
        f"`import ragqa` costs {1000 * (own - nothing):.0f} ms. The compiled models and the starter corpus's index were in the "
        "cache folder, as after any first run."
    )
    return Section("start", text, ratios={timings[1].name: library / answer})


def answers(options: Options) -> Section:
    """A question to its answer, stage by stage, and many questions at once."""
    corpora = [None] if options.pages is None else [None, options.pages]
    return Section("answers", "\n\n".join(answers_over(pages, options.questions // 2) for pages in corpora))


def answers_over(pages: Path | None, count: int) -> str:
    """The tables of one corpus."""
    questions = some_questions(pages, max(count, 1))
    with Contestant("ragqa", c.Answerer, pages=pages, questions=questions) as answerer:
        stages = answerer.do("stages")[1]
        crowds = {at_once: answerer.do("ask", at_once) for at_once in CROWDS}
    rows = [
        [name, *(f"{1000 * quantile([row[name] for row in stages], share):.1f} ms" for share in QUANTILES)]
        for name in stages[0]
    ]
    serial = crowds[1][1][1]
    crowd_rows = [
        [
            str(at_once),
            f"{len(questions) / seconds:.2f}",
            *(f"{1000 * quantile(waited, share):.0f} ms" for share in QUANTILES),
            "yes" if scores == serial else "NO",
        ]
        for at_once, (seconds, (waited, scores), _) in crowds.items()
    ]
    where = "the starter corpus" if pages is None else pages.name
    return (
        f"{len(questions)} questions over {len(searched_passages(pages)):,} passages of {where}:\n\n"
        + markdown_table(["stage", "p50", "p95"], rows)
        + "\n\n"
        + markdown_table(["asked at once", "questions/s", "p50", "p95", "scores as one at a time"], crowd_rows)
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def training(options: Options) -> Section:
    """Training steps on the same pairs with the same hyperparameters."""
    table, ratios = _train(options)
    text = table + (
        f"\n\n{options.training_pairs:,} pairs, one epoch, batches of 16; sentence-transformers with its defaults. nDCG@10 on "
        f"{c.EVAL_QUESTIONS} generated questions of other pages."
    )
    return Section("training", text, ratios=ratios)


def _train(options: Options) -> tuple[str, dict[str, float]]:
    """The table, and how many times faster ragqa is."""
    given = {"pages": options.pages, "pairs": options.training_pairs, "base": options.base}
    makers: dict[str, Any] = {
        "ragqa": (c.Training, given | {"ours": True}),
        "sentence-transformers": (c.Training, given | {"ours": False}),
    }
    with running(makers) as both:
        results = {contestant.name: once(contestant, "train").result for contestant in both}
    rates = {name: result["pairs a second"] for name, result in results.items()}
    rows = [
        [name, f"{rates[name]:.1f}", f"{rates['ragqa'] / rates[name]:.2f}×", f"{result['nDCG@10']:.3f}"]
        for name, result in results.items()
    ]
    own, *others = rates
    ratios = {name: rates[own] / rates[name] for name in others}
    return markdown_table(["", "pairs/s", "ragqa is faster by", "nDCG@10 afterwards"], rows), ratios


def gpu(options: Options) -> Section:
    """The same on a GPU, for those who have one: passages scored for a question, and training steps."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, Contestant("rate", c.GpuMatrixRate) as rate:
        model = make_torch_model(Path(folder), options.base)
        most = take_turns([rate], "rate", 3)[0].result
        for candidates in (options.candidates, GPU_CANDIDATES):
            sized = replace(options, candidates=candidates)
            given = {"pages": options.pages, "passages": candidates, "model": model}
            makers: dict[str, Any] = {
                "ragqa": (c.RagqaReranker, given | {"device": "cuda"}),
                "sentence-transformers": (c.SentenceTransformersReranker, given),
            }
            questions = [(question,) for question in some_questions(options.pages, options.rounds)]
            with running(makers) as both:
                timings = take_turns(both, "rerank", options.rounds, questions)
            off = max(abs(a - b) for a, b in zip(timings[0].result, timings[1].result, strict=True))
            operations = useful_operations(model, sized, questions[-1][0])
            for t in timings:
                share = operations / t.median / most
                own = [t.name, f"{candidates}", f"{candidates / t.median:.0f}", f"{share:.1%}", spread(t.seconds)]
                rows.append([*own, times(timings[0], t)])
    table, ratios = _train(options)
    header = ["", "passages", "pairs/s", "share of the GPU's rate", "spread", "ragqa is faster by"]
    text = (
        f"{markdown_table(header, rows)}\n\nThe logits of the two differ by {off:.3f} at most. The GPU's rate of bfloat16 "
        f"matrix products in this run: {most / 1e12:.0f} trillion operations a second.\n\n{table}\n\n"
        f"{options.training_pairs:,} pairs, as above."
    )
    return Section("gpu", text, ratios=ratios)


COMPARISONS: dict[str, Callable[[Options], Section]] = {
    "rerank": rerank,
    "search": search,
    "bm25": bm25,
    "index": index,
    "start": start,
    "answers": answers,
    "training": training,
    "gpu": gpu,
}
ON_CPU = tuple(name for name in COMPARISONS if name != "gpu")


@contextmanager
def running(makers: dict[str, Any]) -> Iterator[list[Contestant]]:
    """Contestants by name, made of their class and what it takes, until the block ends."""
    with ExitStack() as stack:
        yield [stack.enter_context(Contestant(name, maker, **given)) for name, (maker, given) in makers.items()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the arguments, run the comparisons one after the other and write what they found. Return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--pages", type=Path, help="JSON Lines file or folder of pages; the starter corpus if not given"
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--only", nargs="+", choices=COMPARISONS, default=ON_CPU, help="all but gpu if not given")
    parser.add_argument("--passages", type=int, nargs="+", help="sizes of the corpora for bm25 and index")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--pairs", type=int, help="to train on")
    parser.add_argument("--base", default=OFFLINE_BASE, help="of the models for training and gpu")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--smoke", action="store_true", help="a minute's run that shows that everything runs")
    given = parser.parse_args(arguments)
    options = replace(SMOKE if given.smoke else Options(), pages=given.pages, cores=given.cores)
    options = replace(options, passages=tuple(given.passages)) if given.passages else options
    options = replace(options, rounds=given.rounds) if given.rounds else options
    options = replace(options, base=given.base, training_pairs=given.pairs or options.training_pairs)
    pin(options.cores)
    given.out.mkdir(parents=True, exist_ok=True)
    worse = []
    for name in given.only:
        section = COMPARISONS[name](options)
        write(section, given.out, options)
        print(f"## {name}\n\n{section.text}\n", flush=True)
        run = {"machine": kind_of_machine(options.cores), **run_options(options)}
        worse += compare(given.out, name, run, section.ratios)
    collect(given.out)
    for line in worse:
        print(f"slower than before: {line}", file=sys.stderr)
    return int(bool(worse))


def run_options(options: Options) -> dict[str, Any]:
    """The options that ratios depend on. Sizes of corpora are part of the ratios' names."""
    pages = options.pages.name if options.pages else ""
    return {"pages": pages, "candidates": options.candidates, "pairs": options.training_pairs, "base": options.base}


def write(section: Section, out: Path, options: Options) -> None:
    """Write a comparison's table and chart."""
    purpose = (COMPARISONS[section.name].__doc__ or "").strip()
    pages = "the starter corpus" if options.pages is None else options.pages.name
    where = f"{date.today():%d %B %Y}, {options.cores} cores of {platform.machine()}, pages: {pages}"
    chart = f"\n\n![{purpose}]({section.name}.png)" if section.chart else ""
    body = f"## {section.name}\n\n{purpose}\n\n{section.text}{chart}\n\n*{where}*\n"
    (out / f"{section.name}.md").write_text(body, encoding="utf8")
    if section.chart:
        section.chart.save(out / f"{section.name}.png")


def collect(out: Path) -> None:
    """Put all comparisons that were ever written there into one file."""
    parts = [path.read_text(encoding="utf8") for name in COMPARISONS if (path := out / f"{name}.md").is_file()]
    (out / "README.md").write_text("# How fast\n\n`make bench` writes this.\n\n" + "\n".join(parts), encoding="utf8")


if __name__ == "__main__":
    sys.exit(main())
