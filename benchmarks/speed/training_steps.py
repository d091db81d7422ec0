"""One optimiser step of each stage at full size, on made-up pictures and random weights.

    python benchmarks/speed/training_steps.py [--model rn50x16] [--stage sam2clip|clip2sam] \
        [--images 1]
        [--steps 2] [--bfloat16]

Each stage runs in a process of its own. Prints one JSON object a stage: parameters that train,
losses, seconds of each step by part, images/s, and the peak memory (of the GPU where there is one).
The teacher of sam2clip is SAM-H; its seconds are told apart, as stored features save them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from ovsam.build import build_model
from ovsam.sam import build_sam
from ovsam.training.loop.optimiser import OptimiserSettings, build_optimiser
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import TrainingSample
from ovsam.training.steps.distil import DistilStep, TeacherTargets
from ovsam.training.steps.label import PAPER_PARTS, LabelStep, LabelStepSettings, freeze_all_but

STAGES = ("sam2clip", "clip2sam")
HEIGHT, WIDTH, OBJECTS, CLASSES = 768, 1024, 20, 48


def main() -> None:
    """Run each stage in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rn50x16")
    parser.add_argument("--stage", choices=STAGES)
    parser.add_argument("--images", type=int, default=1)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--bfloat16", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.stage is None:
        for stage in STAGES:
            command = [sys.executable, __file__, *sys.argv[1:], "--stage", stage]
            subprocess.run(command, check=True)
        return
    make = {"sam2clip": make_sam2clip, "clip2sam": make_clip2sam}[options.stage]
    print(json.dumps({"stage": options.stage, **measure(make, options)}))


class TimedTargets(TeacherTargets):
    """A teacher that notes how long it took."""

    seconds = 0.0

    def collect(self, keys: Any, pixels: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of a batch, and add the time."""
        start_s = wait_for(pixels.device)
        found = super().collect(keys, pixels)
        self.seconds += wait_for(pixels.device) - start_s
        return found


class MadeUpImages:
    """Noise in the size of photographs."""

    def __len__(self) -> int:
        """How many."""
        return 1000

    def key(self, index: int) -> str:
        """Return a name."""
        return str(index)

    def load(self, index: int) -> np.ndarray:
        """Return (H, W, 3) uint8."""
        return draw_pixels(np.random.default_rng(index))


def draw_pixels(random: np.random.Generator) -> np.ndarray:
    """Return (H, W, 3) uint8 noise."""
    return random.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def draw_sample(random: np.random.Generator) -> TrainingSample:
    """Return noise with boxes as objects."""
    masks = np.zeros((OBJECTS, HEIGHT, WIDTH), np.uint8)
    for mask in masks:
        top, left = random.integers(0, HEIGHT - 64), random.integers(0, WIDTH - 64)
        height, width = random.integers(48, 300, 2)
        mask[top : top + height, left : left + width] = 1
    return TrainingSample(
        pixels=draw_pixels(random), masks=masks, labels=random.integers(0, CLASSES, OBJECTS)
    )


def make_sam2clip(options: argparse.Namespace, device: torch.device) -> tuple[Any, Any]:
    """Return the parts that train and the step of the first stage."""
    student = build_model(options.model, device)
    parts = freeze_all_but(student, ("neck",))
    targets = TimedTargets(build_sam("sam-h", device).requires_grad_(False))
    images = MadeUpImages()
    step = DistilStep(student, targets, images, options.images, with_bfloat16=options.bfloat16)
    return parts, step


def make_clip2sam(options: argparse.Namespace, device: torch.device) -> tuple[Any, Any]:
    """Return the parts that train and the step of the second stage."""
    model = build_model(options.model, device)
    parts = freeze_all_but(model, PAPER_PARTS)
    texts = torch.randn(CLASSES, 1, model.config.clip.embed_dim, device=device)
    settings = LabelStepSettings(images_per_step=options.images, with_bfloat16=options.bfloat16)
    texts = torch.nn.functional.normalize(texts, dim=2)
    return parts, LabelStep(model, texts, draw_sample, settings)


def measure(make: Any, options: argparse.Namespace) -> dict[str, Any]:
    """Take some steps and return what they cost."""
    torch.manual_seed(0)
    device = torch.device(options.device)
    parts, step = make(options, device)
    modules = parts.values()
    optimiser = build_optimiser(modules, OptimiserSettings())
    trained = sum(p.numel() for part in modules for p in part.parameters() if p.requires_grad)
    rows = []
    for number in range(options.steps):
        start_s = wait_for(device)
        losses = step(number, 0.0, StepRandom(0, number))
        forward_s = wait_for(device)
        torch.stack([loss for name, loss in losses.items() if loss.requires_grad]).sum().backward()
        backward_s = wait_for(device)
        optimiser.step()
        optimiser.zero_grad()
        end_s = wait_for(device)
        rows.append(
            {
                "losses": {name: round(float(loss), 4) for name, loss in losses.items()},
                "forward_s": round(forward_s - start_s, 2),
                "backward_s": round(backward_s - forward_s, 2),
                "optimiser_s": round(end_s - backward_s, 2),
            }
        )
        seconds = end_s - start_s
    teacher_s = getattr(getattr(step, "targets", None), "seconds", 0.0) / options.steps
    return {
        "model": options.model,
        "device": str(device),
        "images": options.images,
        "bfloat16": options.bfloat16,
        "threads": torch.get_num_threads(),
        "trained_m": round(trained / 1e6, 3),
        "steps": rows,
        "teacher_s": round(teacher_s, 2),
        "images_per_s": round(options.images / seconds, 4),
        "peak_gb": round(find_peak_bytes(device) / 1e9, 2),
    }


def wait_for(device: torch.device) -> float:
    """Return the time when the device has done what it was asked for, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def find_peak_bytes(device: torch.device) -> int:
    """Return the most memory that was held: the GPU's, or this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
