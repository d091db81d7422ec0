"""What every source of boxes is: a detector of image batches, and the boxes it returns.

Input: images as decoded, with their records. Output: one `Detections` per image, checked when made.
A detector gives boxes as it finds them: `box_rules.py` clips, cuts and drops for all of them.
"""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np

from ovsam.weights.seen_files import recall, remember
from ovsam_pipeline.records import ImageRecord

# Hashing takes a second for a gigabyte or two.
_LARGE_BYTES = 64 << 20
_HASH = "blake2b of 16 bytes"
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, eq=False)  # arrays cannot be compared by ==
class Detections:
    """Boxes of one image, checked when made: N boxes, best first by convention (not required).

    Attributes:
        boxes_xyxy: (N, 4) float32, left, top, right, bottom in pixels of the ORIGINAL upright
            image, finite, right >= left and bottom >= top; they may reach beyond the image.
        scores: (N,) float32, finite.
        category_names: N class names, None for a box that the detector found without naming it;
            None in place of all when the detector has no classes.
        points_xy: (N, 2) float32 in the frame of the boxes, or None. Where given, the point is the
            prompt, not the box.
        category_ids: (N,) int64 ids in the detector's own numbering, or None.
        prompt_ids: (N,) int64 ids of the annotations that the boxes are of, or None.
        dropped: how many boxes of this image the detector had to leave out, by reason.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    category_names: tuple[str | None, ...] | None = None
    points_xy: np.ndarray | None = None
    category_ids: np.ndarray | None = None
    prompt_ids: np.ndarray | None = None
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check shapes, dtypes and values.

        Raises:
            ValueError: a wrong shape or dtype, a NaN or infinite number, a box whose right is left
                of its left.
        """
        num_boxes = len(self.scores)
        _check_array("boxes_xyxy", self.boxes_xyxy, (num_boxes, 4), np.float32)
        _check_array("scores", self.scores, (num_boxes,), np.float32)
        if num_boxes and not (self.boxes_xyxy[:, 2:] >= self.boxes_xyxy[:, :2]).all():
            raise ValueError(
                "expected boxes_xyxy with right >= left and bottom >= top, got an inverted box"
            )
        if self.category_names is not None and len(self.category_names) != num_boxes:
            raise ValueError(f"expected {num_boxes} category_names, got {len(self.category_names)}")
        if self.points_xy is not None:
            _check_array("points_xy", self.points_xy, (num_boxes, 2), np.float32)
        if self.category_ids is not None:
            _check_array("category_ids", self.category_ids, (num_boxes,), np.int64)
        if self.prompt_ids is not None:
            _check_array("prompt_ids", self.prompt_ids, (num_boxes,), np.int64)

    def __len__(self) -> int:
        """Return the number of boxes."""
        return len(self.scores)

    @classmethod
    def empty(cls, *, with_categories: bool = False) -> Detections:
        """Build the detections of an image on which nothing was found."""
        boxes, scores = np.zeros((0, 4), np.float32), np.zeros(0, np.float32)
        return cls(boxes, scores, category_names=() if with_categories else None)

    def select(self, indices: np.ndarray) -> Detections:
        """Return the detections at `indices`, in that order; `dropped` stays behind.

        Args:
            indices: (K,) integer positions.
        """
        names = self.category_names
        return Detections(
            self.boxes_xyxy[indices],
            self.scores[indices],
            None if names is None else tuple(names[int(index)] for index in indices),
            None if self.points_xy is None else self.points_xy[indices],
            None if self.category_ids is None else self.category_ids[indices],
            None if self.prompt_ids is None else self.prompt_ids[indices],
        )


class DetectorImage(NamedTuple):
    """One image given to a detector.

    Attributes:
        record: which image it is; detectors that read boxes from a file look it up by id and name.
        rgb: (H, W, 3) uint8, upright, C-contiguous.
    """

    record: ImageRecord
    rgb: np.ndarray


class Known(Protocol):
    """What is known of a detector before its networks are loaded; as in `Detector`."""

    @property
    def name(self) -> str:
        """As the user wrote it."""

    @property
    def fingerprint(self) -> str:
        """Hash of what changes boxes."""

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Every class that it can give."""

    @property
    def licence(self) -> str:
        """Of its weights."""


@runtime_checkable
class Detector(Protocol):
    """A source of boxes; a class that derives from it takes the default of `licence`.

    Attributes:
        name: as the user wrote it, "nano", "boxes:found.json"; it is written to run.json.
        fingerprint: hash of the weights (or of the file) and of every setting that changes boxes;
            two runs whose detectors have equal fingerprints give equal boxes.
        class_names: every class that the detector can give, or None where it has no classes or does
            not know them.
        device: where it computes, "cpu" or "cuda:0".
        licence: of the weights, for run.json; "" where it is not known.
    """

    name: str
    fingerprint: str
    class_names: tuple[str, ...] | None
    device: str
    licence: str = ""

    @abstractmethod
    def detect(self, images: Sequence[DetectorImage]) -> list[Detections]:
        """Find the boxes of a batch.

        Args:
            images: any number of images of any sizes, also none.

        Returns:
            One Detections per image, in the order given. The run clips boxes to the image, drops
            those that score less than its `conf`, suppresses duplicates and cuts to its `max_det`
            afterwards. An image's boxes do not depend on the others of the batch.

        Raises:
            OvsamError: the detector cannot work on one of the images, or on any. The caller tries
                the images alone to find out which.
        """
        ...


def run_grouped(
    items: Sequence[_T],
    key: Callable[[_T], Hashable],
    run: Callable[[list[_T]], Iterable[_R]],
) -> list[_R]:
    """Run the items that have one key together, and return the results in the order of the items.

    Detectors group images by size: padding to a common size would change an image's boxes with its
    neighbours in the batch.

    Args:
        items: N items.
        key: what items must share to run together.
        run: a group of items → one result per item, in order.
    """
    groups: dict[Hashable, list[int]] = {}
    for index, item in enumerate(items):
        groups.setdefault(key(item), []).append(index)
    results: dict[int, _R] = {}
    for indices in groups.values():
        results.update(zip(indices, run([items[index] for index in indices]), strict=True))
    return [results[index] for index in range(len(items))]


def compute_fingerprint(*parts: Any) -> str:
    """Return 32 hex digits that identify the given JSON-like values, in order."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.blake2b(text.encode("utf-8"), digest_size=16).hexdigest()


def hash_file(path: Path) -> str:
    """Return 32 hex digits that identify the content of a file; those of large ones are kept.

    Raises:
        OSError: the file cannot be read.
    """
    is_large = path.stat().st_size >= _LARGE_BYTES
    known = recall(_HASH, [path]) if is_large else None
    if isinstance(known, str):
        return known
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    if is_large:
        remember(_HASH, [path], digest)
    return digest


def _check_array(name: str, array: np.ndarray, shape: tuple[int, ...], dtype: type) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.shape != shape:
        came = (
            f"{array.dtype} {array.shape}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise ValueError(
            f"expected {name} as {np.dtype(dtype).name} array of shape {shape}, got {came}"
        )
    if not np.isfinite(array).all():
        raise ValueError(f"expected finite {name}, got NaN or infinity")
