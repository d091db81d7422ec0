"""Largest difference from the official detectors' recorded outputs, detector by stage.

    python benchmarks/paper/detector_parity.py [--golden FOLDER] [--json]

Prints a table: per recorded case the largest difference over its images at every stage of the
computation, and the limit; exits 1 when one is above its limit. The folder is
tests/parity/golden_detectors, or what OVSAM_GOLDEN_DETECTORS names; any folder of that form works.
Weights are generated from parameter names, so no download is needed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "parity")]

from detector_comparison import BUNDLED, Case, Difference  # noqa: E402 - found by the line above


def keep_worst(differences: list[Difference]) -> list[Difference]:
    """Return the largest difference of each stage, in the order of the computation."""
    worst: dict[str, Difference] = {}
    for difference in differences:
        known = worst.get(difference.stage)
        if known is None or not difference.value <= known.value:
            worst[difference.stage] = difference
    return list(worst.values())


def format_table(rows: list[Difference]) -> str:
    """Return lines of detector, stage, difference, limit."""
    lines = [f"{'detector':22s} {'stage':26s} {'difference':>11s} {'limit':>8s}"]
    for row in rows:
        mark = "" if row.is_within else "  ABOVE"
        lines.append(
            f"{row.case:22s} {row.stage:26s} {row.value:11.2e} {row.limit:8.0e} {row.unit}{mark}"
        )
    return "\n".join(lines)


def main() -> int:
    """Compare every case of a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(os.environ.get("OVSAM_GOLDEN_DETECTORS") or BUNDLED)
    parser.add_argument("--golden", type=Path, default=default)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    cases = json.loads((arguments.golden / "cases.json").read_text())
    rows = [r for name in cases for r in keep_worst(list(Case(arguments.golden, name).compare()))]
    if arguments.json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
    else:
        print(format_table(rows))
        print(f"{sum(row.is_within for row in rows)} of {len(rows)} stages within their limits")
    return 0 if all(row.is_within for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
