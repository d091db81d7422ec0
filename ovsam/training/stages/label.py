"""The stages masks, labels and joint: a model, training data and a step, put together and run.

Reads the model of the stage before; writes `model.safetensors`, checkpoints and `log.jsonl` into a
folder of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import torch

from ovsam.errors import ConfigError, VocabularyError
from ovsam.model import OVSAM
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES, load_vocabulary, save_vocabulary
from ovsam.training.data.check import CHECKED_IMAGES, DEFAULT_BUDGET, open_checked_data
from ovsam.training.data.mixed import DataSettings, MixedData, open_data
from ovsam.training.loop.distributed import Ranks, join_ranks
from ovsam.training.loop.loop import TrainingRun
from ovsam.training.loop.settings import FREE, LoopSettings
from ovsam.training.scenes.pool import ScenePool
from ovsam.training.scenes.sprites import nano_class_names
from ovsam.training.stages.evaluation import evaluate_labels, evaluate_masks
from ovsam.training.stages.stage_files import load_stage, save_stage
from ovsam.training.steps.example_embeddings import embed_examples
from ovsam.training.steps.label import LabelStep, LabelStepSettings, freeze_all_but
from ovsam.training.steps.model_parts import add_fine_masks, switch_label_head
from ovsam.weights.run_folder import VOCABULARY_FILE


@dataclass(frozen=True, kw_only=True)
class ValidationSettings:
    """What `ovsam eval` measures every `loop.evaluate_every_s` and at the end, in its words.

    Attributes:
        dataset: "coco", "lvis", or a COCO or LVIS file; "": held-out scenes where the data is a
            pool of them, else nothing.
        image_root: Folder that the names of the images are relative to.
        data_root: Root of the named data sets.
        limit: Only so many images, the first by id; 0: all.
        vocabulary: Names the classes to choose from; "": those of the training.
    """

    dataset: str = ""
    image_root: str = ""
    data_root: str = ""
    prompts: Literal["gt-box", "gt-point", "detector"] = "gt-box"
    limit: int = 0
    vocabulary: str = ""


Validate = Callable[[OVSAM, Vocabulary], Mapping[str, float]]
"""Measures a model in eval mode, with a vocabulary that has embeddings."""


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
        fine_masks: The mask decoder gets fine masks (`mask_decoder.FineMasks`) if it has none.
        data: Training sets, where --data names none.
        data_budget: Largest part of the data that may be bad; see data_check.py.
        check_images: Pictures and masks of each set to decode before the training; below 0: all.
        validation: What is measured while it trains.
        step: What trains and on how much.
    """

    loop: LoopSettings
    vocabulary: str = "nano"
    class_embeddings: Literal["names", "examples"] = "names"
    examples: int = 50
    label_head: str = ""
    fine_masks: bool = False
    data: tuple[DataSettings, ...] = ()
    data_budget: float = field(default=DEFAULT_BUDGET, metadata=FREE)
    check_images: int = field(default=CHECKED_IMAGES, metadata=FREE)
    validation: ValidationSettings = field(default_factory=ValidationSettings, metadata=FREE)
    step: LabelStepSettings = field(default_factory=LabelStepSettings)


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
        """Return the training sets: the command's own, or those that the YAML lists."""
        if (self.path is None) == (not listed):
            came = "both" if listed else "neither"
            raise ConfigError(
                f"a stage of masks or labels needs --data, or `data` in its config, got {came}"
            )
        if self.path is None:
            return tuple(listed)
        if not self.path.exists():
            raise ConfigError(f"--data: no such file or folder: {self.path}")
        kind = "pool" if self.path.is_dir() else "instances"
        if kind == "instances" and self.images is None:
            raise ConfigError(f"the COCO file {self.path} needs its image folder: give --images")
        return (DataSettings(kind=kind, path=str(self.path), images=str(self.images or "")),)


def find_held_out(entries: Sequence[DataSettings]) -> Path | None:
    """Return the folder of held-out scenes to evaluate on, if a training set is a pool."""
    folders = [Path(entry.path) / "test" for entry in entries if entry.kind == "pool"]
    return next((folder for folder in folders if folder.is_dir()), None)


