import pytest

from ragqa.errors import InputError
from ragqa.records import Passage
from ragqa.text.natural_questions import NaturalQuestions
from ragqa.text.questions import FORMS, is_well_formed


def _ask(text: str, title: str = "Robot", section: str = "Parts", forms: tuple[str, ...] = ("what",)) -> list[str]:
    passage = Passage("p", title, section, text=text)
    lead = Passage("lead", title, "", text=f"A {title.lower()} is a machine. It moves.")
    return [question.text for question in NaturalQuestions([lead, passage], forms).questions(passage)]


@pytest.mark.parametrize(
    ("text", "questions"),
    [
        ("A decision tree is a model of choices.", ["What is a decision tree?"]),
        ("Feature hashing is a way of turning words into numbers.", ["What is feature hashing?"]),
        (
            "Gradient clipping prevents the steps from growing. It is also known as norm scaling.",
            ["What does gradient clipping prevent?", "What is gradient clipping also known as?"],
        ),
        ("Support vectors are points that lie on the margin.", ["What are support vectors?"]),
        ("Word embeddings are used to compare words.", ["What are word embeddings used for?"]),
        ("Perplexity measures how well a model predicts.", ["What does perplexity in a robot measure?"]),
        ("Hidden layers consist of neurons.", ["What do hidden layers consist of?"]),
        ("The main advantage of random search is that it is simple.", ["What is the main advantage of random search?"]),
        ("Examples of lazy learners include nearest neighbors.", ["What are some examples of lazy learners?"]),
        ("There are three kinds of attention heads, all of them small.", ["What types of attention heads are there?"]),
        ("Learning from few labels is called sparse tuning.", ["What is sparse tuning?"]),
        ("In 1957, Frank Rosenblatt introduced the perceptron.", ["What did Frank Rosenblatt introduce in 1957?"]),
        ("Mode collapse occurs when the generator repeats itself.", ["When does mode collapse occur?"]),
        ("The most common activation function is the ReLU.", ["What is the most common activation function?"]),
    ],
)
def test_a_sentence_is_asked_for_what_it_says(text: str, questions: list[str]) -> None:
    assert _ask(text) == questions


@pytest.mark.parametrize(
    "text",
    [
        "The denominator is a number that is never zero.",  # of which fraction?
        "This approach is a way of saving time.",
        "It is a network.",
        "A good choice is a value of 3.",
        "A common approach is a mixture of both.",
        "Using a network is a way of learning.",
        "From bagging to boosting is a matter of order.",
        "Batch size is one of the settings.",
        "Decision trees are a popular method.",
        "Boundary measures such as these are rare.",
        "During training a large network computes the loss.",
        "Random search uses a budget.",  # nobody asks what it uses
        "In 2019, Acme Robotics announced a robot.",  # one of many
        "There are three kinds of attention heads, all of them small:",  # the next passage has them
    ],
)
def test_what_cannot_be_understood_alone_is_not_asked(text: str) -> None:
    assert _ask(text) == []


@pytest.mark.parametrize(
    ("section", "text", "question"),
    [
        ("History", "It began.", "What is the history of robots?"),
        ("Pitfalls", "They break.", "What are the limitations of robots?"),
        ("Types", "Some walk.", "What types of robots are there?"),
        ("Architecture", "It has legs.", "What is the architecture of a robot?"),
        ("Inverse kinematics", "Inverse kinematics is the computation of angles.", "What is inverse kinematics?"),
        ("When to use one and when not", "In factories.", "When should robots be used?"),
    ],
)
def test_a_heading_is_asked_for_as_people_would(section: str, text: str, question: str) -> None:
    assert _ask(text, section=section) == [question]


@pytest.mark.parametrize(
    "section",
    [
        "From bagging to boosting",
        "Example: ozone data",
        "Below",
        "Modular",
        "Choosing a gripper",
        "Joints",
        "Grip and lift",
    ],
)
def test_a_heading_that_its_passage_does_not_explain_is_not_asked(section: str) -> None:
    assert _ask("Some say so.", section=section) == []


@pytest.mark.parametrize(
    ("title", "text", "question"),
    [
        ("Language model", "A language model is a model of text.", "What is a language model?"),
        ("Overfitting", "Overfitting is a fit that is too close.", "What is overfitting?"),
        ("Mean squared error", "The mean squared error is an average.", "What is the mean squared error?"),
        ("Neural networks", "Neural networks are models of many units.", "What are neural networks?"),
        ("MATLAB", "MATLAB is a language.", "What is MATLAB?"),
        ("SVM", "An SVM is a classifier.", "What is an SVM?"),
        ("Unit test", "A unit test is a test of a part.", "What is a unit test?"),
        ("Barbara Liskov", "Barbara Liskov is an American computer scientist.", "Who is Barbara Liskov?"),
    ],
)
def test_a_title_is_asked_for_with_the_article_of_its_page(title: str, text: str, question: str) -> None:
    assert [
        q.text for q in NaturalQuestions([Passage("1", title, text=text)]).questions(Passage("1", title, text=text))
    ] == [question]


@pytest.mark.parametrize("title", ["Outline of robotics", "Glossary of logic", "Privacy and blockchain"])
def test_a_page_that_is_a_list_is_not_asked_for(title: str) -> None:
    passage = Passage("1", title, text="Some things.")
    assert NaturalQuestions([passage], FORMS).questions(passage) == []


def test_a_name_in_passing_is_no_topic() -> None:
    assert _ask("Gartner estimates the cost of robots.") == []


def test_the_company_stands_for_the_page() -> None:
    lead = Passage("1", "Acme", text="Acme is a company that makes anvils.")
    later = Passage("2", "Acme", "Later", text="In 2004, the company introduced an anvil.")
    assert [q.text for q in NaturalQuestions([lead, later]).questions(later)] == ["What did Acme introduce in 2004?"]


def test_every_question_of_the_starter_corpus_is_well_formed(starter_passages: tuple[Passage, ...]) -> None:
    generator = NaturalQuestions(starter_passages, FORMS)
    made = [question for passage in starter_passages for question in generator.questions(passage)]
    assert len(made) > 500
    assert [q for q in made if q.form != "keyword" and not is_well_formed(q.text)] == []
    assert {q.form for q in made} == set(FORMS)


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(InputError, match="question form 'poem' is unknown"):
        NaturalQuestions([], ["poem"])


def test_rows_of_tables_are_not_asked_about() -> None:
    rows = (
        "Part: Arm; Meaning: a lever (AL); Note: there are two types of robot arms, and one of them is called a crane."
    )
    assert _ask(rows, section="", forms=FORMS) == []
    passages = [Passage("rows", "Robot", text=rows), Passage("prose", "Robot", text="A robot is a machine. It moves.")]
    asked = NaturalQuestions(passages)
    assert [[question.text for question in asked.questions(passage)] for passage in passages] == [
        [],
        ["What is a robot?"],
    ]
