"""Passages in, noun phrases out as the passages word them: letter case, number and article.

The evidence is the text itself. A page that writes "a perceptron" shows a count noun, one that writes "by overfitting" a mass
noun. If a page does not show it, the other uses of the last word decide: "a … model" is frequent, "a … learning" is not.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from ragqa.records import Passage
from ragqa.text.questions import count_cases, occurrences

_PARENTHESES = re.compile(r" ?\([^()]*\)")
_PREPOSITION = re.compile(r" (?:of|to|in|on|from|for|between|with|by|as|under|without|via|at|over)\b")
_ENDS_PHRASE = (
    r"(?=[.,;:()!?\n]|$| (?:is|are|was|were|be|can|could|may|might|will|would|should|must|has|have|had|to|in|on|of|with|that|"
    r"which|who|by|for|and|or|from|as|at|into|such|using|where|when|if|than|but|does|do|also|uses?|works?|refers?|over|"
    r"between|through|via|during|under|without|because|whose|whether|while|so|then|within|across|after|before|per|against)\b)"
)
_AFTER_PHRASE = re.compile(_ENDS_PHRASE, re.IGNORECASE)
_BEFORE_BARE = (
    r"(?:of|in|by|for|with|and|or|to|as|from|using|uses?|used|is|are|called|via|on|like|through|than|when|while|that|between|"
    r"into|against|under|about|without|termed|because|if|perform|performs|apply|applies|known as|such as|e\.g\.)"
)
_ARTICLE_BEFORE = re.compile(r"(?:^|[^\w’'-])(an?|the) $", re.IGNORECASE)
_BARE_BEFORE = re.compile(rf"(?:^|[.!?:;,(\n—–] ?|[^\w’'-]{_BEFORE_BARE} )$", re.IGNORECASE)
_BARE_BY_CHANCE = 3  # uses of a count noun without an article that still do not make it a mass noun
_CONTEXT = 14  # characters before a phrase that tell its article
_A_HEAD = re.compile(rf"\b[Aa]n? (?:[a-z][\w’'-]* ){{0,3}}?([a-z][\w-]*){_ENDS_PHRASE}")
_BARE_HEAD = re.compile(
    rf"(?:(?<=[.,;(] )|\b{_BEFORE_BARE} )(?!(?:an?|the|this|these|that|those|its?|their|his|her|our|each|every|some|any|all|no|"
    rf"one|two|another|other|such)\b)(?:[a-z][\w’'-]* ){{0,2}}?([a-z][\w-]*){_ENDS_PHRASE}"
)
_NOT_PLURAL = re.compile(
    r"(?:is|(?<!ea)us|ics|ss|bias|bayes|series|k-means|means|lens|chaos|atlas|pandas|keras|kubernetes|neighbors|always|perhaps)$",
    re.IGNORECASE,
)
_IRREGULAR_PLURALS = frozenset(
    "criteria phenomena vertices matrices indices people children hypotheses analyses".split()
)
_MASS = re.compile(r"(?:ing|ness|ity|ism|ics|ware|ence|data|information|knowledge|research|software|evidence|logic)$")
_COUNT = re.compile(
    r"(?:er|or|ist|gram|graph|tree|model|method|function|network|machine|system|matrix|layer|set|problem|curve|rate|score|"
    r"space|variable|distribution|algorithm|process|test|unit|attack|technique|language|computer|project|framework)$"
)
_VOWEL_SOUND = re.compile(
    r"(?!(?:uni(?!n|m)|us[aeiu]|eu|one|once|ubi|uti|ura)[a-z])[aeiou]|hour|honest|heir", re.IGNORECASE
)
_NO_NAME = re.compile(r"(?:ing|tion|sion|ity|ness|ism|ment|ance|ence|ology)s?$")
_NAME_WITH_HYPHEN = re.compile(r"\w+[–-][A-Z]")  # "Barnes–Hut tree", "Self-Consistency"
_SPELT = re.compile(r"[A-Z](?:[A-Z\d]+s?(?![a-z])|-|$)")  # read letter by letter: an "SVM", an "n-gram"
_VOWEL_LETTERS = "AEFHILMNORSX"
_READ_AS_WORD = re.compile(
    r"(?:RELU|LASSO|RAM|ROM|LIDAR|NASA|NAND|FIFO|RANSAC|MAP|LOLCODE|SMOTE|NOR|LAN)", re.IGNORECASE
)

_PLURALS = (
    (r"matrix$", "matrices"),
    (r"(?<=[^aeiou])y$", "ies"),
    (r"sis$", "ses"),
    (r"(?<=[a-z])man$", "men"),
    (r"(s|x|z|ch|sh)$", r"\1es"),
)


class Noun(NamedTuple):
    """A noun phrase with its article, if it takes one, and whether it is plural."""

    text: str
    plural: bool

    @property
    def many(self) -> "Noun":
        """All things of the kind: the plural of a phrase with "a", otherwise the phrase itself."""
        match = re.match(r"an? ", self.text)
        return Noun(plural_of(self.text[match.end() :]), plural=True) if match else self

    @property
    def verb(self) -> str:
        """The form of "to be" that agrees with the phrase."""
        return "are" if self.plural else "is"


class Wording:
    """Gives noun phrases the letter case, number and article that they have in the passages."""

    def __init__(self, passages: Sequence[Passage]) -> None:
        self._lower, self._capital = count_cases(passages)
        self._with_a: Counter[str] = Counter()
        self._bare: Counter[str] = Counter()
        pages = defaultdict(list)
        for passage in passages:
            self._with_a.update(head.lower() for head in _A_HEAD.findall(passage.text))
            self._bare.update(head.lower() for head in _BARE_HEAD.findall(passage.text))
            pages[passage.title].append(passage.text)
        self._pages = {title: _PARENTHESES.sub("", "\n".join(texts)) for title, texts in pages.items()}
        self._known: dict[tuple[str, str], Noun | None] = {}

    def page(self, title: str) -> str:
        """Return the text of all passages of a page, without parentheses; "" for an unknown page."""
        return self._pages.get(title, "")

    def inside(self, phrase: str) -> str:
        """Return a phrase as it is written inside a sentence: in lower case unless it begins with a name."""
        first, *others = re.findall(r"[^\s–-]+", phrase) or [""]
        if self.is_name(phrase) or not re.fullmatch(r"[A-Z][a-z’']+", first) or _NAME_WITH_HYPHEN.match(phrase):
            return phrase
        word = first.lower()
        unseen = not self._capital[word] and (bool(others) or bool(_NO_NAME.search(word)))
        common = self._lower[word] > self._capital[word] or unseen
        return phrase[0].lower() + phrase[1:] if common else phrase

    def is_name(self, phrase: str) -> bool:
        """Return True if every long word after the first has a capital, as only names have."""
        long = [word for word in phrase.split()[1:] if len(word) > 3]
        return bool(long) and all(word[0].isupper() for word in long)

    def noun(self, phrase: str, title: str) -> Noun | None:
        """Return a phrase with the article that the page `title` gives it, or None if nothing shows which it takes.

        The phrase is in the case that `inside` returns, without an article.
        """
        key = (phrase, title)
        if key not in self._known:
            self._known[key] = self._noun(phrase, self.page(title))
        return self._known[key]

    def _noun(self, phrase: str, page: str) -> Noun | None:
        if is_plural(phrase) and _is_treated_as_plural(phrase, page, usual=not self._is_one_name(phrase)):
            return Noun(phrase, plural=True)
        seen = count_articles(phrase, page)
        seen[_opening_article(phrase, page)] += 1
        article = _shown_article(phrase, seen)
        if article is None:
            countable = self._is_countable(head(phrase))
            unclear = countable is None and not seen[""]
            article = None if unclear else "a" if countable and seen[""] <= _BARE_BY_CHANCE else ""
        if article is None:
            return None
        return Noun(with_article(phrase) if article == "a" else f"{article} {phrase}".strip(), plural=False)

    def _is_one_name(self, phrase: str) -> bool:
        """Return True for a name that only looks like a plural: "Jules", "DevStats", "Essentials of Programming"."""
        return self.is_name(phrase) or bool(re.fullmatch(r"[A-Z][a-z]+(?:[A-Z][a-z]+)?", phrase))

    def is_seen(self, phrase: str) -> bool:
        """Return False for a single word with a capital that no sentence has inside: it may be a name or not."""
        return not re.fullmatch(r"[A-Z][a-z]+", phrase) or self._capital[phrase.lower()] > 0

    def bare_noun(self, phrase: str, title: str) -> Noun:
        """Return a singular subject that a sentence of the page has without an article; with "a" if the sentence lacks it."""
        seen, word = count_articles(phrase, self.page(title)), head(phrase)
        lacks = seen["a"] > seen[""] or (
            phrase.islower()
            and seen[""] <= 1
            and self._with_a[word] >= 4 * max(1, self._bare[word])
            and not _MASS.search(word)
        )
        return Noun(with_article(phrase) if lacks else phrase, plural=False)

    def _is_countable(self, word: str) -> bool | None:
        """Tell a count noun from a mass noun by the other uses of a word, else by its ending; None if neither tells."""
        with_a, bare = self._with_a[word], self._bare[word]
        if with_a + bare >= 4 and not bare / 2 < with_a < bare * 2:
            return with_a > bare
        if _MASS.search(word):
            return False
        return True if _COUNT.search(word) or with_a > bare + 1 else None


def count_articles(phrase: str, text: str) -> "Counter[str | None]":
    """Count how often a text gives a phrase the article "a" (or "an"), "the" or none (""). Other uses do not count."""
    seen: Counter[str | None] = Counter()
    for start in occurrences(phrase, text):
        if not _AFTER_PHRASE.match(text, start + len(phrase)):
            continue
        before = text[max(0, start - _CONTEXT) : start]
        if article := _ARTICLE_BEFORE.search(before):
            seen["the" if article[1].lower() == "the" else "a"] += 1
        elif _BARE_BEFORE.search(before):
            seen[""] += 1
    return seen


def _shown_article(phrase: str, seen: "Counter[str | None]") -> str | None:
    """Return the article that the counts of a page show: "a", "the" or ""; None if they do not show it."""
    name = phrase[:1].isupper()
    mass = name or bool(_MASS.search(head(phrase)))
    if seen["a"] and seen["a"] * 3 >= seen[""] and not (mass and seen["a"] <= seen[""]):
        return "a"
    if seen["the"] > 2 * seen[""] and (name or seen["the"] > 1):
        return "the"
    return "" if name else None


def _is_treated_as_plural(phrase: str, page: str, *, usual: bool) -> bool:
    """Tell from "is" or "are" after a phrase whether a page takes it for a plural; `usual` if it has neither."""
    verb = re.search(rf"\b{re.escape(phrase)} (is|are|was|were|has|have)\b", page, re.IGNORECASE)
    return usual if verb is None else verb[1].lower() in ("are", "were", "have")


def _opening_article(phrase: str, page: str) -> str | None:
    """Return the article with which a page begins, if the phrase follows: "a", "the" or ""; None for another beginning."""
    match = re.match(rf"(?:(an?|the) )?{re.escape(phrase)}\b", page, re.IGNORECASE)
    return None if match is None else {"the": "the", "": ""}.get((match[1] or "").lower(), "a")


def head(phrase: str) -> str:
    """Return the noun that a phrase is about, in lower case: "method" for "method of moments"."""
    return (_PREPOSITION.split(phrase)[0].split() or [""])[-1].lower()


def is_plural(phrase: str) -> bool:
    """Return True if the head of a noun phrase is plural."""
    word = head(phrase)
    if word in _IRREGULAR_PLURALS:
        return True
    return bool(re.search(r"[a-z]s$", word)) and not _NOT_PLURAL.search(word)


def with_article(phrase: str) -> str:
    """Put "a" or "an" before a phrase, by the sound of its first letters."""
    if _SPELT.match(phrase) and not _READ_AS_WORD.match(phrase):
        vowel = phrase[0] in _VOWEL_LETTERS
    elif re.match(r"[a-z]-", phrase):
        vowel = phrase[0].upper() in _VOWEL_LETTERS
    else:
        vowel = bool(_VOWEL_SOUND.match(phrase)) or bool(re.match(r"(?:8|11|18)\b", phrase))
    return f"{'an' if vowel else 'a'} {phrase}"


def plural_of(phrase: str) -> str:
    """Return the plural of a singular noun phrase, formed at its head: "matrices of weights"."""
    core = _PREPOSITION.split(phrase)[0]
    rest = phrase[len(core) :]
    for ending, plural in _PLURALS:
        if re.search(ending, core):
            return re.sub(ending, plural, core) + rest
    return f"{core}s{rest}"
