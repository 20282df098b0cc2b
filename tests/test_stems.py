import pytest

from ragqa.text.stems import WordStemmer

STEMMER = WordStemmer()


@pytest.mark.parametrize(
    ("words", "stem"),
    [
        ("بيانات البيانات والبيانات بالبيانات للبيانات", "بيان"),
        ("شبكه شبكة الشبكات", "شبك"),
        ("معلم معلمون معلمين معلمات", "معلم"),
        ("على علي", "عل"),
        ("كتـــاب كتاب", "كتاب"),
        ("ولد", "ولد"),
        ("ال", "ال"),
        ("ـ", "ـ"),
        ("کتابها", "كتابها"),
    ],
)
def test_arabic_words_lose_articles_particles_and_endings(words: str, stem: str) -> None:
    assert {STEMMER.stem(word) for word in words.split()} == {stem}


@pytest.mark.parametrize(
    ("words", "stem"),
    [
        ("किताब किताबें किताबों", "किताब"),
        ("हिन्दी हिंदी", "हिंद"),
        ("चाँद चांद", "चांद"),
        ("ज़मीन जमीन", "जमिन"),
        ("\u093c", "\u093c"),
    ],
)
def test_hindi_words_lose_endings_and_differences_of_spelling(words: str, stem: str) -> None:
    assert {STEMMER.stem(word) for word in words.split()} == {stem}


@pytest.mark.parametrize(("word", "stem"), [("learning", "learn"), ("naiv", "naiv"), ("деревья", "деревья")])
def test_all_other_words_are_stemmed_as_english(word: str, stem: str) -> None:
    assert STEMMER.stem(word) == WordStemmer(by_script=False).stem(word) == stem


def test_without_scripts_every_word_is_english() -> None:
    assert WordStemmer(by_script=False).stem("البيانات") == "البيانات"
