"""Sentences in, what they say of their subject out: whether they define it, and the questions that they answer."""

import re
from collections.abc import Iterator

from ragqa.text.questions import Question
from ragqa.text.wording import Noun

_DEFINED = re.compile(
    r"(?:an?|when|defined as|the term for|the name|the (?:[\w-]+ ){1,4}(?:of|that|it|in which|which|to|between|for|by)|"
    r"(?:[a-z-]+ ){1,3}(?:that|which)|any|the (?:process|task|practice|study|"
    r"problem|use|ability|number|set|ratio|sum|mean|probability|amount)) \w"
)
_DEFINED_MANY = re.compile(
    r"(?!\w+ed )(?:(?!through|by|with|from|on|at|not|very)[\w-]+ ){0,4}?[a-z]+s "
    r"(?:that|which|of|in|for|used|designed|whose|where|with|to|who|made|between)\b"
)
_NO_DEFINITION = re.compile(
    r"(?:an?|the) (?:(?:\w+ly|very|more|most|quite|so|good|bad|better|best|great|same|only|result|case|reason|default|first|"
    r"last|main|biggest|largest|key|major|big|serious|common|popular|important|natural|useful|crucial|critical|central|"
    r"frequent|bit|lot|few|long|significant|essential|fundamental|part|subject|topic|matter|member|consequence|standard|"
    r"classic|famous|notable|prominent|choice|function of|usual|simplest|easiest|next|second|third|kind of|must|hot|growing|"
    r"non-trivial|challenging|difficult|hard|exact|opposite|point|difference|current|\w+est)\b|(?:\w+ ){0,3}"
    r"(?:choice|option|issue|concern|challenge|example|topic|question|advantage|disadvantage|limitation|drawback|exception|"
    r"requirement|difficulty|success|failure|candidate|priority|priorities|step|part|paper|book)\b)|one of\b",
    re.IGNORECASE,
)
BE = ("is", "are")
_OPENING = re.compile(
    r"^(?:In (?!this|that|these|those|such|our|some|other|the (?:same|above|following|latter|former|case|first|second|last|"
    r"previous|next|end|context of this))(?:the )?[^,.;]{3,60}|(?:More )?[Ff]ormally|Informally|Intuitively|Conceptually|"
    r"Technically|Essentially|Generally|Typically|Usually|Mathematically|Traditionally), "
)
_ASIDE = re.compile(
    r" ?\([^()]*\)|,? (?:also|sometimes|often|commonly|or|formerly|originally|abbreviated)\b[^,]{2,80},$|,? or [^,]{2,50},$"
)
_ADVERBS = re.compile(
    r"(?: (?:thus|often|also|then|usually|always|sometimes|therefore|still|instead|now|simply|\w+ly))+$"
)
_BY_PERSON = re.compile(
    r"(?:\w+ly |first )?(?P<verb>introduced|proposed|invented|developed|created|coined|designed|founded|"
    r"described|discovered|devised)\b(?: \w+){0,2}?(?: in (?:\w+ )?\d{4})? by (?:the )?"
    r"(?:[a-z]+ ){0,4}[A-Z]\w+ (?:[A-Z]|and|et)"
)
_BY_MAKER = re.compile(
    r"(?:\w+ly |first )?(?P<verb>developed|maintained|owned|operated|published|written|directed) by (?:the )?[A-Z]"
)
_IN_YEAR = re.compile(
    r"(?:\w+ly |first )?(?P<verb>introduced|proposed|invented|founded|established|released|launched|published|created|"
    r"developed|discovered|coined)\b[^.;]{0,60}? in (?:\w+ )?(?:1[6-9]|20)\d\d\b"
)
_DONE = re.compile(
    r"(?P<verb>calculated|computed|estimated|trained|measured|obtained|determined|updated|constructed) "
    r"(?:as|by|from|with|using|on)\b"
)
_OBJECT = re.compile(
    r"(?:how|the|an?|what|whether|that|which|both|all|each|every|no|some|many|several|to|its|their|(?!is|was|has|does|this)[a-z]{3,}s)\b"
)
_SAID = (  # what a sentence says after "is" or "are", and the question for it
    (r"used (?:to|for|in|as|when)\b", "What {is} {topic} used for?"),
    (r"based (?:up)?on\b", "What {is} {topic} based on?"),
    (r"(?:designed|intended|meant) to\b", "What {is} {topic} designed to do?"),
    (r"applied to\b", "What {is} {topic} {0}?"),
    (r"(?:composed|made up) of\b", "What {is} {topic} {0}?"),
    (r"(?:concerned with|part of|named after|written in)\b", "What {is} {topic} {0}?"),
    (r"(?:located|headquartered|based) in\b", "Where {is} {topic} located?"),
    (r"caused by\b", "What causes {topic}?"),
    (r"(?:divided|classified|categorized|grouped) into\b", "What types of {kinds} are there?"),
)
_ALIAS = re.compile(r"(?:also|sometimes|often|commonly) (?:known as|called|referred to as) ")
_LEADING_ADVERB = re.compile(r"(?:also|often|thus|then|still|sometimes|therefore|(?!only)\w+ly) ")
ACTIVE = {  # verbs that say something of their subject, some with a preposition
    verb: preposition
    for preposition, verbs in {
        "": "measure describe represent predict assume require compute estimate indicate specify combine determine control "
        "learn need minimize maximize minimise maximise mean include contain involve provide support offer encompass cover "
        "study generate produce return store reduce increase improve prevent replace use define express",
        "on": "depend rely focus",
        "to": "lead",
        "in": "result",
        "with": "deal",
        "from": "suffer differ",
        "of": "consist",
    }.items()
    for verb in verbs.split()
}
# of these, the verbs that people ask about; "What does bagging use?" and the like read as if cut from a sentence
_ASKED = frozenset(
    "measure predict assume require compute estimate determine minimize maximize minimise maximise prevent lead result suffer "
    "consist".split()
)
DO = frozenset(  # verbs that are asked about by "do"
    "add apply assign average build choose compare convert cut decide detect discard discover divide encode ensure extend "
    "extract find fit group keep map multiply normalize pick pull remove report scale select send shrink solve split spread "
    "tabulate take transform treat turn update allow enable help aim let make attempt try analyze consider manage protect "
    "perform evaluate seek adjust penalize test".split()
)


