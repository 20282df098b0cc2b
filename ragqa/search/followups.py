"""Follow-up questions of the usual forms, such as "why?" and "what about X?": a table of patterns and what each asks."""

import re
from collections.abc import Callable

from ragqa.answers.parts import pair_in
from ragqa.search.grammar import is_plural, without_article
from ragqa.search.rephrasing import PREPOSITION, ask_about, ask_with, joint_of, name_aspect, put, put_last_phrase
from ragqa.search.subjects import subject_of
from ragqa.search.talk import Talk
from ragqa.search.topics import Topic, in_texts, in_titles
from ragqa.search.vocabulary import ASPECTS, is_empty, words_of

_ANY_ASPECT = ASPECTS | frozenset(  # with nouns that can be topics, but ask about the topic before if they stand alone
    "evaluation calculation computation speed memory size sizes training usage use uses history runtime time space accuracy "
    "performance scalability convergence interpretation meaning derivation proof architecture inputs outputs input output "
    "software libraries code tuning inventor criticism evidence name pros/cons".split()
)
_ASKING = re.compile(
    r"\b(?:what|how|why|when|where|which|who|is|are|was|were|does|do|did|can|could|should|would|will|has|have|tell|explain|"
    r"show|describe|list|name)\b",
    re.IGNORECASE,
)
_DEFINITE = re.compile(r"\b(?:the|any|some|other|more|an example|main|typical|common)\b", re.IGNORECASE)
_POINTING = re.compile(r"\b(?:it|its|they|them|their|this|that|these|those|one)\b", re.IGNORECASE)
_INSTEAD = re.compile(
    r"not (?P<a>.{1,60}?)(?:,|,? but) (?P<b>.+)|(?P<c>.{1,60}?),? (?:not|instead of|rather than) (?P<d>.+)",
    re.IGNORECASE,
)
_ONE = re.compile(r"the ones? (?=(?:in|of|for|with|from|on) )", re.IGNORECASE)
_LAST_ADVERB = re.compile(r",? (?:then|instead|though|please|pls)$", re.IGNORECASE)
_CONDITIONS = frozenset(  # what a method works with, rather than another method
    "data dataset datasets inputs features classes samples noise outliers images text texts series users labels".split()
)
_TRANSITIVE = frozenset("use choose apply avoid pick need tune train".split())
_LONGEST_FRAGMENT = 4  # words of a noun phrase that is taken for an aspect of the topic
_LONGEST_OPEN = 8  # words of a question that may lack its topic
_MOST_NOUNS = 3  # words with content in such a question


Rule = Callable[["re.Match[str]", Talk], str | None]


def rewrite(asked: str, talk: Talk, *, opened: bool) -> str | None:
    """Rewrite a question of one of the usual forms; return None if it has none of them or stands alone.

    `opened` means that the question began with "and" or a similar word.
    """
    stem = _LAST_ADVERB.sub("", asked.rstrip(" ?!.…"))
    matches = ((pattern.fullmatch(stem), rule) for pattern, rule, with_and in _RULES if opened or not with_and)
    return next((rewritten for match, rule in matches if match and (rewritten := rule(match, talk))), None)


def complete(asked: str, talk: Talk, *, opened: bool) -> str | None:
    """Add the topic to a question or fragment that has none; return None if it may be complete.

    `opened` means that the question began with "and" or a similar word.
    """
    stem = _LAST_ADVERB.sub("", asked.rstrip(" ?!.…"))
    if is_empty(stem) and _ASKING.search(stem):
        return _complete_empty(stem, talk.topic)
    if _ASKING.search(stem):
        return f"{stem} in {talk.topic.text}?" if _lacks_topic(stem, talk) else None
    if PREPOSITION.match(stem) and len(words_of(stem)) <= _LONGEST_FRAGMENT:
        return ask_about(stem, talk.question, talk.topic)
    if _is_aspect(stem, talk):
        return name_aspect(_in_lower_case(stem, talk), talk.topic)
    return ask_about(stem, talk.question, talk.topic) if opened else None


