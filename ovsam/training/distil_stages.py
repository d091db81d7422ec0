"""The paper's first stage on scenes: train a small SAM teacher, then distil it into a neck."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from ovsam.build import build_model
from ovsam.checkpoint import hash_tensors, load_sam_checkpoint
from ovsam.config import SamConfig
from ovsam.errors import ConfigError
from ovsam.sam import SAM, build_sam, teacher_config
from ovsam.training.coco_data import CocoTrainingSet
from ovsam.training.distil_step import DistilStep, LoadImage
from ovsam.training.distributed import join_ranks
from ovsam.training.feature_cache import FeatureCache
from ovsam.training.label_step import LabelStepSettings, freeze_all_but
from ovsam.training.loop import LoopSettings, TrainingRun
from ovsam.training.nano_stages import TrainingData, load_stage, open_pools, save_stage
from ovsam.training.scene_pool import ScenePool
from ovsam.training.teacher_step import TeacherStep
from ovsam.vocabulary import load_vocabulary

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
    """configs/training/nano-distil.yaml, sam2clip.yaml.

    `size` is that of a teacher of our own; `sam` names an official one given as a file.
    """

    loop: LoopSettings
    sam: str = "sam-h"
    size: TeacherSize = field(default_factory=TeacherSize)
    images_per_step: int = 16


def _teacher_config(size: TeacherSize) -> SamConfig:
    student = build_model("nano", "meta").config
    return teacher_config(student, width=size.width, depth=size.depth, heads=size.heads)


def load_teacher(settings: DistilStageSettings, source: Path) -> SAM:
    """Load the teacher: our small one from its folder, or an official SAM from its file."""
    if source.is_dir():
        sam = build_sam(_teacher_config(settings.size))
        sam.load_state_dict(load_file(source / TEACHER_FILE))
        return sam
    return load_sam_checkpoint(build_sam(settings.sam), source)


def _image_loader(data: TrainingData) -> LoadImage:
    """What draws images and their keys from pools or a COCO file."""
    if not data.is_pool:
        if data.images is None:
            raise ConfigError(f"the COCO file {data.path} needs its image folder: give --images")
        names = load_vocabulary("coco")  # labels are not used
        return CocoTrainingSet(data.path, data.images, names).sample_image
    pool = ScenePool(data.path / "train")

    def load_image(random: np.random.Generator) -> tuple[str, np.ndarray]:
        index = int(random.integers(len(pool)))
        return f"scene-{index:06d}", np.array(pool.images[index])

    return load_image


def train_teacher(settings: TeacherStageSettings, data: Path, out: Path) -> None:
    """Train a SAM on scenes and write its weights."""
    torch.manual_seed(settings.loop.seed)
    ranks = join_ranks()
    sam = build_sam(_teacher_config(settings.size)).to(ranks.device).train()
    pool, _ = open_pools(data)
    step = TeacherStep(sam, pool.sampler(np.zeros(1 << 10, np.int64)), settings.step)
    run = TrainingRun({"teacher": sam}, settings.loop, out, ranks, about=settings)
    run.run(step)
    if not ranks.is_first:
        return
    save_file(
        {name: value.contiguous() for name, value in sam.state_dict().items()},
        str(out / TEACHER_FILE),
    )


def distil(
    settings: DistilStageSettings, data: TrainingData, teacher: Path, init: Path, out: Path
) -> None:
    """Distil a teacher into the neck of a model.

    Args:
        settings: Of the stage.
        data: Images; masks are not used.
        teacher: Folder of `train_teacher`, or a SAM checkpoint (`sam_vit_h_4b8939.pth`).
        init: Folder or file of the student.
        out: Folder of this run.
    """
    ranks = join_ranks()
    sam = load_teacher(settings, teacher).to(ranks.device).requires_grad_(False)
    student = load_stage(init).to(ranks.device)
    parts = freeze_all_but(student, ("neck",))
    cache = FeatureCache(out / "teacher-features", hash_tensors(sam.state_dict()))
    step = DistilStep(student, sam, cache, _image_loader(data), settings.images_per_step)
    TrainingRun(parts, settings.loop, out, ranks, about=settings).run(step)
    if ranks.is_first:
        student.eval().requires_grad_(False)
        save_stage(student, out, "nano distil stage")
