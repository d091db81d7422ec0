"""OUT/review-batches.jsonl: what people were asked, one line a batch.

Only with it can be said what an answer means: an object that is missing in an editor's file was
removed by a person where it had been shown, and an unanswered object of a sample is known. It only
grows, as the answers do; rows may have changed when the answers come.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from ovsam.checked_json import parse_json
from ovsam.coco_fields import to_box, to_id, to_number, to_side, to_text
from ovsam.errors import describe_error, show_value
from ovsam_pipeline.output.growing_file import add_lines, read_lines, warn_of_line
from ovsam_pipeline.output.reviews import BATCHES_FILE, read_mask
from ovsam_pipeline.storage.remote_path import AnyPath

Kind = Literal["queue", "sample"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class AskedImage:
    """An image, and the objects that a person is asked about.

    Attributes:
        width: pixels of the upright image.
        objects: each with key, category, score, detector_score, risk, reason, bbox (x, y, width,
            height), area in pixels, and segmentation.
        phash: perceptual hash of the image, or None.
    """

    file_name: str
    image_id: int
    width: int
    height: int
    objects: tuple[Mapping[str, Any], ...]
    phash: int | None = None


@dataclass(frozen=True)
class Batch:
    """What was asked at once.

    Attributes:
        id: the same for the same questions.
        at: when it was made, ISO 8601 in UTC.
        fingerprint: of the settings that made the labels, as in run.json.
        population: objects that a sample was drawn from; None for a queue.
        seed: of the draw; None for a queue.
    """

    id: str
    kind: Kind
    at: str
    images: tuple[AskedImage, ...]
    fingerprint: str = ""
    population: int | None = None
    seed: int | None = None

    @property
    def num_objects(self) -> int:
        """How many objects are asked about."""
        return sum(len(image.objects) for image in self.images)


def make_batch(kind: Kind, images: Sequence[AskedImage], **values: Any) -> Batch:
    """Build a batch of now; `values` are its further fields."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    batch = Batch("", kind, at, tuple(images), **values)
    asked = {**asdict(batch), "at": None}
    digest = hashlib.blake2b(json.dumps(asked, default=str).encode(), digest_size=6).hexdigest()
    return replace(batch, id=f"{kind}-{digest}")


def record_batch(output: AnyPath, batch: Batch) -> None:
    """Add a batch to an output's file, unless it is there."""

    def choose(lines: list[bytes]) -> list[bytes]:
        known = {found.id for found in map(_parse_or_none, lines) if found is not None}
        text = json.dumps(asdict(batch), ensure_ascii=False, separators=(",", ":"))
        return [] if batch.id in known else [text.encode()]

    add_lines(output, BATCHES_FILE, choose)


def read_batches(output: AnyPath) -> list[Batch]:
    """Return all batches of an output, the oldest first; a damaged line is named and left out."""
    path = output / BATCHES_FILE
    batches = []
    for number, line in enumerate(read_lines(path), start=1):
        try:
            batches.append(_parse(line))
        except (ValueError, TypeError) as error:
            warn_of_line(path, number, describe_error(error))
    return batches


def _parse_or_none(line: bytes) -> Batch | None:
    try:
        return _parse(line)
    except (ValueError, TypeError):
        return None


def _parse(line: bytes) -> Batch:
    values = parse_json(line)
    if not isinstance(values, dict):
        raise ValueError(f"expected an object, got {show_value(values, 40)}")
    kind = values.get("kind")
    if kind not in KINDS:
        raise ValueError(f"expected kind as one of {', '.join(KINDS)}, got {show_value(kind, 40)}")
    return Batch(
        _take(values, "id", to_text),
        kind,
        _take(values, "at", to_text),
        tuple(_parse_image(item) for item in _take(values, "images", _to_list)),
        to_text(values.get("fingerprint")) or "",
        to_id(values.get("population")),
        to_id(values.get("seed")),
    )


def _parse_image(values: Any) -> AskedImage:
    if not isinstance(values, dict):
        raise ValueError(f"expected an image as an object, got {show_value(values, 40)}")
    return AskedImage(
        _take(values, "file_name", to_text),
        _take(values, "image_id", to_id),
        _take(values, "width", to_side),
        _take(values, "height", to_side),
        tuple(_parse_object(item) for item in _take(values, "objects", _to_list)),
        to_id(values.get("phash")),
    )


def _parse_object(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise ValueError(f"expected an object of an image, got {show_value(values, 40)}")
    found = {name: to_number(values.get(name)) for name in ("score", "detector_score", "risk")}
    return {
        "key": _take(values, "key", to_text),
        "category": to_text(values.get("category")),
        **found,
        "reason": to_text(values.get("reason")),
        "bbox": list(_take(values, "bbox", to_box)),
        "area": _take(values, "area", to_id),
        "segmentation": _take(values, "segmentation", read_mask),
    }


def _take(values: Mapping[str, Any], name: str, convert: Callable[[Any], Any]) -> Any:
    """Return a value that must be there."""
    found = convert(values.get(name))
    if found is None:
        raise ValueError(f"expected {name}, got {show_value(values.get(name), 40)}")
    return found


def _to_list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) else None
