from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pytest

from ragqa.errors import CorpusError, InputError
from ragqa.evaluation.judged import Judged, read_starter
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.records import Page, Pair, Passage
from ragqa.text.passages import full_text, split_windows
from ragqa.text.questions import reference_question
from ragqa.training.dataset import (
    SPLITS,
    Example,
    ExampleSet,
    PairConfig,
    build,
    build_reference,
    check_questions,
    choose_splits,
    from_judged,
    from_passages,
    keep_apart,
    split_by_page,
    split_of,
)

ALL_IN_TRAIN = (1.0, 0.0, 0.0)
Pairs = dict[str, list[Pair]]


@pytest.fixture(scope="module")
def starter(starter_passages: tuple[Passage, ...]) -> ExampleSet:
    return from_passages(starter_passages)


@pytest.fixture(scope="module")
def starter_pairs(starter: ExampleSet) -> Pairs:
    return build([starter], PairConfig())


def _pages(count: int, passages: int = 6) -> list[Passage]:
    return [
        Passage(f"{n}#{m}", f"Page {n}", start=m * 10, end=m * 10 + 9, text=f"kernel {n} {m}", url=f"https://a.org/{n}")
        for n in range(count)
        for m in range(passages)
    ]


def _only_negatives(source: ExampleSet, **settings: object) -> list[str]:
    pairs = build([source], PairConfig(parts=ALL_IN_TRAIN, **settings))  # type: ignore[arg-type]
    return [pair.passage for pair in pairs["train"] if pair.label == 0]


def _titles(pairs: Iterable[Pair], passages: Iterable[Passage]) -> set[str]:
    by_text = {full_text(p): p.title for p in passages}
    return {by_text[pair.passage] for pair in pairs}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"negatives": 0}, "negatives is 0; at least 1 is needed"),
        ({"shares": (0, 0, 0)}, r"shares is \(0, 0, 0\); 3 numbers of at least 0 are needed, not all 0"),
        ({"shares": (1, 1)}, "shares is"),
        ({"shares": (1, -1, 1)}, "shares is"),
        ({"parts": (0, 0, 0)}, "parts is"),
        ({"parts": (1, 1, 1, 1)}, "parts is"),
        ({"parts": (2, 1, -1)}, "parts is"),
    ],
)
def test_a_config_that_means_nothing_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        PairConfig(**settings)  # type: ignore[arg-type]


def test_every_question_has_a_positive_first_and_at_most_three_negatives_for_each(starter_pairs: Pairs) -> None:
    for pairs in starter_pairs.values():
        by_question: dict[str, list[float]] = {}
        for pair in pairs:
            by_question.setdefault(pair.question, []).append(pair.label)
        for labels in by_question.values():
            positives = sum(label == 1 for label in labels)
            assert labels[0] == 1
            assert 1 <= len(labels) - positives <= 3 * positives
            assert positives > 1 or len(labels) == 4


def test_no_pair_is_there_twice(starter_pairs: Pairs) -> None:
    for pairs in starter_pairs.values():
        assert len({(pair.question, pair.passage) for pair in pairs}) == len(pairs)


def test_no_pair_has_both_labels(starter_pairs: Pairs) -> None:
    pairs = [pair for split in SPLITS for pair in starter_pairs[split]]
    positives = {(p.question, p.passage) for p in pairs if p.label == 1}
    assert not positives & {(p.question, p.passage) for p in pairs if p.label == 0}


def test_no_page_is_in_two_splits(starter_pairs: Pairs, starter_passages: tuple[Passage, ...]) -> None:
    titles = {split: _titles(starter_pairs[split], starter_passages) for split in SPLITS}
    assert all(titles.values())
    assert all(not titles[one] & titles[other] for one, other in combinations(SPLITS, 2))
    assert len(titles["train"]) > 0.6 * sum(map(len, titles.values()))


