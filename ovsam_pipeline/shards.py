"""What is left to do: pure functions over listed images and the index of what is already there.

Input: image records as listed now, and one `DoneImage` a row of the output folder. Output: a
`Plan`. Nothing here touches a file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from ovsam.errors import ConfigError
from ovsam_pipeline.records import ImageRecord, LabelRecord

__all__ = ["DoneImage", "Plan", "compute_key", "compute_part_name", "plan_run"]


class DoneImage(NamedTuple):
    """Where an image's row stands, and what the image was when it was labelled.

    Attributes:
        identity: `compute_key` of the ImageRecord's identity at that time.
        is_failed: whether the row says "failed".
        part: file name of the part.
        position: index of the row in the part.
    """

    identity: int
    is_failed: bool
    part: str
    position: int


@dataclass(frozen=True)
class Plan:
    """What a run has to do, and what it leaves alone.

    Attributes:
        images: the images to label, in listing order.
        stale: rows to remove before that, by part: their images changed or are tried again.
        num_new: images without a row.
        num_changed: images whose file changed since they were labelled.
        num_retried: images that failed before and are tried again.
        num_unchanged: images that keep their row, failed ones included.
        num_failed_before: failed rows among the unchanged.
        num_removed: rows whose image is no longer in the sources; they are kept.
    """

    images: tuple[ImageRecord, ...]
    stale: Mapping[str, frozenset[int]] = field(default_factory=dict)
    num_new: int = 0
    num_changed: int = 0
    num_retried: int = 0
    num_unchanged: int = 0
    num_failed_before: int = 0
    num_removed: int = 0

    @property
    def num_listed(self) -> int:
        """Number of images in the sources."""
        return len(self.images) + self.num_unchanged


def compute_key(text: str) -> int:
    """Return 64 bits that stand for a file name or an identity in the index."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def compute_part_name(rows: Sequence[LabelRecord], fingerprint: str) -> str:
    """Return the file name of the part that holds these rows.

    The name depends on the images and the settings alone, so writing the same part twice replaces
    it instead of doubling it.
    """
    digest = hashlib.blake2b(fingerprint.encode(), digest_size=8)
    for identity in sorted(row.identity for row in rows):
        digest.update(identity.encode("utf-8") + b"\0")
    return f"part-{digest.hexdigest()}.parquet"


def plan_run(
    images: Iterable[ImageRecord],
    done: Mapping[int, DoneImage],
    *,
    retry_failed: bool = False,
    output_folder: Path | None = None,
) -> Plan:
    """Compare the listed images with the rows that exist.

    Args:
        images: as listed now; a file listed twice counts once.
        done: the rows that exist, by `compute_key` of the file name.
        retry_failed: label images again whose row says "failed".
        output_folder: absolute; images inside it (previews) are not sources.

    Raises:
        ConfigError: two different images have the same name or the same id.
    """
    inside = None if output_folder is None else f"{output_folder}{os.sep}"
    seen: dict[int, Path] = {}
    ids: dict[int, str] = {}
    todo: list[ImageRecord] = []
    stale: dict[str, set[int]] = {}
    counts = dict.fromkeys(("new", "changed", "retried", "unchanged", "failed_before"), 0)
    for image in images:
        key = compute_key(image.file_name)
        is_own = inside is not None and str(image.path.absolute()).startswith(inside)
        if is_own or _is_repeated(image, key, seen, ids):
            continue
        row = done.get(key)
        state = _compare(image, row, retry_failed)
        counts[state] += 1
        if state == "unchanged":
            counts["failed_before"] += bool(row and row.is_failed)
            continue
        todo.append(image)
        if row is not None:
            stale.setdefault(row.part, set()).add(row.position)
    return Plan(
        images=tuple(todo),
        stale={part: frozenset(positions) for part, positions in stale.items()},
        num_new=counts["new"],
        num_changed=counts["changed"],
        num_retried=counts["retried"],
        num_unchanged=counts["unchanged"],
        num_failed_before=counts["failed_before"],
        num_removed=sum(key not in seen for key in done),
    )


def _compare(image: ImageRecord, row: DoneImage | None, retry_failed: bool) -> str:
    if row is None:
        return "new"
    if row.identity != compute_key(image.identity):
        return "changed"
    return "retried" if row.is_failed and retry_failed else "unchanged"


def _is_repeated(image: ImageRecord, key: int, seen: dict[int, Path], ids: dict[int, str]) -> bool:
    """Remember an image; whether the same one was listed before."""
    if key in seen:
        if seen[key] == image.path:
            return True
        raise ConfigError(
            f"two sources hold different images named '{image.file_name}' ({seen[key]} and "
            f"{image.path}); label them into two outputs, or give one folder above both"
        )
    other = ids.setdefault(image.image_id, image.file_name)
    if other != image.file_name:
        raise ConfigError(
            f"'{other}' and '{image.file_name}' have the same image id {image.image_id}; label the "
            "two sources into two outputs"
        )
    seen[key] = image.path
    return False
