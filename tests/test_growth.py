"""Every function that reads foreign text takes time in proportion to its length, whatever is repeated in it.

The inputs are made from the regular expressions of the module that is tested: what they mention, and marks of wikitext, HTML
and several alphabets, is repeated, with something before and behind. To test another function, add a line to `READERS`.

    python tests/test_growth.py SECONDS [SEED [NAME …]]

searches further than the tests have time for, and prints what grows faster.
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
from ragqa.answers.plain_text import plain_text
from ragqa.answers.written import read_sentences
from ragqa.errors import InputError
from ragqa.index.terms import Fields, find_abbreviations, passage_terms
from ragqa.records import Answer, Hit, Page, Passage
from ragqa.search.conversation import standalone
from ragqa.search.question import MAX_QUESTION_CHARS
from ragqa.search.topics import topic_of
from ragqa.text.analyzer import Analyzer
from ragqa.text.clean import clean_text
from ragqa.text.omissions import add_removed
from ragqa.text.pages import read_article
from ragqa.text.passages import cite, is_debris, sentences, split
from ragqa.text.questions import FORMS, QuestionGenerator, expansions, is_well_formed, reference_question
from ragqa.text.tex import readable_tex
from ragqa.text.wikitext import plain_text as plain_wikitext
from ragqa.text.wikitext import without_comments
from ragqa.wiki.dump_file import Entry, Site
from ragqa.wiki.fetch import has_text
from ragqa.wiki.links import Names
from ragqa.wiki.listing import make_filter, name_category, normalize, title_flaw
from ragqa.wiki.replies import _retry_after_s

if sys.version_info >= (3, 11):
    from re import _parser  # type: ignore[attr-defined]
else:
    import sre_parse as _parser

MEASURABLE_S = 0.02  # a shorter time says nothing
LONG_S = 0.2  # a shorter time does not matter where a limit is near
MOST_CHARS = 1 << 15
LEAST_CHARS = 1 << 10
GROWTH = 3.0  # twice the input takes twice the time; four times is quadratic
TRIES = 4  # before a measured growth is believed: the machine may be busy
SHARE_S = 0.8  # of each function in the tests' time, on the processor
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
    """What reads a text, and the module whose expressions say what to repeat; `most_chars` is a limit of its own."""

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
    "clean": Reader(clean_text, "clean"),
    "removed": Reader(lambda text: add_removed(text, text), "removed"),
    "removed below a table": Reader(lambda text: add_removed(text, "{|\n! a\n|}" + text), "removed"),
    "tex": Reader(readable_tex, "tex"),
    "split": Reader(lambda text: split(Page("T", text=text)), "passages"),
    "sentences": Reader(sentences, "passages"),
    "debris": Reader(lambda text: is_debris(_passage(text)), "passages"),
    "cite": Reader(lambda text: cite(Page("T", url="http://a.example", revision=1), text), "passages"),
    "article": Reader(_article, "corpus"),
    "plain": Reader(plain_text, "dialogue.plain"),
    "questions": Reader(_generate, "questions"),
    "expansions": Reader(lambda text: list(expansions(text)), "questions"),
    "well-formed": Reader(is_well_formed, "questions"),
    "reference question": Reader(reference_question, "questions"),
    "wikitext": Reader(plain_wikitext, "wiki.wikitext"),
    "markup": Reader(plain_wikitext, "wiki.markup"),
    "comments": Reader(without_comments, "wiki.markup"),
    "links": Reader(lambda text: NAMES.categories("[[Category:" + text), "wiki.links"),
    "redirects": Reader(lambda text: NAMES.redirect(_entry("#redirect" + text)), "wiki.links"),
    "extracts": Reader(has_text, "wiki.fetch"),
    "titles": Reader(lambda text: (normalize(text), title_flaw(text)), "wiki.listing"),
    "categories": Reader(name_category, "wiki.listing"),
    "filter": Reader(lambda text: FILTER.reason_to_skip({"title": text, "ns": 0}), "wiki.listing"),
    "headers": Reader(_retry_after_s, "wiki.mediawiki"),
    "terms": Reader(ANALYZER.terms, "lexical.analyzer"),
    "question terms": Reader(ANALYZER.question_terms, "lexical.analyzer"),
    "fields": Reader(_terms, "lexical.terms"),
    "standalone": Reader(
        lambda text: standalone(text, [_answer("what is a sigmoid function?")]),
        "dialogue.conversation",
        MAX_QUESTION_CHARS,
    ),
    "pronouns": Reader(
        lambda text: standalone(text, [_answer("what is a sigmoid function?")]), "dialogue.pronouns", MAX_QUESTION_CHARS
    ),
    "topic": Reader(lambda text: topic_of(_answer(text)), "dialogue.topics", MAX_QUESTION_CHARS),
    "topic of a passage": Reader(lambda text: topic_of(_answer("what is a sigmoid?", text)), "dialogue.topics"),
    "citations": Reader(lambda text: (cited_numbers(text), without_citations(text)), "dialogue.support"),
    "support": Reader(lambda text: check_sentence(f"{text} [1]", [_passage("It is.")], None), "dialogue.support"),
    "support of a passage": Reader(
        lambda text: check_sentence("It is 7 small words. [1]", [_passage(text)], None), "dialogue.support"
    ),
    "written": Reader(read_sentences, "dialogue.written"),
}


def mentioned(module: str) -> list[str]:
    """What the regular expressions of a module mention: runs of characters, and one of each class."""
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
                for inner in part if isinstance(part, list) else [part]:  # branches, or what is repeated or grouped
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
    """Ever new things to repeat: first each token alone, then up to four together."""
    tokens = list(dict.fromkeys([*ALPHABET, *mentioned(reader.module)]))
    rng = random.Random(seed)

    def some(most: int) -> str:
        return "".join(rng.choices(tokens, k=rng.randint(0, most)))

    while True:
        yield Case(some(2), some(3) or rng.choice(tokens), some(2))


def seconds(read: Callable[[str], object], text: str) -> float:
    gc.collect(0)
    gc.disable()
    start = time.process_time()  # of the processor: others may be busy
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
    """How many times as long a text takes as its half, and how long; the best of several tries if it is too many."""
    whole, half = [], []
    for _ in range(TRIES):
        whole.append(seconds(reader.read, case.text(chars)))
        half.append(seconds(reader.read, case.text(chars // 2)))
        if min(whole) / min(half) <= GROWTH:
            break
    return min(whole) / min(half), min(whole)


KNOWN = {  # that once took quadratic time
    "wikitext": [Case("", "{|\n\n\xa0", "")],
    "removed": [
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
    slow = Reader(re.compile(r"\s*x").search, "clean")
    assert growth(slow, Case("", " ", ""))[0] > GROWTH


def test_expressions_say_what_to_repeat() -> None:
    assert {"display", "\\", "=", "\n", "References", "#", " ", "\u200b", "\u2060", "}"} <= {*mentioned("clean")}


def search(limit_s: float, seed: int, names: list[str]) -> None:
    """Print what grows faster than its input, for so many seconds for each function."""
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
