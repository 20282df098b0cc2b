import time

import pytest

pytest.importorskip("selectolax", reason="pip install selectolax")

from ragqa.errors import InputError
from ragqa.text.clean import clean_text
from ragqa.text.wiki_html import Article, Revision
from ragqa.text.wikitext import extract_text


def text(body: str) -> str:
    return Article(
        f'<html><body><div id="mw-content-text"><div class="mw-parser-output">{body}</div></div></body></html>'
    ).text()


FORMULA = r"""<span class="mwe-math-element"><span class="mwe-math-mathml-inline" style="display: none;"><math
alttext="{\displaystyle x_{i}}"><semantics><mi>x</mi><annotation encoding="application/x-tex">{\displaystyle x_{i}}</annotation>
</semantics></math></span><img class="mwe-math-fallback-image-inline" alt="{\displaystyle x_{i}}"></span>"""


@pytest.mark.parametrize(
    ("html", "wikitext"),
    [
        ("<p>One <b>two</b>.</p>\n<p>Three &amp; four.</p>", "One '''two'''.\n\nThree &amp; four."),
        ("<p>A</p><h2>B</h2><p>C</p>\n<h3><i>D</i></h3>\n<p>E</p>", "A\n== B ==\nC\n=== ''D'' ===\nE"),
        ("<p>A:</p><ul><li>b<ul><li>c</li></ul></li>\n<li>d</li></ul>\n<p>E</p>", "A:\n* b\n** c\n* d\nE"),
        ("<ol><li><p>a</p></li><li>b</li></ol>", "# a\n# b"),
        ("<dl><dt>term</dt><dd>what it is</dd></dl><p>Z</p>", "; term : what it is\nZ"),
        ("<p>A</p><blockquote><p>B</p></blockquote><p>C</p>", "A\n<blockquote>B</blockquote>\nC"),
        ("<p>A<br>B</p>", "A<br>B"),
        (f"<p>All {FORMULA} here.</p>", "All <math>x_{i}</math> here."),
        (f"<dl><dd>{FORMULA}</dd></dl>", ":<math>x_{i}</math>"),
        ("<p>A<sup class='reference'><a>[1]</a></sup>.</p>", "A<ref>x</ref>."),
        ("<p>A</p><div>B</div><p>C</p>", "A\n<div>B</div>\nC"),
        ("<p>A</p><pre>  b\n c</pre><p>D</p>", "A\n<pre>  b\n c</pre>\nD"),
        (
            '<p>A:</p><div class="mw-highlight mw-highlight-lang-python"><pre><span>def</span> f():\n    pass\n</pre></div>',
            'A:\n<syntaxhighlight lang="python">\ndef f():\n    pass\n</syntaxhighlight>',
        ),
        (
            '<p>A</p><table class="wikitable"><caption>Ranges</caption><tr><th>B</th></tr></table><p>C</p>',
            'A\n{| class="wikitable"\n|+ Ranges\n! B\n|}\nC',
        ),
        (
            "<p>A</p><div><table><tr><th>B</th><th>C</th></tr><tr><td><table><tr><th>D</th></tr></table></td></tr></table></div>",
            "A\n<div>\n{|\n! B\n! C\n|}\n</div>",
        ),
        (
            "<p>A</p><table><tbody><tr><th>B</th><th colspan=2>C<br>D</th></tr>"
            "<tr><td rowspan=2><div>x<ul><li>y</li></ul></div></td>"
            "<td>1</td><td><sup class=reference>[1]</sup></td></tr><tr><td>2<br>3</td></tr></tbody></table>",
            "A\n{|\n! B !! colspan=2 | C<br>D\n|-\n| rowspan=2 |\nx\n* y\n| 1 || <ref>r</ref>\n|-\n| 2<br>3\n|}",
        ),
        (
            '<table class="infobox"><caption>N</caption><tr><td class="infobox-image" colspan=2>I</td></tr>'
            f"<tr><th>Born</th><td>{FORMULA}</td></tr></table><p>A</p><h2>H</h2>",
            "{{Infobox x|name=N|image=I|born=<math>x_{i}</math>}}\nA\n== H ==",
        ),
        (
            "<table><tr><td><b>B</b></td><td><b>C</b></td></tr><tr><td>1</td><td>2</td></tr></table>A",
            "{|\n| '''B''' || '''C'''\n|-\n|1||2\n|}\nA",
        ),
        ('<table class="infobox"><tr><th>B</th></tr></table><p>A</p>', '{| class="infobox"\n! B\n|}\nA'),
        ("<table><tr><td>only</td></tr></table>", "{|\n| only\n|}"),
        ('<p>A</p><table><tr><td colspan="0">b</td><td>c</td></tr></table>', "A\n{|\n| colspan=0 | b || c\n|}"),
        ("", ""),
    ],
)
def test_html_gives_the_text_that_its_wikitext_gives(html: str, wikitext: str) -> None:
    pytest.importorskip("mwparserfromhell", reason="pip install mwparserfromhell")
    assert clean_text(text(html)) == clean_text(extract_text(wikitext))


@pytest.mark.parametrize(
    "html",
    [
        '<div class="mw-heading mw-heading2"><h2 id="U">Use</h2><span class="mw-editsection">[<a>edit</a>]</span></div>',
        '<h2><span class="mw-headline" id="U">Use</span><span class="mw-editsection">[edit]</span></h2>',
        '<summary class="section-heading"><h2 id="U">Use</h2></summary>',
        '<div class="pcs-edit-section-header v2"><h2 class="pcs-edit-section-title">Use</h2></div>',
    ],
)
@pytest.mark.parametrize("section", ["section", "details open", 'div class="mf-section-1"'])
def test_every_form_of_sections_and_headings_is_read(html: str, section: str) -> None:
    name = section.split(maxsplit=1)[0]
    lead = '<div role="note" class="hatnote">See B.</div><p>Lead.</p>'
    assert text(f"<section>{lead}</section><{section}>{html}<p>Body.</p></{name}>") == "Lead.\n\n== Use ==\nBody."


