import pytest

from ragqa.errors import InputError
from ragqa.records import Passage
from ragqa.text.questions import FORMS, Question, QuestionGenerator, is_well_formed, reference_question


def _ask(
    text: str, title: str = "", section: str = "", forms: tuple[str, ...] = ("what",), more: str = ""
) -> list[str]:
    """Return the questions of a passage in a corpus that also contains `more`."""
    passage = Passage("p", title, section, text=text)
    first = Passage("first", title, "" if section else "Other", text=more)
    return [question.text for question in QuestionGenerator([first, passage], forms).questions(passage)]


def _define(text: str, more: str = "") -> list[str]:
    return _ask(text, "List of everything", more=more)


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("A perceptron is a linear classifier.", "What is a perceptron?"),
        ("An autoencoder is a neural network.", "What is an autoencoder?"),
        ("The learning rate is a step size.", "What is the learning rate?"),
        ("Backpropagation is a method. The backpropagation of errors.", "What is backpropagation?"),
        ("Support vector machines (SVMs) are a family. Many support them.", "What are support vector machines?"),
        ("In statistics, an outlier is a point far from others.", "What is an outlier?"),
        ("Bagging, also called bootstrap aggregating, is an ensemble. Boosting and bagging.", "What is bagging?"),
        ("Overfitting refers to the fitting of noise. It is overfitting.", "What is overfitting?"),
        ("It fails.\nDropout is one of the cures; dropout drops.", "What is dropout?"),
    ],
)
def test_a_definition_is_asked_for_in_its_own_words(text: str, question: str) -> None:
    assert _define(text) == [question]


@pytest.mark.parametrize(
    "text",
    [
        "This is a linear classifier.",
        "There are the same problems.",
        "The main idea is the use of two networks.",
        "The model that learns is a network.",
        "A perceptron learns.",
        "A perceptron was a machine.",
        "The best of all the seven very long phrases is a phrase.",
        "",
    ],
)
def test_what_is_no_definition_is_not_asked_for(text: str) -> None:
    assert _define(text) == []


def test_names_keep_their_capitals_and_common_words_lose_them() -> None:
    names = "So it was that Markov met Bayes. The boosting was boosting."
    assert _define("Markov models are a family.", more=names) == ["What are Markov models?"]
    assert _define("Boosting is a method.", more=names) == ["What is boosting?"]
    assert _define("LSTM is a network.", more="lstm lstm") == ["What is LSTM?"]
    assert _define("Word2vec is a technique.") == ["What is Word2vec?"]
    generator = QuestionGenerator([Passage("p", "", text="a random field, long short memory")])
    assert generator.topic("Random forest (machine learning)") == "random forest"
    assert generator.topic("Long Short-Term Memory") == "Long Short-Term Memory"


@pytest.mark.parametrize(
    ("section", "question"),
    [
        ("History", "What is the history of boosting?"),
        ("Historical background", "What is the history of boosting?"),
        ("Applications", "What is boosting used for?"),
        ("Limitations", "What are the limitations of boosting?"),
        ("Types", "What types of boosting are there?"),
        ("Algorithm (AdaBoost)", "How does boosting work?"),
        ("Training", "How is boosting trained?"),
        ("Motivation", "Why is boosting used?"),
        ("Margin theory", "What is margin theory in boosting?"),
        ("Loss functions", "What are the loss functions in boosting?"),
        ("Gradient boosting", "What is gradient boosting?"),
    ],
)
def test_a_heading_is_asked_about(section: str, question: str) -> None:
    more = "Some say gradient boosting and boosting, some margin, some loss."
    assert _ask("Some text.", "Boosting", section, ("what", "how"), more) == [question]


@pytest.mark.parametrize(
    "section",
    [
        *("Examples", "See also", "References", "2012", "From 2001 to 2010", "In practice", "A", "Other methods"),
        *("How a convolutional layer works", "What it is", "When there is little data", "One two three four five six"),
    ],
)
def test_a_heading_that_names_nothing_is_not_asked_about(section: str) -> None:
    assert _ask("Some text.", "Boosting", section, FORMS) == []


def test_only_the_first_passage_below_a_heading_is_asked_about_it() -> None:
    passages = [Passage(str(n), "Dropout", "History", text="Some text.") for n in range(3)]
    generator = QuestionGenerator(passages)
    assert [len(generator.questions(passage)) for passage in passages] == [1, 0, 0]


