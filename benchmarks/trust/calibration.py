"""How far scores are from the truth, as they are and after 50 checks.

    python benchmarks/trust/calibration.py --data DATA [--scenes 600] [--seeds 1 2 3] [--checks 50]
        [--draws 100]

Of each seed two questions: is the name right, asked of true boxes (`score`), and is the whole label
right, asked of what the detector found with --conf .25 (`1 - risk`). Each draw takes as many checks
by chance, finds a map from them, and measures its expected calibration error (ECE, ten bins) on all
other objects: mean of the draws, and the worst. Beside ours: a temperature alone, Platt's scaling
without a prior, the share of right ones of the checks for every object ("one number", which tells
good from bad no more), and a map from all objects but one's own tenth ("all checked").
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable

import numpy as np
from ranking import compute_risks
from scene_labels import add_arguments, read_given, read_labels

from ovsam_pipeline.output.checked_labels import ScoreMap, squash, stretch
from ovsam_pipeline.review.calibration import cross_fit, fit_score_map, measure_error

CONF = 0.25


def fit_temperature(scores: np.ndarray, is_right: np.ndarray) -> ScoreMap:
    """Return the likeliest map without an offset."""
    slopes = np.exp(np.linspace(np.log(0.1), np.log(10), 300))
    return max((ScoreMap(slope, 0.0) for slope in slopes), key=_likelihood(scores, is_right))


def fit_plainly(scores: np.ndarray, is_right: np.ndarray) -> ScoreMap:
    """Return Platt's map by Newton's method, with next to no prior."""
    inputs = np.stack([stretch(scores), np.ones(len(scores))], 1)
    found = np.array([1.0, 0.0])
    for _ in range(100):
        chances = squash(inputs @ found)
        curvature = (inputs * (chances * (1 - chances))[:, None]).T @ inputs + 1e-3 * np.eye(2)
        step = np.linalg.solve(curvature, inputs.T @ (is_right - chances) - 1e-3 * found)
        found = found + step / max(1.0, float(np.abs(step).max()))
    return ScoreMap(*map(float, found))


def fit_one_number(_: np.ndarray, is_right: np.ndarray) -> ScoreMap:
    """Return the map of every score to the share of right ones."""
    return ScoreMap(0.0, float(stretch(is_right.mean())))


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], ScoreMap]] = {
    "ours": fit_score_map,
    "temperature": fit_temperature,
    "Platt": fit_plainly,
    "one number": fit_one_number,
}


def measure(
    scores: np.ndarray, is_right: np.ndarray, given: argparse.Namespace, seed: int
) -> dict[str, list[float]]:
    """Return the errors of all draws by way; "as it is" and "all checked" have one each."""
    rng = np.random.default_rng(seed)
    errors: dict[str, list[float]] = defaultdict(list)
    errors["as it is"].append(measure_error(scores, is_right))
    for _ in range(given.draws):
        order = rng.permutation(len(scores))
        checked, others = order[: given.checks], order[given.checks :]
        for name, fit in WAYS.items():
            found = fit(scores[checked], is_right[checked])
            errors[name].append(measure_error(found.apply(scores[others]), is_right[others]))
    errors["all checked"].append(cross_fit(scores, is_right).error_after)
    return errors


def main() -> None:
    """Print one line a seed and question, and the means over seeds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--checks", type=int, default=50, help="checked objects of a draw")
    parser.add_argument("--draws", type=int, default=100, help="draws a seed")
    given = parser.parse_args()
    means: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for seed in given.seeds:
        boxes = read_given(given.data, seed, given.scenes)
        labels = read_labels(given.data, seed, given.scenes)
        labels = labels.select(labels.column("detector_score") >= CONF)
        for question, judged, scores in (
            ("names of true boxes", boxes, boxes.column("score")),
            ("labels as a whole", labels, 1 - compute_risks(labels)),
        ):
            errors = measure(scores, ~judged.is_error, given, seed)
            print(f"seed {seed}, {question} ({len(scores)}): {_describe(errors)}")
            for name, values in errors.items():
                means[question][name].append(float(np.mean(values)))
    for question, errors in means.items():
        print(f"mean of seeds, {question}: {_describe(errors)}")


def _describe(errors: dict[str, list[float]]) -> str:
    texts = []
    for name, values in errors.items():
        worst = f" (worst {max(values):.3f})" if len(values) > 1 else ""
        texts.append(f"{name} {np.mean(values):.3f}{worst}")
    return ", ".join(texts)


def _likelihood(scores: np.ndarray, is_right: np.ndarray) -> Callable[[ScoreMap], float]:
    def measure_map(found: ScoreMap) -> float:
        chances = np.clip(found.apply(scores), 1e-9, 1 - 1e-9)
        return float(np.log(np.where(is_right, chances, 1 - chances)).sum())

    return measure_map


if __name__ == "__main__":
    main()
