"""The images of a demo: those of its sources, and files that were dropped into the page."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ovsam.decode import DEFAULT_MAX_PIXELS, READABLE_SUFFIXES, decode_bytes
from ovsam.errors import ConfigError, explain
from ovsam_pipeline.errors import OutputError, SourceError
from ovsam_pipeline.export.safe_names import make_safe_part
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.records import ImageRecord
from ovsam_pipeline.sources.listing import list_images
from ovsam_pipeline.sources.read_image import decode_image
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:
    from ovsam.decode import Warn

logger = logging.getLogger(__name__)

UPLOADS_FOLDER = "uploads"
MOST_IMAGES = 100_000
"""That a page lists; a name takes some 100 bytes in it."""
_MOST_STEM = 60


class DemoImages:
    """The images by row number; rows are added and never go.

    Attributes:
        records: the images, in order.
    """

    def __init__(
        self, output: AnyPath, hold: Callable[[], None], max_pixels: int = DEFAULT_MAX_PIXELS
    ) -> None:
        """Begin without images. `hold` is called before a file is written into the output."""
        self._output, self._hold = output, hold
        self._folder = output / UPLOADS_FOLDER
        self._max_pixels = max_pixels
        self._guard = threading.Lock()
        self.records: list[ImageRecord] = []

    def list_sources(
        self, sources: Sequence[str], image_root: str | None, exclude: Sequence[str]
    ) -> None:
        """Add the images of sources, then those that were dropped earlier; none is opened.

        Raises:
            SourceError: a source has no image.
        """
        if sources:
            listing = list_images(
                sources, image_root=image_root, exclude=exclude, outputs=(self._output,)
            )
            self.records += islice(listing, MOST_IMAGES + 1)
            for sentence in listing.describe_left_out():
                logger.info("%s", sentence)
        if len(self.records) > MOST_IMAGES:
            del self.records[MOST_IMAGES:]
            logger.warning(
                "the page shows the first %s; name fewer to reach others",
                count_things(MOST_IMAGES, "image"),
            )
        known = {record.file_name for record in self.records}
        self.records += [item for item in self._list_uploads() if item.file_name not in known]

    def get(self, row: int) -> ImageRecord:
        """Return the image of a row; a ConfigError where there is none."""
        if not 0 <= row < len(self.records):
            raise ConfigError(
                f"expected an image from 0 to {len(self.records) - 1}, got {row}; load the page "
                "again"
            )
        return self.records[row]

    def read(self, row: int) -> Callable[[Warn], NDArray[np.uint8]]:
        """Return what decodes the image of a row, as `Session.open_image` takes it."""
        record = self.get(row)
        return lambda warn: decode_image(record, max_pixels=self._max_pixels, warn=warn)

    def add_upload(self, name: str, data: bytes) -> int:
        """Keep a file in OUT/uploads under a safe name of its own; return its row.

        The same file again is the same row.

        Raises:
            ImageError: it cannot be decoded, as `ovsam label` would say.
            OutputError: it cannot be written.
        """
        decode_bytes(data, self._max_pixels)
        file_name = _name_upload(name, data)
        with self._guard:
            for row, record in enumerate(self.records):
                if record.file_name == file_name:
                    return row
            self._hold()
            path = self._folder / file_name
            with explain("cannot use", self._folder, OutputError):
                self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, data)
            # Listed as a run on that folder would list it: with its size, time and origin.
            self.records.append(next(iter(list_images([str(path)]))))
            return len(self.records) - 1

    def _list_uploads(self) -> list[ImageRecord]:
        with explain("cannot list", self._folder, OutputError):
            if not self._folder.is_dir():
                return []
        try:
            return list(list_images([str(self._folder)]))
        except SourceError:  # an empty folder
            return []


def _name_upload(name: str, data: bytes) -> str:
    """Return a name for a file of a browser: what it was called, and a mark of its content."""
    part = make_safe_part(name.replace("\\", "/").rpartition("/")[2])
    stem, _, suffix = part.rpartition(".")
    stem, suffix = (stem, f".{suffix.lower()}") if stem else (part, "")
    if suffix not in READABLE_SUFFIXES:
        stem, suffix = part, _find_suffix(data)
    # Marks that write from right to left make a name look like another.
    stem = "".join(letter for letter in stem if letter.isprintable())
    # A dot or a dash in front hides a file, or makes it an option.
    stem = stem.lstrip(".- ")[:_MOST_STEM] or "image"
    return f"{stem}-{hashlib.blake2b(data, digest_size=4).hexdigest()}{suffix}"


def _find_suffix(data: bytes) -> str:
    """Return a suffix for a picture that was decoded: that of its format."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            suffix = f".{(image.format or 'png').lower()}"
    except (OSError, ValueError):
        suffix = ".heic"  # the one kind that Pillow does not open
    return suffix if suffix in READABLE_SUFFIXES else ".png"
