"""How many of the objects that `ovsam review --queue` asks about first are wrong.

    python benchmarks/trust/review_queue.py --data DATA [--scenes 200] [--seeds 1 2 3]

For each seed: the share of wrong labels among the first 10, 20 and 50 % of the objects, in whole
images by mean risk (what editors get) and by their riskiest object, and as single objects (csv);
beside it a random order, and perfect ones. The labels are nano's with the usual --conf .25.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scene_labels import read_labels

_SHARES = (0.1, 0.2, 0.5)
_CONF = 0.25


def main() -> None:
    """Print a line an order and seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    options = parser.parse_args()
    shares = "  ".join(f"{100 * share:.0f} %" for share in _SHARES)
    sys.stdout.write(f"seed  wrong among the first  {shares}\n")
    for seed in options.seeds:
        for name, found in measure(options.data, seed, options.scenes).items():
            numbers = "  ".join(f"{share:.3f}" for share in found)
            sys.stdout.write(f"{seed:4}  {name:32}  {numbers}\n")


def measure(data: Path, seed: int, scenes: int) -> dict[str, list[float]]:
    """Return the shares of wrong labels by order."""
    judged = read_labels(data, seed, scenes)
    judged = judged.select(judged.column("detector_score") >= _CONF)
    risk, wrong = judged.column("risk"), judged.is_error
    image = np.unique(judged.images, return_inverse=True)[1]
    count, wrong_of = np.bincount(image), np.bincount(image, wrong)
    riskiest = np.zeros(len(count))
    np.maximum.at(riskiest, image, risk)
    singly = np.ones(len(risk))
    return {
        "random": [float(wrong.mean())] * len(_SHARES),
        "images, riskiest object": _share(riskiest, count, wrong_of),
        "images, mean risk": _share(np.bincount(image, risk) / count, count, wrong_of),
        "images, perfect": _share(wrong_of / count, count, wrong_of),
        "objects, risk": _share(risk, singly, wrong),
        "objects, perfect": _share(wrong.astype(float), singly, wrong),
    }


def _share(key: np.ndarray, count: np.ndarray, wrong: np.ndarray) -> list[float]:
    """Return the share of wrong objects where the first shares of all have been looked at."""
    order = np.argsort(-key, kind="stable")
    seen, found = np.cumsum(count[order]), np.cumsum(wrong[order])
    ends = [int(np.searchsorted(seen, share * seen[-1])) for share in _SHARES]
    return [float(found[end] / seen[end]) for end in ends]


if __name__ == "__main__":
    main()
