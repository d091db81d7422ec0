"""The rows that cross the pipeline: an image to label, one labelled object, one labelled image.

Input: what `sources` lists. Output: plain dict rows with the columns of the Parquet files in the
output folder, which are declared here, once. Imports neither torch nor pyarrow.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

if TYPE_CHECKING:
    from ovsam.structures import RLE

Status = Literal["labelled", "empty", "failed"]
STATUSES: tuple[str, ...] = get_args(Status)

# Column → type, in the order of the files. `output/part.py` knows the types.
ROW_COLUMNS = {
    "image_id": "int64",
    "file_name": "string",
    "width": "int32",
    "height": "int32",
    "status": "string",
    "error": "string",
    "warning": "string",
    "phash": "int64",
    "phash_detail": "string",
}
# Of the structs in the `objects` list of a row: of `ovsam label`, and of `ovsam detect`.
OBJECT_COLUMNS = {
    "bbox": "float32[4]",
    "category_id": "int64",
    "category": "string",
    "score": "float32",
    "detector_score": "float32",
    "detector_category": "string",
    "margin": "float32",
    "mask_score": "float32",
    "area": "int64",
    "segmentation": "run lengths",
    "prompt_id": "int64",
    "detector_margin": "float32",
    "model_category": "string",
    "model_score": "float32",
    "detector_box_xyxy": "float32[]",
    "detector_point_xy": "float32[]",
    "head_score": "float32",
    "clip_score": "float32",
    "risk": "float32",
    "reason": "string",
}
BOX_COLUMNS = {
    "bbox": "float32[4]",
    "detector_score": "float32",
    "detector_category": "string",
    "detector_category_id": "int64",
    "detector_box_xyxy": "float32[]",
    "detector_point_xy": "float32[]",
    "prompt_id": "int64",
}
# Columns, of rows and of objects, that the parts of earlier versions lack.
ADDED_LATER = frozenset(
    {"warning", "phash", "phash_detail", "head_score", "clip_score", "risk", "reason"}
)
# Columns of an object that are fields of its prompt; all others are its own fields.
_PROMPT_COLUMNS = BOX_COLUMNS.keys() & OBJECT_COLUMNS.keys() - {"bbox"}


# What numbers of JavaScript, jq and spreadsheets, and arrays of floats, hold exactly.
IMAGE_ID_BITS = 53


def compute_image_id(file_name: str, attempt: int = 0) -> int:
    """Return the stable id of an image that no COCO file numbers, in [0, 2**53).

    It is the first 53 bits of BLAKE2b over the UTF-8 name, as the output will have it: a relative
    POSIX path or a URI. It depends on the name alone, so images that are added to a folder later do
    not renumber the others. `attempt` counts the ids that another image had already
    (`output/image_ids.py`).
    """
    text = f"{file_name}\0{attempt}" if attempt else file_name
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> (64 - IMAGE_ID_BITS)


@lru_cache(maxsize=1024)
def _tidy(folder: str) -> str:
    return os.path.abspath(folder)  # noqa: PTH100  Path.absolute keeps ".."


class ImagePlace(Protocol):
    """Where the bytes of an image are: a `Path`, a `RemotePath`, a member of an archive, a cell.

    Places are small, frozen and picklable; `str()` of equal places is equal, of others different.
    """

    def read_bytes(self) -> bytes:
        """Return the encoded image."""


class StoredFile(Protocol):
    """A file that holds images, here or on an object store: a `Path` or a `RemotePath`."""

    @property
    def name(self) -> str:
        """Its last part."""

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        """Open it to read, with `seek`."""


class Origin(NamedTuple):
    """From where an image is listed.

    Attributes:
        source: what the user named, as an absolute path or an address; "" where it is not known.
        folder: what the image's name is relative to; "" where the name is absolute.
    """

    source: str
    folder: str


# Of images that nothing listed, and of rows of earlier versions.
UNKNOWN_ORIGIN = Origin("", "")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image to label, as listed; it may have vanished or be broken by the time it is read.

    Attributes:
        image_id: from the COCO file when the source is one, else `compute_image_id(file_name)`.
        file_name: relative POSIX path, or a URI; never only the base name of a nested file; valid
            Unicode.
        path: where its bytes are: a `Path` for a local file.
        size_bytes: size when listed; -1 where it is not known.
        mtime_ns: modification time in nanoseconds when listed; 0 where it is not known.
        width: pixels as a COCO file states them, else None. A hint, never trusted over the decoded
            image.
        version: replaces size and time in `identity` where these do not show a change: for a member
            of an archive, those of the archive and its place in it; None for files.
        source: the source that listed it, as an absolute path or an address.
    """

    image_id: int
    file_name: str
    path: ImagePlace
    size_bytes: int = -1
    mtime_ns: int = 0
    width: int | None = None
    height: int | None = None
    version: str | None = None
    source: str = field(default="", compare=False)

    @property
    def identity(self) -> str:
        """Path, size and time (or version): equal in a later run when the file is unchanged."""
        state = f"{self.size_bytes}:{self.mtime_ns}" if self.version is None else self.version
        return f"{self.file_name}|{state}"

    @property
    def origin(self) -> Origin:
        """Where it is from: its source, and the folder that its name is relative to."""
        place, name = str(self.path), self.file_name
        table = getattr(self.path, "file", None)
        if table is not None:  # a cell: its name begins with that of the file that holds it
            place = str(table)
            last = place.rpartition("/")[2]
            name = name.partition(f"{last}/")[0] + last
        folder = place.removesuffix(name) if place.endswith(name) else place.rpartition("/")[0]
        if "://" in place:
            return Origin(self.source, folder.rstrip("/"))
        if place[:1] != "/":
            folder = f"{Path.cwd()}/{folder}"
        return Origin(self.source, _tidy(folder) if folder else "")


