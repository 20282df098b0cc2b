"""Many search an index while it is updated again and again: every answer is one that some generation gives."""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Event
from pathlib import Path

from ragqa.index.bm25 import Bm25Index
from ragqa.index.folder import build_index, update_index
from ragqa.records import Passage

THREADS, PROCESSES, UPDATES = 32, 4, 50
QUESTIONS = ("what stands on page 3?", "which kernel is the newest?", "what was there at first?")

Answers = tuple[tuple[tuple[str, str, float], ...], ...]


def passages(update: int) -> list[Passage]:
    """The first generation, and that of each update: one page changes, one comes, one goes."""
    pages = {n: f"page {n} stands here, there at first" for n in range(6)}
    for number in range(1, update + 1):
        pages[number % 4] = f"page {number % 4} has kernel {number} " + "newest " * (number % 3)
        pages[10 + number] = f"page {10 + number} is new"
        pages.pop(9 + number, None)
    return [Passage(f"{n}#0", f"Page {n}", text=text) for n, text in pages.items()]


def ask(index: Bm25Index) -> Answers:
    return tuple(tuple((p.id, p.text, score) for p, score in index.search(question)) for question in QUESTIONS)


def search_until(over: Event, folder: Path) -> set[Answers]:
    """What an index says: opened anew each time, and one that stays open."""
    lasting = Bm25Index.open(folder)
    expected, found = ask(lasting), set()
    while not over.is_set():
        found.add(ask(Bm25Index.open(folder)))
        assert ask(lasting) == expected
        time.sleep(0.02)  # 36 that search all the time would leave the writer no time at all
    return found | {expected}


def search_beside(over: Event, folder: Path, found: "multiprocessing.Queue[set[Answers]]") -> None:
    found.put(search_until(over, folder))


def test_every_answer_is_one_that_some_generation_gives(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    build_index(folder, passages(0))
    context = multiprocessing.get_context("spawn")
    over, queue = context.Event(), context.Queue()
    others = [context.Process(target=search_beside, args=(over, folder, queue), daemon=True) for _ in range(PROCESSES)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(THREADS) as threads:
        searches = [threads.submit(search_until, over, folder) for _ in range(THREADS)]
        try:
            for number in range(1, UPDATES + 1):
                before = {p.title: p for p in passages(number - 1)}
                after = {p.title: p for p in passages(number)}
                changed = [p for title, p in after.items() if before.get(title) != p]
                update_index(folder, changed, [title for title in before if title not in after])
        finally:
            over.set()
        found = [search.result() for search in searches] + [queue.get(timeout=60) for _ in others]
    for other in others:
        other.join()
        assert other.exitcode == 0
    possible = {ask(Bm25Index.build(passages(number))) for number in range(UPDATES + 1)}
    assert set().union(*found) <= possible
    assert len(set().union(*found)) > UPDATES / 2
