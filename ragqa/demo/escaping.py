"""Foreign text in, HTML or Markdown out: nothing in it is markup any more, and its formulas are `<code>`.

The browser draws the TeX in `<code>` (`templates/formulas.js`).
"""

import html
import re
from collections.abc import Collection, Iterable
from urllib.parse import quote, unquote, urlsplit

from ragqa.demo.formulas import Span, find_formulas
from ragqa.records import Passage
from ragqa.text.analyzer import usual_analyzer
from ragqa.text.passages import ON_TOPIC, WRITTEN_FOR_RAGQA, heading_path, is_written_for_ragqa

_LINE_END = re.compile(r"\r\n?|\n")
_TEMPLATE = str.maketrans({"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"})  # Gradio's template syntax
_SPECIAL = re.compile(r"[&<>\\`*_\[\]~@$]|:(?=//)|(?<=\bwww)\.|^[-+#=]|^\d(?=\d*[.)])", re.IGNORECASE)
_PLACES = {"page=": "page", "L": "line", "cell=": "cell", "row=": "row"}  # by the beginning of a URL fragment
_PLACE = re.compile(rf"({'|'.join(_PLACES)})(\d+)")
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")


def escape(text: str) -> str:
    """Return text as one line of HTML that Gradio's templates do not interpret."""
    return _LINE_END.sub("&#10;", html.escape(text)).translate(_TEMPLATE)


def escape_markdown(text: str) -> str:
    """Return text as one line of Markdown that shows it literally, without the links that Markdown makes of addresses.

    Special characters become numeric references: Gradio's Markdown drops backslashes in link texts.
    """
    return _escape_line(" ".join(text.split()))


def _escape_line(line: str) -> str:
    return _SPECIAL.sub(lambda special: f"&#{ord(special[0])};", line)


def prose_markdown(text: str) -> str:
    """Return text as one line of Markdown like `escape_markdown`, with its formulas as code."""
    line, pieces, cursor = " ".join(text.split()), list[str](), 0
    for start, end in find_formulas(line):
        pieces += [_escape_line(line[cursor:start]), f"`{line[start:end]}`"]
        cursor = end
    return "".join([*pieces, _escape_line(line[cursor:])])


def prose(text: str) -> str:
    """Return text as HTML like `escape`, with its formulas as code."""
    return highlight(text, ())


def link(passage: Passage) -> str:
    """Return `Page › Section` as HTML: a link to the cited revision if the passage has a web address.

    A passage of a file is followed by `(handbook.pdf, page 3)`, because browsers open no files from web pages.
    """
    name = heading_path(passage)
    return (
        _anchor(passage.url, name)
        if is_web_address(passage.url)
        else f"<span>{escape(name + _in_file(passage))}</span>"
    )


def topic_link(passage: Passage) -> str:
    """Return as HTML that a passage was written for ragqa, with a link to Wikipedia's article on its topic; else ""."""
    if not (is_written_for_ragqa(passage) and is_web_address(passage.about)):
        return ""
    return f'<p class="topic">{escape(ON_TOPIC)} {_anchor(passage.about, passage.title)}</p>'


def _anchor(url: str, name: str) -> str:
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer">{escape(name)}</a>'


def link_markdown(passage: Passage) -> str:
    """Return `Page › Section` as Markdown, otherwise like `link`. Text written for ragqa is said to be that, without a link."""
    name = escape_markdown(heading_path(passage) + _in_file(passage))
    if is_written_for_ragqa(passage):
        return f"{name}, {WRITTEN_FOR_RAGQA}"
    if not is_web_address(passage.url):
        return name
    url = quote(passage.url, safe="/:?#@!$&'()*+,;=%~-._")  # nothing in it ends the address early
    return f"[{name}](<{url}>)"


def _in_file(passage: Passage) -> str:
    """Return the file that a passage comes from, with its page, line, cell or row; "" for a passage of no file."""
    parts = urlsplit(passage.url)
    if parts.scheme != "file":
        return ""
    place = _PLACE.fullmatch(parts.fragment)
    found = f", {_PLACES[place[1]]} {place[2]}" if place else ""
    return f" ({unquote(parts.path).rpartition('/')[2]}{found})"


def is_web_address(url: str) -> bool:
    """Return whether an address may become a link."""
    return url.startswith(("https://", "http://"))


def highlight(text: str, spans: Iterable[Span], matched: Collection[Span] = ()) -> str:
    """Return text as HTML with the characters of each of `spans` in `<mark>` and those of each of `matched` in `<b>`.

    `spans` are in text order and do not overlap. Formulas are `<code>`, unless a span starts or ends inside them.
    """
    tags = {**dict.fromkeys(matched, "b"), **dict.fromkeys(find_formulas(text), "code")}
    named = sorted(tags.items(), key=lambda tag: (tag[0][0], -tag[0][1]))  # a formula precedes the words in it
    pieces, cursor = [], 0
    for start, end in spans:
        pieces += [_tag(text, cursor, start, named), f"<mark>{_tag(text, start, end, named)}</mark>"]
        cursor = end
    return "".join([*pieces, _tag(text, cursor, len(text), named)])


def _tag(text: str, start: int, end: int, tags: Iterable[tuple[Span, str]]) -> str:
    pieces, cursor = [], start
    for (first, last), name in tags:
        if cursor <= first < last <= end:
            pieces += [escape(text[cursor:first]), f"<{name}>{escape(text[first:last])}</{name}>"]
            cursor = last
    return "".join([*pieces, escape(text[cursor:end])])


def matches(question: str, text: str) -> list[Span]:
    """Return the spans of the words of a text that BM25 matches with words of the question."""
    analyzer = usual_analyzer()
    asked = frozenset(analyzer.question_terms(question))
    return [word.span() for word in _WORD.finditer(text) if not asked.isdisjoint(analyzer.terms(word[0]))]
