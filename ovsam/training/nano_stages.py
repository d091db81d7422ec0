"""The stages that make `nano`, in order: clip → text → masks | labels → merge.

Each reads a scene pool and the model file of the stage before, and writes `model.safetensors`,
`log.jsonl` and a checkpoint into its own folder. Masks and labels share no gradient and run side by
side. The detector's stage is ovsam_pipeline/detectors/nano_training.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ovsam.build import build_model
from ovsam.checkpoint import load_checkpoint, save_checkpoint
from ovsam.clip_backbone import ResNetBackbone
from ovsam.errors import CheckpointError, ConfigError
from ovsam.load import load_model
from ovsam.model import OVSAM
from ovsam.text_tower import build_text_tower
from ovsam.training.clip_pretraining import (
    ClipPretrainer,
    ClipStep,
    ClipStepSettings,
    reset_batch_norms,
)
from ovsam.training.crops import CropSource
from ovsam.training.data_check import CHECKED_IMAGES, DEFAULT_BUDGET, open_checked_data
from ovsam.training.distributed import Ranks, join_ranks
from ovsam.training.evaluation import evaluate_labels, evaluate_masks, evaluate_tower
from ovsam.training.example_embeddings import embed_examples
from ovsam.training.label_heads import switch_label_head
from ovsam.training.label_step import (
    LabelStep,
    LabelStepSettings,
    freeze_all_but,
)
from ovsam.training.loop import LoopSettings, TrainingRun
from ovsam.training.mixed_data import DataSettings, MixedData, open_data
from ovsam.training.scene_batches import SceneBatchSource
from ovsam.training.scene_pool import ScenePool
from ovsam.training.settings import FREE
from ovsam.training.text_fitting import TextFittingStep
from ovsam.vocabulary import (
    BUILT_IN_VOCABULARIES,
    Vocabulary,
    embed_vocabulary,
    load_vocabulary,
)
from ovsam.vocabulary_file import save_vocabulary

LICENCE = "Apache-2.0"
MODEL_FILE = "model.safetensors"
PROTOTYPES_FILE = "prototypes.safetensors"
VOCABULARY_FILE = "vocabulary.safetensors"


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


@dataclass(frozen=True, kw_only=True)
class LabelStageSettings:
    """configs/training/nano-masks.yaml, nano-labels.yaml, clip2sam-coco.yaml.

    Attributes:
        loop: How long, how fast, how often.
        vocabulary: Names the classes; its base classes teach the head. "data": the categories of
            the one COCO file that is the data.
        class_embeddings: "names": CLIP's text tower embeds the names. "examples": each class is
            what CLIP sees in its objects, for names that mean nothing to CLIP; the run's folder
            gets them as vocabulary.safetensors.
        examples: Objects of a class to look at for "examples".
        label_head: "fpn", "label-token" or "label-token+clip" (paper Table 6): the model gets a new
            head of this kind where it has another. "": the model's own.
        data: Training sets, where --data names none.
        data_budget: Largest part of the data that may be bad; see data_check.py.
        check_images: Pictures and masks of each set to decode before the training; below 0: all.
        step: What trains and on how much.
    """

    loop: LoopSettings
    vocabulary: str = "nano"
    class_embeddings: Literal["names", "examples"] = "names"
    examples: int = 50
    label_head: str = ""
    data: tuple[DataSettings, ...] = ()
    data_budget: float = field(default=DEFAULT_BUDGET, metadata=FREE)
    check_images: int = field(default=CHECKED_IMAGES, metadata=FREE)
    step: LabelStepSettings = field(default_factory=LabelStepSettings)


def open_pools(data: Path) -> tuple[ScenePool, ScenePool]:
    """Open the training and the held-out pool of a folder."""
    return ScenePool(data / "train"), ScenePool(data / "test")


def save_stage(model: OVSAM, out: Path, provenance: str) -> None:
    """Write a stage's model file, float32 and with the text tower if there is one."""
    metadata = {"licence": LICENCE, "provenance": provenance}
    save_checkpoint(model, out / MODEL_FILE, metadata)


def train_clip(settings: ClipStageSettings, data: Path, out: Path) -> None:
    """Train the image tower; writes the model file (all else random) and the prototypes."""
    ranks = join_ranks()
    torch.manual_seed(settings.loop.seed)
    model = build_model("nano").to(memory_format=torch.channels_last)
    train_pool, test_pool = open_pools(data)
    num_classes = load_vocabulary("nano").num_classes
    tower, clip = model.image_encoder, model.config.clip
    assert isinstance(tower, ResNetBackbone)
    pretrainer = ClipPretrainer(tower, clip.channels, num_classes, clip.embed_dim).train()
    pretrainer = pretrainer.to(memory_format=torch.channels_last)
    scenes = SceneBatchSource(train_pool)
    step = ClipStep(pretrainer, CropSource(train_pool), scenes, settings.step)
    run = TrainingRun({"pretrainer": pretrainer}, settings.loop, out, ranks, about=settings)
    run.run(step, lambda: evaluate_tower(pretrainer, test_pool, crops=600, scenes=80))
    if ranks.is_first:
        reset_batch_norms(pretrainer, scenes)
        final = evaluate_tower(pretrainer, test_pool, crops=1200, scenes=200)
        run.log.write(step=run.state.step, final=final)
        save_stage(model, out, "nano clip stage")
        prototypes = F.normalize(pretrainer.prototypes.detach(), dim=1).contiguous()
        save_file({"prototypes": prototypes}, str(out / PROTOTYPES_FILE))


