"""Texts of several requests in one run of a model: the same scores, each request its own failure, and nobody starves."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from demo_server import RelyingEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from ragqa.models.reranker import Engine, Reranker
from ragqa.search.retriever import Retriever
from ragqa.serve.batching import DEADLINE, MOST_TEXTS, BatchingEngine, SharedRuns, pair_runner
from ragqa.serve.limits import Refused
from ragqa.text.passages import full_text

Run = Callable[[Sequence[int]], np.ndarray]


class Recorder:
    """Returns each number twice as large; remembers the runs, the first of which waits until `go` is set."""

    def __init__(self) -> None:
        self.runs: list[list[int]] = []
        self.go = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> np.ndarray:
        self.runs.append(list(numbers))
        assert self.go.wait(20)
        if -1 in numbers:
            raise ValueError("minus one")
        return np.array(numbers, dtype=np.float32) * 2


def together(runs: SharedRuns[int], recorder: Recorder, *jobs: Sequence[int]) -> list[object]:
    """What each job gets if all wait while the model is busy with a first one: its rows or its error."""

    def run(numbers: Sequence[int]) -> object:
        try:
            return runs.run(numbers).tolist()
        except (ValueError, Refused) as error:
            return error

    with ThreadPoolExecutor(len(jobs) + 1) as threads:
        first = threads.submit(run, [0])
        while not recorder.runs:
            time.sleep(0.001)
        waiting = []
        for number, job in enumerate(jobs, 1):
            waiting.append(threads.submit(run, job))
            while len(runs._waiting) < number:
                time.sleep(0.001)
        recorder.go.set()
        assert first.result() == [0.0]
        return [future.result() for future in waiting]


def test_what_waits_is_read_in_one_run() -> None:
    recorder = Recorder()
    runs = SharedRuns(recorder, runners=1)
    assert together(runs, recorder, [1, 2], [3], [4, 5, 6]) == [[2, 4], [6], [8, 10, 12]]
    assert recorder.runs == [[0], [1, 2, 3, 4, 5, 6]]
    runs.close()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=5))
def test_each_request_gets_its_own_rows(sizes: list[int]) -> None:
    recorder = Recorder()
    runs = SharedRuns(recorder, runners=1)
    jobs = [list(range(1000 * number, 1000 * number + size)) for number, size in enumerate(sizes)]
    assert together(runs, recorder, *jobs) == [[2.0 * one for one in job] for job in jobs]
    assert max(map(len, recorder.runs)) <= MOST_TEXTS
    runs.close()


@settings(max_examples=20)
@given(st.lists(st.integers(1, 2000), min_size=1, max_size=6))
def test_runs_that_overlap_keep_the_order(sizes: list[int]) -> None:
    def double(numbers: Sequence[int]) -> np.ndarray:
        time.sleep(0.001 * (numbers[0] % 3))
        return np.array(numbers, dtype=np.float32) * 2

    runs: SharedRuns[int] = SharedRuns(double, runners=3)
    with ThreadPoolExecutor(len(sizes)) as threads:
        found = list(threads.map(lambda size: runs.run(range(size)), sizes))
    assert [rows.tolist() for rows in found] == [[2.0 * one for one in range(size)] for size in sizes]
    runs.close()


def test_a_small_request_does_not_wait_for_a_large_one() -> None:
    recorder = Recorder()
    runs = SharedRuns(recorder, runners=1)
    together(runs, recorder, range(100, 3000), [7])
    assert 7 in recorder.runs[1]
    runs.close()


def test_a_request_fails_only_by_its_own_texts() -> None:
    recorder = Recorder()
    runs = SharedRuns(recorder, runners=1)
    good, bad, also_good = together(runs, recorder, [1], [-1], [2])
    assert (good, also_good) == ([2.0], [4.0])
    assert isinstance(bad, ValueError)
    runs.close()


def test_a_request_that_is_late_is_dropped() -> None:
    recorder = Recorder()
    runs = SharedRuns(recorder, runners=1)
    token = DEADLINE.set(time.monotonic() + 0.05)
    try:
        with pytest.raises(Refused) as caught:
            runs.run([1])
    finally:
        DEADLINE.reset(token)
    assert caught.value.status == 504
    recorder.go.set()
    assert runs.run([2]).tolist() == [4.0]
    runs.close()


def test_a_closed_server_runs_nothing() -> None:
    runs = SharedRuns(Recorder())
    runs.close()
    with pytest.raises(Refused, match="shutting down"):
        runs.run([1])


def test_runs_are_observed() -> None:
    seen: list[tuple[int, float]] = []
    runs: SharedRuns[int] = SharedRuns(
        lambda numbers: np.zeros(len(numbers)), lambda texts, seconds: seen.append((texts, seconds))
    )
    runs.run([1, 2, 3])
    runs.close()
    assert [texts for texts, _ in seen] == [3]


def test_an_engine_of_one_question_scores_pair_by_pair() -> None:
    score = pair_runner(RelyingEngine())
    assert score([("a", "relying"), ("weather", "relying"), ("b", "")]).tolist() == [2.0, -3.0, 0.0]


def test_the_bundled_reranker_gives_the_same_scores_alone_and_together(
    starter: Retriever,
) -> None:
    reranker = Reranker.load()
    texts = [full_text(passage) for passage in starter.index.passages[:20]]
    questions = [f"what is {passage.title}?" for passage in starter.index.passages[:200:40]]
    jobs = [(question, texts[3 * number : 3 * number + 7]) for number, question in enumerate(questions)]
    alone = [reranker.score(*job) for job in jobs]
    sizes: list[int] = []
    made: list[SharedRuns[tuple[str, str]]] = []

    def join(engine: Engine) -> Engine:
        made.append(SharedRuns(pair_runner(engine), lambda texts, _: sizes.append(texts), runners=1))
        return BatchingEngine(made[0])

    shared = reranker.with_engine(join)
    assert (shared.name, shared.calibrations) == (reranker.name, reranker.calibrations)
    with ThreadPoolExecutor(len(jobs)) as threads:
        together = list(threads.map(lambda job: shared.score(*job), jobs))
    made[0].close()
    assert max(sizes) > 7
    for own, joined in zip(alone, together, strict=True):
        assert own.tobytes() == joined.tobytes()
