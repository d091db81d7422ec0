"""The stages that make `nano`, in order: clip → text → masks | labels → merge.

Each reads a scene pool and the model file of the stage before, and writes `model.safetensors`,
`log.jsonl` and a checkpoint into its own folder. Masks and labels share no gradient and run side by
side. The detector's stage is ovsam_pipeline/detectors/nano_training.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ovsam.build import build_model
from ovsam.clip_backbone import ResNetBackbone
from ovsam.errors import ConfigError
from ovsam.model import OVSAM
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.text_tower import build_text_tower
from ovsam.text.vocabulary_files import load_vocabulary
from ovsam.training.loop.distributed import join_ranks
from ovsam.training.loop.loop import TrainingRun
from ovsam.training.loop.settings import LoopSettings
from ovsam.training.scenes.batches import SceneBatchSource
from ovsam.training.scenes.crops import CropSource
from ovsam.training.scenes.pool import ScenePool
from ovsam.training.stages.evaluation import evaluate_tower
from ovsam.training.stages.stage_files import LICENCE, load_stage, save_stage
from ovsam.training.steps.clip_pretraining import (
    ClipPretrainer,
    ClipStep,
    ClipStepSettings,
    reset_batch_norms,
)
from ovsam.training.steps.text_fitting import TextFittingStep
from ovsam.weights.checkpoint import load_checkpoint, save_checkpoint
from ovsam.weights.run_folder import MODEL_FILE
from ovsam.weights.tensor_files import write_tensors

PROTOTYPES_FILE = "prototypes.safetensors"


@dataclass(frozen=True, kw_only=True)
class ClipStageSettings:
    """configs/training/nano-clip.yaml."""

    loop: LoopSettings
    step: ClipStepSettings = field(default_factory=ClipStepSettings)


@dataclass(frozen=True, kw_only=True)
class TextStageSettings:
    """configs/training/nano-text.yaml."""

    loop: LoopSettings
    texts_per_step: int = 96


def open_pools(data: Path) -> tuple[ScenePool, ScenePool]:
    """Open the training and the held-out pool of a folder."""
    return ScenePool(data / "train"), ScenePool(data / "test")


def train_clip(
    settings: ClipStageSettings, data: Path, out: Path, init: Path | None = None
) -> None:
    """Train the image tower; writes the model file and the prototypes.

    `init`: a trained nano that shall know more drawings of its classes: its tower trains on, and
    the prototypes are what its text tower makes of the names, and stay so. None: all is random.
    """
    ranks = join_ranks()
    torch.manual_seed(settings.loop.seed)
    model = build_model("nano") if init is None else load_stage(init)
    train_pool, test_pool = open_pools(data)
    pretrainer = _make_pretrainer(model, prototypes=None if init is None else _embed_names(model))
    scenes = SceneBatchSource(train_pool)
    step = ClipStep(pretrainer, CropSource(train_pool), scenes, settings.step)
    inputs = {} if init is None else {"--init": model.identity}
    run = TrainingRun(
        {"pretrainer": pretrainer}, settings.loop, out, ranks, about=settings, inputs=inputs
    )
    run.run(step, lambda: evaluate_tower(pretrainer, test_pool, crops=600, scenes=80))
    if ranks.is_first:
        reset_batch_norms(pretrainer, scenes)
        final = evaluate_tower(pretrainer, test_pool, crops=1200, scenes=200)
        run.log.write(step=run.state.step, final=final)
        save_stage(model, out, "nano clip stage")
        prototypes = F.normalize(pretrainer.prototypes.detach(), dim=1).contiguous()
        write_tensors(out / PROTOTYPES_FILE, {"prototypes": prototypes})


def _make_pretrainer(model: OVSAM, prototypes: Tensor | None) -> ClipPretrainer:
    """Put a model's tower and what its training needs together; prototypes given are fixed."""
    tower, clip = model.image_encoder, model.config.clip
    if not isinstance(tower, ResNetBackbone):
        raise ConfigError(f"expected nano or a tower like its own, got {model.config.name}")
    tower.requires_grad_(True)
    num_classes = load_vocabulary("nano").num_classes
    pretrainer = ClipPretrainer(tower, clip.channels, num_classes, clip.embed_dim).train()
    if prototypes is not None:
        pretrainer.prototypes.requires_grad_(False).copy_(prototypes)
    return pretrainer.to(memory_format=torch.channels_last)


def _embed_names(model: OVSAM) -> Tensor:
    """What a model's text tower makes of nano's class names, (C, D)."""
    embedded = embed_vocabulary(load_vocabulary("nano"), model.text_tower).embeddings
    assert embedded is not None
    return embedded[:, 0]


def fit_text(settings: TextStageSettings, init: Path, out: Path) -> None:
    """Fit the text tower to the prototypes of the clip stage's folder `init`."""
    if not (init / PROTOTYPES_FILE).is_file():
        raise ConfigError(
            f"expected the folder of `ovsam train clip`, {init} has no {PROTOTYPES_FILE}"
        )
    model = load_checkpoint(init / MODEL_FILE)
    prototypes = load_file(init / PROTOTYPES_FILE)["prototypes"]
    torch.manual_seed(settings.loop.seed)
    tower = build_text_tower(model.config.clip).train().requires_grad_(True)
    model.attach_namer(tower)
    step = TextFittingStep(tower, load_vocabulary("nano"), prototypes, settings.texts_per_step)
    run = TrainingRun({"text": tower}, settings.loop, out, join_ranks(), about=settings)
    run.run(step)
    if not run.ranks.is_first:
        return
    tower.eval().requires_grad_(False)
    cosines = (_embed_names(model) * prototypes).sum(dim=1)
    run.log.write(step=run.state.step, final={"mean_cosine": round(float(cosines.mean()), 4)})
    save_stage(model, out, "nano text stage")


def merge_stages(masks: Path, labels: Path, out: Path, provenance: str) -> None:
    """Join the masks run and the labels run of one tower into the file that ships (float16).

    The text tower is that of the labels run, whose head learned with it. `out`: the file, or a
    folder that gets `model.safetensors`.
    """
    model, head = load_stage(masks), load_stage(labels)
    ours, theirs = model.image_encoder.state_dict(), head.image_encoder.state_dict()
    if ours.keys() != theirs.keys() or not all(
        torch.equal(ours[name], theirs[name]) for name in ours
    ):
        raise ConfigError(f"expected one image tower in {masks} and {labels}, got two different")
    if {model.clip2sam.kind, head.clip2sam.kind} != {"fpn"}:
        raise ConfigError(
            f"expected heads of kind fpn in {masks} and {labels}, got {model.clip2sam.kind} and "
            f"{head.clip2sam.kind}; a label token's head works with the decoder it was trained with"
        )
    model.clip2sam.load_state_dict(head.clip2sam.state_dict())
    model.attach_namer(head.text_tower)
    model.config = replace(model.config, trained_on=head.config.trained_on)
    metadata = {"licence": LICENCE, "provenance": provenance}
    file = out if out.suffix == ".safetensors" else out / MODEL_FILE
    save_checkpoint(model, file, metadata, dtype=torch.float16)
