import pytest

from ragqa.search.small_talk import reply_to

REPLIES = [
    ("hi", "Hello!"),
    ("Hello there!", "Hello!"),
    ("Good morning, how are you?", "Hello!"),
    ("thanks", "You’re welcome!"),
    ("ok, got it, thank you very much :)", "You’re welcome!"),
    ("Thanks for the explanation 👍", "You’re welcome!"),
    ("alright, makes sense now", "Good!"),
    ("Great, that helps a lot :)", "Good!"),
    ("no", "All right."),
    ("bye, see you later", "Goodbye!"),
]
QUESTIONS = [
    "",
    "???",
    "and?",
    "so",
    "thanks, and why?",
    "hi, what is PCA?",
    "is that clear?",
    "good features",
    "hello world in PyTorch",
    "Is it good?",
    "no, I meant lasso",
    "right " * 40,
]


@pytest.mark.parametrize(("text", "start"), REPLIES)
def test_small_talk_gets_a_friendly_line(text: str, start: str) -> None:
    assert reply_to(text).startswith(start)


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_does_not(text: str) -> None:
    assert reply_to(text) == ""
