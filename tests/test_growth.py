"""Every function that reads untrusted text takes time proportional to its length, whatever the text repeats.

Inputs repeat pieces of text between a prefix and a suffix. The pieces come from the regular expressions of the tested module
and from the markup of wikitext, HTML and several alphabets. To test another function, add a line to `READERS`.

    python tests/test_growth.py SECONDS [SEED [NAME …]]

searches longer than the tests do and prints the cases that grow faster.
"""

import gc
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from ragqa.answers.citations import check_sentence, cited_numbers, without_citations
from ragqa.answers.parts import pair_in
from ragqa.answers.plain_text import plain_text
from ragqa.answers.written import read_sentences
from ragqa.errors import InputError
from ragqa.index.terms import Fields, find_abbreviations, passage_terms
from ragqa.records import Answer, Hit, Page, Passage
from ragqa.search.conversation import standalone
from ragqa.search.question import MAX_QUESTION_CHARS
from ragqa.search.small_talk import reply_to
from ragqa.search.subjects import subject_of
from ragqa.search.topics import topic_of
from ragqa.text.analyzer import Analyzer
from ragqa.text.clean import clean_text
from ragqa.text.omissions import restore_omissions
from ragqa.text.pages import read_article
from ragqa.text.passages import cite, is_debris, sentences, split
from ragqa.text.questions import FORMS, QuestionGenerator, expansions, is_well_formed, reference_question
from ragqa.text.table_rows import is_table_row, only_rows
from ragqa.text.tex import readable_tex
from ragqa.text.wikitext import extract_text, without_comments
from ragqa.wiki.dump_file import Entry, Site
from ragqa.wiki.fetch import has_text
from ragqa.wiki.links import Names
from ragqa.wiki.listing import make_filter, name_category, normalize, title_flaw
from ragqa.wiki.replies import _retry_after_s

if sys.version_info >= (3, 11):
    from re import _parser  # type: ignore[attr-defined]
else:
    import sre_parse as _parser

MEASURABLE_S = 0.02  # shorter times cannot be measured
LONG_S = 0.2  # shorter times do not matter if the length is limited
MOST_CHARS = 1 << 15
LEAST_CHARS = 1 << 10
GROWTH = 3.0  # twice the input takes twice the time; four times is quadratic
TRIES = 4  # before a growth counts: the machine may be busy
SHARE_S = 0.8  # processor time for each function
SEED = 1

ALPHABET = (
    *"a A z 1 2 7 0 . , ; : ! ? ' \" - – — _ ~ * # = | ( ) [ ] { } < > / \\ & $ ^ % + @ é ß 中 。 ا α 🧠".split(),
    *(
        "{{",
        "}}",
        "{|",
        "|}",
        "|-",
        "||",
        "!!",
        "[[",
        "]]",
        "==",
        "''",
        "'''",
        "<!--",
        "-->",
        "</",
        "/>",
        "<ref>",
        "</ref>",
    ),
    *(
        "<div>",
        "</div>",
        "<nowiki>",
        "<pre>",
        "<math>",
        "<table>",
        "<source>",
        "http://",
        "&amp;",
        "[1]",
        "](",
        "File:",
    ),
    *(
        " ",
        "  ",
        "\n",
        "\n\n",
        "\n ",
        "\t",
        "\xa0",
        "\u3000",
        "\u2028",
        "\u0301",
        "\u200b",
        "\r\n",
        "\r",
        "“",
        "”",
        "’",
    ),
    *("is ", " the ", " a ", " of ", "word", "Word ", "What is ", " and ", "it", " between ", "p<.05, ", ". A"),
)


@dataclass(frozen=True)
class Reader:
    """A function that reads text, the module whose expressions say what to repeat, and the longest text to try."""

    read: Callable[[str], object]
    module: str
    most_chars: int = MOST_CHARS