def fit_text(settings: TextStageSettings, init: Path, out: Path) -> None:
    """Fit the text tower to the prototypes of the clip stage's folder `init`."""
    model = load_checkpoint(init / MODEL_FILE)
    prototypes = load_file(init / PROTOTYPES_FILE)["prototypes"]
    torch.manual_seed(settings.loop.seed)
    tower = build_text_tower(model.config.clip).train().requires_grad_(True)
    model.attach_text_tower(tower)
    step = TextFittingStep(tower, load_vocabulary("nano"), prototypes, settings.texts_per_step)
    run = TrainingRun({"text": tower}, settings.loop, out, join_ranks(), about=settings)
    run.run(step)
    if not run.ranks.is_first:
        return
    tower.eval().requires_grad_(False)
    embedded = embed_vocabulary(load_vocabulary("nano"), tower).embeddings
    assert embedded is not None
    cosines = (embedded[:, 0] * prototypes).sum(dim=1)
    run.log.write(step=run.state.step, final={"mean_cosine": round(float(cosines.mean()), 4)})
    save_stage(model, out, "nano text stage")


@dataclass(frozen=True)
class TrainingData:
    """Where samples come from.

    Attributes:
        path: Folder of scene pools, or a COCO instances file; None: the sets of the YAML.
        images: Image folder of a COCO file.
    """

    path: Path | None
    images: Path | None = None

    def entries(self, listed: Sequence[DataSettings] = ()) -> tuple[DataSettings, ...]:
        """Return the training sets: the command's own, or those that the YAML lists.

        Raises:
            ConfigError: There are both, or none, or a COCO file without its image folder.
        """
        if (self.path is None) == (not listed):
            came = "both" if listed else "neither"
            raise ConfigError(
                f"a stage of masks or labels needs --data, or `data` in its config, got {came}"
            )
        if self.path is None:
            return tuple(listed)
        kind = "pool" if self.path.is_dir() else "instances"
        if kind == "instances" and self.images is None:
            raise ConfigError(f"the COCO file {self.path} needs its image folder: give --images")
        return (DataSettings(kind=kind, path=str(self.path), images=str(self.images or "")),)


def find_held_out(entries: Sequence[DataSettings]) -> Path | None:
    """Return the folder of held-out scenes to evaluate on, if a training set is a pool."""
    folders = [Path(entry.path) / "test" for entry in entries if entry.kind == "pool"]
    return next((folder for folder in folders if folder.is_dir()), None)


def load_stage(init: Path) -> OVSAM:
    """Load the model of a stage's folder, a model file, or a model by its name ("nano").

    Raises:
        ConfigError: no weights have this name.
        CheckpointError: a file does not fit, or is not an OV-SAM.
    """
    if init.is_dir():
        return load_checkpoint(init / MODEL_FILE)
    model = load_model(str(init))
    if not isinstance(model, OVSAM):
        raise CheckpointError(f"expected an OV-SAM in {init}, got a baseline of SAM and CLIP")
    return model


@dataclass(frozen=True)
class LabelStage:
    """What a stage of masks or labels is made of.

    Attributes:
        model: Frozen but for its parts.
        vocabulary: With embeddings.
        held_out: Folder of held-out scenes, if there are any.
        parts: What trains, by name.
        step: For `TrainingRun`.
    """

    model: OVSAM
    vocabulary: Vocabulary
    held_out: Path | None
    parts: dict[str, torch.nn.Module]
    step: LabelStep


def open_label_stage(
    settings: LabelStageSettings, data: TrainingData, init: Path, ranks: Ranks
) -> LabelStage:
    """Check the data, load a model, freeze what does not train, and bind it to the data.

    Raises:
        ConfigError: The data is too bad to train on, or has no masks where masks alone train.
    """
    entries = data.entries(settings.data)
    vocabulary = _load_classes(settings.vocabulary, entries)
    if ranks.is_first:
        opened = open_checked_data(
            entries,
            vocabulary,
            settings.data_budget,
            settings.check_images,
            settings.step.with_labels,
        )
    else:
        opened = open_data(entries, vocabulary)
    if not settings.step.with_labels and not opened.has_masks:
        raise ConfigError(
            "expected masks in every training set, as no part of step.train_parts learns classes; "
            "leave sets of boxes and classes out, or train clip2sam too"
        )
    model = load_stage(init)
    if settings.label_head:
        switch_label_head(model, settings.label_head, settings.loop.seed)
    model = model.to(ranks.device).to(memory_format=torch.channels_last)
    taught = opened.classes.vocabulary()
    if settings.class_embeddings == "examples":
        embedded = embed_examples(model.eval(), opened, settings.examples, settings.loop.seed)
        taught = vocabulary = taught.all_base().with_own_embeddings(embedded)
    else:
        taught = embed_vocabulary(taught, model.text_tower)
        vocabulary = embed_vocabulary(vocabulary, model.text_tower)
    assert taught.embeddings is not None
    parts = freeze_all_but(model, settings.step.train_parts)
    sampler = MixedData(opened.parts, settings.data_budget).sample
    step = LabelStep(model, taught.embeddings.to(ranks.device), sampler, settings.step)
    return LabelStage(model, vocabulary, find_held_out(entries), parts, step)