def _complete_empty(stem: str, topic: Topic) -> str | None:
    """Add the topic to a question without content; None if its nouns can be the topic themselves ("parameters")."""
    words = words_of(stem)
    if pair_in(stem) or (not ASPECTS.isdisjoint(words) and not _DEFINITE.search(stem)):
        return None
    joint = f" {joint_of(stem)}" if words[-1] in ASPECTS else "" if words[-1] in _TRANSITIVE else " with"
    return f"{stem}{joint} {topic.text}?"


def _lacks_topic(stem: str, talk: Talk) -> bool:
    """Return True if a short question names only things that the hits before mention: "how do I choose the patience?".

    It has a definite noun ("the patience") or no verb that is inflected ("why divide by d?").
    """
    words = words_of(stem)
    content = [word for word in words if not is_empty(word)]
    if not 0 < len(content) <= _MOST_NOUNS or len(words) > _LONGEST_OPEN or _POINTING.search(stem):
        return False
    definite = re.search(r"\bthe (?!\w+ of\b)", stem, re.IGNORECASE)
    bare = words[0] in ("why", "how", "when", "which") and not _ASKING.search(" ".join(words[1:]))
    if not (definite or bare) or in_titles(" ".join(content), talk.hits):
        return False
    return in_texts(" ".join(content), talk.hits)


def _is_aspect(fragment: str, talk: Talk) -> bool:
    """Return True if a noun phrase names something that any topic has, or that the hits mention: "query strategies"."""
    words = words_of(fragment)
    if not words or len(words) > _LONGEST_FRAGMENT or in_titles(fragment, talk.hits):
        return False
    if words[0] in ("its", "their") or all(word in _ANY_ASPECT or is_empty(word) for word in words):
        return not _ANY_ASPECT.isdisjoint(words) or words[0] in ("its", "their")
    content = " ".join(word for word in words if not is_empty(word))
    if words[-1] in _ANY_ASPECT and words[0] == "the":
        return not in_titles(content, talk.hits)
    return (
        (words[-1] in _ANY_ASPECT or words[0] == "the" or " of the " in fragment)
        and in_texts(content, talk.hits)
        and not in_titles(content, talk.hits)
    )


def _in_lower_case(fragment: str, talk: Talk) -> str:
    """Return a phrase that starts in lower case, unless its first word is a name."""
    first = fragment.split(maxsplit=1)[0]
    known = is_empty(first) or any(f" {first.lower()}" in hit.passage.text for hit in talk.hits)
    return f"{fragment[:1].lower()}{fragment[1:]}" if known and first[1:].islower() else fragment


def _why(match: "re.Match[str]", talk: Talk) -> str:
    return ask_with("why", talk.question, negated=bool(match["negated"]))


def _how(match: "re.Match[str]", talk: Talk) -> str:
    return ask_with(match["word"].lower(), talk.question)


def _example(match: "re.Match[str]", talk: Talk) -> str:
    subject = subject_of(talk.question)
    return f"What is an example of {subject}?" if subject else f"For example: {talk.question}"


def _more(match: "re.Match[str]", talk: Talk) -> str:
    subject = subject_of(talk.question)
    return f"Tell me more about {subject}." if subject else f"Tell me more: {talk.question}"


def _simply(match: "re.Match[str]", talk: Talk) -> str:
    subject = subject_of(talk.question)
    return f"Can you explain {subject} in simple words?" if subject else f"In simple words: {talk.question}"


def _correct(match: "re.Match[str]", talk: Talk) -> str:
    """Ask the earlier question about what was meant instead."""
    meant = match["meant"]
    if _ASKING.match(meant):
        return f"{meant}?"
    if instead := _INSTEAD.fullmatch(meant):
        old, meant = (instead["a"], instead["b"]) if instead["a"] else (instead["d"], instead["c"])
        if replaced := put(meant, old, talk.question):
            return replaced
    if one := _ONE.match(meant):
        return put_last_phrase(meant[one.end() :], talk.question)
    return ask_about(meant, talk.question, talk.topic)


