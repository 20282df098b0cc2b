"""Filters: what each operator means, that the result is that of the full ranking filtered, and every way to give one."""

import asyncio
import json
import math
import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragqa import Bm25Index, DenseIndex, Hit, Passage, Retriever
from ragqa.answers.answer import abstention
from ragqa.cli import main
from ragqa.demo.corpora import Corpus
from ragqa.demo.examples import examples_of
from ragqa.demo.respond import BOTH, Settings, respond, suggest_instead
from ragqa.demo.turns import Turn
from ragqa.errors import InputError
from ragqa.index.filters import Condition, Filter
from ragqa.index.folder import build_index
from ragqa.search.conversation import suggest
from ragqa.search.retriever import FUSION_RANK

ANIMALS = [
    Passage("0", "Ferret", "Food", text="Ferrets eat meat.", metadata={"year": 2020, "tags": ["pet", "weasel"]}),
    Passage("1", "Stoat", text="Stoats eat meat.", metadata={"year": 2021.5, "tags": ["weasel"], "draft": True}),
    Passage(
        "2", "Bee", "Food", text="Bees eat nectar, no meat.", metadata={"date": "2024-01-31", "year": 2022, "tags": []}
    ),
    Passage("3", "Ant", text="Ants eat meat too.", metadata={"date": "2023-12-01", "draft": False, "year": "unknown"}),
    Passage("4", "Tree", text="Trees eat no meat.", aliases=("Trees",)),
]
QUESTIONS = [
    "what is a neural network?",
    "why does dropout help?",
    "support vector machine",
    "how many trees do I need?",
]


@pytest.fixture(scope="module")
def animals() -> Retriever:
    return Retriever(Bm25Index.build(ANIMALS), None)


@pytest.fixture(scope="module")
def tagged(starter: Retriever) -> Retriever:
    """The starter corpus with metadata and without reranking."""
    assert isinstance(starter.dense, DenseIndex)
    passages = [replace(passage, metadata=metadata_of(i)) for i, passage in enumerate(starter.index.passages)]
    return Retriever(Bm25Index.build(passages), None, dense=DenseIndex(starter.dense.vectors, starter.dense.embedder))


