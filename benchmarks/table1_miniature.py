"""Table 1 of the paper in the drawn world: every row trained alike, measured alike, several seeds.

    python benchmarks/table1_miniature.py --work FOLDER --pool POOL [--seeds 0 1 2] [--steps 1000]
    python benchmarks/table1_miniature.py --work FOLDER --show          # the table of what is there

POOL is from `ovsam train pool`. All of it runs through `ovsam train` and `ovsam eval`, each step in
a folder of its own below FOLDER: what is finished is not done again, what was cut off goes on, so
the command may be stopped and repeated.

Given once: nano's CLIP (frozen) and a small SAM (`teacher`), as the paper's rows share CLIP RN50x16
and SAM-H. For each seed: SAM's decoder is fine-tuned (the masks of all trained baselines), CoOp and
the adapters are trained on top of it, and OV-SAM goes through both stages: distillation of the same
SAM, then decoder and label head. Every run of the second stage sees the same number of images,
prompts and objects. All rows are measured on the same new scenes, by ground-truth boxes and points.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

CONFIGS = Path(__file__).parents[1] / "configs" / "training"
TEACHER_STEPS, SCENES, SCENE_SEED, SCENE_SIZE = 4000, 300, 21, 320
ROWS = {  # title → (folder, is trained for each seed)
    "Image-crop": ("image-crop", False),
    "Feature-crop": ("feature-crop", False),
    "Image-crop + CoOp": ("coop-image", True),
    "Feature-crop + CoOp": ("coop-feature", True),
    "Feature-crop + conv adapter": ("adapter-conv", True),
    "Feature-crop + simple FPN": ("adapter-simfpn", True),
    "OV-SAM": ("ovsam", True),
}
POINT_ROWS = ("Feature-crop", "Feature-crop + CoOp", "OV-SAM")
METRICS = ("iou_base", "iou_novel", "accuracy_base", "accuracy_novel", "accuracy")


@dataclass(frozen=True)
class Setting:
    """Where things are, and how long each training is."""

    work: Path
    pool: Path
    steps: int

    def shared(self, name: str) -> Path:
        """Folder of what all seeds share."""
        return self.work / "shared" / name

    def of_seed(self, seed: int, name: str) -> Path:
        """Folder of a step of one seed."""
        return self.work / f"seed-{seed}" / name


def main() -> None:
    """Train and measure what is missing, or show what is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=1000, help="of 4 images, of each training")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if not options.show:
        if options.pool is None:
            parser.error("--pool is needed to train")
        setting = Setting(options.work.absolute(), options.pool.absolute(), options.steps)
        prepare(setting)
        for seed in options.seeds:
            train_seed(setting, seed)
    show(options.work, options.seeds)


def prepare(setting: Setting) -> None:
    """Make what the seeds share: scenes, teacher, zero-shot rows and their measures."""
    scenes = setting.work / "data" / "ovsam_scenes"
    if not scenes.exists():
        run("scenes", scenes, "--count", SCENES, "--seed", SCENE_SEED, "--size", SCENE_SIZE)
    teacher = setting.shared("teacher")
    train(setting, "teacher", "nano-teacher", teacher, seed=21, steps=TEACHER_STEPS)
    for kind in ("image-crop", "feature-crop"):
        out = setting.shared(kind)
        config = CONFIGS / f"baseline-{kind}-nano.yaml"
        if not (out / "model.safetensors").exists():
            run("train", "combine", "--config", config, *inits(teacher, find_nano()), "--out", out)
        measure(setting, out)


def train_seed(setting: Setting, seed: int) -> None:
    """Train and measure all rows of one seed."""
    teacher, tuned = setting.shared("teacher"), setting.of_seed(seed, "sam")
    train(setting, "baseline", "sam-finetune-nano", tuned, seed, init=(teacher, find_nano()))
    for name in ("coop-image", "coop-feature", "adapter-conv", "adapter-simfpn"):
        out = setting.of_seed(seed, name)
        train(setting, "baseline", f"{name}-nano", out, seed, init=(tuned,))
        measure(setting, out)
    start, neck, out = (setting.of_seed(seed, n) for n in ("start", "sam2clip", "ovsam"))
    if not (start / "model.safetensors").exists():
        config = write_config(start, {"model": "nano", "seed": seed})
        sources = inits(find_nano(), teacher)
        run("train", "start", "--config", config, *sources, "--out", start)
    train(setting, "distil", "nano-distil", neck, seed, init=(teacher, start))
    train(setting, "joint", "clip2sam-nano", out, seed, init=(neck,))
    measure(setting, out)


