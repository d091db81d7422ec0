"""The second stage (CLIP2SAM): masks and labels of prompted objects → losses.

Frozen in the paper: image encoder, neck, prompt encoder; trained: mask decoder, FPN, head. Which
parts train is a setting, so that the same step also trains masks and labels from nothing (nano:
neck + prompt encoder + mask decoder in one run, the head in another; they share no gradient).

Source: paper section 3.4 and appendix A.
Letters: B images, N prompts of an image, S input size, D embedding width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from ovsam.classifier import Classifier
from ovsam.errors import ConfigError
from ovsam.model import OVSAM, boxes_of_masks
from ovsam.training.losses import (
    NUM_POINTS,
    compute_class_loss,
    compute_mask_losses,
    sample_uncertain_points,
)
from ovsam.training.proposals import NUM_PROPOSALS, Proposals, sample_proposals
from ovsam.training.samples import (
    AugmentSettings,
    TrainingSample,
    draw_samples,
    stack_masks,
    stack_pixels,
)

MASK_PARTS = ("neck", "prompt_encoder", "mask_decoder")
LABEL_PARTS = ("clip2sam",)
PAPER_PARTS = ("mask_decoder", "clip2sam")
_FAST_ATTENTION = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]

LoadSample = Callable[[np.random.Generator], TrainingSample]


@dataclass(frozen=True, kw_only=True)
class LabelStepSettings:
    """What trains and on how much.

    Attributes:
        train_parts: Names of OVSAM's parts that train; all others are frozen.
        images_per_step: B.
        proposals: Prompts an image.
        mask_points: Points at which the mask losses are taken.
        box_jitter: See `sample_proposals`.
        with_bfloat16: Run under bfloat16 autocast; losses stay float32.
        with_compile: Compile the mask parts (a minute or two at the start, then 1.7 x as fast on a
            CPU; every step must have the same shapes, which it has).
        augment: Random geometry of an image.
    """

    train_parts: tuple[str, ...] = PAPER_PARTS
    images_per_step: int = 16
    proposals: int = NUM_PROPOSALS
    mask_points: int = NUM_POINTS
    box_jitter: float = 0.0
    with_bfloat16: bool = True
    with_compile: bool = False
    augment: AugmentSettings = field(default_factory=AugmentSettings)

    def __post_init__(self) -> None:
        """Refuse parts that do not exist."""
        known = (*MASK_PARTS, *LABEL_PARTS)
        unknown = [part for part in self.train_parts if part not in known]
        if unknown or not self.train_parts:
            raise ConfigError(
                f"train_parts must name some of {', '.join(known)}, got {list(self.train_parts)}"
            )

    @property
    def with_masks(self) -> bool:
        """Whether any part behind the masks trains."""
        return any(part in MASK_PARTS for part in self.train_parts)

    @property
    def with_labels(self) -> bool:
        """Whether the head trains."""
        return any(part in LABEL_PARTS for part in self.train_parts)


def freeze_all_but(model: OVSAM, train_parts: Sequence[str]) -> dict[str, torch.nn.Module]:
    """Freeze a model (in eval mode) except some parts, and return those by name."""
    model.eval().requires_grad_(False)
    parts = {name: model.get_submodule(name) for name in train_parts}
    for part in parts.values():
        part.train().requires_grad_(True)
    return parts


class LabelStep:
    """One step of the second stage; call it with (step, progress, random)."""

    def __init__(
        self,
        model: OVSAM,
        class_embeddings: Tensor,
        load_sample: LoadSample,
        settings: LabelStepSettings,
    ) -> None:
        """Bind a model to its data.

        Args:
            model: Already frozen by `freeze_all_but`.
            class_embeddings: (K, J, D) unit text embeddings of the classes that labels index.
            load_sample: Draws one training image.
            settings: What trains and on how much.
        """
        self.model = model
        self.settings = settings
        self.load_sample = load_sample
        self.classifier = Classifier(class_embeddings, None, None, model.config.logit_scale)
        # The tower is frozen: a folded copy gives the same maps for less; the model stays whole.
        self._encoder = copy.deepcopy(model.image_encoder)
        self._encoder.fold_batch_norm()
        if settings.with_compile:
            for module in (self._encoder, model.neck, model.mask_decoder):
                module.compile(dynamic=False)

    def __call__(
        self, step: int, progress: float, random: np.random.Generator
    ) -> Mapping[str, Tensor]:
        """Draw a batch and return its losses."""
        del step, progress
        size = self.model.config.input_size
        settings = self.settings
        samples = draw_samples(
            self.load_sample, settings.images_per_step, size, settings.augment, random
        )
        jitter, count = settings.box_jitter, settings.proposals
        proposals = [sample_proposals(sample, random, count, jitter) for sample in samples]
        return self.compute_losses(samples, proposals)

    def compute_losses(
        self, samples: Sequence[TrainingSample], proposals: Sequence[Proposals]
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name (bce, dice, label, accuracy)."""
        size, device = self.model.config.input_size, self.model.device
        pixels = stack_pixels(list(samples), size, device)
        enabled = self.settings.with_bfloat16
        # On CPUs the plain form of attention is 1.4 x as fast as the flash form for a few tokens.
        backends = [SDPBackend.MATH] if device.type == "cpu" else _FAST_ATTENTION
        with (
            torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled),
            sdpa_kernel(backends),
        ):
            with torch.no_grad():
                stages = self._encoder(pixels)
            losses: dict[str, Tensor] = {}
            regions = [self._prompted_boxes(*pair) for pair in zip(samples, proposals, strict=True)]
            if self.settings.with_masks:
                logits = self._decode(stages, proposals)
                losses |= compute_batch_mask_losses(
                    logits, samples, proposals, size, self.settings.mask_points
                )
                for boxes, row, chosen in zip(regions, logits, proposals, strict=True):
                    num_boxes = len(chosen.boxes_xyxy)
                    boxes[num_boxes:] = boxes_of_masks(row.detach()[num_boxes:], size)
            if self.settings.with_labels:
                losses |= self._label_losses(stages, regions, samples, proposals)
        return losses

    def _prompted_boxes(self, sample: TrainingSample, chosen: Proposals) -> Tensor:
        """(N, 4) regions: the prompt boxes; for points the objects' boxes, until masks exist."""
        boxes = sample.boxes_xyxy()[chosen.object_index]
        boxes[: len(chosen.boxes_xyxy)] = chosen.boxes_xyxy
        return torch.from_numpy(boxes).to(self.model.device)

    def _decode(self, stages: Sequence[Tensor], proposals: Sequence[Proposals]) -> list[Tensor]:
        """Mask logits of each image's prompts, (N, S/4, S/4) float32."""
        model = self.model
        embeddings, encoder = model.neck(stages), model.prompt_encoder
        positions, dense = encoder.image_positions(), encoder.encode_masks(None)
        decoded = []
        for row, chosen in enumerate(proposals):
            boxes = torch.from_numpy(chosen.boxes_xyxy).to(model.device)
            points = torch.from_numpy(chosen.points_xy).to(model.device)
            labels = torch.ones(points.shape[:2], dtype=torch.int64, device=model.device)
            # A box is two tokens, a point and its padding too: one call decodes both kinds.
            tokens = torch.cat([encoder(boxes, None, None), encoder(None, points, labels)])
            embedding = embeddings[row : row + 1] + dense.to(embeddings.dtype)
            logits, _ = model.mask_decoder(embedding, positions, tokens)
            decoded.append(logits)
        return decoded

    def _label_losses(
        self,
        stages: Sequence[Tensor],
        regions: Sequence[Tensor],
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
    ) -> dict[str, Tensor]:
        """Class cross-entropy, and the accuracy among labelled prompts."""
        device = self.model.device
        levels = self.model.clip2sam.build_levels(stages)
        counts = torch.tensor([len(boxes) for boxes in regions])
        image_index = torch.arange(len(regions)).repeat_interleave(counts).to(device)
        pairs = zip(samples, proposals, strict=True)
        labels = np.concatenate([sample.labels[chosen.object_index] for sample, chosen in pairs])
        targets = torch.from_numpy(labels).to(device)
        embeddings = self.model.clip2sam.embed_rois(levels, torch.cat(list(regions)), image_index)
        with torch.autocast(device.type, enabled=False):
            logits = self.classifier.cosine_logits(embeddings)
            loss = compute_class_loss(logits, targets)
        known = targets >= 0
        accuracy = (logits.argmax(dim=1) == targets)[known].float().mean()
        return {"label": loss, "label_accuracy": torch.nan_to_num(accuracy)}


def compute_batch_mask_losses(
    logits: Sequence[Tensor],
    samples: Sequence[TrainingSample],
    proposals: Sequence[Proposals],
    input_size: int,
    num_points: int,
) -> dict[str, Tensor]:
    """BCE and Dice over all prompts of a batch, at `num_points` points, in float32.

    Args:
        logits: For each image (N, S/4, S/4).
        samples: The images.
        proposals: What was prompted.
        input_size: S.
        num_points: Points a prompt.
    """
    masks = [
        stack_masks(sample, chosen.object_index, input_size)
        for sample, chosen in zip(samples, proposals, strict=True)
    ]
    predicted = torch.cat(list(logits))
    with torch.autocast(predicted.device.type, enabled=False):
        predicted = predicted.float()
        points = sample_uncertain_points(predicted, num_points)
        targets = torch.cat(masks).to(predicted.device)
        bce, dice = compute_mask_losses(predicted, targets, points)
    return {"bce": bce, "dice": dice}