def train_labels(settings: LabelStageSettings, data: TrainingData, init: Path, out: Path) -> None:
    """Train masks, labels or both, starting from the folder or model file `init`.

    Base classes alone teach the head; objects of every class teach masks. The model file says which
    vocabulary its head was trained on: the fusion weighs those classes differently.
    """
    ranks = join_ranks()
    stage = open_label_stage(settings, data, init, ranks)
    model, parts = stage.model, stage.parts
    run = TrainingRun(parts, settings.loop, out, ranks, about=settings)
    test_pool = ScenePool(stage.held_out) if stage.held_out else None

    def evaluate() -> Mapping[str, float]:
        assert test_pool is not None
        model.eval()
        found: dict[str, float] = {}
        with torch.compiler.set_stance("force_eager"):  # shapes differ from picture to picture
            if settings.step.with_masks:
                found |= evaluate_masks(model, test_pool, scenes=80)
            if settings.step.with_labels:
                found |= evaluate_labels(model, stage.vocabulary, test_pool, scenes=150)
        for part in parts.values():
            part.train()
        return found

    run.run(stage.step, evaluate if test_pool else None)
    if run.ranks.is_first:
        model.eval().requires_grad_(False)
        if settings.step.with_labels:
            model.config = replace(model.config, trained_on=_name_vocabulary(settings))
            if model.config.trained_on is None:
                save_vocabulary(stage.vocabulary.all_base(), out / VOCABULARY_FILE)
        save_stage(model, out, f"stage training {', '.join(settings.step.train_parts)}")


def _load_classes(vocabulary: str, entries: Sequence[DataSettings]) -> Vocabulary:
    """Load a vocabulary, or the categories of the training data."""
    if vocabulary != "data":
        return load_vocabulary(vocabulary)
    if len(entries) != 1 or entries[0].kind not in ("instances", "boxes"):
        kinds = ", ".join(entry.kind for entry in entries)
        raise ConfigError(
            f"vocabulary: data needs one COCO file as training data, got {kinds}; name a vocabulary"
        )
    return load_vocabulary(Path(entries[0].path))


def _name_vocabulary(settings: LabelStageSettings) -> str | None:
    """Return the built-in vocabulary that a head was trained on; None for another one."""
    is_built_in = settings.vocabulary.lower() in BUILT_IN_VOCABULARIES
    return settings.vocabulary if is_built_in and settings.class_embeddings == "names" else None


def select_base_classes(vocabulary: Vocabulary) -> tuple[Tensor, np.ndarray]:
    """Return the base classes' embeddings and, for every class, its row among them (-1: novel).

    Without a split every class is a base class.

    Raises:
        ConfigError: The vocabulary has no embeddings.
    """
    if vocabulary.embeddings is None:
        raise ConfigError(f"expected embeddings in vocabulary {vocabulary.title}, got none")
    base = vocabulary.base or tuple(range(vocabulary.num_classes))
    labels = np.full(vocabulary.num_classes, -1, np.int64)
    labels[list(base)] = np.arange(len(base))
    return vocabulary.embeddings[list(base)], labels


def merge_stages(masks: Path, labels: Path, out: Path, provenance: str) -> None:
    """Join the masks run and the labels run of one tower into the file that ships (float16).

    The text tower is that of the labels run, whose head learned with it.

    Raises:
        ConfigError: The two runs froze different image towers.
    """
    model, head = load_checkpoint(masks / MODEL_FILE), load_checkpoint(labels / MODEL_FILE)
    ours, theirs = model.image_encoder.state_dict(), head.image_encoder.state_dict()
    if not all(torch.equal(ours[name], theirs[name]) for name in ours):
        raise ConfigError(f"expected one image tower in {masks} and {labels}, got two different")
    model.clip2sam.load_state_dict(head.clip2sam.state_dict())
    model.attach_text_tower(head.text_tower)
    model.config = replace(model.config, trained_on=head.config.trained_on)
    metadata = {"licence": LICENCE, "provenance": provenance}
    save_checkpoint(model, out, metadata, dtype=torch.float16)
