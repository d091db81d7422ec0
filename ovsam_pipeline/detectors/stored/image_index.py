"""Which image of a run an entry of a boxes file means: by name, id, or the usual conventions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.records import ImageRecord

# COCO's own names: 000000000139.jpg, COCO_val2014_000000000139.jpg.
_COCO_NAME = re.compile(r"(?:^|_)(\d{12})$")


class ImageIndex:
    """The images of a boxes file, numbered 0, 1, 2, … in the order of their first mention."""

    def __init__(self) -> None:
        self.num_images = 0
        self._by_id: dict[int, int] = {}
        self._by_name: dict[str, int] = {}
        self._by_base_name: dict[str, list[str]] = {}

    def add(self, image_id: int | None, file_name: str | None) -> int:
        """Return the number of an image, given its id, its name, or both."""
        name = None if file_name is None else _normalise(file_name)
        index = self._by_id.get(image_id) if image_id is not None else None
        if index is None and name is not None:
            index = self._by_name.get(name)
        if index is None:
            index = self.num_images
            self.num_images += 1
        if image_id is not None:
            self._by_id.setdefault(image_id, index)
        if name is not None and self._by_name.setdefault(name, index) == index:
            names = self._by_base_name.setdefault(PurePosixPath(name).name, [])
            if name not in names:
                names.append(name)
        return index

    def find(self, record: ImageRecord) -> int | None:
        """Return the number of the image that a record is, None where the file does not know it.

        In this order: the same name; the same id; the one name that ends with the record's or that
        the record's ends with; in files without names, the number in a COCO file name; in files
        that use names without a suffix as ids, the record's base name without its suffix.
        """
        index = self._by_name.get(record.file_name)
        if index is None:
            index = self._by_id.get(record.image_id)
        if index is None:
            index = self._find_by_ending(record.file_name)
        if index is None:
            stem = PurePosixPath(record.file_name).stem
            number = None if self._by_name else _COCO_NAME.search(stem)
            index = self._by_id.get(int(number[1])) if number else self._by_name.get(stem)
        return index

    def _find_by_ending(self, name: str) -> int | None:
        candidates = [
            known
            for known in self._by_base_name.get(PurePosixPath(name).name, ())
            if known.endswith("/" + name) or name.endswith("/" + known)
        ]
        return self._by_name[candidates[0]] if len(candidates) == 1 else None

    def match(self, records: Iterable[ImageRecord]) -> tuple[set[int], int]:
        """Return the numbers that some record has, and how many records have none.

        Raises:
            DatasetError: two records are the same image of the file: which one cannot be told.
        """
        owners: dict[int, str] = {}
        num_unknown = 0
        for record in records:
            index = self.find(record)
            if index is None:
                num_unknown += 1
            elif owners.setdefault(index, record.file_name) != record.file_name:
                raise DatasetError(
                    f"expected one image for each name in the boxes file, got {owners[index]} and "
                    f"{record.file_name} for the same one: write its names relative to the source"
                )
        return set(owners), num_unknown

    def describe(self) -> str:
        """Return examples of what the file knows: "names such as a.jpg", "ids such as 7"."""
        if self._by_name:
            return f"names such as {next(iter(self._by_name))}"
        return f"ids such as {next(iter(self._by_id), 'none')}"


def _normalise(name: str) -> str:
    return name.replace("\\", "/").removeprefix("./")