ANALYZER = Analyzer()
NAMES = Names(Site("", True, {6: frozenset({"file"}), 14: frozenset({"category"})}))
FILTER = make_filter(["learning"], ["software$"])


def _passage(text: str) -> Passage:
    return Passage("T#0", "Sigmoid function", "History", 0, len(text), text)


def _answer(question: str, text: str = "The sigmoid function squeezes a number.") -> Answer:
    return Answer(question, "", (Hit(_passage(text), 1.0, 0.5, 1.0, 1),), (), abstained=False)


def _generate(text: str) -> object:
    return [QuestionGenerator([p], FORMS).questions(p) for p in (_passage(text), Passage("T#0", text, text, text=text))]


def _terms(text: str) -> object:
    passage = Passage("T#0", text, text, text=text, aliases=(text,))
    abbreviations = find_abbreviations([passage], ANALYZER)
    return list(passage_terms([passage], Fields(), ANALYZER, abbreviations))


def _entry(text: str) -> Entry:
    return Entry("T", 0, 1, None, 1, None, "wikitext", text)


def _article(text: str) -> object:
    with TemporaryDirectory() as folder:
        path = Path(folder, "article.md")
        path.write_text(f"---\ntitle: T\n---\n{text}", encoding="utf8")
        return read_article(path)


READERS = {
    "clean": Reader(clean_text, "text.clean"),
    "omissions": Reader(lambda text: restore_omissions(text, text), "text.omissions"),
    "omissions below a table": Reader(lambda text: restore_omissions(text, "{|\n! a\n|}" + text), "text.omissions"),
    "tex": Reader(readable_tex, "text.tex"),
    "split": Reader(lambda text: split(Page("T", text=text)), "text.passages"),
    "sentences": Reader(sentences, "text.passages"),
    "debris": Reader(lambda text: is_debris(_passage(text)), "text.passages"),
    "cite": Reader(lambda text: cite(Page("T", url="http://a.example", revision=1), text), "text.passages"),
    "article": Reader(_article, "text.pages"),
    "plain text": Reader(plain_text, "answers.plain_text"),
    "questions": Reader(_generate, "text.questions"),
    "expansions": Reader(lambda text: list(expansions(text)), "text.questions"),
    "well-formed": Reader(is_well_formed, "text.questions"),
    "reference question": Reader(reference_question, "text.questions"),
    "wikitext": Reader(extract_text, "text.wikitext"),
    "balance": Reader(extract_text, "text.wikitext_balance"),
    "elements": Reader(extract_text, "text.wikitext_elements"),
    "tables": Reader(lambda text: extract_text("{|\n! a\n|" + text + "\n|}\nb"), "text.wikitext_tables"),
    "infoboxes": Reader(lambda text: extract_text("{{Infobox a|b=" + text + "}}\nc"), "text.wikitext_templates"),
    "rows": Reader(lambda text: (is_table_row(text), only_rows(text)), "text.table_rows"),
    "comments": Reader(without_comments, "text.wikitext_elements"),
    "links": Reader(lambda text: NAMES.categories("[[Category:" + text), "wiki.links"),
    "redirects": Reader(lambda text: NAMES.redirect(_entry("#redirect" + text)), "wiki.links"),
    "extracts": Reader(has_text, "wiki.fetch"),
    "titles": Reader(lambda text: (normalize(text), title_flaw(text)), "wiki.listing"),
    "categories": Reader(name_category, "wiki.listing"),
    "filter": Reader(lambda text: FILTER.reason_to_skip({"title": text, "ns": 0}), "wiki.listing"),
    "headers": Reader(_retry_after_s, "wiki.replies"),
    "terms": Reader(ANALYZER.terms, "text.analyzer"),
    "question terms": Reader(ANALYZER.question_terms, "text.analyzer"),
    "fields": Reader(_terms, "index.terms"),
    "standalone": Reader(
        lambda text: standalone(text, [_answer("what is a sigmoid function?")]),
        "search.conversation",
        MAX_QUESTION_CHARS,
    ),
    "pronouns": Reader(
        lambda text: standalone(text, [_answer("what is a sigmoid function?")]), "search.pronouns", MAX_QUESTION_CHARS
    ),
    "follow-ups": Reader(
        lambda text: standalone(text, [_answer("what is a sigmoid function?")]), "search.followups", MAX_QUESTION_CHARS
    ),
    "follow-ups of a long question": Reader(
        lambda text: standalone("what about dropout?", [_answer(text)]), "search.rephrasing", MAX_QUESTION_CHARS
    ),
    "subjects": Reader(lambda text: (pair_in(text), subject_of(text)), "search.subjects", MAX_QUESTION_CHARS),
    "small talk": Reader(reply_to, "search.small_talk"),
    "topic": Reader(lambda text: topic_of(_answer(text)), "search.topics", MAX_QUESTION_CHARS),
    "topic of a passage": Reader(lambda text: topic_of(_answer("what is a sigmoid?", text)), "search.topics"),
    "citations": Reader(lambda text: (cited_numbers(text), without_citations(text)), "answers.citations"),
    "support": Reader(lambda text: check_sentence(f"{text} [1]", [_passage("It is.")], None), "answers.citations"),
    "support of a passage": Reader(
        lambda text: check_sentence("It is 7 small words. [1]", [_passage(text)], None), "answers.citations"
    ),
    "written": Reader(read_sentences, "answers.written"),
}


