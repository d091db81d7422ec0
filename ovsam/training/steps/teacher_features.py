"""The teacher's image embeddings on disk: made once, read at random by every epoch after.

A folder holds `features.json` (of which teacher, how many images, their form), `keys.txt` (the
images' names, one a line, in order) and `features-00000.npy` ... of 512 images each. A file is
written under another name and renamed when it is whole, so what is there is complete, and several
processes may fill one folder. Source: paper appendix A (teacher features are cached on disk).

Letters: N images of a file, B images of a batch, C channels, G cells a side.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from ovsam.checked_json import parse_json
from ovsam.errors import CheckpointError, ConfigError, ImageError, describe_error
from ovsam.training.data.image_set import ImageSet
from ovsam.weights.files import replace_file, sweep_temporary_files, write_atomically

FEATURES_FILE = "features.json"
_KEYS_FILE = "keys.txt"
_IMAGES_A_FILE = 512
_OPEN_FILES = 64
_FREE_AFTERWARDS = 1 << 30


class Targets(Protocol):
    """Where a distillation step gets the teacher's embeddings from."""

    identity: str
    """Hex digest of the teacher's weights."""

    def collect(self, keys: Sequence[str], pixels: Tensor) -> Tensor:
        """Return the embeddings of a batch, (B, C, G, G) float32.

        `pixels`: (B, 3, S, S), the images as the networks see them.
        """


@dataclass(frozen=True, kw_only=True)
class FeatureForm:
    """What a folder of features holds.

    Attributes:
        grid: G.
        input_size: pixels a side that the teacher saw.
    """

    teacher: str
    num_images: int
    channels: int
    grid: int
    input_size: int
    dtype: Literal["float16", "bfloat16"] = "float16"

    @property
    def num_files(self) -> int:
        """Number of `features-*.npy` files when all are there."""
        return -(-self.num_images // _IMAGES_A_FILE)

    @property
    def num_bytes(self) -> int:
        """Bytes of all features."""
        return 2 * self.num_images * self.channels * self.grid**2

    def rows(self, number: int) -> range:
        """Return the images of one file."""
        start = number * _IMAGES_A_FILE
        return range(start, min(start + _IMAGES_A_FILE, self.num_images))


def prepare_features(folder: Path, form: FeatureForm, images: ImageSet) -> None:
    """Make a folder ready for features, or check that the ones in it are of the same kind."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = "".join(f"{images.key(index)}\n" for index in range(len(images)))
    if (folder / FEATURES_FILE).exists():
        if _read_form(folder) != form or (folder / _KEYS_FILE).read_text("utf-8") != keys:
            raise ConfigError(
                f"{folder} holds features of another teacher, type or set of images; give another "
                "--out"
            )
    else:
        (folder / _KEYS_FILE).write_text(keys, "utf-8")
        write_atomically(folder / FEATURES_FILE, json.dumps(asdict(form), indent=1).encode())
    sweep_temporary_files(folder, "features-*")
    share = len(find_missing(folder, form)) / max(form.num_files, 1)
    needed, free = share * form.num_bytes, shutil.disk_usage(folder).free - _FREE_AFTERWARDS
    if needed > free:
        raise ConfigError(
            f"the features need {needed / 1e9:.1f} GB more in {folder}, where "
            f"{max(free, 0) / 1e9:.1f} GB are free; give another --out, or fewer images"
        )


def find_missing(folder: Path, form: FeatureForm) -> list[int]:
    """Return the numbers of the files that are not there yet."""
    return [number for number in range(form.num_files) if not _name_file(folder, number).exists()]


def write_features(
    folder: Path, form: FeatureForm, number: int, embeddings: Iterator[Tensor]
) -> None:
    """Write one file of features.

    `embeddings`: those of its images in order, (n, C, G, G) at a time.
    """
    path = _name_file(folder, number)
    dtype = getattr(torch, form.dtype)
    shape = (len(form.rows(number)), form.channels, form.grid, form.grid)
    with replace_file(path) as temporary:
        # numpy knows no bfloat16: both are stored as 16 plain bits.
        store = np.lib.format.open_memmap(temporary, "w+", np.uint16, shape)
        start = 0
        for part in embeddings:
            bits = part.detach().cpu().to(dtype).contiguous().view(torch.int16).numpy()
            store[start : start + len(bits)] = bits.view(np.uint16)
            start += len(bits)
        if start != len(store):
            raise ConfigError(f"expected {len(store)} embeddings for {path.name}, got {start}")
        store.flush()


def list_keys(folder: Path) -> list[str]:
    """Return the images' names in order."""
    try:
        return (folder / _KEYS_FILE).read_text("utf-8").splitlines()
    except OSError as error:
        raise CheckpointError(
            f"expected the teacher's features in {folder}, got no {_KEYS_FILE}; make them with "
            "`ovsam train cache-teacher`"
        ) from error


class StoredFeatures:
    """Features of a finished folder, mapped into memory and read as they are asked for."""

    def __init__(self, folder: Path) -> None:
        """Open a folder."""
        self.folder = folder
        self.form = _read_form(folder)
        self.identity = self.form.teacher
        if missing := find_missing(folder, self.form):
            raise CheckpointError(
                f"{len(missing)} of {self.form.num_files} files of features are missing in "
                f"{folder}; run the same `ovsam train cache-teacher` again to resume"
            )
        self._rows = {key: row for row, key in enumerate(list_keys(folder))}
        self._open = lru_cache(_OPEN_FILES)(self._map)

    def check_keys(self, keys: Sequence[str]) -> None:
        """Do nothing if every one of these images was encoded."""
        missing = [key for key in keys if key not in self._rows]
        if missing:
            raise CheckpointError(
                f"the teacher's features in {self.folder} lack {len(missing)} of {len(keys)} "
                f"images, such as '{missing[0]}'; make them of the same --data"
            )

    def collect(self, keys: Sequence[str], pixels: Tensor) -> Tensor:
        """Return the stored embeddings of a batch, (B, C, G, G) float32."""
        del pixels
        dtype = getattr(torch, self.form.dtype)
        bits = np.stack([self._read(key) for key in keys]).view(np.int16)
        return torch.from_numpy(bits).view(dtype).float()

    def _read(self, key: str) -> np.ndarray:
        row = self._rows.get(key)
        if row is None:
            raise ImageError(
                f"the teacher's features in {self.folder} have no image '{key}'; make them of the "
                "same --data"
            )
        return self._open(row // _IMAGES_A_FILE)[row % _IMAGES_A_FILE]

    def _map(self, number: int) -> np.ndarray:
        return np.load(_name_file(self.folder, number), mmap_mode="r")


def _name_file(folder: Path, number: int) -> Path:
    return folder / f"features-{number:05d}.npy"


def _read_form(folder: Path) -> FeatureForm:
    path = folder / FEATURES_FILE
    try:
        return FeatureForm(**parse_json(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"expected the teacher's features in {folder}, cannot read {path.name}: "
            f"{describe_error(error)}; make them with `ovsam train cache-teacher`"
        ) from error
