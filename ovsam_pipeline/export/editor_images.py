"""Rows of an output, or tasks of a review → images as the annotators' formats write them.

Each format gets the same: images with their objects, one after the other, each with a safe name for
its picture. An object's `key` is written beside it, so that what people changed finds its way back
(`review/editors/`).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, NamedTuple

import orjson

from ovsam.errors import show_value
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelledImage, iterate_labelled, read_categories
from ovsam_pipeline.export.mask_crops import MaskCrop, crop_masks
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.review_tasks import ReviewTask, make_key
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.output.folder import read_run_file
from ovsam_pipeline.storage.remote_path import AnyPath, RemotePath

KEY_FIELD, BATCH_FIELD = "ovsam_key", "ovsam_batch"
"""Under which names editors keep an object's key, and the batch of its image."""

_FIELDS = ("area", "bbox", "segmentation", "risk", "reason")
# Several are faster than one by one; each may be as large as its image.
_CROPS_AT_ONCE = 8
# Of scores: what float32 holds.
_DIGITS = 6


class EditorImage(NamedTuple):
    """An image for an editor; each of its objects has at least one pixel.

    Attributes:
        stem: name of its picture without the suffix, below the export's folder of pictures:
            relative, safe, and of no other image.
        suffix: ".jpg", or "".
    """

    task: ReviewTask
    stem: str
    suffix: str

    @property
    def name(self) -> str:
        """Name of its picture."""
        return self.stem + self.suffix


@dataclass(frozen=True)
class EditorExport:
    """What a format's writer needs beside the images.

    Attributes:
        folder: an empty folder of this machine, which becomes the export.
        names: of all classes, in the order of their ids.
        has_pictures: whether pictures are put into the folder, and not left where they are.
        is_ordered: whether images come in the order in which people should see them.
        summary: takes notes for the user.
    """

    folder: Path
    names: tuple[str, ...]
    has_pictures: bool
    is_ordered: bool
    summary: ExportSummary


Writer = Callable[[Iterator[EditorImage], EditorExport], None]


def export_for_editor(
    output: AnyPath, target: Path, options: ExportOptions, write: Writer, pictures: str
) -> ExportSummary:
    """Write the labels of an output in an annotators' format into an empty folder.

    `pictures`: the folder in it that pictures go to.
    """
    summary = ExportSummary()
    names = tuple(category["name"] for category in read_categories(output, options.choice))
    has_pictures = options.images != "none"
    export = EditorExport(target, names, has_pictures, is_ordered=False, summary=summary)
    model = str(read_run_file(output).get("model", {}).get("name", "ovsam"))
    images = iterate_labelled(output, options.choice, _FIELDS)
    tasks = ((_make_task(image, names, model), image) for image in images)
    files = ImageFiles(output, options, summary)
    write(iterate_placed(tasks, files, export, pictures), export)
    return summary


def iterate_placed(
    tasks: Iterable[tuple[ReviewTask, LabelledImage]],
    files: ImageFiles,
    export: EditorExport,
    pictures: str,
) -> Iterator[EditorImage]:
    """Yield images after bringing their pictures into the export; those that are gone are left out.

    `tasks`: each with what is needed to find its picture.
    """
    safe, summary, pixelless = SafeNames(), export.summary, 0
    known = set(export.names)
    for task, image in tasks:
        stem, suffix = safe.make(task.file_name)
        if not files.put(image, export.folder / pictures / f"{stem}{suffix}"):
            continue
        _check_objects(task, known)
        kept = tuple(item for item in task.objects if item.get("area", 1) > 0)
        pixelless += len(task.objects) - len(kept)
        summary.images += 1
        summary.objects += len(kept)
        picture = None if export.has_pictures else _find_place(image)
        yield EditorImage(replace(task, objects=kept, picture=picture), stem, suffix)
    if pixelless:
        objects = count_things(pixelless, "object")
        summary.notes.append(f"{objects} without a pixel left out: no editor can show them")


class WrittenImage(NamedTuple):
    """An image of an output as an export for an editor has it, for --check.

    Attributes:
        stem: of its picture, as `EditorImage` has it.
        keys: of its objects; None for one without a pixel, which is not written.
    """

    image: LabelledImage
    stem: str
    suffix: str
    keys: list[str | None]

    def arrange(self, masks: Iterable[Any]) -> list[Any]:
        """Return what was read in the order that it was written in by object of the row."""
        coming = iter(masks)
        return [None if key is None else next(coming, None) for key in self.keys]