def _third_person(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if verb.endswith(("s", "x", "ch", "sh")) else f"{verb}s"


BASE_FORMS = {_third_person(verb): verb for verb in (*ACTIVE, *DO, "refer", "work", "occur", "happen")}
PLURAL_VERBS = frozenset(BASE_FORMS.values())
_VERB = re.compile(rf" (is|are|was|were|can|has|have|{'|'.join(sorted({*BASE_FORMS, *PLURAL_VERBS}))})(?= )")
_MADE = {"written": "wrote"}


def split_clause(sentence: str) -> tuple[str, str, str] | None:
    """Return subject, verb and rest of a sentence, or None if its first verb is not one that is asked about."""
    sentence = " ".join(_OPENING.sub("", sentence).split())
    match = _VERB.search(sentence)
    if match is None or match.start() > 120:
        return None
    subject = _ADVERBS.sub("", _ASIDE.sub("", sentence[: match.start()]).strip())
    return (subject, match[1], sentence[match.end() + 1 :]) if subject else None


def explains(verb: str, rest: str) -> bool:
    """Return True if a sentence says of its subject what it is, or what it does."""
    base = BASE_FORMS.get(verb, verb)
    return defines(verb, rest) or base in ("refer", "consist") or (base in (*ACTIVE, *DO) and bool(_OBJECT.match(rest)))


def defines(verb: str, rest: str) -> bool:
    """Return True if a sentence defines its subject: "is a kind of …", "refers to …"."""
    if verb not in BE:
        return BASE_FORMS.get(verb, verb) == "refer" and rest.startswith("to ")
    rest = _LEADING_ADVERB.sub("", rest, count=1)
    defined = _DEFINED.match(rest) or (verb == "are" and _DEFINED_MANY.match(rest))
    return bool(defined) and not _NO_DEFINITION.match(rest)


def fill(template: str, noun: Noun) -> str:
    """Put a noun into a template, with verbs that agree with it."""
    return template.format(
        topic=noun.text,
        topics=noun.many.text,
        kinds=noun.many.text.removeprefix("the "),
        **{"is": noun.verb, "does": "do" if noun.plural else "does"},
    )


def ask_of_action(noun: Noun, verb: str, rest: str) -> Iterator[Question]:
    """Yield the questions for what a sentence says of its subject, other than what it is."""
    base = BASE_FORMS.get(verb, verb)
    if verb in BE:
        yield from _of_state(noun, rest)
    elif verb == "can" and (use := re.match(r"be (?:used to|(divided|classified|categorized|grouped) into)\b", rest)):
        template = "What types of {kinds} are there?" if use[1] else "What can {topic} be used for?"
        yield Question(fill(template, noun), "what")
    elif verb in ("was", "were"):
        yield from _of_origin(noun, verb, rest)
    elif base == "work" and rest.startswith("by "):
        yield Question(fill("How {does} {topic} work?", noun), "how")
    elif base in ("occur", "happen") and rest.startswith(("when ", "if ")):
        yield Question(fill(f"When {{does}} {{topic}} {base}?", noun), "what")
    elif base in _ASKED and (rest.startswith(f"{ACTIVE[base]} ") if ACTIVE[base] else _OBJECT.match(rest)):
        yield Question(fill(f"What {{does}} {{topic}} {f'{base} {ACTIVE[base]}'.strip()}?", noun), "what")
    elif base in DO and _OBJECT.match(rest):
        yield Question(fill("What {does} {topic} do?", noun), "what")


def _of_state(noun: Noun, rest: str) -> Iterator[Question]:
    if _ALIAS.match(rest):
        yield Question(fill("What {is} {topic} also known as?", noun), "what")
        return
    said = _LEADING_ADVERB.sub("", rest, count=1)
    if done := _DONE.match(said):
        yield Question(fill(f"How {{is}} {{topic}} {done['verb']}?", noun), "how")
    for pattern, template in _SAID:
        if match := re.match(pattern, said):
            yield Question(fill(template.replace("{0}", match[0]), noun), "what")
            return


def _of_origin(noun: Noun, verb: str, rest: str) -> Iterator[Question]:
    if re.match(r"an? ", noun.text):
        return
    if match := _BY_PERSON.match(rest):
        yield Question(f"Who {match['verb']} {noun.text}?", "what")
    elif match := _BY_MAKER.match(rest):
        yield Question(f"Who {_MADE.get(match['verb'], match['verb'])} {noun.text}?", "what")
    elif match := _IN_YEAR.match(rest):
        yield Question(f"When {verb} {noun.text} {match['verb']}?", "what")
