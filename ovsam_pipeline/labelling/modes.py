"""What a run makes of the boxes of an image: masks with labels, boxes alone, or new labels.

`label_images` drives one of the three: it decodes, lets the mode prepare the network's input and
choose among the detector's boxes, and lets it build the objects of a batch of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar

import numpy as np

from ovsam.preprocess import prepare_image
from ovsam.structures import EncodedImage, Prediction, PreparedImage, Prompts
from ovsam_pipeline.detectors.base import Detections
from ovsam_pipeline.detectors.box_rules import clean
from ovsam_pipeline.labelling.objects import build_box, build_objects
from ovsam_pipeline.records import BoxRecord, ImageRecord, ObjectRecord
from ovsam_pipeline.sources.perceptual_hash import PerceptualHash

if TYPE_CHECKING:
    from ovsam_pipeline.labelling.rules import LabelRules
    from ovsam_pipeline.labelling.stored_regions import StoredRegions

Prepared = TypeVar("Prepared")
Objects = tuple[ObjectRecord, ...] | tuple[BoxRecord, ...]
Chosen = tuple[Detections, Counter[str]]
Built = tuple[Objects, Counter[str]]


@dataclass(frozen=True, slots=True)
class FoundImage(Generic[Prepared]):
    """An image whose boxes are chosen, at least one; its full-size pixels are gone.

    Attributes:
        size_hw: height and width of the original.
        prepared: what `Mode.prepare` made of its pixels.
        warning: see `LabelRecord`.
    """

    record: ImageRecord
    size_hw: tuple[int, int]
    prepared: Prepared
    boxes: Detections
    warning: str | None = None
    phash: PerceptualHash | None = None


class Mode(Protocol[Prepared]):
    """What is made of an image's boxes.

    Attributes:
        stage: name that the time of `build_objects` is counted under.
    """

    stage: str

    def prepare(self, rgb: np.ndarray) -> Prepared:
        """Return what `build_objects` needs of (H, W, 3) uint8 pixels; runs in decoding threads."""
        ...

    def choose_boxes(self, found: Detections, size_hw: tuple[int, int]) -> Chosen:
        """Return the boxes to use, and how many were dropped, by reason."""
        ...

    def build_objects(self, images: Sequence[FoundImage[Prepared]]) -> list[Built]:
        """Return for each image its objects, and how many boxes gave none, by reason."""
        ...


class PromptedModel(Protocol):
    """The part of `ovsam.Predictor` that labelling uses."""

    def encode(self, images: Sequence[PreparedImage]) -> list[EncodedImage]:
        """Run the image encoder over a batch."""
        ...

    def segment(
        self,
        encoded: EncodedImage,
        prompts: Prompts,
        *,
        masks: Literal["rle", "none"],
        clip_boxes_xyxy: np.ndarray | None = None,
    ) -> Prediction:
        """Segment and label prompts of one encoded image."""
        ...


@dataclass(frozen=True)
class MasksAndLabels:
    """`ovsam label`: every box prompts a mask with a label.

    Attributes:
        rules: which boxes are prompted and which objects come out.
        input_size: side of the network input in pixels.
    """

    predictor: PromptedModel
    rules: LabelRules
    input_size: int
    stage = "segment"

    def prepare(self, rgb: np.ndarray) -> PreparedImage:
        """Return the network's input."""
        return prepare_image(rgb, self.input_size)

    def choose_boxes(self, found: Detections, size_hw: tuple[int, int]) -> Chosen:
        """See `LabelRules.choose_boxes`."""
        return self.rules.choose_boxes(found, size_hw)

    def build_objects(self, images: Sequence[FoundImage[PreparedImage]]) -> list[Built]:
        """Encode the images together, then prompt each."""
        encoded = self.predictor.encode([image.prepared for image in images])
        return [self._build(*pair) for pair in zip(images, encoded, strict=True)]

    def _build(self, image: FoundImage[PreparedImage], encoded: EncodedImage) -> Built:
        evaluation = self.rules.evaluation
        scores_boxes = evaluation is not None and evaluation.scores_given_boxes
        prediction = self.predictor.segment(
            encoded,
            _build_prompts(image.boxes),
            masks="rle",
            clip_boxes_xyxy=image.boxes.boxes_xyxy if scores_boxes else None,
        )
        return build_objects(prediction, image.boxes, self.rules)


@dataclass(frozen=True)
class BoxesAlone:
    """`ovsam detect`: the detector's boxes are the objects; no model runs.

    Attributes:
        conf: boxes that score less are dropped.
        max_det: of much more than this many per image only the best are stored; None: all are.
    """

    conf: float
    max_det: int | None
    stage = "detect"

    def prepare(self, rgb: np.ndarray) -> None:
        """Return nothing: no network sees the image after the detector."""

    def choose_boxes(self, found: Detections, size_hw: tuple[int, int]) -> Chosen:
        """Drop bad boxes; duplicates stay, for the run that labels these boxes to drop."""
        return clean(found, size_hw, conf=self.conf, max_det=self.max_det)

    def build_objects(self, images: Sequence[FoundImage[None]]) -> list[Built]:
        """Return the boxes as plain values."""
        return [
            (tuple(build_box(image.boxes, row) for row in range(len(image.boxes))), Counter())
            for image in images
        ]


@dataclass(frozen=True)
class StoredMasks:
    """`ovsam label --relabel`: the objects of an earlier output get new labels.

    Attributes:
        input_size: side of the network input in pixels.
        regions: the stored objects; the detector of the run as well.
    """

    predictor: PromptedModel
    rules: LabelRules
    input_size: int
    regions: StoredRegions
    stage = "segment"

    def prepare(self, rgb: np.ndarray) -> PreparedImage:
        """Return the network's input."""
        return prepare_image(rgb, self.input_size)

    def choose_boxes(self, found: Detections, size_hw: tuple[int, int]) -> Chosen:
        """Keep every box: they were chosen when they were stored, and each has its object."""
        del size_hw
        return found, Counter()

    def build_objects(self, images: Sequence[FoundImage[PreparedImage]]) -> list[Built]:
        """Prompt for labels, without full-size masks."""
        built: list[Built] = []
        encoded = self.predictor.encode([image.prepared for image in images])
        for image, features in zip(images, encoded, strict=True):
            prompts = _build_prompts(image.boxes)
            prediction = self.predictor.segment(features, prompts, masks="none")
            built.append(self.regions.relabel(image.record, prediction, image.boxes, self.rules))
        return built


def _build_prompts(found: Detections) -> Prompts:
    """A detector's point is the prompt where it gives one, else its box."""
    if found.points_xy is not None:
        return Prompts(
            points_xy=found.points_xy[:, None], point_labels=np.ones((len(found), 1), int)
        )
    return Prompts(boxes_xyxy=found.boxes_xyxy)
