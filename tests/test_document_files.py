"""Documents are read with their titles and headings, and every passage leads to its place in the file."""

import gzip
import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ragqa.errors import InputError
from ragqa.records import Page
from ragqa.storage.json_lines import read_json_lines, write_json_lines
from ragqa.text.clean import clean_page
from ragqa.text.document_files import read_article, read_document
from ragqa.text.pages import read_pages
from ragqa.text.passages import split

Write = Callable[[str, Iterable[str]], Path]

HTML = """<!doctype html><html><head><meta charset="utf-8"><title>Site &amp; name</title><style>p {}</style></head><body>
<nav>Menu <a href="#x">x</a></nav><main><h1>Compost</h1><p>Compost is <b>rotten</b>
 matter.</p><h2 id="making">Making</h2><p>It takes a year.</p><ul><li>Turn it.<li>Water it.</ul>
<h2>Using it</h2><table><tr><th>Bed<th>Use<tr><td>Roses<td>yes</table><pre>a = 1
  b = 2</pre></main><script>var x = "<p>no</p>"</script><footer>foot</footer></body></html>"""


def cited(page: Page) -> list[tuple[str, str, str]]:
    """The section, the first line and the place of each passage; each must be the text of its page at its offsets."""
    passages = split(page)
    assert [page.text[p.start : p.end] for p in passages] == [p.text for p in passages]
    assert {p.url.partition("#")[0] for p in passages} == {page.url}
    return [(p.section, p.text.split("\n")[0], p.url.partition("#")[2]) for p in passages]


def test_markdown_is_cited_by_line_after_front_matter_and_title(write: Write) -> None:
    lines = ["---", "tags:", "  - a", "  - 'b'", "nested:", "  key: value", "# a comment", 'kind: "2024"', "---", ""]
    page = read_document(write("a b.md", [*lines, "# Mulch", "", "It keeps soil moist.", "## Use", "In beds."]))
    assert (page.title, page.url[-8:], page.metadata) == ("Mulch", "a%20b.md", {"tags": ("a", "b"), "kind": "2024"})
    assert cited(page) == [("", "It keeps soil moist.", "L13"), ("Use", "In beds.", "L15")]


def test_a_quoted_title_loses_its_quotes(write: Write) -> None:
    assert read_article(write("a.md", ["---", 'title: "A: b"', "---"])).title == "A: b"


def test_an_article_that_names_an_address_is_not_cited_as_a_file(write: Write) -> None:
    for key in ("url", "about"):
        page = read_document(write("a.md", ["---", "title: A", f"{key}: https://a.org/A", "---", "Text."]))
        assert (page.url or page.about, page.places) == ("https://a.org/A", ())


def test_text_is_cited_by_line(write: Write) -> None:
    page = read_document(write("log.txt", ["", "", "First.", "", "x" * 495, "", "Third."]))
    assert page.title == "log"
    assert cited(page) == [("", "First.", "L3"), ("", "x" * 495, "L5"), ("", "Third.", "L7")]


def test_markdown_loses_links_pictures_emphasis_comments_and_tags_outside_code(write: Write) -> None:
    lines = [
        *(
            '<p align="center"><img src="a.png"></p>',
            "# The [soil](a.md)",
            "[![Build](b.svg)](https://c.org/a_(b)) ![x](y)",
        ),
        *(
            "<!-- hidden",
            "## No",
            "--> **Old** and *deep*, 2 * 3 * 4, a_b_c, `[a](b) <p>`, [wet][w].<br>New: <https://a.org>",
            "[w]: b",
        ),
        *("```", "[a](b) <!-- code -->", "```", "A <sup>2</sup> <unknown> \u00adsoil&co [^1]", "[^1]: A note."),
    ]
    page = read_document(write("a.md", lines))
    assert (page.title, [line for line in page.text.split("\n") if line]) == (
        "The soil",
        [
            " Old and deep, 2 * 3 * 4, a_b_c, `[a](b) <p>`, wet. New: https://a.org".strip(),
            *("```", "[a](b) <!-- code -->", "```", "A 2 <unknown> soil&co [^1]", "[^1]: A note."),
        ],
    )


def test_a_packed_file_is_titled_by_its_name_without_endings(tmp_path: Path) -> None:
    for name in ("notes.md.gz", "notes.txt.gz", "notes.html.GZ"):
        (tmp_path / name).write_bytes(gzip.compress(b"Text."))
        assert read_document(tmp_path / name).title == "notes"


