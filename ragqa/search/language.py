"""Whether a question is in another language than English and than the passages: told by its script or its function words."""

import re
from dataclasses import replace

from ragqa.index.bm25 import Bm25Index
from ragqa.records import Answer
from ragqa.text.analyzer import STOP_WORDS, usual_analyzer, words
from ragqa.text.characters import is_mostly_latin

IN_ENGLISH = "Questions must be in English."

_LETTERS = re.compile(r"[^\W\d_]+")
_FEWEST_LETTERS = 3  # of another script; fewer may be symbols
# without accents; first words that English texts hardly contain, then words that count only next to one of those
_FUNCTION_WORDS = {
    language: (frozenset(sure.split()), frozenset(unsure.split()))
    for language, sure, unsure in (
        (
            "German",
            "ist sind wie warum wieso weshalb welche welcher welches wann wozu nicht und oder zwischen eine einem einen einer "
            "eines ein uber wird werden kann konnen macht funktioniert bedeutet erklare gibt auch beim zum zur sich "
            "wurde hilft erklaren",
            "was der die das den dem des im in von zu auf fur mit man ich es so bei aus am an als",
        ),
        (
            "French",
            "qu que quoi quel quelle quels quelles pourquoi est sont avec dans une cette fonctionne peut signifie expliquez "
            "expliquer etre",
            "le la les de des du un en et au aux sur par il elle on comment quand ou ce ces d l c s n j a entre pour plus",
        ),
        (
            "Spanish",
            "que como cual cuales cuando donde porque por para una esta estan del funciona funcionan significa explica hace",
            "el la los las de en un y se lo al es son con sin entre a o mas",
        ),
        (
            "Italian",
            "che cosa perche quale quali quando sono della dello delle degli dei nel nella una uno funziona significa viene",
            "il lo la le gli i di da in con per un del e come si tra fra a c",
        ),
        (
            "Portuguese",
            "que como qual quais entre porque por uma nao quando onde para funciona funcionam significa pelo pela",
            "o a os as de do da dos das em um e se no na sao com ao mais",
        ),
        (
            "Dutch",
            "wat waarom welke zijn een het niet tussen werkt betekent wordt voor",
            "is de en van der hoe in op met te",
        ),
        ("Polish", "jak dlaczego sie miedzy dziala oznacza czym jaka jakie jest oraz", "co w z i na do to"),
        ("Swedish", "vad hur varfor fungerar mellan och ett inte", "ar en som i av till"),
        ("Turkish", "nedir nasil neden icin bir calisir nelerdir arasindaki", "ve ne bu mi"),
        ("Hindi", "kya hai kaise kyon hota hain karta", "ka ki ke mein aur se"),
        ("Indonesian", "itu bagaimana mengapa adalah yang dengan", "apa di dan dari untuk"),
    )
}
_SURE = frozenset[str]().union(*(sure for sure, _ in _FUNCTION_WORDS.values()))


def is_foreign(question: str, index: Bm25Index) -> bool:
    """Return True if a question is clearly not in English, unless the index holds most of its words.

    Languages in Latin letters are recognized by words such as "ist" and "pourquoi", others by their script.
    """
    if not is_mostly_latin([question]):
        letters = "".join(_LETTERS.findall(question))
        return len(letters) >= _FEWEST_LETTERS and _is_unknown(question, index)
    asked = [word for text in words(question) for word in _LETTERS.findall(text)]
    return not _SURE.isdisjoint(asked) and any(
        _is_written_in(asked, sure, unsure, index) for sure, unsure in _FUNCTION_WORDS.values()
    )


def refusal(answer: Answer) -> Answer:
    """Return an abstention that says in its note that questions must be in English."""
    return replace(answer, text="", quotes=(), abstained=True, probability=None, note=IN_ENGLISH)


def _is_written_in(asked: list[str], sure: frozenset[str], unsure: frozenset[str], index: Bm25Index) -> bool:
    found = sum(word in sure for word in asked)
    if not found or any(word in sure and word in index.vocabulary for word in asked):
        return False  # the passages are in this language too
    own = found + sum(word in unsure for word in asked)
    english = sum(word in STOP_WORDS and word not in unsure for word in asked)
    if own <= english:
        return False
    rest = " ".join(word for word in asked if word not in sure and word not in unsure)
    return own > 1 or (not english and bool(rest) and _is_unknown(rest, index))


def _is_unknown(text: str, index: Bm25Index) -> bool:
    """Return True if the index holds at most half of the terms of a text."""
    terms = usual_analyzer().terms(text)
    return 2 * sum(term in index.vocabulary for term in terms) <= len(terms)
