"""What plain-text extracts leave out of a page: its tables, noted where they stood, and its code, put back.

TextExtracts drops tables and highlighted code without a trace; the wikitext of the same revision tells where they were.
"""

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from ragqa.text.clean import HEADING
from ragqa.text.wikitext_blocks import CONTROL, LIST, MARK, balance_tables, keep, take_out

TABLE_NOTE = re.compile(r"\[A table was here(?:: [^\[\]\n]*)?\]")

_LONGEST_LABEL = 150  # characters of a caption or of column headings
_MOST_REMOVED = 100  # tables and blocks of code of a section
_MOST_SECTIONS = 500  # that are paired
_GRAM, _LEAST, _SLACK = (
    5,
    3,
    8,
)  # words that must agree, at best and at least; how many may stand between them and the place
_WORD = re.compile(r"\w+")
_MAY_HOLD = re.compile(r"\{\||<\s*(?:table|syntaxhighlight|source)\b", re.IGNORECASE)
_NO_TABLE = re.compile(r"infobox|navbox|metadata|sidebar|[atfci]mbox|\btoc\b|noprint", re.IGNORECASE)
_NO_TEXT = re.compile(r"\s*(?:file|image|category|media)\s*:", re.IGNORECASE)
_CODE = frozenset({"syntaxhighlight", "source"})
_FORMULA = frozenset({"math", "chem", "ce"})
_NO_MARKUP = str.maketrans(dict.fromkeys("[]{}<>|!='*#:;", " "))
_UNKNOWN = "\x03"  # a word that a template or a formula makes
_ITEM = "\x04"  # at the start of a line: what was an item of a list
_PIECE = re.compile(f"{MARK.pattern}|({_UNKNOWN})|(\\w+)")
_NO_WORD = re.compile(f"{MARK.pattern}|{_UNKNOWN}|{_ITEM}")
_NEAREST = 20  # places of a word that are looked at, before and after: a page may hold no other word


@dataclass(frozen=True, slots=True)
class _Removed:
    """A note of a table, or code, that stood after so many words of its section."""

    text: str
    is_code: bool
    words_before: int


@dataclass(frozen=True, slots=True)
class _Section:
    """A section of the wikitext; its words are None where a template or a formula makes them."""

    heading: str
    words: list[str | None] = field(default_factory=list)
    removed: list[_Removed] = field(default_factory=list)


def add_removed(text: str, wikitext: str) -> str:
    """Note the tables and put back the code that `text`, the raw extract of the same revision, has lost.

    A table becomes `[A table was here: …]` with its caption or its column headings. The note ends the line before the table,
    or begins the one after it where the section has none before; infoboxes, boxes of links and whatever templates make are not
    noted. The contents of `<syntaxhighlight>` and `<source>` blocks become lines of their own, one that would be a heading
    indented by a space; code inside a sentence is in extracts already. The place is found by the section and the words next to
    it; where they are not found, it is the section's end. Wikitext that is broken or too deep to be read changes nothing.
    """
    if not _MAY_HOLD.search(wikitext):
        return text
    try:
        sections = _read(wikitext)
    except RecursionError:
        return text
    pieces, position = [], 0
    for section, start, end in _pair(sections, text):
        pieces += [text[position:start], _insert(text[start:end], section.words, section.removed[:_MOST_REMOVED])]
        position = end
    return "".join(pieces) + text[position:]


def _pair(sections: Sequence[_Section], text: str) -> Iterator[tuple[_Section, int, int]]:
    """The sections with the start and the end of their text, in order; one that only one side has is passed over."""
    headings = list(HEADING.finditer(text))
    if max(len(sections), len(headings)) > _MOST_SECTIONS:
        return
    starts = [0, *(match.end() for match in headings)]
    ends = [*(match.start() for match in headings), len(text)]
    ours = [_key(section.heading) for section in sections]
    theirs = ["", *(_key(match[2]) for match in headings)]
    for a, b, size in SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks():
        yield from zip(sections[a : a + size], starts[b : b + size], ends[b : b + size], strict=True)


def _key(heading: str) -> str:
    return "".join(_WORD.findall(heading.casefold()))


