"""Changes of a question: another question word, another topic, an aspect of its topic."""

import re

from ragqa.search.grammar import is_plural, put_subject, without_article
from ragqa.search.topics import Topic
from ragqa.search.vocabulary import words_of

PREPOSITION = re.compile(r"(?:in|of|for|with|on|at|when|during|without|after|before|against|if) ", re.IGNORECASE)
_YES_OR_NO = re.compile(
    r"(?P<verb>is|are|was|were|does|do|did|can|could|should|would|will|has|have)(?P<negation>n['’]?t)?\b", re.IGNORECASE
)
_ADVERB = re.compile(r" (?:really|actually|even|ever)\b", re.IGNORECASE)
_DETERMINERS = re.compile(r"(?:(?:the|any|some|its|their) )+", re.IGNORECASE)
_LAST_PHRASE = re.compile(
    r" (?:in|of|for|with|on|at|to|from) (?P<object>(?:(?! (?:in|of|for|with|on|at|to|from) ).)+)$", re.IGNORECASE
)
_NAME = re.compile(r"[A-Z\d]|-")  # what names of methods often have
_NUMBER = re.compile(r"\d[\d.,]*%?")
_LONG = 8  # letters that similar words share at their ends: "supervised" and "unsupervised"


def ask_with(word: str, question: str, *, negated: bool = False) -> str:
    """Put a question word before a yes-or-no question: "Does it help?" → "Why does it help?". Quote any other question."""
    *context, last = re.split(r"(?<=[.?!]) ", question.strip())
    verb = _YES_OR_NO.match(last)
    if verb is None:
        return question if words_of(last)[:1] == [word] else f"{word.capitalize()}: {question}"
    rest = _ADVERB.sub("", last[verb.end() :]).rstrip(" ?!.")
    negation = "n't" if verb["negation"] or negated else ""
    named = "can't" if negation and verb["verb"].lower() == "can" else f"{verb['verb'].lower()}{negation}"
    return " ".join([*context, f"{word.capitalize()} {named}{rest}?"])


def name_aspect(aspect: str, topic: Topic) -> str:
    """Ask for an aspect of a topic: "advantages" → "What are the advantages of dropout?"."""
    bare = _DETERMINERS.sub("", aspect, count=1) if _DETERMINERS.match(aspect) else aspect
    return f"What {'are' if is_plural(bare) else 'is'} the {bare} {joint_of(bare)} {topic.text}?"


def joint_of(aspect: str) -> str:
    """Return the preposition between an aspect and its topic."""
    return "to" if aspect.lower().endswith(("alternative", "alternatives")) else "of"


def ask_about(fragment: str, question: str, topic: Topic) -> str:
    """Ask a question about something else: "recall" replaces the topic, "for regression" is added or replaces such a phrase."""
    stem = question.rstrip(" ?!.")
    if _NUMBER.fullmatch(fragment) and (numbers := list(_NUMBER.finditer(stem))):
        return f"{stem[: numbers[-1].start()]}{fragment}{stem[numbers[-1].end() :]}?"
    if preposition := PREPOSITION.match(fragment):
        return _put_phrase(preposition[0], fragment, stem, topic)
    if topic.parts:
        paired = re.search(r"\b(?:between|vs\.?|versus)\s", stem, re.IGNORECASE)
        return (None if paired else put(fragment, topic.parts[1], stem)) or f"{stem}, and {fragment}?"
    return _put_parallel(fragment, stem) or put(fragment, topic.text, stem) or f"{stem} with {fragment}?"


def put(new: str, old: str, question: str) -> str | None:
    """Replace a phrase of a question and its article, so that the verb agrees; None if the phrase is not there."""
    match = re.search(
        rf"(?:\b(?:an?|the) )?(?<![\w-]){re.escape(without_article(old))}(?![\w-])", question, re.IGNORECASE
    )
    if match is None:
        return None
    return put_subject(question[: match.start()], new, question[match.end() :].rstrip(" ?!.")) + "?"


def put_last_phrase(fragment: str, question: str) -> str:
    """Replace the last phrase with a preposition: "in t-SNE" in "What is the perplexity of a language model?"."""
    stem = question.rstrip(" ?!.")
    return f"{_LAST_PHRASE.sub('', stem)} {fragment}?"


def _put_phrase(preposition: str, fragment: str, stem: str, topic: Topic) -> str:
    """Replace the last phrase with this preposition. Else "for" and a name replace one with another. Else add the fragment."""
    offset = stem.lower().rfind(f" {preposition.lower()}")
    if offset > 0:
        return f"{stem[:offset]} {fragment}?"
    last = _LAST_PHRASE.search(stem)
    if (
        preposition.lower() == "for "
        and last
        and topic.text.lower().endswith(last["object"].lower())
        and _NAME.search(fragment)
    ):
        return f"{stem[: last.start('object')]}{fragment[len(preposition) :]}?"
    return f"{stem} {fragment}?"


def _put_parallel(fragment: str, stem: str) -> str | None:
    """Replace a phrase with the same last word ("dropout rate" by "learning rate") or a similar word ("supervised")."""
    bare = without_article(fragment)
    *modifiers, head = bare.split() or [""]
    if modifiers:
        pattern = rf"(?<![\w-])[\w-]+ {re.escape(head)}(?![\w-])"
    elif len(head) > _LONG:
        pattern = rf"(?<![\w-])\w*{re.escape(head[-_LONG:])}(?![\w-])"
    else:
        return None
    match = re.search(pattern, stem, re.IGNORECASE)
    return f"{stem[: match.start()]}{bare}{stem[match.end() :]}?" if match else None
