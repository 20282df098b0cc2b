import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa.text.clean import clean_text
from ragqa.text.wikitext import extract_text

N = 20_000  # characters of each hostile text
SECONDS = 20  # an idle core needs about one; mwparserfromhell alone needs minutes for some
REPEATED = (
    r"{{ [[ '''' <b> {| {|\n| * *\n {{a| [[a| {{a}} <ref> <!-- [http://a\s & &amp; = ==\n ''x '''x'' {{{ <math> <nowiki> <div "
    r"<div> : - http:// {{[[ [[{{ {|\n|-\n| <b>'' [[File:a|b\s {|\n{|\n {{{x}} {{{{{x}}\s [[a]\s <div>[[</div>]] <b>[[x</b>]] "
    r"<ref\sname= \s \n ;a:b\n {{a|b={{c| '''''\sa\s''b''\s &#x <math>{{{{</math> <nowiki>{\displaystyle\s{</nowiki> "
    r"[//x\s[[y\s {{{a| <!--\s--> <!--\s-->\n ==\sa\n ==\s{{\s==\n ----\n <td> <table><tr><td> <li><ul> {{a\n|}}\n {|x\n|}\n "
    r"{|\n|-\n|a||b\n|} __TOC__ <div\sclass=noprint><span\sclass=noprint> <gallery>\n '''''' [[a|[[b| [[Category:a]]\n {{em|a "
    r"<pre>\n #\n <h2> &lt;b&gt; 😀"
).split()
CLOSED = [
    ("{{a|", "}}"),
    ("[[a|", "]]"),
    ("<div>a", "</div>"),
    ("{|\n|\n", "|}\n"),
    ("<b>", "</b>"),
    ("[http://a ", "]"),
]
CLOSED += [("<div>\n{|\n! a\n|}\n", "</div>"), ("<table><tr><th>a", "</th></tr></table>")]
CLOSED += [
    ("<math>" + "{" * 40_000, "}" * 40_000 + "</math>"),
    ("<nowiki>{\\displaystyle " + "{" * 40_000, "}" * 40_001),
]
PIECES = st.one_of(
    st.sampled_from(
        (
            "[[ ]] {{ }} {{{ }}} | = == === ' '' ''' ''''' * # : ; {| |} |- ! || <ref> </ref> <b> </b> <div> </div> <br> "
            "<!-- --> <nowiki> </nowiki> <math> </math> <pre> </pre> [http://a.b ] http://a &amp; &#65; &#x110000; &# __TOC__ "
            "---- < > </ /> </span> File: Category: fr: a Word {\\displaystyle \\frac{a}{b} } { ~~~~ \x01 \x05 \\ 中"
        ).split(" ")
    ),
    st.sampled_from(
        [" ", "\n", "\n\n", "\n== ", " ==\n", "\n* ", "\n: ", "\n{|\n", "\n|}\n", "\t", "<span class=noprint>"]
    ),
    st.text(max_size=5),
)
WORDS = st.lists(st.sampled_from("the loss of a network is small".split()), min_size=1, max_size=6).map(" ".join)


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        ("'''Bold''', ''italic'' and '''''both'''''.", "Bold, italic and both."),
        ("L'''idée''.\nDe l'''amour'' et '''b'''.\nIl a '''c''.", "L'idée.\nDe l'amour et b.\nIl a 'c."),
        ("It''''s four''''. ''''''Six''''''", "It's four'. 'Six'"),
        ("[[Loss]] [[Loss|the loss]] [[loss]]es [[:Category:A]] [[#Top]]", "Loss the loss losses Category:A #Top"),
        ("[http://a.b text] [http://a.b] http://a.b/c [mailto:a@b.c mail]", "text  http://a.b/c mail"),
        ("a[[File:X.png|thumb|A [[link]] in it]]b [[Image:Y.png]]c", "ab c"),
        ("End.\n[[Category:A]]\n[[Category:B|b]]\nMore. [[fr:Fin]]", "End.\nMore."),
        ("a {{box|x={{y|[[z]]|}}\n}} b{{#if: 1 < 2 | c }}", "a  b"),
        ("the {{lang|fr|mot}} {{mvar|x}} {{nowrap|1=a [[b|c]]}} {{em|}}", "the mot x a c"),
        ("x{{{1|y}}}z {{!}} {{{{{a}}}}}", "xz"),
        ("a<ref>b</ref> c<ref name=d /> <references />e", "a c e"),
        ("a [[Category:A]] b\n\n[[Category:B]]\n  [[File:C.png]]\nc", "a  b\nc"),
        ("a<!-- b\n-->c\n<!-- d -->\ne\n<!-- f --> <!-- g -->\nh<!-- i", "ac\ne\nh"),
        ("H<sub>2</sub>O <code>x[0]</code> <span style='a'>b</span> <B>C</B>", "H2O x[0] b C"),
        ("<span class='noprint'>no<span>ne</span></span>some<sup class=reference>1</sup>", "some"),
        ("one<br>two<br/>\nthree", "one\ntwo\nthree"),
        ("<nowiki>''[[a]]'' {{b}} <b> &lt;</nowiki> <nowiki/>c", "''[[a]]'' {{b}} <b> < c"),
        ("&amp; &lt;b&gt; &eacute;&#233;&#xe9; &unknown; AT&T &copyx", "& <b> ééé &unknown; AT&T &copyx"),
        ("a <questions> b < c > d", "a <questions> b < c > d"),
        (
            "<math>a < b</math> <math display=block>\\frac{1}{2}</math>",
            "{\\displaystyle a < b} {\\displaystyle \\frac{1}{2}}",
        ),
        ("<math>\\frac{1}{</math>", "\\frac{1}{"),
        ("x <syntaxhighlight lang=a inline>b=1</syntaxhighlight>", "x b=1"),
        ("__NOTOC__a __DISAMBIG__ __init__", "a  __init__"),
        ("== A ==\ntext\n===B===\n= C =", "== A ==\ntext\n\n=== B ===\n\n= C ="),
        ("== ''A'' [[b|c]]<ref>d</ref> ==\ne", "== A c ==\ne"),
        ("a\nb\n\nc\n\n\nd", "a\nb\nc\n\nd"),
        ("a:\n* b\n** c\n#d\n: e\n; f : g\nh", "a:\n\nb\nc\nd\ne\nf\ng\nh"),
        (
            "a\n{|\n! b\n|-\n| c\n{|\n| d\n|}\n|}\ne\n:{|\n|f\n|}\n",
            "a\nb: c.\n\ne\nf.",
        ),
        ("a\n<pre>\n b\n  == c ==\n</pre>\nd", "a\n\n b\n  == c ==\n\nd"),
        ("a\n<syntaxhighlight lang=x>\nb\n</syntaxhighlight>\nc", "a\nb\n\nc"),
        ("a<div>b <div>c</div></div>d <div>e", "a\n\nd e"),
        ("{{open | a\n[[open\nb <b>c", "{{open | a\n[[open\nb c"),
        ("{|\n| a", "{|\n| a"),
        ("<ref>a", "<ref>a"),
        ("<h2>A</h2>b<ul><li>c</li><li>d</li></ul>", "== A ==\nb\nc\nd"),
        ("", ""),
        ("\x01\x00a\x02", "a"),
    ],
)
def test_shows_what_a_reader_sees(wikitext: str, text: str) -> None:
    assert extract_text(wikitext) == text


