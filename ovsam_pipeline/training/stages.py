"""Stage name + YAML file → the training function that runs it. `commands/train.py` calls it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ovsam.errors import ConfigError
from ovsam.strict import build_strict
from ovsam.training.data.check import check_data
from ovsam.training.data.mixed import open_data
from ovsam.training.loop.distributed import join_ranks
from ovsam.training.loop.loop import TrainingRun
from ovsam.training.loop.settings import LoopSettings
from ovsam.training.stages.label import LabelStageSettings, TrainingData, load_classes
from ovsam_pipeline.terminal.app import print_result
from ovsam_pipeline.training.nano_detector import DetectorStep, DetectorStepSettings
from ovsam_pipeline.training.request import DataLimits, StageRequest

_CHECKS_DATA = ("masks", "labels", "joint", "baseline", "overfit", "check")


@dataclass(frozen=True, kw_only=True)
class PoolSettings:
    """configs/training/nano-pool.yaml.

    Attributes:
        held_out: Scenes that the runs are watched with.
        size: Of a scene, in pixels.
        styles: Folders of unpacked @iconify-json packages: a class is then drawn by Noto or by one
            of them, by chance.
    """

    count: int
    held_out: int
    size: int = 320
    styles: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DetectorStageSettings:
    """configs/training/nano-detector.yaml."""

    loop: LoopSettings
    step: DetectorStepSettings = field(default_factory=DetectorStepSettings)


def run_stage(request: StageRequest) -> None:
    """Run one stage."""
    if request.limits != DataLimits() and request.stage not in _CHECKS_DATA:
        raise ConfigError(
            "--vocabulary, --max-bad and --all-images are for the stages that learn from labelled "
            f"data ({', '.join(_CHECKS_DATA)}); `{request.stage}` takes none of them"
        )
    if request.stage == "pool":
        _draw_pools(request)
    elif request.stage == "detector":
        _train_detector(request)
    elif request.stage in ("combine", "baseline"):
        _run_baseline(request)
    elif request.stage in ("clip", "text", "merge"):
        _run_nano_stage(request)
    elif request.stage in ("masks", "labels", "joint", "overfit", "check"):
        _run_label_stage(request)
    else:
        _run_distillation(request)


def _run_nano_stage(request: StageRequest) -> None:
    """Run a stage that only `nano` is made by."""
    from ovsam.training.stages import nano

    where = str(request.config)
    if request.stage == "clip":
        settings = build_strict(nano.ClipStageSettings, request.values(), where)
        init = request.before() if request.init else None
        nano.train_clip(settings, request.pool(), request.out, init)
    elif request.stage == "text":
        text = build_strict(nano.TextStageSettings, request.values(), where)
        nano.fit_text(text, request.before(), request.out)
    else:
        masks, head = request.before_both()
        provenance = "trained from nothing on drawn scenes of emoji, docs/nano.md"
        nano.merge_stages(masks, head, request.out, provenance)


def _run_label_stage(request: StageRequest) -> None:
    """Train masks, labels or both, or try it on one batch, or look at the data alone."""
    from ovsam.training.stages.label import LabelStageSettings, TrainingData, train_labels
    from ovsam.training.stages.overfitting import overfit_labels
    from ovsam_pipeline.training.request import apply_limits
    from ovsam_pipeline.training.validation import make_validation

    # A check needs no YAML: --data and --vocabulary say all.
    is_plain = request.stage == "check" and request.config is None
    values = {"loop": {"steps": 1}} if is_plain else request.values()
    settings = build_strict(LabelStageSettings, values, str(request.config))
    settings = apply_limits(settings, request.limits)
    source = TrainingData(request.data, request.images)
    if request.stage == "check":
        run_check(settings, source)
    elif request.stage == "overfit":
        overfit_labels(settings, source, request.before(), request.out)
    else:
        validate = make_validation(settings.validation, request.out)
        train_labels(settings, source, request.before(), request.out, validate)


def _run_distillation(request: StageRequest) -> None:
    """Run a stage of SAM2CLIP: the teacher, its features, the student's start, distillation."""
    from ovsam.training.stages import distil

    where = str(request.config)
    if request.stage == "teacher":
        teacher = build_strict(distil.TeacherStageSettings, request.values(), where)
        distil.train_teacher(teacher, request.pool(), request.out)
    elif request.stage == "start":
        from ovsam.training.stages.stage_files import save_stage
        from ovsam.training.stages.start import StartSettings, start_model

        start = build_strict(StartSettings, request.values(), where)
        model = start_model(start, *request.before_both())
        save_stage(model, request.out, "start of SAM2CLIP distillation: CLIP and SAM, a new neck")
    elif request.stage == "cache-teacher":
        settings = build_strict(distil.DistilStageSettings, request.values(), where)
        distil.cache_teacher(settings, request.pool(), request.before(), request.out)
    else:
        settings = build_strict(distil.DistilStageSettings, request.values(), where)
        teacher_folder, student_folder = request.before_both()
        distil.distil(settings, request.pool(), teacher_folder, student_folder, request.out)