@dataclass(frozen=True)
class LabelStage:
    """What a stage of masks or labels is made of.

    Attributes:
        held_out: Folder of held-out scenes, if there are any.
    """

    model: OVSAM
    vocabulary: Vocabulary
    held_out: Path | None
    parts: dict[str, torch.nn.Module]
    step: LabelStep
    inputs: Mapping[str, object]


def open_label_stage(
    settings: LabelStageSettings, data: TrainingData, init: Path, ranks: Ranks
) -> LabelStage:
    """Check the data, load a model, freeze what does not train, and bind it to the data."""
    entries = data.entries(settings.data)
    vocabulary = load_classes(settings.vocabulary, entries)
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
    inputs = {"--init": model.identity, "--data": opened.describe()}
    if settings.label_head:
        switch_label_head(model, settings.label_head, settings.loop.seed)
    if settings.fine_masks:
        add_fine_masks(model)
    model = model.to(ranks.device).to(memory_format=torch.channels_last)
    taught = opened.classes.vocabulary()
    if settings.class_embeddings == "examples":
        embedded = embed_examples(model.eval(), opened, settings.examples, settings.loop.seed)
        taught = vocabulary = taught.all_base().with_own_embeddings(embedded)
    else:
        try:
            taught = embed_vocabulary(taught, model.text_tower)
            vocabulary = embed_vocabulary(vocabulary, model.text_tower)
        except VocabularyError as error:
            raise VocabularyError(
                f"{error}. Classes whose names the model does not know are learned from what they "
                "look like with class_embeddings: examples"
            ) from error
    assert taught.embeddings is not None
    if settings.step.with_labels:  # as the file will say, so that what is validated is what is left
        model.config = replace(model.config, trained_on=_name_vocabulary(settings))
        if model.config.trained_on is None and vocabulary.base is None:
            vocabulary = vocabulary.all_base()
    parts = freeze_all_but(model, settings.step.train_parts)
    sampler = MixedData(opened.parts, settings.data_budget).sample
    step = LabelStep(model, taught.embeddings.to(ranks.device), sampler, settings.step)
    return LabelStage(model, vocabulary, find_held_out(entries), parts, step, inputs)


def train_labels(
    settings: LabelStageSettings,
    data: TrainingData,
    init: Path,
    out: Path,
    validate: Validate | None = None,
) -> None:
    """Train masks, labels or both, starting from a model.

    Base classes alone teach the head; objects of every class teach masks. The model file says which
    vocabulary its head was trained on: the fusion weighs those classes differently. `init`: folder,
    file or name of the model to start from. `validate`: measures the model now and then, instead of
    the quick measures on held-out scenes.
    """
    ranks = join_ranks()
    stage = open_label_stage(settings, data, init, ranks)
    model, parts = stage.model, stage.parts
    run = TrainingRun(parts, settings.loop, out, ranks, about=settings, inputs=stage.inputs)
    test_pool = ScenePool(stage.held_out) if stage.held_out else None
    # Scenes say the numbers of nano's classes.
    can_judge_labels = settings.step.with_labels and stage.vocabulary.names == nano_class_names()

    def evaluate() -> Mapping[str, float]:
        model.eval()
        found: dict[str, float] = {}
        with torch.compiler.set_stance("force_eager"):  # shapes differ from picture to picture
            if validate is not None:
                found |= validate(model, stage.vocabulary)
            elif test_pool is not None and settings.step.with_masks:
                found |= evaluate_masks(model, test_pool, scenes=80)
            if validate is None and test_pool is not None and can_judge_labels:
                found |= evaluate_labels(model, stage.vocabulary, test_pool, scenes=150)
        for part in parts.values():
            part.train()
        return found

    run.run(stage.step, evaluate if validate or test_pool else None)
    if run.ranks.is_first:
        model.eval().requires_grad_(False)
        if settings.step.with_labels and model.config.trained_on is None:
            save_vocabulary(stage.vocabulary, out / VOCABULARY_FILE)
        save_stage(model, out, f"stage training {', '.join(settings.step.train_parts)}")


def load_classes(vocabulary: str, entries: Sequence[DataSettings]) -> Vocabulary:
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
