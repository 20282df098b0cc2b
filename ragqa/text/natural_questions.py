"""Passages in, the questions that a person could ask about them out: with articles, number and letter case as in their pages.

`questions.QuestionGenerator` asks about more, in fewer words and with less care: an index needs terms, not grammar. A dataset
needs questions that read well and that their passage answers; they are made here, from titles, headings and sentences.
"""

import re
from collections.abc import Iterable, Iterator

from ragqa.records import Passage
from ragqa.text.clauses import (
    ACTIVE,
    BASE_FORMS,
    BE,
    DO,
    PLURAL_VERBS,
    ask_of_action,
    defines,
    explains,
    fill,
    split_clause,
)
from ragqa.text.headings import HEADING_ASPECT, usual_heading
from ragqa.text.passages import sentences
from ragqa.text.phrases import is_list_page, is_term, names_itself, starts_wrong, stem, without_article
from ragqa.text.questions import (
    CONTRAST,
    Question,
    check_forms,
    expansions,
    first_of_sections,
    occurrences,
    select,
    without_parenthesis,
)
from ragqa.text.table_rows import is_table_row
from ragqa.text.wording import Noun, Wording, head, is_plural, with_article

_OF_MANY = re.compile(r"(?:examples|types) of")  # which a name does not have
_HOLLOW = ("approach", "case", "choice", "example", "way")  # "the simplest approach": to what?
_LONGEST_TOPIC = 4  # words of a title that may follow "in"
_TOP = re.compile(r"[Tt]he (?:most \w+|best[- ]known|simplest|main|largest|first|earliest) (?P<phrase>[^,.;:()]+)")
_SUBJECT = re.compile(r"(?:(?P<article>an?|the) )?(?P<phrase>[^,.;:()]+)", re.IGNORECASE)
_ASPECTS = (
    r"(?:(?:main|primary|key|major|central|basic|general|ultimate|typical|biggest|original) )?(?:goals?|aims?|purposes?|"
    r"objectives?|ideas?|advantages?|disadvantages?|benefits?|drawbacks?|limitations?|roles?|tasks?|"
    r"functions?|applications?|output|input|result|size|order|examples?|task|problem|process|effect|cost|architecture|weakness(?:es)?|strengths?|motivation|intuition|challenges?)"
)
_ASPECT = re.compile(
    rf"(?:(?P<article>an?|the|one|another) )?(?P<aspect>{_ASPECTS}) (?P<of>of|behind) (?P<phrase>[^,.;:()]+)", re.I
)
_SAYS_ASPECT = re.compile(r"(?:to|that|the|an?|its|their|in|how|\w+ing|\w+s)\b")
_NO_ASPECT = re.compile(r"(?:the (?:same|following)|not|also|often|as follows|similar|different|\w+ed\b)")
_EXAMPLES = re.compile(
    r"^(?:(?:Some|Other|Common|Typical|Well-known|Popular|Notable|Classic) )?(?P<kind>[Ee]xamples|[Aa]pplications|[Tt]ypes|"
    r"[Ll]imitations|[Aa]dvantages|[Uu]ses|[Bb]enefits|[Dd]isadvantages|[Dd]rawbacks) of (?P<phrase>[^,.;:()]+?) "
    r"(?:include|are)\b"
)
_KINDS = re.compile(
    r"\b[Tt]here are (?:\w+ ){0,2}?(?:two|three|four|five|six|several|many|various|different)(?: \w+){0,2} "
    r"(?:types|kinds|variants|forms|categories|classes) of (?P<phrase>[a-zA-Z][^,.;:()]+?)(?= that|[,.;:(]| in which|, |$)"
)
_NAMED = re.compile(
    r"\b(?:is|are) (?:often |commonly |usually |then )?(?:called|known as|termed|referred to as) "
    r"(?:(?P<article>an?|the) )?(?P<phrase>[a-zA-Z][^,.;:()“”\"]+?)(?= \(|[.,;]|$| and (?:is|are|can)\b)"
)
_MADE_NOUN = re.compile(r"(?:ing|tion|ity|ism|ness|ment|ence|ance)$")
_PAST = {  # past forms and base forms of what people are known for; companies announce, launch and sign too much to be asked
    past: base
    for base, past in (
        pair.split(":")
        for pair in (
            "introduce:introduced propose:proposed develop:developed invent:invented describe:described discover:discovered "
            "establish:established coin:coined prove:proved found:founded demonstrate:demonstrated suggest:suggested "
            "patent:patented"
        ).split()
    )
}
_PASTS = "|".join(_PAST)
_IN_A_YEAR = re.compile(
    rf"In (?:[A-Z][a-z]+ )?(?P<year>(?:1[6-9]|20)\d\d), (?P<subject>[^,.;:()]{{2,40}}?) (?P<verb>{_PASTS}) "
    r"(?!by\b|in\b|as\b|that\b)\w"
)
_A_YEAR_AFTER = re.compile(
    rf"(?P<subject>[A-Z][^,.;:()]{{1,40}}?) (?P<verb>{_PASTS}) (?!by\b|in\b|as\b|that\b)[^,.;:()]{{3,80}}? in (?:[A-Z][a-z]+ )?"
    r"(?P<year>(?:1[6-9]|20)\d\d)\b"
)
_KIND = re.compile(
    r"an? (?:[\w’'.–-]+ ){0,7}?([a-z]+)(?= (?:of|that|which|in|for|based|used|to|founded|designed|developed|by|with|from|on|"
    r"whose|"
    r"where|who|created|headquartered|located|established|and)\b|[,.;])"
)
_WHO_IS = re.compile(
    r"(?:an?|the|one) [^.;]{0,60}?\b(?:scientist|researcher|professor|engineer|founder|co-founder|director|programmer|"
    r"businessman|"
    r"entrepreneur|mathematician|physicist|author|writer|developer|executive|investor|philosopher|computer scientist|economist|"
    r"politician|president|inventor|psychologist|academic|billionaire|cryptographer|hacker|journalist|statistician)\b"
)


