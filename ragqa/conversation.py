"""What was asked before and what is asked now: follow-up questions made to stand on their own, and questions to ask next.

All of it is done by rule, without a model. A follow-up is told by what it lacks: a pronoun with nothing before it that it
could stand for ("and when should I not use it?"), nouns that say nothing alone ("what are the advantages?"), or a verb ("and
for regression?"). What it lacks is the topic of the question before: the words of that question that its hits are about.
A question of which that is not certain stays as it is: "how many trees do I need?" does not say that it is a follow-up.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain, islice, zip_longest
from typing import NamedTuple
from weakref import WeakKeyDictionary

from ragqa.analyzer import QUESTION_WORDS, STOP_WORDS, Analyzer
from ragqa.bm25 import Bm25Index
from ragqa.explain import neighbours
from ragqa.questions import Question, QuestionGenerator
from ragqa.records import Answer, Hit, Passage

_ASPECTS = frozenset(  # nouns, and what is said of them, that ask about a topic and are none
    "advantage advantages disadvantage disadvantages benefit benefits drawback drawbacks limit limits limitation limitations "
    "weakness weaknesses strength strengths pros cons problem problems pitfall pitfalls downside downsides risk risks purpose "
    "application applications example examples alternative alternatives variant variants formula equation history origin goal "
    "intuition idea ideas component components ingredients part parts step steps parameter parameters hyperparameters setting "
    "settings assumption assumptions requirements complexity cost costs implementation practice main typical common important "
    "key basic best better good bad big point reason reasons thing things rate value values number amount effect effects role "
    "trick method methods technique techniques algorithm algorithms strategy strategies choice choices first real simple "
    "short possible".split()
)
_HELPERS = frozenset(  # verbs and adverbs that go with any topic
    "help helps prevent avoid fix stop choose pick select set find train trained compute computed calculate calculated "
    "measure measured improve reduce apply applied implement implemented evaluate interpret get make makes made cause causes "
    "needs needed fail fails perform come comes came go goes invented invent developed introduced proposed differ differs "
    "compare compares relate prefer useful worth still actually exactly really ever always usually look looks take takes "
    "bother care start done ok okay hurt hurts matter matters trust read run happened show gives add adds handle handles solve "
    "there just more else up out off any some".split()
)
_LIGHT = STOP_WORDS | QUESTION_WORDS | _HELPERS
_EMPTY = _LIGHT | _ASPECTS

_WORD = re.compile(r"[^\W_]+(?:[-‐‑–./+][^\W_]+)*\+*")
_OPENING = re.compile(r"(?:(?:and|but|so|or|also|then|ok|okay|thanks)\b[\s,.!:-]*)+(?=\S)", re.IGNORECASE)
_ABOUT = re.compile(r"(?:what|how) about\s+", re.IGNORECASE)
_ASKING = re.compile(
    r"\b(?:what|how|why|when|where|which|who|is|are|was|were|does|do|did|can|could|should|would|will|has|have|tell|explain|"
    r"show|describe|list|name)\b",
    re.IGNORECASE,
)
_WHY = re.compile(r"(?:why|how|how so|how come|why not|really)[\s?!.]*", re.IGNORECASE)
_DEFINITE = re.compile(r"\b(?:the|any|some|other|more|an example|main|typical|common)\b", re.IGNORECASE)
_PREPOSITION = re.compile(r"(?:in|for|with|on|at|when|during|without|after|before|against|if) ", re.IGNORECASE)
_BREAK = re.compile(r"[,;:.?!]|\b(?:and|but|because|if|when|while|so|since|although)\b", re.IGNORECASE)
_ASKED_NOUN = re.compile(r"^\W*(?:which|what|how(?: many| much)?) [\w-]+", re.IGNORECASE)

_POINTER = re.compile(
    r"""\b(?:
    (?P<choice>which\ (?:one\ of|of)\ (?:them|these|those|the\ two)|which\ one)
    | the\ (?P<part>former|latter)
    | (?P<pair>the\ two|both(?:\ of\ them)?)(?=\s*(?:[?.,!]|$)|\ (?:differ|compare|be|have|do|together)\b)
    | (?P<owner>its|their)
    | (?P<short>it|that|this)['’]s
    | (?:this|that|these|those)\ (?:methods?|techniques?|approach(?:es)?|algorithms?|models?|idea|trick|problem|effect|network|
        procedure|classifier|strategy|process|metric|measure|score|thing)
    | they | them
    | (?P<it>it)
    | (?:this|these|those)(?=\s*(?:[?,.;!]|$)|\ (?:is|are|was|work|help|do|does|happen|hurt|called|for|in|with|to|better|
        different|fail|stop|need|compare|differ|trained|used|always|also|not|good|bad|still|too)\b)
    | (?<=\bis\ )that | (?<=\bdoes\ )that | (?<=\bcan\ )that | (?<=\bdo\ )that | that(?=\s*[?.!]*$)
    | (?:an?\ )?(?:(?:good|better|new|bad)\ )?one(?=\s*[?.!]*$)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# what makes "it" stand for nothing: "is it possible to …", "does it matter which …", "what does it mean that …"
_FOR_NOTHING = re.compile(
    r"(?:['’]s)?(?: (?:be|is|was|still|really|ever|always|not|a|an|so|more|often|even))*(?P<said> (?:"
    r"possible|necessary|ok|okay|better||best|good|bad|wise|safe|dangerous|worth|enough|true|easy|easier|hard|harder|difficult|common|normal|fair|fine|"
    r"pointless|important|allowed|right|wrong|cheaper|faster|reasonable|useful|helpful|make sense|mean|means|matter|matters|"
    r"take|takes|cost|costs|hurt|harm|help|pay off|pay|comes|called|like|tell us|(?:good |bad )?(?:idea|problem)))?"
    r" (?:to (?:not )?[\w-]+|for\b.* to|that|if|whether|when|which|how|what|why|who|whose|[a-z]+ing(?<=(?P<doing>ing)))\b"
    r"(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_IS_SAID = re.compile(
    r" (?:(?:[\w'’-]+ ){1,4}to (?:not )?(?!an?\b|the\b)\w+|(?!an? |the )[\w'’-]+ (?:that|whether)) (?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_SAID_OF_SOMETHING = re.compile(
    r"\b(?:sensitive|equivalent|similar|related|close|due|robust|specific|limited|prone|applied|compared|connected|equal|"
    r"identical|used|able|likely|trained|made|said|added)\b",
    re.IGNORECASE,
)
_IS = re.compile(r"(?:\b(?:is|was|be)|['’]s) $", re.IGNORECASE)
_OBJECT = re.compile(
    r"(?:[\w'’-]+ (?:(?:up|out) )?(?:with|for|of|in|on|from|to|about|against|into|by|without|at) |[\w'’-]+ )$"
)
_PAIR = re.compile(
    r"\bbetween (?P<one>[^,;:.?]{1,40}?) and (?P<two>[^,;:.?]{1,40}?)(?= (?:in|for|when|with)\b| *(?:[?,.;:]|$))"
    r"|(?P<first>[\w’'-]+(?: [\w’'-]+){0,3}) (?:vs\.?|versus) (?P<second>[\w’'-]+(?: [\w’'-]+){0,3})",
    re.IGNORECASE,
)
_PARENTHESIS = re.compile(r"\s*\([^()]*\)\s*$")
_ARTICLE = re.compile(r"\b(?:an?|the) $", re.IGNORECASE)
_LONGEST = 5  # words of a topic
_WEIGHTS = (1.0, 0.5, 0.3)  # of what the first hits say about which words are the topic
_IN_TITLE, _IN_SECTION, _IN_TEXT, _FIRST = 3.0, 1.0, 1.0, 0.4


_FORMS = ("what", "how", "difference")
_SAMPLE = 2000  # passages that show which words are names
_AROUND = 40  # passages of a page that are looked at, before and after the hit
_FOUND_WITHIN = (
    5  # first passages that BM25 finds, one of which must be of the page that a suggested question comes from
)
_KNOWN: "WeakKeyDictionary[Bm25Index, QuestionGenerator]" = WeakKeyDictionary()
_SUBJECT = re.compile(r"What (?:is|are) (?P<subject>(?P<article>an? |the )?(?P<noun>.+?))(?: in (?P<page>[^?]+))?\?")
_CLUMSY = re.compile(
    r"[^\w(]|\d+\b|(?:in|on|of|for|with|to|at|by|from|as|five|ten|two|three|word|common|typical|practical|comparison|relation|"
    r"kinds|difference|role|further|new|usual|sensible|choosing|using|training|avoiding|\w+ly|"
    r"\w+ing(?= (?:up|the|an?|in|from|it)\b))\b|"
    r".*(?:[^\w ’'/.–-]|_| and | or | versus | the | their | its |s behind)",
    re.IGNORECASE,
)
_ONE_OF_MANY = re.compile(  # what a title names is one of several: "a confusion matrix"
    r"\b(?:algorithm|autoencoder|bandit|classifier|curve|encoder|forest|function|layer|machine|matrix|method|model|network|"
    r"perceptron|process|system|transformer|tree|unit)$",
    re.IGNORECASE,
)
_WHY_USED = re.compile(
    r"motivation|rationale|why (?:it|they) (?:helps?|works?|matters?|(?:is|are) used)", re.IGNORECASE
)


class _Topic(NamedTuple):
    """What a question is about, as it is named there, with its article; of two things that it compares both."""

    text: str
    parts: tuple[str, str] | None = None


def standalone(question: str, earlier: Sequence[Answer]) -> str:
    """Put the topic of the last answered question into a question that cannot be understood without it.

    A question that stands on its own comes back as it is, and so does every first one. The same question and answers
    always give the same.
    """
    before = next((answer for answer in reversed(earlier) if answer.hits), None)
    topic = _topic(before) if before else None
    if before is None or topic is None or not _words(question):
        return question
    asked = _OPENING.sub("", question.strip(), count=1) if _OPENING.match(question.strip()) else question.strip()
    if pointed := _replace_pointer(asked, topic):
        return pointed
    stem = asked.rstrip(" ?!.")
    if _WHY.fullmatch(asked):
        return f"{stem}: {before.question}"
    if about := _ABOUT.match(asked):
        return question if _ASKING.search(asked, about.end()) else f"{stem} with {topic.text}?"
    if _is_empty(stem):
        return _complete(stem, topic) or question
    is_fragment = asked != question.strip() and not _ASKING.search(asked)
    return _continue(stem, before.question, topic) if is_fragment else question


def suggest(answer: Answer, index: Bm25Index, count: int = 3) -> list[str]:
    """At most `count` questions to ask next, all generated from passages of the index near the hits; none without hits.

    First what other sections of the answering page answer, the nearest first, then what the pages of the other hits do;
    one place is kept for these. Each is one that BM25 finds its page with, and never the question that was asked. The first
    call for an index reads up to 2,000 of its passages. Raises `InputError` for hits of another index.
    """
    if not answer.hits or count < 1:
        return []
    best = answer.hits[answer.sentences[0].hit if answer.sentences else 0].passage
    others = {hit.passage.title: hit.passage for hit in reversed(answer.hits) if hit.passage.title != best.title}
    taken = {frozenset(index.question_terms(answer.question))}
    own = list(islice(_fresh(_asked_nearby(best, index, answering=True), index, taken), count))
    pages = [_fresh(_asked_nearby(passage, index), index, taken) for passage in reversed(others.values())]
    rounds = chain.from_iterable(
        zip_longest(*(islice(page, count) for page in pages))
    )  # one question of each page, then more
    kept = own[: max(1, count - 1)]
    kept += islice((question for question in rounds if question), count - len(kept))
    return [*kept, *own[max(1, count - 1) :]][:count]


def _fresh(asked: Iterable[tuple[str, Passage]], index: Bm25Index, taken: set[frozenset[str]]) -> Iterator[str]:
    """The questions that have not been taken in other words and that the index finds the page of."""
    for question, passage in asked:
        terms = frozenset(index.question_terms(question))
        if terms not in taken and any(p.title == passage.title for p, _ in index.search(question, _FOUND_WITHIN)):
            taken.add(terms)
            yield question


def _asked_nearby(passage: Passage, index: Bm25Index, *, answering: bool = False) -> Iterator[tuple[str, Passage]]:
    """The questions that a page's passages answer, those nearest to one of them first; not its own section's if `answering`."""
    around = neighbours(index, passage, _AROUND, _AROUND)
    page = sorted([passage, *around], key=lambda p: p.start)
    place = page.index(passage)
    generator = _generator(index).narrowed(page)
    topic = generator.topic(passage.title)
    whole = _with_article(topic, generator.questions(page[0]))
    nearby = (near for _, _, near in sorted((abs(n - place), -n, p) for n, p in enumerate(page)))
    others = [p for p in nearby if not answering or (p.id != passage.id and p.section != passage.section)]
    made = [
        (question.text, p)
        for p in others
        for question in generator.questions(p)
        if _reads_well(question.text, p, topic)
    ]
    made.sort(key=lambda pair: not _is_of_heading(pair[0], topic))
    for question, near in made:
        named = question if whole in question else re.sub(rf"\b{re.escape(topic)}(?=[ ?])", lambda _: whole, question)
        yield re.sub(r"^(What are the \w+) in ", r"\1 of ", named), near


def _is_of_heading(question: str, topic: str) -> bool:
    """Whether a question asks about a page or a section of it, not only about a term that is defined there."""
    match = _SUBJECT.fullmatch(question)
    return match is None or bool(match["page"]) or topic in question


def _with_article(topic: str, asked: Iterable[Question]) -> str:
    """A page's topic as it stands in the question that its first passage answers, else with the article that it should have."""
    pattern = re.compile(rf"What (?:is|are) ((?:an? |the ){re.escape(topic)})\?")
    if named := next((match[1] for question in asked if (match := pattern.fullmatch(question.text))), ""):
        return named
    return f"{'an' if topic[0] in 'aeiouAEIO' else 'a'} {topic}" if _ONE_OF_MANY.search(topic) else topic


def _reads_well(question: str, passage: Passage, topic: str) -> bool:
    """Whether a generated question is one that a person might ask: many headings and definitions make none."""
    if question.startswith("Why is "):
        return _WHY_USED.fullmatch(passage.section) is not None
    match = _SUBJECT.fullmatch(question)
    if match is None or question.startswith(
        ("What is the difference", "What is the history", "What is the definition")
    ):
        return True
    noun, single = match["noun"], " " not in match["noun"]
    if noun == topic:
        return True
    if _CLUMSY.match(noun) or _is_empty(noun):
        return False
    if match["page"]:
        return noun[0].islower() and (question.startswith("What are the") or not single)
    return match["article"] != "the " and (match["article"] is not None or question.startswith("What is "))


def _generator(index: Bm25Index) -> QuestionGenerator:
    """What a sample of the index's passages says of which words are names, read once."""
    if index not in _KNOWN:
        passages = index.passages
        places = range(0, len(passages), -(-len(passages) // _SAMPLE))
        _KNOWN[index] = QuestionGenerator([passages[place] for place in places], _FORMS)
    return _KNOWN[index]


def _replace_pointer(question: str, topic: _Topic) -> str | None:
    """The question with its first pronoun that has nothing to stand for replaced, or None if it has none."""
    for match in _POINTER.finditer(question):
        if match["it"] and _stands_for_nothing(question[: match.start()], question[match.end() :]):
            continue
        if not _is_empty(_possible_meanings(question, match)):
            return None
        replacement = _named(match, topic)
        return None if replacement is None else question[: match.start()] + replacement + question[match.end() :]
    return None


def _possible_meanings(question: str, pointer: re.Match[str]) -> str:
    """What before a pronoun it could stand for: neither the verb whose object it is, nor the noun asked for ("which tree")."""
    before = question[: pointer.start()]
    if not (pointer["owner"] or pointer["choice"]):
        before = _OBJECT.sub("", before)
    asked = _ASKED_NOUN.match(before)
    return before if asked is None or _BREAK.search(before) else before[asked.end() :]


def _stands_for_nothing(before: str, after: str) -> bool:
    """Whether "it" only announces what follows, where it stands between these two texts."""
    said = _IS_SAID.match(after)
    if said and _IS.search(before) and not _SAID_OF_SOMETHING.search(after[: said.start("rest")]):
        return _names(said["rest"])
    match = _FOR_NOTHING.match(after)
    return match is not None and (not match["doing"] or bool(match["said"])) and _names(match["rest"])


def _names(rest: str) -> bool:
    """Whether what follows names something, be it by a pronoun."""
    return not _is_empty(rest) or _POINTER.search(rest) is not None


def _named(pointer: re.Match[str], topic: _Topic) -> str | None:
    """What a pronoun is replaced by, or None where it points to one of two things and there are not two."""
    if pointer["choice"]:
        return f"{pointer[0][:5]} of {topic.text}" if topic.parts else None
    if pointer["part"]:
        return topic.parts[pointer["part"].lower() == "latter"] if topic.parts else None
    if pointer["pair"] and not topic.parts:
        return None
    if pointer["owner"]:
        return topic.text + ("'" if topic.text.endswith("s") else "'s")
    return topic.text + (" is" if pointer["short"] else "")


def _complete(stem: str, topic: _Topic) -> str | None:
    """A question without a topic with it, or None for one about things that can be a topic themselves ("parameters")."""
    words = _WORD.findall(stem.lower())
    names_aspect = not _ASPECTS.isdisjoint(words)
    if _PAIR.search(stem) or (names_aspect and _ASKING.search(stem) and not _DEFINITE.search(stem)):
        return None
    joint = "of" if words and words[-1] in _ASPECTS else "with"
    return f"{stem} {joint} {topic.text}?"


def _continue(fragment: str, earlier: str, topic: _Topic) -> str:
    """The earlier question asked of what a fragment names: "recall" instead of the topic, "for regression" in addition."""
    stem = earlier.rstrip(" ?!.")
    if preposition := _PREPOSITION.match(fragment):
        place = stem.lower().rfind(f" {preposition[0].lower()}")
        return f"{stem[:place] if place > 0 else stem} {fragment}?"
    if topic.parts or topic.text not in stem:
        return f"{stem}, and {fragment}?"
    return f"{stem.replace(topic.text, fragment, 1)}?"


def _is_empty(text: str) -> bool:
    """Whether a text names nothing that it could be about."""
    return all(word in _EMPTY or word.isdecimal() for word in _words(text))


def _words(text: str) -> list[str]:
    return _WORD.findall(re.sub(r"['’]\w+", "", text.lower()))


def _topic(answer: Answer) -> _Topic | None:
    """What a question is about: those of its words that the titles, sections and texts of its first hits hold most.

    Where no hit holds any, the title of the best one.
    """
    if pair := _PAIR.search(answer.question):
        first, second = (_trim(part) for part in pair.groups() if part)
        if first and second:
            return _Topic(f"{first} and {second}", (first, second))
    hits = answer.hits[: len(_WEIGHTS)]
    title = _PARENTHESIS.sub("", hits[0].passage.title)
    phrases = [(_evidence(answer.question[a:b], a, hits), -a, a, b) for a, b in _phrases(answer.question)]
    score, _, start, end = max(phrases, default=(0.0, 0, 0, 0))
    if not score:
        return _Topic(title) if title and not answer.abstained else None
    phrase = answer.question[start:end]
    named, own = _terms(title), _terms(phrase)
    if len(own) > 1 and set(own) <= set(named) and not _in_order(own, named):
        return _Topic(title[:1].lower() + title[1:])  # "vanishing gradient problem" for "gradients vanish"
    start, end = _widen(answer.question, start, end, hits[0])
    article = _ARTICLE.search(answer.question[:start])
    return _Topic((article[0] if article else "") + answer.question[start:end])


def _phrases(question: str) -> Iterator[tuple[int, int]]:
    """The spans of the words, up to five in a row, that may name a topic."""
    spans = [match.span() for match in _WORD.finditer(question)]
    for first, (start, _) in enumerate(spans):
        for last in range(first, min(first + _LONGEST, len(spans))):
            end = spans[last][1]
            words = _words(question[start:end])
            if re.search(r"[,;:?!()]|\. ", question[start:end]) or not words:
                break
            if words[0] in STOP_WORDS or words[0] in _HELPERS:
                break
            if words[-1] not in STOP_WORDS and not all(word in _EMPTY for word in words):
                yield start, end


def _evidence(phrase: str, start: int, hits: Sequence[Hit]) -> float:
    """How surely a phrase of the question is what it is about."""
    own = _terms(phrase)
    light = any(word in _LIGHT for word in _words(phrase))
    score = 0.0
    for weight, hit in zip(_WEIGHTS, hits, strict=False):
        passage = hit.passage
        names = [_terms(_PARENTHESIS.sub("", passage.title)), *map(_terms, passage.aliases)]
        if any(set(own) <= set(name) for name in names):
            score += weight * _IN_TITLE * len(own)
        elif not light:
            score += weight * _IN_SECTION * (set(own) <= set(_terms(passage.section)))
            score += weight * _IN_TEXT * (set(own) <= set(_terms(passage.text))) * (1 + 0.2 * (len(own) - 1))
    return score + (_FIRST / (1 + start / 20) if score else 0.0)


def _widen(question: str, start: int, end: int, hit: Hit) -> tuple[int, int]:
    """The span with the words before it that the best hit holds too ("ReLU" activation function), or behind it ("trick")."""
    known = {*_terms(hit.passage.text), *_terms(hit.passage.title)}
    while (word := re.search(r"([\w-]+) $", question[:start])) and word[1].lower() not in _EMPTY:
        if not known.issuperset(_terms(word[1])):
            break
        start = word.start()
    if (
        (word := re.match(r" ([\w-]+)", question[end:]))
        and word[1].lower() in _ASPECTS
        and known.issuperset(_terms(word[1]))
    ):
        end += word.end()
    return start, end


def _in_order(own: Sequence[str], named: Sequence[str]) -> bool:
    places = [named.index(term) for term in own]
    return places == sorted(places)


def _trim(phrase: str) -> str:
    """A phrase without the words at its ends that only ask, but with its article."""
    words = phrase.split()
    while words and words[0].lower() in _LIGHT - {"a", "an", "the"}:
        words.pop(0)
    while words and words[-1].lower() in _LIGHT:
        words.pop()
    return " ".join(words)


def _terms(text: str) -> tuple[str, ...]:
    return tuple(_analyzer().terms(text))


@cache
def _analyzer() -> Analyzer:
    return Analyzer()