def _insert(body: str, words: Sequence[str | None], removed: Iterable[_Removed]) -> str:
    """The text of a section with what was removed from it."""
    found = _Found(body)
    pieces: list[str] = []
    position, last = 0, None
    for one in removed:
        place = max(position, _find_place(body, found, words, one.words_before))
        beside = last if place == position else None
        pieces += [body[position:place], _set(one, body, place, beside)]
        position, last = place, one
    return "".join(pieces) + body[position:]


def _set(one: _Removed, body: str, place: int, beside: _Removed | None) -> str:
    """What to insert at `place`, where `beside` has just been inserted, so that notes share lines and code does not."""
    if body[:place].strip():  # the end of a line
        return f"\n{one.text}" if one.is_code or (beside and beside.is_code) else f" {one.text}"
    if not body.strip():
        return f"\n{one.text}\n"
    if one.is_code:
        return ("\n" if beside and not beside.is_code else "") + f"{one.text}\n\n"
    return f"{one.text} "


class _Found:
    """The words of a section's text and where they begin."""

    def __init__(self, body: str) -> None:
        matches = list(_WORD.finditer(body))
        self.starts = [match.start() for match in matches]
        self._words = [match[0].casefold() for match in matches]
        self._numbers: dict[str, list[int]] = defaultdict(list)
        for number, word in enumerate(self._words):
            self._numbers[word].append(number)

    def find(self, gram: Sequence[str], count: int) -> int | None:
        """The number of the word where those of `gram` stand in a row, nearest to the word number `count`."""
        size = len(gram)
        rarest = min(range(size), key=lambda m: len(self._numbers.get(gram[m], ())))
        places = self._numbers.get(gram[rarest], [])
        middle = bisect(places, count)
        starts = (number - rarest for number in places[max(0, middle - _NEAREST) : middle + _NEAREST])
        hits = (n for n in starts if n >= 0 and self._words[n : n + size] == [*gram])
        return min(hits, key=lambda n: abs(n + size - count), default=None)


def _find_place(body: str, found: _Found, words: Sequence[str | None], count: int) -> int:
    """Where in a section's text its first `count` words end: at the end of a line, or before all text."""
    if not body.strip():
        return 0
    if not count:
        return len(body) - len(body.lstrip())
    before = list(_grams(words[:count][::-1]))  # their words are in reverse
    for skipped, gram in before:
        if None not in words[count - skipped : count] and (hit := found.find(gram[::-1], count)) is not None:
            return _line_end(body, found.starts[hit + len(gram) - 1], "\n")
    for _, gram in _grams(words[count:]):
        if (hit := found.find(gram, count)) is not None:
            line = body.rfind("\n", 0, found.starts[hit]) + 1
            return len(body[:line].rstrip()) or line
    for _, gram in before:
        if (hit := found.find(gram[::-1], count)) is not None:
            return _line_end(body, found.starts[hit + len(gram) - 1], "\n\n")
    return len(body.rstrip())


def _grams(words: Sequence[str | None]) -> Iterator[tuple[int, list[str]]]:
    """Runs of known words at the beginning, the nearest first, with the number of words before each."""
    for skipped in range(min(_SLACK + 1, len(words))):
        gram: list[str] = []
        for word in words[skipped : skipped + _GRAM]:
            if word is None:
                break
            gram.append(word)
        if len(gram) >= _LEAST or (gram and len(gram) == len(words)):
            yield skipped, gram


def _line_end(body: str, start: int, mark: str) -> int:
    end = body.find(mark, start)
    return len(body.rstrip()) if end < 0 else len(body[:end].rstrip())


def _read(wikitext: str) -> list[_Section]:
    """The sections of wikitext. What a parser would be slow at, markup that is not closed, is made blank before."""
    import mwparserfromhell

    kept: list[str] = []
    text = balance_tables(take_out(CONTROL.sub("", wikitext.replace("\r\n", "\n")), kept, _show), _UNKNOWN)
    sections = [_Section("")]
    _walk(mwparserfromhell.parse(LIST.sub(_ITEM, text), skip_style_tags=True).nodes, sections, kept, seen=True)
    return sections


def _show(name: str, attributes: str, content: str, kept: list[str]) -> str:
    """What stands for an element of an extension: a mark for code, nothing for what extracts do not show."""
    if name in _CODE and "inline" not in attributes:
        code = HEADING.sub(r" \g<0>", content.strip("\n").rstrip())
        return keep(code, kept) if code else ""
    if name in _FORMULA or name in _CODE:
        return _UNKNOWN
    return content.translate(_NO_MARKUP) if name in ("nowiki", "pre") else ""