class NaturalQuestions:
    """Makes questions that read well for passages.

    It first reads all passages, to learn how their pages word things and which passage comes first below each heading.
    """

    def __init__(self, passages: Iterable[Passage], forms: Iterable[str] = ("what",)) -> None:
        """Raise `InputError` for a form that is not in `questions.FORMS`."""
        self.forms = check_forms(forms)
        passages = tuple(passages)
        self._wording = Wording(passages)
        self._first = first_of_sections(passages)
        self._kinds: dict[str, str | None] = {}
        self._titles = {without_parenthesis(p.title).casefold() for p in passages}

    def questions(self, passage: Passage) -> list[Question]:
        """Return the questions that this passage answers, each once, in the chosen forms; often none."""
        made = [*self._from_place(passage), *self._from_sentences(passage)]
        return select(made, self.forms)

    def _from_place(self, passage: Passage) -> Iterator[Question]:
        if passage.id not in self._first:
            return
        topic = self._topic(passage.title)
        if passage.section:
            if _is_cut_off(passage.text):
                return
            yield from self._from_heading(passage, topic)
        elif topic is not None:
            yield from self._from_title(passage, topic)

    def _topic(self, title: str) -> Noun | None:
        """Return what a page is about, as a noun; None if its title is no noun phrase, or if nothing shows its article."""
        phrase = self._wording.inside(without_parenthesis(title))
        if not phrase or is_list_page(title) or starts_wrong(phrase.removeprefix("The ")):
            return None
        return self._wording.noun(phrase, title)

    def _from_title(self, passage: Passage, topic: Noun) -> Iterator[Question]:
        who = "Who" if self._wording.is_name(topic.text) and _WHO_IS.search(passage.text[:300]) else "What"
        yield Question(f"{who} {topic.verb} {topic.text}?", "what")
        if who == "What":
            yield Question(f"Can you explain what {topic.text} {topic.verb}?", "explain")
        yield Question(self._wording.inside(without_parenthesis(passage.title)), "keyword")

    def _from_heading(self, passage: Passage, topic: Noun | None) -> Iterator[Question]:
        heading = without_parenthesis(passage.section)
        phrase = self._wording.inside(heading)
        plain = self._wording.inside(without_parenthesis(passage.title))
        yield Question(phrase if plain in phrase else f"{plain} {phrase}", "keyword")
        if usual := usual_heading(heading):
            if topic and not (_OF_MANY.search(usual.template) and topic.text[0].isupper() and not topic.plural):
                yield Question(fill(usual.template, topic), usual.form)
        elif aspect := HEADING_ASPECT.fullmatch(heading.lower()):
            if topic:
                verb = "are" if is_plural(aspect[0]) else "is"
                yield Question(f"What {verb} the {aspect[0]} of {topic.text}?", "what")
        elif self._is_term(phrase) and (noun := self._explained(phrase, passage)):
            yield from self._defined(noun, passage)

    def _explained(self, phrase: str, passage: Passage) -> Noun | None:
        """Return a heading as a noun, if its passage says what the thing is or does; else None."""
        for start, end in sentences(passage.text):
            clause = split_clause(passage.text[start:end])
            if (
                clause
                and stem(without_article(clause[0][:1].lower() + clause[0][1:])) == stem(phrase)
                and explains(clause[1], clause[2])
            ):
                return self._subject(clause[0], clause[1], passage)
        opening = re.match(
            rf"(?:In|With|Under|By|For) (?:(an?|the) )?({re.escape(phrase)}s?), ", passage.text, re.IGNORECASE
        )
        if opening is None:
            return None
        noun = self._wording.inside(opening[2])
        return Noun(f"{opening[1]} {noun}" if opening[1] else noun, is_plural(noun))

    def _from_sentences(self, passage: Passage) -> Iterator[Question]:
        before: Noun | None = None  # the subject of the sentence before, which "It" or "They" stands for
        for start, end in sentences(passage.text):
            sentence = " ".join(passage.text[start:end].split())
            if is_table_row(sentence):
                before = None
                continue
            for words, short in expansions(sentence):
                yield Question(f"What does {short} stand for?", "abbreviation")
                yield Question(f"{short} {words}", "keyword")
            if sentence[-1:] not in '.:)”"' or (_is_cut_off(sentence) and not passage.text[end:].strip()):
                before = None
                continue
            yield from self._from_parts(sentence, passage)
            yield from self._from_year(sentence, passage)
            if clause := split_clause(sentence):
                yield from self._from_clause(*clause, before, passage)
            before = self._antecedent(clause, before, passage)

    def _from_parts(self, sentence: str, passage: Passage) -> Iterator[Question]:
        if (match := _EXAMPLES.match(sentence)) and (noun := self._plain(match["phrase"], passage)):
            kind = match["kind"].lower()
            start = "some examples" if kind == "examples" else f"the {kind}"
            yield Question(f"What are {start} of {noun.text}?", "what")
        if (match := _KINDS.search(sentence)) and (noun := self._plain(match["phrase"], passage)):
            yield Question(f"What types of {noun.text} are there?", "what")
        for match in _NAMED.finditer(sentence):
            phrase = self._wording.inside(match["phrase"])
            named = match["article"] or " " in phrase or not phrase.islower() or _MADE_NOUN.search(phrase)
            if named and self._is_term(phrase) and not is_plural(phrase):
                yield from self._what_is(phrase, match["article"] or "", passage)
        for one, other in CONTRAST.findall(sentence) if " between " in sentence else ():
            if all(self._is_term(side) or (not starts_wrong(side)) for side in (one, other)):
                yield Question(f"What is the difference between {one} and {other}?", "difference")
                yield Question(f"{one} vs {other}", "keyword")

    def _from_clause(
        self, subject: str, verb: str, rest: str, before: Noun | None, passage: Passage
    ) -> Iterator[Question]:
        if (top := _TOP.fullmatch(subject)) and not _ASPECT.fullmatch(subject):
            if re.match(r"(?:an?|the|[A-Z])", rest) and self._agrees(top["phrase"].strip(), verb):
                yield Question(f"What {verb} the{subject[3:]}?", "what")
            return
        if (meant := self._meant(subject, passage, before)) is not None:
            if BASE_FORMS.get(verb) not in DO and verb != "can":
                yield from ask_of_action(meant, verb, rest)
            return
        if aspect := _ASPECT.fullmatch(subject):
            if verb in BE and _SAYS_ASPECT.match(rest) and not _NO_ASPECT.match(rest):
                yield from self._aspect(aspect, passage)
            return
        noun = self._subject(subject, verb, passage)
        if noun is None:
            return
        if verb in BE and _WHO_IS.match(rest) and re.fullmatch(r"[A-Z]\S+(?: [A-Z]\S+){1,2}", noun.text):
            yield Question(f"Who is {noun.text}?", "what")
        elif defines(verb, rest):
            if self._recurs(noun, passage):
                yield from self._defined(noun, passage)
        elif (text := self._placed(noun, passage)) and not (text.startswith("the ") and " in " in text):
            base = BASE_FORMS.get(verb, verb)
            if (base not in DO or self._is_first(noun, text, passage)) and not (
                base in ACTIVE and self._is_outsider(text)
            ):
                yield from ask_of_action(Noun(text, noun.plural), verb, rest)

    def _agrees(self, phrase: str, verb: str) -> bool:
        """Return True for the subject of "to be" that is specific enough after "the most common"."""
        number = {"is": False, "was": False, "are": True, "were": True}.get(verb)
        specific = " " in phrase and head(phrase) not in _HOLLOW and self._is_term(phrase, of=True)
        return specific and is_plural(phrase) == number

    def _is_first(self, noun: Noun, text: str, passage: Passage) -> bool:
        """Return True for a term where its page has it first: there the page says what it does, later only more of it."""
        bare = without_article(noun.text)
        if text != noun.text or not names_itself(bare) or re.fullmatch(r"[A-Z][a-z]+", bare):
            return False
        page = self._wording.page(passage.title).lower()
        return (
            bare.lower() in passage.text.lower()
            and page.find(bare.lower()) >= page.find(passage.text[:40].lower()) >= 0
        )

    def _is_outsider(self, name: str) -> bool:
        """Return True for a one-word name that is not a page title, such as a person or company mentioned in passing."""
        return bool(re.fullmatch(r"[A-Z][a-z]+", name)) and name.casefold() not in self._titles

    def _meant(self, subject: str, passage: Passage, before: Noun | None = None) -> Noun | None:
        """Return what "It", "They" or "The company" stands for: the subject before, or the topic if it is a company."""
        if subject in ("It", "They"):
            return before if before is not None and before.plural == (subject == "They") else None
        kind = self._kind(passage.title)
        return self._topic(passage.title) if kind and subject.lower() == f"the {kind}" else None

    def _antecedent(self, clause: tuple[str, str, str] | None, before: Noun | None, passage: Passage) -> Noun | None:
        """Return the subject of a sentence as a noun that a pronoun in the next one can stand for."""
        if clause is None:
            return None
        meant = self._meant(clause[0], passage, before)
        if meant is None and (noun := self._subject(clause[0], clause[1], passage)):
            text = self._placed(noun, passage)
            meant = Noun(text, noun.plural) if text and not self._is_outsider(text) else None
        return meant

    def _kind(self, title: str) -> str | None:
        """Return what a page says its topic is, in one noun: "company", "algorithm"; None if it does not say it first."""
        if title not in self._kinds:
            start, end = next(iter(sentences(self._wording.page(title)[:600])), (0, 0))
            clause = split_clause(self._wording.page(title)[start:end])
            match = _KIND.match(clause[2]) if clause and clause[1] in (*BE, "was", "were") else None
            self._kinds[title] = match[1] if match else None
        return self._kinds[title]

    def _from_year(self, sentence: str, passage: Passage) -> Iterator[Question]:
        match = _IN_A_YEAR.match(sentence) or _A_YEAR_AFTER.match(sentence)
        if match is None:
            return
        subject = self._meant(match["subject"], passage)
        phrase = match["subject"].removeprefix("the ").removeprefix("The ")
        if subject is None and re.fullmatch(r"(?:[A-Z]\S+ ){0,3}[A-Z]\S+", phrase) and is_term(phrase):
            subject = Noun(match["subject"].replace("The ", "the ", 1), plural=False)
        if subject is not None:
            yield Question(f"What did {subject.text} {_PAST[match['verb']]} in {match['year']}?", "what")

    def _recurs(self, noun: Noun, passage: Passage) -> bool:
        """Return True if a page uses a noun as it uses terms: with an article, in several words, or more than once."""
        bare = without_article(noun.text)
        if names_itself(bare) or bare != noun.text or bare.casefold() in self._titles:
            return True
        return is_list_page(passage.title) or len([*occurrences(bare, self._wording.page(passage.title))]) > 1

    def _aspect(self, match: "re.Match[str]", passage: Passage) -> Iterator[Question]:
        noun = self._plain(match["phrase"], passage)
        if noun is None:
            return
        aspect, plural = match["aspect"].lower(), is_plural(match["aspect"])
        article = "the" if plural else (match["article"] or "").lower()
        before = {"": "", "the": "the "}.get(article, with_article(aspect).removesuffix(aspect))
        yield Question(f"What {'are' if plural else 'is'} {before}{aspect} {match['of']} {noun.text}?", "what")

    def _defined(self, noun: Noun, passage: Passage) -> Iterator[Question]:
        text = self._placed(noun, passage)
        if text:
            yield Question(f"What {noun.verb} {text}?", "what")
            yield Question(f"Can you explain what {text} {noun.verb}?", "explain")

    def _is_term(self, phrase: str, *, of: bool = False) -> bool:
        return is_term(phrase, of=of) and self._wording.is_seen(phrase)

    def _what_is(self, phrase: str, article: str, passage: Passage) -> Iterator[Question]:
        noun = self._wording.noun(phrase, passage.title)
        if article and noun and not noun.plural:
            noun = Noun(with_article(phrase) if article.lower() != "the" else f"the {phrase}", plural=False)
        if noun is not None:
            yield from self._defined(noun, passage)

    def _placed(self, noun: Noun, passage: Passage) -> str | None:
        """Return a noun that can be understood alone, if needed with "in" and the topic of its page; None if it cannot."""
        phrase, definite = without_article(noun.text), noun.text.startswith("the ")
        if without_parenthesis(passage.title).casefold() in (phrase.casefold(), noun.text.casefold()):
            topic = self._topic(passage.title)
            return topic.text if topic and topic.plural == noun.plural else noun.text
        known = phrase.casefold() in self._titles
        if known or (" of " in phrase if definite else names_itself(phrase)):
            return noun.text
        if definite and not self._is_used_often(phrase, passage.title):
            return None
        return noun.text if definite and not phrase.islower() else self._with_topic(noun, phrase, passage.title)

    def _is_used_often(self, phrase: str, title: str) -> bool:
        """Return True if a page has "the" and these words, of which there are several, at least twice."""
        return " " in phrase and len([*occurrences(f"the {phrase}", self._wording.page(title))]) > 1

    def _with_topic(self, noun: Noun, phrase: str, title: str) -> str | None:
        """Return the noun, with "in" and the topic of the page where that helps; None if it cannot be understood alone.

        The topic is left out if noun and title share a word, or if the page never says "in" before a topic that is a name. A
        noun with "the" then becomes None, as does any noun of a page with a title of more than four words.
        """
        topic, plain = self._topic(title), self._wording.inside(without_parenthesis(title))
        alone = None if noun.text.startswith("the ") else noun.text
        if topic is None or _stems(phrase) & _stems(plain):
            return alone
        if topic.text[:1].isupper() and f" in {topic.text}" not in self._wording.page(title):
            return alone
        return f"{noun.text} in {topic.text}" if len(plain.split()) <= _LONGEST_TOPIC else None

    def _subject(self, subject: str, verb: str, passage: Passage) -> Noun | None:
        """Return the subject of a sentence as a noun that can be understood alone, or None."""
        match = _SUBJECT.fullmatch(subject)
        if match is None:
            return None
        article = (match["article"] or "").lower()
        phrase = match["phrase"].strip()
        phrase = phrase if article else self._wording.inside(phrase)
        if not self._is_term(phrase, of=True):
            return None
        if verb in ("are", "were", "have") or verb in PLURAL_VERBS:
            return Noun(phrase, plural=True) if not article and is_plural(phrase) else None
        if is_plural(phrase):
            return None
        if article:
            return Noun(f"{article} {phrase}", plural=False)
        return self._wording.bare_noun(phrase, passage.title)

    def _plain(self, phrase: str, passage: Passage) -> Noun | None:
        """Return a noun that follows a preposition, with the article that stands there or that it needs."""
        match = _SUBJECT.fullmatch(phrase.strip())
        if match is None:
            return None
        article = (match["article"] or "").lower()
        inner = match["phrase"].strip()
        if not self._is_term(inner, of=True):
            return None
        if article == "the" and inner.casefold() not in self._titles and not self._wording.is_name(f"the {inner}"):
            return None
        text = f"{article} {inner}" if article else inner
        return Noun(text, is_plural(inner))


def _stems(phrase: str) -> set[str]:
    return {stem(word) for word in phrase.lower().split()}


def _is_cut_off(text: str) -> bool:
    """Return True for a text that ends by announcing what follows it."""
    return text.rstrip().endswith(":")
