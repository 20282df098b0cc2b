"""Replacement of unresolved pronouns by the topic of the question before."""

import re

from ragqa.search.grammar import is_plural, put_subject, without_article
from ragqa.search.topics import Topic
from ragqa.search.vocabulary import is_empty

_BREAK = re.compile(r"[,;:.?!]|\b(?:and|but|because|if|when|while|so|since|although)\b", re.IGNORECASE)
_ASKED_NOUN = re.compile(r"^\W*(?:which|what|how(?: many| much)?) [\w-]+", re.IGNORECASE)

_POINTER = re.compile(
    r"""\b(?:
    (?P<choice>which\ (?:one\ of|of)\ (?:them|these|those|the\ two)|which\ one(?!\ of\b))
    | the\ (?P<part>former|latter|(?:first|second)\ one)
    | (?P<of_two>the\ [\w-]+\ one)
    | (?P<pair>the\ two|both(?:\ of\ them)?)(?=\s*(?:[?.,!]|$)|\ (?:differ|compare|be|have|do|together)\b)
    | (?P<owner>its|their)
    | (?P<short>it|that|this)['’]s
    | (?:this|that|these|those)\ (?:methods?|techniques?|approach(?:es)?|algorithms?|models?|idea|trick|problem|effect|network|
        procedure|classifier|strategy|process|metric|measure|score|thing)
    | (?P<inside>(?:in|of|for|about|with)\ (?:it|th(?:is|at)\ (?:model|method|algorithm|approach|technique))
        |(?<!are\ )(?<!is\ )there)(?=\s*[?.!]*$)
    | they | them
    | (?P<it>it)
    | (?:this|these|those)(?=\s*(?:[?,.;!]|$)|\ (?:is|are|was|work|help|do|does|happen|hurt|called|for|in|with|to|better|
        different|fail|stop|need|compare|differ|trained|used|always|also|not|good|bad|still|too)\b)
    | (?<=\bis\ )that | (?<=\bdoes\ )that | (?<=\bcan\ )that | (?<=\bdo\ )that | that(?=\s*[?.!]*$)
    | (?:an?\ )?(?:(?P<quality>good|better|new|bad)\ )?one(?=\s*[?.!]*$|\ (?:if|when|instead|rather)\b)
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
# uses of "it" without a meaning: "is it possible to …", "does it matter which …", "what does it mean that …"
_FOR_NOTHING = re.compile(
    r"(?:['’]s)?(?: (?:be|is|was|still|really|ever|always|not|a|an|so|more|often|even))*(?P<said> (?:"
    r"possible|necessary|ok|okay|better|best|good|bad|wise|safe|dangerous|worth|enough|true|easy|easier|hard|harder|difficult|"
    r"common|normal|fair|fine|pointless|important|allowed|right|wrong|cheaper|faster|reasonable|useful|helpful|make sense|mean|"
    r"means|matter|matters|take|takes|cost|costs|hurt|harm|help|pay off|pay|comes|called|like|tell us|"
    r"(?:good |bad )?(?:idea|problem)))?"
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
_LONGEST_IS = 4  # characters
_LONGEST_BEFORE = 6  # words
_OBJECT = re.compile(
    r"(?<![\w'’-])(?:[\w'’-]+ (?:(?:up|out) )?(?:with|for|of|in|on|from|to|about|against|into|by|without|at) |[\w'’-]+ )$"
)


def replace_pronoun(question: str, topic: Topic) -> str | None:
    """Replace the first unresolved pronoun of a question by the topic; return None if there is none."""
    for match in _POINTER.finditer(question):
        if match["it"] and _stands_for_nothing(question[: match.start()], question[match.end() :]):
            continue
        before, after = question[: match.start()], question[match.end() :]
        if not (_is_short(before) if match["inside"] else is_empty(_possible_meanings(question, match))):
            return None
        replacement = _named(match, topic)
        if replacement is None or match["owner"]:
            return None if replacement is None else before + replacement + after
        return put_subject(before, replacement, after)
    return None


def _is_short(before: str) -> bool:
    """Return True if "in it" or "there" after this text points to the question before, whatever nouns the text has."""
    return len(before.split()) <= _LONGEST_BEFORE and not _BREAK.search(before)


def _possible_meanings(question: str, pointer: re.Match[str]) -> str:
    """The text before a pronoun that it may refer to, without the verb it belongs to and the noun asked for ("which tree")."""
    before = question[: pointer.start()]
    if not (pointer["owner"] or pointer["choice"]):
        before = _OBJECT.sub("", before)
    asked = _ASKED_NOUN.match(before)
    return before if asked is None or _BREAK.search(before) else before[asked.end() :]


def _stands_for_nothing(before: str, after: str) -> bool:
    """Return True if an "it" between these two texts only announces what follows."""
    said = _IS_SAID.match(after)
    if (
        said
        and _IS.search(before, max(0, len(before) - _LONGEST_IS))
        and not _SAID_OF_SOMETHING.search(after[: said.start("rest")])
    ):
        return _names(said["rest"])
    match = _FOR_NOTHING.match(after)
    return match is not None and (not match["doing"] or bool(match["said"])) and _names(match["rest"])


def _names(rest: str) -> bool:
    """Return True if a text names something, by a noun or by a pronoun."""
    return not is_empty(rest) or _POINTER.search(rest) is not None


def _named(pointer: re.Match[str], topic: Topic) -> str | None:
    """The replacement of a pronoun, or None if it refers to two things and the topic does not have two parts."""
    if pointer["choice"] or pointer["of_two"] or pointer["part"] or pointer["pair"]:
        return _of_parts(pointer, topic.parts) if topic.parts else None
    if pointer["owner"]:
        return topic.text + ("'" if topic.text.endswith("s") else "'s")
    if pointer["inside"]:
        return f"{'in' if pointer['inside'].lower() == 'there' else pointer['inside'].split()[0]} {topic.text}"
    if pointer["short"]:
        return f"{topic.text} {'are' if is_plural(topic.text) else 'is'}"
    return f"a {pointer['quality']} {without_article(topic.text)}" if pointer["quality"] else topic.text


def _of_parts(pointer: re.Match[str], parts: tuple[str, str]) -> str:
    """The replacement of a pronoun that refers to one or both of two things."""
    if pointer["part"]:
        return parts[pointer["part"].lower() in ("latter", "second one")]
    chosen = (
        f"{pointer['choice'][:5]} of " if pointer["choice"] else f"{pointer['of_two']} of " if pointer["of_two"] else ""
    )
    return chosen + " and ".join(parts)
