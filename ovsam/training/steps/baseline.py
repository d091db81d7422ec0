"""The baselines of Table 1: prompted objects → losses of SAM's decoder, of CoOp or of an adapter.

Draws the same samples and prompts, and takes the same losses, as OV-SAM's second stage does
(label.py). Objects are cropped by the masks that SAM predicts in the step; no gradient flows
from labels into masks.

Letters: B images, N prompts of an image, S input size, K classes, J texts of a class, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ovsam.baselines.coop import ContextTextTower
from ovsam.baselines.model import Baseline
from ovsam.classifier import Classifier
from ovsam.errors import ConfigError
from ovsam.text.text_tower import TextTower
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import LoadSample, TrainingSample
from ovsam.training.steps.losses import (
    NUM_POINTS,
    compute_batch_label_losses,
    compute_batch_mask_losses,
)
from ovsam.training.steps.prompted import PromptedStep, decode_by_sam
from ovsam.training.steps.proposals import PromptSettings, Proposals

MASK_DECODER, CONTEXT, ADAPTER = "mask_decoder", "context", "adapter"
_PARTS = (MASK_DECODER, CONTEXT, ADAPTER)


@dataclass(frozen=True, kw_only=True)
class BaselineStepSettings(PromptSettings):
    """What trains and on how much.

    Attributes:
        train_parts: Some of "mask_decoder" (SAM's), "context" (CoOp's tokens), "adapter".
        mask_points: Points at which the mask losses are taken.
        with_bfloat16: Run under bfloat16 autocast where the device computes with it; losses stay
            float32.
    """

    train_parts: tuple[str, ...]
    mask_points: int = NUM_POINTS
    with_bfloat16: bool = True

    def __post_init__(self) -> None:
        """Refuse parts that do not exist, and a negative number of threads."""
        super().__post_init__()
        unknown = [part for part in self.train_parts if part not in _PARTS]
        if unknown or not self.train_parts:
            raise ConfigError(
                f"train_parts must name some of {', '.join(_PARTS)}, got {list(self.train_parts)}"
            )

    @property
    def with_masks(self) -> bool:
        """Whether masks train."""
        return MASK_DECODER in self.train_parts

    @property
    def with_labels(self) -> bool:
        """Whether labels train."""
        return CONTEXT in self.train_parts or ADAPTER in self.train_parts


def freeze_all_but_parts(baseline: Baseline, train_parts: Sequence[str]) -> dict[str, nn.Module]:
    """Freeze a baseline and its text tower (in eval mode) except some parts; return those by name.

    Of SAM's decoder what makes the single-mask output trains; its other three masks and the
    predicted IoU stay as they are.
    """
    tower = baseline.text_tower
    baseline.eval().requires_grad_(False)
    tower.eval().requires_grad_(False)
    parts: dict[str, nn.Module] = {}
    for name in train_parts:
        if name == MASK_DECODER:
            parts[name] = baseline.sam.mask_decoder
        elif name == CONTEXT and isinstance(tower, ContextTextTower):
            parts[name] = tower.context
        elif name == ADAPTER and baseline.config.adapter != "none":
            parts |= {"adapter": baseline.adapter, "region_head": baseline.region_head}
        else:
            raise ConfigError(
                f"train_parts names {name!r}, and this baseline has none; "
                "set baseline.context_tokens above 0, or baseline.adapter"
            )
    for part in parts.values():
        part.train().requires_grad_(True)
    if MASK_DECODER in train_parts:
        decoder = baseline.sam.mask_decoder
        decoder.iou_prediction_head.requires_grad_(False)
        decoder.output_hypernetworks_mlps[1:].requires_grad_(False)
    return parts


class ClassTexts:
    """Texts of some classes → their embeddings by a text tower as it is now, gradients included."""

    def __init__(self, tower: TextTower, aliases: Sequence[Sequence[str]]) -> None:
        """Check and keep the texts.

        `aliases`: for each of K classes its texts, at least one.
        """
        texts = list(dict.fromkeys(text for row in aliases for text in row))
        tower.check_names(texts)
        self.tower = tower
        self.sentences = [t.format(text) for text in texts for t in tower.templates]
        rows = {text: row for row, text in enumerate(texts)}
        most = max(len(row) for row in aliases)
        self.index_KJ = torch.tensor(
            [[rows[t] for t in (*row, *[row[0]] * (most - len(row)))] for row in aliases]
        )

    def __call__(self) -> Tensor:
        """Return (K, J, D) float32 unit embeddings; a class of fewer texts repeats its first."""
        by_sentence = self.tower.encode(self.sentences)
        by_text = by_sentence.view(-1, len(self.tower.templates), self.tower.dim).mean(dim=1)
        unit = torch.nn.functional.normalize(by_text, dim=-1)
        return unit[self.index_KJ.to(unit.device)]


class BaselineStep(PromptedStep):
    """One step of a baseline's training."""

    def __init__(
        self,
        baseline: Baseline,
        embed_classes: Callable[[], Tensor],
        load_sample: LoadSample,
        settings: BaselineStepSettings,
    ) -> None:
        """Bind a baseline to its data.

        `embed_classes`: returns (K, J, D) unit embeddings of the classes that labels index; it is
        called once, or in every step where the context trains.
        """
        super().__init__(load_sample, baseline.config.input_size, settings)
        self.baseline = baseline
        self.settings = settings
        self._embed_classes = embed_classes
        with torch.no_grad():
            self._classes = embed_classes()

    def compute_losses(
        self,
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
        random: StepRandom,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name (bce, dice, label, label_accuracy)."""
        settings, size, device = (
            self.settings,
            self.baseline.config.input_size,
            self.baseline.device,
        )
        pixels = self.stack_and_keep(samples, proposals, device)
        losses: dict[str, Tensor] = {}
        with autocast_bfloat16(device, settings.with_bfloat16):
            logits = self._decode(pixels, proposals)
            if settings.with_masks:
                losses |= compute_batch_mask_losses(
                    logits, samples, proposals, size, settings.mask_points, random
                )
            if settings.with_labels:
                embeddings = self._embed(pixels, samples, proposals, logits)
                classes = self._embed_classes() if self._trains(CONTEXT) else self._classes
                scale = self.baseline.config.logit_scale
                classifier = Classifier(classes, None, None, scale)
                losses |= compute_batch_label_losses(
                    embeddings, classifier, samples, proposals, random
                )
        return losses

    def _trains(self, part: str) -> bool:
        return part in self.settings.train_parts

    def _decode(self, pixels: Tensor, proposals: Sequence[Proposals]) -> list[Tensor]:
        """Mask logits of each image's prompts, (N, S/4, S/4) float32."""
        sam = self.baseline.sam
        with torch.no_grad():
            embeddings = sam.image_encoder(pixels)
        with nullcontext() if self._trains(MASK_DECODER) else torch.no_grad():
            return decode_by_sam(sam, embeddings, proposals)

    def _embed(
        self,
        pixels: Tensor,
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
        logits: Sequence[Tensor],
    ) -> Tensor:
        """(N of all images, D) float32 region embeddings."""
        baseline = self.baseline
        feature, levels = pixels, tuple[Tensor, ...]()
        if baseline.config.crop == "feature":
            with torch.no_grad():
                stages = baseline.image_encoder(pixels)
            feature, levels = stages[3], baseline.build_levels(pixels, stages)
        embeddings = []
        with nullcontext() if self._trains(ADAPTER) else torch.no_grad():
            for row, (sample, chosen) in enumerate(zip(samples, proposals, strict=True)):
                boxes = sample.boxes_xyxy()[chosen.object_index]
                boxes[: len(chosen.boxes_xyxy)] = chosen.boxes_xyxy
                embeddings.append(
                    baseline.embed_objects(
                        [level[row : row + 1] for level in levels],
                        feature[row : row + 1],
                        torch.from_numpy(boxes).to(pixels.device),
                        logits[row].detach(),
                    )
                )
        return torch.cat(embeddings)
