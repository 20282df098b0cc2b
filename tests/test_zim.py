import random
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("libzim", reason="pip install libzim")
pytest.importorskip("selectolax", reason="pip install selectolax")

from imports import assert_goes_on_where_it_was_killed
from zims import DAY, METADATA, Entry, article, many, write_zim

from ragqa.cli import main
from ragqa.cli.run import _parser
from ragqa.errors import FallbackWarning, InputError, MissingExtraError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines
from ragqa.text.passages import split
from ragqa.text.wiki_html import Article
from ragqa.wiki.importer import ImportReport
from ragqa.wiki.outcomes import Outcome
from ragqa.wiki.zim import import_zim


def run(zim: Path, out: Path, **options: Any) -> ImportReport:
    return import_zim(zim, out, progress=False, **options)


def pages(out: Path) -> list[Page]:
    return list(read_json_lines(out, Page))


def titles(out: Path) -> list[str]:
    return [page.title for page in pages(out)]


def became(report: ImportReport) -> list[tuple[str, str, str]]:
    return [(outcome.title, outcome.became, outcome.page or outcome.reason) for outcome in report.outcomes]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "pages.jsonl"


@pytest.fixture
def zim(tmp_path: Path) -> Path:
    return tmp_path / "wiki.zim"


def redirect_page(target: str) -> str:
    """What MWoffliner writes for a redirect to a section."""
    return (
        f'<html><head><title>x</title><meta http-equiv="refresh" content="0;URL=\'./{target}\'" /></head>'
        f'<body><a href="./{target}">x</a></body></html>'
    )


# pages


def test_an_article_is_a_page_that_cites_its_revision(zim: Path, out: Path) -> None:
    write_zim(zim, {"A b's: (ü) & C/D+?": article("A b's: (ü) & C/D+?", "<p>Text.</p><h2>Use</h2><p>More.</p>")})
    report = run(zim, out)
    assert report.counts == {"fetched": 1, "empty": 1}  # the page with tiles has no text
    (page,) = pages(out)
    url = "https://en.wikipedia.org/w/index.php?title=A_b%27s:_(%C3%BC)_%26_C/D%2B%3F"
    text, metadata = "Text.\n\n== Use ==\nMore.", {"date": DAY}
    assert page == Page("A b's: (ü) & C/D+?", url, None, 70, DAY, text, metadata=metadata)
    assert [passage.url for passage in split(page)] == [f"{url}&oldid=70", f"{url}&oldid=70#Use"]


def test_without_a_stated_revision_the_date_of_the_file_counts(zim: Path, out: Path) -> None:
    linked = '<p>See <a class="external text" href="https://en.wikipedia.org/w/?title=Spade&amp;oldid=5">Spade</a>.</p>'
    write_zim(zim, {"Rake": article("Rake", linked, revision=None)})
    run(zim, out)
    (page,) = pages(out)
    assert (page.revision, page.timestamp, page.text) == (None, METADATA["Date"], "See Spade.")


@pytest.mark.parametrize(
    ("metadata", "index_url", "url"),
    [
        ({"Name": "wikipedia_de_all_maxi"}, None, "https://de.wikipedia.org/w/index.php?title=A_b"),
        ({"Name": "wikipedia_simple_all"}, None, "https://simple.wikipedia.org/w/index.php?title=A_b"),
        ({"Source": "fr.wiktionary.org"}, None, "https://fr.wiktionary.org/w/index.php?title=A_b"),
        ({"Source": "https://en.wikipedia.org/wiki/"}, "https://a.b/i.php", "https://a.b/i.php?title=A_b"),
    ],
)
def test_the_metadata_tell_the_wiki(
    zim: Path, out: Path, metadata: dict[str, str], index_url: str | None, url: str
) -> None:
    write_zim(zim, {"A b": article("A b", "<p>Text.</p>")}, metadata=metadata)
    run(zim, out, index_url=index_url)
    assert pages(out)[0].url == url


def test_of_another_wiki_the_articles_state_their_address(zim: Path, out: Path) -> None:
    site = "https://wiki.example.org/title/"
    write_zim(zim, {"A b": article("A b", "<p>Text.</p>", site=site)}, metadata={"Source": "https://wiki.example.org/"})
    with pytest.warns(FallbackWarning, match=r"wiki.zim does not say which wiki it comes from, .*; give --index-url"):
        run(zim, out)
    assert [passage.url for passage in split(pages(out)[0])] == ["https://wiki.example.org/title/A_b?oldid=70"]


def test_metadata_tell_categories_and_date(zim: Path, out: Path) -> None:
    write_zim(zim, {"Rake": article("Rake", "<p>It.</p>", categories=["Tools: metal", "Garden"])})
    run(zim, out)
    (page,) = pages(out)
    assert page.metadata == {"category": ("Garden", "Tools: metal"), "date": page.timestamp}


