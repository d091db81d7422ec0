"""Pictures for training: a file or its bytes → RGB pixels, the same that labelling sees."""

from pathlib import Path

import numpy as np

from ovsam.decode import IMAGE_SUFFIXES, decode_bytes, decode_file
from ovsam.errors import ImageError


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its name."""
    return name.lower().endswith(tuple(IMAGE_SUFFIXES))


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
