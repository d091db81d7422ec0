"""The paper's first stage on scenes: train a small SAM teacher, then distil it into a neck."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ovsam.build import build_model
from ovsam.checkpoint import hash_tensors, load_checkpoint
from ovsam.sam import SAM, SamConfig, build_sam, teacher_config
from ovsam.training.distil_step import DistilStep
from ovsam.training.feature_cache import FeatureCache
from ovsam.training.label_step import LabelStepSettings, freeze_all_but
from ovsam.training.loop import LoopSettings, TrainingRun
from ovsam.training.nano_stages import MODEL_FILE, open_pools, save_stage
from ovsam.training.scene_pool import ScenePool
from ovsam.training.teacher_step import TeacherStep

TEACHER_FILE = "teacher.safetensors"


@dataclass(frozen=True, kw_only=True)
class TeacherSize:
    """Width, blocks and heads of the teacher's image encoder."""

    width: int = 128
    depth: int = 4
    heads: int = 4


@dataclass(frozen=True, kw_only=True)
class TeacherStageSettings:
    """configs/training/nano-teacher.yaml."""

    loop: LoopSettings
    size: TeacherSize = field(default_factory=TeacherSize)
    step: LabelStepSettings = field(default_factory=LabelStepSettings)


@dataclass(frozen=True, kw_only=True)
class DistilStageSettings:
    """configs/training/nano-distil.yaml."""

    loop: LoopSettings
    size: TeacherSize = field(default_factory=TeacherSize)
    images_per_step: int = 16


def _teacher_config(size: TeacherSize) -> SamConfig:
    student = build_model("nano", "meta").config
    return teacher_config(student, width=size.width, depth=size.depth, heads=size.heads)


def train_teacher(settings: TeacherStageSettings, data: Path, out: Path) -> None:
    """Train a SAM on scenes and write its weights."""
    torch.manual_seed(settings.loop.seed)
    sam = build_sam(_teacher_config(settings.size)).train()
    pool, _ = open_pools(data)
    step = TeacherStep(sam, pool.sampler(np.zeros(1 << 10, np.int64)), settings.step)
    TrainingRun({"teacher": sam}, settings.loop, out).run(step)
    save_file(
        {name: value.contiguous() for name, value in sam.state_dict().items()},
        str(out / TEACHER_FILE),
    )


def distil(
    settings: DistilStageSettings, data: Path, teacher_folder: Path, init: Path, out: Path
) -> None:
    """Distil a teacher into the neck of the model in `init`."""
    tensors = load_file(teacher_folder / TEACHER_FILE)
    teacher: SAM = build_sam(_teacher_config(settings.size))
    teacher.load_state_dict(tensors)
    teacher.requires_grad_(False)
    student = load_checkpoint(init / MODEL_FILE)
    parts = freeze_all_but(student, ("neck",))
    pool = ScenePool(data / "train")

    def load_image(random: np.random.Generator) -> tuple[str, np.ndarray]:
        index = int(random.integers(len(pool)))
        return f"scene-{index:06d}", np.array(pool.images[index])

    cache = FeatureCache(out / "teacher-features", hash_tensors(tensors))
    step = DistilStep(student, teacher, cache, load_image, settings.images_per_step)
    TrainingRun(parts, settings.loop, out).run(step)
    student.eval().requires_grad_(False)
    save_stage(student, out, "nano distil stage")
