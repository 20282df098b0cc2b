import json
from pathlib import Path

import pytest

from ragqa import Bm25Index, DenseIndex, Embedder, Passage, Retriever
from ragqa.cli import main
from ragqa.demo.corpora import Corpus
from ragqa.demo.messages import messages
from ragqa.demo.respond import Settings, respond
from ragqa.index.starter import open_starter
from ragqa.search.language import IN_ENGLISH, is_foreign
from ragqa.storage.json_lines import read_rows
from ragqa.text.language import Language, language_of

CORPUS = Path(__file__).parents[1] / "corpus"
FOREIGN = (
    "Was ist maschinelles Lernen?",
    "Was ist Gradient Descent?",
    "warum hilft dropout",
    "Welche Aktivierungsfunktionen gibt es?",
    "Qu'est-ce que l'apprentissage automatique ?",
    "pourquoi le dropout aide-t-il ?",
    "Quelle est la différence entre L1 et L2 ?",
    "¿Qué es el aprendizaje automático?",
    "¿Cómo funciona una red neuronal?",
    "Che cos'è il machine learning?",
    "perché il dropout aiuta",
    "O que é aprendizado de máquina?",
    "qual é a diferença entre bagging e boosting",
    "Wat is machine learning?",
    "Co to jest uczenie maszynowe, jak działa?",
    "什么是机器学习？",
    "機械学習とは何ですか？",
    "머신러닝이란 무엇인가요?",
    "Что такое градиентный спуск?",
    "ما هو التعلم الآلي؟",
    "मशीन लर्निंग क्या है?",
    "machine learning kya hai",
)
ENGLISH = (
    "what is Gini?",
    "naïve Bayes",
    "who is van der Maaten?",
    "von Neumann entropy",
    "de facto standard for embeddings",
    "el nino prediction",
    "MIT license",
    "what is α in lasso?",
    "λ",
    "Łojasiewicz inequality",
    "Sørensen–Dice coefficient",
    "what does 神经网络 mean in English?",
    "CNN",
)
IN_GERMAN = Passage("a", "Lernen", text="Maschinelles Lernen ist ein Gebiet. Warum es hilft, ist nicht bekannt.")


@pytest.mark.parametrize("question", FOREIGN)
def test_questions_in_other_languages_are_recognized(question: str) -> None:
    assert is_foreign(question, open_starter())


@pytest.mark.parametrize("question", ENGLISH)
def test_names_and_loan_words_are_english(question: str) -> None:
    assert not is_foreign(question, open_starter())


def test_no_question_of_the_corpus_is_taken_for_another_language() -> None:
    files = (CORPUS / "questions.jsonl", CORPUS / "starter_training.jsonl", CORPUS / "starter" / "questions.jsonl")
    questions = [row["question"] for path in files for _, row in read_rows(path) if "question" in row]
    assert len(questions) > 7000
    index = open_starter()
    assert not [question for question in questions if is_foreign(question, index)]


def test_passages_in_a_language_can_be_asked_in_it() -> None:
    index = Bm25Index.build([IN_GERMAN])
    assert not is_foreign("Was ist maschinelles Lernen?", index)
    assert not Retriever(index, None).ask("Warum ist maschinelles Lernen ein Gebiet?").abstained


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("园丁在春天修剪苹果树，使阳光照到每一根枝条。", "什么时候剪枝最合适？"),
        ("يقلم البستاني شجرة التفاح في الربيع.", "متى تقطع الأغصان؟"),
        (
            "Der Gärtner schneidet den Apfelbaum im Frühling, und das Licht fällt auf die Äste.",
            "Wann ist ein Schnitt nötig?",
        ),
    ],
)
def test_no_question_is_refused_if_the_passages_are_not_in_english(text: str, question: str) -> None:
    retriever = Retriever(Bm25Index.build([Passage("a", "", text=text)]), None)
    assert not retriever.refuses(question)
    assert retriever.refuses(question) != Retriever(open_starter(), None).refuses(question)


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The gardener prunes the trees in spring, and he leaves the rest to the sun.", Language.ENGLISH),
        ("x = [1, 2]; print(x)", Language.ENGLISH),
        ("", Language.ENGLISH),
        ("Der Gärtner schneidet die Bäume im Frühling und lässt das Licht an die Äste.", Language.LATIN),
        ("Le jardinier taille les arbres au printemps et la lumière entre dans le jardin.", Language.LATIN),
        ("El jardinero poda los árboles en la primavera y la luz entra en el jardín.", Language.LATIN),
        ("Садовник обрезает деревья весной.", Language.OTHER),
        ("園丁は春に木を剪定します。 It is in Japanese.", Language.ENGLISH),
    ],
)
def test_a_language_is_told_by_letters_and_function_words(text: str, language: Language) -> None:
    assert language_of([text]) is language


def test_an_index_keeps_its_language(tmp_path: Path) -> None:
    Bm25Index.build([IN_GERMAN]).save(tmp_path / "index")
    opened = Bm25Index.open(tmp_path / "index")
    assert opened.manifest["language"] == opened.language.value == Language.LATIN.value
    opened = Bm25Index.open(tmp_path / "index")
    opened.manifest = {
        name: value for name, value in opened.manifest.items() if name != "language"
    }  # of an older version
    assert opened.language is Language.LATIN


def test_an_embedder_of_the_user_may_read_other_languages(word_embedder: Embedder) -> None:
    index = Bm25Index.build([Passage("a", "Learning", text="Machine learning is a field.")])
    dense = DenseIndex.build(index.passages, word_embedder)
    assert not Retriever(index, None, dense=dense).refuses("Was ist maschinelles Lernen?")
    assert Retriever(index, None).refuses("Was ist maschinelles Lernen?")


def test_the_answer_says_that_questions_must_be_in_english(capsys: pytest.CaptureFixture[str]) -> None:
    retriever = Retriever(open_starter(), None)
    answered = retriever.ask("Was ist Gradient Descent?")
    assert answered.abstained
    assert answered.hits
    assert (answered.text, answered.note) == ("", IN_ENGLISH)
    assert main(["ask", "什么是机器学习？", "--bm25-only"]) == 3
    assert capsys.readouterr().out == f"{IN_ENGLISH}\n"
    assert main(["ask", "Was ist Gradient Descent?", "--bm25-only", "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["note"] == IN_ENGLISH
    *_, turn = respond("Was ist Gradient Descent?", Corpus(retriever), Settings(), [])
    assert f"**{IN_ENGLISH} The nearest passages are:**" in messages([turn])[-1]["content"]
