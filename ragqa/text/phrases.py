"""Words of a phrase in, a verdict out: whether it is a noun phrase that can be asked for."""

import re

_LIST_PAGE = re.compile(
    r"(?:list|lists|glossary|outline|timeline|index|comparison|history|applications|ethics|philosophy|"
    r"regulation) of\b|.*\b(?:and|in|vs\.?) \w",
    re.IGNORECASE,
)
_NOT_A_PHRASE = re.compile(
    r"^(?:this|that|these|those|it|its|they|their|there|here|he|she|his|her|we|our|you|your|one|two|three|four|each|every|"
    r"some|any|all|both|another|other|others|such|if|when|while|where|since|because|although|though|as|for|with|by|on|at|to|"
    r"from|in|of|most|many|several|few|more|less|note|so|then|thus|hence|however|also|but|and|or|not|no|who|what|which|why|"
    r"how|after|before|around|beyond|toward|towards|between|until|unlike|compared|based|given|due|only|just|even|instead|"
    r"a|an|the|elsewhere|now|today|later|again|perhaps|maybe|either|neither|yet|once|rather|per|let|see|using|being|having|"
    r"various|different|much|certain|during|among|across|within|without|under|over|through|via|whenever|despite|throughout|"
    r"inside|outside|like|about|sometimes|often|usually|typically|generally|similarly|likewise|nothing|everything|something|anything|below|whereas|numerous|besides|except|versus|vs)\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(
    r"\b(?:is|are|was|were|be|been|has|have|had|that|which|who|whose|can|may|might|will|would|should|must|if|because|when|how|"
    r"what|why|where|there|it|its|they|their|this|these|those|we|our|you|your|his|her|not|does|do|did|than|as|so|then|"
    r"only|also|alone|whereas|shows|suggests|itself|themselves|i|cannot)\b",
    re.IGNORECASE,
)
_VAGUE_FIRST = re.compile(  # adjectives that say nothing of themselves or point at what was said before
    r"^(?:resulting|final|first|second|third|fourth|fifth|new|newer|above|given|same|other|corresponding|proposed|current|previous|"
    r"original|whole|entire|latter|former|only|main|key|major|primary|notable|important|simple|simpler|simplest|single|typical|"
    r"common|popular|classic|classical|good|better|best|worst|naive|recent|early|earlier|later|related|similar|particular|"
    r"specific|general|following|obvious|usual|next|last|further|additional|practical|famous|modern|larger|smaller|"
    r"largest|smallest|higher|lower|high|low|big|large|small|old|older|great|basic|alternative|special|well-known|true|real|"
    r"natural|powerful|useful|possible|potential|remaining|rest|overall|actual|whole|more|most|less|very|trained|learned|"
    r"desired|underlying|individual|increasing|ideal|full|complete|own|different|various|surrounding|optional|so-called|"
    r"controversial|traditional|conventional|subsequent|sensible|inappropriate|appropriate|automated|theoretical|prominent|successful|promising|effective|efficient|interesting|standard|direct|close|closest|strong|weak|"
    r"\w+est|\w+ly)\b(?! [a-z]+(?:ed|ing)-| supervision| supervised)",
    re.IGNORECASE,
)
_EMPTY = frozenset(  # nouns that name nothing alone
    "approach method technique problem algorithm model system idea way example paper author result function value number set "
    "case step task goal aim advantage disadvantage drawback issue point part type kind form process procedure effect reason "
    "purpose term name word difference question answer solution concept notion fact area field thing approaches methods output "
    "input user project company team book article study work group version list table figure section answerer use choice cost "
    "methods techniques models systems tasks results values steps functions formula rule strategy argument assumption "
    "intuition "
    "university school city country state government people person man woman program tool product service site website design "
    "researchers researcher variant variants alternative alternatives feature features property properties everything inputs "
    "details detail background introduction overview general notation basics motivation remarks note notes summary theory "
    "proof statement description discussion terminology nomenclature etymology naming literature sources bibliography others "
    "miscellaneous events news awards legacy reception research development practice practices implications considerations "
    "conclusion conclusions setup setting settings impact future outlook scope criticism controversy controversies content "
    "contents organization organizations conferences journals people products acquisitions locations timeline milestones "
    "education career life health media sports music culture economy today origin origins status trends key keys measure "
    "context comparison relation relationship response importance significance other end start beginning".split()
)
_DEFINITES = re.compile(r"\b(?:the|this|these|its|their|said|such)\b", re.IGNORECASE)
_BAD_CHARACTERS = re.compile(
    r" [\d.]+$|[_\\{}=<>|/&“”\"\[\]*+^#@$%~→…]|\b[b-zB-Z]\b(?!-)|^\W|\d{4}|\W$|displaystyle| [–—-] |’s$|'s$"
)
_GERUND_CLAUSE = re.compile(
    r"^\w+ing (?:an?|the|this|these|its|their|all|each|some|more|up|out|on|with|from|it|of|to|in)\b|"
    r"^(?:reduc|increas|choos|avoid|evaluat|improv|add|build|mak|find|gett|sett|keep|solv|splitt|handl|select|defin|"
    r"understand|estimat|remov|creat|develop|design|apply|combin|compar|prevent|detect|manag|minimi[sz]|maximi[sz]|us|grow|"
    r"writ|giv|tak|replac|includ|show|provid|stor|chang|convert|multiply|divid|comput(?=ing \w+s$)|collect|captur)ing \w",
    re.IGNORECASE,
)
_LONGEST_PHRASE = 5  # words
_JOINS = re.compile(
    r"\b(?:in|on|for|with|to|from|by|at|into|under|over|between|through|via|about|like|against|and|or)\b"
)


def starts_wrong(phrase: str) -> bool:
    """Return True for words that are no noun phrase: "from bagging", "using a model", "which is fast"."""
    return bool(_NOT_A_PHRASE.match(phrase) or _CLAUSE.search(phrase) or _GERUND_CLAUSE.match(phrase))


def is_vague(phrase: str) -> bool:
    """Return True for a noun phrase that means nothing alone: "examples", "new method", "s_i"."""
    alone = {phrase.lower(), phrase.lower().removesuffix("s")} & _EMPTY
    return bool(alone or _VAGUE_FIRST.match(phrase) or _BAD_CHARACTERS.search(phrase))


def is_list_page(title: str) -> bool:
    """Return True for a title that is no topic: "Outline of robotics", "Privacy and blockchain"."""
    return _LIST_PAGE.match(title) is not None


def is_term(phrase: str, *, of: bool = False) -> bool:
    """Return True if a phrase can be asked for: a noun phrase, as far as its words show, that is specific.

    With `of` it may be "X of Y". Other prepositions, "and" and "or" are not allowed.
    """
    words = phrase.split()
    longest = _LONGEST_PHRASE + (2 if " of " in phrase else 0)
    joined = _JOINS.search(phrase) or (" of " in phrase and not of)
    fits = 0 < len(words) <= longest and len(phrase) > 2 and not joined
    single = len(words) == 1 and words[0].lower().endswith(("ly", "ed"))
    return fits and not (single or starts_wrong(phrase) or is_vague(phrase) or _DEFINITES.search(phrase))


def without_article(phrase: str) -> str:
    """Return a noun phrase without its article."""
    return re.sub(r"^(?:an?|the) ", "", phrase)


def stem(phrase: str) -> str:
    """Return a phrase in lower case and without a plural ending, to compare it with another."""
    return phrase.lower().removesuffix("s")


def names_itself(phrase: str) -> bool:
    """Return True for a name, an abbreviation or several words: what is meant does not depend on the page."""
    return " " in phrase or "-" in phrase or not phrase.islower()
