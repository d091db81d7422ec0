"""Labels → Label Studio: tasks with predictions, and the labelling configuration that shows them.

Masks are brush regions, which keep every pixel (`brush_runs.py`); the configuration has boxes and
polygons, too, for what people add. Our own writer: it is JSON, and label-studio-sdk brings some
sixty packages.

Tasks are ordered by risk: the image with the most doubtful object first. The score of a prediction
is 1 minus that risk, so Label Studio's own order by "Prediction score" is the same. `ovsam_key` in
a region's meta, and its id, say which of our objects it is.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

import numpy as np
import orjson

from ovsam_pipeline.export.brush_runs import encode_brush
from ovsam_pipeline.export.drawing.colours import choose_colour, to_hex
from ovsam_pipeline.export.editor_images import (
    BATCH_FIELD,
    KEY_FIELD,
    EditorExport,
    EditorImage,
    describe_risk,
    export_for_editor,
    iterate_crops,
    round_score,
)
from ovsam_pipeline.export.mask_crops import MaskCrop
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.xml_text import clean_text
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.storage.remote_path import AnyPath

PICTURES = "images"
CONFIG_FILE = "labeling_config.xml"
FILE_NAME_FIELD = "ovsam_file_name"
REJECT = "reject"
"""The choice of a region that says: there is no such object."""

# Label Studio takes files of some hundred megabytes at most, and says 50 are best.
_FILE_BYTES = 50_000_000
_ROOT_VARIABLES = ("LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT", "LOCAL_FILES_DOCUMENT_ROOT")
_LOCAL_FILES = "/data/local-files/?d="
# More names need a box to search in.
_FEW_NAMES = 30


def export_label_studio(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write tasks.json (or several, of 50 MB at most), labeling_config.xml and images/."""
    return export_for_editor(output, target, options, write_label_studio, PICTURES)


def write_label_studio(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write the tasks of images and the configuration into a folder.

    Tasks are written to a file that is read again in the order of risk: memory is 16 bytes an
    image.
    """
    root = None if export.has_pictures else _find_root()
    risks, places = array("d"), array("q", [0])
    placeless = 0
    spool = export.folder / "tasks.spool"
    with spool.open("wb") as file:
        for image in images:
            risk = max((item.get("risk") or 0.0 for item in image.task.objects), default=0.0)
            placeless += not export.has_pictures and image.task.picture is None
            address = _address_picture(image, root, has_pictures=export.has_pictures)
            places.append(places[-1] + file.write(orjson.dumps(
                build_task(image, address, risk), option=orjson.OPT_SERIALIZE_NUMPY
            )))  # fmt: skip
            risks.append(risk)
    order = np.arange(len(risks))
    if not export.is_ordered:
        order = np.argsort(-np.frombuffer(risks, np.float64), kind="stable") if risks else order
    _write_tasks(export.folder, spool, order, places)
    spool.unlink()
    config = export.folder / CONFIG_FILE
    config.write_text(build_config(export.names), encoding="utf-8")
    if placeless:
        export.summary.notes.append(
            f"{count_things(placeless, 'picture')} where Label Studio cannot open them (gone, or "
            "inside an archive or table): use --images copy"
        )
    where = "this folder" if export.has_pictures else (root or "/")
    where_pictures = f"of its {PICTURES}" if export.has_pictures else "of the pictures' folder"
    export.summary.notes.append(
        f"Label Studio: paste {CONFIG_FILE} under Labeling Interface > Code; for pictures on this "
        f"machine set LOCAL_FILES_SERVING_ENABLED=true and LOCAL_FILES_DOCUMENT_ROOT to {where}, "
        f"add a local storage {where_pictures}, then import tasks*.json"
    )


def build_task(image: EditorImage, address: str, risk: float) -> dict[str, Any]:
    """Return a task with one prediction; `address` is where Label Studio finds the picture."""
    task = image.task
    data = {"image": address, FILE_NAME_FIELD: task.file_name}
    if task.batch:
        data[BATCH_FIELD] = task.batch
    crops = iterate_crops(task.objects)
    results = [_build_result(item, crop, task.height, task.width) for item, crop in crops]
    prediction = {"model_version": task.model, "score": round_score(1 - risk), "result": results}
    return {"data": data, "predictions": [prediction]}


def _build_result(item: Any, crop: MaskCrop, height: int, width: int) -> dict[str, Any]:
    meta: dict[str, Any] = {KEY_FIELD: item["key"]}
    if risk := describe_risk(item):
        meta["text"] = [risk]
    runs = encode_brush(crop, height, width)
    result = {
        "id": item["key"],
        "type": "brushlabels",
        "from_name": "mask",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": runs, "brushlabels": [clean_text(item["category"])]},
        "meta": meta,
    }
    score = round_score(item.get("score"))
    return result if score is None else {**result, "score": score}


def build_config(names: tuple[str, ...]) -> str:
    """Return the labelling configuration for these classes."""
    labels = [
        f"      <Label value={quoteattr(clean_text(name))} "
        f'background="{to_hex(choose_colour(number))}"/>'
        for number, name in enumerate(names)
    ]
    controls = []
    for tag, name in (
        ("BrushLabels", "mask"),
        ("RectangleLabels", "box"),
        ("PolygonLabels", "polygon"),
    ):
        if len(names) > _FEW_NAMES:
            controls.append(f'    <Filter name="find_{name}" toName="{name}"/>')
        controls += [f'    <{tag} name="{name}" toName="image">', *labels, f"    </{tag}>"]
    return "\n".join(
        [
            "<View>",
            '  <Image name="image" value="$image" zoom="true" zoomControl="true"/>',
            *controls,
            '    <Choices name="verdict" toName="image" perRegion="true" choice="single">',
            f'      <Choice value="{REJECT}"/>',
            "    </Choices>",
            "</View>",
            "",
        ]
    )


def _write_tasks(folder: Path, spool: Path, order: np.ndarray, places: array[int]) -> None:
    """Write spooled tasks into lists of at most _FILE_BYTES, each a file, numbered if several."""
    is_one = places[-1] <= _FILE_BYTES
    number, size = 0, 0
    out = None
    with spool.open("rb") as file:
        for index in order.tolist():
            start, stop = places[index], places[index + 1]
            if out is not None and size + stop - start > _FILE_BYTES:
                out.write(b"\n]\n")
                out.close()
                out = None
            if out is None:
                number, size = number + 1, 0
                out = (folder / ("tasks.json" if is_one else f"tasks-{number:04d}.json")).open("wb")
            out.write(b",\n" if size else b"[\n")
            file.seek(start)
            size += out.write(file.read(stop - start))
    if out is None:
        (folder / "tasks.json").write_bytes(b"[]\n")
    else:
        out.write(b"\n]\n")
        out.close()


def _find_root() -> str | None:
    """Return the folder that Label Studio serves, where the environment says it."""
    return next((os.environ[name] for name in _ROOT_VARIABLES if os.environ.get(name)), None)


def _address_picture(image: EditorImage, root: str | None, *, has_pictures: bool) -> str:
    """Return where Label Studio finds a picture: below the folder that it serves, or on a store."""
    if has_pictures:
        return _LOCAL_FILES + quote(f"{PICTURES}/{image.name}")
    place = image.task.picture
    if place is None:
        return image.task.file_name
    if not isinstance(place, Path):
        return str(place)
    path = place.absolute()
    base = Path(root).absolute() if root else Path(path.anchor)
    inside = path.relative_to(base) if path.is_relative_to(base) else path.relative_to(path.anchor)
    return _LOCAL_FILES + quote(inside.as_posix())