def lines_of(page: Page) -> list[str]:
    return [line for line in page.text.split("\n") if line]


def test_a_comment_in_code_is_no_comment_and_a_comment_may_follow_another(write: Write) -> None:
    lines = ["Comments begin with `<!--` in HTML.", "", "Second.", "a <!-- `x` --> b <!-- y", "hidden", "--> c `-->` d"]
    assert lines_of(read_document(write("a.md", lines))) == [
        *("Comments begin with `<!--` in HTML.", "Second.", "a  b ", " c `-->` d"),
    ]


def test_only_whole_lines_are_link_definitions(write: Write) -> None:
    lines = ["He wrote [sic]: the cat sat, and [Smith]: results differ.", "[w]: http://a.org 'A title'", "`a` [b]: c"]
    assert lines_of(read_document(write("a.md", lines))) == [lines[0], lines[2]]


def test_fences_in_lists_are_code_and_code_in_a_line_is_no_fence(write: Write) -> None:
    lines = [
        "- A list",
        "",
        "      ```python",
        "      x = a[0](b) * c",
        "      ```",
        "",
        "```pip install x``` does *it*.",
    ]
    assert lines_of(read_document(write("a.md", lines))) == [
        *("- A list", *lines[2:5], "```pip install x``` does it."),
    ]


