import json
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wiki import Wiki, run_wiki

from ragqa.records import Page
from ragqa.text.clean import clean_text
from ragqa.text.omissions import restore_omissions
from ragqa.text.passages import is_debris, split
from ragqa.text.wikitext import extract_text

TABLE = '{| class="wikitable"\n! Name !! Meaning\n|}\n'
NOTE = "[A table was here: Name, Meaning]"  # for a table without rows
ROWS = TABLE.replace("|}", "|-\n| a || first\n|-\n| b || second\n|}")
LINES = "Name: a; Meaning: first.\nName: b; Meaning: second."

TABULAR = """'''Kernels''' are [[function]]s.<ref>A note.</ref> There are these:

{| class="wikitable sortable"
|+ Kinds of ''kernels''
! Name !! colspan=2 | Meaning
|-
| linear || rowspan=2 | first || [[Line|a line]],<br>through 0
|-
| cubic<ref>A note.</ref> || —
|}

{| class="infobox"
! colspan=2 | Kernel
|-
! Born
| 1909<br>in [[Berlin]]
|}
Some are '''smooth'''.

== Code ==
A loop in Python:
<syntaxhighlight lang="python">
for x in y:
    print(x)
== y ==
</syntaxhighlight>
It prints, as <syntaxhighlight lang="python" inline>print(1)</syntaxhighlight> would.

* One item
* Another item, with code:
<source lang="c">
int x;
</source>

<pre>
{| class="wikitable"
| not a table
|}
</pre>

=== Nested ''tables'' ===
{|
! A<ref>z</ref> !! [[B|Bee]]
|-
|
{|
! inner
|}
| <nowiki>[x]</nowiki>
|}
After the nest.
{{nothing}} <!-- {| -->
<div>
<table class="wikitable"><tr><th>In HTML</th></tr></table>
</div>

== Empty ==
{| class="wikitable"
! Year
|}

== Nested tables ==
The end.
{| class="wikitable"
! Never closed
"""
EXTRACT = """Kernels are functions. There are these:
Kinds of kernels:
Name: linear; Meaning: first, a line, through 0.
Name: cubic; Meaning: first.

Some are smooth.

Name: Kernel.
Born: 1909, in Berlin.

== Code ==
A loop in Python:
for x in y:
    print(x)
 == y ==

It prints, as print(1) would.

One item
Another item, with code:
int x;

{| class="wikitable"
| not a table
|}

=== Nested tables ===

Bee: [x].

After the nest.
Template:Nothing [A table was here: In HTML]

== Empty ==
[A table was here: Year]

== Nested tables ==
The end."""


@pytest.fixture(scope="module")
def tabular(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, str]]:
    """The raw extract of a page with tables and code, from a real wiki, its wikitext and its HTML."""
    with run_wiki(tmp_path_factory.mktemp("tabular")) as wiki:
        yield _ask(wiki)


def _ask(wiki: Wiki) -> tuple[str, str, str]:
    wiki.stop()  # a running server may remember its settings
    with (wiki.folder / "LocalSettings.php").open("a") as settings:
        settings.write("wfLoadExtensions( [ 'Cite', 'SyntaxHighlight_GeSHi' ] );")
    dump = wiki.folder / "tabular.xml"
    dump.write_text(
        '<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="en"><page>'
        "<title>Tabular</title><revision><timestamp>2024-05-06T07:09:00Z</timestamp><model>wikitext</model>"
        f'<format>text/x-wiki</format><text xml:space="preserve">{escape(TABULAR)}</text></revision></page></mediawiki>'
    )
    wiki._maintain("importDump", str(dump))
    wiki.start()
    asked = {"action": "query", "format": "json", "titles": "Tabular", "prop": "extracts|revisions", "explaintext": 1}
    asked |= {"exsectionformat": "wiki", "rvprop": "ids|content", "rvslots": "main"}
    (page,) = _request(wiki, asked)["query"]["pages"].values()
    parsed = _request(wiki, {"action": "parse", "format": "json", "page": "Tabular", "prop": "text"})
    return page["extract"], page["revisions"][0]["slots"]["main"]["*"], parsed["parse"]["text"]["*"]


def _request(wiki: Wiki, asked: dict[str, Any]) -> Any:
    with urllib.request.urlopen(f"{wiki.api_url}?{urllib.parse.urlencode(asked)}", timeout=20) as response:
        return json.load(response)


def test_a_real_wikis_extract_gets_back_what_it_lost(tabular: tuple[str, str, str]) -> None:
    extract, wikitext, _ = tabular
    assert clean_text(restore_omissions(extract, wikitext)) == EXTRACT


def test_the_wikis_html_gives_the_same_text(tabular: tuple[str, str, str]) -> None:
    pytest.importorskip("selectolax", reason="pip install selectolax")
    from ragqa.text.wiki_html import Article

    text = clean_text(Article(f"<html><body>{tabular[2]}</body></html>").text())
    assert text == f"{EXTRACT} [A table was here: Never closed]"


