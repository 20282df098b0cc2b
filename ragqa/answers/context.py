"""An answer in, the same answer out with the sentences that its quotes refer to: what "They …" or "This …" is about."""

import re
from collections.abc import Callable
from dataclasses import replace

from ragqa.records import Answer, Passage, Quote
from ragqa.text.analyzer import usual_analyzer
from ragqa.text.passages import sentences

_ADVERBS = "(?:(?:also|generally|initially|not|often|sometimes|then|therefore|thus|usually|well) )*"
_NOTHING = (  # after an "It" that stands for nothing: "It is important to …"
    rf"(?:(?:is|was|may be|has been|(?:can|could|must|should) be) {_ADVERBS}(?:argued|assumed|believed|best|better|clear|"
    r"common|convenient|crucial|desirable|difficult|easier|easy|essential|hard|helpful|important|impossible|kept in mind|known|"
    r"likely|natural|necessary|noted|possible|shown|standard|sufficient|thought|true|useful|usual|worth)|follows that|seems|"
    r"turns out)\b"
)
# may stand for what the page is about
_TOPIC = re.compile(rf"(?:They|He|She|Its|Their|His|Her)\b|It (?!{_NOTHING})")
_SAID = re.compile(
    r"(?:This|These|Those(?! who\b| that\b)|Such)\b|Both\b(?!(?: [\w-]+){1,4} and\b)"
    r"|That(?:’s|'s)? (?:can|causes|explains|gives|is|leads|makes|means|was|would)\b"
    r"|The (?:aforementioned|first one|former|latter|resulting|second one|two)\b|One (?:such|of (?:them|these|those))\b"
    r"|(?:After|At|Because of|By|Despite|Due to|For|From|In|On|Through|Under|With) (?:doing so|such|that|these|this|those)\b"
)
_WHOLE = re.compile(r"[A-Z\"“‘(\[].*[.!?:][\"”’)\]]*", re.DOTALL)  # a sentence from its first word to its end
_MOST_ADDED = 2  # sentences


def refers_back(text: str) -> bool:
    """Return True if an English sentence begins with a word that refers to the one before, such as "They" or "This"."""
    return bool(_TOPIC.match(text) or _SAID.match(text))


def with_context(answer: Answer, before: Callable[[Passage], Passage | None]) -> Answer:
    """Return an answer whose quotes say what they are about.

    A quote that refers back starts one sentence earlier, or two if that one refers back too. If the quote is at the beginning
    of its passage, `Quote.before` becomes these sentences of the passage before, which `before` returns. "It" and "they" stand
    for the title of the page if the question names it; then nothing is added.
    """
    quotes = tuple(_in_context(quote, answer, before) for quote in answer.quotes)
    if quotes == answer.quotes:
        return answer
    return replace(answer, quotes=quotes, text="\n\n".join(quote.said for quote in quotes))


def _in_context(quote: Quote, answer: Answer, before: Callable[[Passage], Passage | None]) -> Quote:
    passage = answer.hits[quote.hit].passage
    if not refers_back(quote.text) or (_TOPIC.match(quote.text) and _names(answer.question, passage.title)):
        return quote
    if passage.text[: quote.start].strip():
        start = _referred(passage.text[: quote.start])
        if any(other.hit == quote.hit and start < other.end <= quote.start for other in answer.quotes):
            return quote
        return replace(quote, start=start, text=passage.text[start : quote.end])
    above = before(passage)
    if above is None or above.section != passage.section:
        return quote
    return replace(quote, before=above.text[_referred(above.text) :].strip())


def _referred(text: str) -> int:
    """The offset of the last sentence of a text, or of the one before it if the last refers back.

    The length of the text if it does not end with a whole sentence.
    """
    start = len(text)
    for first, end in reversed(sentences(text)[-_MOST_ADDED:]):
        if not _WHOLE.fullmatch(text[first:end]):
            break
        start = first
        if not refers_back(text[first:end]):
            break
    return start


def _names(question: str, title: str) -> bool:
    """Whether a question names the topic of a page; what a title has in parentheses need not be named."""
    topic = usual_analyzer().terms(title.partition(" (")[0])
    return bool(topic) and set(topic) <= set(usual_analyzer().terms(question))