def test_a_question_over_several_pages_stays_in_one_split() -> None:
    passages = _pages(20)
    examples = [Example(f"question {n}?", tuple(passages[n :: len(passages) // 4])) for n in range(10)]
    source = ExampleSet(tuple(passages), tuple(examples))
    config = PairConfig(parts=(1, 1, 1))
    pairs = build([source], config)
    titles = {split: _titles(pairs[split], passages) for split in SPLITS}
    assert all(not titles[one] & titles[other] for one, other in combinations(SPLITS, 2))
    assert sum(p.label == 1 for split in SPLITS for p in pairs[split]) >= len(examples)
    assert all(example.positives for own in split_by_page(source, config).values() for example in own.examples)


def test_the_same_seed_gives_the_same_pairs_and_another_gives_others(starter: ExampleSet, starter_pairs: Pairs) -> None:
    assert build([starter], PairConfig(seed=42)) == starter_pairs
    assert build([starter], PairConfig(seed=43)) != starter_pairs


def test_a_page_stays_in_its_split_whatever_else_is_there(starter: ExampleSet, starter_pairs: Pairs) -> None:
    half = ExampleSet(starter.passages, starter.examples[::2])
    own = {split: {p for p in pairs if p.label == 1} for split, pairs in build([half], PairConfig()).items()}
    assert all(own[split] <= set(starter_pairs[split]) for split in SPLITS)


def test_progress_is_told_of_every_example(starter: ExampleSet) -> None:
    seen: list[Example] = []
    some = ExampleSet(starter.passages, starter.examples[:5])
    build([some], PairConfig(), seen.append)
    assert sorted(e.question for e in seen) == sorted(e.question for e in some.examples)


def test_several_sources_are_joined() -> None:
    passages = _pages(4)
    sources = [ExampleSet(tuple(passages), (Example(q, (passages[0],)),)) for q in ("one?", "two?")]
    pairs = build(sources, PairConfig(parts=ALL_IN_TRAIN))["train"]
    assert [pair.question for pair in pairs if pair.label == 1] == ["one?", "two?"]


def test_negatives_from_the_page_are_all_of_the_page_while_it_has_enough() -> None:
    passages = _pages(30)
    source = ExampleSet(tuple(passages), tuple(Example(f"q{n}", (passages[6 * n],)) for n in range(30)))
    pairs = build([source], PairConfig(shares=(0, 1, 0), negatives=5, parts=ALL_IN_TRAIN))["train"]
    for n in range(30):
        assert {p.passage for p in pairs if p.question == f"q{n}"} == {
            full_text(p) for p in passages[6 * n : 6 * n + 6]
        }


def test_random_negatives_fill_what_the_page_cannot_give() -> None:
    passages = _pages(30, passages=2)
    negatives = _only_negatives(
        ExampleSet(tuple(passages), (Example("q", (passages[0],)),)), shares=(0.0, 1.0, 0.0), negatives=3
    )
    assert negatives[0] == full_text(passages[1])
    assert len(set(negatives)) == 3


def test_hard_negatives_are_its_best_where_the_answer_is_known() -> None:
    passages = _pages(30)
    wanted = Passage("x", "Trees", text="a kernel trick, named by Vapnik", url="https://a.org/x")
    near = [Passage(f"n{n}", f"Near {n}", text=f"a kernel trick {n}") for n in range(3)]
    source = ExampleSet((*passages, wanted, *near), (Example("kernel trick?", (wanted,), ("Vapnik",)),))
    negatives = _only_negatives(source, shares=(0.0, 0.0, 1.0))
    assert set(negatives) == {full_text(p) for p in near}


def test_hard_negatives_skip_its_first_hits_and_the_page_where_no_answer_is_known() -> None:
    passages = _pages(30)
    near = [Passage(f"n{n}", "Near", text="a kernel trick") for n in range(5)]
    source = ExampleSet((*passages, *near), (Example("kernel trick?", (passages[0],)),))
    negatives = _only_negatives(source, shares=(0.0, 0.0, 1.0))
    assert len(negatives) == 3
    assert not set(negatives) & {full_text(p) for p in near}
    assert not any(text.startswith("Page 0:") for text in negatives)


def test_the_shares_of_the_kinds_are_followed() -> None:
    passages = _pages(100)
    source = ExampleSet(tuple(passages), tuple(Example(f"q{n}", (passages[6 * n],)) for n in range(100)))
    pairs = build([source], PairConfig(shares=(3, 1, 0), negatives=2, parts=ALL_IN_TRAIN))["train"]
    own = sum(pair.passage.startswith(f"Page {pair.question[1:]}:") for pair in pairs if pair.label == 0)
    assert 30 <= own <= 75  # a quarter of 200, and the few that are of the page by chance


def test_what_may_answer_is_never_a_negative() -> None:
    url = "https://a.org/A?oldid=1"
    positive = Passage("A#0", "A", start=0, end=50, text="Dropout drops units.", url=url)
    unfit = [
        Passage("A#1", "A", start=40, end=60, text="units. Then", url=f"{url}#Use"),
        Passage("B#0", "B", text="dropout DROPS units."),
        Passage("C#0", "C", text="It was in TORONTO, in 2012."),
    ]
    fit = [
        Passage("A#2", "A", start=50, end=60, text="Then more.", url=url),
        Passage("D#0", "D", start=0, end=50, text="Something else.", url="https://a.org/D"),
    ]
    source = ExampleSet((positive, *unfit, *fit), (Example("where was dropout?", (positive,), ("in Toronto",)),))
    for seed in range(20):
        for shares in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)):
            negatives = _only_negatives(source, shares=shares, seed=seed, negatives=6)
            assert negatives
            assert set(negatives) <= {full_text(p) for p in fit}


def test_questions_of_two_pages_are_left_out() -> None:
    passages = [
        Passage("1", "Perceptron", text="A perceptron is a linear classifier."),
        Passage("2", "Rosenblatt", text="A perceptron is a machine. A cat is a pet."),
        Passage("3", "Rosenblatt", "Examples", text="A cat is an animal."),
    ]
    source = from_passages(passages)
    assert {e.question: [p.id for p in e.positives] for e in source.examples} == {
        "What is a cat?": ["2", "3"],
        "What is Rosenblatt?": ["2"],
    }
    assert source.passages == tuple(passages)


def test_without_a_question_there_is_no_dataset() -> None:
    with pytest.raises(CorpusError, match="no question can be generated"):
        from_passages([Passage("1", "List of things", text="Nothing.")])


def test_judged_questions_bring_their_answers() -> None:
    passages = tuple(_pages(2, passages=2))
    judged = Judged("j", passages, {"q": "why?"}, {"q": {"0#1": 1, "0#0": 2}}, {"q": ("because",)})
    example = Example("why?", (passages[0], passages[1]), ("because",), (1.0, 0.5))
    assert from_judged(judged) == ExampleSet(passages, (example,))


def test_rejected_passages_are_negatives_and_the_others_are_marked_as_drawn() -> None:
    passages = tuple(_pages(20))
    judged = Judged(
        "j", passages, {"q": "kernel?"}, {"q": {"0#1": 2, "3#0": 1}}, {}, rejected={"q": frozenset({"5#2"})}
    )
    pairs = build([from_judged(judged)], PairConfig(parts=ALL_IN_TRAIN))["train"]
    labels = {pair.passage: (pair.label, pair.drawn) for pair in pairs}
    by_id = {p.id: full_text(p) for p in passages}
    assert [labels[by_id[i]] for i in ("0#1", "3#0", "5#2")] == [(1.0, False), (0.5, False), (0.0, False)]
    others = [found for passage, found in labels.items() if passage not in {by_id[i] for i in ("0#1", "3#0", "5#2")}]
    assert len(others) >= 4
    assert set(others) == {(0.0, True)}


def test_an_embedder_finds_hard_negatives_beside_bm25(word_embedder: Embedder) -> None:
    passages = _pages(30)
    wanted = Passage("x", "Trees", text="a kernel trick, named by Vapnik")
    unseen = Passage("u", "Other", text="kernels tricks")  # BM25 takes it for the same words, the embedder does not
    source = ExampleSet(
        (*passages, wanted, unseen), (Example("kernels tricks", (wanted,), ("Vapnik",)),), word_embedder
    )
    assert source.hard["kernels tricks"][0] == unseen
    assert len({p.id for p in source.hard["kernels tricks"]}) == len(source.hard["kernels tricks"])


def test_no_negative_of_the_starter_questions_holds_their_answer() -> None:
    judged = read_starter()
    pairs = build([from_judged(judged)], PairConfig(shares=(0, 0, 1)))
    answers = {judged.questions[key]: answer[0].casefold() for key, answer in judged.answers.items()}
    negatives = [p for split in SPLITS for p in pairs[split] if p.label == 0]
    assert len(negatives) > 900
    assert [p.question for p in negatives if answers[p.question] in p.passage.casefold()] == []


def test_the_split_of_a_page_depends_on_title_and_seed_alone() -> None:
    config = PairConfig(parts=(1, 1, 1))
    assert split_of(Passage("1", "A", text="x"), config) == split_of(Passage("2", "A", text="y"), config)
    splits = {split_of(Passage("1", f"Page {n}"), config) for n in range(50)}
    assert splits == set(SPLITS)
    assert {split_of(Passage(str(n), ""), config) for n in range(50)} == set(SPLITS)
    assert {split_of(Passage("1", f"{n}"), PairConfig(parts=(0, 1, 0))) for n in range(50)} == {"eval"}


def test_the_reference_recipe_gives_each_window_one_negative(starter_pages: tuple[Page, ...]) -> None:
    windows = [window for page in starter_pages[:30] for window in split_windows(page)]
    config = PairConfig()
    pairs = build_reference(windows, config)
    assert pairs == build_reference(windows, config)
    assert pairs != build_reference(windows, PairConfig(seed=1))
    for split in SPLITS:
        own = [w for w in windows if split_of(w, config) == split]
        assert [p.passage for p in pairs[split][::2]] == [w.text for w in own]
        assert [p.label for p in pairs[split]] == [1.0, 0.0] * len(own)
        for positive, negative in zip(pairs[split][::2], pairs[split][1::2], strict=True):
            assert positive.question == negative.question == reference_question(positive.passage)
            assert negative.passage != positive.passage
            assert negative.passage in {w.text for w in own}


def test_the_reference_recipe_needs_two_windows() -> None:
    with pytest.raises(CorpusError, match="at least two windows"):
        build_reference(split_windows(Page("A", text="x")), PairConfig(parts=ALL_IN_TRAIN))


def test_passages_without_a_title_are_pages_of_their_own() -> None:
    passages = tuple(Passage(f"d{n}", "", text=f"kernel number{n}") for n in range(40))
    judged = Judged("toy", passages, {"q": "kernel number3"}, {"q": {"d3": 1}}, {})
    for shares in ((0, 0, 1), (0, 1, 0)):
        assert len(_only_negatives(from_judged(judged), shares=shares, negatives=5)) == 5


def test_the_rest_of_a_section_is_never_a_negative() -> None:
    passages = [
        Passage(f"{n}", "Robot", section, text=f"A robot has {section.lower() or 'parts'}, part {n}.")
        for n, section in enumerate(["", "History", "History", "History", "Legs", "Arms"])
    ]
    source = from_passages(passages)
    (example,) = [e for e in source.examples if e.question == "What is the history of robots?"]
    assert [p.id for p in example.positives] == ["1"]
    assert [p.id for p in example.left_out] == ["2", "3"]
    for seed in range(10):
        negatives = _only_negatives(ExampleSet(source.passages, (example,)), shares=(1, 1, 1), seed=seed, negatives=5)
        assert negatives
        assert not any(text.startswith("Robot - History") for text in negatives)


def test_a_near_copy_of_the_positive_is_no_negative() -> None:
    text = "The learning rate sets the size of each step that gradient descent takes along the slope of a loss."
    positive = Passage("1", "Learning rate", text=text)
    copy = Passage("2", "Step size", text=text.replace("sets", "gives"))
    other = Passage("3", "Cats", text="Cats sleep most of the day, and hunt most of the night, wherever they live.")
    source = ExampleSet((positive, copy, other), (Example("what is it?", (positive,)),))
    assert set(_only_negatives(source, shares=(1, 1, 1), negatives=6, skip=0)) == {full_text(other)}


def test_a_page_with_too_few_passages_takes_negatives_from_sibling_pages() -> None:
    passages = _pages(30)
    wanted = Passage("x", "Trees", text="a kernel trick")
    near = [Passage(f"n{n}", "Forests", text=f"a kernel trick {n}") for n in range(8)]
    source = ExampleSet((*passages, wanted, *near), (Example("kernel trick?", (wanted,)),))
    negatives = _only_negatives(source, shares=(0, 1, 0), negatives=3)
    assert len(negatives) == 3
    assert all(text.startswith("Forests: ") for text in negatives)


class _Judge:
    """Takes a passage with the word "yes" for an answer."""

    def logits(self, question: str, texts: Sequence[str]) -> np.ndarray:
        return np.array([2.0 if "yes" in text else -2.0 for text in texts], dtype=np.float32)


def test_a_passage_that_the_reranker_takes_for_an_answer_is_no_negative() -> None:
    wanted = Passage("x", "Trees", text="yes, a kernel")
    others = [Passage(f"{n}", f"Page {n}", text=f"{'yes' if n % 2 else 'no'}, kernel {n}") for n in range(12)]
    source = ExampleSet((wanted, *others), (Example("kernel?", (wanted,)),), reranker=Reranker(_Judge(), "judge"))
    negatives = _only_negatives(source, shares=(1, 1, 1), negatives=5, skip=0)
    assert negatives
    assert not any("yes" in text for text in negatives)


def test_questions_that_do_not_find_their_passage_are_dropped() -> None:
    passages = _pages(10)
    found = Passage("x", "Trees", text="yes, a decision tree splits")
    source = ExampleSet(
        (*passages, found, Passage("y", "Cats", text="no, a cat")),
        (
            Example("what does a decision tree do?", (found,)),
            Example("what is a dog?", (passages[0],)),
            Example("what is a cat?", (Passage("y", "Cats", text="no, a cat"),)),
        ),
        reranker=Reranker(_Judge(), "judge"),
    )
    seen: list[Example] = []
    kept, dropped = check_questions(source, seen.append)
    assert [example.question for example in kept.examples] == ["what does a decision tree do?"]
    assert dropped == {"not_found": 1, "not_answered": 1}
    assert len(seen) == 3
    with pytest.raises(CorpusError, match="no generated question finds its own passage"):
        check_questions(ExampleSet(source.passages, source.examples[1:2]))


@pytest.mark.parametrize("pages", [3, 4, 5, 8])
def test_few_pages_give_every_split_a_page_with_questions(pages: int) -> None:
    passages = _pages(pages)
    source = ExampleSet(tuple(passages), tuple(Example(f"q{p.id}", (p,)) for p in passages))
    for seed in range(20):
        config = PairConfig(seed=seed, negatives=1)
        made = split_by_page(source, config)
        assert set(made) == set(SPLITS)
        assert len(made["train"].examples) == max(len(own.examples) for own in made.values())


def test_splits_are_balanced_by_questions_not_by_pages() -> None:
    passages = _pages(20)
    questions = [Example(f"q{n}", (passages[0],)) for n in range(100)] + [
        Example(f"r{n}", (passages[6 * n],)) for n in range(1, 20)
    ]
    source = ExampleSet(tuple(passages), tuple(questions))
    config = PairConfig(parts=(1, 1, 1), seed=3)
    splits = choose_splits([source], config)
    assert set(splits.values()) == set(SPLITS)
    assert splits == choose_splits([source], config)


def test_a_text_that_two_pages_share_stays_in_one_split() -> None:
    one, other = Pair("a?", "Same text.", 1.0), Pair("b?", "Other text.", 0.0)
    kept = keep_apart({"train": [one], "eval": [Pair("c?", "same TEXT.", 1.0), other], "test": []})
    assert kept == {"train": [one], "eval": [other], "test": []}
    with pytest.raises(CorpusError, match="every passage of the eval split is in another split too"):
        keep_apart({"train": [one], "eval": [Pair("c?", "same text.", 1.0)], "test": []})


def test_the_reference_style_has_no_text_in_two_splits() -> None:
    windows = [Passage(f"{n}", f"Page {n}", text="the same window" if n % 3 == 0 else f"window {n}") for n in range(60)]
    pairs = build_reference(windows, PairConfig(parts=(1, 1, 1)))
    texts = {split: {pair.passage for pair in pairs[split]} for split in SPLITS}
    assert all(texts.values())
    assert all(not texts[one] & texts[other] for one, other in combinations(SPLITS, 2))
