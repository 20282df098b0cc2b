"""A plain-text extract and its wikitext in, the extract with the rows of its tables and with its code out.

TextExtracts drops tables, infoboxes and highlighted code without a trace. The wikitext of the same revision shows where they
were.
"""

import html
import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from ragqa.text.clean import HEADING
from ragqa.text.wikitext_balance import balance
from ragqa.text.wikitext_elements import (
    BOX,
    CONTROL,
    FORMULA_START,
    LINES,
    LIST,
    NOTE,
    PLACEHOLDER,
    parse,
    replace_elements,
)
from ragqa.text.wikitext_tables import NO_TEXT, one_line
from ragqa.text.wikitext_templates import template_text

_MOST_OMISSIONS = 100  # tables and blocks of code that are restored in a section
_MOST_SECTIONS = 500  # in pages with more, nothing is restored
_WORDS_TO_MATCH = 5  # in a row, next to an omission
_FEWEST_TO_MATCH = 3
_MOST_SKIPPED = 8  # words between an omission and those that match
_NEAREST = 20  # occurrences of a word to try before and after the expected index: a page may hold no other word
_WORD = re.compile(r"\w+")
_MAY_OMIT = re.compile(r"\{\||<\s*(?:table|syntaxhighlight|source)\b|\{\{[^{}|\n]{0,60}infobox", re.IGNORECASE)
_UNKNOWN = "\x03"  # words that a template or a formula makes
_TOKEN = re.compile(f"(?P<block>[{NOTE}{LINES}{BOX}])?{PLACEHOLDER.pattern}|(?P<unknown>{_UNKNOWN})|(?P<word>\\w+)")


@dataclass(frozen=True, slots=True)
class _Omission:
    """A table, a note of one, or a block of code, and the number of words before it in its section.

    `mark` is that of its placeholder. An infobox belongs to the end of its section, wherever it stands.
    """

    text: str
    mark: str
    words_before: int


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of the wikitext. A word is None if a template or a formula makes it."""

    heading: str
    words: list[str | None] = field(default_factory=list)
    omissions: list[_Omission] = field(default_factory=list)


def restore_omissions(extract: str, wikitext: str) -> str:
    """Return the raw extract with the rows of its tables and with its code, which the wikitext of the same revision holds.

    Rows are lines of their own at the place of the table (`table_rows.table_text`). A table without rows is a note. The note
    ends the line before the table, or begins the line after it if none comes before it in its section. The lines of an infobox
    stand at the end of its section, so that the section begins with its prose. Boxes of links and tables made by other
    templates are left out. The contents of `<syntaxhighlight>` and `<source>` blocks become lines of their own; a line that
    looks like a heading is indented by a space. Extracts hold code inside a sentence already.

    Positions are found by the section and by the words next to a table or to code. If the words are not found, the position
    is the end of the section. Wikitext that is nested too deeply to be read changes nothing.
    """
    if not _MAY_OMIT.search(wikitext):
        return extract
    try:
        sections = _read(wikitext)
    except RecursionError:
        return extract
    pieces, position = [], 0
    for section, start, end in _pair(sections, extract):
        omissions = section.omissions[:_MOST_OMISSIONS]
        pieces += [extract[position:start], _insert(extract[start:end], section.words, omissions)]
        position = end
    return "".join(pieces) + extract[position:]


def _pair(sections: Sequence[_Section], extract: str) -> Iterator[tuple[_Section, int, int]]:
    """Yield the sections that the extract holds too, in order, with the start and end of their text in the extract."""
    headings = list(HEADING.finditer(extract))
    if max(len(sections), len(headings)) > _MOST_SECTIONS:
        return
    starts = [0, *(match.end() for match in headings)]
    ends = [*(match.start() for match in headings), len(extract)]
    ours = [_key(section.heading) for section in sections]
    theirs = ["", *(_key(match[2]) for match in headings)]
    for a, b, size in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        yield from zip(sections[a : a + size], starts[b : b + size], ends[b : b + size], strict=True)


def _key(heading: str) -> str:
    """Return the letters and digits of a heading. A formula counts as its TeX, with or without the style before it."""
    return "".join(_WORD.findall(heading.replace(FORMULA_START, "").casefold()))


def _insert(body: str, words: Sequence[str | None], omissions: Iterable[_Omission]) -> str:
    """Return the text of a section with its omissions inserted."""
    occurrences = _Occurrences(body)
    pieces: list[str] = []
    position, last = 0, None
    for omission in sorted(omissions, key=lambda omission: omission.mark == BOX):
        found = (
            len(body.rstrip())
            if omission.mark == BOX
            else _find_offset(body, occurrences, words, omission.words_before)
        )
        offset = max(position, found)
        neighbour = last if offset == position else None
        pieces += [body[position:offset], _with_separators(omission, body, offset, neighbour)]
        position, last = offset, omission
    return "".join(pieces) + body[position:]


def _with_separators(omission: _Omission, body: str, offset: int, neighbour: _Omission | None) -> str:
    """Return the text to insert at `offset`, directly after `neighbour` if there is one.

    Notes share a line with text and with each other; other blocks do not.
    """
    if omission.mark == BOX and (neighbour or body[:offset].strip()):
        return f"\n\n{omission.text}"
    own_line = omission.mark == LINES or (neighbour and neighbour.mark == LINES)
    if body[:offset].strip():  # at the end of a line
        return f"\n{omission.text}" if own_line else f" {omission.text}"
    if not body.strip():
        return f"\n{omission.text}\n"
    if omission.mark == LINES:
        return ("\n" if neighbour and neighbour.mark == NOTE else "") + f"{omission.text}\n\n"
    return f"{omission.text} "


class _Occurrences:
    """Where the words of a section's text occur: `starts` holds the offset of each."""

    def __init__(self, body: str) -> None:
        matches = list(_WORD.finditer(body))
        self.starts = [match.start() for match in matches]
        self._words = [match[0].casefold() for match in matches]
        self._indices: dict[str, list[int]] = defaultdict(list)
        for index, word in enumerate(self._words):
            self._indices[word].append(index)

    def find(self, run: Sequence[str], expected: int) -> int | None:
        """Return the index of the first word of the occurrence of `run` whose end is nearest to the index `expected`.

        Return None if the run does not occur.
        """
        size = len(run)
        rarest = min(range(size), key=lambda m: len(self._indices.get(run[m], ())))
        indices = self._indices.get(run[rarest], [])
        middle = bisect(indices, expected)
        starts = (index - rarest for index in indices[max(0, middle - _NEAREST) : middle + _NEAREST])
        hits = (n for n in starts if n >= 0 and self._words[n : n + size] == [*run])
        return min(hits, key=lambda n: abs(n + size - expected), default=None)


