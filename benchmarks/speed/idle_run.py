"""Processor seconds of `ovsam label` with nothing to do: planned first, or loaded first.

    python benchmarks/speed/idle_run.py [--images 24 3000] [--model photo] [--repeats 3]

Small pictures are labelled once, with a detector that finds nothing. Then the command runs again as
it is, and without the function that foresees what labels depend on: so it loads torch and the model
before it plans, as every run did. Prints one JSON object; the least of the repeats counts.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

_LABEL = "import sys; from ovsam_pipeline import cli; sys.argv[0] = 'ovsam'; cli.main()"
_LOAD_FIRST = (
    "from ovsam_pipeline.labelling import build; del build.build_labeller.foresee; " + _LABEL
)
_BLIND = """
from ovsam_pipeline.detectors.base import Detections

class Blind:
    name, fingerprint, class_names, device = "blind", "0" * 32, None, "cpu"

    def detect(self, images):
        return [Detections.empty() for _ in images]

def build_detector(settings):
    return Blind()
"""


def write_images(folder: Path, count: int) -> None:
    """Write small grey pictures, on which nothing is found."""
    folder.mkdir()
    for index in range(count):
        Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(folder / f"{index:06}.png")


def measure(code: str, arguments: list[str]) -> float:
    """Return the processor seconds of a command in a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure every size of folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, nargs="+", default=[24, 3000])
    parser.add_argument("--model", default="photo")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        blind = Path(folder) / "blind.py"
        blind.write_text(_BLIND)
        for count in options.images:
            images = Path(folder) / str(count)
            write_images(images, count)
            label = ["label", str(images), "-o", f"{images}_out", "--model", options.model, "-q"]
            label += ["--detector", f"python:{blind}"]
            measure(_LABEL, label)
            found[count] = {
                name: round(min(measure(code, label) for _ in range(options.repeats)), 2)
                for name, code in (("plans first", _LABEL), ("loads first", _LOAD_FIRST))
            }
    print(json.dumps({"model": options.model, "cpu_seconds": found}))


if __name__ == "__main__":
    main()
