"""A ranking and its judgments in; missing judgments and near-ties out.

A hit without a judgment counts as wrong, so a metric is too low for a system that ranks such hits high. Near-ties are
neighbouring hits whose scores are almost the same. Models compute slightly different scores on other CPUs, so that such hits
may change places there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from ragqa.evaluation.judged import Judged
from ragqa.evaluation.metrics import CUTOFF, DEPTH, Run, measure_run

NEAR = 0.001  # largest difference of a near-tie, as a fraction of the range of the scores in its list


@dataclass(frozen=True, slots=True)
class Caveats:
    """What to keep in mind about the metrics of one system.

    `judged` is judged@10: the fraction of the first 10 hits that have a judgment, averaged over the questions with hits.
    `near_ties` counts the questions whose value of `metric` depends on the order of near-ties; the mean of the metric is
    between `lowest` and `highest`. `longest` is the length of the longest list of hits.
    """

    metric: str
    judged: float
    near_ties: int
    lowest: float
    highest: float
    longest: int


def find_caveats(run: Run, judged: Judged, metric: str) -> Caveats:
    """Find the missing judgments and near-ties of a run, and how much the near-ties change a metric."""
    (worst,) = measure_run(_reorder(run, judged, best=False), judged, (metric,))
    (best,) = measure_run(_reorder(run, judged, best=True), judged, (metric,))
    changed = sum(low != high for low, high in zip(worst.values, best.values, strict=True))
    longest = max(map(len, run.values()), default=0)
    return Caveats(metric, judged_share(run, judged), changed, worst.mean, best.mean, longest)


def judged_share(run: Run, judged: Judged) -> float:
    """Return judged@10, or 0 for a run without hits."""
    shares = []
    for question, scores in run.items():
        known = judged.relevance.get(question, {}).keys() | judged.rejected.get(question, frozenset())
        if top := list(scores)[:CUTOFF]:
            shares.append(sum(name in known for name in top) / len(top))
    return sum(shares) / len(shares) if shares else 0.0


def _reorder(run: Run, judged: Judged, *, best: bool) -> dict[str, dict[str, float]]:
    """Sort the hits of each near-tie by their grades: the highest first if `best`, else the lowest."""
    ordered = {}
    for question, scores in run.items():
        grades = judged.relevance.get(question, {})
        groups = _near_ties(scores)
        names = [n for group in groups for n in sorted(group, key=lambda n: grades.get(n, 0), reverse=best)]
        ordered[question] = {name: scores[name] for name in names}
    return ordered


def _near_ties(scores: Mapping[str, float]) -> list[list[str]]:
    """Group the first 100 hits, so that neighbours in a group are near-ties."""
    names = list(scores)[:DEPTH]
    if not names:
        return []
    first = [scores[name] for name in names]
    limit = NEAR * (max(first) - min(first))
    groups = [names[:1]]
    for previous, name in pairwise(names):
        if abs(scores[previous] - scores[name]) <= limit:
            groups[-1].append(name)
        else:
            groups.append([name])
    return groups
