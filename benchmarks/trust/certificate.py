"""Certified precision: how much 200 checks accept, and how often the promise is broken.

    python benchmarks/trust/certificate.py --data DATA [--scenes 600] [--seeds 1 2 3] [--conf .25]
        [--target .9] [--checks 200] [--draws 1000]

Each draw is one review: a uniform sample of the objects is answered by the truth, and
`find_threshold` says up to which risk labels are right often enough. One line a seed: the share of
objects accepted (median and mean of the draws), in how many draws any was, and in how many the
accepted ones were truly less right than promised. Beside it what would be: with the truth known of
all objects in this order, with all right ones before all wrong ones, and ranked at random.
"""

from __future__ import annotations

import argparse

import numpy as np
from ranking import compute_risks
from scene_labels import Judged, add_arguments, read_labels

from ovsam_pipeline.review.certificate import find_threshold

CONFIDENCE = 0.95


def share_within(is_right: np.ndarray, target: float) -> float:
    """Return the greatest share of objects, in this order, that are right often enough."""
    precision = np.cumsum(is_right) / np.arange(1, len(is_right) + 1)
    good = np.flatnonzero(precision >= target)
    return (good[-1] + 1) / len(is_right) if len(good) else 0.0


def simulate(
    risk: np.ndarray, is_right: np.ndarray, given: argparse.Namespace, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return of each draw the share accepted, its precision, whether it was certified."""
    rng = np.random.default_rng(seed)
    shares, precisions, certified = [], [], []
    for _ in range(given.draws):
        sample = rng.choice(len(risk), given.checks, replace=False)
        found = find_threshold(risk, risk[sample], is_right[sample], given.target, CONFIDENCE)
        assert found is not None
        accepted = is_right[risk <= found.threshold]
        certified.append(found.has_passed)
        shares.append(found.accepted / len(risk) if found.has_passed else 0.0)
        precisions.append(accepted.mean() if found.has_passed else 1.0)
    return np.array(shares), np.array(precisions), np.array(certified)


def print_seed(judged: Judged, given: argparse.Namespace, seed: int) -> list[float]:
    """Print the line of a seed; return median and mean share, and how often it was broken."""
    risk, is_right = compute_risks(judged), ~judged.is_error
    shares, precisions, certified = simulate(risk, is_right, given, seed)
    broken = float((precisions < given.target).mean())
    rng = np.random.default_rng(seed)
    known = share_within(is_right[np.argsort(risk)], given.target)
    perfect = share_within(np.sort(is_right)[::-1], given.target)
    random = share_within(rng.permutation(is_right), given.target)
    print(
        f"seed {seed}: {len(risk)} objects, {100 * judged.is_error.mean():.1f} % wrong | "
        f"accepted {np.median(shares):.2f} (mean {shares.mean():.2f}), certified in "
        f"{100 * certified.mean():.1f} % of {given.draws} draws, broken in {100 * broken:.1f} % | "
        f"truth known: {known:.2f}, perfect ranking {perfect:.2f}, random {random:.2f}"
    )
    return [float(np.median(shares)), float(shares.mean()), broken]


def main() -> None:
    """Print one line a seed and the means."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--conf", type=float, default=0.25, help="least score of the detector")
    parser.add_argument("--target", type=float, default=0.9, help="precision asked for")
    parser.add_argument("--checks", type=int, default=200, help="objects of the sample")
    parser.add_argument("--draws", type=int, default=1000, help="reviews a seed")
    given = parser.parse_args()
    rows = []
    for seed in given.seeds:
        judged = read_labels(given.data, seed, given.scenes)
        kept = judged.select(judged.column("detector_score") >= given.conf)
        rows.append(print_seed(kept, given, seed))
    median, mean, broken = np.mean(rows, 0)
    print(f"mean of seeds: accepted {median:.2f} (mean {mean:.2f}), broken in {100 * broken:.1f} %")


if __name__ == "__main__":
    main()
