"""Small training runs of the reranker, to see what each lever is worth: the same number of questions, one thing changed.

    python benchmarks/levers.py --data ../shared/data --out data/shipped

`--out` is where `shipped_models.py` has made its datasets. Prints nDCG@10 on the sets of `fusion.py`, where the first 20
candidates are ordered by the reranker alone.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from fusion import candidates, judged_sets, ndcg, score
from shipped_models import BASE, LISTWISE, make_dataset, recipes

from ragqa.models.bases import base_path
from ragqa.models.embedder import Embedder
from ragqa.models.reranker import Reranker
from ragqa.training.config import PRESETS, TrainConfig
from ragqa.training.pairs import read_pairs
from ragqa.training.train import train

QUESTIONS = 500
DEPTH = 20
LISTS = replace(LISTWISE, base=BASE, learning_rate=1e-4)
POINTWISE = replace(PRESETS["reference"], base=BASE, learning_rate=1e-4, batch_size=48, dropout=0.0, eval_questions=100)
HARD = "asked-hard"

RUNS: dict[str, tuple[str, TrainConfig]] = {
    "written questions, listwise, soft labels": ("asked", LISTS),
    "hard labels": (HARD, LISTS),
    "binary cross-entropy": ("asked", POINTWISE),
    "SQuAD": ("squad", LISTS),
    "CMU": ("cmu", LISTS),
    "generated questions": ("pages", LISTS),
    "written questions after the first stage": ("asked", replace(LISTS, base="stage-1")),
}


def main() -> None:
    """Read the arguments, train what is not there yet and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    out: Path = options.out
    if not (out / HARD).is_dir():
        recipe = replace(recipes(options.data, out)["asked"], weight=0.0)
        make_dataset(HARD, recipe, out / HARD, Embedder.load(base_path(BASE)), [])
    embedder = Embedder.load()
    sets = [(judged, candidates(judged, embedder, DEPTH)) for judged in judged_sets(options.data)]
    print(f"| run | {' | '.join(judged.name for judged, _ in sets)} |\n|{'---|' * (1 + len(sets))}", flush=True)
    for number, (name, (dataset, config)) in enumerate(RUNS.items()):
        folder = out / f"lever-{number}"
        if not folder.is_dir():
            base = config.base if config.base == BASE else str(out / config.base)
            train(
                [out / dataset],
                folder,
                replace(config, base=base, epochs=share(out / dataset, config)),
                calibrate=False,
            )
        reranker = Reranker.load(folder)
        values = [ndcg(judged, found, score(reranker, found), DEPTH) for judged, found in sets]
        print(f"| {name} | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)


def share(dataset: Path, config: TrainConfig) -> float:
    """The part of an epoch that shows as many pairs as `QUESTIONS` lists hold."""
    pairs = read_pairs([dataset], "train")
    if config.list_size:
        return QUESTIONS / len({pair.question for pair in pairs})
    return QUESTIONS * LISTS.list_size / len(pairs)


if __name__ == "__main__":
    main()
