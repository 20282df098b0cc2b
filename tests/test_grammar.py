import pytest

from ragqa.search.grammar import is_plural, put_subject, without_article


@pytest.mark.parametrize("phrase", ["GANs", "trees in a forest", "bagging and boosting", "Bayesian networks"])
def test_plural_phrases(phrase: str) -> None:
    assert is_plural(phrase)


@pytest.mark.parametrize("phrase", ["k-means", "naive Bayes", "the loss of GANs", "bias", "statistics", "", "a class"])
def test_singular_phrases(phrase: str) -> None:
    assert not is_plural(phrase)


@pytest.mark.parametrize(
    ("before", "subject", "after", "expected"),
    [
        ("how are ", "a tree", " made?", "how is a tree made?"),
        ("what is ", "GANs", " used for?", "what are GANs used for?"),
        ("why, if ", "a tree", " are deep?", "why, if a tree is deep?"),
        ("How many folds should ", "a tree", " have?", "How many folds should a tree have?"),
        ("", "GANs", " is slow", "GANs are slow"),
    ],
)
def test_the_verb_agrees_with_its_subject(before: str, subject: str, after: str, expected: str) -> None:
    assert put_subject(before, subject, after) == expected


def test_only_a_leading_article_is_removed() -> None:
    assert without_article("The tree of the forest") == "tree of the forest"
    assert without_article("a") == "a"
