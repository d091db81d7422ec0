"""Where the pictures of a COCO file lie by custom: beside it, and in folders named after it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

# Folders that hold annotations beside those that hold images.
_ANNOTATION_FOLDERS = frozenset(("annotations", "annotation", "labels"))

AnyFile = TypeVar("AnyFile", bound=Any)
"""A local path, or one on an object store: it has `parent`, `name` and `/`."""


def list_image_folders(path: AnyFile) -> list[AnyFile]:
    """Return where the images of a file lie by custom, likeliest first.

    "instances_val2017.json" and "train.json" are of the folders "val2017" and "train".
    """
    beside = path.parent.absolute() if isinstance(path, Path) else path.parent
    near = [beside]
    if beside.name.lower() in _ANNOTATION_FOLDERS:
        near.append(beside.parent)
    splits = [part for part in re.split(r"[\W_]+", path.name.partition(".")[0]) if part]
    inside = ("images", "data", *splits, *(f"images/{split}" for split in splits))
    return list(dict.fromkeys([*near, *(folder / name for folder in near for name in inside)]))