def mentioned(module: str) -> list[str]:
    """Return the literals in the regular expressions of a module: runs of characters, and one character of each class."""
    tokens: dict[str, None] = {}
    for pattern in vars(import_module(f"ragqa.{module}")).values():
        if isinstance(pattern, re.Pattern) and isinstance(pattern.pattern, str):
            _collect(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE), tokens)
    return list(tokens)


_CLASSES = {"CATEGORY_DIGIT": "1", "CATEGORY_SPACE": " ", "CATEGORY_WORD": "a", "CATEGORY_NOT_WORD": "-"}


def _collect(parsed: Any, tokens: dict[str, None]) -> None:
    run = ""
    for operation, value in [*parsed, (None, None)]:
        if str(operation) == "LITERAL":
            run += chr(value)
            tokens[chr(value)] = None
            continue
        if run:
            tokens[run], run = None, ""
        if str(operation) == "CATEGORY":
            tokens[_CLASSES.get(str(value), "x")] = None
        elif str(operation) == "RANGE":
            tokens[chr(value[0])] = None
        elif str(operation) == "IN":  # a class
            for part in value:
                _collect([part], tokens)
        elif isinstance(value, list | tuple):
            for part in value:
                for inner in part if isinstance(part, list) else [part]:  # branches, repetitions, groups
                    if type(inner).__name__ == "SubPattern":
                        _collect(inner, tokens)


