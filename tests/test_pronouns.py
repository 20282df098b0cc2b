import time

import pytest

from ragqa.search.pronouns import replace_pronoun
from ragqa.search.topics import Topic

ONE = Topic("a random forest")
TWO = Topic("bagging and boosting", ("bagging", "boosting"))

REPLACED = [
    ("who invented it?", ONE, "who invented a random forest?"),
    ("how do I defend against them?", ONE, "how do I defend against a random forest?"),
    ("which layers does it have?", ONE, "which layers does a random forest have?"),
    ("what are its limits?", ONE, "what are a random forest's limits?"),
    ("does this help?", ONE, "does a random forest help?"),
    ("is that fast?", ONE, "is a random forest fast?"),
    ("is it possible to prune it?", ONE, "is it possible to prune a random forest?"),
    ("how do the two differ?", TWO, "how do bagging and boosting differ?"),
    ("is the former better?", TWO, "is bagging better?"),
    ("when should I use the second one?", TWO, "when should I use boosting?"),
    ("is the simpler one faster?", TWO, "is the simpler one of bagging and boosting faster?"),
    ("how are they made?", ONE, "how is a random forest made?"),
    ("how do they learn?", TWO, "how do bagging and boosting learn?"),
    ("what are leaves in it?", ONE, "what are leaves in a random forest?"),
    ("what does voting mean there?", ONE, "what does voting mean in a random forest?"),
    ("how do I find a good one?", ONE, "how do I find a good random forest?"),
    ("why do I need one if I have a tree?", ONE, "why do I need a random forest if I have a tree?"),
]
KEPT = [
    ("what is bagging and does it help?", ONE),
    ("is it true that trees overfit?", ONE),
    ("how long does it take to train trees?", ONE),
    ("which one is faster?", ONE),
    ("is the former better?", ONE),
    ("is the simpler one faster?", ONE),
    ("which one of depth and width matters?", TWO),
    ("how are trees pruned?", ONE),
]


@pytest.mark.parametrize(("question", "topic", "expected"), REPLACED)
def test_a_pronoun_without_a_meaning_is_replaced(question: str, topic: Topic, expected: str) -> None:
    assert replace_pronoun(question, topic) == expected


@pytest.mark.parametrize(("question", "topic"), KEPT)
def test_others_are_not(question: str, topic: Topic) -> None:
    assert replace_pronoun(question, topic) is None


@pytest.mark.parametrize("part", ["it ", "is it to ", "which one of ", "it for ", "a one ", "it, "])
def test_no_question_takes_long(part: str) -> None:
    started = time.perf_counter()
    replace_pronoun(part * (2000 // len(part)), TWO)
    assert time.perf_counter() - started < 0.5