@pytest.mark.parametrize(
    "formula",
    [
        FORMULA,
        r'<math alttext="{\displaystyle x_{i}}"><mi>x</mi></math>',
        r'<span class="mwe-math-element"><img class="mwe-math-fallback-image-inline" alt="{\displaystyle x_{i}}"></span>',
        r'<img class="mwe-math-fallback-image-inline" alt="{\displaystyle x_{i}}">',
        r'<img class="tex" alt="x_{i}">',
    ],
)
def test_a_formula_is_its_tex_once(formula: str) -> None:
    assert text(f"<p>Let {formula} be.</p>") == r"Let {\displaystyle x_{i}} be."


@pytest.mark.parametrize(
    ("content", "target"),
    [
        ("0;url=./L'Hopital's_rule", "L'Hopital's rule"),
        ("0; URL='./L'Hopital's_rule#Proof'", "L'Hopital's rule#Proof"),
        ("0;url=&quot;Rake&quot;", "Rake"),
        ("0;url=../A/The_%22Rake%22", 'A/The "Rake"'),
        ("0;url=''", ""),
        ("5", ""),
    ],
)
def test_a_redirect_leads_to_its_whole_title(content: str, target: str) -> None:
    assert Article(f'<head><meta http-equiv="refresh" content="{content}"></head>').redirect() == target


def test_control_characters_written_as_entities_are_dropped() -> None:
    html = '<p>a &#1;5&#2; b</p><pre>c &#1;7&#2;</pre><p><img class="mwe-math-fallback-image-inline" alt="d &#1;8&#2;"></p>'
    assert text(html).split() == r"a 5 b c 7 {\displaystyle d 8}".split()
    assert (
        text("<table><tr><th>A</th></tr><tr><td>x &#8;&#1;0&#2;</td></tr></table><p>b</p>").split("\n")[0] == "A: x 0."
    )


def test_a_page_of_frames_has_no_text() -> None:
    page = Article("<html><head></head><frameset cols='50%'><frame src='a'></frameset></html>")
    assert (page.text(), page.namespace(), page.redirect()) == ("", None, "")


@pytest.mark.parametrize("href", ["http://[x/?title=A&oldid=3", f"https://w.example/?title=A&oldid={'3' * 5000}"])
def test_an_address_that_makes_no_sense_names_no_revision(href: str) -> None:
    page = Article(f'<body class="ns-{"1" * 5000}"><a href="{href}">W</a></body>')
    assert page.revision("A") == Revision()
    assert page.namespace() is None


def test_what_surrounds_the_article_is_left_out() -> None:
    html = (
        '<p>Text<a class="autonumber" href="x">[1]</a>.<span style="display:none">sort</span></p><div class="navbox">N</div>'
        '<ul class="gallery"><li>G</li></ul><figure><figcaption>F</figcaption></figure><style>p {}</style><img alt="I">'
        '<table role="presentation"><tr><td>P</td></tr></table><p class="mw-empty-elt"></p>'
        '<ol class="references"><li>R</li></ol>'
    )
    assert text(html) == "Text."


def test_a_page_tells_its_categories_revision_and_kind() -> None:
    page = Article(
        '<html><head><link rel="canonical" href="https://w.example/A"></head><body class="mediawiki ns-12"><p>x</p>'
        '<link rel="mw:PageProp/Category" href="./Kategorie:Zwei_W%C3%B6rter"><meta property="mw:PageProp/disambiguation">'
        '<div id="catlinks" class="catlinks"><ul><li>Tools: metal</li></ul></div>'
        '<a title="Last edited on 2024-05-06" href="https://w.example/?title=A%2FB_c&amp;oldid=12">W</a></body></html>'
    )
    assert list(page.categories()) == ["Zwei Wörter", "Tools: metal"]
    assert page.revision("A/B c") == Revision(12, "2024-05-06")
    assert page.revision("B c") == Revision()
    assert (page.namespace(), page.address(), page.is_disambiguation()) == (12, "https://w.example/A", True)
    assert page.redirect() == ""


def test_deep_html_takes_no_time() -> None:
    started = time.process_time()
    with pytest.raises(InputError, match="more than 1,000 elements inside each other"):
        Article("<div>" * 300_000)
    assert Article("<div><p>x</p></div>" * 3000).text() == ""
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    ("html", "shown"),
    [
        ("<div class='content'>" * 900 + "<b>x</b>" * 60_000, "x" * 60_000),
        ("<div>" + "<span>" * 900 + "<table></table>" * 20_000 + "</span>" * 900 + "</div>x", "x"),
    ],
)
def test_deep_divisions_take_no_time(html: str, shown: str) -> None:
    started = time.process_time()
    assert Article(f"<body>{html}").text().endswith(shown)
    assert time.process_time() - started < 4


def test_code_and_tables_of_a_division_come_out_in_order() -> None:
    html = (
        '<p>A:</p><div>B<div class="mw-highlight"><pre>x = 1</pre></div><pre>C</pre><span><table><tr><td>d</td><td>'
        '<table><tr><td>e</td></tr></table></td></tr></table></span><div class="navbox"><table><tr><td></td></tr></table></div>'
        '<div class="mw-highlight"><pre>y = 2</pre></div></div>'
    )
    assert text(html) == "A:\nx = 1\nd.\ny = 2"
