"""Pages in, passages out: pieces of at most `max_chars` characters, made of whole sentences where they fit.

Scripts without spaces between words are cut after full stops, then after commas, then between characters.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING

from ragqa.errors import InputError
from ragqa.records import Page, Passage
from ragqa.text.characters import CJK, CLOSING_QUOTES, PAUSES, PHRASED, REPETITION, SENTENCE_ENDS, between_characters
from ragqa.text.clean import HEADING
from ragqa.text.table_rows import TABLE_NOTE

if TYPE_CHECKING:
    from langchain_text_splitters import TextSplitter

MAX_CHARS = 500
SPLITTER_VERSION = 2  # raise with every change that cuts some page differently: cached indexes are then built again

WRITTEN_FOR_RAGQA = "written for ragqa"
ON_TOPIC = f"{WRITTEN_FOR_RAGQA}; the topic's article on Wikipedia:"

Span = tuple[int, int]

_ABBREVIATIONS = ("e.g.", "i.e.", "et al.", "cf.", "vs.", "Dr.", "St.", "Fig.", "Eq.", "No.", "approx.", "resp.")
_CLOSING = rf"""["{CLOSING_QUOTES})\]]"""
_OPENS_SENTENCE = (
    r"""(?=["“‘(\[]?[A-Z0-9\u0400-\u042f\u0590-\u1fff\u3040-\ud7ff])"""  # Cyrillic capitals; scripts without case
)
_SPACED_BREAK = (
    r"""(?:(?<=[.!?])|(?<=[.!?]["”’)\]]))"""
    + r"(?<!\b[A-Z]\.)"
    + "".join(rf"(?<!\b{re.escape(a)})" for a in _ABBREVIATIONS)
    + rf"""\s+(?!\[A table was here){_OPENS_SENTENCE}"""
)
_UNSPACED_BREAK = (
    "(?:" + "|".join(rf"(?<=[{SENTENCE_ENDS}]{_CLOSING * count})" for count in range(3)) + ")"
    rf"(?!{_CLOSING}|[{SENTENCE_ENDS}])(?!(?<=[」』])[とっ])\s*"  # 「…。」と: a quotation within a sentence
)
_CJK_BREAK = rf"(?<=[{CJK}][.!?．])(?=[{CJK}])"
_AFTER_NO_LETTER = "(?<![a-z ])"  # changes no match, but fails fast in English
_PHRASE_BREAK = rf"(?<=[{PHRASED}])(?<!{REPETITION})\s+(?=[{PHRASED}])(?!{REPETITION})"
_CLAUSE_BREAK = rf"{_AFTER_NO_LETTER}(?:(?<=[;:,])\s+|(?<=[{PAUSES}])\s*|{_PHRASE_BREAK})"
SENTENCE_BREAK = f"{_SPACED_BREAK}|{_AFTER_NO_LETTER}(?:{_UNSPACED_BREAK}|{_CJK_BREAK})"
_SENTENCE = re.compile(rf"\s*\n\s*|{SENTENCE_BREAK}")
_MAY_END_SENTENCE = re.compile(  # with one more character; `re` is fastest if a class comes first
    rf"""[\n.!?．{SENTENCE_ENDS}](?:(?<=\n)|["”’)\]]?\s|[{CJK}]|(?<=[{SENTENCE_ENDS}])[{SENTENCE_ENDS}]*{_CLOSING}*[\s\S])"""
)

_LEAST_SAID = 0.4  # fraction of a passage's characters in lines that say something; below, it is debris
_WORD = re.compile(r"[^\W\d_][\w'’-]*")
_FUNCTION_WORDS = frozenset(
    "a an the this that these those it its he she they them their his her we our you your i who whom whose which what when "
    "where why how if while because since although though unless until whether than as so not no nor or and but of in on at "
    "to from by with without for about into over under between through during before after against among within across per "
    "via is are was were be been being am has have had do does did can could may might must shall should will would such "
    "some any each every all both either neither more most other another many much few only also then there here one".split()
)
_CITATION = re.compile(
    r"\b(?:ISBN|ISSN|OCLC|S2CID|PMID|PMC|JSTOR|LCCN|SSRN)\s?[\dX]|\b(?:doi|arXiv|Bibcode|hdl):\s?\S|\bCS1 maint|"
    r"\bRetrieved (?:on )?\d|\bArchived (?:\d|from|copy|at)|\(PDF\)|\bpp?\.\s?\d|\bVol\.\s?\d|\b\d(?:st|nd|rd|th) ed\.|"
    r"https?:/?/?\w"
)
_CHARS_PER_CITATION = 400  # a line with fewer for each citation is a list of citations
_IN_SPEECH, _IN_TITLES = 0.28, 0.18  # least fractions of function words; citations and lists of titles have fewer
_ENDS_SENTENCE = re.compile(rf"""[.!?:;…：{SENTENCE_ENDS}]{_CLOSING}*$""")
_EXPLAINS = re.compile(r"(?:\s[–—-]|[:,—])\s*([a-z]+\b.*)|\s[–—]\s([A-Z][a-z]+ .*)")
_FORMULA_OR_CODE = re.compile(r"\\[a-zA-Z]|[=←]|\w\([^ )]|[;{]$")


def split(page: Page, max_chars: int = MAX_CHARS) -> list[Passage]:
    """Cut a page into passages, in page order.

    No passage crosses a heading, holds one, or is longer than `max_chars` characters. A sentence is cut only if it is longer
    than that, at a space; a word is cut only if the word itself is longer. In scripts without spaces between words, such as
    Chinese, Japanese or Thai, a long sentence is cut after a comma or at a space, else between any two characters, maybe
    inside a word; a letter keeps its marks. `page.text[p.start:p.end] == p.text`, with line ends of any kind. Passages cover
    everything but white space, headings, and notes of tables (`TABLE_NOTE`) without text around them. A page without text
    gives no passage.

    Raises `InputError` for `max_chars` below 1.
    """
    if max_chars < 1:
        raise InputError(f"max_chars is {max_chars}; at least 1 is needed")
    passages: list[Passage] = []
    text = page.text.replace("\r\n", " \n").replace("\r", "\n")  # of the same length, so that offsets hold for the page
    for section, start, end in sections(text):
        for a, b in _pack(_pieces(text, start, end, max_chars), max_chars):
            if TABLE_NOTE.sub("", page.text[a:b]).strip():
                passages.append(_passage(page, len(passages), section, a, b))
    return passages


def split_windows(page: Page, max_chars: int = MAX_CHARS) -> list[Passage]:
    """Cut a page into raw windows of `max_chars` characters, through words and headings alike.

    For comparison only: the reference model's data was made so (the samples on its card begin and end inside words). Raises
    `InputError` for `max_chars` below 1.
    """
    if max_chars < 1:
        raise InputError(f"max_chars is {max_chars}; at least 1 is needed")
    starts = range(0, len(page.text), max_chars)
    return [_passage(page, n, "", a, min(a + max_chars, len(page.text))) for n, a in enumerate(starts)]


def sections(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the sections of a page's text in order: heading (empty for the lead), start and end of the text below it."""
    heading, start = "", 0
    for match in HEADING.finditer(text):
        yield heading, start, match.start()
        heading, start = match[2], match.end()
    yield heading, start, len(text)


def sentences(text: str) -> list[Span]:
    """Return the spans of a text's sentences in order, without the white space between them."""
    spans, start = [], 0
    for end in _MAY_END_SENTENCE.finditer(text):  # far fewer offsets than the whole pattern would be tried at
        if end.end() > start and (match := _SENTENCE.match(text, end.end() - 1)):
            spans.append(_strip(text, start, match.start()))
            start = match.end()
    spans.append(_strip(text, start, len(text)))
    return [(a, b) for a, b in spans if a < b]


def is_debris(passage: Passage) -> bool:
    """Return True if a passage says nothing by itself: the rest of a list, a table, a box of links or a bibliography.

    A line says something if it ends a sentence, explains a term (`kernel: …`, `Cobra – a …`), is a formula or code, or reads
    like running text, with words such as "of", "which" or "is". So do all lines below one that introduces them
    (`Advantages:`). Names, titles, years, single tokens, citations and notes of tables say nothing. A passage is debris if
    less than 40 % of its characters are in lines that say something. A list with its introduction, and a list of definitions,
    steps or reasons, is no debris. Lines that end no sentence are assumed to be English.
    """
    lines = [line for line in map(str.strip, TABLE_NOTE.sub("", passage.text).split("\n")) if line]
    said, introduced = 0, False
    for line in lines:
        introduced = introduced or line[-1] in ":："
        says = introduced or _says_something(line)
        said += len(line) if says else 0
    return not lines or said < _LEAST_SAID * sum(map(len, lines))


def _says_something(line: str) -> bool:
    words = _WORD.findall(line)
    function = sum(word.lower() in _FUNCTION_WORDS and not (len(word) == 1 and word.isupper()) for word in words)
    share = function / max(1, len(words))
    if share < _IN_SPEECH and len(line) < _CHARS_PER_CITATION * len(_CITATION.findall(line)):
        return False
    running = _running(words)
    if (len(line) >= 20 or (running and len(words) >= 2)) and _ENDS_SENTENCE.search(line):
        return True
    if len(line) >= 6 and _FORMULA_OR_CODE.search(line):
        return True
    if (explained := _EXPLAINS.search(line)) and _running(_WORD.findall(explained[1] or explained[2])) >= 2:
        return True
    if running >= 6 and running + function >= 0.85 * len(words):  # hardly any names
        return True
    return len(words) >= 5 and running >= 2 and share >= _IN_TITLES


def _running(words: list[str]) -> int:
    return sum(word[0].islower() and word not in _FUNCTION_WORDS for word in words)


def full_text(passage: Passage) -> str:
    """Return title, section and text of a passage as one string, which the embedder and the reranker read."""
    heading = heading_path(passage, " - ")
    return f"{heading}: {passage.text}" if heading else passage.text


def in_full_text(passage: Passage, spans: Iterable[Span]) -> list[Span]:
    """Return where spans of a passage's own text stand in its `full_text`."""
    offset = len(full_text(passage)) - len(passage.text)
    return [(start + offset, end + offset) for start, end in spans]


def from_full_text(passage_id: str, text: str) -> Passage:
    """Return a passage whose `full_text` is this text.

    The title is the part before the first " - " or ": ". A title that contains one of these is cut short. Without a title, the
    beginning of the text may be taken for one.
    """
    heading, colon, own = text.partition(": ")
    title, dash, section = heading.partition(" - ")
    if not colon or not title or bool(dash) != bool(section) or "\n" in heading:
        return Passage(passage_id, "", end=len(text), text=text)
    return Passage(passage_id, title, section, end=len(own), text=own)


def heading_path(passage: Passage, separator: str = " › ") -> str:
    """Return the title of a passage and its section, if it has one."""
    return separator.join(part for part in (passage.title, passage.section) if part)


def _passage(page: Page, number: int, section: str, start: int, end: int) -> Passage:
    text, url = page.text[start:end], cite(page, section, start)
    shared = page.aliases, page.about, page.metadata
    return Passage(f"{page.title}#{number}", page.title, section, start, end, text, url, *shared)


def cite(page: Page, section: str = "", start: int = 0) -> str:
    """Return the URL of a page's section, with the revision that was read if it is known; "" for a page without URL.

    For a page with places it is the URL of the place where the text at offset `start` stands in the file.
    """
    if not page.url:
        return ""
    if page.places:
        place = page.places[max(bisect_right(page.places, start, key=itemgetter(0)) - 1, 0)][1]
        return f"{page.url}#{place}" if place else page.url
    from urllib.parse import quote

    separator = "&" if "?" in page.url else "?"
    revision = f"{separator}oldid={page.revision}" if page.revision is not None else ""
    return page.url + revision + (f"#{quote(section.replace(' ', '_'), safe='')}" if section else "")


def is_written_for_ragqa(passage: Passage) -> bool:
    """Return True if a passage comes from no other place, and `about` names Wikipedia's article on its topic."""
    return bool(passage.about) and not passage.url


def source_line(passage: Passage) -> str:
    """Return where a passage comes from, for a plain text: its URL, or that it was written for ragqa; "" if unknown."""
    return f"{ON_TOPIC} {passage.about}" if is_written_for_ragqa(passage) else passage.url


def _pieces(text: str, start: int, end: int, max_chars: int) -> Iterator[Span]:
    """Yield the splitter's pieces of `text[start:end]` as spans of `text`. They are in order and lack most white space."""
    cursor = start
    for piece in _splitter(max_chars).split_text(text[start:end]):
        cursor = text.index(piece, cursor)
        if piece.strip():
            yield _strip(text, cursor, cursor + len(piece))
        cursor += len(piece)


def _pack(pieces: Iterator[Span], max_chars: int) -> Iterator[Span]:
    """Join neighbours while they fit: the splitter leaves the end of a long paragraph as a short piece."""
    first = next(pieces, None)
    if first is None:
        return
    start, end = first
    for a, b in pieces:
        if b - start > max_chars:
            yield start, end
            start = a
        end = b
    yield start, end


@cache
def _splitter(max_chars: int) -> "TextSplitter":
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    return RecursiveCharacterTextSplitter(
        separators=[
            r"\n{2,}",
            r"\n",
            SENTENCE_BREAK,
            _CLAUSE_BREAK,
            r"\s+|(?<=\u200b)",
            between_characters(),
            "",
        ],
        is_separator_regex=True,
        keep_separator=True,
        chunk_size=max_chars,
        chunk_overlap=0,
    )


def _strip(text: str, start: int, end: int) -> Span:
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())
