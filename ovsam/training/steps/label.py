"""The second stage (CLIP2SAM): masks and labels of prompted objects → losses.

Frozen in the paper: image encoder, neck, prompt encoder; trained: mask decoder, FPN, head. Which
parts train is a setting, so that the same step also trains masks and labels from nothing (nano:
neck + prompt encoder + mask decoder in one run, the head in another; they share no gradient).

Source: paper section 3.4 and appendix A.
Letters: B images, N prompts of an image, S input size, D embedding width.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.attention import sdpa_kernel

from ovsam.classifier import Classifier
from ovsam.errors import ConfigError
from ovsam.model import OVSAM, boxes_of_masks
from ovsam.training.loop.autocast import autocast_bfloat16
from ovsam.training.loop.step_random import StepRandom
from ovsam.training.samples import LoadSample, TrainingSample
from ovsam.training.steps.losses import (
    NUM_POINTS,
    compute_batch_label_losses,
    compute_batch_mask_losses,
)
from ovsam.training.steps.prompted import PromptedStep, choose_attention
from ovsam.training.steps.proposals import PromptSettings, Proposals

MASK_PARTS = ("neck", "prompt_encoder", "mask_decoder")
LABEL_PARTS = ("clip2sam",)
PAPER_PARTS = ("mask_decoder", "clip2sam")


@dataclass(frozen=True, kw_only=True)
class LabelStepSettings(PromptSettings):
    """What trains and on how much.

    Attributes:
        train_parts: Names of OVSAM's parts that train; all others are frozen.
        mask_points: Points at which the mask losses are taken.
        with_bfloat16: Run under bfloat16 autocast where the device computes with it; losses stay
            float32.
        with_compile: Compile the mask parts (a minute or two at the start, then 1.7 x as fast on a
            CPU; every step must have the same shapes, which it has).
    """

    train_parts: tuple[str, ...] = PAPER_PARTS
    mask_points: int = NUM_POINTS
    with_bfloat16: bool = True
    with_compile: bool = False

    def __post_init__(self) -> None:
        """Refuse parts that do not exist, and a negative number of threads."""
        super().__post_init__()
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


class LabelStep(PromptedStep):
    """One step of the second stage."""

    def __init__(
        self,
        model: OVSAM,
        class_embeddings: Tensor,
        load_sample: LoadSample,
        settings: LabelStepSettings,
    ) -> None:
        """Bind a model to its data.

        `class_embeddings`: (K, J, D) unit text embeddings of the classes that labels index.
        """
        super().__init__(load_sample, model.config.input_size, settings)
        self.model = model
        self.settings = settings
        self.classifier = Classifier(class_embeddings, None, None, model.config.logit_scale)
        # The tower is frozen: a folded copy gives the same maps for less; the model stays whole.
        self._encoder = copy.deepcopy(model.image_encoder)
        self._encoder.fold_batch_norm()
        if settings.with_compile:
            for module in (self._encoder, model.neck, model.mask_decoder):
                module.compile(dynamic=False)

    def compute_losses(
        self,
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
        random: StepRandom,
    ) -> dict[str, Tensor]:
        """Return the weighted losses of a batch by name (bce, dice, label, label_accuracy)."""
        size, device = self.model.config.input_size, self.model.device
        pixels = self.stack_and_keep(samples, proposals, device)
        with autocast_bfloat16(device, self.settings.with_bfloat16):
            with torch.no_grad():
                stages = self._encoder(pixels)
            losses: dict[str, Tensor] = {}
            regions = [self._prompted_boxes(*pair) for pair in zip(samples, proposals, strict=True)]
            decoded: list[tuple[Tensor, Tensor]] = []
            if self.settings.with_masks or self.model.clip2sam.kind != "fpn":
                decoded = self._decode(stages, samples, proposals)
            if self.settings.with_masks:
                logits = [row for row, _ in decoded]
                losses |= compute_batch_mask_losses(
                    logits, samples, proposals, size, self.settings.mask_points, random
                )
                for boxes, row, chosen in zip(regions, logits, proposals, strict=True):
                    num_boxes = len(chosen.boxes_xyxy)
                    boxes[num_boxes:] = boxes_of_masks(row.detach()[num_boxes:], size)
            if self.settings.with_labels:
                embeddings = self._embed(stages, regions, decoded)
                losses |= compute_batch_label_losses(
                    embeddings, self.classifier, samples, proposals, random
                )
        return losses

    def _prompted_boxes(self, sample: TrainingSample, chosen: Proposals) -> Tensor:
        """(N, 4) regions: the prompt boxes; for points the objects' boxes, until masks exist."""
        boxes = sample.boxes_xyxy()[chosen.object_index]
        boxes[: len(chosen.boxes_xyxy)] = chosen.boxes_xyxy
        return torch.from_numpy(boxes).to(self.model.device)

    def _decode(
        self,
        stages: Sequence[Tensor],
        samples: Sequence[TrainingSample],
        proposals: Sequence[Proposals],
    ) -> list[tuple[Tensor, Tensor]]:
        """Mask logits (N, S/4, S/4) float32 and label tokens (N, C) of each image's prompts.

        The FPN needs neither, so there an image without masks is not decoded (N = 0).
        """
        model = self.model
        features, encoder = model.read_stages(stages), model.prompt_encoder
        embeddings = features.image_embedding
        positions, dense = encoder.image_positions(), encoder.encode_masks(None)
        decoded = []
        with sdpa_kernel(choose_attention(model.device)):
            for row, (sample, chosen) in enumerate(zip(samples, proposals, strict=True)):
                if sample.masks is None and model.clip2sam.kind == "fpn":
                    size = model.config.logits_size
                    nothing = embeddings.new_zeros((0, size, size), dtype=torch.float32)
                    decoded.append((nothing, embeddings.new_zeros((0, embeddings.shape[1]))))
                    continue
                tokens = chosen.encode(encoder)
                one = features.of_image(row)
                embedding = one.image_embedding + dense.to(embeddings.dtype)
                decoded.append(model.mask_decoder(embedding, positions, tokens, one.mask_details))
        return decoded

    def _embed(
        self,
        stages: Sequence[Tensor],
        regions: Sequence[Tensor],
        decoded: Sequence[tuple[Tensor, Tensor]],
    ) -> Tensor:
        """(N of all images, D) float32, by the model's own kind of head."""
        head, device = self.model.clip2sam, self.model.device
        if head.kind == "fpn":
            counts = torch.tensor([len(boxes) for boxes in regions])
            image_index = torch.arange(len(regions)).repeat_interleave(counts).to(device)
            levels = head.build_levels(stages)
            return head.embed_rois(levels, torch.cat(list(regions)), image_index)
        embeddings = [
            head.embed_regions((), boxes, tokens, stages[3][row : row + 1], logits.detach())
            for row, (boxes, (logits, tokens)) in enumerate(zip(regions, decoded, strict=True))
        ]
        return torch.cat(embeddings)