@dataclass(frozen=True)
class Case:
    """A text of any length."""

    before: str
    unit: str
    behind: str

    def text(self, chars: int) -> str:
        return self.before + self.unit * (max(1, chars // len(self.unit))) + self.behind


def cases(reader: Reader, seed: int) -> Iterator[Case]:
    """Yield cases without end: first each token alone, then up to four together."""
    tokens = list(dict.fromkeys([*ALPHABET, *mentioned(reader.module)]))
    rng = random.Random(seed)

    def some(most: int) -> str:
        return "".join(rng.choices(tokens, k=rng.randint(0, most)))

    while True:
        yield Case(some(2), some(3) or rng.choice(tokens), some(2))


def seconds(read: Callable[[str], object], text: str) -> float:
    gc.collect(0)
    gc.disable()
    start = time.process_time()  # processor time, because others may use the machine
    try:
        read(text)
    except InputError:  # a limit
        pass
    finally:
        gc.enable()
    return time.process_time() - start


def growth(reader: Reader, case: Case) -> tuple[float, int, float]:
    """How many times as long twice the text takes, with its length and its time; 1 if that is too short to be measured.

    What grows faster is measured again at twice the length until it takes long: there may be a limit, or others at work.
    """
    most = reader.most_chars
    chars, least_s = min(LEAST_CHARS, most // 2), MEASURABLE_S if most == MOST_CHARS else LONG_S
    took = seconds(reader.read, case.text(chars))
    while took < least_s and 2 * chars <= most:
        chars *= 2
        took = seconds(reader.read, case.text(chars))
    if took < least_s:
        return 1.0, chars, took
    times = _measure(reader, case, chars)
    while times[0] > GROWTH and times[1] < LONG_S and (most == MOST_CHARS or 2 * chars <= most):
        chars *= 2
        times = _measure(reader, case, chars)
    return times[0], chars, times[1]


def _measure(reader: Reader, case: Case, chars: int) -> tuple[float, float]:
    """Return the ratio of a text's time to that of its half, and the time; the best of several tries if it is too large."""
    whole, half = [], []
    for _ in range(TRIES):
        whole.append(seconds(reader.read, case.text(chars)))
        half.append(seconds(reader.read, case.text(chars // 2)))
        if min(whole) / min(half) <= GROWTH:
            break
    return min(whole) / min(half), min(whole)


KNOWN = {  # cases that once took quadratic time, or nearly did
    "wikitext": [Case("", "{|\n\n\xa0", "")],
    "tables": [Case("", "{|\n! a\n|}\n", ""), Case("", "|}\na\n{|\n! a\n|}\n<source>b</source>", "")],
    "omissions": [
        Case("{|\n! a\n|}", "p<.05, ", ""),
        Case("{|\n! a\n|}", "<nowiki>", ""),
        Case("{|\n! a\n|}", "[http://", ""),
        Case("", "{|\n! a\n|}\nword\n", ""),
    ],
    "article": [Case("## a", " ", "b")],
    "questions": [Case(" ", " ", "a")],
    "redirects": [Case("", "\t", "a")],
    "citations": [Case("a", " ", "b")],
    "support": [Case("a", "\t", "b")],
    "written": [Case("'", "  ", "x")],
    "topic": [Case("", "the", " between ")],
    "pronouns": [Case("", "important", ""), Case("/>", "’usingfor", ".")],
    "extracts": [Case("", "<", ""), Case("", "<!--", "")],
}


@pytest.mark.parametrize("name", READERS)
def test_time_grows_with_the_length(name: str) -> None:
    reader, start = READERS[name], time.process_time()
    for case in chain(KNOWN.get(name, ()), cases(reader, SEED)):
        times, chars, took = growth(reader, case)
        assert times <= GROWTH, (
            f"{name}: {case}, {chars:,} characters take {took:.2f} s, half of them {took / times:.2f} s"
        )
        if time.process_time() - start > SHARE_S:
            break


def test_what_grows_faster_is_noticed() -> None:
    slow = Reader(re.compile(r"\s*x").search, "text.clean")
    assert growth(slow, Case("", " ", ""))[0] > GROWTH


def test_expressions_say_what_to_repeat() -> None:
    assert {"display", "\\", "=", "\n", "References", "#", " ", "\u200b", "\u2060", "}"} <= {*mentioned("text.clean")}


def search(limit_s: float, seed: int, names: list[str]) -> None:
    """Search each function for this many seconds and print the cases that grow faster than their input."""
    for name in names or list(READERS):
        reader, end, count = READERS[name], time.monotonic() + limit_s, 0
        for case in cases(reader, seed):
            count += 1
            times, chars, took = growth(reader, case)
            if times > GROWTH:
                print(f"{name}: {case} ×{times:.1f} at {chars:,}: {took:.2f} s", flush=True)
            if time.monotonic() > end:
                break
        print(f"{name}: {count} tried", flush=True)


if __name__ == "__main__":
    search(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, sys.argv[3:])
