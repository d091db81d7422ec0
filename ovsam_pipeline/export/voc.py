"""Labels → PASCAL VOC: XML with boxes, and PNGs of objects and classes.

A pixel of SegmentationObject is one object's: where two overlap the smaller one is on top, and what
the other loses is counted. There is room for 254 objects an image; further ones have their boxes
only. Boxes count pixels from 1 and include the last, as VOC's do. Our own writer: it is
XML and PNG, and datumaro's splits nothing better.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image

from ovsam.errors import explain
from ovsam.masks import compute_mask_areas, compute_tight_boxes, encode_mask
from ovsam_pipeline.errors import OutputError
from ovsam_pipeline.export.editor_images import (
    EditorExport,
    EditorImage,
    export_for_editor,
    iterate_crops,
    iterate_written,
    list_facts,
)
from ovsam_pipeline.export.options import ExportOptions, ExportSummary
from ovsam_pipeline.export.review_tasks import ReviewTask
from ovsam_pipeline.export.xml_text import clean_text, write_text
from ovsam_pipeline.outcomes import count_things
from ovsam_pipeline.storage.remote_path import AnyPath

if TYPE_CHECKING:  # structures needs torch
    from ovsam.structures import RLE

PICTURES = "JPEGImages"
_OBJECTS, _CLASSES, _BOXES = "SegmentationObject", "SegmentationClass", "Annotations"
_SUBSET = "default.txt"
# 255 is VOC's border, 0 its background.
_MOST_OBJECTS = 254
_BACKGROUND = "background"
_BITS_A_CHANNEL = 8
_LEVELS_FOR_FAST_PNG = 3


class _Lost(NamedTuple):
    """What the format could not hold of an image: objects without a mask, with less of one."""

    beyond: int
    covered: int


def export_voc(output: AnyPath, target: Path, options: ExportOptions) -> ExportSummary:
    """Write JPEGImages, Annotations, SegmentationObject, SegmentationClass, ImageSets, labelmap."""
    return export_for_editor(output, target, options, write_voc, PICTURES)


def write_voc(images: Iterator[EditorImage], export: EditorExport) -> None:
    """Write boxes and masks of images into a folder."""
    names = make_voc_names(export.names)
    folder, sets = export.folder, export.folder / "ImageSets"
    _write_label_map(folder / "labelmap.txt", list(names.values()))
    beyond = covered = 0
    for kind in ("Main", "Segmentation"):
        (sets / kind).mkdir(parents=True)
    with (sets / "Main" / _SUBSET).open("w", encoding="utf-8") as listing:
        for image in images:
            listing.write(f"{image.stem}\n")
            lost = _write_image(folder, image, names)
            beyond, covered = beyond + lost.beyond, covered + lost.covered
    listed = (sets / "Main" / _SUBSET).read_bytes()
    (sets / "Segmentation" / _SUBSET).write_bytes(listed)
    _add_notes(export, names, beyond, covered)


def read_voc(output: AnyPath, target: Path, options: ExportOptions) -> Iterator[list[RLE | None]]:
    """Yield the masks of each image as readers of VOC see them, in the order of the rows."""
    for written in iterate_written(output, options):
        path = target / _OBJECTS / f"{written.stem}.png"
        if not path.exists():
            continue
        with explain("cannot read", path, OutputError), Image.open(path) as picture:
            numbers = np.asarray(picture)
        count = sum(key is not None for key in written.keys)
        masks = (numbers == number for number in range(1, min(count, _MOST_OBJECTS) + 1))
        yield written.arrange(encode_mask(mask) if mask.any() else None for mask in masks)


def make_voc_names(names: Sequence[str]) -> dict[str, str]:
    """Return a name that the label map can hold for each class, all of them different.

    Its fields end at colons and its lines at line ends, and "background" is no class.
    """
    taken = {_BACKGROUND}
    given: dict[str, str] = {}
    for name in names:
        plain = " ".join(clean_text(name).replace(":", "_").split()).lstrip("#") or "_"
        while plain in taken:
            plain += "_"
        taken.add(plain)
        given[name] = plain
    return given


def make_colours(count: int) -> np.ndarray:
    """Return VOC's colours of 0, 1, 2, …, whose bits are spread over the channels: (count, 3)."""
    colours = np.zeros((count, 3), np.uint8)
    numbers = np.arange(count)
    for place in range(_BITS_A_CHANNEL):
        for channel in range(3):
            bit = (numbers >> (3 * place + channel)) & 1
            colours[:, channel] |= (bit << (_BITS_A_CHANNEL - 1 - place)).astype(np.uint8)
    return colours