def train(
    setting: Setting,
    stage: str,
    config: str,
    out: Path,
    seed: int,
    *,
    init: tuple[Path, ...] = (),
    steps: int | None = None,
) -> None:
    """Run a stage by a shipped config, but for so many steps and with this seed."""
    result = out / ("teacher.safetensors" if stage == "teacher" else "model.safetensors")
    if result.exists():
        return
    values = yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())
    values["loop"].pop("minutes", None)
    values["loop"] |= {"steps": steps or setting.steps, "seed": seed, "log_every": 50}
    values["loop"]["evaluate_every_s"] = 1e9
    path = write_config(out, values)
    run("train", stage, "--config", path, "--data", setting.pool, *inits(*init), "--out", out)


def measure(setting: Setting, folder: Path) -> None:
    """Measure a row by ground-truth boxes and centre points."""
    for prompts in ("gt-box", "gt-point"):
        target = folder / prompts
        if not (target / "metrics.json").exists():
            model = folder / "model.safetensors"
            data = ("--data-root", setting.work / "data", "--dataset", "scenes")
            run("eval", *data, "--model", model, "--prompts", prompts, "-o", target)
    cost = folder / "cost.json"
    if not cost.exists():
        model = folder / "model.safetensors"
        cost.write_text(run("info", model, "--prompts", 8, "--json", is_captured=True))


def write_config(out: Path, values: dict[str, Any]) -> Path:
    """Write a YAML file into a run's folder."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def inits(*folders: Path) -> list[str]:
    """Return `--init` options."""
    return [word for folder in folders for word in ("--init", str(folder))]


def find_nano() -> Path:
    """Return the embedded model's file."""
    return Path(str(files("ovsam"))) / "data" / "nano" / "model.safetensors"


def run(*words: object, is_captured: bool = False) -> str:
    """Run an ovsam command in a process of its own; returns what it printed, if that is wanted."""
    command = [sys.executable, "-c", "from ovsam_pipeline.cli import main; main()"]
    texts = [str(word) for word in words]
    sys.stderr.write(f"ovsam {' '.join(texts)}\n")
    done = subprocess.run(
        [*command, *texts],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE if is_captured else sys.stderr,
        text=True,
    )
    return done.stdout or ""


def show(work: Path, seeds: list[int]) -> None:
    """Print the table: mean over seeds and half of the spread between the smallest and largest."""
    lines = ["| method | IoU base | novel | acc. base | novel | all | GMACs | M params | seeds |"]
    lines.append("| --- " * 9 + "|")
    for prompts, titles in (("gt-box", tuple(ROWS)), ("gt-point", POINT_ROWS)):
        for title in titles:
            name, is_of_seed = ROWS[title]
            folders = [work / f"seed-{s}" / name for s in seeds] if is_of_seed else []
            found = read_row(folders or [work / "shared" / name], prompts)
            if found is not None:
                mark = "" if prompts == "gt-box" else r"\*"
                lines.append(f"| {title}{mark} | {' | '.join(found)} |")
    sys.stdout.write("\n".join(lines) + "\n")


def read_row(folders: list[Path], prompts: str) -> list[str] | None:
    """Return the cells of a row, or None where nothing was measured."""
    values: dict[str, list[float]] = defaultdict(list)
    cost: dict[str, Any] = {}
    for folder in folders:
        path = folder / prompts / "metrics.json"
        if path.exists():
            metrics = json.loads(path.read_text())["metrics"]["instances"]
            for name in METRICS:
                values[name].append(100 * metrics[name])
            cost = json.loads((folder / "cost.json").read_text())
    if not values:
        return None
    cells = []
    for name in METRICS:
        numbers = values[name]
        spread = (max(numbers) - min(numbers)) / 2
        mean = f"{statistics.mean(numbers):.1f}"
        cells.append(mean if len(numbers) == 1 else f"{mean} ± {spread:.1f}")
    costs = f"{cost['macs'] / 1e9:.2f}", f"{cost['parameters'] / 1e6:.2f}"
    counts = [*costs, str(len(values["accuracy"]))]
    return [*cells, *counts]


if __name__ == "__main__":
    main()
