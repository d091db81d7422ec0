"""The name of a data set → its annotations, the folder of its images, and its vocabulary.

Names mean files in detectron2's layout below one root; anything else is the path of a COCO or LVIS
file. What is missing is named, with the folders looked in and where to get it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ovsam.coco_json import iterate_json
from ovsam.errors import explain_json, show_value
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.evaluation.reading.columns import refuse_list

_COCO_SOURCE = "get it from https://cocodataset.org/#download"
_LVIS_SOURCE = "get it from https://www.lvisdataset.org/dataset"
_SCENES_SOURCE = (
    "make it with `ovsam scenes {root}/ovsam_scenes --count 500` (it draws with a font: Debian's "
    "package fonts-noto-color-emoji)"
)
_BUILT_IN = ("coco-80", "lvis", "nano")
_ENVIRONMENT = ("OVSAM_DATA", "DETECTRON2_DATASETS")


@dataclass(frozen=True)
class Dataset:
    """Where a data set lies.

    Attributes:
        name: short name, for titles and folders: "coco_2017_val", or the stem of a file.
        image_root: folder that the names of its images are relative to; None looks around.
        is_lvis: whether LVIS's rules apply for sure (else the file's content decides).
    """

    name: str
    annotations: Path
    image_root: Path | None
    vocabulary: str
    is_lvis: bool

    @property
    def built_in_vocabulary(self) -> str | None:
        """The name of a built-in vocabulary, None where it is the file's own classes."""
        return None if self.vocabulary == str(self.annotations) else self.vocabulary


@dataclass(frozen=True)
class _Layout:
    """Where a named data set lies below the root, and where to get it."""

    files: tuple[str, ...]  # of annotations: the first that exists counts
    images: str  # the folder that the images' names are relative to
    needed: tuple[str, ...]  # folders of images, of which one must exist
    vocabulary: str
    source: str
    image_source: str


def _coco(part: str) -> _Layout:
    files = (f"coco/annotations/instances_{part}.json",)
    folder = f"coco/{part}"
    return _Layout(files, folder, (folder,), "coco", _COCO_SOURCE, _COCO_SOURCE)


def _lvis(*files: str) -> _Layout:
    # LVIS annotates COCO's images, of both its parts.
    folders = ("coco/val2017", "coco/train2017")
    return _Layout(files, "coco", folders, "lvis", _LVIS_SOURCE, _COCO_SOURCE)


def _scenes(folder: str) -> _Layout:
    files = (f"{folder}/annotations.json",)
    return _Layout(files, folder, (folder,), "nano", _SCENES_SOURCE, _SCENES_SOURCE)


_LAYOUTS = {
    "coco_2017_val": _coco("val2017"),
    "coco_2017_train": _coco("train2017"),
    "lvis_v1_val": _lvis("lvis/lvis_v1_val.json"),
    "lvis_v1_train": _lvis("lvis/lvis_v1_train.json"),
    "lvis_v1_minival": _lvis(
        "lvis/lvis_v1_minival_inserted_image_name.json", "lvis/lvis_v1_minival.json"
    ),
    "scenes": _scenes("ovsam_scenes"),
}
_ALIASES = {"coco": "coco_2017_val", "lvis": "lvis_v1_val"}

DATASET_NAMES = (*_ALIASES, *_LAYOUTS)
"""Names that `find_dataset` knows."""


def find_dataset(
    name_or_path: str,
    *,
    data_root: str | None = None,
    image_root: str | None = None,
    needs_images: bool = True,
) -> Dataset:
    """Find a data set.

    Args:
        name_or_path: one of `DATASET_NAMES`, or a COCO or LVIS file (`.json`, `.json.gz`).
        data_root: root of the named ones; None takes OVSAM_DATA, DETECTRON2_DATASETS, ./datasets,
            the first that is given.
        image_root: folder of the images, instead of the layout's.
        needs_images: whether it is an error when there is no folder of images.
    """
    if image_root is not None and not Path(image_root).expanduser().is_dir():
        raise DatasetError(f"expected --image-root to be a folder, and there is none: {image_root}")
    images = None if image_root is None else Path(image_root).expanduser()
    name = _ALIASES.get(name_or_path, name_or_path)
    if name not in _LAYOUTS:
        return _find_file(name_or_path, images)
    layout, root = _LAYOUTS[name], _choose_root(data_root)
    annotations = _find_annotations(name, layout, root)
    if images is None and any((root / folder).is_dir() for folder in layout.needed):
        images = root / layout.images
    if images is None and needs_images:
        looked = " or ".join(str(root / folder) for folder in layout.needed)
        raise DatasetError(
            f"expected the images of {name} in {looked}, and there is no such folder; "
            f"{layout.image_source.format(root=root)}, or name their folder with --image-root"
        )
    return Dataset(name, annotations, images, layout.vocabulary, layout.vocabulary == "lvis")


def _choose_root(data_root: str | None) -> Path:
    given = [data_root, *(os.environ.get(name) for name in _ENVIRONMENT), "datasets"]
    return Path(next(value for value in given if value)).expanduser()


def _find_annotations(name: str, layout: _Layout, root: Path) -> Path:
    for file in layout.files:
        for path in (root / file, root / f"{file}.gz"):
            if path.is_file():
                return path
    looked = " or ".join(str(root / file) for file in layout.files)
    raise DatasetError(
        f"expected the annotations of {name} in {looked}, and there is no such file; "
        f"{layout.source.format(root=root)}, or name the root folder with --data-root or OVSAM_DATA"
    )


def _find_file(text: str, image_root: Path | None) -> Dataset:
    path = Path(text).expanduser()
    if not path.is_file():
        hint = "" if path.suffix else f"; named ones: {', '.join(DATASET_NAMES)}"
        raise DatasetError(
            f"expected a data set's name or a COCO file, got {show_value(text, 200)}{hint}"
        )
    name = path.name.removesuffix(".gz").removesuffix(".json")
    if name == "annotations":  # the usual name within a folder, which then names the data set
        name = path.resolve().parent.name or name
    # Whether LVIS's rules apply shows in its images, which `read_ground_truth` sees.
    return Dataset(name, path, image_root, _choose_vocabulary(path), False)


def _choose_vocabulary(path: Path) -> str:
    """Return the built-in vocabulary with the file's class names, else the file itself."""
    from ovsam.text.vocabulary_files import load_vocabulary

    names = _read_category_names(path)
    for known in _BUILT_IN:
        if names == frozenset(load_vocabulary(known).names):
            return "coco" if known == "coco-80" else known
    return str(path)


def _read_category_names(path: Path) -> frozenset[str]:
    names = set()
    with explain_json(path, DatasetError):
        for key, value in iterate_json(path):
            refuse_list(key, path)
            if key == "categories[]" and isinstance(value, dict):
                names.add(str(value.get("name")))
    return frozenset(names)