def metadata_of(position: int) -> dict[str, Any]:
    own: dict[str, Any] = {
        "hundredth": position % 100 == 7,
        "year": 2000 + position % 25,
        "tags": [f"t{n}" for n in range(4) if position % (n + 2) == 0],
    }
    return own if position % 3 else own | {"category": "abc"[position % 9 // 3]}


def ids(hits: list[Hit]) -> str:
    return "".join(sorted(hit.passage.id for hit in hits))


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"year": 2020}, "0"),
        ({"year=": 2020.0}, "0"),
        ({"year==": [2020, 2022, 7]}, "02"),
        ({"year in": (2020, "unknown")}, "03"),
        ({"year!=": 2020}, "1234"),
        ({"year !=": [2020, 2022]}, "134"),
        ({"year<": 2021.5}, "0"),
        ({"year <=": 2021.5}, "01"),
        ({"year>": 2020}, "12"),
        ({"year>=": 2020}, "012"),
        ({"year>=": "u"}, "3"),
        ({"date>=": "2024"}, "2"),
        ({"date<": "2024"}, "3"),
        ({"tags": "weasel"}, "01"),
        ({"tags!=": "weasel"}, "234"),
        ({"tags<": "q"}, "0"),
        ({"draft": True}, "1"),
        ({"draft": False}, "3"),
        ({"draft!=": True}, "0234"),
        ({"title": ["Bee", "Ant"]}, "23"),
        ({"section": "Food"}, "02"),
        ({"section!=": "Food"}, "134"),
        ({"aliases": "Trees"}, "4"),
        ({"id<=": "1"}, "01"),
        ({"year>": 2020, "tags": "weasel"}, "1"),
        ({}, "01234"),
        (Filter.parse(["year>=2021", "draft!=true"]), "23"),  # "unknown" is a string, and comes after "2021"
        (Filter.parse(["year in 2020, unknown"]), "03"),
        (Filter.parse(["date >= 2024"]), "2"),
        (Filter.parse(["draft=true"]), "1"),
        (Filter((Condition("tags", "=", ("pet",)), Condition("tags", "=", ("weasel",)))), "0"),
    ],
)
def test_each_operator(animals: Retriever, where: Any, found: str) -> None:
    assert ids(animals.search("meat", where=where)) == found


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (
            {"yaer": 1},
            "where: no passage has the key 'yaer'; there are year, date, draft, tags, id, title, section, url, about",
        ),
        ({"text": "x"}, "where: no passage has the key 'text'; there are "),
        ({"draft": 1}, "where: 'draft' holds bools, and 1 is not one"),
        ({"year": True}, "where: 'year' holds numbers and strings, and True is not one"),
        ({"draft<": True}, "where: 'draft' < True: a bool has no order; use = or !="),
        ({"year>": [1, 2]}, "where: 'year' > has a list; give one value"),
        ({"year in": 1}, "where: 'year' in has 1; give a list of values"),
        ({"year": []}, "where: 'year' has no value; give at least one"),
        ({"year": None}, "where: 'year' is NoneType, not str, int, float or bool"),
        ({">": 1}, "where: the key '>' is no name; give one that metadata have, such as category"),
        ({3: 1}, "where: the key 3 is no name"),
        (["year=1"], 'where is list; give a mapping such as {"category": "physics"}'),
    ],
)
def test_what_is_no_filter_is_named_in_one_line(animals: Retriever, where: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        animals.search("meat", where=where)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_text_that_is_no_condition_is_named() -> None:
    for text in ("category", "=x", ""):
        with pytest.raises(InputError, match=f"where: '{text}' is no condition; give one such as category=physics"):
            Filter.parse([text])
    with pytest.raises(InputError, match="where: there is no operator '~'; there are =, !="):
        Condition("a", "~", ("b",))


def test_a_filter_reads_like_what_was_given() -> None:
    assert str(Filter.parse(["a=b=c", "year>=2024", "x in 1,true"])) == "a = b=c and year >= 2024 and x = 1, true"
    assert pickle.loads(pickle.dumps(Filter.of({"a": 1}))) == Filter.of({"a": 1})


def meets(passage: Passage, where: Mapping[str, Any]) -> bool:
    """The meaning of the filters below, written again for one passage."""
    own = passage.metadata
    rules: dict[str, Callable[[Any], bool]] = {
        "hundredth": lambda value: own["hundredth"] is value,
        "year>=": lambda value: own["year"] >= value,
        "year<": lambda value: own["year"] < value,
        "tags": lambda value: bool(set(value) & set(own["tags"])),
        "category": lambda value: own.get("category") in value,
        "category!=": lambda value: own.get("category") != value,
        "title>": lambda value: passage.title > value,
    }
    return all(rules[key](value) for key, value in where.items())


WHERES = st.fixed_dictionaries(
    {},
    optional={
        "hundredth": st.booleans(),
        "year>=": st.integers(1999, 2026),
        "year<": st.floats(1999, 2026),
        "tags": st.lists(st.sampled_from(["t0", "t1", "t2", "t9"]), min_size=1),
        "category": st.lists(st.sampled_from("abcd"), min_size=1),
        "category!=": st.sampled_from("abc"),
        "title>": st.sampled_from("AKZ"),
    },
)


@given(WHERES, st.sampled_from(QUESTIONS), st.sampled_from([1, 10, 40, 150]))
def test_the_hits_are_those_of_the_full_ranking_filtered(
    tagged: Retriever, where: dict[str, Any], question: str, k: int
) -> None:
    passages = list(tagged.index.passages)
    assert isinstance(tagged.index, Bm25Index)
    assert isinstance(tagged.dense, DenseIndex)
    bm25, cosines = tagged.index.scores(question).tolist(), tagged.dense.scores(question).tolist()
    met = [i for i, passage in enumerate(passages) if meets(passage, where)]
    depth = max(k, 100)
    by_bm25 = sorted((i for i in met if bm25[i] > 0), key=lambda i: (-bm25[i], passages[i].id))[:depth]
    near = sorted(met, key=lambda i: (-cosines[i], passages[i].id))[:depth]
    fused: dict[int, float] = {}
    for ranking in (by_bm25, near):
        for rank, i in enumerate(ranking, 1):
            fused[i] = fused.get(i, 0.0) + 1 / (FUSION_RANK + rank)
    expected = sorted(fused, key=lambda i: (-fused[i], passages[i].id))[: max(k, tagged.candidates)]

    hits, near_hits = tagged.find(question, k, where=where)
    assert [(hit.passage, hit.bm25_score) for hit in hits] == [(passages[i], bm25[i]) for i in expected]
    assert [hit.score for hit in hits] == [pytest.approx(fused[i]) for i in expected]
    assert near_hits is not None
    assert near_hits.tolist() == [cosines[i] for i in expected]
    assert [hit.bm25_rank for hit in hits if hit.bm25_score] == [
        by_bm25.index(i) + 1 if i in by_bm25 else sum(bm25[j] > bm25[i] for j in met) + 1 for i in expected if bm25[i]
    ]
    words = Retriever(tagged.index, None).search(question, k, where=where)
    assert [hit.passage for hit in words] == [passages[i] for i in by_bm25[:k]]
    assert [(p, s) for p, s in tagged.index.search(question, k, where=where)] == [
        (passages[i], bm25[i]) for i in by_bm25[:k]
    ]


def test_a_filter_changes_nothing_else(tagged: Retriever) -> None:
    where = {"category": ["a"]}
    before = [tagged.find(question)[0] for question in QUESTIONS]
    assert tagged.search(QUESTIONS[0], where=where)
    assert where == {"category": ["a"]}
    assert [tagged.find(question)[0] for question in QUESTIONS] == before
    assert tagged.find(QUESTIONS[0], where={})[0] == before[0]
    assert not any(math.isinf(hit.score) for hit in tagged.search(QUESTIONS[0], 2000, where=where))


def test_a_mask_is_kept_and_cannot_be_changed(tagged: Retriever) -> None:
    one = tagged.index.mask({"year": 2001})
    assert isinstance(one, np.ndarray)
    assert tagged.index.mask({"year": 2001}) is one
    for year in range(2000, 2025):
        for other in range(2000, 2005):
            assert tagged.index.mask({"year": [year, other]}) is not None
    again = tagged.index.mask({"year": 2001})
    assert isinstance(again, np.ndarray)
    assert (again == one).all()
    with pytest.raises(ValueError, match="read-only"):
        one[0] = True  # type: ignore[index]


def test_a_filter_of_the_retriever_holds_for_every_question(animals: Retriever) -> None:
    narrowed = Retriever(animals.index, None, where={"tags": "weasel"})
    for same in (narrowed, pickle.loads(pickle.dumps(narrowed))):
        assert ids(same.search("meat")) == "01"
        assert ids(same.search("meat", where={"year>": 2020})) == "1"
        assert same.ask("meat", where={"title": "Stoat"}).text == "Stoats eat meat."
    assert ids(asyncio.run(narrowed.asearch("meat", where={"year>": 2020}))) == "1"
    with pytest.raises(InputError, match="no passage has the key 'tag'; there are tags,"):
        Retriever(animals.index, None, where={"tag": "weasel"})


def test_answers_quote_only_what_meets_the_filter(starter: Retriever) -> None:
    where = {"title": ["Overfitting", "Random forest"]}
    answer = starter.ask("why does dropout help?", where=where, threshold=0.0)
    assert answer.quotes
    assert {hit.passage.title for hit in answer.hits} <= set(where["title"])
    assert asyncio.run(starter.aask("why does dropout help?", where=where, threshold=0.0)) == answer


def test_an_empty_result_says_so_in_one_line(starter: Retriever, animals: Retriever) -> None:
    for retriever in (starter, animals):
        answer = retriever.ask("what do ferrets eat?", where={"title": "No such page", "section": "Food"})
        assert answer.abstained
        assert not answer.hits
        assert abstention(answer) == "No passage meets the filter: title = No such page and section = Food."


def test_suggestions_come_from_what_meets_the_filter(starter: Retriever) -> None:
    answer = starter.ask("why does dropout help?")
    every = suggest(answer, starter.index)
    own = suggest(answer, starter.index, where={"title": answer.hits[0].passage.title})
    assert len(every) == 3
    assert own
    for question in own:
        found = starter.index.search(question, 5, where={"title": answer.hits[0].passage.title})
        assert found
    assert suggest(answer, starter.index, where={"title": "Random forest"}) == []


def test_the_chat_answers_and_suggests_from_what_meets_the_filter(starter: Retriever) -> None:
    titles = ["Random forest", "Overfitting"]
    narrowed = Retriever(starter.index, starter.reranker, dense=starter.dense, where={"title": titles})
    corpus = Corpus(narrowed)
    *_, turn = respond("what is dropout?", corpus, Settings(ranking=BOTH), [])
    assert turn.answer is not None
    assert turn.answer.hits
    assert {hit.passage.title for hit in (*turn.answer.hits, *turn.bm25)} <= set(titles)
    assert set(corpus.contents().answering) == set(titles)
    assert len(corpus.contents().pages) > 100
    asked = [*suggest_instead(corpus, ""), *examples_of(corpus)]
    assert asked
    for question in asked:
        best, _ = narrowed.index.search(question, 1, where=narrowed.where)[0]
        assert best.title in titles


def test_the_settings_of_the_chat_hold_a_filter(starter: Retriever) -> None:
    corpus = Corpus(starter)

    def ask(*conditions: str) -> Turn:
        return [*respond("how do I avoid overfitting?", corpus, Settings(where=conditions), [])][-1]

    turn = ask("title=Random forest")
    assert turn.answer is not None
    assert {hit.passage.title for hit in turn.answer.hits} == {"Random forest"}
    nothing = ask("title=Random forest", "section=Nowhere").answer
    assert nothing is not None
    assert abstention(nothing) == "No passage meets the filter: title = Random forest and section = Nowhere."
    assert ask("titel=Random forest").failed.startswith("Where: no passage has the key 'titel'; ")
    assert ask("Random forest").failed.startswith("Where: 'Random forest' is no condition; ")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("filters") / "index"
    build_index(folder, ANIMALS)
    return folder


def run(*arguments: str) -> int:
    try:
        return main([*arguments])
    except SystemExit as end:
        return int(end.code or 0)


def test_the_command_line_filters(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("ask", "what eats meat?", "--index", str(folder), "--bm25-only", "--json")
    assert run(*asked, "--where", "year>=2021", "--where", "tags=weasel") == 0
    found = json.loads(capsys.readouterr().out)
    assert [hit["passage"]["id"] for hit in found["hits"]] == ["1"]
    assert found["hits"][0]["passage"]["metadata"] == {"year": 2021.5, "tags": ["weasel"], "draft": True}


@pytest.mark.parametrize(
    ("where", "status", "message"),
    [
        ("title=Cow", 3, "No passage meets the filter: title = Cow."),
        ("yaer=2021", 1, "where: no passage has the key 'yaer'; there are year,"),
        ("year", 1, "where: 'year' is no condition; give one such as category=physics"),
    ],
)
def test_the_command_line_says_what_is_wrong(
    folder: Path, capsys: pytest.CaptureFixture[str], where: str, status: int, message: str
) -> None:
    assert run("ask", "what eats meat?", "--index", str(folder), "--bm25-only", "--where", where) == status
    printed = capsys.readouterr()
    assert message in (printed.out if status == 3 else printed.err)


def test_the_chat_does_not_start_without_passages(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("demo", "--index", str(folder), "--bm25-only", "--port", "0", "--where", "title=Cow") == 1
    assert "--where: no passage meets title = Cow; give another condition" in capsys.readouterr().err