def _about(match: "re.Match[str]", talk: Talk) -> str | None:
    """Ask the earlier question about another thing, or about an aspect of its topic."""
    other = match["other"]
    if _ASKING.search(other):
        return None
    head = words_of(other)[-1:]
    if head and head[0] in _CONDITIONS and subject_of(talk.question) != talk.topic.text:
        return ask_about(f"with {other}", talk.question, talk.topic)
    if _is_aspect(other, talk) and head != words_of(without_article(talk.topic.text))[-1:]:
        return name_aspect(other, talk.topic)
    if subject_of(talk.question) != talk.topic.text or in_titles(other, talk.hits) or PREPOSITION.match(other):
        return ask_about(other, talk.question, talk.topic)
    return f"what about {other} with {talk.topic.text}?"


def _does_other(match: "re.Match[str]", talk: Talk) -> str | None:
    """Ask the earlier question about another thing: "and does ridge?"."""
    other = match["other"]
    return None if is_empty(other) or _POINTING.search(other) else ask_about(other, talk.question, talk.topic)


def _compare(match: "re.Match[str]", talk: Talk) -> str | None:
    if _ASKING.search(match["other"]) or "," in match["other"]:
        return None
    return f"How {'do' if is_plural(talk.topic.text) else 'does'} {talk.topic.text} compare with {match['other']}?"


def _better_than(match: "re.Match[str]", talk: Talk) -> str | None:
    if _ASKING.search(match["better"]):
        return None
    return f"{'Are' if is_plural(talk.topic.text) else 'Is'} {talk.topic.text} {match['better']}?"


def _better(match: "re.Match[str]", talk: Talk) -> str | None:
    """Add the topic that something is compared with: "is Adam better?" → "is Adam better than SGD?"."""
    own = set(words_of(match["own"]))
    if (
        is_empty(match["own"])
        or _POINTING.search(match["own"])
        or own >= set(words_of(without_article(talk.topic.text)))
    ):
        return None
    return f"{match['said']} than {talk.topic.text}?"


def _which_is(match: "re.Match[str]", talk: Talk) -> str | None:
    """Name the two things of "which is better?": those compared before, or the last two topics."""
    parts = talk.topic.parts
    if parts is None and talk.before is not None:
        parts = talk.before.text, talk.topic.text
    return f"Which {match['is']}, {parts[0]} or {parts[1]}?" if parts else None


def _which_one(match: "re.Match[str]", talk: Talk) -> str | None:
    """Name what to choose from: "which one should I use?" → "which loss function should I use?"."""
    return None if talk.topic.parts else f"which {without_article(talk.topic.text)} {match['rest']}?"


def _aspect(match: "re.Match[str]", talk: Talk) -> str | None:
    """Ask for an aspect of the topic: "which assumptions?", "which methods are there?"."""
    aspect = match["aspect"]
    known = all(word in _ANY_ASPECT or is_empty(word) for word in words_of(aspect)) and not _ASKING.search(aspect)
    return name_aspect(aspect, talk.topic) if known else None


def _aspect_first(match: "re.Match[str]", talk: Talk) -> str | None:
    """Name the topic of a noun phrase before a question: "and the number of layers, how do I choose that?"."""
    return f"{match['aspect']} of {talk.topic.text}, {match['rest']}?" if is_empty(match["aspect"]) else None


_POLITE = r"(?:(?:can|could|would|will) you )?(?:please )?"
_THAT = r"(?:it|that|this|them|these|those)"
_COMPARATIVE = (
    r"(?:(?:any|much|a lot|always|usually|really|generally|also) )*(?:better|worse|preferable|(?:more|less) [\w-]+|"
    r"(?:fast|slow|cheap|simpl|eas|hard|strong|weak|safe|new|old|quick|small|larg|bigg|deep|smart|high|low|cost|light|short|long|great)i?er)"
)
_SORRY = r"(?:(?:no|nope|sorry|oops|wait|actually|(?-i:[Hh]m+))(?:[,.:;!-] ?| (?=no|sorry|i )))"
_EXAMPLE = r"(?:(?:an|any|one more|one|some|another|a) )?(?:(?:concrete|simple|real|practical|quick|good) )*examples?"
_MORE = r"(?:some )?more(?: details?| info| information)?"
_SIMPLE = (
    r"in (?:plain|simpler?|eas(?:y|ier)|other) (?:words|terms|english|language)|(?:more )?simply|simpler|"
    r"like i['’]?m (?:five|5)|in short|briefly"
)