def _walk(nodes: Iterable[Any], sections: list[_Section], kept: Sequence[str], *, seen: bool) -> None:
    """Read nodes into the last of the sections and into new ones; `seen` is whether extracts hold their text."""
    linked = False
    for node in nodes:
        kind, words = type(node).__name__, sections[-1].words
        if kind == "Heading":
            sections.append(_Section(_plain(node.title)))
        elif kind == "Tag":
            _read_tag(node, sections, kept, seen=seen)
        elif kind == "Text":
            _read_text(str(node), sections[-1], kept, seen=seen, linked=linked)
        elif not seen:
            continue
        elif kind == "Wikilink":
            if not _NO_TEXT.match(str(node.title)):
                _walk((node.text or node.title).nodes, sections, kept, seen=seen)
        elif kind == "ExternalLink" and node.title:
            _walk(node.title.nodes, sections, kept, seen=seen)
        elif kind != "HTMLEntity" or not node.normalize().isspace():
            words.append(None)
        linked = kind == "Wikilink"


def _read_text(text: str, section: _Section, kept: Sequence[str], *, seen: bool, linked: bool) -> None:
    """Read the words and the code of a text into a section; after a link its first word may be the end of another."""
    for match in _PIECE.finditer(text):
        code, unknown, word = match.groups()
        if code is not None:
            section.removed.append(_Removed(kept[int(code)], True, len(section.words)))
        elif not seen:
            continue
        elif unknown:
            section.words.append(None)
        elif linked and match.start() == 0 and section.words and section.words[-1]:  # the s of [[table]]s
            section.words[-1] += word.casefold()
        else:
            section.words.append(word.casefold())


def _read_tag(node: Any, sections: list[_Section], kept: Sequence[str], *, seen: bool) -> None:
    tag, section = str(node.tag).strip().lower(), sections[-1]
    if tag == "table":
        if not any(
            _NO_TABLE.search(str(attribute.value)) for attribute in node.attributes if attribute.name == "class"
        ):
            section.removed.append(_Removed(_note(node), False, len(section.words)))
    elif node.contents is not None:
        _walk(node.contents.nodes, sections, kept, seen=seen and tag != "div")  # extracts leave divisions out as well


def _note(table: Any) -> str:
    rows: list[list[str]] = [[]]
    caption = _read_rows(table.contents.nodes, rows) if table.contents else ""
    label = caption or ", ".join(next((row for row in rows if row), []))
    if len(label) > _LONGEST_LABEL:
        label = label[:_LONGEST_LABEL].rsplit(" ", 1)[0] + " …"
    label = label.replace("[", "(").replace("]", ")").rstrip(" .,;:!?")
    return f"[A table was here: {label}]" if label else "[A table was here]"


def _read_rows(nodes: Iterable[Any], rows: list[list[str]]) -> str:
    """Read the headings of each row of a table, those of tables inside it left out; return its caption."""
    caption = ""
    for node in nodes:
        tag = str(node.tag).strip().lower() if type(node).__name__ == "Tag" else ""
        if tag == "caption" or (tag == "td" and str(node).startswith("|+")):
            caption = caption or _plain(node.contents).removeprefix("+").rpartition("|")[2].strip()
        elif tag == "th":
            rows[-1] += [heading] if (heading := _plain(node.contents)) else []
        elif tag in ("tr", "thead", "tbody") and node.contents is not None:
            rows.append([])
            caption = _read_rows(node.contents.nodes, rows) or caption
    return caption


def _plain(wikicode: Any) -> str:
    """Wikitext without markup and templates, as one line."""
    return " ".join(re.sub("''+", "", "".join(map(_plain_node, wikicode.nodes))).split())


def _plain_node(node: Any) -> str:
    kind = type(node).__name__
    if kind == "Text":
        return _NO_WORD.sub(" ", str(node))
    if kind == "HTMLEntity":
        return str(node.normalize())
    if kind == "Wikilink":
        return "" if _NO_TEXT.match(str(node.title)) else _plain(node.text or node.title)
    if kind == "ExternalLink":
        return _plain(node.title) if node.title else ""
    if kind == "Tag":
        tag = str(node.tag).strip().lower()
        return f" {_plain(node.contents)} " if node.contents is not None and tag != "table" else " "
    return ""
