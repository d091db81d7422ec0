"""`boxes:FILE`: boxes that another program, or an earlier run, has found.

FILE is a COCO results list, a COCO data set, or a Parquet file or folder as `ovsam` writes them;
`boxes:RESULTS.json#DATASET.json` takes image names and classes from a data set. docs/detectors.md
has the formats.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovsam.errors import explain
from ovsam_pipeline.detectors.base import compute_fingerprint, hash_file
from ovsam_pipeline.detectors.settings import DetectorSettings
from ovsam_pipeline.detectors.stored.box_table import BoxTable, TableDetector
from ovsam_pipeline.detectors.stored.coco_boxes import CocoBoxes
from ovsam_pipeline.detectors.stored.parquet_boxes import ParquetBoxes
from ovsam_pipeline.errors import DatasetError
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath, is_remote, parse_path

logger = logging.getLogger(__name__)


def build_boxes_detector(settings: DetectorSettings) -> TableDetector:
    """Load the boxes of a file; the argument is FILE or FILE#DATASET.

    Boxes without a score count as 1. Raises a DatasetError where the file does not exist, or has
    none of the formats.
    """
    conf, max_det = settings.conf, settings.max_det
    path, dataset = _split_argument(settings.argument)
    with explain("cannot read", path, DatasetError):
        for given in (path, dataset):
            if given is not None and not given.exists():
                raise DatasetError(f"expected a file of boxes, got {given}, which does not exist")
        parts = _list_parquet(path)
    if not parts and path.is_dir():
        raise DatasetError(f"expected Parquet files in {path} or its folder parts, found none")
    run = _read_run(path) if parts else {}
    class_names = tuple(run.get("class_names") or ())
    if parts:
        table = ParquetBoxes(class_names).read(parts, conf)
    elif isinstance(path, RemotePath):
        raise DatasetError(
            f"expected Parquet files at {path}, got another file; copy a JSON file of boxes to "
            "this machine"
        )
    else:
        table = _read_json(path, dataset, conf)
    if run:
        _warn_of_limits(path, run, conf, max_det)
        # Not the parts: they grow with the images. An image that changed is labelled again anyway.
        contents = ["run", run.get("task", "label"), run["fingerprint"]]
    else:
        files = [*(parts or [path]), *([dataset] if dataset else [])]
        contents = [_hash_content(file) for file in files]
    fingerprint = compute_fingerprint("boxes", contents, conf, max_det, *class_names)
    return TableDetector(settings.spec, fingerprint, table, knows_every_image=bool(run))


def _hash_content(file: AnyPath) -> str:
    if not isinstance(file, RemotePath):
        return hash_file(file)
    # Size and time stand for the content, which is not fetched only for that.
    return compute_fingerprint(str(file), *file.stat())


def _split_argument(argument: str) -> tuple[AnyPath, Path | None]:
    """Return FILE and DATASET; a # may be part of either, where such files are there."""
    if is_remote(argument):
        return parse_path(argument), None
    whole = Path(argument).expanduser()
    if "#" not in argument or whole.exists():
        return whole, None
    for index, letter in enumerate(argument):
        first, second = Path(argument[:index]).expanduser(), argument[index + 1 :]
        if letter == "#" and second and first.exists() and Path(second).expanduser().exists():
            return first, Path(second).expanduser()
    text, _, dataset = argument.partition("#")
    return Path(text).expanduser(), Path(dataset).expanduser() if dataset else None


def _read_json(path: Path, dataset: Path | None, conf: float) -> BoxTable:
    coco = CocoBoxes()
    if dataset is not None:
        coco.read(dataset, with_boxes=False)
        if not coco.is_dataset:
            raise DatasetError(f"expected a COCO data set after #, got a list in {dataset}")
    coco.read(path)
    return coco.build(conf)


def _read_run(path: AnyPath) -> dict[str, Any]:
    """Return the run.json of the run that wrote this output folder; {} for other files."""
    from ovsam_pipeline.output.folder import read_run_file

    folder = path.parent if path.name == "parts" else path
    run = read_run_file(folder) if path.is_dir() else {}
    if "ovsam" not in run or not isinstance(run.get("fingerprint"), str):
        return {}
    if run.get("state") != "finished":
        logger.warning(
            "the boxes in %s are not complete (%s): run the same ovsam %s again",
            folder, run.get("state"), run.get("task", "label"),
        )  # fmt: skip
    return run


def _warn_of_limits(path: AnyPath, run: Mapping[str, Any], conf: float, max_det: int) -> None:
    """Warn when more boxes are asked for than were stored."""
    settings = run.get("depends_on") or {}
    if str((run.get("detector") or {}).get("name")).startswith("gt:"):
        return  # every annotation, whatever the settings
    stored_conf, stored_max = settings.get("conf", conf), settings.get("max_det", max_det)
    limits = []
    if conf < stored_conf:
        limits.append(f"begin at --conf {stored_conf:g}, so --conf {conf:g} finds no more")
    if max_det > stored_max:
        limits.append(f"were made with --max-det {stored_max}, not {max_det}")
    if limits:
        logger.warning("the boxes stored in %s %s", path, " and ".join(limits))


def _list_parquet(path: AnyPath) -> list[AnyPath]:
    if path.is_file():
        return [path] if path.suffix == ".parquet" else []
    folder = path / "parts" if (path / "parts").is_dir() else path
    return sorted(folder.glob("*.parquet"), key=lambda part: part.name)
