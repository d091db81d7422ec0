"""What passes between us and an editor: images to look at, and what a person left of them.

A writer of an editor's file gets `ReviewTask`s and returns nothing; a reader of the file that comes
back yields a `CorrectedImage` for each image that a person submitted, and none for the others. Who
compares the two is `review/answers.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovsam.structures import RLE
    from ovsam_pipeline.storage.remote_path import AnyPath


@dataclass(frozen=True)
class ReviewTask:
    """One image to look at, with its objects as pre-labels.

    Attributes:
        batch: id of the questions that this one belongs to. Write it into the editor's file where
            that has a place for it (task data, info, project name), and hand it back: an image may
            be in several batches.
        width: pixels of the upright image.
        objects: each with `key` (16 hexadecimal digits; write it beside the pre-label and hand it
            back), `category`, `score`, `risk`, `reason`, `segmentation` (compressed RLE) and `bbox`
            (x, y, width, height); score, risk and reason may be None.
        names: all class names, for the editor's list of labels.
        model: name of the model, as `model_version`.
        sample: id of the uniform sample, None for the queue.
        picture: where the image lies now; None where it is inside an archive or a table, or gone.
    """

    batch: str
    image_id: int
    file_name: str
    width: int
    height: int
    objects: tuple[Mapping[str, Any], ...]
    names: tuple[str, ...]
    model: str
    sample: str | None
    picture: AnyPath | None


@dataclass(frozen=True)
class LeftObject:
    """An object that a person left, changed or drew.

    Attributes:
        category: its name in the editor.
        segmentation: its mask, of the size of the image.
        key: of the pre-label that it comes from; None where it was drawn anew, or the editor does
            not say.
    """

    category: str
    segmentation: RLE
    key: str | None = None


@dataclass(frozen=True)
class CorrectedImage:
    """All objects of an image after a person submitted it.

    Attributes:
        file_name: as in the task, where the editor keeps it; else as the editor has it.
        by: who, where the editor says it.
        at: when, ISO 8601, where the editor says it.
        batch: as in the task, where the editor keeps it.
    """

    file_name: str
    objects: tuple[LeftObject, ...]
    by: str | None = None
    at: str | None = None
    batch: str | None = None


def make_key(file_name: str, segmentation: Mapping[str, Any], number: int = 0) -> str:
    """Return the key of an object: 16 digits of its image and mask.

    `number`: how many objects of the image before it have the same mask.
    """
    text = f"{file_name}\0{segmentation['size']}\0{segmentation['counts']}\0{number}"
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
