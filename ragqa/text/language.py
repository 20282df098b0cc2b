"""Function words of languages in Latin letters, and what texts are mostly written in: English or not, Latin letters or not."""

from collections.abc import Sequence
from enum import Enum

from ragqa.records import Passage
from ragqa.text.analyzer import STOP_WORDS, words
from ragqa.text.characters import is_mostly_latin

_SAMPLED = 100  # texts
# without accents; first words that English texts hardly contain, then words that count only next to one of those
FUNCTION_WORDS = {
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
_LEAST_SHARE = 0.1  # of function words of a language in a text in that language


class Language(Enum):
    """What texts are mostly written in: English, another language in Latin letters, or another script."""

    ENGLISH = "English"
    LATIN = "another language in Latin letters"
    OTHER = "another script"


def language_of(texts: Sequence[str]) -> Language:
    """Return what texts are mostly written in, told by their letters and function words.

    Texts in Latin letters are in another language if that language has more function words in them than English. So texts with
    few function words, such as code and tables, and texts in a language without a list count as English.
    """
    if not is_mostly_latin(texts):
        return Language.OTHER
    found = [word for text in texts for word in words(text)]
    english = sum(word in STOP_WORDS for word in found)
    least = max(english, _LEAST_SHARE * len(found))
    counts = (sum(word in sure or word in unsure for word in found) for sure, unsure in FUNCTION_WORDS.values())
    return Language.LATIN if any(count > least for count in counts) else Language.ENGLISH


def sample_texts(passages: Sequence[Passage]) -> list[str]:
    """Return the texts of about a hundred passages, evenly spaced, or of all if there are fewer."""
    return [passage.text for passage in passages[:: 1 + len(passages) // _SAMPLED]]