@dataclass(frozen=True, slots=True)
class BoxRecord:
    """One box that a detector found, or a prompt in its place: what `ovsam detect` stores.

    Attributes:
        detector_box_xyxy: left, top, right, bottom, pixels of the upright original image.
        detector_category: class name that the detector gave, None where it has no classes.
        detector_category_id: id of that class in the detector's own numbering, or None. Rows of
            `ovsam label` do not have it.
        detector_point_xy: the point that is the prompt instead of the box, or None.
        prompt_id: id of the annotation that the box is from (`gt:`), else None.
    """

    detector_box_xyxy: tuple[float, ...]
    detector_score: float
    detector_category: str | None = None
    detector_category_id: int | None = None
    detector_point_xy: tuple[float, ...] | None = None
    prompt_id: int | None = None

    @property
    def bbox(self) -> tuple[float, float, float, float]:
        """The box as left, top, width, height."""
        left, top, right, bottom = self.detector_box_xyxy
        return left, top, right - left, bottom - top

    def to_row(self) -> dict[str, Any]:
        """Return one item of the `objects` list of a row of `ovsam detect`."""
        return {name: getattr(self, name) for name in BOX_COLUMNS}


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One labelled object of an image.

    Attributes:
        prompt: the box that was segmented and labelled.
        bbox: tight box of the mask: left, top, width, height, pixels of the upright original image.
        category_id: id of the label in the vocabulary.
        score: probability of the label, in [0, 1].
        margin: probability of the model's label minus that of the runner-up; None, as are
            `model_category` and `model_score`, where the model named nothing (a plain SAM).
        mask_score: stability of the mask, in [0, 1].
        area: pixels of the mask.
        model_category: the model's own label, whichever of model and detector named the object.
        detector_margin: the model's probability of its label minus that of the detector's class: 0
            where they agree, None where that class has no counterpart in the vocabulary.
        head_score: probability of the label by the trained head alone; None where the model named
            nothing.
        clip_score: the same by frozen CLIP alone.
        risk: how likely the object is wrong, in [0, 1]; None in rows of earlier versions.
        reason: why, in words; None where nothing stands out.
    """

    prompt: BoxRecord
    bbox: tuple[float, ...]
    category_id: int
    category: str
    score: float
    margin: float | None
    mask_score: float
    area: int
    segmentation: RLE
    model_category: str | None
    model_score: float | None
    detector_margin: float | None = None
    head_score: float | None = None
    clip_score: float | None = None
    risk: float | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        """Refuse values that would make a row unreadable."""
        if len(self.bbox) != 4 or not all(math.isfinite(value) for value in self.bbox):
            raise ValueError(f"expected bbox as 4 finite numbers, got {self.bbox}")
        scores = (self.score, self.prompt.detector_score, self.margin, self.mask_score)
        if not all(value is None or math.isfinite(value) for value in scores):
            raise ValueError(
                f"expected finite score, detector_score, margin and mask_score, got {scores}"
            )

    def to_row(self) -> dict[str, Any]:
        """Return one item of the `objects` list of a row of `ovsam label`."""
        return {
            name: getattr(self.prompt if name in _PROMPT_COLUMNS else self, name)
            for name in OBJECT_COLUMNS
        }

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> ObjectRecord:
        """Build the record back from `to_row`'s dict, also after Parquet."""
        prompt: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for name in OBJECT_COLUMNS:
            value = row.get(name) if name in ADDED_LATER else row[name]
            fields = prompt if name in _PROMPT_COLUMNS else own
            fields[name] = tuple(value) if isinstance(value, list) else value
        return cls(BoxRecord(**prompt), **own)


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """One row of the output: an image with its objects, or without any, or failed with a reason.

    Attributes:
        image_id: as in the ImageRecord.
        width: pixels of the upright image; None where it could not be decoded.
        status: "labelled" (at least one object), "empty" (none), "failed" (`error` says why).
        error: reason of a failed row, one sentence; None otherwise.
        warning: what was not quite right with an image that was read all the same, or None.
        phash, phash_detail: how the image looks, see `sources/perceptual_hash.py`; None of an image
            that failed, or is of one colour.
        objects: the labelled objects, or the boxes of `ovsam detect`.
        identity: the ImageRecord's identity when it was labelled, for resume. Not a column of the
            row, nor is `origin`.
    """

    image_id: int
    file_name: str
    width: int | None
    height: int | None
    status: Status
    error: str | None = None
    objects: tuple[ObjectRecord, ...] | tuple[BoxRecord, ...] = ()
    identity: str = ""
    warning: str | None = None
    phash: int | None = None
    phash_detail: str | None = None
    origin: Origin = field(default=UNKNOWN_ORIGIN, compare=False)

    def __post_init__(self) -> None:
        """Refuse contradictions between status, error and objects."""
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
        warning: str | None = None,
        phash: tuple[int, str] | None = None,
    ) -> LabelRecord:
        """Build the row of an image that was read: "labelled", or "empty" without objects."""
        bits, detail = phash or (None, None)
        return cls(
            image.image_id,
            image.file_name,
            width,
            height,
            "labelled" if objects else "empty",
            objects=objects,
            identity=image.identity,
            warning=warning,
            phash=bits,
            phash_detail=detail,
            origin=image.origin,
        )

    @classmethod
    def failed(
        cls, image: ImageRecord, error: str, width: int | None = None, height: int | None = None
    ) -> LabelRecord:
        """Build the row of an image that could not be labelled; `error` is the reason."""
        return cls(
            image.image_id,
            image.file_name,
            width,
            height,
            "failed",
            error,
            identity=image.identity,
            origin=image.origin,
        )

    def to_row(self) -> dict[str, Any]:
        """Return one row of a Parquet file as a plain dict."""
        row = {name: getattr(self, name) for name in ROW_COLUMNS}
        return {**row, "objects": [item.to_row() for item in self.objects]}

    @classmethod
    def from_row(cls, row: dict[str, Any], identity: str = "") -> LabelRecord:
        """Build the record back from a row of `ovsam label`."""
        objects = tuple(ObjectRecord.from_row(item) for item in row["objects"] or ())
        values = {**dict.fromkeys(ADDED_LATER), **row}
        return cls(
            **{name: values[name] for name in ROW_COLUMNS}, objects=objects, identity=identity
        )
