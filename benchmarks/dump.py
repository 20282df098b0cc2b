"""Measure how fast `ragqa import-dump` is and how much memory it takes, on made-up dumps of 1, 4 and 16 times as many pages.

    python benchmarks/dump.py --pages 20000

A dump comes from a seeded generator: articles with the markup that Wikipedia's have, a redirect for every second of them.
Every import runs in a process of its own, whose processor time (a busy machine changes it little) and peak memory are told.
"""

import argparse
import bz2
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

PAGES_IN_A_STREAM = 100  # of multistream bzip2, as in Wikimedia's
HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en"><siteinfo>
<sitename>Made up</sitename><dbname>made</dbname><base>https://en.wikipedia.org/wiki/Main_Page</base><case>first-letter</case>
<namespaces><namespace key="0" /><namespace key="6">File</namespace><namespace key="14">Category</namespace></namespaces>
</siteinfo>
"""
TAIL = "</mediawiki>\n"
WORDS = (
    "model data network layer weight loss gradient descent training test error learning rate function kernel tree forest boost "
    "the a of in and is to that for with by as on from which are can be an each its step value vector matrix score"
).split()


def wikitext(rng: random.Random, title: str) -> str:
    """An article of about 8,000 characters."""

    def words(least: int, most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))

    def sentence() -> str:
        extra = rng.choice(
            (
                f"[[{words(1, 2)}]]",
                f"[[{words(1, 2)}|{words(1, 2)}]]",
                f"'''{words(1, 2)}'''",
                f"''{words(1, 3)}''",
                f"<math>{rng.choice(WORDS)}_{{i}} = \\frac{{1}}{{n}} \\sum_i x_i</math>",
                f"{words(1, 2)}&nbsp;{rng.randint(1, 99)}",
            )
        )
        cited = (
            f"<ref>{{{{cite journal |title={words(3, 8)} |last={words(1, 1)} |year={rng.randint(1950, 2024)}}}}}</ref>"
        )
        return f"{words(4, 10).capitalize()} {extra} {words(3, 9)}.{cited if rng.random() < 0.3 else ''}"

    def section(level: int) -> str:
        bars = "=" * level
        body = "\n\n".join(" ".join(sentence() for _ in range(rng.randint(2, 6))) for _ in range(rng.randint(1, 3)))
        items = "\n".join(f"* {sentence()}" for _ in range(rng.randint(0, 4)))
        table = (
            '{| class="wikitable"\n! a !! b\n' + "|-\n| 1 || 2\n" * rng.randint(1, 9) + "|}"
            if rng.random() < 0.2
            else ""
        )
        return f"{bars} {words(1, 4)} {bars}\n{{{{main|{words(1, 2)}}}}}\n{body}\n{items}\n{table}\n<!-- {words(2, 5)} -->\n"

    box = "".join(f"| {words(1, 1)} = {sentence()}\n" for _ in range(6))
    body = "".join(section(rng.choice((2, 2, 3))) for _ in range(rng.randint(4, 9)))
    return (
        f"{{{{Infobox\n{box}}}}}\n[[File:{title}.png|thumb|{sentence()}]]\n'''{title}''' is {sentence()}\n\n{body}"
        f"== References ==\n{{{{reflist}}}}\n[[Category:{rng.choice(WORDS)}]]\n[[Category:{words(2, 2)}]]\n"
    )


def entries(pages: int, seed: int = 1) -> Iterator[str]:
    """The pages of a dump as XML, with the redirects between them."""
    rng = random.Random(seed)
    for number in range(1, pages + 1):
        title = f"Article {number}"
        yield entry(3 * number, title, "", wikitext(rng, title))
        if number % 2:
            yield entry(3 * number + 1, f"Name {number}", f'<redirect title="{title}" />', f"#REDIRECT [[{title}]]")


def entry(number: int, title: str, redirect: str, text: str) -> str:
    return (
        f"<page><title>{title}</title><ns>0</ns><id>{number}</id>{redirect}<revision><id>{number}</id>"
        "<timestamp>2024-05-06T07:08:09Z</timestamp><contributor><username>Tester</username><id>1</id></contributor>"
        f"<model>wikitext</model><format>text/x-wiki</format><text>{escape(text)}</text></revision></page>\n"
    )


def write_dumps(folder: Path, pages: int) -> tuple[Path, Path]:
    """A dump as plain XML and as multistream bzip2."""
    plain, packed = folder / f"{pages}.xml", folder / f"{pages}.xml.bz2"
    with plain.open("w", encoding="utf8") as xml, packed.open("wb") as multistream:
        batch = [HEAD]
        for count, text in enumerate(entries(pages), 1):
            batch.append(text)
            if count % PAGES_IN_A_STREAM == 0:
                multistream.write(bz2.compress("".join(batch).encode()))
                xml.writelines(batch)
                batch = []
        batch.append(TAIL)
        multistream.write(bz2.compress("".join(batch).encode()))
        xml.writelines(batch)
    return plain, packed


def run_import(dump: Path, *options: str, command: str = "import-dump") -> tuple[float, float, str]:
    """Seconds of processor time, peak memory in MiB, and what an import said."""
    out = dump.with_suffix(".jsonl")
    code = (
        "import resource, sys; from ragqa.cli import main; status = main(sys.argv[1:]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(used.ru_utime + used.ru_stime, used.ru_maxrss); "
        "sys.exit(status)"
    )
    words = [sys.executable, "-c", code, command, str(dump), "--out", str(out), *options]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    out.unlink()
    said, used = done.stdout.splitlines()
    seconds, memory = used.split()
    return float(seconds), int(memory) / (1 << (20 if sys.platform == "darwin" else 10)), said.partition(": ")[2]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=20_000, help="articles in the largest dump (default 20000)")
    options = parser.parse_args(arguments)
    print(
        "| articles | dump | XML, MB | CPU, s | pages/s | MB/s | peak memory, MiB | |\n|---|---|---|---|---|---|---|---|"
    )
    with tempfile.TemporaryDirectory() as folder:
        for pages in (options.pages // 16, options.pages // 4, options.pages):
            plain, packed = write_dumps(Path(folder), pages)
            size = plain.stat().st_size / 1e6
            for dump, extra in ((plain, []), (packed, []), (plain, ["--category", "kernel"])):
                seconds, memory, said = run_import(dump, *extra)
                name = ("bz2" if dump == packed else "plain") + (", one category" if extra else "")
                rates = f"{seconds:.1f} | {pages / seconds:.0f} | {size / seconds:.1f} | {memory:.0f}"
                print(f"| {pages:,} | {name} | {size:.1f} | {rates} | {said} |", flush=True)
            plain.unlink()
            packed.unlink()


if __name__ == "__main__":
    main()