def test_rows_of_tables_define_nothing() -> None:
    rows = "Term: Epoch; Meaning: A pass (AP) is a round; Note: the difference between a pass and a batch is small."
    passages = [Passage("rows", "Training", text=rows), Passage("prose", "Training", text="Training is a task.")]
    generator = QuestionGenerator(passages, FORMS)
    assert generator.questions(passages[0]) == []
    assert "What is Training?" in [question.text for question in generator.questions(passages[1])]
    assert QuestionGenerator(passages[:1]).questions(passages[0]) == [Question("What is Training?", "what")]


def test_a_title_is_asked_for_with_the_article_of_the_text() -> None:
    assert _ask("We show how a decision tree can learn.", "Decision tree", more="tree decision") == [
        "What is a decision tree?"
    ]
    assert _ask("Some text.", "Neural networks", more="neural") == ["What are neural networks?"]
    assert _ask("Some text.", "Analysis of variance", more="analysis") == ["What is the analysis of variance?"]
    assert _ask("Some text.", "Outline of machine learning") == []


def test_abbreviations_are_asked_for_where_their_letters_fit() -> None:
    text = "We use a long short-term memory (LSTM), support vector machines (SVMs) and the best one (NOT)."
    assert _ask(text, "List of things", forms=("abbreviation",)) == [
        "What does LSTM stand for?",
        "What does SVM stand for?",
    ]
    assert "LSTM long short-term memory" in _ask(text, "List of things", forms=("keyword",))


def test_a_contrast_is_asked_for() -> None:
    text = "The difference between bagging and boosting is the order. The distinction between it and this is small."
    assert _ask(text, "List of things", forms=("difference", "keyword")) == [
        "What is the difference between bagging and boosting?",
        "bagging vs boosting",
    ]


def test_a_question_is_made_once() -> None:
    assert _ask("Dropout is a method. Dropout is the name. So dropout.", "Dropout") == ["What is dropout?"]


@pytest.mark.parametrize("form", FORMS)
def test_only_the_chosen_forms_are_made(starter_passages: tuple[Passage, ...], form: str) -> None:
    chosen = QuestionGenerator(starter_passages, [form])
    whole = QuestionGenerator(starter_passages, FORMS)
    for passage in starter_passages:
        questions = chosen.questions(passage)
        assert {question.form for question in questions} <= {form}
        assert set(questions) <= {Question(q.text, q.form) for q in whole.questions(passage)}
    assert any(map(chosen.questions, starter_passages))


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(InputError, match="question form 'poem' is unknown; there are what, how, explain, difference"):
        QuestionGenerator([], ["what", "poem"])


def test_every_generated_question_is_well_formed(starter_passages: tuple[Passage, ...]) -> None:
    generator = QuestionGenerator(starter_passages, FORMS)
    for passage in starter_passages:
        questions = generator.questions(passage)
        assert [q for q in questions if q.form != "keyword" and not is_well_formed(q.text)] == []
        assert len({q.text.casefold() for q in questions}) == len(questions)
        assert not any(q.text.startswith(("What are the how", "What is how", "What is what")) for q in questions)


@pytest.mark.parametrize(
    ("question", "well_formed"),
    [
        ("What is dropout?", True),
        ("What is Adam (optimizer)?", True),
        ("What is the “margin” of an SVM?", True),
        ("what is dropout?", False),
        ("What is dropout", False),
        ("What? Is dropout?", False),
        ("What dropout?", False),
        ("What is " + "very " * 23 + "long?", False),
        ("What is Adam (optimizer?", False),
        ('What is "margin?', False),
        ("What is the the loss?", False),
        ("What is is dropout?", False),
        ("What is dropout ?", False),
        ("What is == Dropout ==?", False),
        ("What is x_{i}?", False),
        ("What is\ndropout then?", False),
    ],
)
def test_well_formed_questions(question: str, well_formed: bool) -> None:
    assert is_well_formed(question) is well_formed


@pytest.mark.parametrize(
    ("window", "question"),
    [
        ("ed by Frank Rosenblatt in 1958. It learns. ", "What is ed by frank rosenblatt in 1958?"),
        ("\n\n== History ==\nThe first", "What is == history ==?"),
        ("does it learn? Yes.", "What is does it learn?"),
        ("no end of a sentence in the win", "What is no end of a sentence in the win?"),
    ],
)
def test_the_reference_question_is_the_first_sentence_of_the_window(window: str, question: str) -> None:
    assert reference_question(window) == question


@pytest.mark.parametrize(("title", "section"), [("", ""), ("(film)", ""), ("(film)", "Uses"), ("A page", "(x)")])
def test_titles_and_headings_of_nothing_but_a_parenthesis_ask_nothing(title: str, section: str) -> None:
    passage = Passage("1", title, section, text="Nothing to see.")
    assert all("(" not in question.text for question in QuestionGenerator([passage], FORMS).questions(passage))
