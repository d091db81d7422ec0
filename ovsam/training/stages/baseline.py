"""The stages `combine` (a SAM and a CLIP into one file, zero-shot) and `baseline` (train it)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ovsam.baselines.config import AdapterKind, Background, BaselineConfig, Crop, Pooling, Region
from ovsam.baselines.coop import ContextTextTower
from ovsam.baselines.files import combine, is_baseline_file, load_baseline, save_baseline
from ovsam.baselines.model import Baseline
from ovsam.build import get_config
from ovsam.clip_backbone import ClipBackbone, build_clip_backbone
from ovsam.config import ModelConfig
from ovsam.errors import ConfigError
from ovsam.sam import SAM, build_sam, teacher_config
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.text_tower import TextTower, build_text_tower
from ovsam.text.vocabulary import Vocabulary
from ovsam.text.vocabulary_files import BUILT_IN_VOCABULARIES, load_vocabulary
from ovsam.training.data.check import CHECKED_IMAGES, DEFAULT_BUDGET, open_checked_data
from ovsam.training.data.mixed import DataSettings, MixedData, OpenedData, open_data
from ovsam.training.loop.distributed import Ranks, join_ranks
from ovsam.training.loop.loop import TrainingRun
from ovsam.training.loop.settings import FREE, LoopSettings
from ovsam.training.scenes.pool import ScenePool
from ovsam.training.scenes.sprites import nano_class_names
from ovsam.training.stages.distil import TEACHER_FILE, TeacherSize, load_small_sam
from ovsam.training.stages.evaluation import evaluate_baseline
from ovsam.training.stages.label import TrainingData, find_held_out
from ovsam.training.steps.baseline import (
    CONTEXT,
    BaselineStep,
    BaselineStepSettings,
    ClassTexts,
    freeze_all_but_parts,
)
from ovsam.weights.checkpoint import (
    assign_tensors,
    is_model_file,
    load_checkpoint,
    load_sam_checkpoint,
)
from ovsam.weights.run_folder import MODEL_FILE, find_weights
from ovsam.weights.tensor_files import read_tensors


@dataclass(frozen=True, kw_only=True)
class BaselineChoices:
    """Which baseline; what is not said here is explained at `BaselineConfig`.

    Attributes:
        sam: Name of the official SAM whose file is given.
        teacher: Size of a SAM of our own, whose folder (of `train teacher`) is given.
        clip: Name of the OV-SAM whose CLIP it is, where open_clip's own file is given.
        context_words: What CoOp's context starts from; empty: random.
    """

    name: str
    sam: str = "sam-h"
    teacher: TeacherSize = field(default_factory=TeacherSize)
    clip: str = "rn50x16"
    crop: Crop = "feature"
    region: Region = "mask"
    background: Background = "mean"
    margin: float = 1.0
    pooling: Pooling = "roi"
    adapter: AdapterKind = "none"
    adapter_width: int = 64
    context_tokens: int = 0
    context_words: str = ""


@dataclass(frozen=True, kw_only=True)
class CombineSettings:
    """configs/training/baseline-image-crop.yaml, baseline-feature-crop.yaml."""

    baseline: BaselineChoices


@dataclass(frozen=True, kw_only=True)
class BaselineStageSettings:
    """configs/training/coop-*.yaml, adapter-*.yaml, sam-finetune*.yaml.

    The fields other than `baseline` and `step` are those of `LabelStageSettings`.
    """

    loop: LoopSettings
    baseline: BaselineChoices
    step: BaselineStepSettings
    vocabulary: str = "nano"
    data: tuple[DataSettings, ...] = ()
    data_budget: float = field(default=DEFAULT_BUDGET, metadata=FREE)
    check_images: int = field(default=CHECKED_IMAGES, metadata=FREE)


@dataclass(frozen=True)
class _ClipPart:
    """A CLIP, and the numbers of the OV-SAM that it belongs to."""

    config: ModelConfig | BaselineConfig
    image_encoder: ClipBackbone
    text_tower: TextTower


def build_from(choices: BaselineChoices, sources: Sequence[Path]) -> Baseline:
    """Put a baseline together from files.

    `sources`: the SAM's and the CLIP's file or folder, in this order; or one baseline, which has
    both. A SAM is a folder of `train teacher`, an official checkpoint or a baseline; a CLIP is an
    OV-SAM's file or folder, open_clip's file or a baseline. Of a baseline its adapter and its
    context are left behind.
    """
    if len(sources) not in (1, 2):
        raise ConfigError(
            "a baseline needs --init SAM --init CLIP, or --init BASELINE alone, "
            f"got {len(sources)} of them"
        )
    clip = _load_clip(choices, sources[-1])
    sam = _load_sam(choices, sources[0], clip)
    numbers = clip.config
    config = BaselineConfig(
        name=choices.name,
        sam=sam.config,
        clip=numbers.clip,
        crop=choices.crop,
        region=choices.region,
        background=choices.background,
        margin=choices.margin,
        pooling=choices.pooling,
        adapter=choices.adapter,
        adapter_width=choices.adapter_width,
        fpn_channels=numbers.fpn_channels,
        roi_size=numbers.roi_size,
        roi_base_size=numbers.roi_base_size,
        context_tokens=choices.context_tokens,
        logit_scale=numbers.logit_scale,
        trained_on=numbers.trained_on,
    )
    return combine(config, sam, clip.image_encoder, clip.text_tower, choices.context_words)


def _find_baseline(source: Path) -> Path | None:
    """The baseline file that a path means, if it is one."""
    if source.is_dir() and not (source / MODEL_FILE).exists():
        return None
    path = find_weights(source)
    return path if is_baseline_file(path) else None


def _load_sam(choices: BaselineChoices, source: Path, clip: _ClipPart) -> SAM:
    if path := _find_baseline(source):
        return load_baseline(path).sam
    if not source.is_dir():
        return load_sam_checkpoint(build_sam(choices.sam), find_weights(source))
    if not (source / TEACHER_FILE).is_file():
        raise ConfigError(
            f"expected a SAM in {source}: a folder of `ovsam train teacher` (with {TEACHER_FILE}) "
            f"or of a baseline (with {MODEL_FILE}), or an official checkpoint's file"
        )
    if not isinstance(clip.config, ModelConfig):
        raise ConfigError(
            f"the SAM in {source} has the sizes of an OV-SAM: give that OV-SAM as the second "
            "--init, not a baseline"
        )
    size = choices.teacher
    config = teacher_config(clip.config, width=size.width, depth=size.depth, heads=size.heads)
    return load_small_sam(config, source)


def _load_clip(choices: BaselineChoices, source: Path) -> _ClipPart:
    if path := _find_baseline(source):
        baseline = load_baseline(path)
        tower = _without_context(baseline.text_tower, baseline.config)
        return _ClipPart(baseline.config, baseline.image_encoder, tower)
    path = find_weights(source)
    if is_model_file(path):
        model = load_checkpoint(path)
        return _ClipPart(model.config, model.image_encoder, model.text_tower)
    config = get_config(choices.clip)
    tensors = read_tensors(path)
    image_encoder = build_clip_backbone(config.clip)
    visual = {name: value for name, value in tensors.items() if name.startswith("visual.")}
    assign_tensors(image_encoder, visual, str(path))
    tower = build_text_tower(config.clip)
    tower.load_clip_state_dict(tensors)
    return _ClipPart(config, image_encoder, tower)


def _without_context(tower: TextTower, config: BaselineConfig) -> TextTower:
    if not isinstance(tower, ContextTextTower):
        return tower
    plain = build_text_tower(config.clip)
    own = tower.state_dict()
    plain.load_state_dict({name: own[name] for name in plain.state_dict()})
    return plain


def combine_stage(settings: CombineSettings, sources: Sequence[Path], out: Path) -> None:
    """Write a zero-shot baseline: `model.safetensors` in the folder `out`."""
    baseline = build_from(settings.baseline, sources)
    save_baseline(baseline, out / MODEL_FILE, _describe("zero-shot", sources))


def train_baseline(
    settings: BaselineStageSettings, data: TrainingData, sources: Sequence[Path], out: Path
) -> None:
    """Train parts of a baseline.

    Base classes alone teach labels; objects of every class teach masks. `data`: that of OV-SAM's
    second stage.
    """
    ranks = join_ranks()
    torch.manual_seed(settings.loop.seed)
    vocabulary = load_vocabulary(settings.vocabulary)
    entries = data.entries(settings.data)
    opened = _open(settings, entries, vocabulary, ranks)
    baseline = build_from(settings.baseline, sources).to(ranks.device)
    inputs = {"--init": baseline.identity, "--data": opened.describe()}
    parts = freeze_all_but_parts(baseline, settings.step.train_parts)
    taught = _choose_embedder(baseline, settings, opened.classes.vocabulary())
    sampler = MixedData(opened.parts, settings.data_budget).sample
    step = BaselineStep(baseline, taught, sampler, settings.step)
    run = TrainingRun(parts, settings.loop, out, ranks, about=settings, inputs=inputs)
    # Scenes say the numbers of nano's classes.
    held_out = find_held_out(entries) if vocabulary.names == nano_class_names() else None
    evaluate = None
    if held_out is not None:
        everything = _choose_embedder(baseline, settings, vocabulary)
        evaluate = _make_evaluation(
            baseline, parts.values(), (vocabulary, everything), ScenePool(held_out)
        )
    run.run(step, evaluate)
    if ranks.is_first:
        if settings.step.with_labels:
            is_built_in = settings.vocabulary.lower() in BUILT_IN_VOCABULARIES
            known = settings.vocabulary if is_built_in else None
            baseline.config = replace(baseline.config, trained_on=known)
        what = f"trained {', '.join(settings.step.train_parts)}"
        save_baseline(baseline.eval(), out / MODEL_FILE, _describe(what, sources))


def _open(
    settings: BaselineStageSettings,
    entries: Sequence[DataSettings],
    vocabulary: Vocabulary,
    ranks: Ranks,
) -> OpenedData:
    """Open the data; the first process checks it."""
    if not ranks.is_first:
        return open_data(entries, vocabulary)
    with_labels = settings.step.with_labels
    return open_checked_data(
        entries, vocabulary, settings.data_budget, settings.check_images, with_labels
    )


def _choose_embedder(
    baseline: Baseline, settings: BaselineStageSettings, vocabulary: Vocabulary
) -> Callable[[], Tensor]:
    """Return what gives (K, J, D) embeddings of a vocabulary's classes: anew where they change."""
    if CONTEXT in settings.step.train_parts:
        return ClassTexts(baseline.text_tower, vocabulary.aliases)
    embeddings = embed_vocabulary(vocabulary, baseline.text_tower).embeddings
    assert embeddings is not None
    on_device = embeddings.to(baseline.device)
    return lambda: on_device


def _make_evaluation(
    baseline: Baseline,
    parts: Iterable[nn.Module],
    classes: tuple[Vocabulary, Callable[[], Tensor]],
    pool: ScenePool,
) -> Callable[[], Mapping[str, float]]:
    """Return what measures the baseline as it is, and lets its parts train on."""

    def evaluate() -> Mapping[str, float]:
        vocabulary, embed = classes
        baseline.eval()
        with torch.no_grad():
            embedded = vocabulary.with_embeddings(embed())
        found = evaluate_baseline(baseline, embedded, pool, scenes=80)
        for part in parts:
            part.train()
        return found

    return evaluate


def _describe(what: str, sources: Sequence[Path]) -> dict[str, str]:
    """The file's metadata: a baseline is under the licences of its parts."""
    names = " + ".join(source.name for source in sources)
    return {"licence": f"that of its parts: {names}", "provenance": f"baseline, {what}: {names}"}