def _run_baseline(request: StageRequest) -> None:
    """Put a baseline of Table 1 together, or train one."""
    from ovsam.training.stages import baseline as baselines
    from ovsam.training.stages.label import TrainingData
    from ovsam_pipeline.training.request import apply_limits

    where = str(request.config)
    if request.stage == "combine":
        parts = build_strict(baselines.CombineSettings, request.values(), where)
        baselines.combine_stage(parts, request.init, request.out)
    else:
        settings = build_strict(baselines.BaselineStageSettings, request.values(), where)
        settings = apply_limits(settings, request.limits)
        source = TrainingData(request.data, request.images)
        baselines.train_baseline(settings, source, request.init, request.out)


def _draw_pools(request: StageRequest) -> None:
    """Draw the training and the held-out pool into the --out folder."""
    from ovsam.training.scenes import pool as scene_pool
    from ovsam.training.scenes.iconify import add_styles
    from ovsam.training.scenes.sprites import load_noto_atlas

    settings = build_strict(PoolSettings, request.values(), str(request.config))
    atlas = add_styles(load_noto_atlas(request.font), [Path(folder) for folder in settings.styles])
    for name, count, world, scenes in (
        ("train", settings.count, scene_pool.TRAIN_WORLD, scene_pool.TRAIN_SCENES),
        ("test", settings.held_out, scene_pool.HELD_OUT_WORLD, scene_pool.HELD_OUT_SCENES),
    ):
        folder = request.out / name
        scene_pool.create_pool(folder, count, settings.size)
        scene_pool.fill_pool(folder, atlas, (world, 0), scenes, range(count))


def _train_detector(request: StageRequest) -> None:
    """Train the class-agnostic detector and write its float16 weights."""
    import torch

    from ovsam.training.scenes.pool import ScenePool
    from ovsam.weights.tensor_files import write_tensors
    from ovsam_pipeline.detectors.nano import build_nano_network

    settings = build_strict(DetectorStageSettings, request.values(), str(request.config))
    torch.manual_seed(settings.loop.seed)
    ranks = join_ranks()
    network = build_nano_network().to(ranks.device, memory_format=torch.channels_last)
    network.train()
    pool = ScenePool(request.pool() / "train")
    sampler = pool.sampler(np.zeros(1 << 10, np.int64))
    run = TrainingRun({"detector": network}, settings.loop, request.out, ranks, about=settings)
    run.run(DetectorStep(network, sampler, settings.step))
    if not ranks.is_first:
        return
    tensors = {
        name: (value.half() if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    write_tensors(request.out / "detector.safetensors", tensors)


def run_check(settings: LabelStageSettings, data: TrainingData) -> None:
    """Write what is found to stdout, a line each."""
    entries = data.entries(settings.data)
    opened = open_data(entries, load_classes(settings.vocabulary, entries))
    report = check_data(opened, settings.check_images, settings.step.with_labels)
    for line in report.lines():
        print_result(line)
    report.refuse_past(settings.data_budget)