def iterate_written(output: AnyPath, options: ExportOptions) -> Iterator[WrittenImage]:
    """Yield the images of an output in the order, and with the names and keys, of its export."""
    safe = SafeNames()
    for image in iterate_labelled(output, options.choice, ("area", "segmentation")):
        stem, suffix = safe.make(image.file_name)
        keys = [
            key if item["area"] > 0 else None
            for item, key in zip(image.objects, _make_keys(image), strict=True)
        ]
        yield WrittenImage(image, stem, suffix, keys)


def round_score(value: Any) -> float | None:
    """Return a score with the digits that it has, None where there is none."""
    return None if value is None else round(float(value), _DIGITS)


def describe_risk(item: Mapping[str, Any]) -> str:
    """Return "risk 0.93: mask unstable" for a person; "" where no risk is known."""
    if item.get("risk") is None:
        return ""
    reason = f": {item['reason']}" if item.get("reason") else ""
    return f"risk {item['risk']:.2f}{reason}"


def list_facts(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of an object beside name and mask: its key, score, risk, reason."""
    facts = {
        "score": round_score(item.get("score")),
        "risk": round_score(item.get("risk")),
        "reason": item.get("reason") or None,
        KEY_FIELD: item["key"],
    }
    return {name: value for name, value in facts.items() if value is not None}


def iterate_crops(
    objects: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[Mapping[str, Any], MaskCrop]]:
    """Yield the objects of an image, each with its mask in its box."""
    for start in range(0, len(objects), _CROPS_AT_ONCE):
        some = objects[start : start + _CROPS_AT_ONCE]
        yield from zip(some, crop_masks([item["segmentation"] for item in some]), strict=True)


def write_items(file: IO[bytes], items: Iterable[Any]) -> None:
    """Write plain values as the items of a JSON list, without its brackets, one a line."""
    separator = b"\n"
    for item in items:
        file.write(separator + orjson.dumps(item, option=orjson.OPT_SERIALIZE_NUMPY))
        separator = b",\n"


def dump_text(value: Any) -> str:
    """Return plain values as readable JSON."""
    return json.dumps(value, ensure_ascii=False, indent=1) + "\n"


def _check_objects(task: ReviewTask, known: Set[str]) -> None:
    """Refuse what no run writes: a class that is none, a mask that is not of its image."""
    where = f"in the row of {show_value(task.file_name, 80)}"
    for item in task.objects:
        if item["category"] not in known:
            name = show_value(item["category"], 60)
            raise OutputError(f"expected the classes of run.json, got {name} {where}")
        height, width = item["segmentation"]["size"]
        if (height, width) != (task.height, task.width):
            raise OutputError(
                f"expected masks of {task.width} x {task.height} pixels, got {width} x {height} "
                f"{where}"
            )


def _make_task(image: LabelledImage, names: tuple[str, ...], model: str) -> ReviewTask:
    keys = _make_keys(image)
    objects = tuple({**item, "key": key} for item, key in zip(image.objects, keys, strict=True))
    return ReviewTask(
        batch="",
        image_id=image.image_id,
        file_name=image.file_name,
        width=image.width,
        height=image.height,
        objects=objects,
        names=names,
        model=model,
        sample=None,
        picture=None,
    )


def _make_keys(image: LabelledImage) -> list[str]:
    seen: Counter[str] = Counter()
    keys = []
    for item in image.objects:
        mask = item["segmentation"]
        keys.append(make_key(image.file_name, mask, seen[mask["counts"]]))
        seen[mask["counts"]] += 1
    return keys


def _find_place(image: LabelledImage) -> AnyPath | None:
    """Return where a picture lay when it was labelled, if an editor could open it there.

    Nothing is listed or asked for it: an address is a text that the editor may use.
    """
    folder, name = image.origin.folder, image.file_name
    if "://" in name or "://" in folder:
        try:
            return RemotePath(name if "://" in name else f"{folder.rstrip('/')}/{name}")
        except ValueError:
            return None
    path = Path(folder, name)
    try:
        return path if path.is_absolute() and path.is_file() else None
    except (OSError, ValueError):
        return None
