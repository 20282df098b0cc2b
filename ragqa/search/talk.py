"""The state of a conversation: its last question and its topic, which may be older than that question."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ragqa.answers.parts import pair_in
from ragqa.records import Answer, Hit
from ragqa.search.grammar import is_plural, without_article
from ragqa.search.subjects import subject_of
from ragqa.search.topics import Topic, in_texts, in_titles, is_name, topic_of
from ragqa.search.vocabulary import is_empty, words_of
from ragqa.text.analyzer import usual_analyzer

_HITS = 3  # of an answer that are read
_LONGEST_SUBJECT = 8  # most words of the subject of a definition that is a topic
_LONGEST_SYMBOL = 2  # letters
_MANY = re.compile(r"\b(?:they|them|these|those)\b", re.IGNORECASE)
_COMPLEMENT = re.compile(r" (?:of|in|for|with|on|under|from)\b.*", re.IGNORECASE)


class Talk(NamedTuple):
    """The state of a conversation.

    `question` is the last answered question, and `hits` are its hits. `topic` is what the conversation is about, `before` its
    topic before that. Pronouns stand for `focus`: the topic, or a part of it that the last question asked about.
    """

    question: str
    hits: Sequence[Hit]
    topic: Topic
    focus: Topic
    before: Topic | None = None


def talk_of(answers: Iterable[Answer]) -> Talk | None:
    """Return the state of a conversation after these answers, which must have hits; None if there is no topic."""
    talk = None
    for answer in answers:
        talk = _begin(answer) if talk is None else _go_on(talk, answer)
    return talk


def antecedent(question: str, talk: Talk) -> Topic:
    """Return what the pronouns of a question stand for: "they" are things of which there are many, if there are any."""
    subject = subject_of(talk.question) or ""
    many = _MANY.search(question) and not is_plural(talk.focus.text) and is_plural(subject)
    return Topic(subject) if many else talk.focus


def _begin(answer: Answer) -> Talk | None:
    own = _own_topic(answer)
    return Talk(answer.question, answer.hits, _whole(own, answer.hits), own) if own else None


def _go_on(talk: Talk, answer: Answer) -> Talk:
    own, hits = _own_topic(answer), answer.hits
    kept = talk._replace(question=answer.question, hits=hits)
    if own is None or own in (talk.focus, talk.topic) or not _names_something(own, answer.question):
        return kept
    at, at_focus, at_topic = (_find(topic, answer.question) for topic in (own, talk.focus, talk.topic))
    if -1 < at_focus <= at or (at_focus > -1 and at == -1):
        return kept
    if at_topic > -1:
        return kept._replace(focus=own if -1 < at < at_topic else talk.topic)
    if own.parts or is_name(own.text, hits[:_HITS]) or (_own_subject(answer) and not _is_part(own, talk)):
        return Talk(answer.question, hits, _whole(own, hits), own, talk.topic)
    if _is_part(own, talk) or in_titles(talk.topic.text, hits[:1]):
        return kept._replace(focus=own)
    return Talk(answer.question, hits, _whole(own, hits), own, talk.topic)


def _own_topic(answer: Answer) -> Topic | None:
    subject = None if pair_in(answer.question) else _own_subject(answer)
    return Topic(subject) if subject else topic_of(answer)


def _own_subject(answer: Answer) -> str | None:
    """Return the subject of a definition if it is a topic: no aspect of one ("the cost of dropout"), and known."""
    subject, hits = subject_of(answer.question), answer.hits[:_HITS]
    if not subject or is_empty(_COMPLEMENT.sub("", subject)) or len(subject.split()) > _LONGEST_SUBJECT:
        return None
    return subject if in_titles(subject, hits) or in_texts(subject, hits) else None


def _whole(own: Topic, hits: Sequence[Hit]) -> Topic:
    """Return the topic of the page in a topic that is a part of it: "SGD" in "the learning rate of SGD"."""
    _, of, whole = own.text.partition(" of ")
    return Topic(whole) if of and not own.parts and is_name(whole, hits[:_HITS]) else own


def _names_something(own: Topic, question: str) -> bool:
    """Return True if a topic is in the question, not only the title of its best hit, and is no symbol such as "k1"."""
    shared = {*usual_analyzer().terms(own.text)} & {*usual_analyzer().terms(question)}
    return bool(shared) and any(len(word) > _LONGEST_SYMBOL for word in words_of(own.text))


def _is_part(own: Topic, talk: Talk) -> bool:
    """Return True if the passages on the topic before mention another topic that is no name of a page."""
    return in_texts(own.text, talk.hits[:_HITS])


def _find(topic: Topic, question: str) -> int:
    """Return the offset of a topic in a question, or -1."""
    match = re.search(rf"(?<![\w-]){re.escape(without_article(topic.text))}(?![\w-])", question, re.IGNORECASE)
    return match.start() if match else -1
