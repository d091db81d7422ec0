"""The rows that cross the pipeline: an image to label, one labelled object, one labelled image.

Input: what `sources.py` lists. Output: plain dict rows with exactly the fields of the output
folder's Parquet files.
Nothing here opens an image, and nothing here imports torch or pyarrow.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import IO, Any, Literal, Protocol, get_args

Status = Literal["labelled", "empty", "failed"]
STATUSES: tuple[str, ...] = get_args(Status)


def compute_image_id(file_name: str) -> int:
    """Return the stable id of an image that no COCO file numbers.

    Args:
        file_name: the relative POSIX path or URI of the image, as it will stand in the output.

    Returns:
        An integer in [0, 2**63): the first 63 bits of BLAKE2b over the UTF-8 name. It depends on
        the name alone, so images added to a folder later do not renumber the others.
    """
    digest = hashlib.blake2b(file_name.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class ImagePlace(Protocol):
    """Where the bytes of an image are: a `Path`, a `RemotePath`, a member of an archive, a cell.

    Places are small, frozen and picklable; `str()` of equal places is equal, of others different.
    """

    def read_bytes(self) -> bytes:
        """Return the encoded image.

        Raises:
            OSError: as `open` does: not found, no permission, cannot be read.
            ImageError: what was found there is not the image that was listed.
        """


class StoredFile(Protocol):
    """A file that holds images, here or on an object store: a `Path` or a `RemotePath`."""

    @property
    def name(self) -> str:
        """Its last part."""

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Open it to read, with `seek`."""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image to label, as listed; it may have vanished or be broken by the time it is read.

    Attributes:
        image_id: from the COCO file when the source is one, else `compute_image_id(file_name)`.
        file_name: relative POSIX path, or a URI; never only the base name of a nested file; valid
            Unicode.
        path: where its bytes are: a `Path` for a file of this machine.
        size_bytes: size when listed; -1 where it could not be found, or nobody says.
        mtime_ns: modification time in nanoseconds when listed; 0 where it could not be found, or
            nobody says.
        width: pixels as a COCO file states them, else None. A hint, never trusted over the decoded
            image.
        height: as `width`.
        version: what stands for size and time in `identity` where these do not tell a change: of an
            archive's member, those of the archive and its place in it; None for files.
    """

    image_id: int
    file_name: str
    path: ImagePlace
    size_bytes: int = -1
    mtime_ns: int = 0
    width: int | None = None
    height: int | None = None
    version: str | None = None

    @property
    def identity(self) -> str:
        """Path, size and time (or version): equal in a later run when the file is unchanged."""
        state = f"{self.size_bytes}:{self.mtime_ns}" if self.version is None else self.version
        return f"{self.file_name}|{state}"


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One labelled object of an image.

    Attributes:
        bbox_xywh: tight box of the mask, pixels of the upright original image, left, top, width,
            height.
        category_id: id of the label in the vocabulary.
        category: name of the label.
        score: probability of the label, in [0, 1].
        detector_score: confidence of the detector, finite.
        detector_category: class name that the detector gave, None where it has no classes.
        margin: probability of the label minus that of the runner-up.
        mask_score: stability of the mask, in [0, 1].
        area: pixels of the mask.
        segmentation_size: (height, width) of the image.
        segmentation_counts: COCO compressed run lengths.
        prompt_id: id of the annotation that prompted the object (`gt:`), else None.
        detector_margin: OV-SAM's probability of its label minus that of the detector's class: 0
            where they agree, None where that class has no counterpart in the vocabulary.
        model_category: OV-SAM's own label, whoever named the object; None in older parts.
        model_score: its probability, in [0, 1]; None in older parts.
        detector_box_xyxy: the box that was the prompt, left, top, right, bottom in pixels of the
            upright original image; None in older parts.
        detector_point_xy: the point that was the prompt in its stead, or None.
    """

    bbox_xywh: tuple[float, float, float, float]
    category_id: int
    category: str
    score: float
    detector_score: float
    detector_category: str | None
    margin: float
    mask_score: float
    area: int
    segmentation_size: tuple[int, int]
    segmentation_counts: str
    prompt_id: int | None = None
    detector_margin: float | None = None
    model_category: str | None = None
    model_score: float | None = None
    detector_box_xyxy: tuple[float, ...] | None = None
    detector_point_xy: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Refuse values that would make a row unreadable.

        Raises:
            ValueError: bbox without 4 finite numbers, or a score that is not finite.
        """
        if len(self.bbox_xywh) != 4 or not all(math.isfinite(value) for value in self.bbox_xywh):
            raise ValueError(f"expected bbox_xywh as 4 finite numbers, got {self.bbox_xywh}")
        scores = (self.score, self.detector_score, self.margin, self.mask_score)
        if not all(math.isfinite(value) for value in scores):
            raise ValueError(
                f"expected finite score, detector_score, margin and mask_score, got {scores}"
            )

    def to_row(self) -> dict[str, Any]:
        """Return the plain dict that stands in the `objects` list of a row."""
        return {
            "bbox": [float(value) for value in self.bbox_xywh],
            "category_id": int(self.category_id),
            "category": self.category,
            "score": float(self.score),
            "detector_score": float(self.detector_score),
            "detector_category": self.detector_category,
            "margin": float(self.margin),
            "mask_score": float(self.mask_score),
            "area": int(self.area),
            "segmentation": {
                "size": [int(value) for value in self.segmentation_size],
                "counts": self.segmentation_counts,
            },
            "prompt_id": self.prompt_id,
            "detector_margin": self.detector_margin,
            "model_category": self.model_category,
            "model_score": self.model_score,
            "detector_box_xyxy": _to_list(self.detector_box_xyxy),
            "detector_point_xy": _to_list(self.detector_point_xy),
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> ObjectRecord:
        """Build the record back from `to_row`'s dict.

        Raises:
            KeyError: a field is missing.
        """
        left, top, width, height = row["bbox"]
        size_h, size_w = row["segmentation"]["size"]
        return cls(
            bbox_xywh=(left, top, width, height),
            category_id=row["category_id"],
            category=row["category"],
            score=row["score"],
            detector_score=row["detector_score"],
            detector_category=row["detector_category"],
            margin=row["margin"],
            mask_score=row["mask_score"],
            area=row["area"],
            segmentation_size=(size_h, size_w),
            segmentation_counts=row["segmentation"]["counts"],
            # Older parts have none of these.
            prompt_id=row.get("prompt_id"),
            detector_margin=row.get("detector_margin"),
            model_category=row.get("model_category"),
            model_score=row.get("model_score"),
            detector_box_xyxy=_to_tuple(row.get("detector_box_xyxy")),
            detector_point_xy=_to_tuple(row.get("detector_point_xy")),
        )


@dataclass(frozen=True, slots=True)
class BoxRecord:
    """One box of an image without mask and label: what `ovsam detect` stores.

    Attributes:
        detector_box_xyxy: left, top, right, bottom, pixels of the upright original image.
        detector_score: confidence of the detector.
        detector_category: class name that the detector gave, None where it has no classes.
        detector_category_id: id of that class in the detector's own numbering, or None.
        detector_point_xy: the point that is the prompt in the box's stead, or None.
        prompt_id: id of the annotation that the box is of, or None.
    """

    detector_box_xyxy: tuple[float, ...]
    detector_score: float
    detector_category: str | None = None
    detector_category_id: int | None = None
    detector_point_xy: tuple[float, ...] | None = None
    prompt_id: int | None = None

    def to_row(self) -> dict[str, Any]:
        """Return the plain dict that stands in the `objects` list of a row."""
        left, top, right, bottom = self.detector_box_xyxy
        return {
            "bbox": [left, top, right - left, bottom - top],
            "detector_score": self.detector_score,
            "detector_category": self.detector_category,
            "detector_category_id": self.detector_category_id,
            "detector_box_xyxy": list(self.detector_box_xyxy),
            "detector_point_xy": _to_list(self.detector_point_xy),
            "prompt_id": self.prompt_id,
        }


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One row of the output: an image with its objects, or without any, or failed with a reason.

    Attributes:
        image_id: as in the ImageRecord.
        file_name: as in the ImageRecord.
        width: pixels of the upright image; None where it could not be decoded.
        height: as `width`.
        status: "labelled" (at least one object), "empty" (none), "failed" (`error` says why).
        error: reason of a failed row, one sentence; None otherwise.
        objects: the labelled objects, or the boxes of `ovsam detect`.
        identity: the ImageRecord's identity when it was labelled, for resume. Not a field of the
            row.
    """

    image_id: int
    file_name: str
    width: int | None
    height: int | None
    status: Status
    error: str | None = None
    objects: tuple[ObjectRecord, ...] | tuple[BoxRecord, ...] = ()
    identity: str = ""

    def __post_init__(self) -> None:
        """Refuse contradictions between status, error and objects.

        Raises:
            ValueError: unknown status, a failed row without a reason, objects that do not fit the
                status.
        """
        if self.status not in STATUSES:
            raise ValueError(
                f"expected status as one of {STATUSES}, got {self.status!r} for {self.file_name}"
            )
        if (self.status == "failed") != bool(self.error):
            raise ValueError(
                f"expected an error exactly on failed rows, got {self.status}, {self.error!r}"
            )
        if (self.status == "labelled") != bool(self.objects):
            raise ValueError(
                f"expected objects exactly on labelled rows, got {len(self.objects)} on a row that "
                f"is {self.status}"
            )

    @classmethod
    def labelled(
        cls,
        image: ImageRecord,
        width: int,
        height: int,
        objects: tuple[ObjectRecord, ...] | tuple[BoxRecord, ...],
    ) -> LabelRecord:
        """Build the row of an image that was read: "labelled", or "empty" without objects."""
        status: Status = "labelled" if objects else "empty"
        return cls(
            image.image_id, image.file_name, width, height, status, None, objects, image.identity
        )

    @classmethod
    def failed(
        cls, image: ImageRecord, error: str, width: int | None = None, height: int | None = None
    ) -> LabelRecord:
        """Build the row of an image that could not be labelled; `error` is the reason."""
        return cls(
            image.image_id, image.file_name, width, height, "failed", error, (), image.identity
        )

    def to_row(self) -> dict[str, Any]:
        """Return the plain dict of one Parquet row, in the field order of the output folder."""
        return {
            "image_id": int(self.image_id),
            "file_name": self.file_name,
            "width": self.width,
            "height": self.height,
            "status": self.status,
            "error": self.error,
            "objects": [item.to_row() for item in self.objects],
        }

    @classmethod
    def from_row(cls, row: dict[str, Any], identity: str = "") -> LabelRecord:
        """Build the record back from `to_row`'s dict.

        Raises:
            KeyError: a field is missing.
        """
        objects = tuple(ObjectRecord.from_row(item) for item in row["objects"] or ())
        return cls(
            row["image_id"],
            row["file_name"],
            row["width"],
            row["height"],
            row["status"],
            row["error"],
            objects,
            identity,
        )


def _to_list(numbers: tuple[float, ...] | None) -> list[float] | None:
    return None if numbers is None else [float(number) for number in numbers]


def _to_tuple(numbers: list[float] | None) -> tuple[float, ...] | None:
    return None if numbers is None else tuple(numbers)