def _find_offset(body: str, occurrences: _Occurrences, words: Sequence[str | None], count: int) -> int:
    """Return the offset in a section's text after its first `count` words: the end of a line, or the start of the text."""
    if not body.strip():
        return 0
    if not count:
        return len(body) - len(body.lstrip())
    before = list(_runs(words[:count][::-1]))  # in reverse order
    for skipped, run in before:
        if None not in words[count - skipped : count] and (hit := occurrences.find(run[::-1], count)) is not None:
            return _end(body, occurrences.starts[hit + len(run) - 1], "\n")
    for _, run in _runs(words[count:]):
        if (hit := occurrences.find(run, count)) is not None:
            line = body.rfind("\n", 0, occurrences.starts[hit]) + 1
            return len(body[:line].rstrip()) or line
    for _, run in before:
        if (hit := occurrences.find(run[::-1], count)) is not None:
            return _end(body, occurrences.starts[hit + len(run) - 1], "\n\n")
    return len(body.rstrip())


def _runs(words: Sequence[str | None]) -> Iterator[tuple[int, list[str]]]:
    """Yield runs of known words near the start, nearest first, each with the number of words before it."""
    for skipped in range(min(_MOST_SKIPPED + 1, len(words))):
        run: list[str] = []
        for word in words[skipped : skipped + _WORDS_TO_MATCH]:
            if word is None:
                break
            run.append(word)
        if len(run) >= _FEWEST_TO_MATCH or (run and len(run) == len(words)):
            yield skipped, run


def _end(body: str, start: int, separator: str) -> int:
    """Return the offset where the line or paragraph around `start` ends, without trailing white space."""
    end = body.find(separator, start)
    return len(body.rstrip()) if end < 0 else len(body[:end].rstrip())


def _read(wikitext: str) -> list[_Section]:
    """Read the sections of wikitext."""
    stored: list[str] = []
    text = replace_elements(CONTROL.sub("", wikitext.replace("\r\n", "\n")), stored)
    text = balance(text, stored, lambda call: template_text(call) or _UNKNOWN)
    sections = [_Section("")]
    _walk(parse(LIST.sub(" ", text)).nodes, sections, stored)
    return sections


def _walk(nodes: Iterable[Any], sections: list[_Section], stored: Sequence[str]) -> None:
    """Read nodes into the last section; a heading begins a new one."""
    after_link = False
    for node in nodes:
        kind = type(node).__name__
        if kind == "Heading":
            sections.append(_Section(one_line(node.title, stored)))
        elif kind == "Text":
            _read_text(str(node), sections[-1], stored, after_link)
        elif kind == "Wikilink":
            if not NO_TEXT.match(str(node.title)):
                _walk((node.text or node.title).nodes, sections, stored)
        elif kind == "ExternalLink" and node.title:
            _walk(node.title.nodes, sections, stored)
        elif kind == "ExternalLink" or (kind == "HTMLEntity" and _WORD.search(html.unescape(str(node)))):
            sections[-1].words.append(None)
        after_link = kind == "Wikilink"


def _read_text(text: str, section: _Section, stored: Sequence[str], after_link: bool) -> None:
    """Read the words and the omissions of a text into a section. Right after a link, the first word may end the link's last."""
    words = section.words
    for match in _TOKEN.finditer(text):
        if match["block"]:
            section.omissions.append(_Omission(stored[int(match[2])], match["block"], len(words)))
        elif match[2]:
            words += _words_of(stored[int(match[2])])
        elif match["unknown"]:
            words.append(None)
        elif after_link and match.start() == 0 and words and words[-1]:  # the s of [[table]]s
            words[-1] += match[0].casefold()
        else:
            words.append(match[0].casefold())


def _words_of(stored: str) -> list[str | None]:
    """Return the words of an element's text, as of `<nowiki>`; one unknown word for a formula."""
    return [None] if stored.startswith(FORMULA_START) else [word.casefold() for word in _WORD.findall(stored)]
