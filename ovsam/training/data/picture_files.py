"""Pictures for training: files of a folder, and a file or its bytes → RGB pixels.

The pixels are the same that labelling sees (ovsam/decode.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ovsam.decode import READABLE_SUFFIXES, decode_bytes, decode_file
from ovsam.errors import ImageError
from ovsam.training.data.text_column import TextColumn

_SUFFIXES = tuple(READABLE_SUFFIXES)


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its name."""
    return name.lower().endswith(_SUFFIXES)


def read_picture(path: Path, title: str = "") -> np.ndarray:
    """Decode a file, (H, W, 3) uint8 RGB; `title` is added to its path in a message."""
    shown = f"{path} ({title})" if title else str(path)
    try:
        return decode_file(path)
    except ImageError as error:
        raise ImageError(f"cannot read the picture {shown}: {error}") from error


def decode_picture(data: bytes, shown: str) -> np.ndarray:
    """Decode the bytes of a file, (H, W, 3) uint8 RGB; `shown` names it in a message."""
    try:
        return decode_bytes(data)
    except ImageError as error:
        raise ImageError(f"cannot read the picture {shown}: {error}") from error


class PictureFolder:
    """Pictures below one folder, by their path in it: what all sets of such files share."""

    def __init__(self, folder: Path, names: TextColumn) -> None:
        self.title, self.folder = str(folder), folder
        self._names = names

    def __len__(self) -> int:
        """Number of images."""
        return len(self._names)

    def name(self, index: int) -> str:
        """Return the image's path in the folder."""
        return self._names[index]

    def path(self, index: int) -> Path:
        """Return the image's path."""
        return self.folder / self.name(index)

    def read_image(self, index: int) -> np.ndarray:
        """Decode one image, (H, W, 3) uint8 RGB."""
        return read_picture(self.path(index))


def walk_pictures(
    folder: Path, accept: Callable[[str, set[str]], bool], inside: str = ""
) -> Iterator[str]:
    """Yield the files below a folder that are accepted, by their path in it.

    `accept` gets a file's name and all names of its folder. Links to folders are not followed.
    """
    with os.scandir(folder) as entries:
        listed = list(entries)
    names = {entry.name for entry in listed}
    for entry in listed:
        if entry.is_dir(follow_symlinks=False):
            yield from walk_pictures(folder / entry.name, accept, f"{inside}{entry.name}/")
        elif accept(entry.name, names):
            yield f"{inside}{entry.name}"
