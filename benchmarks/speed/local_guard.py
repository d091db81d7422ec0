"""What the guard of the local engine costs: a second process that waits, and a journal of images.

    python benchmarks/speed/local_guard.py                       # a few minutes
    python benchmarks/speed/local_guard.py --images 200 --rounds 3

Runs `ovsam label` on example scenes with nano, in turns with the guard and without it (no fork, no
journal), and prints the medians of wall time and processor time of both, and their ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCENES = sorted((ROOT / "examples" / "scenes").glob("*.jpg"))
_GUARDED = "from ovsam_pipeline.cli import main; main()"
_PLAIN = """
import ovsam_pipeline.cli
from ovsam_pipeline.engines import journal
ovsam_pipeline.cli.supervise = lambda run: run()
journal.Journal.watch = lambda self, images, is_alone=False: iter(images)
journal.Journal.release = lambda self, identity: None
ovsam_pipeline.cli.main()
"""


def main() -> None:
    """Time both in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    times: dict[str, list[tuple[float, float]]] = {"guarded": [], "plain": []}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for index in range(options.images):
            shutil.copy(SCENES[index % len(SCENES)], images / f"{index:04d}.jpg")
        for number in range(options.rounds):
            for name, code in (("guarded", _GUARDED), ("plain", _PLAIN)):
                times[name].append(measure(code, images, Path(folder) / f"{name}{number}"))
    medians = {
        name: [round(statistics.median(column), 2) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }
    ratios = [round(a / b, 3) for a, b in zip(medians["guarded"], medians["plain"], strict=True)]
    found = {"images": options.images, "wall and processor seconds": medians, "ratios": ratios}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def measure(code: str, images: Path, output: Path) -> tuple[float, float]:
    """Return the wall and the processor time of one run, both processes together."""
    before, start_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "label",
            str(images),
            "-o",
            str(output),
            "--model",
            "nano",
            "-q",
        ],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start_s, processor_s


if __name__ == "__main__":
    main()
