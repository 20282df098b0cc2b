"""The words of questions: those that ask about any topic, and those that can name one."""

import re
from collections.abc import Iterator

from ragqa.text.analyzer import QUESTION_WORDS, STOP_WORDS

ASPECTS = frozenset(  # nouns, and their adjectives, that ask about a topic but are not a topic themselves
    "advantage advantages disadvantage disadvantages benefit benefits drawback drawbacks limit limits limitation limitations "
    "weakness weaknesses strength strengths pros cons problem problems pitfall pitfalls downside downsides risk risks purpose "
    "application applications example examples alternative alternatives variant variants formula equation history origin goal "
    "intuition idea ideas component components ingredients part parts step steps parameter parameters hyperparameters setting "
    "settings assumption assumptions requirements complexity cost costs implementation practice main typical common important "
    "key basic best better good bad big point reason reasons thing things rate value values number amount effect effects role "
    "trick method methods technique techniques algorithm algorithms strategy strategies choice choices first real simple "
    "short possible".split()
)
HELPERS = frozenset(  # verbs and adverbs that fit any topic
    "help helps prevent avoid fix stop choose pick select set find train trained compute computed calculate calculated "
    "measure measured improve reduce apply applied implement implemented evaluate interpret get make makes made cause causes "
    "needs needed fail fails perform come comes came go goes invented invent developed introduced proposed differ differs "
    "compare compares relate prefer useful worth still actually exactly really ever always usually look looks take takes "
    "bother care start done ok okay hurt hurts matter matters trust read run happened show gives add adds handle handles solve "
    "there two three four five just more else up out off any some many much".split()
)
LIGHT = STOP_WORDS | QUESTION_WORDS | HELPERS
EMPTY = LIGHT | ASPECTS

_WORD = re.compile(r"[^\W_]+(?:[-‐‑–./+][^\W_]+)*\+*")


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without endings after an apostrophe."""
    return [match[0] for match in _find_words(text)]


def _find_words(text: str) -> Iterator[re.Match[str]]:
    return _WORD.finditer(re.sub(r"['’]\w+", "", text.lower()))


def is_empty(text: str) -> bool:
    """Return True if a text contains no word that can name a topic."""
    return all(match[0] in EMPTY or match[0].isdecimal() for match in _find_words(text))


def spans_of_words(text: str) -> list[tuple[int, int]]:
    """Return the start and end of each word of a text."""
    return [match.span() for match in _WORD.finditer(text)]
