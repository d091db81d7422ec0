"""Tables 1, 4, 5 and 6 of the paper in the drawn world: all rows trained and measured alike.

    python benchmarks/paper/tables_miniature.py --work FOLDER --pool POOL \
        [--seeds 0 1 2] [--steps 1000]
    python benchmarks/paper/tables_miniature.py --work FOLDER --show   # the tables of what is there

POOL is from `ovsam train pool`. All of it runs through `ovsam train` and `ovsam eval`, each step in
a folder of its own below FOLDER: what is finished is not done again, what was cut off goes on, so
the command may be stopped and repeated. `--rows coop-image ovsam` trains some of a seed's rows, so
that several processes can share one.

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
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ovsam.weights.hub import require

CONFIGS = Path(__file__).parents[2] / "configs" / "training"
TEACHER_STEPS, DISTIL_STEPS = 3000, 200  # of 4 and of 16 images
SCENES, SCENE_SEED, SCENE_SIZE = 300, 21, 320
SAM, NECK, SINGLE_SCALE, OVSAM = "sam", "sam2clip", "single-scale", "ovsam"
BASELINES = ("coop-image", "coop-feature", "adapter-conv", "adapter-simfpn")
HEADS = {"label-token": "nano-label-token", "label-token-clip": "nano-label-token-clip"}
ROWS = (*BASELINES, NECK, OVSAM, SINGLE_SCALE, *HEADS)
ZERO_SHOT = {  # folder → what differs from the config that the name begins with
    "image-crop": {},
    "feature-crop": {},
    "image-crop-by-box": {"region": "prompt", "background": "keep"},
    "feature-crop-by-box": {"region": "prompt"},
}
EMBEDDED = "nano"
WITH_POINTS = ("feature-crop", "coop-feature", OVSAM)
TABLE_1 = {  # folder → title
    "image-crop": "Image-crop",
    "feature-crop": "Feature-crop",
    "coop-image": "Image-crop + CoOp",
    "coop-feature": "Feature-crop + CoOp",
    "adapter-conv": "Feature-crop + conv adapter",
    "adapter-simfpn": "Feature-crop + simple FPN",
    OVSAM: "OV-SAM",
}
TABLES = {
    "Table 1, ground-truth boxes": ("gt-box", TABLE_1),
    "Table 1, centre points": ("gt-point", {name: TABLE_1[name] for name in WITH_POINTS}),
    "Table 4": (
        "gt-box",
        {"feature-crop": "SAM + CLIP", NECK: "+ SAM2CLIP", OVSAM: "+ CLIP2SAM"},
    ),
    "Table 5": ("gt-box", {NECK: "multi-scale neck", SINGLE_SCALE: "single-scale neck"}),
    "Table 6": (
        "gt-box",
        {
            "image-crop": "image-crop",
            "label-token": "label token",
            "label-token-clip": "label token + mask-pooled CLIP feature",
            OVSAM: "light FPN",
        },
    ),
    "Why": (
        "gt-box",
        {
            "image-crop": "image-crop, by SAM's mask",
            "image-crop-by-box": "image-crop, by the given box, background kept",
            "feature-crop": "feature-crop, by the box of SAM's mask",
            "feature-crop-by-box": "feature-crop, by the given box",
            OVSAM: "OV-SAM",
            EMBEDDED: "OV-SAM as embedded (nano)",
        },
    ),
}
METRICS = ("iou_base", "iou_novel", "accuracy_base", "accuracy_novel", "accuracy")
HEAD = "head"


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
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument(
        "--steps", type=int, default=1000, help="of 4 images, of each training of labels"
    )
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    if not options.show:
        if options.pool is None:
            parser.error("--pool is needed to train")
        setting = Setting(options.work.absolute(), options.pool.absolute(), options.steps)
        prepare(setting)
        for seed in options.seeds:
            train_seed(setting, seed, options.rows)
    show(options.work, options.seeds)


def prepare(setting: Setting) -> None:
    """Make what the seeds share: scenes, teacher, zero-shot rows and their measures."""
    scenes = setting.work / "data" / "ovsam_scenes"
    if not scenes.exists():
        run("scenes", scenes, "--count", SCENES, "--seed", SCENE_SEED, "--size", SCENE_SIZE)
    teacher = setting.shared("teacher")
    train(setting, "teacher", "nano-teacher", teacher, seed=21, steps=TEACHER_STEPS)
    for name, changes in ZERO_SHOT.items():
        out = setting.shared(name)
        if not (out / "model.safetensors").exists():
            config = CONFIGS / f"baseline-{name.removesuffix('-by-box')}-nano.yaml"
            values = yaml.safe_load(config.read_text())
            values["baseline"] |= {"name": name, **changes}
            path = write_config(out, values)
            run("train", "combine", "--config", path, *inits(teacher, find_nano()), "--out", out)
        measure(setting, out)
    embedded = setting.shared(EMBEDDED)
    if not embedded.exists():
        embedded.mkdir(parents=True)
        shutil.copy(find_nano(), embedded / "model.safetensors")
    measure(setting, embedded)


def train_seed(setting: Setting, seed: int, rows: Sequence[str]) -> None:
    """Train and measure rows of one seed, and what they are built on."""
    for name in rows:
        out = setting.of_seed(seed, name)
        if name in BASELINES:
            train(setting, "baseline", f"{name}-nano", out, seed, init=(tuned_sam(setting, seed),))
        elif name in (NECK, SINGLE_SCALE):
            train_neck(setting, seed, name)
        else:
            neck = train_neck(setting, seed, NECK)
            train(setting, "joint", HEADS.get(name, "clip2sam-nano"), out, seed, init=(neck,))
        measure(setting, out)


def tuned_sam(setting: Setting, seed: int) -> Path:
    """The SAM under a seed's trained baselines, its decoder fine-tuned."""
    init = setting.shared("teacher"), find_nano()
    out = setting.of_seed(seed, SAM)
    train(setting, "baseline", "sam-finetune-nano", out, seed, init=init)
    return out


