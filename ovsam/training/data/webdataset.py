"""Classification sets as WebDataset tars: members of one key are one sample.

A sample has a picture (.jpg, .png, ...) and its class in `.cls` (a number, or a name), `.txt` (a
name) or `.json` (its field "label", "class", "class_name" or "name"). The tars' tables are read
once, when the set is opened; pictures are read from their place in the tar.
"""

from __future__ import annotations

import tarfile
from array import array
from pathlib import Path

import numpy as np

from ovsam.checked_json import parse_json
from ovsam.decode import READABLE_SUFFIXES
from ovsam.errors import ConfigError, ImageError, describe_error
from ovsam.training.data.class_names import ClassNames
from ovsam.training.data.folder import whole_image
from ovsam.training.data.picture_files import decode_picture
from ovsam.training.data.text_column import TextCollector
from ovsam.training.samples import TrainingSample

_LABEL_SUFFIXES = (".cls", ".txt", ".json")
_JSON_FIELDS = ("label", "class", "class_name", "name")


class WebDatasetTrainingSet:
    """Samples of one or many tars; a `SampleSource` of whole images."""

    has_masks = False

    def __init__(self, path: Path, names: Path | None = None) -> None:
        """Read the tables of the tars.

        `path`: a .tar file, or a folder of them. `names`: what class numbers or WordNet ids are
        called: see class_names.py.
        """
        self.title = str(path)
        self.tars = sorted(path.glob("*.tar")) if path.is_dir() else [path]
        self._class_names = ClassNames(names)
        self._row_of: dict[str, int] = {}
        self._keys = TextCollector()
        self._places, self._category = array("q"), array("i")
        self.num_without_class = 0
        for number, tar in enumerate(self.tars):
            try:
                self._index_tar(tar, number)
            except (OSError, tarfile.TarError) as error:
                raise ConfigError(
                    f"expected a WebDataset tar at {tar}, got {describe_error(error)}"
                ) from error
        if not self._category:
            raise ConfigError(
                f"expected samples with a picture and a class ({', '.join(_LABEL_SUFFIXES)}) in "
                f"{path}, got none"
            )
        self.categories = tuple(self._row_of)
        self._names = self._keys.finish()
        self.places = np.array(self._places, np.int64).reshape(-1, 3)
        self._label_of = np.array(self._category, np.int32)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._label_of)

    def name(self, index: int) -> str:
        """Return the tar and the key in it."""
        return f"{self.tars[int(self.places[index, 0])].name}:{self._names[index]}"

    def category_counts(self) -> np.ndarray:
        """Count the samples of each category, (C,) int64."""
        return np.bincount(self._label_of, minlength=len(self.categories))

    def read_image(self, index: int) -> np.ndarray:
        """Decode one image, (H, W, 3) uint8 RGB."""
        number, start, size = (int(value) for value in self.places[index])
        try:
            with self.tars[number].open("rb") as file:
                file.seek(start)
                data = file.read(size)
        except OSError as error:
            raise ImageError(f"cannot read {self.name(index)}: {describe_error(error)}") from error
        return decode_picture(data, self.name(index))

    def load(self, index: int, labels: np.ndarray) -> TrainingSample:
        """Return one image, whole, as the one object; see `SampleSource.load`."""
        return whole_image(self.read_image(index), int(labels[self._label_of[index]]))

    def _index_tar(self, tar: Path, number: int) -> None:
        """Note the samples of one tar; members of a sample stand side by side."""
        key, picture, label = "", None, None
        with tarfile.open(tar, "r:") as file:
            for member in file:
                if not member.isfile():
                    continue
                folder, _, base = member.name.rpartition("/")
                stem, _, suffix = base.partition(".")
                suffix = f".{suffix.lower()}"
                if f"{folder}/{stem}" != key:
                    self._note(key, number, picture, label)
                    key, picture, label = f"{folder}/{stem}", None, None
                if suffix in READABLE_SUFFIXES:
                    picture = (member.offset_data, member.size)
                elif suffix in _LABEL_SUFFIXES and label is None:
                    content = file.extractfile(member)
                    label = _read_label(content.read() if content else b"", suffix)
        self._note(key, number, picture, label)

    def _note(
        self, key: str, number: int, picture: tuple[int, int] | None, label: str | None
    ) -> None:
        """Add one sample, if it is whole."""
        if picture is None:
            return
        if not label:
            self.num_without_class += 1
            return
        row = self._row_of.setdefault(self._class_names.find(label), len(self._row_of))
        self._keys.append(key.lstrip("/"))
        self._places.extend((number, *picture))
        self._category.append(row)


def _read_label(content: bytes, suffix: str) -> str | None:
    """The class that a member names, or None."""
    text = content.decode(errors="replace").strip()
    if suffix != ".json":
        return text or None
    try:
        values = parse_json(text)
    except ValueError:
        return None
    if not isinstance(values, dict):
        return str(values)
    return next((str(values[field]) for field in _JSON_FIELDS if field in values), None)
