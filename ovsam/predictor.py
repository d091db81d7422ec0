"""Images and prompts (numpy) → masks and labels: encode an image once, prompt it many times.

`set_image` + `predict` serve people; `encode` + `segment` serve the pipeline (batches of prepared
images, RLE instead of full masks). The first pair only calls the second.

Letters: N prompts, P points of a prompt, K classes, C channels, S side of the network input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ovsam.classifier import Classifier, best_classes
from ovsam.errors import ImageError, PromptError, VocabularyError
from ovsam.examples.classes import embed_classes
from ovsam.labelling_model import LabellingModel
from ovsam.model import boxes_of_masks
from ovsam.postprocess import mask_region, stability_scores
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.segmenter import Segmenter
from ovsam.structures import (
    EncodedImage,
    FloatArray,
    Prediction,
    PreparedImage,
    Prompts,
    check_boxes,
    to_numpy,
)
from ovsam.text.vocabulary import Vocabulary

MaskForm = Literal["full", "rle", "both", "none"]
# Image cells that a chunk of prompts may hold: the decoder keeps a copy of the image per prompt.
# More would spill a CPU's caches, or fill a GPU's memory.
_CELLS_PER_CHUNK = {"cpu": 1 << 15, "cuda": 1 << 19}
# Regions recognised together: each takes 0.6 MB of pooling weights at the full size.
_REGIONS_PER_CHUNK = 64


@dataclass(frozen=True)
class _Scores:
    """What N regions were recognised as: (N, K + 1) logits, and (N,) of the best class of each."""

    head: Tensor
    clip: Tensor
    fused: Tensor
    labels: Tensor
    scores: Tensor
    margins: Tensor


class Predictor:
    """Masks and open-vocabulary labels for boxes and points of an image.

    Use `predict` for one image at a time. Use `encode` and `segment` for batches of images, for RLE
    instead of full masks, or to prompt several encoded images in turn:

        predictor = ovsam.Predictor(ovsam.load_model("nano"), ovsam.load_vocabulary("nano"))
        predictor.set_image(image)
        prediction = predictor.predict(boxes_xyxy=[[10, 20, 200, 180]])
        names = [predictor.vocabulary.names[label] for label in prediction.labels]

    Attributes:
        model: what predicts.
    """

    def __init__(
        self,
        model: Segmenter,
        vocabulary: Vocabulary | None = None,
        *,
        restrict_to_split: bool = True,
    ) -> None:
        """Bind a model to a vocabulary.

        Args:
            model: OV-SAM or a baseline, in eval mode; `prepare_for_inference` makes it faster. Or a
                plain SAM, which takes no vocabulary.
            vocabulary: where it has no embeddings, the model's text tower computes them. Where it
                has no base/novel split, the classes that the model's label head was trained on are
                base: the fused score trusts the head for these and frozen CLIP for all others.
                With examples (`load_vocabulary("examples:refs.json")`) the model looks at them.
                None: segment only; predictions then have no labels.
            restrict_to_split: with a base/novel split, never choose a class in neither set, as the
                paper's protocols do. Give False to label with all classes.

        Raises:
            VocabularyError: the model's text tower refuses a name, embeddings do not fit, or the
                model is a plain SAM.
            CheckpointError: embeddings are missing and the model came without its text tower.
        """
        self.model = model
        self._image: EncodedImage | None = None
        self._vocabulary: Vocabulary | None = None
        self._classifier: Classifier | None = None
        if vocabulary is None:
            return
        if not isinstance(model, LabellingModel):
            raise VocabularyError(
                f"the model {model.config.name} segments and does not name objects; leave the "
                "vocabulary out"
            )
        vocabulary = embed_classes(vocabulary, model)
        self._vocabulary = vocabulary
        assert vocabulary.prototypes is not None
        width, wanted = vocabulary.prototypes[0].shape[-1], model.config.clip.embed_dim
        if width != wanted:
            raise VocabularyError(
                f"expected text embeddings of width {wanted} for the model {model.config.name}, "
                f"got {width}; compute them with this model's text tower"
            )
        self._classifier = Classifier.of_vocabulary(
            vocabulary,
            model.config.trained_on,
            model.config.logit_scale,
            model.device,
            restrict_to_split=restrict_to_split,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes to choose from, with embeddings; `Prediction.labels` index it.

        Raises:
            VocabularyError: the predictor has none.
        """
        if self._vocabulary is None:
            raise VocabularyError(
                "this predictor segments only: it was made without a vocabulary; give one, "
                "Predictor(model, vocabulary), to name objects"
            )
        return self._vocabulary

    def set_image(self, image: NDArray[np.uint8]) -> None:
        """Encode an image for the calls of `predict` that follow.

        Args:
            image: (H, W, 3) uint8 RGB.

        Raises:
            ImageError: wrong shape or dtype.
        """
        self._image = self.encode([prepare_image(image, self.model.config.input_size)])[0]

    def predict(
        self,
        boxes_xyxy: ArrayLike | None = None,
        points_xy: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        mask_logits: ArrayLike | None = None,
        clip_boxes_xyxy: ArrayLike | None = None,
    ) -> Prediction:
        """Segment and label prompts of the image given to `set_image`.

        Give boxes, points or both; a box and points of one row describe the same object. A box
        gives the most exact mask and label. Points alone find a region of their own, whose box is
        then recognised.

        Args:
            boxes_xyxy: (N, 4) corners in pixels of the original image; parts outside are allowed.
            points_xy: (N, P, 2), or (N, 2) for one point each, in pixels of the original image.
            point_labels: (N, P): 1 object, 0 background, -1 padding; all ones by default.
            mask_logits: (N, S/4, S/4) coarse masks to refine, as `Prediction.low_res_logits`.
            clip_boxes_xyxy: (N, 4) regions for the frozen-CLIP score instead of the prompt's box or
                the predicted mask's (the released point protocol gives ground-truth boxes).

        Returns:
            Masks (N, H, W) at the original size, labels and scores, without RLE.

        Raises:
            PromptError: no image was set, prompts have the wrong shape or are not finite, a box is
                upside down, or lies wholly outside the image.
        """
        if self._image is None:
            raise PromptError("no image to prompt: call set_image(image) first")
        prompts = Prompts(boxes_xyxy, points_xy, point_labels, mask_logits)
        return self.segment(self._image, prompts, masks="full", clip_boxes_xyxy=clip_boxes_xyxy)

    @torch.inference_mode()
    def encode(self, images: Sequence[PreparedImage]) -> list[EncodedImage]:
        """Run the frozen encoder over a batch of images: what is computed once per image.

        Args:
            images: B results of `prepare_image` for this model's input size.

        Returns:
            B encoded images, on the model's device, to be given to `segment`.

        Raises:
            ImageError: an image was prepared for another input size than this model's.
        """
        if not images:
            return []
        size = self.model.config.input_size
        for image in images:
            if image.input_size != size:
                raise ImageError(
                    f"expected images prepared for input size {size}, got {image.input_size}; "
                    f"call prepare_image(image, {size})"
                )
        pixels = to_network_input(images, self.model.device, self.model.dtype)
        features = self.model.encode(pixels)
        return [
            EncodedImage(
                original_size_hw=image.original_size_hw,
                input_size_hw=image.input_size_hw,
                features=features.of_image(row),
            )
            for row, image in enumerate(images)
        ]

    @torch.inference_mode()
    def segment(
        self,
        encoded: EncodedImage,
        prompts: Prompts,
        *,
        masks: MaskForm = "rle",
        clip_boxes_xyxy: ArrayLike | None = None,
    ) -> Prediction:
        """Segment and label prompts of one encoded image (paper figure 3, sections 3.1 to 3.3).

        Args:
            encoded: from `encode`.
            prompts: in pixels of the original image.
            masks: "rle" (fast, small), "full" (bool arrays), "both", or "none" where only labels
                are wanted: boxes and areas are then zeros.
            clip_boxes_xyxy: as in `predict`.

        Raises:
            PromptError: a box lies wholly outside the image, coarse masks have another size, or
                `clip_boxes_xyxy` are not one box per prompt.
        """
        own_boxes = None
        if clip_boxes_xyxy is not None:
            own_boxes = check_boxes("clip_boxes_xyxy", clip_boxes_xyxy)
        self._check_prompts(encoded, prompts, own_boxes)
        size, sizes_hw = self.model.config.input_size, encoded.original_size_hw

        # Embed the prompts and decode them: low-resolution mask logits, and a label token each.
        logits, label_tokens = self._decode(encoded, prompts)

        # Choose the region to recognise: the prompt's box where there is one, else the mask's.
        if prompts.boxes_xyxy is not None:
            limits = np.array([*sizes_hw[::-1], *sizes_hw[::-1]], np.float32)
            regions = self._to_input(encoded, np.clip(prompts.boxes_xyxy, 0, limits))
        else:
            regions = boxes_of_masks(logits, size)
        clip_regions = regions if own_boxes is None else self._to_input(encoded, own_boxes)

        # Recognise it twice, by CLIP2SAM and by frozen CLIP, and fuse both scores.
        scores = _no_scores(len(logits))
        if self._classifier is not None:
            scores = self._recognise(encoded, logits, label_tokens, regions, clip_regions)

        # Up-scale the logits to the original image and threshold them.
        low_res_logits = to_numpy(logits)
        boxes, areas = np.zeros((len(prompts), 4), np.float32), np.zeros(len(prompts), np.int64)
        found = []
        if masks != "none":
            found = [mask_region(x, size, encoded.input_size_hw, sizes_hw) for x in low_res_logits]
            # The reshapes give an image without prompts its empty arrays.
            boxes = np.array([mask.box_xyxy() for mask in found], np.float32).reshape(-1, 4)
            areas = np.array([mask.area() for mask in found], np.int64)
        full = None
        if masks in ("full", "both"):
            full = np.array([mask.full() for mask in found], bool).reshape(-1, *sizes_hw)
        return Prediction(
            boxes_xyxy=boxes,
            labels=scores.labels.cpu().numpy(),
            scores=to_numpy(scores.scores),
            margins=to_numpy(scores.margins),
            mask_scores=stability_scores(low_res_logits, size, encoded.input_size_hw),
            areas=areas,
            head_logits=to_numpy(scores.head),
            clip_logits=to_numpy(scores.clip),
            fused_logits=to_numpy(scores.fused),
            low_res_logits=low_res_logits,
            masks=full,
            rles=[mask.rle() for mask in found] if masks in ("rle", "both") else None,
        )

    def _check_prompts(
        self, encoded: EncodedImage, prompts: Prompts, own_boxes: FloatArray | None
    ) -> None:
        """Refuse what only the image and the model can show to be wrong."""
        height, width = encoded.original_size_hw
        if prompts.boxes_xyxy is not None:
            boxes = prompts.boxes_xyxy
            outside = (boxes[:, :2] >= (width, height)).any(1) | (boxes[:, 2:] <= 0).any(1)
            if outside.any():
                row = int(np.flatnonzero(outside)[0])
                raise PromptError(
                    f"a box must overlap the {width} x {height} image, got "
                    f"{boxes[row].tolist()} in row {row}"
                )
        size = self.model.config.logits_size
        if prompts.mask_logits is not None and prompts.mask_logits.shape[1] != size:
            raise PromptError(
                f"mask_logits must have shape (N, {size}, {size}), got {prompts.mask_logits.shape}"
            )
        if own_boxes is not None and own_boxes.shape != (len(prompts), 4):
            raise PromptError(
                f"clip_boxes_xyxy must have shape ({len(prompts)}, 4), got {own_boxes.shape}"
            )

    def _to_input(self, encoded: EncodedImage, array: FloatArray) -> Tensor:
        """Scale (..., 2 or 4) coordinates from original pixels to the network input's."""
        scale = np.resize(np.array(encoded.scale_xy, np.float32), array.shape[-1])
        return torch.from_numpy(array * scale).to(self.model.device)

    def _decode(self, encoded: EncodedImage, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return mask logits (N, S/4, S/4) and label tokens (N, C), decoded in chunks that fit."""
        device = self.model.device
        boxes, points = prompts.boxes_xyxy, prompts.points_xy
        labels, masks = prompts.point_labels, prompts.mask_logits
        arrays = (
            None if boxes is None else self._to_input(encoded, boxes),
            None if points is None else self._to_input(encoded, points),
            None if labels is None else torch.from_numpy(labels).to(device),
            None if masks is None else torch.from_numpy(masks).to(device),
        )
        most_cells = _CELLS_PER_CHUNK["cpu" if device.type == "cpu" else "cuda"]
        parts = [
            self.model.decode(encoded.features, *(None if x is None else x[rows] for x in arrays))
            for rows in _chunks(len(prompts), most_cells // self.model.config.grid_size**2)
        ]
        logits, tokens = zip(*parts, strict=True)
        return torch.cat(logits), torch.cat(tokens)

    def _recognise(
        self,
        encoded: EncodedImage,
        logits: Tensor,
        label_tokens: Tensor,
        regions: Tensor,
        clip_regions: Tensor,
    ) -> _Scores:
        """Score (N, 4) regions of the network input; frozen CLIP looks at its own ones."""
        assert isinstance(self.model, LabellingModel)
        assert self._classifier is not None
        parts = []
        for rows in _chunks(len(logits), _REGIONS_PER_CHUNK):
            embeddings, clip_embeddings, has_mask = self.model.embed_regions(
                encoded.features,
                regions[rows],
                clip_regions[rows],
                label_tokens[rows],
                logits[rows],
            )
            head = self._classifier.head_logits(embeddings)
            clip = self._classifier.clip_logits(clip_embeddings)
            parts.append((head, clip, self._classifier.fuse(head, clip, has_mask)))
        head, clip, fused = (torch.cat(column) for column in zip(*parts, strict=True))
        labels, scores, margins = best_classes(fused)
        return _Scores(head, clip, fused, labels, scores, margins)


def _no_scores(count: int) -> _Scores:
    """Return the scores of N regions that nobody recognised: no labels, logits of no classes."""
    logits, labels = torch.zeros(count, 0), torch.zeros(0, dtype=torch.int64)
    return _Scores(logits, logits, logits, labels, labels.float(), labels.float())


def _chunks(count: int, step: int) -> list[slice]:
    """Cut N rows into slices of at most `step`, at least 1; no rows are one empty slice."""
    step = max(1, step)
    return [slice(start, start + step) for start in range(0, count, step)] or [slice(0, 0)]