def train_neck(setting: Setting, seed: int, name: str) -> Path:
    """A neck distilled from the teacher, in an OV-SAM with SAM's own decoder."""
    teacher, out = setting.shared("teacher"), setting.of_seed(seed, name)
    start = setting.of_seed(seed, f"start-{name}")
    if not (start / "model.safetensors").exists():
        model = "nano-single-scale" if name == SINGLE_SCALE else "nano"
        config = write_config(start, {"model": model, "seed": seed})
        sources = inits(find_nano(), teacher)
        run("train", "start", "--config", config, *sources, "--out", start)
    train(setting, "distil", "nano-distil", out, seed, init=(teacher, start), steps=DISTIL_STEPS)
    return out


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
    steps = steps or setting.steps
    values["loop"] |= {"steps": steps, "seed": seed, "log_every": 50}
    schedule = values["loop"]["schedule"]  # made for longer runs: a warm-up must end in this one
    schedule["warmup_steps"] = min(schedule["warmup_steps"], steps // 4)
    values["loop"]["evaluate_every_s"] = 1e9
    path = write_config(out, values)
    run("train", stage, "--config", path, "--data", setting.pool, *inits(*init), "--out", out)
    if not result.exists():  # a training that was told to stop saves and exits with 0
        sys.exit(f"{out} was stopped before its end; repeat the command to go on")


def measure(setting: Setting, folder: Path) -> None:
    """Measure a row by ground-truth boxes, some also by centre points."""
    model = folder / "model.safetensors"
    data = ("--data-root", setting.work / "data", "--dataset", "scenes", "--no-plots")
    for prompts in ("gt-box", "gt-point") if folder.name in WITH_POINTS else ("gt-box",):
        target = folder / prompts
        if not (target / "metrics.json").exists():
            run("eval", *data, "--model", model, "--prompts", prompts, "--worst", 0, "-o", target)
    cost = folder / "cost.json"
    if not cost.exists():
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
    return require("nano")[0]


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


def show(work: Path, seeds: Sequence[int]) -> None:
    """Print the tables: means over seeds, and half of what lies between smallest and largest."""
    columns = "IoU base | novel | acc. base | novel | all | head alone | GMACs | M params | seeds"
    for table, (prompts, rows) in TABLES.items():
        lines = [table, "", f"| method | {columns} |", "| --- " * 10 + "|"]
        for name, title in rows.items():
            shared = work / "shared" / name
            folders = [shared] if shared.exists() else [work / f"seed-{s}" / name for s in seeds]
            found = read_row(folders, prompts)
            if found is not None:
                lines.append(f"| {title} | {' | '.join(found)} |")
        sys.stdout.write("\n".join(lines) + "\n\n")


def read_row(folders: Sequence[Path], prompts: str) -> list[str] | None:
    """Return the cells of a row, or None where nothing was measured."""
    values: dict[str, list[float]] = defaultdict(list)
    cost: dict[str, Any] = {}
    for folder in folders:
        path, cost_path = folder / prompts / "metrics.json", folder / "cost.json"
        if path.exists() and cost_path.exists():
            metrics = json.loads(path.read_text())["metrics"]["instances"]
            for name in METRICS:
                values[name].append(100 * metrics[name])
            values[HEAD] += read_head_accuracy(folder)
            cost = json.loads(cost_path.read_text())
    if not values:
        return None
    costs = f"{cost['macs'] / 1e9:.2f}", f"{cost['parameters'] / 1e6:.2f}"
    cells = [describe(values[name]) for name in (*METRICS, HEAD)]
    return [*cells, *costs, str(len(values["accuracy"]))]


def read_head_accuracy(folder: Path) -> list[float]:
    """What the training itself found at its end: the label head without frozen CLIP, in percent."""
    log = folder / "log.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    found = [line["evaluation"].get("head_all") for line in lines if "evaluation" in line]
    return [100 * value for value in found[-1:] if value is not None]


def describe(numbers: Sequence[float]) -> str:
    """Mean and half spread."""
    if not numbers:
        return ""
    mean = f"{statistics.mean(numbers):.1f}"
    return mean if len(numbers) == 1 else f"{mean} ± {(max(numbers) - min(numbers)) / 2:.1f}"


if __name__ == "__main__":
    main()