TABLE = "{|\n! a\n|}\n"
NOTE = "[A table was here: a]"


@pytest.mark.parametrize(
    ("wikitext", "text"),
    [
        (f"One.\nTwo.\n{TABLE}Three.", f"One.\nTwo. {NOTE}\n\nThree."),
        (f"One.\n\n\n{{{{box}}}}\n{TABLE}\n{TABLE}\n\nTwo.", f"One. {NOTE} {NOTE}\n\nTwo."),
        (f"{TABLE}One.", f"{NOTE} One."),
        (f"One.\n== A ==\n{TABLE}Two.\n== B ==\n{TABLE}", f"One.\n\n== A ==\n\n{NOTE} Two.\n\n== B ==\n{NOTE}"),
        (f"One.\n<div>Two. {TABLE}\n{TABLE}<source>x</source></div>Three.", f"One. {NOTE}\nx\n\nThree."),
        (f"One.\n{TABLE}[[Category:A]]Two.", f"One. {NOTE}\n\nTwo."),
        (f"One.\n<source>\n== x ==\n</source>\n{TABLE}Two.", f"One.\n == x ==\n{NOTE}\n\nTwo."),
        (f"<source>x</source>\n{TABLE}One.", f"x\n\n{NOTE} One."),
        (f"One.\n{{|\n! b\n|-\n|\n{TABLE}<source>x</source>\n|}}", "One. [A table was here: b]"),
        ("One.\n{|\n! <math>x</math> !! <nowiki>[c]</nowiki> !! {{em|d}} !! {{e}}\n|}", "One. [A table was here: (c), d]"),
        (f"One.\n{{|class=infobox\n! b\n|}}{{{{box|\n{TABLE}}}}}<ref>\n{TABLE}</ref>", "One."),
        ("One.\n{|class=navbox\n! b\n| c\n|}\n{| role=presentation\n! b\n| c\n|}", "One."),
        ("One.\n<source>\nx &lt; 1\n\n\n\ny\n</source>", "One.\nx &lt; 1\n\n\n\ny"),
        (f"{TABLE}<source>x</source>{{{{box}}}}", ""),
        ("One.\n{|\n! A !! B\n|-\n| a &#xD800; b || &eacute;&#1;\n|}", "One.\nA: a \ufffd b; B: é."),
    ],
)  # fmt: skip
def test_tables_and_code_come_out_where_they_were(wikitext: str, text: str) -> None:
    assert extract_text(wikitext) == text


