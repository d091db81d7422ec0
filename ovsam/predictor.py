"""The front door: numpy in, structures out; encode an image once, prompt it many times.

`set_image` + `predict` serve people; `encode` + `segment` serve the pipeline (batches of prepared
images, RLE instead of full masks). The first pair only calls the second.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from ovsam.classifier import Classifier, best_classes, split_for_model
from ovsam.errors import ImageError, PromptError, VocabularyError
from ovsam.geometry import clip_boxes
from ovsam.labelling_model import LabellingModel
from ovsam.model import boxes_of_masks
from ovsam.postprocess import mask_region, stability_scores
from ovsam.preprocess import prepare_image, to_network_input
from ovsam.structures import (
    EncodedImage,
    Prediction,
    PreparedImage,
    Prompts,
    check_boxes,
    to_numpy,
)
from ovsam.text.embedding import embed_vocabulary
from ovsam.text.vocabulary import Vocabulary

MaskForm = Literal["full", "rle", "both", "none"]
# Image cells a decoder chunk may hold: beyond it a CPU's caches spill, and a GPU's memory fills.
_CELLS_PER_CHUNK = {"cpu": 1 << 15, "cuda": 1 << 19}
# Regions recognised together: each takes 0.6 MB of pooling weights at the full size.
_REGIONS_PER_CHUNK = 64


class Predictor:
    """Masks and open-vocabulary labels for boxes and points of an image."""

    def __init__(
        self, model: LabellingModel, vocabulary: Vocabulary, *, restrict_to_split: bool = True
    ) -> None:
        """Bind a model to a vocabulary.

        Args:
            model: OV-SAM or a baseline, in eval mode; `prepare_for_inference` makes it faster.
            vocabulary: its embeddings are computed by the model's text tower where it has none.
                A vocabulary without a base/novel split takes as base the classes that the model's
                label head was trained on.
            restrict_to_split: with a base/novel split, never choose a class in neither set, as the
                paper's protocols do. A labelling tool wants all classes: False.

        Raises:
            VocabularyError: the model's text tower refuses a name, or embeddings do not fit.
            CheckpointError: embeddings are missing and the model came without its text tower.
        """
        if vocabulary.embeddings is None:
            vocabulary = embed_vocabulary(vocabulary, model.text_tower)
        self.model = model
        self.vocabulary = vocabulary
        base, novel = split_for_model(vocabulary, model.config.trained_on)
        assert vocabulary.embeddings is not None
        width, wanted = vocabulary.embeddings.shape[-1], model.config.clip.embed_dim
        if width != wanted:
            raise VocabularyError(
                f"expected text embeddings of width {wanted} for the model {model.config.name}, "
                f"got {width}; compute them with this model's text tower"
            )
        self._classifier = Classifier(
            vocabulary.embeddings.to(model.device),
            base,
            novel if restrict_to_split else None,
            model.config.logit_scale,
        )
        self._image: EncodedImage | None = None

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

        Args:
            boxes_xyxy: (N, 4) in pixels of the original image.
            points_xy: (N, P, 2) or (N, 2) in pixels of the original image.
            point_labels: (N, P): 1 object, 0 background, -1 padding; all ones by default.
            mask_logits: (N, S/4, S/4) coarse masks, as `Prediction.low_res_logits`.
            clip_boxes_xyxy: (N, 4) regions for the frozen-CLIP score instead of the prompt's box or
                the predicted mask's (the released point protocol gives ground-truth boxes).

        Raises:
            PromptError: prompts of the wrong shape, no finite numbers, a box upside down or wholly
                outside the image, or no image was set.
        """
        if self._image is None:
            raise PromptError("no image to prompt: call set_image(image) first")
        prompts = Prompts(boxes_xyxy, points_xy, point_labels, mask_logits)  # type: ignore[arg-type]
        return self.segment(self._image, prompts, masks="full", clip_boxes_xyxy=clip_boxes_xyxy)

    @torch.inference_mode()
    def encode(self, images: Sequence[PreparedImage]) -> list[EncodedImage]:
        """Run the frozen encoder over a batch of prepared images.

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
        """Segment and label prompts of one encoded image.

        Args:
            encoded: from `encode`.
            prompts: in pixels of the original image.
            masks: "rle" (fast, small), "full" (bool arrays), "both", or "none" where only labels
                are wanted: boxes and areas are then zeros.
            clip_boxes_xyxy: as in `predict`.

        Raises:
            PromptError: boxes lie wholly outside the image, coarse masks have another size, or
                `clip_boxes_xyxy` are no boxes of these prompts.
        """
        clip_boxes = None
        if clip_boxes_xyxy is not None:
            clip_boxes = check_boxes("clip_boxes_xyxy", clip_boxes_xyxy)
        self._check_prompts(encoded, prompts, clip_boxes)
        logits, label_tokens = self._decode(encoded, prompts)
        regions = self._find_regions(encoded, prompts, logits)
        clip_regions = regions
        if clip_boxes is not None:
            clip_regions = self._to_input(encoded, clip_boxes)
        head, clip, fused = self._score(encoded, logits, label_tokens, (regions, clip_regions))
        labels, scores, margins = best_classes(fused)
        return self._finish(
            encoded, to_numpy(logits), (head, clip, fused), masks, (labels, scores, margins)
        )

    def _check_prompts(
        self, encoded: EncodedImage, prompts: Prompts, clip_boxes: NDArray[np.float32] | None
    ) -> None:
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
        if clip_boxes is not None and clip_boxes.shape != (len(prompts), 4):
            raise PromptError(
                f"clip_boxes_xyxy must have shape ({len(prompts)}, 4), got {clip_boxes.shape}"
            )

    def _to_input(self, encoded: EncodedImage, array: NDArray[np.float32]) -> Tensor:
        """Scale (..., 2 or 4) coordinates from original pixels to the network input's."""
        scale = np.resize(np.array(encoded.scale_xy, np.float32), array.shape[-1])
        return torch.from_numpy(array * scale).to(self.model.device)

    def _decode(self, encoded: EncodedImage, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Return mask logits and label tokens of all prompts, decoded in chunks that fit."""
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

    def _find_regions(self, encoded: EncodedImage, prompts: Prompts, logits: Tensor) -> Tensor:
        """Return (N, 4) regions to recognise, input pixels: the prompts' boxes, else the masks'."""
        if prompts.boxes_xyxy is None:
            return boxes_of_masks(logits, self.model.config.input_size)
        return self._to_input(encoded, clip_boxes(prompts.boxes_xyxy, encoded.original_size_hw))

    def _score(
        self,
        encoded: EncodedImage,
        logits: Tensor,
        label_tokens: Tensor,
        regions: tuple[Tensor, Tensor],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return head, CLIP and fused logits; `regions` are those of the head and of CLIP."""
        model, parts = self.model, []
        for rows in _chunks(len(logits), _REGIONS_PER_CHUNK):
            embeddings, clip_embeddings, has_mask = model.embed_regions(
                encoded.features,
                regions[0][rows],
                regions[1][rows],
                label_tokens[rows],
                logits[rows],
            )
            head = self._classifier.cosine_logits(embeddings)
            clip = self._classifier.cosine_logits(clip_embeddings)
            parts.append((head, clip, self._classifier.fuse(head, clip, has_mask)))
        head, clip, fused = (torch.cat(column) for column in zip(*parts, strict=True))
        return head, clip, fused

    def _finish(
        self,
        encoded: EncodedImage,
        low_res_logits: NDArray[np.float32],
        logits: tuple[Tensor, Tensor, Tensor],
        masks: MaskForm,
        best: tuple[Tensor, Tensor, Tensor],
    ) -> Prediction:
        """Turn logits into masks at the original size."""
        size = self.model.config.input_size
        regions = [
            mask_region(row, size, encoded.input_size_hw, encoded.original_size_hw)
            for row in (low_res_logits if masks != "none" else ())
        ]
        full = None
        if masks in ("full", "both"):
            height, width = encoded.original_size_hw
            full = np.array([region.full() for region in regions]).reshape(-1, height, width)
        boxes, areas = np.zeros((len(low_res_logits), 4), np.float32), [0] * len(low_res_logits)
        if regions:
            boxes = np.array([region.box_xyxy() for region in regions], np.float32)
            areas = [region.area() for region in regions]
        labels, scores, margins = best
        head, clip, fused = (to_numpy(x) for x in logits)
        return Prediction(
            boxes_xyxy=boxes,
            labels=labels.cpu().numpy(),
            scores=to_numpy(scores),
            margins=to_numpy(margins),
            mask_scores=stability_scores(low_res_logits, size, encoded.input_size_hw),
            areas=np.array(areas, np.int64),
            head_logits=head,
            clip_logits=clip,
            fused_logits=fused,
            low_res_logits=low_res_logits,
            masks=full,
            rles=[region.rle() for region in regions] if masks in ("rle", "both") else None,
        )


def _chunks(count: int, step: int) -> list[slice]:
    """Cut N rows into slices of at most `step`, at least 1; no rows are one empty slice."""
    step = max(1, step)
    return [slice(start, start + step) for start in range(0, count, step)] or [slice(0, 0)]
