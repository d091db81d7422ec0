"""How well the queue finds what is wrong: by risk, and by each opinion it is made of.

    python benchmarks/trust/ranking.py --data DATA [--scenes 600] [--conf 0.25]

Two questions, each a table of means over the seeds, with what a random and a perfect queue give:
which objects that the detector found are wrong in any way (`scene_labels.py` says what an error
is), and which names of true boxes are. Shares are of all errors, in the first x % of the queue;
"of perfect" divides by what a perfect queue finds there. The risk is computed anew from the stored
opinions, so DATA may be of an earlier version. ECE is that of 1 - risk against right and wrong.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from scene_labels import Judged, add_arguments, read_given, read_labels

from ovsam_pipeline.labelling.risk import NameOpinions, assess_objects
from ovsam_pipeline.records import ObjectRecord

SHARES = (0.05, 0.1, 0.2, 0.3)
PRECISION = 0.95
BINS = 10

Rank = Callable[[Judged], np.ndarray]
RANKINGS: dict[str, Rank] = {
    "random": lambda judged: np.random.default_rng(7).random(len(judged.objects)),
    "score": lambda judged: 1 - judged.column("score"),
    "clip_score": lambda judged: 1 - judged.column("clip_score"),
    "head_score": lambda judged: 1 - judged.column("head_score"),
    "margin": lambda judged: 1 - judged.column("margin"),
    "mask_score": lambda judged: 1 - judged.column("mask_score"),
    "detector_score": lambda judged: 1 - judged.column("detector_score"),
    "score · mask · detector": lambda judged: (
        1 - judged.column("score") * judged.column("mask_score") * judged.column("detector_score")
    ),
    "risk": lambda judged: compute_risks(judged),
    "perfect": lambda judged: judged.is_error.astype(float),
}


def compute_risks(judged: Judged) -> np.ndarray:
    """Return the risk of each object by the present formula: (N,) float32."""
    risks = np.zeros(len(judged.objects), np.float32)
    by_image: defaultdict[str, list[int]] = defaultdict(list)
    for row, item in enumerate(judged.objects):
        by_image[item["file_name"]].append(row)
    for rows in by_image.values():
        items = [ObjectRecord.from_row(judged.objects[row]) for row in rows]
        assessed = assess_objects(items, [NameOpinions()] * len(items))
        risks[rows] = [item.risk for item in assessed]
    return risks


def compute_auroc(risks: np.ndarray, is_error: np.ndarray) -> float:
    """Return the chance that an error ranks before a right object; ties count half."""
    wrong, right = risks[is_error], np.sort(risks[~is_error])
    before = np.searchsorted(right, wrong, "left") + np.searchsorted(right, wrong, "right")
    return float(before.sum() / 2 / len(wrong) / len(right))


def find_share(risks: np.ndarray, is_error: np.ndarray, share: float) -> float:
    """Return the share of all errors in the first `share` of the queue."""
    first = np.argsort(-risks, kind="stable")[: round(share * len(risks))]
    return float(is_error[first].sum() / is_error.sum())


def find_accepted(risks: np.ndarray, is_error: np.ndarray) -> float:
    """Return the largest share at the end of the queue that is right at PRECISION."""
    is_right = ~is_error[np.argsort(risks, kind="stable")]
    counts = np.arange(1, len(is_right) + 1)
    passed = np.flatnonzero(np.cumsum(is_right) / counts >= PRECISION)
    return float((passed[-1] + 1) / len(is_right)) if len(passed) else 0.0


def compute_ece(chances: np.ndarray, is_error: np.ndarray) -> float:
    """Return the mean distance of chance and share of right objects, over BINS equal bins."""
    bins = np.minimum((chances * BINS).astype(int), BINS - 1)
    gaps = [
        abs(float((~is_error[bins == i]).mean() - chances[bins == i].mean())) * (bins == i).mean()
        for i in range(BINS)
        if (bins == i).any()
    ]
    return float(sum(gaps))


def print_table(title: str, seeds: Sequence[Judged]) -> None:
    """Print the means over the seeds of each ranking; of risk also each seed."""
    errors = [judged.is_error for judged in seeds]
    counts = ", ".join(f"{int(e.sum())} of {len(e)}" for e in errors)
    print(f"\n{title}: {counts} wrong")
    shares = "".join(f"{f'top {share:.0%}':>9}{'of perfect':>12}" for share in SHARES)
    print(f"{'queue by':26}{'AUROC':>7}{shares}{f'  accepted at {PRECISION}':>16}")
    perfect = RANKINGS["perfect"]
    for name, rank in RANKINGS.items():
        rows = []
        for judged, is_error in zip(seeds, errors, strict=True):
            risks = rank(judged)
            row = [compute_auroc(risks, is_error)]
            for share in SHARES:
                found = find_share(risks, is_error, share)
                row += [found, found / find_share(perfect(judged), is_error, share)]
            rows.append([*row, find_accepted(risks, is_error)])
        _print_row(name, np.mean(rows, axis=0))
        if name == "risk":
            for number, row in enumerate(rows, 1):
                _print_row(f"  seed {number}", row)
    eces = [compute_ece(1 - compute_risks(judged), judged.is_error) for judged in seeds]
    print(f"ECE of 1 - risk: {np.mean(eces):.3f} ({', '.join(f'{value:.3f}' for value in eces)})")


def _print_row(name: str, values: Sequence[float]) -> None:
    auroc, *found, accepted = values
    shares = "".join(
        f"{share:9.3f}{part:12.3f}" for share, part in zip(found[::2], found[1::2], strict=True)
    )
    print(f"{name:26}{auroc:7.3f}{shares}{accepted:16.2f}")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--conf", type=float, default=0.25, help="least detector_score")
    given = parser.parse_args()
    found, named = [], []
    for seed in given.seeds:
        judged = read_labels(given.data, seed, given.scenes)
        found.append(judged.select(judged.column("detector_score") >= given.conf))
        named.append(read_given(given.data, seed, given.scenes))
    print_table(f"objects of --conf {given.conf}", found)
    print_table("names of true boxes", named)


if __name__ == "__main__":
    main()
