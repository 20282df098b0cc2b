"""A follow-up question and its conversation in, the whole question in a language model's words out.

The rules (`conversation`) decide what a follow-up is, since models also rewrite questions that stand alone. What a model writes
is used only if it names the topic and adds at most one word of its own; otherwise the rules' question stays.
"""

from collections.abc import Sequence

from ragqa.answers.language_model import LanguageModel, Message
from ragqa.answers.plain_text import plain_text
from ragqa.answers.prompt import one_line
from ragqa.records import Answer
from ragqa.text.analyzer import usual_analyzer

_INSTRUCTIONS = """Rewrite the last question so that it can be understood without the conversation.
- Replace words such as "it", "they" and "the other one" by what they stand for.
- Keep the meaning and the words of the last question. Do not answer it.
- Write one question and nothing else."""
_EXAMPLE = (
    "Question: Why are there tides?\n"
    "Answer: Tides rise and fall because the Moon pulls the near side of the ocean harder than the far side.\n"
    "Last question: and how often do they come?"
)
_EXAMPLE_REPLY = "How often do tides come?"
_TURNS = 3  # earlier questions that are sent
_ANSWER_CHARS = 300
_MOST_CHARS = 200
_MOST_NEW_TERMS = 1  # terms of a rewritten question that do not occur in the conversation


def restate(model: LanguageModel, question: str, by_rules: str, earlier: Sequence[Answer]) -> str:
    """Return `by_rules`, which is `standalone(question, earlier)`, for a follow-up in the words of a language model.

    The model is not asked if the question can be understood alone. Raises `WriterError` if its server fails.
    """
    if by_rules == question:
        return question
    asked = _messages(question, [answer for answer in earlier if answer.hits][-_TURNS:])
    restated = _first_line("".join(model.complete(asked)))
    return restated if _is_usable(restated, question, by_rules, earlier) else by_rules


def _messages(question: str, earlier: Sequence[Answer]) -> list[Message]:
    return [
        {"role": "system", "content": _INSTRUCTIONS},
        {"role": "user", "content": _EXAMPLE},
        {"role": "assistant", "content": _EXAMPLE_REPLY},
        {"role": "user", "content": "\n".join([*map(_told, earlier), f"Last question: {one_line(question)}"])},
    ]


def _told(answer: Answer) -> str:
    return f"Question: {one_line(answer.question)}\nAnswer: {one_line(answer.text)[:_ANSWER_CHARS]}"


def _first_line(written: str) -> str:
    """Return the question that a model's output begins with, without quotation marks and labels."""
    line = next(iter(plain_text(written).splitlines()), "").removeprefix("Question: ").strip(" \"'“”")
    return line if not line or line.endswith("?") else f"{line.rstrip('.!')}?"


def _is_usable(restated: str, question: str, by_rules: str, earlier: Sequence[Answer]) -> bool:
    if not restated or len(restated) > _MOST_CHARS or restated.count("?") > 1:
        return False
    terms = usual_analyzer().question_terms
    written, typed = set(terms(restated)), set(terms(question))
    known = {term for answer in earlier for term in terms(f"{answer.question} {answer.text}")} | set(terms(by_rules))
    topic = set(terms(by_rules)) - typed
    return len(written - known - typed) <= _MOST_NEW_TERMS and (not topic or not topic.isdisjoint(written))
