"""Labels → CVAT for images 1.1: one XML file with masks.

Our own writer: datumaro's is exact, too, but holds the data set in memory and brings 62 packages.
A mask is run lengths along the rows of its box. Score, risk and reason are text attributes of the
shapes (CVAT's numbers are whole ones). labels.json declares them: a task or project is made from it
under Constructor > Raw. `ovsam_key` says which of our objects a shape is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ovsam.masks import compute_mask_areas
from ovsam_pipeline.export.drawing.colours import choose_colour, to_hex
from ovsam_pipeline.export.editor_images import (
    BATCH_FIELD,
    KEY_FIELD,
    EditorExport,
    EditorImage,
    dump_text,
    export_for_editor,
    iterate_crops,
    list_facts,
)
from ovsam_pipeline.export.mask_crops import MaskCrop, list_row_runs
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.xml_text import clean_text, write_attributes, write_text
from ovsam_pipeline.storage.remote_path import AnyPath

PICTURES = "images"
_ATTRIBUTES = ("score", "risk", "reason", KEY_FIELD, BATCH_FIELD)


def export_cvat(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write annotations.xml, labels.json and images/."""
    return export_for_editor(output, target, options, write_cvat, PICTURES)


def write_cvat(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write the masks of images, and the classes, into a folder."""
    with (export.folder / "annotations.xml").open("w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n')
        file.write("  <version>1.1</version>\n")
        file.writelines(_list_meta(export.names))
        for number, image in enumerate(images):
            file.writelines(_list_image(number, image))
        file.write("</annotations>\n")
    labels = [_describe_label(number, name) for number, name in enumerate(export.names)]
    (export.folder / "labels.json").write_text(dump_text(labels), encoding="utf-8")
    export.summary.notes.append(
        "CVAT: make a task with labels.json (Constructor > Raw) and the pictures, then upload "
        "annotations.xml as CVAT 1.1"
    )


def _list_meta(names: tuple[str, ...]) -> Iterator[str]:
    yield "  <meta>\n    <task>\n      <name>ovsam</name>\n      <mode>annotation</mode>\n"
    yield "      <labels>\n"
    attributes = "".join(
        f"<attribute><name>{name}</name><mutable>False</mutable><input_type>text</input_type>"
        "<default_value></default_value><values></values></attribute>"
        for name in _ATTRIBUTES
    )
    for number, name in enumerate(names):
        yield (
            f"        <label><name>{write_text(name)}</name><color>{_write_colour(number)}</color>"
            f"<type>any</type><attributes>{attributes}</attributes></label>\n"
        )
    yield "      </labels>\n    </task>\n  </meta>\n"


def _list_image(number: int, image: EditorImage) -> Iterator[str]:
    task = image.task
    place = write_attributes(id=number, name=image.name, width=task.width, height=task.height)
    yield f"  <image{place}>\n"
    areas = compute_mask_areas([item["segmentation"] for item in task.objects])
    # Small masks lie on top of large ones, where they can be seen and clicked.
    order = np.argsort(-areas, kind="stable").tolist()
    for level, (item, crop) in enumerate(iterate_crops([task.objects[n] for n in order])):
        yield from _list_mask(item, crop, level, task.batch)
    yield "  </image>\n"


def _list_mask(item: Mapping[str, Any], crop: MaskCrop, level: int, batch: str) -> Iterator[str]:
    left, top, width, height = crop.box_xywh
    shape = write_attributes(
        label=item["category"],
        source="auto",
        occluded=0,
        left=left,
        top=top,
        width=width,
        height=height,
        z_order=level,
    )
    runs = ", ".join(map(str, list_row_runs(crop.pixels).tolist()))
    yield f'    <mask rle="{runs}"{shape}>'
    facts = {**list_facts(item), **({BATCH_FIELD: batch} if batch else {})}
    for name, value in facts.items():
        yield f'<attribute name="{name}">{write_text(str(value))}</attribute>'
    yield "</mask>\n"


def _describe_label(number: int, name: str) -> dict[str, Any]:
    """Return a class as CVAT's constructor takes it."""
    attributes = [
        {"name": attribute, "mutable": False, "input_type": "text", "values": [""]}
        for attribute in _ATTRIBUTES
    ]
    return {
        "name": clean_text(name),
        "color": _write_colour(number),
        "type": "any",
        "attributes": attributes,
    }


def _write_colour(number: int) -> str:
    return to_hex(choose_colour(number))
