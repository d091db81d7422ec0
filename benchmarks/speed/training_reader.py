"""How fast training samples are read: images/s by the number of reader threads.

Draws scenes into JPEG files of about 1,000 pixels with COCO masks, then reads, augments to 1024 and
prompts them as `ovsam train joint` does. "alone": nothing but reading. "beside": each step then
waits as for a GPU, so that what counts is how much of the reading is hidden. Prints JSON.

    python benchmarks/speed/training_reader.py --scenes 40 --threads 0 1 2
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from ovsam.training.data.coco import CocoTrainingSet
from ovsam.training.data.sample_reader import SampleReader
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import AugmentSettings, TrainingSample, draw_sample
from ovsam.training.scenes.files import SceneFile, write_scene_files
from ovsam.training.scenes.sprites import load_noto_atlas
from ovsam.training.steps.proposals import Proposals, sample_proposals

BATCH = 4


def measure(source: CocoTrainingSet, threads: int, steps: int, step_s: float) -> float:
    """Return images a second over some steps, after one to warm up."""
    labels = np.zeros(len(source.categories), np.int64)

    def load(random: np.random.Generator) -> TrainingSample:
        return source.load(int(random.integers(len(source))), labels)

    def prepare(random: np.random.Generator) -> tuple[TrainingSample, Proposals]:
        sample = draw_sample(load, 1024, AugmentSettings(), random)
        return sample, sample_proposals(sample, random)

    reader = SampleReader(prepare, BATCH, threads, 2 * BATCH)
    reader.read(StepRandom(0, 0))
    started = time.perf_counter()
    for step in range(1, steps + 1):
        reader.read(StepRandom(0, step))
        time.sleep(step_s)
    rate = BATCH * steps / (time.perf_counter() - started)
    reader.close()
    return round(rate, 2)


def main() -> None:
    """Print images/s."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scenes", type=int, default=40)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--step-seconds", type=float, default=0.4)
    parser.add_argument("--threads", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [SceneFile(f"{i:04d}.jpg", (1024, 768)) for i in range(options.scenes)]
        path = write_scene_files(folder, load_noto_atlas(), files, seed=1)
        source = CocoTrainingSet(path, folder)
        found = {
            str(threads): {
                "alone": measure(source, threads, options.steps, 0.0),
                "beside": measure(source, threads, options.steps, options.step_seconds),
            }
            for threads in options.threads
        }
    print(
        json.dumps(
            {
                "images_per_second": found,
                "batch": BATCH,
                "step_seconds": options.step_seconds,
                "most_beside": round(BATCH / options.step_seconds, 2),
                "cores": os.cpu_count(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