_PATTERNS: tuple[tuple[str, Rule], ...] = (
    (rf"{_SORRY}*i (?:actually |really )?(?:meant|mean|was asking about|am asking about) (?P<meant>.+)", _correct),
    (rf"{_SORRY}+(?P<meant>.+)", _correct),
    (
        r"(?:how come|(?:(?:is there )?any reason |tell me |explain )?why(?P<negated> not)?|what(?: is|['’]?s) the reason)"
        rf"(?: (?:(?:is|are|was|does)(?:n['’]?t)? (?:{_THAT}|they)(?: so)?|so|exactly))?",
        _why,
    ),
    (r"(?P<word>how|when|where|who|how so|really)(?: exactly| so)?", _how),
    (
        rf"(?:{_POLITE}(?:give|show|tell|name) (?:me |us )?|do you have |(?:is|are) there )?"
        rf"(?:(?:like )?{_EXAMPLE}|for (?:example|instance)|e\.?g|like what|such as(?: what)?)(?: of {_THAT})?"
        r"(?: would (?:help|be (?:nice|great|good)))?",
        _example,
    ),
    (
        rf"{_POLITE}(?:(?:(?:tell|give) me )?{_MORE}(?: (?:about|on) {_THAT})?|go (?:on|deeper)|continue|keep going|"
        rf"elaborate(?: on {_THAT})?|explain {_THAT}(?: (?:more|further|in (?:more )?detail))?|"
        r"what else|(?:is there )?anything else|in (?:more )?detail)",
        _more,
    ),
    (
        r"(?:sorry,? )?(?:i (?:still )?(?:do not|don['’]?t) (?:get|understand)(?: (?:it|that|this))?[ ,.;:-]*)?"
        rf"(?:{_POLITE}(?:(?:explain|say|put|tell me) (?:{_THAT} )?(?:again )?)?(?:{_SIMPLE}|eli5))",
        _simply,
    ),
    (r"i (?:still )?(?:do not|don['’]?t) (?:get|understand)(?: (?:it|that|this))?", _simply),
    (r"(?:what|how) about (?P<other>.+)", _about),
    (
        rf"(?:compared? (?:{_THAT} )?(?:to|with)|in comparison (?:to|with)|vs\.?|versus|"
        r"(?:what(?:['’]?s| is| are) )?(?:the )?differences? (?:to|from|with)) (?P<other>.+)",
        _compare,
    ),
    (rf"(?:(?:is|are|was|were) (?:it|they|that|this) )?(?P<better>{_COMPARATIVE} than [^,;:]+)", _better_than),
    (
        rf"(?P<said>(?:is|are|was|were|would|does|do|can)(?:n['’]?t)? (?P<own>[\w-]+(?: [\w-]+){{0,2}}?)"
        rf"(?: (?:be|work|perform|do|usually|always|often))* {_COMPARATIVE})(?: than {_THAT})?",
        _better,
    ),
    (
        rf"which(?: one| of (?:the two|{_THAT}))? (?P<is>(?:is|are|was|works|performs|does) {_COMPARATIVE}.{{0,60}})",
        _which_is,
    ),
    (r"which ones? (?P<rest>(?:should|do|does|would|can|could) [^,;:?]+)", _which_one),
    (r"(?:which|what) (?P<aspect>[\w-]+(?: [\w-]+){0,2}?)(?: (?:are|is) there| exist)?", _aspect),
    (r"(?P<aspect>(?:its|their) [\w-]+(?: [\w-]+){0,2})", _aspect),
    (rf"(?P<aspect>[\w -]{{1,60}}), (?P<rest>(?:how|what|why|when) .+ {_THAT})", _aspect_first),
)
_PATTERNS_AFTER_AND: tuple[tuple[str, Rule], ...] = (
    (
        r"(?:is|are|was|were|does|do|did|can|could|should|would|will) (?P<other>[\w-]+(?: [\w-]+){0,2})",
        _does_other,
    ),
)
_RULES = tuple(
    (re.compile(pattern, re.IGNORECASE), rule, with_and)
    for patterns, with_and in ((_PATTERNS, False), (_PATTERNS_AFTER_AND, True))
    for pattern, rule in patterns
)
