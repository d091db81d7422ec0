"""The paper's first stage on scenes: train a small SAM teacher, then distil it into a neck."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ovsam.build import build_model
from ovsam.config import ModelConfig, SamConfig
from ovsam.errors import ConfigError, ImageError
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.sam import SAM, SamImageEncoder, build_sam, teacher_config
from ovsam.structures import PreparedImage
from ovsam.tiny_vit import TinyVit
from ovsam.training.data.image_set import ImageSet, open_images
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.training.loop.distributed import Ranks, join_ranks, wait_for_all
from ovsam.training.loop.loop import TrainingRun
from ovsam.training.loop.settings import LoopSettings
from ovsam.training.stages.nano import open_pools
from ovsam.training.stages.stage_files import load_stage, save_stage
from ovsam.training.steps.distil import DistilStep, TeacherTargets
from ovsam.training.steps.label import LabelStepSettings, freeze_all_but
from ovsam.training.steps.teacher import TeacherStep
from ovsam.training.steps.teacher_features import (
    FEATURES_FILE,
    FeatureForm,
    StoredFeatures,
    Targets,
    find_missing,
    prepare_features,
    write_features,
)
from ovsam.vision_transformer import PATCH_SIZE
from ovsam.weights.checkpoint import assign_tensors, hash_tensors, load_sam_checkpoint
from ovsam.weights.run_folder import find_weights
from ovsam.weights.tensor_files import read_tensors, write_tensors

logger = logging.getLogger(__name__)

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
    """configs/training/nano-distil.yaml, sam2clip.yaml; of `cache-teacher` too.

    Attributes:
        sam: an official teacher's name, where it is given as a file.
        size: of a teacher of our own, given as a folder.
        with_bfloat16: see `DistilStep`; the teacher too.
        threads: read images ahead in so many threads.
        features: type of stored features, "float16" or "bfloat16".
    """

    loop: LoopSettings
    sam: str = "sam-h"
    size: TeacherSize = field(default_factory=TeacherSize)
    images_per_step: int = 16
    with_bfloat16: bool = False
    threads: int = 0
    features: Literal["float16", "bfloat16"] = "float16"


def _teacher_config(size: TeacherSize) -> SamConfig:
    student = build_model("nano", "meta").config
    return teacher_config(student, width=size.width, depth=size.depth, heads=size.heads)


def load_small_sam(config: SamConfig, folder: Path) -> SAM:
    """Load a SAM of our own from its folder."""
    sam = build_sam(config)
    where = f"{folder} (is its size what the config says?)"
    assign_tensors(sam, read_tensors(folder / TEACHER_FILE), where)
    return sam


def load_teacher(settings: DistilStageSettings, source: Path) -> SAM:
    """Load the teacher: our small one from its folder, or an official SAM from its file."""
    if source.is_dir():
        return load_small_sam(_teacher_config(settings.size), source)
    return load_sam_checkpoint(build_sam(settings.sam), find_weights(source))


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
    tensors = {name: value.contiguous() for name, value in sam.state_dict().items()}
    write_tensors(out / TEACHER_FILE, tensors)


def cache_teacher(settings: DistilStageSettings, data: Path, teacher: Path, out: Path) -> None:
    """Store a teacher's embedding of every image; the same command resumes it."""
    ranks = join_ranks()
    images = open_images(data)
    sam = load_teacher(settings, teacher).requires_grad_(False)
    config = sam.config
    form = FeatureForm(
        teacher=hash_tensors(sam.state_dict()),
        num_images=len(images),
        channels=config.embed_channels,
        grid=config.input_size // PATCH_SIZE,
        input_size=config.input_size,
        dtype=settings.features,
    )
    if ranks.is_first:
        prepare_features(out, form, images)
        logger.info(
            "features of %d images in %s: %.2f GB", form.num_images, out, form.num_bytes / 1e9
        )
    wait_for_all(ranks)
    encoder = sam.image_encoder.to(ranks.device)
    missing = find_missing(out, form)
    for count, number in enumerate(missing[ranks.rank :: ranks.world_size], 1):
        start_s = time.monotonic()
        rows = form.rows(number)
        write_features(out, form, number, _encode(encoder, images, rows, settings, config))
        share = -(-len(missing) // ranks.world_size)
        pace = len(rows) / (time.monotonic() - start_s)
        logger.info("file %d of %d: %.2f images/s", count, share, pace)
    wait_for_all(ranks)


def _encode(
    encoder: SamImageEncoder | TinyVit,
    images: ImageSet,
    rows: range,
    settings: DistilStageSettings,
    config: SamConfig,
) -> Iterator[Tensor]:
    """Yield the embeddings of some images, a batch at a time, read ahead by threads."""
    device = next(encoder.parameters()).device
    size = settings.images_per_step

    def prepare(row: int) -> PreparedImage:
        try:
            pixels = images.load(row)
        except ImageError as error:  # distillation passes it over too, so nobody asks for these
            logger.warning("features of an empty image in its place: %s", error)
            pixels = np.zeros((config.input_size, config.input_size, 3), np.uint8)
        return prepare_image(pixels, config.input_size)

    with ThreadPoolExecutor(max(1, settings.threads)) as pool, torch.inference_mode():
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        waiting = [pool.submit(prepare, row) for row in batches[0]]
        for following in [*batches[1:], range(0)]:
            prepared = [future.result() for future in waiting]
            waiting = [pool.submit(prepare, row) for row in following]
            with autocast_bfloat16(device, settings.with_bfloat16):
                yield encoder(to_network_input(prepared, device))


def distil(settings: DistilStageSettings, data: Path, teacher: Path, init: Path, out: Path) -> None:
    """Distil a teacher into the neck of a model.

    `data`: folder of images, or of scene pools; masks are not used. `teacher`: folder of
    `cache_teacher` (no teacher is loaded then) or of `train_teacher`, or a SAM checkpoint
    (`sam_vit_h_4b8939.pth`).
    """
    ranks = join_ranks()
    student = load_stage(init).to(ranks.device)
    parts = freeze_all_but(student, ("neck",))
    targets = _open_targets(settings, teacher, student.config, ranks)
    images = open_images(data)
    if isinstance(targets, StoredFeatures):
        targets.check_keys([images.key(row) for row in range(len(images))])
    inputs = {
        "--init": [targets.identity, student.identity],
        "--data": f"{len(images)} images",
    }
    step = DistilStep(
        student,
        targets,
        images,
        settings.images_per_step,
        with_bfloat16=settings.with_bfloat16,
        threads=settings.threads,
    )
    TrainingRun(parts, settings.loop, out, ranks, about=settings, inputs=inputs).run(step)
    if ranks.is_first:
        student.eval().requires_grad_(False)
        save_stage(student, out, f"SAM2CLIP distillation of {student.config.name}")


def _open_targets(
    settings: DistilStageSettings, teacher: Path, student: ModelConfig, ranks: Ranks
) -> Targets:
    targets: Targets
    if (teacher / FEATURES_FILE).exists():
        targets = StoredFeatures(teacher)
        form = targets.form
        found = form.input_size, form.channels
    else:
        sam = load_teacher(settings, teacher).to(ranks.device).requires_grad_(False)
        targets = TeacherTargets(sam)
        found = sam.config.input_size, sam.config.embed_channels
    wanted = student.input_size, student.embed_channels
    if found != wanted:
        raise ConfigError(
            f"the student's embedding has {wanted[1]} channels at {wanted[0]} pixels, the "
            f"teacher's in {teacher} {found[1]} at {found[0]}; choose a teacher of its size"
        )
    return targets