def test_redirects_become_aliases_of_what_they_lead_to(zim: Path, out: Path) -> None:
    write_zim(
        zim,
        {"Target": article("Target", "<p>It.</p>"), "To a section": redirect_page("Target#Part")},
        {"Before": "Target", "Chain": "Before", "Lost": "To a section"},
    )
    asked = ["chain", "Target", "to_a section", "Lost", "Nowhere", "index"]
    report = run(zim, out, titles=asked)
    (page,) = pages(out)
    assert page.aliases == ("Before", "Chain")
    assert became(report) == [
        ("chain", "fetched", "Target"),
        ("Target", "folded", "Target"),
        ("to_a section", "folded", "Target"),
        ("Lost", "folded", "Target"),
        ("Nowhere", "missing", ""),
        ("index", "missing", ""),
    ]


def test_paths_of_older_files_have_a_prefix(zim: Path, out: Path) -> None:
    other = Entry("I/A/Photo.html", "Photo", "<p>No article.</p>")
    write_zim(zim, {"Rake": article("Rake", "<p>It rakes.</p>")}, {"Tool": "Rake"}, prefix="A/", more=[other])
    run(zim, out)
    assert [(page.title, page.aliases) for page in pages(out)] == [("Rake", ("Tool",))]
    assert pages(out)[0].url.endswith("?title=Rake")


# filters


GARDEN = {
    "Rake": article("Rake", "<p>It rakes.</p>", categories=["Tools", "Metal"]),
    "Spade": article("Spade", "<p>It digs.</p>", categories=["Tools"]),
    "Rose": article("Rose", "<p>It blooms.</p>", categories=["Plants: roses"]),
    "Bulb": article("Bulb", "<p>It sprouts.</p>", categories=["Bulbs"]),
    "List of tools": article("List of tools", "<p>Rakes.</p>", categories=["Tools"]),
    "Fork": article("Fork", '<p>Fork may refer to:</p><div id="disambigbox">x</div>', categories=["Tools"]),
    "Portal:Tools": article("Portal:Tools", "<p>Welcome.</p>", categories=["Tools"]),
    "Hilfe:Hacke": article("Hilfe:Hacke", "<p>Help.</p>", categories=["Tools"], body_class="ns-12"),
}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({}, ["Bulb", "Rake", "Rose", "Spade"]),
        ({"categories": ["tools"]}, ["Rake", "Spade"]),
        ({"categories": ["Category:Plants: roses", "Metal"]}, ["Rake", "Rose"]),
        ({"titles": ["fork", "List of tools"]}, ["Fork", "List of tools"]),
        ({"titles": ["Rose"], "categories": ["Tools"], "exclude": ["^Sp"]}, ["Rake", "Rose"]),
        ({"include": ["^R"]}, ["Rake", "Rose"]),
        ({"namespaces": ["portal", "0"], "categories": ["Tools"]}, ["Portal:Tools", "Rake", "Spade"]),
        ({"namespaces": ["12"]}, []),
    ],
)
def test_takes_what_the_options_of_a_dump_take(zim: Path, out: Path, options: dict[str, Any], found: list[str]) -> None:
    write_zim(zim, GARDEN)
    run(zim, out, **options)
    assert titles(out) == found


def test_pages_of_categories_name_their_own_categories(zim: Path, out: Path) -> None:
    parsoid = '<link rel="mw:PageProp/Category" href="./Category:Plants#x"/>'
    bulbs = {"Category:Bulbs": article("Category:Bulbs", "", categories=["Plants"], body_class="ns-14")}
    write_zim(zim, {**GARDEN, **bulbs, "Moss": article("Moss", f"<p>It grows.</p>{parsoid}".replace("#x", ""))})
    for depth, found in ((0, ["Moss"]), (1, ["Bulb", "Moss"])):
        path = out.with_name(f"{depth}.jsonl")
        run(zim, path, categories=["Plants"], depth=depth)
        assert titles(path) == found


def test_a_filter_that_cannot_work_is_told(zim: Path, tmp_path: Path, out: Path) -> None:
    write_zim(zim, {"Rake": article("Rake", "<p>It rakes.</p>")})
    reason = "wiki.zim cannot be filtered by category: none of its first 200 articles names one; use --title"
    with pytest.raises(InputError, match=reason):
        run(zim, out, categories=["Tools"])
    assert not out.parent.exists()
    write_zim(tmp_path / "garden.zim", GARDEN)
    with pytest.warns(FallbackWarning, match="garden.zim holds no pages of categories, so no subcategories were found"):
        run(tmp_path / "garden.zim", out, categories=["Tools"], depth=2)
    assert titles(out) == ["Rake", "Spade"]


