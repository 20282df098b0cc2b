"""Measure how fast `ragqa import-zim` is and how much memory it takes, on made-up ZIM files of 1, 4 and 16 times as many pages.

    python benchmarks/zim.py --pages 8000

A file comes from a seeded generator: articles of HTML as MWoffliner writes it, stored in no order, and a redirect for every
second of them. Every import runs in a process of its own, whose processor time and peak memory are told.
"""

import argparse
import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dump import WORDS, run_import
from libzim.writer import Creator, Hint, Item, StringProvider

FOOT = (
    '<div>This article is issued from <a class="external text" title="Last edited on 2024-05-06" '
    'href="https://en.wikipedia.org/wiki/?title={0}&amp;oldid=7">Wikipedia</a>.</div>'
)


class Article(Item):
    def __init__(self, title: str, html: str) -> None:
        super().__init__()
        self.title, self.html = title, html

    def get_path(self) -> str:
        return self.title.replace(" ", "_")

    def get_title(self) -> str:
        return self.title

    def get_mimetype(self) -> str:
        return "text/html"

    def get_contentprovider(self) -> StringProvider:
        return StringProvider(self.html)

    def get_hints(self) -> dict[Hint, int]:
        return {Hint.FRONT_ARTICLE: 1}


def html(rng: random.Random, title: str) -> str:
    """An article whose text has about 8,000 characters; the HTML has five times as many."""

    def words(least: int, most: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(least, most)))

    def sentence() -> str:
        tex = f"{{\\displaystyle {rng.choice(WORDS)}_{{i}}={{\\frac {{1}}{{n}}}}\\sum _{{i}}x_{{i}}}}"
        formula = (
            f'<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;"><math alttext="{tex}">'
            f"<semantics><mrow><mi>x</mi><mo>=</mo><mfrac><mn>1</mn><mi>n</mi></mfrac></mrow><annotation "
            f'encoding="application/x-tex">{tex}</annotation></semantics></math></span><img class="mwe-math-fallback-image'
            f'-inline" src="./m.svg" alt="{tex}"></span>'
        )
        extra = rng.choice(
            (f'<a href="{words(1, 1)}" title="{words(1, 2)}">{words(1, 2)}</a>', f"<b>{words(1, 2)}</b>", formula)
        )
        cited = f'<sup id="r" class="reference"><a href="#n"><span>[</span>{rng.randint(1, 9)}<span>]</span></a></sup>'
        return f"{words(4, 10).capitalize()} {extra} {words(3, 9)}.{cited if rng.random() < 0.3 else ''}"

    def section(level: int) -> str:
        body = "".join(
            f"<p>{' '.join(sentence() for _ in range(rng.randint(2, 6)))}\n</p>" for _ in range(rng.randint(1, 3))
        )
        items = "".join(f"<li>{sentence()}</li>\n" for _ in range(rng.randint(0, 4)))
        rows = "<tr><td>1</td><td>2</td></tr>" * rng.randint(1, 9)
        table = f'<table class="wikitable"><tr><th>a</th><th>b</th></tr>{rows}</table>' if rng.random() < 0.2 else ""
        heading = f'<div class="mw-heading mw-heading{level}"><h{level} id="x">{words(1, 4)}</h{level}></div>'
        return f'{heading}<div role="note" class="hatnote">Main: {words(1, 2)}</div>{body}<ul>{items}</ul>{table}'

    rows = "".join(f"<tr><th>{words(1, 1)}</th><td>{sentence()}</td></tr>" for _ in range(6))
    body = "".join(section(rng.choice((2, 2, 3))) for _ in range(rng.randint(4, 9)))
    notes = "".join(f"<li><cite>{words(6, 14)}</cite></li>" for _ in range(12))
    links = "".join(f'<tr><td><a href="x">{words(1, 3)}</a></td></tr>' for _ in range(40))
    return (
        f'<!DOCTYPE html><html><head><title>{title}</title></head><body class="ns-0"><div id="mw-content-text"><div '
        f'class="mw-parser-output"><table class="infobox">{rows}</table><p><b>{title}</b> is {sentence()}</p>{body}'
        f'<h2>References</h2><ol class="references">{notes}</ol><div class="navbox"><table>{links}</table></div></div>'
        f'<div class="catlinks"><ul><li>{rng.choice(WORDS)}</li></ul></div>{FOOT.format(title)}</div></body></html>'
    )


def write_zim(path: Path, pages: int, seed: int = 1) -> None:
    rng = random.Random(seed)
    titles = [f"Article {number}" for number in range(pages)]
    rng.shuffle(titles)
    with Creator(path).config_indexing(False, "en").config_nbworkers(1) as creator:
        for title in titles:
            creator.add_item(Article(title, html(rng, title)))
        for title in titles[::2]:
            creator.add_redirection(title.replace("Article ", "Name_"), title, title.replace(" ", "_"), {})
        creator.add_metadata("Name", "wikipedia_en_made_up")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pages", type=int, default=8000, help="articles in the largest file (default 8000)")
    options = parser.parse_args(arguments)
    print("| articles | ZIM, MB | CPU, s | pages/s | peak memory, MiB | |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for pages in (options.pages // 16, options.pages // 4, options.pages):
            path = Path(folder) / f"{pages}.zim"
            write_zim(path, pages)
            for extra in ([], ["--category", "kernel"], ["--title", "Article 7"]):
                seconds, memory, said = run_import(path, *extra, command="import-zim")
                name = f"{pages:,}{', one category' if '--category' in extra else ', one title' if extra else ''}"
                size = path.stat().st_size / 1e6
                print(
                    f"| {name} | {size:.1f} | {seconds:.1f} | {pages / seconds:.0f} | {memory:.0f} | {said} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
