"""Fine-tune nano's label head on 200 pictures of classes that it has never seen; docs/finetune.md.

    python benchmarks/paper/finetune_new_classes.py FOLDER [--count 200] [--steps 400]

Draws pictures of a dozen other emoji with names that say nothing ("part A"), as a user's own COCO
folders `train` and `test`; trains with configs/training/finetune-labels.yaml and `class_embeddings:
examples`; measures the label accuracy on the test pictures by ground-truth boxes: of nano with its
head as it was and the classes' embeddings from examples, and of the trained one. Needs the Debian
package fonts-noto-color-emoji. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from ovsam.training.scenes.files import SceneFile, write_scene_files
from ovsam.training.scenes.sprites import NanoClass, load_noto_atlas

CONFIG = Path(__file__).parents[2] / "configs" / "training" / "finetune-labels.yaml"
# Robot, ghost, alien, jack-o-lantern, moai, wedding, chart, bank notes, puzzle piece, slot machine,
# DNA, ice: none is a class of nano.
GLYPHS = "1F916 1F47B 1F47D 1F383 1F5FF 1F492 1F4CA 1F4B5 1F9E9 1F3B0 1F9EC 1F9CA"
SIZE, TRAIN_SEED, TEST_SEED = 480, 41, 42


def main() -> None:
    """Draw, measure, train, measure again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200, help="pictures to train on, and to test")
    parser.add_argument("--steps", type=int, default=400)
    options = parser.parse_args()
    folder = options.folder
    draw(folder / "train", options.count, TRAIN_SEED)
    draw(folder / "test", options.count, TEST_SEED)
    found: dict[str, Any] = {"images": options.count, "steps": options.steps}
    for name, steps in (("before", 1), ("after", options.steps)):
        start_s = time.perf_counter()
        out = train(folder, name, steps)
        found[name] = {**measure(folder, out), "train_s": round(time.perf_counter() - start_s)}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def draw(folder: Path, count: int, seed: int) -> None:
    """Write pictures and annotations.json."""
    if (folder / "annotations.json").exists():
        return
    names = [f"part {chr(ord('A') + i)}" for i in range(len(GLYPHS.split()))]
    classes = [
        NanoClass(name, (), (int(code, 16),), "part", "base")
        for name, code in zip(names, GLYPHS.split(), strict=True)
    ]
    files = [SceneFile(f"picture_{i:04d}.jpg", (SIZE, SIZE)) for i in range(count)]
    write_scene_files(folder, load_noto_atlas(classes=classes), files, seed)


def train(folder: Path, name: str, steps: int) -> Path:
    """Train for so many steps; a single one at a rate of nearly 0 leaves the head as it was."""
    out = folder / name
    out.mkdir(exist_ok=True)
    values = yaml.safe_load(CONFIG.read_text())
    values["class_embeddings"] = "examples"
    values["loop"]["steps"] = steps
    if steps == 1:
        values["loop"]["optimiser"]["learning_rate"] = 1e-12
    config = out / "config.yaml"
    config.write_text(yaml.safe_dump(values))
    data = ("--data", folder / "train" / "annotations.json", "--images", folder / "train")
    run("train", "labels", "--config", config, "--init", "nano", *data, "--out", out)
    return out


def measure(folder: Path, out: Path) -> dict[str, float]:
    """Return the label accuracy by ground-truth boxes on the test pictures."""
    truth = folder / "test" / "annotations.json"
    words = ("--vocabulary", out / "vocabulary.safetensors", "--model", out / "model.safetensors")
    target = out / "eval"
    run("eval", "--dataset", truth, "--image-root", folder / "test", *words, "-o", target)
    metrics = json.loads((target / "metrics.json").read_text())["metrics"]["instances"]
    return {name: round(metrics[name], 4) for name in ("accuracy", "iou")}


def run(*words: object) -> None:
    """Run an ovsam command in a process of its own."""
    command = [sys.executable, "-c", "from ovsam_pipeline.cli import main; main()"]
    texts = [str(word) for word in words]
    sys.stderr.write(f"ovsam {' '.join(texts)}\n")
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *texts], check=True, env=env, stdout=sys.stderr)


if __name__ == "__main__":
    main()