# interruptions


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    articles, redirects = many(600)
    return write_zim(tmp_path_factory.mktemp("large") / "wiki.zim", articles, redirects, cluster_bytes=20_000)


@pytest.fixture(scope="module")
def whole(large: Path) -> bytes:
    out = large.with_name("whole.jsonl")
    assert run(large, out).counts["fetched"] == 600
    assert sorted(path.name for path in large.parent.iterdir()) == ["whole.jsonl", "wiki.zim"]
    return out.read_bytes()


def test_goes_on_where_it_was_killed(large: Path, whole: bytes, out: Path) -> None:
    assert_goes_on_where_it_was_killed("import-zim", large, out, whole, least_tries=2)


class interrupted:  # noqa: N801
    """Interrupt an import at the first page, so that its journal stays."""

    def __init__(self) -> None:
        self._patch = pytest.MonkeyPatch()

    def __enter__(self) -> None:
        def stop(*_: object) -> Iterator[Page]:
            raise KeyboardInterrupt

        self._patch.setattr("ragqa.wiki.importer.clean_page", stop)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        self._patch.undo()
        return kind is KeyboardInterrupt


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    zim = write_zim(tmp_path_factory.mktemp("small") / "wiki.zim", *many(12))
    run(zim, zim.with_name("out.jsonl"))
    return zim, zim.with_name("out.jsonl").read_bytes()


@given(st.floats(0, 1))
@settings(max_examples=15)
def test_goes_on_after_any_byte(small: tuple[Path, bytes], where: float) -> None:
    zim, lines = small
    out, journal = zim.with_name("cut.jsonl"), zim.with_name("cut.jsonl.partial")
    out.unlink(missing_ok=True)
    with interrupted():
        run(zim, out)
    journal.write_bytes(lines[: int(where * len(lines))])
    run(zim, out)
    assert out.read_bytes() == lines
    assert not journal.exists()