def test_lines_of_code_are_no_headings(tmp_path: Path, write: Write) -> None:
    heading = "== Physical Plan =="
    (tmp_path / "a.html").write_text(f"<p>Text.<pre>a\n{heading}\nb</pre>")
    cells = [{"cell_type": "code", "source": f"x = 1\n{heading}"}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    write("a.md", ["Text.", "```", heading, "```"])
    for name in ("a.html", "a.ipynb", "a.md"):
        page = read_document(tmp_path / name)
        assert f"\n {heading}" in page.text
        assert [passage.section for passage in split(page)] == [""]


def test_code_in_a_notebook_may_hold_a_fence(tmp_path: Path) -> None:
    cells = [{"cell_type": "code", "source": "text = (\n```\n# not a heading\n)"}]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    page = read_document(tmp_path / "a.ipynb")
    assert (page.title, page.text.split("\n")) == (
        "a",
        ["````", "text = (", "```", "# not a heading", ")", "````"],
    )


def test_values_of_front_matter_may_have_several_lines(write: Write) -> None:
    lines = [
        "---",
        "title: >-",
        "  Soil",
        "  and beds",
        "description: |",
        "  Old",
        "empty: >",
        "tags: [a,",
        "  b]",
        "---",
    ]
    page = read_document(write("a.md", [*lines, "Text."]))
    assert (page.title, page.text) == ("Soil and beds", "Text.")
    assert page.metadata == {"description": "Old", "tags": ("a", "b")}


def test_a_rule_may_begin_a_document(write: Write) -> None:
    for lines in (["---", "", "Text: one."], ["---", "Text.", "---", "More."]):
        assert "Text" in read_document(write("a.md", lines)).text


def test_underlined_lines_of_text_are_headings_and_rules_are_none(write: Write) -> None:
    lines = ["=====", "Title", "=====", "", "Two lines", "of text", "-------", "", "Too long a line", "---", ""]
    lines += ["Part 1", "~~~~~~~~~", "Words.", "=" * 70, "", "Name   Age", "----------", "Mole   3", "", "== test =="]
    page = read_document(write("a.txt", [*lines, "All passed."]))
    assert cited(page) == [
        ("Title", "Two lines", "L5"),
        ("Part 1", "Words.", "L14"),
        ("test", "All passed.", "L22"),
    ]
    assert [line for line in page.text.split("\n") if line] == [
        *(
            "== Title ==",
            "Two lines",
            "of text",
            "Too long a line",
            "=== Part 1 ===",
            "Words.",
            "Name   Age",
            "Mole   3",
        ),
        *("== test ==", "All passed."),
    ]


def test_html_is_cited_by_the_id_or_the_heading_above(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(HTML, encoding="utf8")
    page = read_document(tmp_path / "page.html")
    assert page.title == "Compost"
    assert page.text.split("\n") == [
        *("Compost is rotten matter.", "", "== Making ==", "", "It takes a year.", "", "Turn it.", "Water it.", ""),
        *("== Using it ==", "", "Bed | Use", "Roses | yes", "", "a = 1", "  b = 2"),
    ]
    assert cited(page) == [
        ("", "Compost is rotten matter.", ""),
        ("Making", "It takes a year.", "making"),
        ("Using it", "Bed | Use", ":~:text=Using%20it"),
    ]


@pytest.mark.parametrize(
    ("markup", "title"),
    [("<title> A\n b </title><p>Text.", "A b"), ("<p>Text.", "x"), ("<title>T</title><h1>H</h1><p>Text.", "H")],
)
def test_html_is_titled_by_its_heading_its_title_or_its_name(tmp_path: Path, markup: str, title: str) -> None:
    (tmp_path / "x.html").write_text(markup)
    page = read_document(tmp_path / "x.html")
    assert (page.title, page.text) == (title, "Text.")


@pytest.mark.parametrize(
    "data",
    [
        '<meta charset="iso-8859-1"><p>café'.encode("latin-1"),
        '<meta http-equiv="Content-Type" content="text/html; charset=windows-1252"><p>café'.encode("cp1252"),
        '<meta charset="no-such"><p>café'.encode(),
        '<meta charset="undefined"><p>café'.encode(),
        '<meta charset="base64"><p>café'.encode(),
        '<meta charset="utf-16"><p>café'.encode(),
        '<meta charset="ascii"><p>café'.encode("cp1252"),
        "<p>café".encode("utf-16"),
        gzip.compress("<p>café".encode(), mtime=0),  # the time of now would differ between the workers
    ],
)
def test_html_is_decoded_by_its_charset(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / ("a.html.gz" if data.startswith(b"\x1f\x8b") else "a.html")
    path.write_bytes(data)
    assert read_document(path).text == "café"


def test_latin_1_in_html_is_that_of_windows(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes('<meta charset="iso-8859-1"><p>“old” – 5 €'.encode("cp1252"))
    assert read_document(tmp_path / "a.html").text == "“old” – 5 €"


def test_the_title_of_an_icon_is_not_that_of_the_page(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<title>Garden</title><svg><title>Search</title></svg><p>Text.")
    assert read_document(tmp_path / "a.html").title == "Garden"


def test_a_paragraph_with_a_key_is_text(tmp_path: Path) -> None:
    text = "Press save before you leave, because the order of the steps matters."
    (tmp_path / "a.html").write_text("<p>" + text.replace("save", '<a accesskey="s" href="/s">save</a>'))
    assert read_document(tmp_path / "a.html").text == text


def test_html_with_tables_for_layout_keeps_all_its_text(tmp_path: Path) -> None:
    rows = "<table><tr><td><p>Left.</p><h2>Head</h2><p>Right.</p><table><tr><td>a<td>b</table></table><p>End."
    (tmp_path / "a.html").write_text(rows)
    assert read_document(tmp_path / "a.html").text.split() == "Left. == Head == Right. a | b End.".split()


NAVIGATION = """<title>Site</title><div role="navigation">Menu</div><ul><li><a href="/">Home</a><li><a href="/b">Beds</a></ul>
<p><a href="a.html" accesskey="p">Previous</a> | <a href="c.html">Contents</a></p><h1>Soil<br>here<a href="#soil">¶</a></h1>
<div class="toc">Contents <ul><li><a href="#old">Old</a></ul></div><p>It is old.<div class="warning"><h3>Warning</h3>
<p>It is wet.</div><p>It is deep. <ul><li><a href="/x">A list of links</a></ul><p>Next: <a href="d.html" rel="next">Beds</a>"""


def test_navigation_in_html_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(NAVIGATION)
    page = read_document(tmp_path / "a.html")
    assert (page.title, [p.section for p in split(page)]) == ("Soil here", [""])
    assert [line for line in page.text.split("\n") if line] == [
        *("It is old.", "Warning", "It is wet.", "It is deep.", "A list of links"),
    ]


def test_html_with_line_ends_of_windows_keeps_its_places(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<h2>Soil</h2>\r\n<pre>a\r\nb</pre>")
    (page,) = read_pages(tmp_path / "a.html")
    assert cited(page) == [("Soil", "a", ":~:text=Soil")]


def test_only_the_main_content_of_html_is_read_if_it_is_marked(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<h1>Site</h1><p>Slogan.<div role=main><h1>Soil</h1><p>Old.</div><p>Imprint.")
    page = read_document(tmp_path / "a.html")
    assert (page.title, page.text) == ("Soil", "Old.")


def test_html_with_several_headings_of_level_1_is_titled_by_its_title(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<title>Garden</title><h1>Soil</h1><p>Old.<h1>Beds</h1><p>New.")
    page = read_document(tmp_path / "a.html")
    assert (page.title, [p.section for p in split(page)]) == ("Garden", ["Soil", "Beds"])


def test_elements_that_are_never_closed_lose_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        "<section><nav>Menu</section><p>One.<b></p><div><select></div><a href=x>Two. </i>Three."
    )
    assert read_document(tmp_path / "a.html").text.split() == ["One.", "Two.", "Three."]


def test_broken_html_takes_no_longer_than_other_html(tmp_path: Path) -> None:
    for number, broken in enumerate(
        ("<!--", "<a ", "<![", "</a ", "<?", "<", "<p>", "<div>", '<a href="', "<![CDATA[")
    ):
        path = tmp_path / f"{number}.html"
        path.write_text(f"<p>Text.</p>{broken * 20_000}")  # took minutes
        assert read_document(path).text.startswith("Text.")
    path.write_text("<p><![if !IE]>Shown <![endif]><![CDATA[as well.]]>")
    assert read_document(path).text == "Shown as well."


def test_notebooks_are_cited_by_cell_and_comments_in_code_are_no_headings(tmp_path: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Note book\n", "Some text."]},
        {"cell_type": "code", "source": "# comment\nx = 1", "outputs": [{"text": "hidden"}]},
        {"cell_type": "markdown", "source": "## Part\nMore text."},
    ]
    for name, notebook in (("4", {"cells": cells}), ("3", {"worksheets": [{"cells": cells}]})):
        (tmp_path / f"{name}.ipynb").write_text(json.dumps(notebook))
        page = read_document(tmp_path / f"{name}.ipynb")
        assert (page.title, page.text[:45]) == ("Note book", "Some text.\n\n```\n# comment\nx = 1\n```\n\n== Part ")
        assert cited(page) == [("", "Some text.", "cell=1"), ("Part", "More text.", "cell=3")]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.txt", b"", "a.txt: it is empty"),
        ("a.md", b" \n", "a.md: it is empty"),
        ("a.txt", b"a\n\xe9", r"a.txt, line 1: not UTF-8: .* in position 2"),
        ("a.txt", "a".encode("utf-16"), "a.txt, line 1: it is UTF-16; save the file as UTF-8"),
        ("a.txt", b"a\0b", "a.txt: it holds NUL characters"),
        ("a.txt.gz", b"no gzip", "a.txt.gz: not a whole gzip file"),
        ("a.txt.gz", gzip.compress(bytes(1 << 25)), "a.txt.gz: it unpacks to more than 16,777,216 bytes"),
        ("a.html", b"<meta charset=utf-8><p>\xe9", "a.html: not utf-8"),
        ("a.html", b"<script>x</script>", "a.html: it holds no text"),
        ("a.ipynb", b"{", "a.ipynb: not a Jupyter notebook"),
        ("a.ipynb", b"[]", "a.ipynb: not a Jupyter notebook"),
        ("a.ipynb", b'{"cells": [{"source": 3}]}', "a.ipynb: not a Jupyter notebook"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=reason):
        read_document(tmp_path / name)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "a.txt").open("wb") as file:
        file.truncate(1 << 40)  # more than any memory; takes no room on the disk
    with pytest.raises(InputError, match=r"a\.txt: it has 1,099,511,627,776 bytes; at most 16,777,216 are read"):
        read_document(tmp_path / "a.txt")


def test_places_survive_json_lines_and_are_dropped_when_the_text_changes(tmp_path: Path, write: Write) -> None:
    page = read_document(write("a.txt", ["One.", "", "Two."]))
    write_json_lines(tmp_path / "pages.jsonl", [page])
    assert list(read_json_lines(tmp_path / "pages.jsonl", Page)) == [page]
    assert clean_page(page) == page
    assert clean_page(read_document(write("b.txt", ["One.\xa0", "", "", "", "Two."]))).places == ()


@pytest.mark.parametrize("places", [["page=1"], [[0]], [[True, "page=1"]], [["0", "page=1"]]])
def test_bad_places_are_named(tmp_path: Path, places: list[object]) -> None:
    write_json_lines(tmp_path / "pages.jsonl", [{"title": "A", "places": places}])
    with pytest.raises(InputError, match=r"line 1: 'places' holds .*, not an offset with a URL fragment"):
        list(read_json_lines(tmp_path / "pages.jsonl", Page))
