"""Labels that people checked → examples of classes: a COCO file, and its few pictures beside it.

`--vocabulary examples:NAME.json` takes it.

NAME.json    images, categories and annotations of the chosen objects
NAME/        their pictures
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ovsam
from ovsam.errors import ConfigError
from ovsam_pipeline.export.image_files import ImageFiles
from ovsam_pipeline.export.labels import LabelChoice, LabelledImage, iterate_labelled
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.safe_names import SafeNames
from ovsam_pipeline.export.target import check_folder, replace_folder
from ovsam_pipeline.storage.atomic import write_atomically
from ovsam_pipeline.storage.remote_path import AnyPath

_FIELDS = ("bbox", "segmentation", "area")
# Smaller objects show nothing.
_LEAST_PIXELS = 32


@dataclass(frozen=True, order=True)
class _Chosen:
    """An object by the number that decides between those of its class: the least are chosen."""

    number: int
    key: tuple[str, int]


def write_examples(
    output: AnyPath, target: Path, per_class: int, *, sources: tuple[str, ...], overwrite: bool
) -> tuple[ExportSummary, dict[str, int]]:
    """Write examples of the classes in which people checked objects; return how many of each.

    Args:
        output: folder of `ovsam label` with answers of people.
        target: the new .json file; its pictures go into the folder of its name without the suffix.
        per_class: most examples of a class: a sample that is the same each time.
        sources: where the pictures are now; none: where the run that labelled them found them.
        overwrite: whether an earlier file and its pictures are replaced.

    Raises:
        ConfigError: nobody checked an object, or the target may not be replaced.
    """
    folder = target.with_suffix("")
    if target.suffix.lower() != ".json" or target == folder:
        raise ConfigError(f"expected -o as a new .json file, got {target}")
    if target.exists() and not overwrite:
        raise ConfigError(f"{target} exists already; give another file as -o, or --overwrite")
    check_folder(folder, overwrite=overwrite, flag="-o")
    choice = LabelChoice(reviewed_only=True)
    chosen = _choose(output, choice, per_class)
    if not chosen:
        raise ConfigError(
            f"expected objects in {output} that people checked, got none; check some: "
            f"`ovsam review {output} --queue 200 --export label-studio`, then `--import`"
        )
    summary = ExportSummary()
    options = ExportOptions(choice=choice, images="copy", sources=sources)
    files, names = ImageFiles(output, options, summary), SafeNames(("export.json",))
    content: dict[str, Any] = {
        "info": {"description": f"examples checked by people, of {output.name}"},
        "images": [],
        "categories": [],
        "annotations": [],
    }
    with replace_folder(folder, {"ovsam": ovsam.__version__, "format": "examples"}) as staging:
        for image in iterate_labelled(output, choice, _FIELDS):
            rows = [row for row in range(len(image.objects)) if (image.file_name, row) in chosen]
            if rows:
                stem, suffix = names.make(image.file_name.replace("\\", "/"))
                name = f"{stem}{suffix}"
                if files.put(image, staging / name):
                    _add(content, image, f"{folder.name}/{name}", rows)
        used = _list_categories(content)
    write_atomically(target, json.dumps(content, ensure_ascii=False).encode("utf-8", "replace"))
    summary.images, summary.objects = len(content["images"]), len(content["annotations"])
    return summary, used


def _choose(output: AnyPath, choice: LabelChoice, per_class: int) -> set[tuple[str, int]]:
    """Return the objects to write, (file name, place in the image): a few of each class."""
    kept: dict[str, list[tuple[int, _Chosen]]] = defaultdict(list)
    for image in iterate_labelled(output, choice, _FIELDS):
        for row, item in enumerate(image.objects):
            if item.get("reviewed_by") is None or item["area"] < _LEAST_PIXELS:
                continue
            number = _draw_number(image.file_name, row)
            # The heap's first is the one to leave next: the largest number.
            entry = (-number, _Chosen(number, (image.file_name, row)))
            heap = kept[item["category"]]
            if len(heap) < per_class:
                heapq.heappush(heap, entry)
            else:
                heapq.heappushpop(heap, entry)
    return {entry.key for heap in kept.values() for _, entry in heap}


def _draw_number(file_name: str, row: int) -> int:
    text = f"{row} {file_name}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def _add(content: dict[str, Any], image: LabelledImage, name: str, rows: list[int]) -> None:
    image_id = len(content["images"]) + 1
    content["images"].append(
        {"id": image_id, "file_name": name, "width": image.width, "height": image.height}
    )
    for row in rows:
        item = image.objects[row]
        content["annotations"].append(
            {
                "id": len(content["annotations"]) + 1,
                "image_id": image_id,
                "category": item["category"],
                "bbox": [float(value) for value in item["bbox"]],
                "area": int(item["area"]),
                "iscrowd": 0,
                "segmentation": item["segmentation"],
            }
        )


def _list_categories(content: dict[str, Any]) -> dict[str, int]:
    """Number the classes that were written, by name; return how many examples each has."""
    counts: dict[str, int] = defaultdict(int)
    for item in content["annotations"]:
        counts[item["category"]] += 1
    ids = {name: number for number, name in enumerate(sorted(counts), start=1)}
    content["categories"] = [{"id": number, "name": name} for name, number in ids.items()]
    for item in content["annotations"]:
        item["category_id"] = ids[item.pop("category")]
    return {name: counts[name] for name in ids}