def test_a_dump_gives_the_text_that_the_wiki_gives(tabular: tuple[str, str, str]) -> None:
    closed, _, _ = tabular[1].rpartition("{|")  # a dump shows a table that is never closed
    told = EXTRACT.replace("After the nest.\nTemplate:Nothing", "After the nest.")  # and drops templates
    assert clean_text(extract_text(closed)) == told


@pytest.mark.parametrize(
    ("text", "wikitext", "noted"),
    [
        ("Before it.\n\nAfter it.", f"Before it.\n\n{TABLE}\nAfter it.", f"Before it. {NOTE}\n\nAfter it."),
        ("After it.", f"{TABLE}After it.", f"{NOTE} After it."),
        ("One.\nTwo.\nThree.", f"One.\nTwo.\n{TABLE}Three.", f"One.\nTwo. {NOTE}\nThree."),
        (
            "It is shown below.\n\nIt is shown below.\nAll of it.",
            f"It is shown below.\n\nIt is shown below.\n{TABLE}\nAll of it.",
            f"It is shown below.\n\nIt is shown below. {NOTE}\nAll of it.",
        ),
        ("It costs 3 dollars a day.", f"It costs {{{{n}}}} a day.\n{TABLE}", f"It costs 3 dollars a day. {NOTE}"),
        (
            "Its mean is\n\n  \n    {\\displaystyle x}\n  \n:\n\nThe end is near.",
            f"Its mean is <math>x</math>:\n{TABLE}\nThe end is near.",
            f"Its mean is\n\n  \n    {{\\displaystyle x}}\n  \n: {NOTE}\n\nThe end is near.",
        ),
        ("Other words.\n\nOf another text.", f"Nothing fits here.\n{TABLE}", f"Other words.\n\nOf another text. {NOTE}"),
        ("== A ==\n\n\n== B ==\nText.", f"== A ==\n{TABLE}\n== B ==\nText.", f"== A ==\n{NOTE}\n\n\n\n== B ==\nText."),
        ("Lead.\n\n== B ==\nText.", f"Lead.\n== A ==\n{TABLE}\n== B ==\nText.", "Lead.\n\n== B ==\nText."),
        ("Lead.", "Lead.\n{| class='navbox'\n! a\n|}\n{{Infobox|a={|}}", "Lead."),
        ("Lead.", "Lead.\n{| class=wikitable\n|+ id=x | The [sic] ones.\n|}", "Lead. [A table was here: The (sic) ones]"),
        ("Lead.", "Lead.\n{|\n| —\n|}\n{|\n| ?\n|}", "Lead. [A table was here] [A table was here]"),
        ("Lead.", f"Lead.\n{{|\n! {'long ' * 50}\n|}}", f"Lead. [A table was here: {'long ' * 29}long …]"),
        ("Lead.", f"Lead.<nowiki>{TABLE}</nowiki><!--{TABLE}--><ref>{TABLE}</ref>", "Lead."),
        ("", TABLE, f"\n{NOTE}\n"),
    ],
)  # fmt: skip
def test_a_note_stands_where_the_table_stood(text: str, wikitext: str, noted: str) -> None:
    assert restore_omissions(text, wikitext) == noted


@pytest.mark.parametrize(
    ("text", "wikitext", "restored"),
    [
        ("Before it.\n\nAfter it.", f"Before it.\n\n{ROWS}\nAfter it.", f"Before it.\n{LINES}\n\nAfter it."),
        ("After it.", f"{ROWS}After it.", f"{LINES}\n\nAfter it."),
        ("One.\nTwo.\nThree.", f"One.\nTwo.\n{ROWS}Three.", f"One.\nTwo.\n{LINES}\nThree."),
        ("It costs 3 dollars a day.", f"It costs {{{{n}}}} a day.\n{ROWS}", f"It costs 3 dollars a day.\n{LINES}"),
        ("Other words.\n\nOf another text.", f"Nothing fits here.\n{ROWS}", f"Other words.\n\nOf another text.\n{LINES}"),
        ("== A ==\n\n\n== B ==\nText.", f"== A ==\n{ROWS}\n== B ==\nText.", f"== A ==\n{LINES}\n\n\n\n== B ==\nText."),
        ("Lead.\n\n== B ==\nText.", f"Lead.\n== A ==\n{ROWS}\n== B ==\nText.", "Lead.\n\n== B ==\nText."),
        ("Lead.", "Lead.\n{|\n| a\n|}\n{|\n| b || c\n|}", "Lead.\na.\nb, c."),
        ("Lead.\nMore.", "{{Infobox x|name=N|year=5}}\nLead.\nMore.", "Lead.\nMore.\n\nName: N.\nYear: 5."),
        ("Lead.\n\n== A ==\nB.", "Lead.\n{{infobox|year=5}}\n== A ==\nB.", "Lead.\n\nYear: 5.\n\n== A ==\nB."),
        (
            "Its mean is here:",
            "Its mean is here:\n{|\n! Name !! Mean\n|-\n| a || <math>x</math>\n|}",
            "Its mean is here:\nName: a; Mean: {\\displaystyle x}.",
        ),
        ("Lead.", f"Lead.<nowiki>{ROWS}</nowiki><!--{ROWS}--><ref>{ROWS}</ref>", "Lead."),
        ("", ROWS, f"\n{LINES}\n"),
    ],
)  # fmt: skip
def test_rows_stand_where_the_table_stood(text: str, wikitext: str, restored: str) -> None:
    assert restore_omissions(text, wikitext) == restored