def _write_image(folder: Path, image: EditorImage, names: Mapping[str, str]) -> _Lost:
    stem = image.stem
    masks = [item["segmentation"] for item in image.task.objects]
    tight = compute_tight_boxes(masks).astype(int).tolist()
    for kind in (_OBJECTS, _CLASSES, _BOXES):
        (folder / kind / stem).parent.mkdir(parents=True, exist_ok=True)
    pairs = zip(image.task.objects, tight, strict=True)
    boxes = [_write_object(item, box, names) for item, box in pairs]
    text = _HEAD.format(
        name=write_text(image.name), width=image.task.width, height=image.task.height
    )
    path = folder / _BOXES / f"{stem}.xml"
    path.write_text(f"{text}{''.join(boxes)}</annotation>\n", encoding="utf-8")
    objects, lost = _paint_objects(image.task)
    _save(objects, make_colours(256), folder / _OBJECTS / f"{stem}.png")
    order = {name: number for number, name in enumerate(names, start=1)}
    numbers = np.array(
        [0, *(order[item["category"]] for item in image.task.objects[:_MOST_OBJECTS])]
    )
    _save(numbers[objects], make_colours(len(names) + 1), folder / _CLASSES / f"{stem}.png")
    return lost


_HEAD = """<annotation>
  <folder></folder>
  <filename>{name}</filename>
  <source><database>ovsam</database></source>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
  <segmented>1</segmented>
"""


def _write_object(
    item: Mapping[str, Any], box_xywh: Sequence[int], names: Mapping[str, str]
) -> str:
    left, top, width, height = box_xywh
    attributes = "".join(
        f"<attribute><name>{name}</name><value>{write_text(str(value))}</value></attribute>"
        for name, value in list_facts(item).items()
    )
    return (
        f"  <object>\n    <name>{write_text(names[item['category']])}</name>\n"
        "    <pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult>\n"
        f"    <bndbox><xmin>{left + 1}</xmin><ymin>{top + 1}</ymin>"
        f"<xmax>{left + width}</xmax><ymax>{top + height}</ymax></bndbox>\n"
        f"    <attributes>{attributes}</attributes>\n  </object>\n"
    )


def _paint_objects(task: ReviewTask) -> tuple[np.ndarray, _Lost]:
    """Return the number of the object at each pixel, from 1 on: (height, width) uint8."""
    shown = task.objects[:_MOST_OBJECTS]
    areas = compute_mask_areas([item["segmentation"] for item in shown])
    order = np.argsort(-areas, kind="stable").tolist()
    objects = np.zeros((task.height, task.width), np.uint8)
    crops = iterate_crops([shown[index] for index in order])
    for index, (_, crop) in zip(order, crops, strict=True):
        left, top, width, height = crop.box_xywh
        window = objects[top : top + height, left : left + width]
        window[crop.pixels] = index + 1
    seen = np.bincount(objects.reshape(-1), minlength=len(shown) + 1)[1:]
    return objects, _Lost(len(task.objects) - len(shown), int((seen < areas).sum()))


def _save(numbers: np.ndarray, colours: np.ndarray, path: Path) -> None:
    """Save numbers as a PNG with a palette; as one of colours where a palette is too short."""
    if len(colours) <= 1 << _BITS_A_CHANNEL:
        picture = Image.fromarray(numbers.astype(np.uint8)).convert("P")
        picture.putpalette(colours.reshape(-1).tolist())
    else:
        picture = Image.fromarray(colours[numbers])
    picture.save(path, compress_level=_LEVELS_FOR_FAST_PNG)


def _write_label_map(path: Path, names: Sequence[str]) -> None:
    """Write the classes with their colours, as datumaro and CVAT read them."""
    colours = make_colours(len(names) + 1)
    lines = ["# label:color_rgb:parts:actions"]
    lines += [
        f"{name}:{','.join(map(str, colour.tolist()))}::"
        for name, colour in zip([_BACKGROUND, *names], colours, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _add_notes(export: EditorExport, names: Mapping[str, str], beyond: int, covered: int) -> None:
    notes = export.summary.notes
    if covered:
        notes.append(
            f"{count_things(covered, 'object')} partly under smaller ones: VOC has one object a "
            "pixel; --format coco, cvat or datumaro keep them whole"
        )
    if beyond:
        notes.append(
            f"{count_things(beyond, 'object')} with a box but no mask: VOC has room for "
            f"{_MOST_OBJECTS} objects an image"
        )
    if changed := [name for name, plain in names.items() if name != plain]:
        first = names[changed[0]]
        notes.append(
            f"{count_things(len(changed), 'class')} renamed, as VOC's label map cannot hold the "
            f"name, e.g. {changed[0]!r} to {first!r}"
        )
