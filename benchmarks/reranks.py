"""Many rerank requests at once, against the same requests one at a time: throughput, and whether the scores are the same.

ragqa serve --port 8080 &
python benchmarks/reranks.py http://127.0.0.1:8080 --requests 32 --documents 20 --rounds 5
"""

import argparse
import json
import random
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ragqa.index.starter import open_starter

PATIENCE_S = 600

Scores = dict[int, float]


def requests_of(count: int, documents: int) -> list[dict[str, Any]]:
    """Requests about passages of the starter corpus: each asks about one page and ranks random passages."""
    passages, chance = open_starter().passages, random.Random(0)
    drawn = [chance.sample(range(len(passages)), documents) for _ in range(count)]
    return [
        {"query": f"what is {passages[own[0]].title}?", "documents": [passages[number].text for number in own]}
        for own in drawn
    ]


def rank(address: str, body: dict[str, Any]) -> Scores:
    """Send one request; return the scores by document."""
    request = urllib.request.Request(
        f"{address}/v2/rerank", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as response:
        return {result["index"]: result["relevance_score"] for result in json.load(response)["results"]}


def timed(run: Callable[[], Iterable[Scores]]) -> tuple[float, list[Scores]]:
    """Return the seconds that all requests took together, and their scores."""
    started = time.perf_counter()
    scores = list(run())
    return time.perf_counter() - started, scores


def main() -> int:
    """Measure in turn, so that other work on the machine slows both alike; print one line a round and the median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("address")
    parser.add_argument("--requests", type=int, default=32)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    bodies, ratios = requests_of(options.requests, options.documents), []
    rank(options.address, bodies[0])
    with ThreadPoolExecutor(options.requests) as threads:
        for _ in range(options.rounds):
            alone_s, alone = timed(lambda: (rank(options.address, body) for body in bodies))
            together_s, together = timed(lambda: threads.map(lambda body: rank(options.address, body), bodies))
            ratios.append(alone_s / together_s)
            same = "the same scores" if alone == together else "OTHER SCORES"
            pairs = options.requests * options.documents
            print(
                f"{pairs / alone_s:.0f} and {pairs / together_s:.0f} pairs/s, ratio {ratios[-1]:.2f}, {same}",
                flush=True,
            )
    print(f"median ratio {statistics.median(ratios):.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