@pytest.mark.parametrize(
    ("heading", "shown"),
    [
        ("Use of <math>k</math>", "Use of k"),
        ("Use of <math>k</math>", "Use of {\\displaystyle k}"),
        ("The <nowiki>''k''</nowiki>", "The ''k''"),
        ('The <syntaxhighlight lang="c" inline>int k</syntaxhighlight>', "The int k"),
    ],
)
def test_headings_may_hold_elements(heading: str, shown: str) -> None:
    wikitext = f"Lead.\n{ROWS}\n== {heading} ==\nMore words.\n{ROWS}"
    restored = restore_omissions(f"Lead.\n\n== {shown} ==\nMore words.", wikitext)
    assert restored == f"Lead.\n{LINES}\n\n== {shown} ==\nMore words.\n{LINES}"


def test_tables_and_code_side_by_side_keep_their_order() -> None:
    code = "<syntaxhighlight>\nf(x)\n</syntaxhighlight>\n"
    assert restore_omissions("Both are here:", f"Both are here:\n{code}{TABLE}") == f"Both are here:\nf(x)\n{NOTE}"
    assert restore_omissions("Both are here:", f"Both are here:\n{TABLE}{code}") == f"Both are here: {NOTE}\nf(x)"
    assert restore_omissions("After both.", f"{TABLE}{code}After both.") == f"{NOTE} \nf(x)\n\nAfter both."
    assert restore_omissions("Both are here:", f"Both are here:\n{ROWS}{code}") == f"Both are here:\n{LINES}\nf(x)"
    assert restore_omissions("After both.", f"{code}{ROWS}After both.") == f"f(x)\n\n{LINES}\n\nAfter both."


def test_a_note_is_no_passage_by_itself_and_makes_none_debris() -> None:
    page = Page("A", text=f"It has rows. {NOTE}\n\n== Empty ==\n{NOTE} {NOTE}\n\n== B ==\n{NOTE} After it comes text.")
    assert [(p.section, p.text) for p in split(page)] == [
        ("", f"It has rows. {NOTE}"),
        ("B", f"{NOTE} After it comes text."),
    ]
    assert not any(map(is_debris, split(page)))


@given(st.integers(60, 500))
def test_a_note_stays_with_the_sentence_before_it(max_chars: int) -> None:
    page = Page("A", text="One sentence is here. " * 8 + f"The last has rows. {NOTE}")
    last = split(page, max_chars)[-1].text
    assert last.endswith(f"The last has rows. {NOTE}")


MARKUP = (
    "{|,|},|-,! a,| b,|+ c,\n,\n\n,== A ==,{{,}},{{a|b}},[[,]],[[a|b]],<div>,</div>,<ref>,</ref>,<!--,-->,<nowiki>,"
)
MARKUP += "<syntaxhighlight>,</syntaxhighlight>,<source>x</source>,<table>,</table>,<th>,words of text,''',&nbsp;,[http://a b]"


@given(
    st.lists(st.sampled_from(MARKUP.split(","))).map("".join), st.lists(st.sampled_from(MARKUP.split(","))).map("".join)
)
def test_whatever_comes_nothing_is_lost(text: str, wikitext: str) -> None:
    words = iter(restore_omissions(text, wikitext).split())
    assert all(word in words for word in text.split())


@pytest.mark.parametrize(
    "unit", [*'{{a|,[[a|,<!--,<div>,<ref>,* ,*,<b x=,<ref name="a/b">'.split(","), "{|\n", "== a ==\n", "{|\n! a\n|}\n"]
)
def test_broken_wikitext_takes_no_time(unit: str) -> None:
    start = time.process_time()
    restore_omissions("Words.", TABLE + unit * (50_000 // len(unit)))
    assert time.process_time() - start < 5


def test_what_is_too_deep_to_be_read_changes_nothing() -> None:
    assert restore_omissions("Words.", "{{{" * 1000 + "}}}" * 1000 + TABLE) == "Words."


@pytest.mark.timeout(20)
def test_tables_whose_words_are_not_found_take_no_time() -> None:
    wikitext = "".join(f"Word{n} " * 60 + f"\n{TABLE}" for n in range(90))
    assert restore_omissions("other words " * 9000, wikitext).count("A table was here") == 90
