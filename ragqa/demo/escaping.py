"""Text that others have written as HTML and as Markdown: none of it is markup any more, but formulas are `<code>`.

The page draws the TeX in it (`formulas.js`).
"""

import html
import re
from collections.abc import Collection, Iterable
from urllib.parse import quote

from ragqa.demo.formulas import find_formulas
from ragqa.records import Passage
from ragqa.text.analyzer import usual_analyzer
from ragqa.text.passages import heading_path

_LINE_END = re.compile(r"\r\n?|\n")
_TEMPLATE = {"{": "&#123;", "}": "&#125;", "$": "&#36;", "`": "&#96;"}  # what Gradio's templates are written in
_SPECIAL = re.compile(r"[&<>\\`*_\[\]~@$]|:(?=//)|(?<=\bwww)\.|^[-+#=]|^\d(?=\d*[.)])", re.IGNORECASE)
_WORD = re.compile(r"[^\W_](?:\S*[^\W_])?")


def escape(text: str) -> str:
    """Text as HTML, on one line, with nothing that a template of Gradio's would take for its own."""
    whole = _LINE_END.sub("&#10;", html.escape(text))
    return "".join(_TEMPLATE.get(character, character) for character in whole)


def escape_markdown(text: str) -> str:
    """Text as one line of Markdown that shows it as it is: no links, not even those that Markdown finds by itself.

    What is special is written by its number: Gradio's Markdown forgets backslashes in the texts of links.
    """
    return _escape_line(" ".join(text.split()))


def _escape_line(line: str) -> str:
    return _SPECIAL.sub(lambda special: f"&#{ord(special[0])};", line)


def prose_markdown(text: str) -> str:
    """Text as one line of Markdown, as `escape_markdown` has it, with its formulas as code."""
    line, pieces, cursor = " ".join(text.split()), list[str](), 0
    for start, end in find_formulas(line):
        pieces += [_escape_line(line[cursor:start]), f"`{line[start:end]}`"]
        cursor = end
    return "".join([*pieces, _escape_line(line[cursor:])])


def prose(text: str) -> str:
    """Text as HTML, as `escape` has it, with its formulas as code."""
    return highlight(text, (0, 0))


def link(passage: Passage) -> str:
    """Page › section, as a link to the cited revision where the passage has a web address."""
    name = escape(heading_path(passage))
    if not is_web_address(passage.url):
        return f"<span>{name}</span>"
    return f'<a href="{escape(passage.url)}" target="_blank" rel="noopener noreferrer">{name}</a>'


def link_markdown(passage: Passage) -> str:
    """Page › section, as `link` has it."""
    name = escape_markdown(heading_path(passage))
    return f"[{name}](<{_percent(passage.url)}>)" if is_web_address(passage.url) else name


def is_web_address(url: str) -> bool:
    """Whether an address may be linked to."""
    return url.startswith(("https://", "http://"))


def highlight(text: str, span: tuple[int, int], matched: Collection[tuple[int, int]] = ()) -> str:
    """The text as HTML, the characters of `span` in `<mark>`, those of each of `matched` in `<b>`, inside it too.

    Formulas are `<code>`, unless `span` begins or ends inside them.
    """
    tags = {**dict.fromkeys(matched, "b"), **dict.fromkeys(find_formulas(text), "code")}
    named = sorted(tags.items(), key=lambda tag: (tag[0][0], -tag[0][1]))  # a formula comes before the words in it
    start, end = span
    if start >= end:
        return _tag(text, 0, len(text), named)
    parts = [_tag(text, *part, named) for part in ((0, start), (start, end), (end, len(text)))]
    return f"{parts[0]}<mark>{parts[1]}</mark>{parts[2]}"


def _tag(text: str, start: int, end: int, tags: Iterable[tuple[tuple[int, int], str]]) -> str:
    pieces, cursor = [], start
    for (first, last), name in tags:
        if cursor <= first < last <= end:
            pieces += [escape(text[cursor:first]), f"<{name}>{escape(text[first:last])}</{name}>"]
            cursor = last
    return "".join([*pieces, escape(text[cursor:end])])


def matches(question: str, text: str) -> list[tuple[int, int]]:
    """Where words stand in a text that BM25 takes for words of the question."""
    analyzer = usual_analyzer()
    asked = frozenset(analyzer.question_terms(question))
    return [word.span() for word in _WORD.finditer(text) if not asked.isdisjoint(analyzer.terms(word[0]))]


def _percent(url: str) -> str:
    """An address without what would end it in Markdown or HTML."""
    return quote(url, safe="/:?#@!$&'()*+,;=%~-._")
