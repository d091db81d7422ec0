"""Files that show classes by example → checked `References`, without torch and without a model.

A COCO file with boxes or masks, whose pictures lie where those of any COCO file do, or a folder
with one folder of crops per class. A category with `"ignore": true`, or a folder whose name begins
with "!", is a class that competes and never comes out. Whatever cannot be used is named, all of it
in one message. What was found in pictures is kept until these change, so that a run that has
nothing to do reads no picture.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ovsam.checked_json import refuse_pipe
from ovsam.coco_fields import to_box, to_flag, to_id, to_side
from ovsam.coco_json import get_image_file_name, iterate_json_blocks
from ovsam.decode import READABLE_SUFFIXES, decode_file
from ovsam.errors import ImageError, VocabularyError, describe_error, explain, show_value
from ovsam.image_folders import list_image_folders
from ovsam.masks import compute_tight_boxes, decode_mask, encode_mask
from ovsam.text.class_list import (
    VocabularyClass,
    fold_name,
    make_class,
    read_class_entries,
)
from ovsam.text.class_rules import ClassRules
from ovsam.weights.seen_files import recall, remember

if TYPE_CHECKING:
    from ovsam.structures import RLE

MOST_PER_CLASS = 50
"""Examples of a class that are used, spread over the file: more change little."""
_MOST_NAMED = 40
_PICTURES = "reference pictures 1"  # raise the number when `_look_at` finds other values
_DIGEST = "examples 1"  # raise it when the same references come to mean something else
_IGNORE_MARK = "!"


@dataclass(frozen=True, slots=True)
class Example:
    """One object that shows a class.

    Attributes:
        picture: index of its picture.
        category: index of its class.
        box_xyxy: left, top, right, bottom in pixels of the upright picture, inside it.
        mask: its pixels; None where only a box is known.
    """

    picture: int
    category: int
    box_xyxy: tuple[float, float, float, float]
    mask: RLE | None = None


@dataclass(frozen=True)
class References:
    """Classes, and the objects that show them; checked.

    Attributes:
        title: what was read.
        classes: their `aliases` are no texts to embed: there are none.
        pictures: files that hold the examples.
        examples: at least one of every class.
        is_cropped: whether each picture is a crop of its object, with little else in it.
        digest: hex digest of the pictures' bytes, the names and the regions; not of paths.
    """

    title: str
    classes: tuple[VocabularyClass, ...]
    pictures: tuple[Path, ...]
    examples: tuple[Example, ...]
    is_cropped: bool
    digest: str


@dataclass(frozen=True)
class _Picture:
    """What is known of a file without its pixels."""

    digest: str
    width: int
    height: int


def read_references(path: Path) -> References:
    """Read a COCO file, or a folder with a folder of crops per class.

    Raises:
        VocabularyError: it is neither, or something in it cannot be used: an empty box or mask, one
            outside its picture, a picture that is missing or cannot be read, a mask of another
            size, a class without an example. One message names all of that.
    """
    path = path.expanduser()
    with explain("cannot read the examples", path, VocabularyError):
        if not path.exists():
            raise VocabularyError(
                f"there is no {path} with examples; give a COCO file with boxes or masks, or a "
                "folder with one folder of crops per class, after 'examples:'"
            )
        if path.is_dir():
            return _finish(path, *_read_folder(path), is_cropped=True)
        return _finish(path, *_read_coco(path), is_cropped=False)


@dataclass(frozen=True, slots=True)
class _Drawn:
    """An annotation as the file has it, or a whole picture.

    Attributes:
        name: its place, for messages.
        size_hw: of its picture, as the file says; None where it does not.
    """

    name: str
    picture: int
    category: int
    box: tuple[float, float, float, float] | None
    segmentation: Any
    size_hw: tuple[int, int] | None = None
    is_whole: bool = False


_Content = tuple[list[VocabularyClass], list[Path], list[_Drawn], list[str]]


def _read_folder(folder: Path) -> _Content:
    """Return classes, pictures and whole-picture examples of a folder of folders."""
    found = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    folders = [entry for entry in found if entry.is_dir()]
    if not folders:
        raise VocabularyError(
            f"expected one folder of crops per class in {folder}, got no folder in it; a data set "
            "with boxes is given by its COCO file, examples:FILE.json"
        )
    classes: list[VocabularyClass] = []
    pictures: list[Path] = []
    drawn: list[_Drawn] = []
    for category, inside in enumerate(folders):
        is_ignored = inside.name.startswith(_IGNORE_MARK)
        name = inside.name.removeprefix(_IGNORE_MARK)
        item = make_class(name, category_id=category + 1, where=f"folder {inside.name!r}")
        classes.append(replace(item, aliases=(), rules=ClassRules(ignore=is_ignored)))
        for file in sorted(inside.iterdir()):
            if file.suffix.lower() in READABLE_SUFFIXES and not file.name.startswith("."):
                where = f"{inside.name}/{file.name}"
                drawn.append(_Drawn(where, len(pictures), category, None, None, is_whole=True))
                pictures.append(file)
    return classes, pictures, drawn, []


def _read_coco(path: Path) -> _Content:
    """Return classes, pictures and examples of a COCO file, and what is wrong with its entries."""
    entries: dict[str, list[Any]] = {}
    try:
        refuse_pipe(path)
        for key, value in iterate_json_blocks(path):
            name = key.removesuffix("[]")
            if name in ("images", "annotations", "categories") and isinstance(value, list):
                entries.setdefault(name, []).extend(value)
    except ValueError as error:
        raise VocabularyError(
            f"expected a COCO file with examples, or a folder with one folder of crops per class, "
            f"got {path}, which is no JSON ({describe_error(error)})"
        ) from error
    missing = [name for name in ("images", "annotations", "categories") if name not in entries]
    if missing:
        raise VocabularyError(
            f"expected a COCO file with examples in {path}, got none of its {', '.join(missing)}; "
            "its images, annotations and categories are all needed"
        )
    if not entries["annotations"]:
        raise VocabularyError(
            f"expected boxes or masks that show the classes in {path}, got a COCO file without "
            "annotations"
        )
    return _build_coco(path, entries)


def _build_coco(path: Path, entries: dict[str, list[Any]]) -> _Content:
    classes = [
        replace(item, aliases=(), split=None, frequency=None)
        for item in read_class_entries(entries["categories"], path)
    ]
    category_of = {item.category_id: index for index, item in enumerate(classes)}
    faults: list[str] = []
    names: dict[int, tuple[str, tuple[int, int] | None]] = {}
    for index, row in enumerate(entries["images"]):
        name = get_image_file_name(row)[0] if isinstance(row, dict) else None
        image_id = to_id(row.get("id")) if isinstance(row, dict) else None
        if name is None or image_id is None:
            faults.append(f"images[{index}] (no file_name or id)")
        elif image_id in names:
            faults.append(f"images[{index}] (the id {image_id} of {names[image_id][0]} again)")
        else:
            height, width = to_side(row.get("height")), to_side(row.get("width"))
            names[image_id] = name, None if height is None or width is None else (height, width)
    drawn: list[_Drawn] = []
    row_of: dict[int, int] = {}
    for index, row in enumerate(entries["annotations"]):
        if not isinstance(row, dict):
            faults.append(f"annotations[{index}] ({show_value(row, 30)} is no object)")
            continue
        shown = f"annotation {show_value(row.get('id', index), 30)}"
        image_id, category_id = to_id(row.get("image_id")), to_id(row.get("category_id"))
        if to_flag(row.get("iscrowd")):
            continue
        if image_id is None or image_id not in names:
            faults.append(f"{shown} (the file has no image {show_value(row.get('image_id'), 30)})")
        elif category_id is None or category_id not in category_of:
            given = show_value(row.get("category_id"), 30)
            faults.append(f"{shown} (the file has no category {given})")
        else:
            picture = row_of.setdefault(image_id, len(row_of))
            name, size_hw = names[image_id]
            where = f"{shown} in {name}"
            box, mask = to_box(row.get("bbox")), row.get("segmentation")
            drawn.append(_Drawn(where, picture, category_of[category_id], box, mask, size_hw))
    files = [names[image_id][0] for image_id in row_of]
    return classes, _locate_pictures(path, files), drawn, faults


def _locate_pictures(path: Path, names: Sequence[str]) -> list[Path]:
    """Return where the pictures of a COCO file are: in the folder that has most of them."""
    clean = [_clean_name(name) for name in names]
    candidates = list_image_folders(path)
    every = [[folder / name for name in clean] for folder in candidates]
    every += [[folder / name.rpartition("/")[2] for name in clean] for folder in candidates]
    return max(every, key=lambda files: sum(file.is_file() for file in files))


def _clean_name(name: str) -> str:
    """Return a name below the folder of the pictures: relative, without ".."."""
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", ".", ".."))


def _finish(
    path: Path,
    classes: list[VocabularyClass],
    pictures: list[Path],
    drawn: list[_Drawn],
    faults: list[str],
    *,
    is_cropped: bool,
) -> References:
    """Choose and check the examples, and refuse all that cannot be used at once."""
    drawn = _choose(drawn, len(classes))
    looks = _look_at([pictures[index] for index in sorted({item.picture for item in drawn})])
    examples: list[Example] = []
    bad: set[Path] = set()
    for item in drawn:
        file = pictures[item.picture]
        look = looks[file]
        try:
            if isinstance(look, str):
                if file not in bad:
                    bad.add(file)
                    faults.append(f"image {_shorten(file, path)} ({look})")
                continue
            examples.append(_check_example(item, look))
        except ValueError as error:
            faults.append(f"{item.name} ({error})")
    shown = {item.category for item in drawn}
    faults += [
        f"class {item.name!r} (no example)" for i, item in enumerate(classes) if i not in shown
    ]
    if faults:
        raise VocabularyError(_describe_faults(path, faults))
    used = sorted({item.picture for item in examples})
    row_of = {picture: row for row, picture in enumerate(used)}
    examples = [replace(item, picture=row_of[item.picture]) for item in examples]
    files = tuple(pictures[picture] for picture in used)
    digest = _compute_digest(classes, [looks[file] for file in files], examples, is_cropped)
    return References(str(path), tuple(classes), files, tuple(examples), is_cropped, digest)


def join_references(parts: Sequence[References]) -> References:
    """Return the classes and examples of several files together; equal names are one class.

    Raises:
        VocabularyError: a class is ignored in one of them and not in another.
    """
    if len(parts) == 1:
        return parts[0]
    index_of: dict[str, int] = {}
    classes: list[VocabularyClass] = []
    pictures: list[Path] = []
    examples: list[Example] = []
    for part in parts:
        own = [index_of.setdefault(fold_name(item.name), len(index_of)) for item in part.classes]
        for index, item in zip(own, part.classes, strict=True):
            if index == len(classes):
                classes.append(replace(item, category_id=index + 1))
            elif classes[index].rules.ignore != item.rules.ignore:
                raise VocabularyError(
                    f"expected the class {item.name!r} to be ignored everywhere or nowhere, got "
                    f"both in {' and '.join(one.title for one in parts)}"
                )
        examples += [
            replace(item, picture=item.picture + len(pictures), category=own[item.category])
            for item in part.examples
        ]
        pictures += part.pictures
    digest = hashlib.sha256(json.dumps([part.digest for part in parts]).encode()).hexdigest()
    title = " and ".join(part.title for part in parts)
    is_cropped = all(part.is_cropped for part in parts)
    return References(title, tuple(classes), tuple(pictures), tuple(examples), is_cropped, digest)


def _choose(drawn: list[_Drawn], num_classes: int) -> list[_Drawn]:
    """Return at most `MOST_PER_CLASS` examples of each class, spread over the file."""
    chosen: list[_Drawn] = []
    for category in range(num_classes):
        own = [item for item in drawn if item.category == category]
        step = max(1.0, len(own) / MOST_PER_CLASS)
        chosen += [own[int(place * step)] for place in range(min(len(own), MOST_PER_CLASS))]
    return sorted(chosen, key=lambda item: item.picture)


def _look_at(files: Sequence[Path]) -> dict[Path, _Picture | str]:
    """Return size and digest of pictures, or why one cannot be used."""
    there = [file for file in files if file.is_file()]
    known = recall(_PICTURES, there) if there else None
    if not isinstance(known, list) or len(known) != len(there):
        known = [_look_at_one(file) for file in there]
        if there:
            remember(_PICTURES, there, known)
    looks = {
        file: look if isinstance(look, str) else _Picture(*look)
        for file, look in zip(there, known, strict=True)
    }
    return {file: looks.get(file, "no such file") for file in files}


def _look_at_one(file: Path) -> tuple[str, int, int] | str:
    try:
        height, width = decode_file(file).shape[:2]
        with file.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16))
    except ImageError as error:
        return str(error)
    except OSError as error:
        return describe_error(error)
    return digest.hexdigest(), int(width), int(height)


def _check_example(item: _Drawn, look: _Picture) -> Example:
    """Return an example inside its picture; a ValueError says what is wrong with it."""
    if item.size_hw is not None and item.size_hw != (look.height, look.width):
        height, width = item.size_hw
        raise ValueError(
            f"its image has {look.width} x {look.height} pixels, and the file says "
            f"{width} x {height}: was it resized, or annotated without its EXIF orientation?"
        )
    mask, box = None, item.box
    if item.segmentation:
        mask = encode_mask(decode_mask(item.segmentation, look.height, look.width))
        left, top, width, height = compute_tight_boxes([mask])[0].tolist()
        if not width:
            raise ValueError("its mask is empty")
        box = left, top, width, height
    elif item.is_whole:
        box = 0.0, 0.0, float(look.width), float(look.height)
    if box is None:
        raise ValueError("it has neither a box of four numbers nor a mask")
    return Example(item.picture, item.category, _clip_box(box, look), mask)


def _clip_box(
    box: tuple[float, float, float, float], look: _Picture
) -> tuple[float, float, float, float]:
    left, top, width, height = box
    if not (width >= 1 and height >= 1):  # NaN too
        raise ValueError(f"an empty box of {width:g} x {height:g} pixels")
    clipped = (
        max(left, 0.0),
        max(top, 0.0),
        min(left + width, float(look.width)),
        min(top + height, float(look.height)),
    )
    if not (clipped[2] - clipped[0] >= 1 and clipped[3] - clipped[1] >= 1):
        raise ValueError(
            f"the box at {left:g}, {top:g} lies outside the {look.width} x {look.height} image"
        )
    return clipped


def _shorten(file: Path, path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    return str(file.relative_to(folder) if file.is_relative_to(folder) else file)


def _describe_faults(path: Path, faults: Sequence[str]) -> str:
    more = len(faults) - _MOST_NAMED
    shown = "; ".join(faults[:_MOST_NAMED]) + (f"; and {more} more" if more > 0 else "")
    return (
        f"expected usable examples of every class in {path}, got {len(faults)} that cannot be "
        f"used: {shown}. Correct or remove them"
    )


def _compute_digest(
    classes: Sequence[VocabularyClass],
    looks: Sequence[_Picture | str],
    examples: Sequence[Example],
    is_cropped: bool,
) -> str:
    pictures = [look.digest for look in looks if isinstance(look, _Picture)]
    rows = sorted(
        [
            pictures[e.picture],
            e.category,
            list(e.box_xyxy),
            None if e.mask is None else dict(e.mask),
        ]
        for e in examples
    )
    names = [[item.category_id, item.name, item.rules.to_dict()] for item in classes]
    content = json.dumps([_DIGEST, is_cropped, names, rows], ensure_ascii=False, default=str)
    return hashlib.sha256(content.encode()).hexdigest()