def test_hides_links_of_the_namespaces_it_is_told() -> None:
    assert (
        extract_text("a [[Datei:b.png|c]] [[Datei:b.png]] [[Kategorie:D]] [[Hilfe:E]]", {"datei", "kategorie"})
        == "a    Hilfe:E"
    )


@pytest.mark.parametrize("repeated", REPEATED)
def test_reads_hostile_text_in_no_time(repeated: str) -> None:
    piece = repeated.replace(r"\n", "\n").replace(r"\s", " ")
    _read_in_time(piece * (N // len(piece)))


@pytest.mark.parametrize(("opening", "closing"), CLOSED)
def test_reads_deep_nesting_in_no_time(opening: str, closing: str) -> None:
    times = max(1, N // len(opening + closing))
    _read_in_time(opening * times + closing * times)


def _read_in_time(wikitext: str) -> None:
    start = time.process_time()
    clean_text(extract_text(wikitext))
    assert time.process_time() - start < SECONDS


@given(st.lists(PIECES, max_size=40).map("".join))
def test_reads_whatever_there_is(wikitext: str) -> None:
    text = extract_text(wikitext)
    assert not set("\x01\x02\x03\x04\x05\x06\x07\x08\x0e\x0f") & set(text)
    clean_text(text).encode(errors="surrogatepass")


@given(st.lists(WORDS, min_size=1, max_size=5), st.lists(PIECES, max_size=8).map("".join))
def test_loses_no_words_beside_closed_markup(paragraphs: list[str], inside: str) -> None:
    inside = "".join(character for character in inside if character not in "{}[]<>|-&!=")
    wikitext = "\n\n".join(f"{words} {{{{box|{inside}}}}}<!--{inside}--><ref>{inside}</ref>" for words in paragraphs)
    assert extract_text(wikitext).split() == " ".join(paragraphs).split()