def test_pages_that_are_done_are_not_read_again(
    small: tuple[Path, bytes], out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zim, lines = small
    with interrupted():
        run(zim, out, include=["^A"])  # no page without text, which no journal holds
    Path(f"{out}.partial").write_bytes(lines)
    monkeypatch.setattr("ragqa.wiki.importer.clean_page", None)
    assert run(zim, out, include=["^A"]).counts == {"kept": 12, "skipped": 1}
    assert out.read_bytes() == lines


def test_a_journal_of_something_else_is_told_and_kept(tmp_path: Path, small: tuple[Path, bytes], out: Path) -> None:
    zim, lines = small
    with interrupted():
        run(zim, out)
    Path(f"{out}.partial").write_bytes(lines)
    other = write_zim(tmp_path / "other.zim", GARDEN)
    with pytest.raises(
        InputError, match=r"is the journal of another file, wiki.zim of .*, not of this import of other.zim"
    ):
        run(other, out)
    with pytest.raises(InputError, match=r"is the journal of other pages of this file"):
        run(zim, out, titles=["Article 1"])
    assert Path(f"{out}.partial").read_bytes() == lines


# damage


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"\xff\xfe<p>It digs.</p>", "it cannot be read: 'utf-8' codec can't decode byte 0xff"),
        ("<div>" * 3000, "it cannot be read: its HTML has more than 1,000 elements inside each other"),
        (f"<p>{'x' * (17 << 20)}</p>", "it cannot be read: its text has more than 16,777,216 bytes"),
    ],
)
def test_a_wanted_article_that_cannot_be_read_is_failed_and_the_others_come(
    zim: Path, out: Path, broken: str | bytes, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_zim(zim, {**GARDEN, "Spade": broken})
    assert main(["import-zim", str(zim), "--out", str(out)]) == 1
    assert titles(out) == ["Bulb", "Rake", "Rose"]
    told = capsys.readouterr()
    assert told.err.startswith(f"ragqa: failed: Spade: {reason}")
    assert told.err.count("\n") == 1
    assert told.out == f"{out}: 3 fetched, 0 kept, 1 empty, 2 skipped, 1 failed\n"
    assert run(zim, out.with_name("asked.jsonl"), titles=["Rake"]).failed == ()


def test_an_unexpected_error_costs_only_the_article_that_causes_it(
    zim: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_zim(zim, {**GARDEN, "Spade": article("Spade", "<h2><div>" * 400)})
    (failed,) = run(zim, out).failed
    reason = r"Spade: it cannot be read: RecursionError: maximum recursion .* \(\w+\.py, line \d+\)"
    assert re.fullmatch(reason, failed)
    assert titles(out) == ["Bulb", "Rake", "Rose"]

    real = Article.revision
    monkeypatch.setattr(Article, "revision", lambda self, title: {}[title] if title == "Rake" else real(self, title))
    report = run(zim, out.with_name("again.jsonl"), titles=["Rake", "Rose"])
    assert [outcome.became for outcome in report.outcomes] == ["failed", "fetched"]
    assert report.failed[0].startswith("Rake: it cannot be read: KeyError: 'Rake' (test_zim.py, line ")


def test_damage_costs_only_the_articles_that_it_hits(large: Path, whole: bytes, tmp_path: Path, out: Path) -> None:
    data = bytearray(large.read_bytes())
    start = data.index(b"\x28\xb5\x2f\xfd", len(data) // 8)  # a cluster that is packed with Zstandard
    data[start + 30 : start + 60] = bytes(30)
    (tmp_path / "damaged.zim").write_bytes(data)
    report = run(tmp_path / "damaged.zim", out)
    assert 0 < len(report.failed) < 60
    assert all("it cannot be read: " in failed for failed in report.failed)
    failed = {outcome.title for outcome in report.outcomes}
    assert set(out.read_bytes().splitlines()) <= set(whole.splitlines())
    assert set(titles(out)) == {f"Article {number}" for number in range(600)} - failed


def test_a_file_cut_short_anywhere_is_told_in_a_line(large: Path, tmp_path: Path, out: Path) -> None:
    data = large.read_bytes()
    cut = tmp_path / "cut.zim"
    for length in (0, 10, 79, 80, 5000, len(data) // 2, len(data) - 17, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(InputError, match=r"cut.zim is no ZIM file, or it is cut short or damaged: [^\n]+$"):
            run(cut, out)
    assert not out.parent.exists()


@pytest.mark.stress
@pytest.mark.timeout(900)
def test_no_damage_ends_the_process(small: tuple[Path, bytes], tmp_path: Path) -> None:
    """libzim is C++: flipped bytes must end in an error, not in a crash."""
    rng = random.Random(7)
    data = small[0].read_bytes()
    code = "import sys; from ragqa.cli import main; sys.exit(main(sys.argv[1:]))"
    for number in range(25):
        damaged = bytearray(data)
        for _ in range(rng.choice([1, 1, 8])):
            damaged[rng.randrange(len(data))] = rng.randrange(256)
        path = tmp_path / f"{number}.zim"
        path.write_bytes(damaged)
        command = [sys.executable, "-c", code, "import-zim", str(path), "--out", str(tmp_path / f"{number}.jsonl")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode in (0, 1), (number, done.stderr)
        assert "Traceback" not in done.stderr, (number, done.stderr)


# the command


def test_the_command_says_what_it_did(zim: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_zim(zim, GARDEN)
    zim.with_name("titles.txt").write_text("Rose\nZilch\n")
    options = ["--category", "Metal", "--titles", str(zim.with_name("titles.txt")), "--index-url", "https://a.b/i"]
    assert main(["import-zim", str(zim), "--out", str(out), *options]) == 0
    told = capsys.readouterr()
    assert told.out == f"{out}: 2 fetched, 0 kept, 0 empty, 0 skipped, 0 failed\n"
    assert told.err == "ragqa: missing: Zilch\n"
    assert pages(out)[0].url == "https://a.b/i?title=Rake"
    assert main(["import-zim", str(zim), "--out", str(out), "--category", "Nothing"]) == 1
    assert capsys.readouterr().err == "ragqa: failed: Nothing: no articles in it\n"


@pytest.mark.parametrize("content", [None, "no ZIM file"])
def test_the_command_tells_bad_input_in_a_line(
    zim: Path, out: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if content is not None:
        zim.write_text(content)
    assert main(["import-zim", str(zim), "--out", str(out)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"ragqa: {zim} is n")
    assert told.err.count("\n") == 1


def test_the_commands_of_the_documentation_are_understood() -> None:
    text = (Path(__file__).parent.parent / "docs" / "dump.md").read_text(encoding="utf8").replace("\\\n", "")
    commands = re.findall(r"^ragqa (import-zim .*)", text, re.MULTILINE)
    assert commands
    for command in commands:
        assert _parser().parse_args(shlex.split(command)).zim.endswith(".zim")


def test_names_the_extra_that_is_missing(small: tuple[Path, bytes], out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "selectolax", None)
    with pytest.raises(MissingExtraError, match=r"reading a ZIM file needs more packages: pip install .*\[zim\]"):
        run(small[0], out)


def test_an_outcome_is_like_that_of_a_crawl(zim: Path, out: Path) -> None:
    write_zim(zim, {"A": article("A", "<p><b>a</b></p>")})
    sha1 = "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8"
    assert run(zim, out, titles=["a"]).outcomes == (Outcome("a", "fetched", "A", 70, 1, sha1),)
